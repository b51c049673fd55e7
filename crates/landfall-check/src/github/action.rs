//! An action's own file, `action.yml`: composite, JavaScript and Docker actions.
//!
//! GitHub, "Metadata syntax reference". Keys that are only for the marketplace are not looked at.

use landfall_types::{Finding, Node, SourceId, Span, Spanned, Tree};

use super::model::{Pairs, Step};
use super::read::Reader;
use super::read_job;
use super::slot::Slot;
use super::template::{Template, unexpected};

/// An action.
#[derive(Clone, Debug)]
pub struct Action {
    /// `name`; empty when there is none.
    pub name: String,
    /// `inputs`
    pub inputs: Vec<ActionInput>,
    /// `outputs` with their values; only composite actions have values.
    pub outputs: Vec<(Spanned<String>, Option<Template>)>,
    /// `runs`
    pub runs: Runs,
    /// `runs`, where it stands.
    pub span: Span,
}

/// An input of an action.
#[derive(Clone, Debug)]
pub struct ActionInput {
    /// Its name; compared without case.
    pub name: Spanned<String>,
    /// `default`
    pub default: Option<Template>,
    /// `deprecationMessage`
    pub deprecation: Option<String>,
}

/// What an action runs.
#[derive(Clone, Debug)]
pub enum Runs {
    /// Steps.
    Composite {
        /// `steps`
        steps: Vec<Step>,
    },
    /// Scripts for Node.js.
    JavaScript {
        /// `using`, such as `node20`.
        using: String,
        /// `main`
        main: String,
        /// `pre` and `pre-if`
        pre: Option<(String, Option<Template>)>,
        /// `post` and `post-if`
        post: Option<(String, Option<Template>)>,
    },
    /// A container.
    Docker {
        /// `image`: `Dockerfile`, a path to one, or `docker://IMAGE`.
        image: Spanned<String>,
        /// `entrypoint`
        entrypoint: Option<String>,
        /// `args`; none leaves them to the step's input `args`.
        args: Option<Vec<Template>>,
        /// `env`
        env: Pairs,
        /// `pre-entrypoint` and `pre-if`
        pre: Option<(String, Option<Template>)>,
        /// `post-entrypoint` and `post-if`
        post: Option<(String, Option<Template>)>,
    },
}

/// Reads an `action.yml`. The action is absent when it can't be made out; whenever a finding is an error, GitHub
/// would refuse it.
pub fn load_action(source: SourceId, text: &str) -> (Option<Action>, Vec<Finding>) {
    match crate::yaml::parse(source, text) {
        Err(finding) => (None, vec![finding]),
        Ok(tree) => {
            let mut reader = Reader { in_action: true, ..Reader::default() };
            reader.keys_once(&tree);
            let action = action(&mut reader, &tree);
            let unmodelled = reader.take_unmodelled();
            for what in unmodelled {
                reader.error(what.span, unexpected(what.value), "an action can't have this");
            }
            (action, reader.findings)
        }
    }
}

fn action(reader: &mut Reader, tree: &Tree) -> Option<Action> {
    reader.map(tree)?;
    let name = tree.field("name").and_then(|tree| reader.plain_text(tree)).map(|name| name.value);
    let mut inputs = Vec::new();
    for (key, input) in entries(reader, tree, "inputs") {
        inputs.push(ActionInput {
            name: Spanned::new(key.text.clone(), key.span),
            default: input.field("default").and_then(|tree| reader.template(tree, Slot::ActionInput)),
            deprecation: input.field("deprecationMessage").and_then(Tree::as_text).map(str::to_owned),
        });
    }
    let mut outputs = Vec::new();
    for (key, output) in entries(reader, tree, "outputs") {
        let value = output.field("value").and_then(|tree| reader.template(tree, Slot::Action));
        outputs.push((Spanned::new(key.text.clone(), key.span), value));
    }
    let Some(at) = tree.field("runs") else { return reader.missing(tree, "runs") };
    reader.map(at)?;
    let runs = runs(reader, at)?;
    Some(Action { name: name.unwrap_or_default(), inputs, outputs, runs, span: at.span })
}

type Entries<'t> = Vec<(&'t landfall_types::tree::Key, &'t Tree)>;

fn entries<'t>(reader: &mut Reader, tree: &'t Tree, key: &str) -> Entries<'t> {
    let entries = tree.field(key).filter(|tree| !matches!(tree.node, Node::Null));
    let entries = entries.and_then(|tree| reader.map(tree)).unwrap_or_default();
    entries.iter().map(|(key, value)| (key, value)).collect()
}

fn runs(reader: &mut Reader, at: &Tree) -> Option<Runs> {
    let Some(using) = at.field("using") else { return reader.missing(at, "using") };
    let using = reader.plain_filled(using)?;
    match using.value.as_str() {
        "composite" => match at.field("steps") {
            Some(steps) => Some(Runs::Composite { steps: read_job::steps(reader, steps)? }),
            None => reader.missing(at, "steps"),
        },
        "docker" => docker(reader, at),
        text if text.starts_with("node") => {
            let Some(main) = at.field("main") else { return reader.missing(at, "main") };
            let main = reader.plain_filled(main)?.value;
            let (pre, post) = (script(reader, at, "pre"), script(reader, at, "post"));
            Some(Runs::JavaScript { using: using.value, main, pre, post })
        }
        other => {
            let message = format!(
                "'using: {other}' is not supported, use 'docker', 'node12', 'node16', 'node20' or 'node24' instead."
            );
            reader.error(using.span, message, "here");
            None
        }
    }
}

fn docker(reader: &mut Reader, at: &Tree) -> Option<Runs> {
    let Some(image) = at.field("image") else { return reader.missing(at, "image") };
    let image = reader.plain_filled(image)?;
    let args = match at.field("args").map(|tree| &tree.node) {
        Some(Node::List(items)) => {
            Some(items.iter().filter_map(|item| reader.template(item, Slot::Action)).collect())
        }
        _ => None,
    };
    let entrypoint = at.field("entrypoint").and_then(|tree| reader.plain_text(tree)).map(|it| it.value);
    let env = reader.field_pairs(at, "env", Slot::Action);
    let (pre, post) = (script(reader, at, "pre-entrypoint"), script(reader, at, "post-entrypoint"));
    Some(Runs::Docker { image, entrypoint, args, env, pre, post })
}

/// `pre`, `post`, `pre-entrypoint` or `post-entrypoint`, with its condition.
fn script(reader: &mut Reader, at: &Tree, key: &str) -> Option<(String, Option<Template>)> {
    let script = at.field(key).and_then(|tree| reader.plain_filled(tree))?;
    let condition = at.field(if key.starts_with("pre") { "pre-if" } else { "post-if" });
    let condition =
        condition.and_then(|tree| Template::read_condition(tree, Slot::ActionIf, &mut reader.findings));
    Some((script.value, condition))
}
