//! The input `tags` of metadata-action: its types, their order, and what each makes of a ref.

use regex_lite::{Regex, RegexBuilder};

use super::images::fields;
use super::version::{Pep440, Semver};
use super::{Maker, no_such, template};

/// What a tag is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    Schedule { pattern: String },
    Semver { pattern: String, value: String },
    Pep440 { pattern: String, value: String },
    Match { pattern: String, group: String, value: String },
    Edge { branch: String },
    Ref(Event),
    Raw { value: String },
    Sha { is_long: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Branch,
    Tag,
    PullRequest,
}

/// An entry of the input.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    kind: Kind,
    pub(super) enable: String,
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
    priority: f64,
}

/// The tags when nothing is said.
const DEFAULT: [&str; 4] =
    ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];

/// The tags, those of a higher priority first.
pub(super) fn read(entries: &[String]) -> Result<Vec<Tag>, String> {
    let mut tags: Vec<Tag> = match entries {
        [] => DEFAULT.iter().map(|entry| tag(entry)).collect::<Result<_, _>>()?,
        entries => entries.iter().map(|entry| tag(entry)).collect::<Result<_, _>>()?,
    };
    tags.sort_by(|one, other| other.priority.partial_cmp(&one.priority).unwrap_or(std::cmp::Ordering::Equal));
    Ok(tags)
}

fn tag(entry: &str) -> Result<Tag, String> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    let mut set = |key: String, value: String| {
        attributes.retain(|(known, _)| *known != key);
        attributes.push((key, value));
    };
    let mut kind = "raw".to_owned();
    for (key, value) in fields(entry) {
        match key {
            Some(key) if key == "type" => kind = value,
            Some(key) => set(key, value),
            None => set("value".to_owned(), value),
        }
    }
    let said = |key: &str| attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone());
    let must = |key: &str| said(key).ok_or_else(|| format!("Missing {key} attribute for {entry}"));
    let value = || said("value").unwrap_or_default();
    let mut prefix = said("prefix");
    let (kind, priority) = match kind.as_str() {
        "schedule" => {
            (Kind::Schedule { pattern: said("pattern").unwrap_or_else(|| "nightly".to_owned()) }, 1000.0)
        }
        "semver" => (Kind::Semver { pattern: must("pattern")?, value: value() }, 900.0),
        "pep440" => (Kind::Pep440 { pattern: must("pattern")?, value: value() }, 900.0),
        "match" => {
            let (pattern, group) = (must("pattern")?, said("group").unwrap_or_else(|| "0".to_owned()));
            if group.parse::<f64>().is_err() {
                return Err(format!("Invalid match group for {entry}"));
            }
            (Kind::Match { pattern, group, value: value() }, 800.0)
        }
        "edge" => (Kind::Edge { branch: said("branch").unwrap_or_default() }, 700.0),
        "ref" => {
            let event = match must("event")?.as_str() {
                "branch" => Event::Branch,
                "tag" => Event::Tag,
                "pr" => Event::PullRequest,
                _ => return Err(format!("Invalid event for {entry}")),
            };
            if event == Event::PullRequest {
                prefix.get_or_insert_with(|| "pr-".to_owned());
            }
            (Kind::Ref(event), 600.0)
        }
        "raw" => (Kind::Raw { value: must("value")? }, 200.0),
        "sha" => {
            prefix.get_or_insert_with(|| "sha-".to_owned());
            let is_long = match said("format").as_deref() {
                None | Some("short") => false,
                Some("long") => true,
                Some(_) => return Err(format!("Invalid format for {entry}")),
            };
            (Kind::Sha { is_long }, 100.0)
        }
        other => return Err(format!("Unknown tag type attribute: {other}")),
    };
    let priority = said("priority").and_then(|text| text.parse().ok()).unwrap_or(priority);
    let enable = said("enable").unwrap_or_else(|| "true".to_owned());
    Ok(Tag { kind, enable, prefix, suffix: said("suffix"), priority })
}

