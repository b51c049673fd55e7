//! What a job hands on: files that its artifacts name, and variables in dotenv files.

use std::path::{Path, PathBuf};

use landfall_check::gitlab::{Artifacts, Variables, glob};

use super::library::files;
use crate::snapshot;
use crate::text_file;

/// Largest dotenv file, in bytes (GitLab's own limit is 5 kB).
const DOTENV_BYTES_MAX: u64 = 5 * 1024;

/// What a job has handed on.
#[derive(Clone, Default, Debug)]
pub(super) struct HandedOn {
    /// The folder with its files.
    pub(super) dir: Option<PathBuf>,
    /// Its variables.
    pub(super) variables: Vec<(String, String)>,
}

/// Takes what the artifacts name out of a workspace. Tells what is to be said of it.
///
/// # Errors
/// A sentence when a file can't be copied.
pub(super) fn collect(
    artifacts: &Artifacts,
    variables: &Variables,
    workspace: &Path,
    to: &Path,
) -> Result<(HandedOn, Vec<String>), String> {
    let mut handed_on = HandedOn::default();
    let mut said = Vec::new();
    if !artifacts.paths.is_empty() || artifacts.untracked {
        let all = files(workspace, &[".git"]);
        let wanted: Vec<String> = artifacts.paths.iter().map(|path| variables.replace(&path.value)).collect();
        let without: Vec<String> =
            artifacts.exclude.iter().map(|path| variables.replace(&path.value)).collect();
        let mut kept: Vec<&String> = Vec::new();
        for pattern in &wanted {
            let found: Vec<&String> = all.iter().filter(|file| is_named(pattern, file)).collect();
            if found.is_empty() {
                said.push(format!("WARNING: {pattern}: no matching files. Ensure that the artifact path is relative to the working directory"));
            }
            kept.extend(found);
        }
        if artifacts.untracked {
            let tracked = snapshot::tracked(workspace);
            kept.extend(all.iter().filter(|file| !tracked.contains(*file)));
        }
        kept.retain(|file| !without.iter().any(|pattern| glob::fits(pattern, file)));
        for file in kept {
            let target = to.join(file);
            let copied = target.parent().map_or(Ok(()), std::fs::create_dir_all);
            copied
                .and_then(|()| snapshot::copy_file(&workspace.join(file), &target))
                .map_err(|error| format!("cannot keep the artifact {file}: {error}"))?;
        }
        handed_on.dir = to.is_dir().then(|| to.to_owned());
    }
    for file in &artifacts.dotenv {
        let name = variables.replace(&file.value);
        match dotenv(&workspace.join(&name)) {
            Ok(variables) => handed_on.variables.extend(variables),
            Err(why) => said.push(format!("WARNING: {name}: {why}")),
        }
    }
    Ok((handed_on, said))
}

/// Whether a file is one that a path of artifacts names: itself, or a folder that it is in.
fn is_named(pattern: &str, file: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let below = |folder: &str| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if pattern.is_empty() || pattern == "." || glob::fits(pattern, file) || below(pattern) {
        return true;
    }
    // A pattern may name a folder; then all that is in it is meant.
    file.match_indices('/').any(|(at, _)| glob::fits(pattern, &file[..at]))
}

fn dotenv(file: &Path) -> Result<Vec<(String, String)>, String> {
    let text = text_file::read(file, DOTENV_BYTES_MAX).map_err(|error| error.to_string())?;
    let mut variables = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is not NAME=VALUE"))?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        variables.push((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn a_folders_name_means_what_is_in_it() {
        for (pattern, file, wanted) in [
            ("dist", "dist/a/b", true),
            ("dist/", "dist/a", true),
            ("./dist", "dist/a", true),
            ("dist", "distant/a", false),
            ("*/out", "a/out/b", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a/b.txt", false),
            ("a/**/*.txt", "a/b/c.txt", true),
        ] {
            assert_eq!(is_named(pattern, file), wanted, "{pattern} {file}");
        }
    }
}
