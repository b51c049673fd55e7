//! `jobs.ID.container` and `jobs.ID.services`: how they are written, and what they are for one run of the job.
//!
//! GitHub, "Workflow syntax", `jobs.<job_id>.container` and `jobs.<job_id>.services`; keys as in the published
//! schema `workflow-v1.0.json`.

use landfall_types::{Node, Span, Spanned, Tree};

use super::expr::{Contexts, Object, Value};
use super::matrix;
use super::read::Reader;
use super::slot::Slot;

const KEYS: &[&str] = &["image", "options", "env", "ports", "volumes", "credentials"];
const SERVICE_KEYS: &[&str] =
    &["image", "options", "env", "ports", "volumes", "credentials", "entrypoint", "command"];

/// A container, with its expressions evaluated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Container {
    /// Its image; never empty.
    pub image: String,
    /// User and password of its registry.
    pub credentials: Option<(String, String)>,
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// `8080:80`, `6379/tcp`
    pub ports: Vec<String>,
    /// `/here:/there`
    pub volumes: Vec<String>,
    /// Words of `docker create`.
    pub options: String,
    /// Of a service.
    pub entrypoint: Option<String>,
    /// Of a service.
    pub command: Option<String>,
}

/// Looks at `container` or at `services`: its keys, and the contexts of its expressions.
pub(super) fn check(reader: &mut Reader, key: &str, tree: &Tree) {
    match key {
        "container" => check_one(reader, tree, KEYS, "`container`"),
        _ => {
            for (_, service) in tree.entries() {
                check_one(reader, service, SERVICE_KEYS, "a service");
            }
            if !matches!(tree.node, Node::Map(_)) {
                expressions(reader, tree, Slot::Job);
            }
        }
    }
}

fn check_one(reader: &mut Reader, tree: &Tree, keys: &[&str], what: &str) {
    if matches!(tree.node, Node::Map(_)) {
        reader.only(tree, keys, what);
        if tree.field("image").is_none() {
            let _: Option<()> = reader.missing(tree, "image");
        }
        if let Some(credentials) = tree.field("credentials") {
            reader.only(credentials, &["username", "password"], "`credentials`");
        }
    }
    expressions(reader, tree, Slot::Job);
}

/// `credentials` and `env` may use more contexts than the rest.
pub(super) fn expressions(reader: &mut Reader, tree: &Tree, slot: Slot) {
    let mut pending = vec![(tree, slot)];
    while let Some((tree, slot)) = pending.pop() {
        match &tree.node {
            Node::Map(entries) => pending.extend(entries.iter().rev().map(|(key, value)| {
                let inner = match key.text.as_str() {
                    "credentials" => Slot::Credentials,
                    "env" => Slot::Step,
                    _ => slot,
                };
                (value, inner)
            })),
            Node::List(items) => pending.extend(items.iter().rev().map(|item| (item, slot))),
            _ => drop(reader.template(tree, slot)),
        }
    }
}

/// The job's container; none where its image is empty, which GitHub takes for the runner itself.
///
/// # Errors
/// Why it can't be known.
pub fn container(tree: &Tree, contexts: &Contexts<'_>) -> Result<Option<Container>, String> {
    of_value(&matrix::value(tree, contexts, Slot::Step)?)
}

/// The job's services by their names; those with an empty image are none.
///
/// # Errors
/// Why they can't be known.
pub fn services(tree: &Tree, contexts: &Contexts<'_>) -> Result<Vec<(String, Container)>, String> {
    let services = match matrix::value(tree, contexts, Slot::Step)? {
        Value::Object(services) => services,
        Value::Null => return Ok(Vec::new()),
        _ => return Err("`services` is not a map".to_owned()),
    };
    let service = |(name, value): (&str, &Value)| Ok(of_value(value)?.map(|it| (name.to_owned(), it)));
    services.iter().filter_map(|entry| service(entry).transpose()).collect()
}

/// The images that can be told without running anything, at their places.
pub fn fixed_images(container: Option<&Tree>, services: Option<&Tree>) -> Vec<Spanned<String>> {
    let services = services.into_iter().flat_map(|tree| tree.entries().iter().map(|(_, service)| service));
    let image = |tree: &Tree| {
        let image = if matches!(tree.node, Node::Map(_)) { tree.field("image")? } else { tree };
        let text = image.scalar().filter(|text| !text.is_empty() && !text.contains("${{"))?;
        Some(Spanned::new(text, image.span))
    };
    container.into_iter().chain(services).filter_map(image).collect()
}

/// Where a job asks for containers, with the key's name.
pub fn asked_for<'t>(container: Option<&'t Tree>, services: Option<&'t Tree>) -> Vec<(&'static str, Span)> {
    let container = container.map(|tree| ("container", tree.span));
    container.into_iter().chain(services.map(|tree| ("services", tree.span))).collect()
}

