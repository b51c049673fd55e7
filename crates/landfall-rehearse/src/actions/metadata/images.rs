//! The inputs `images` and `flavor` of metadata-action.

use super::Version;
use crate::actions::csv::records;

/// The fields of one entry, each `NAME=VALUE` or a value alone.
pub(super) fn fields(entry: &str) -> Vec<(Option<String>, String)> {
    let record = records(entry, None).into_iter().next().unwrap_or_default();
    let field = |field: &String| match field.split_once('=') {
        Some((name, value)) => (Some(name.trim().to_lowercase()), value.trim().to_owned()),
        None => (None, field.trim().to_owned()),
    };
    record.iter().map(field).collect()
}

/// The names of the images that are on, in lower case.
pub(super) fn names(entries: &[String]) -> Result<Vec<String>, String> {
    // One entry of names alone is a list of them.
    if let [entry] = entries {
        let fields = fields(entry);
        if fields.iter().all(|(key, _)| key.is_none()) {
            return Ok(fields.into_iter().map(|(_, name)| name.to_lowercase()).collect());
        }
    }
    let mut names = Vec::new();
    for entry in entries {
        let (mut name, mut on) = (String::new(), true);
        for (key, value) in fields(entry) {
            match (key.as_deref(), value.as_str()) {
                (None | Some("name"), _) => name = value,
                (Some("enable"), "true" | "false") => on = value == "true",
                (Some("enable"), _) => return Err(format!("Invalid enable attribute value: {entry}")),
                _ => return Err(format!("Unknown image attribute: {entry}")),
            }
        }
        if name.is_empty() {
            return Err(format!("Image name attribute empty: {entry}"));
        }
        if on {
            names.push(name.to_lowercase());
        }
    }
    Ok(names)
}

/// What is the same for all tags.
#[derive(Debug, Default)]
pub(super) struct Flavor {
    /// Whether there is `latest`; none leaves it to the tags.
    pub(super) latest: Option<bool>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    prefix_on_latest: bool,
    suffix_on_latest: bool,
}

impl Flavor {
    pub(super) fn read(entries: &[String]) -> Result<Self, String> {
        let mut flavor = Self::default();
        for entry in entries {
            // `onlatest` belongs to what stands before it.
            let mut of_suffix = None;
            for (key, value) in fields(entry) {
                match (key.as_deref(), value.as_str()) {
                    (Some("latest"), "auto") => flavor.latest = None,
                    (Some("latest"), "true" | "false") => flavor.latest = Some(value == "true"),
                    (Some("latest"), _) => return Err(format!("Invalid latest flavor entry: {entry}")),
                    (Some("prefix"), _) => {
                        flavor.prefix = value;
                        of_suffix = Some(false);
                    }
                    (Some("suffix"), _) => {
                        flavor.suffix = value;
                        of_suffix = Some(true);
                    }
                    (Some("onlatest"), "true" | "false") => match of_suffix {
                        Some(true) => flavor.suffix_on_latest = value == "true",
                        Some(false) => flavor.prefix_on_latest = value == "true",
                        None => {}
                    },
                    (Some("onlatest"), _) => {
                        return Err(format!("Invalid value for onlatest attribute: {value}"));
                    }
                    (Some(_), _) => return Err(format!("Unknown flavor entry: {entry}")),
                    (None, _) => return Err(format!("Invalid flavor entry: {entry}")),
                }
            }
        }
        Ok(flavor)
    }

    /// The tags of a version without their image.
    pub(super) fn all(&self, version: &Version) -> Vec<String> {
        let Some(main) = &version.main else { return Vec::new() };
        let mut all = vec![main.clone()];
        all.extend(version.partial.iter().cloned());
        if version.latest == Some(true) {
            let prefix = if self.prefix_on_latest { self.prefix.as_str() } else { "" };
            let suffix = if self.suffix_on_latest { self.suffix.as_str() } else { "" };
            all.push(super::sanitised(&format!("{prefix}latest{suffix}")));
        }
        all
    }
}
