//! Called workflows, from folders on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landfall_check::github::{self, CalledRef, Library, LoadFailure, Loaded};
use landfall_types::SourceMap;
use landfall_wire::hash::sha256_hex;

use crate::text_file;

/// Largest called workflow, in bytes (GitHub's limit is a million characters).
const WORKFLOW_BYTES_MAX: u64 = 1024 * 1024;

/// Where other repositories are on this machine: `OWNER/NAME` or `OWNER/NAME@REF` and a folder.
#[derive(Clone, Default, Debug)]
pub struct Remotes(BTreeMap<String, PathBuf>);

impl Remotes {
    /// From what the user said.
    pub fn new(entries: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The folder of a repository at a ref: the entry for that ref, else the one for any.
    pub fn dir(&self, owner_repo: &str, reference: &str) -> Option<&Path> {
        let exact = self.0.get(&format!("{owner_repo}@{reference}"));
        exact.or_else(|| self.0.get(owner_repo)).map(PathBuf::as_path)
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// The run's own repository and the ones that the user named.
#[derive(Debug)]
pub struct Folders<'a> {
    /// Texts go here, so that messages can show them.
    pub sources: &'a SourceMap,
    /// The repository of the run, and how messages name that folder.
    pub repository: &'a Path,
    /// The run's ref.
    pub git_ref: &'a str,
    /// The run's commit.
    pub sha: &'a str,
    /// Other repositories.
    pub remotes: &'a Remotes,
}

impl Library for Folders<'_> {
    fn load(&mut self, called: &CalledRef) -> Result<Loaded, LoadFailure> {
        match called {
            CalledRef::Local { path } => {
                let workflow = self.read(&self.repository.join(path), path)?;
                Ok(Loaded { workflow, resolved_ref: self.git_ref.to_owned(), sha: self.sha.to_owned() })
            }
            CalledRef::Remote { owner_repo, path, reference } => {
                let dir = self
                    .remotes
                    .dir(owner_repo, reference)
                    .ok_or_else(|| self.unknown(owner_repo, reference))?;
                let workflow = self.read(&dir.join(path), path)?;
                let sha = pinned(reference).map_or_else(|| stand_in(owner_repo, reference), str::to_owned);
                Ok(Loaded { workflow, resolved_ref: resolved(reference), sha })
            }
        }
    }
}

impl Folders<'_> {
    fn unknown(&self, owner_repo: &str, reference: &str) -> LoadFailure {
        let known = match self.remotes.names().as_slice() {
            [] => "no other repository is known here".to_owned(),
            names => format!("known here: {}", names.join(", ")),
        };
        LoadFailure::NotFound {
            why: format!(
                "say where it is with --remote {owner_repo}@{reference}=DIR, or in landfall.toml under [remote] ({known}); on GitHub, a private repository also has to allow it under Settings → Actions → General → Access"
            ),
        }
    }

    fn read(&self, file: &Path, path: &str) -> Result<github::Workflow, LoadFailure> {
        let shown = file.display().to_string();
        let shown = shown.strip_prefix("./").unwrap_or(&shown);
        let not_found = |why: String| LoadFailure::NotFound { why };
        let text = text_file::read(file, WORKFLOW_BYTES_MAX);
        let text = text.map_err(|error| not_found(format!("{shown}: {error}")))?;
        let source = self.sources.add(shown, text.as_str());
        let (workflow, findings) = github::load(source, path, &text);
        match workflow {
            Some(workflow) if findings.is_empty() => Ok(workflow),
            _ => Err(LoadFailure::Invalid { text, findings }),
        }
    }
}

fn pinned(reference: &str) -> Option<&str> {
    (reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(reference)
}

/// The full ref as the `job_workflow_ref` claim has it. From a folder it can't be told whether `v1` is a
/// branch or a tag: a name like a version is taken for a tag.
fn resolved(reference: &str) -> String {
    if reference.starts_with("refs/") || pinned(reference).is_some() {
        return reference.to_owned();
    }
    let version = reference.strip_prefix('v').unwrap_or(reference);
    let is_version =
        version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_version { format!("refs/tags/{reference}") } else { format!("refs/heads/{reference}") }
}

/// A commit for a ref of a repository that is a mere folder here: always the same one.
fn stand_in(owner_repo: &str, reference: &str) -> String {
    sha256_hex(format!("{owner_repo}@{reference}").as_bytes()).chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_resolved_as_the_claim_has_them() {
        let cases = [
            ("main", "refs/heads/main"),
            ("v1", "refs/tags/v1"),
            ("1.2.3", "refs/tags/1.2.3"),
            ("vnext", "refs/heads/vnext"),
            ("refs/tags/x", "refs/tags/x"),
            ("0123456789012345678901234567890123456789", "0123456789012345678901234567890123456789"),
        ];
        for (reference, wanted) in cases {
            assert_eq!(resolved(reference), wanted, "{reference}");
        }
    }

    #[test]
    fn the_entry_for_a_ref_wins_over_the_one_for_any() {
        let remotes = Remotes::new([("a/b".to_owned(), "any".into()), ("a/b@v2".to_owned(), "two".into())]);
        assert_eq!(remotes.dir("a/b", "v2"), Some(Path::new("two")));
        assert_eq!(remotes.dir("a/b", "main"), Some(Path::new("any")));
        assert_eq!(remotes.dir("a/c", "main"), None);
    }
}