fn of_value(value: &Value) -> Result<Option<Container>, String> {
    let Value::Object(object) = value else {
        let image = value.to_text();
        return Ok((!image.is_empty()).then(|| Container { image, ..Container::default() }));
    };
    let text = |name: &str| object.get(name).map(Value::to_text).filter(|text| !text.is_empty());
    let list = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items.iter().map(Value::to_text).collect::<Vec<String>>()),
        Some(_) => Err(format!("`{name}` is not a list")),
    };
    let map = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(map)) => Ok(Object::clone(map)),
        Some(_) => Err(format!("`{name}` is not a map")),
    };
    let Some(image) = text("image") else { return Ok(None) };
    let credentials = map("credentials")?;
    let credential = |name: &str| credentials.get(name).map(Value::to_text).filter(|text| !text.is_empty());
    Ok(Some(Container {
        image,
        credentials: credential("username").zip(credential("password")),
        env: map("env")?.iter().map(|(name, value)| (name.to_owned(), value.to_text())).collect(),
        ports: list("ports")?,
        volumes: list("volumes")?,
        options: text("options").unwrap_or_default(),
        entrypoint: text("entrypoint"),
        command: text("command"),
    }))
}

/// The words of a command line, by the quotes of a shell.
///
/// # Errors
/// A quote without its end.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut is_word) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), _) if c != '\'' => word.push(c),
            (_, '\\') => {
                let next = chars.next();
                // Between double quotes a backslash is only for what would mean something there.
                if quote == Some('"') && !next.is_some_and(|next| matches!(next, '"' | '\\' | '$' | '`')) {
                    word.push('\\');
                }
                word.extend(next.filter(|next| *next != '\n'));
                is_word = true;
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.push(c),
            (None, '\'' | '"') => (quote, is_word) = (Some(c), true),
            (None, _) if c.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                    is_word = false;
                }
            }
            (None, _) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    match quote {
        Some(quote) => Err(format!("a {quote} has no end in: {text}")),
        None => {
            if is_word {
                words.push(word);
            }
            Ok(words)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use landfall_types::SourceId;

    use super::*;

    fn tree(text: &str) -> Tree {
        crate::yaml::parse(SourceId(0), text).unwrap()
    }

    #[test]
    fn a_container_is_an_image_or_a_map_and_expressions_are_filled_in() {
        let contexts = Contexts::new()
            .with("matrix", Object::new().with("tag", Value::from("20")).into())
            .with("secrets", Object::new().with("P", Value::from("hunter2")).into());
        let read = |text: &str| container(&tree(text), &contexts);
        assert_eq!(read("node:20").unwrap().unwrap().image, "node:20");
        assert_eq!(read("${{ matrix.none }}"), Ok(None));
        let whole = read(
            "image: node:${{ matrix.tag }}\ncredentials: { username: me, password: '${{ secrets.P }}' }\nenv: { A: 1 }\nports: [80, '8080:81']\nvolumes: [/a:/b]\noptions: --cpus 1\n",
        );
        let wanted = Container {
            image: "node:20".to_owned(),
            credentials: Some(("me".to_owned(), "hunter2".to_owned())),
            env: vec![("A".to_owned(), "1".to_owned())],
            ports: vec!["80".to_owned(), "8080:81".to_owned()],
            volumes: vec!["/a:/b".to_owned()],
            options: "--cpus 1".to_owned(),
            ..Container::default()
        };
        assert_eq!(whole, Ok(Some(wanted)));
        assert!(read("{ image: x, ports: 80 }").is_err());
        let all =
            services(&tree("db: { image: postgres:16 }\noff: { image: '${{ matrix.none }}' }\n"), &contexts);
        assert_eq!(all.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["db"]);
        let fixed =
            fixed_images(Some(&tree("node:${{ matrix.tag }}")), Some(&tree("db: { image: postgres:16 }")));
        assert_eq!(fixed.iter().map(|image| image.value.as_str()).collect::<Vec<_>>(), ["postgres:16"]);
    }

    #[test]
    fn words_are_told_by_quotes() {
        for (text, wanted) in [
            (
                r#"--health-cmd "pg_isready -U 'me'" --x=1"#,
                Ok(vec!["--health-cmd", "pg_isready -U 'me'", "--x=1"]),
            ),
            (r#"a\ b '' "c\"d" e"f"'g'"#, Ok(vec!["a b", "", "c\"d", "efg"])),
            ("--a\n  --b", Ok(vec!["--a", "--b"])),
            (r#""c:\dir""#, Ok(vec![r"c:\dir"])),
            ("'open", Err("a ' has no end in: 'open".to_owned())),
        ] {
            let wanted: Result<Vec<String>, String> =
                wanted.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(words(text), wanted, "{text}");
        }
    }
}
