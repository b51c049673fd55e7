//! `landfall.toml`: what a repository says once, so that the command line stays short. Every key has
//! a flag of the same name that overrides it; paths are relative to the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landfall_deliver::Failure;
use serde::Deserialize;

use crate::cmd::usage;
use crate::files;

/// The file's name.
pub const FILE_NAME: &str = "landfall.toml";
/// Folders above the given path in which the file is looked for.
const PARENTS_MAX: usize = 16;

/// What the file may say.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `OWNER/NAME` of the repository whose pipeline runs.
    pub repo: Option<String>,
    /// `OWNER_ID/REPOSITORY_ID`.
    pub ids: Option<String>,
    /// The repository's files.
    pub workspace: Option<PathBuf>,
    /// The workflow to run; all that the event starts when it isn't said.
    pub workflow: Option<PathBuf>,
    /// Folders with Terraform.
    #[serde(default)]
    pub infra: Vec<PathBuf>,
    /// The AWS account, 12 digits.
    pub account: Option<String>,
    /// The AWS region, where the Terraform doesn't say one.
    pub region: Option<String>,
    /// The GitLab whose tokens the jobs of its pipelines get.
    pub issuer: Option<String>,
    /// The event.
    pub event: Option<String>,
    /// The ref.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
    /// The repository's default branch.
    pub default_branch: Option<String>,
    /// Whether the repository's tokens carry the immutable subject.
    pub immutable_subject: Option<bool>,
    /// Subject templates (`include_claim_keys`), by `OWNER` or `OWNER/NAME`.
    #[serde(default)]
    pub sub_template: BTreeMap<String, Vec<String>>,
    /// Other repositories, `OWNER/NAME` or `OWNER/NAME@REF`, and where they are.
    #[serde(default)]
    pub remote: BTreeMap<String, PathBuf>,
    /// Actions, `OWNER/NAME` or `OWNER/NAME@REF`, and where they are.
    #[serde(default)]
    pub action: BTreeMap<String, PathBuf>,
    /// Inputs of `workflow_dispatch`.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// GitHub's configuration variables, the `vars` context; of GitLab the project's CI/CD variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Terraform variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Files of Terraform variables.
    #[serde(default)]
    pub var_files: Vec<PathBuf>,
    /// The settings of the repository's environments on GitHub, which no file of it tells.
    #[serde(default)]
    pub environment: BTreeMap<String, Environment>,
}

/// What a repository's settings say of an environment.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// The branches that may deploy; all when neither these nor tags are said.
    pub branches: Option<Vec<String>>,
    /// The tags that may deploy.
    pub tags: Option<Vec<String>>,
    /// Who has to agree.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// How long a job waits.
    #[serde(default)]
    pub wait_minutes: u32,
    /// Its configuration variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
}

/// A file that was found, and the folder that its paths are relative to.
#[derive(Clone, Default, Debug)]
pub struct Found {
    /// What it says.
    pub config: Config,
    /// Its folder.
    pub dir: PathBuf,
}

impl Found {
    /// A path of the file, as the user can open it from where they are.
    pub fn path(&self, path: &Path) -> PathBuf {
        if self.dir.as_os_str().is_empty() { path.to_owned() } else { self.dir.join(path) }
    }
}

/// Finds `landfall.toml`: in a folder; beside a file and above it, up to the repository's top; above a
/// folder only when that is a repository with workflows, so that no folder is taken for its neighbour.
///
/// # Errors
/// When the file can't be read, or says something that isn't known.
pub fn find(start: &Path) -> Result<Found, Failure> {
    let first = if start.is_dir() { start } else { start.parent().unwrap_or(Path::new("")) };
    let first = first.to_owned();
    let is_start =
        [FILE_NAME, ".github/workflows", ".gitlab-ci.yml"].iter().any(|name| first.join(name).exists());
    if start.is_dir() && !is_start {
        return Ok(Found { config: Config::default(), dir: first });
    }
    for here in above(&first).into_iter().take(PARENTS_MAX) {
        let file = here.join(FILE_NAME);
        if file.is_file() {
            return read(&file, here);
        }
        if here.join(".git").exists() {
            break;
        }
    }
    Ok(Found { config: Config::default(), dir: first })
}

/// A folder and those above it. As long as it goes, the paths stay relative, as the user typed them.
fn above(dir: &Path) -> Vec<PathBuf> {
    let goes_up = dir.components().any(|part| part == std::path::Component::ParentDir);
    let mut dirs: Vec<PathBuf> = match goes_up {
        true => vec![dir.to_owned()],
        false => dir.ancestors().filter(|dir| *dir != Path::new(".")).map(Path::to_owned).collect(),
    };
    if dir.is_relative() {
        let top = if goes_up { dir } else { Path::new(".") };
        let top = top.canonicalize().unwrap_or_default();
        dirs.extend(top.ancestors().skip(1).map(Path::to_owned));
    }
    dirs
}

fn read(file: &Path, dir: PathBuf) -> Result<Found, Failure> {
    let text = files::text(file, files::FILE_BYTES_MAX)?;
    let config = toml::from_str(&text).map_err(|error| {
        usage(format!("{} is not understood", file.display())).caused_by(error.to_string().trim_end())
    })?;
    Ok(Found { config, dir })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_file_is_found_above_a_workflow_and_paths_follow_it() {
        let dir = tempfile::tempdir().unwrap();
        let workflows = dir.path().join("service/.github/workflows");
        std::fs::create_dir_all(&workflows).unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "repo = \"acme/web\"\ninfra = [\"infra\"]\n").unwrap();
        std::fs::write(workflows.join("deploy.yml"), "on: push\n").unwrap();
        let found = find(&workflows.join("deploy.yml")).unwrap();
        assert_eq!(found.config.repo.as_deref(), Some("acme/web"));
        assert_eq!(found.path(&found.config.infra[0]), dir.path().join("infra"));
    }

    #[test]
    fn folders_above_are_relative_as_long_as_they_can_be() {
        let here = Path::new(".").canonicalize().unwrap();
        let parents: Vec<PathBuf> = here.ancestors().skip(1).map(Path::to_owned).collect();
        let with = |own: &[&str]| [own.iter().map(PathBuf::from).collect(), parents.clone()].concat();
        assert_eq!(above(Path::new("a/b")), with(&["a/b", "a", ""]));
        assert_eq!(above(Path::new("")), with(&[""]));
        assert_eq!(above(Path::new(".")), with(&[""]));
        assert_eq!(above(Path::new("/a/b")), ["/a/b", "/a", "/"].map(PathBuf::from));
        let sibling = above(Path::new("../src"));
        assert!(!sibling.contains(&PathBuf::new()), "the current folder is not above `../src`: {sibling:?}");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "rep = \"acme/web\"\n").unwrap();
        let failure = find(dir.path()).unwrap_err();
        assert!(failure.message.contains(FILE_NAME), "{failure:?}");
        assert!(failure.details.join("\n").contains("rep"), "{failure:?}");
    }
}
