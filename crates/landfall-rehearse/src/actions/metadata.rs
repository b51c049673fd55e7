//! docker/metadata-action v5: tags and labels of an image, from the ref and the event of the run.
//!
//! Inputs, defaults, order and messages as in the action's `action.yml` and sources.

pub mod moment;
pub mod template;
pub mod version;

mod images;
mod tags;

use serde_json::{Map, Value, json};

use self::moment::Moment;
use self::template::Call;
use super::csv::{Commas, list};
use super::{Inputs, input};

/// `action.yml`.
const INPUTS: [&str; 11] = [
    "context",
    "images",
    "tags",
    "flavor",
    "labels",
    "annotations",
    "sep-tags",
    "sep-labels",
    "sep-annotations",
    "bake-target",
    "github-token",
];
/// Characters of a commit that `{{sha}}` and `type=sha` show.
const SHORT_SHA_CHARS: usize = 7;
/// Begins a comment in a list.
const COMMENT: Option<char> = Some('#');

/// How far a time zone is ahead of UTC at a moment (seconds since 1970), in seconds; none for one that isn't known.
pub type Ahead<'f> = &'f dyn Fn(&str, i64) -> Option<i64>;

/// What the action takes from the run.
#[derive(Clone, Copy)]
pub struct Facts<'f> {
    /// `GITHUB_EVENT_NAME`.
    pub event: &'f str,
    /// `GITHUB_REF`; of a `pull_request_target` that of the request.
    pub git_ref: &'f str,
    /// `GITHUB_SHA`.
    pub sha: &'f str,
    /// The branch that a pull request goes to.
    pub base: Option<&'f str>,
    /// The repository's default branch.
    pub default_branch: &'f str,
    /// `OWNER/NAME`.
    pub repository: &'f str,
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
    /// When the commit was made, milliseconds since 1970.
    pub commit_ms: i64,
    /// Time zones.
    pub ahead: Ahead<'f>,
    /// A variable of the step.
    pub variable: &'f dyn Fn(&str) -> Option<String>,
}

/// What the step puts out.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Metadata {
    /// Its outputs.
    pub outputs: Vec<(String, String)>,
    /// What it tells.
    pub lines: Vec<String>,
    /// What it warns of.
    pub warnings: Vec<String>,
}

/// The version that the tags make together.
#[derive(Default)]
struct Version {
    main: Option<String>,
    partial: Vec<String>,
    latest: Option<bool>,
}