/// What a tag makes of the run, and whether it brings `latest` along; none where it isn't meant.
pub(super) fn value(
    maker: &Maker<'_>,
    tag: &Tag,
    warnings: &mut Vec<String>,
) -> Result<Option<(String, bool)>, String> {
    let facts = maker.facts;
    let of_ref = |kind: &str| facts.git_ref.strip_prefix(kind);
    let found = match &tag.kind {
        Kind::Schedule { .. } if !facts.event.contains("schedule") => None,
        Kind::Schedule { pattern } => {
            let text = template::fill(pattern, &|call| match call.name {
                "date" => maker.date(call, facts.now_ms).map(Some),
                "commit_date" => maker.date(call, facts.commit_ms).map(Some),
                _ => no_such(call),
            })?;
            Some((text, false))
        }
        Kind::Semver { pattern, value } => semver(maker, pattern, value, warnings)?,
        Kind::Pep440 { pattern, value } => pep440(maker, pattern, value, warnings)?,
        Kind::Match { pattern, group, value } => matched(maker, (pattern, group, value), warnings)?,
        Kind::Edge { branch } => {
            let wanted = if branch.is_empty() { facts.default_branch } else { branch };
            (of_ref("refs/heads/") == Some(wanted)).then(|| ("edge".to_owned(), false))
        }
        Kind::Ref(Event::Branch) => of_ref("refs/heads/").map(|branch| (branch.to_owned(), false)),
        Kind::Ref(Event::Tag) => of_ref("refs/tags/").map(|tag| (tag.to_owned(), true)),
        Kind::Ref(Event::PullRequest) => of_ref("refs/pull/")
            .map(|request| (request.strip_suffix("/merge").unwrap_or(request).to_owned(), false)),
        Kind::Raw { value } => Some((maker.expression(value)?, false)),
        Kind::Sha { .. } if facts.sha.is_empty() => None,
        Kind::Sha { is_long: true } => Some((facts.sha.to_owned(), false)),
        Kind::Sha { is_long: false } => Some((maker.short_sha()?, false)),
    };
    found.map(|(text, latest)| Ok((maker.dressed(&text, tag)?, latest))).transpose()
}

/// The text that a version is read from: the step's, or the tag that the run is for.
fn source(maker: &Maker<'_>, value: &str, slashes: bool) -> Result<Option<String>, String> {
    if !value.is_empty() {
        return maker.expression(value).map(Some);
    }
    let tag = maker.facts.git_ref.strip_prefix("refs/tags/");
    Ok(tag.map(|tag| if slashes { tag.to_owned() } else { tag.replace('/', "-") }))
}

type Found = Option<(String, bool)>;

/// The version that a text is, with the text; none, and a warning, for one that is none.
fn version<V>(
    maker: &Maker<'_>,
    value: &str,
    parse: impl Fn(&str) -> Option<V>,
    (advice, warnings): (&str, &mut Vec<String>),
) -> Result<Option<(String, V)>, String> {
    let Some(raw) = source(maker, value, false)? else { return Ok(None) };
    let version = parse(&raw);
    if version.is_none() {
        warnings.push(format!("{raw} {advice}"));
    }
    Ok(version.map(|version| (raw, version)))
}

fn semver(
    maker: &Maker<'_>,
    pattern: &str,
    value: &str,
    warnings: &mut Vec<String>,
) -> Result<Found, String> {
    let advice = "is not a valid semver. More info: https://semver.org/";
    let Some((_, version)) = version(maker, value, Semver::parse, (advice, warnings))? else {
        return Ok(None);
    };
    let is_final = version.prerelease.is_empty();
    // A version that isn't final is never shortened.
    let pattern = if is_final || template::is_only(pattern, "raw") { pattern } else { "{{version}}" };
    let text = template::fill(pattern, &|call| match version.member(call.name) {
        Some(text) => Ok(Some(text)),
        None => no_such(call),
    })?;
    Ok(Some((text, is_final)))
}

fn pep440(
    maker: &Maker<'_>,
    pattern: &str,
    value: &str,
    warnings: &mut Vec<String>,
) -> Result<Found, String> {
    let advice = "does not conform to PEP 440. More info: https://www.python.org/dev/peps/pep-0440";
    let Some((raw, version)) = version(maker, value, Pep440::parse, (advice, warnings))? else {
        return Ok(None);
    };
    if version.is_unfinished {
        let text = if template::is_only(pattern, "raw") { raw } else { version.clean };
        return Ok(Some((text, false)));
    }
    let text = template::fill(pattern, &|call| {
        Ok(Some(match call.name {
            "raw" => raw.clone(),
            "version" => version.clean.clone(),
            "major" => version.number(0),
            "minor" => version.number(1),
            "patch" => version.number(2),
            _ => return no_such(call),
        }))
    })?;
    Ok(Some((text, true)))
}

fn matched(
    maker: &Maker<'_>,
    (pattern, group, value): (&str, &str, &str),
    warnings: &mut Vec<String>,
) -> Result<Found, String> {
    let Some(raw) = source(maker, value, true)? else { return Ok(None) };
    let regex = regex(pattern)?;
    let Some(found) = regex.captures(&raw) else {
        warnings.push(format!("{pattern} does not match {raw}."));
        return Ok(None);
    };
    match group.parse().ok().and_then(|index| found.get(index)) {
        Some(text) => Ok(Some((text.as_str().to_owned(), true))),
        None => {
            warnings.push(format!("Group {group} does not exist for {pattern} pattern."));
            Ok(None)
        }
    }
}

/// `PATTERN`, or `/PATTERN/FLAGS`.
fn regex(pattern: &str) -> Result<Regex, String> {
    let slashed = pattern.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    let (text, flags) = slashed.filter(|(text, _)| !text.is_empty()).unwrap_or((pattern, ""));
    let mut builder = RegexBuilder::new(text);
    builder
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'));
    builder.build().map_err(|error| {
        format!("the pattern `{pattern}` is not rehearsed: it is none without looking around ({error})")
    })
}