/// Makes tags and labels.
///
/// # Errors
/// The text that the step fails with.
pub fn metadata(inputs: &Inputs, facts: &Facts<'_>) -> Result<Metadata, String> {
    let mut done = Metadata::default();
    done.warnings.extend(super::unexpected(INPUTS.into_iter(), inputs));
    match input(inputs, "context").unwrap_or("workflow") {
        // The checkout is the run's own commit, so both say the same.
        "workflow" | "git" => {}
        other => return Err(format!("Invalid context source: {other}")),
    }
    let entries = |name: &str| list(input(inputs, name).unwrap_or_default(), Commas::Keep, COMMENT);
    let images = images::names(&entries("images"))?;
    let flavor = images::Flavor::read(&entries("flavor"))?;
    let maker = Maker { facts, flavor: &flavor };
    let version = maker.version(&tags::read(&entries("tags"))?, &mut done.warnings)?;
    match &version.main {
        Some(main) => done.lines.push(format!("version: {main}")),
        None => {
            done.warnings.push("No Docker image version has been generated. Check tags input.".to_owned())
        }
    }
    let tag_names = flavor.all(&version);
    let tags: Vec<String> = match images.as_slice() {
        [] => tag_names.clone(),
        images => images
            .iter()
            .flat_map(|image| tag_names.iter().map(move |tag| format!("{image}:{tag}")))
            .collect(),
    };
    if tags.is_empty() {
        done.warnings.push("No Docker tag has been generated. Check tags input.".to_owned());
    }
    done.lines.extend(tags.iter().map(|tag| format!("tag: {tag}")));
    let main = version.main.as_deref().unwrap_or_default();
    let labels = maker.labels(main, &entries("labels"))?;
    let levels = (facts.variable)("DOCKER_METADATA_ANNOTATIONS_LEVELS");
    let levels = levels.as_deref().unwrap_or("manifest");
    let annotations = pairs(&maker.labels(main, &entries("annotations"))?);
    let annotations: Vec<String> = levels
        .split(',')
        .flat_map(|level| annotations.iter().map(move |annotation| format!("{level}:{annotation}")))
        .collect();
    let joined = |name: &str, items: &[String]| items.join(&separator(inputs, name));
    let map: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let all = json!({ "tags": tags, "tag-names": tag_names, "labels": map, "annotations": annotations });
    done.outputs = [
        ("version", main.to_owned()),
        ("tags", joined("sep-tags", &tags)),
        ("tag-names", joined("sep-tags", &tag_names)),
        ("labels", joined("sep-labels", &pairs(&labels))),
        ("annotations", joined("sep-annotations", &annotations)),
        ("json", all.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Ok(done)
}

/// The separator is taken with its blanks, unlike other inputs.
fn separator(inputs: &Inputs, name: &str) -> String {
    let said = inputs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    said.filter(|value| !value.is_empty()).cloned().unwrap_or_else(|| "\n".to_owned())
}

fn pairs(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Whatever a tag can't have becomes a hyphen.
fn sanitised(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len());
    let mut was_replaced = false;
    for c in tag.chars() {
        let fits = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if fits {
            out.push(c);
        } else if !was_replaced {
            out.push('-');
        }
        was_replaced = !fits;
    }
    out
}

/// Milliseconds since 1970 in ISO 8601, as JavaScript writes it.
fn iso(at_ms: i64) -> String {
    let moment = Moment { at_ms, ahead: 0, zone: "UTC" };
    moment.format("YYYY-MM-DDTHH:mm:ss.SSS[Z]").unwrap_or_default()
}

/// Makes texts of what a run knows.
struct Maker<'m> {
    facts: &'m Facts<'m>,
    flavor: &'m images::Flavor,
}

impl Maker<'_> {
    fn version(&self, tags: &[tags::Tag], warnings: &mut Vec<String>) -> Result<Version, String> {
        let mut version = Version::default();
        for tag in tags {
            match self.expression(&tag.enable)?.as_str() {
                "true" => {}
                "false" => continue,
                other => return Err(format!("Invalid value for enable attribute: {other}")),
            }
            let Some((text, latest)) = tags::value(self, tag, warnings)? else { continue };
            let text = sanitised(&text);
            if text.is_empty() {
                continue;
            }
            match &version.main {
                None => version.main = Some(text),
                Some(main) if *main != text && !version.partial.contains(&text) => version.partial.push(text),
                Some(_) => {}
            }
            version.latest.get_or_insert(self.flavor.latest.unwrap_or(latest));
        }
        Ok(version)
    }

    /// A tag's text between its prefix and its suffix, or those of all tags.
    fn dressed(&self, text: &str, tag: &tags::Tag) -> Result<String, String> {
        let prefix = tag.prefix.as_deref().unwrap_or(&self.flavor.prefix);
        let suffix = tag.suffix.as_deref().unwrap_or(&self.flavor.suffix);
        Ok(format!("{}{text}{}", self.expression(prefix)?, self.expression(suffix)?))
    }

    fn short_sha(&self) -> Result<String, String> {
        let said = (self.facts.variable)("DOCKER_METADATA_SHORT_SHA_LENGTH");
        let length = match said {
            None => SHORT_SHA_CHARS,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| format!("DOCKER_METADATA_SHORT_SHA_LENGTH is not a valid number: {text}"))?,
        };
        Ok(self.facts.sha.chars().take(length).collect())
    }

    /// A text with the action's global expressions.
    fn expression(&self, text: &str) -> Result<String, String> {
        let facts = self.facts;
        template::fill(text, &|call| {
            let of_ref = |kind: &str| facts.git_ref.strip_prefix(kind).unwrap_or_default().to_owned();
            Ok(Some(match call.name {
                "branch" => of_ref("refs/heads/"),
                "tag" => of_ref("refs/tags/"),
                "sha" => self.short_sha()?,
                "base_ref" => match facts.base {
                    Some(base) if facts.git_ref.starts_with("refs/pull/") => base.to_owned(),
                    _ => String::new(),
                },
                "is_default_branch" => self.is_default_branch().to_string(),
                "is_not_default_branch" => (!self.is_default_branch()).to_string(),
                "date" => self.date(call, facts.now_ms)?,
                "commit_date" => self.date(call, facts.commit_ms)?,
                _ => return no_such(call),
            }))
        })
    }

    fn is_default_branch(&self) -> bool {
        let branch = self.facts.git_ref.strip_prefix("refs/heads/").unwrap_or(self.facts.git_ref);
        // These always run for the default branch.
        let on_default = ["create", "discussion", "issues", "schedule"];
        !branch.is_empty()
            && (branch == self.facts.default_branch
                || on_default.iter().any(|event| self.facts.event.contains(event)))
    }

    fn date(&self, call: &Call<'_>, at_ms: i64) -> Result<String, String> {
        if let Some((key, _)) = call.named.iter().find(|(key, _)| *key != "tz") {
            return Err(format!("Unknown {key} attribute"));
        }
        let zone = call.named.first().map_or("UTC", |(_, zone)| zone);
        // Moment.js takes a zone that it doesn't know for UTC.
        let ahead = match zone {
            "UTC" => 0,
            zone => (self.facts.ahead)(zone, at_ms.div_euclid(1000)).unwrap_or(0),
        };
        Moment { at_ms, ahead, zone }.format(call.args.first().copied().unwrap_or(moment::DEFAULT))
    }

    /// OCI's labels and those of the step, each name once, in order.
    fn labels(&self, version: &str, further: &[String]) -> Result<Vec<(String, String)>, String> {
        let facts = self.facts;
        let url = format!("https://github.com/{}", facts.repository);
        let name = facts.repository.rsplit('/').next().unwrap_or_default();
        let own = [
            ("title", name.to_owned()),
            // What only GitHub's API knows.
            ("description", String::new()),
            ("url", url.clone()),
            ("source", url),
            ("version", version.to_owned()),
            ("created", iso(facts.now_ms)),
            ("revision", facts.sha.to_owned()),
            ("licenses", String::new()),
        ];
        let mut labels: Vec<(String, String)> =
            own.map(|(name, value)| (format!("org.opencontainers.image.{name}"), value)).into();
        for label in further {
            let label = self.expression(label)?;
            let Some((name, value)) = label.split_once('=') else { continue };
            match labels.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value.to_owned(),
                None => labels.push((name.to_owned(), value.to_owned())),
            }
        }
        labels.sort_by_key(|(name, _)| (name.to_lowercase(), name.clone()));
        Ok(labels)
    }
}

/// A name without a value is empty; with arguments it is a helper, which Handlebars misses.
fn no_such(call: &Call<'_>) -> Result<Option<String>, String> {
    match call.args.is_empty() && call.named.is_empty() {
        true => Ok(None),
        false => Err(format!("Missing helper: \"{}\"", call.name)),
    }
}

#[cfg(test)]
mod tests;
