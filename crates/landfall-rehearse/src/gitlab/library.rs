//! Files that are included, from folders on this machine.

use std::path::{Path, PathBuf};

use landfall_check::gitlab::{File, Library, Missing, Project};
use landfall_types::SourceMap;

use crate::library::Remotes;
use crate::text_file;

/// Largest file that is included, in bytes (GitLab's own limit is 1 MiB).
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Files of a project that are looked at.
const FILES_MAX: usize = 100_000;
/// Folders inside of each other.
const DEPTH_MAX: usize = 32;
/// Folders that belong to no project.
const NEVER: &[&str] = &[".git", "node_modules", ".terraform", ".venv"];

/// The pipeline's own project, and the ones that the user named.
#[derive(Debug)]
pub struct Folders<'a> {
    /// Texts go here, so that messages can show them.
    pub sources: &'a SourceMap,
    /// The pipeline's project.
    pub repository: &'a Path,
    /// Other projects.
    pub remotes: &'a Remotes,
}

impl Library for Folders<'_> {
    fn read(&mut self, project: &Project, path: &str) -> Result<File, Missing> {
        let dir = self.dir(project)?;
        // A path that leads out of its project is nobody's file.
        if path.split('/').any(|part| part == "..") {
            return Err(Missing::File);
        }
        let file = dir.join(path);
        let shown = file.display().to_string();
        let shown = shown.strip_prefix("./").unwrap_or(&shown).to_owned();
        if !file.is_file() {
            return Err(Missing::File);
        }
        let read = text_file::read(&file, FILE_BYTES_MAX);
        let text = read.map_err(|error| Missing::Unreadable(error.to_string()))?;
        Ok(File::parse(self.sources.add(shown, text.as_str()), &text))
    }

    fn paths(&mut self, project: &Project) -> Vec<String> {
        self.dir(project).map(|dir| paths(&dir)).unwrap_or_default()
    }
}

impl Folders<'_> {
    fn dir(&self, project: &Project) -> Result<PathBuf, Missing> {
        let Project::Other { path, reference } = project else { return Ok(self.repository.to_owned()) };
        let reference = reference.as_deref().unwrap_or("HEAD");
        self.remotes.dir(path, reference).map(Path::to_owned).ok_or_else(|| {
            Missing::Project(format!(
                "say where it is with --remote {path}@{reference}=DIR, or in landfall.toml under [remote]"
            ))
        })
    }
}

/// The files of a project, by their paths in it.
pub fn paths(dir: &Path) -> Vec<String> {
    files(dir, NEVER)
}

/// The files below a folder, by their paths in it, without those below folders of some names.
pub(super) fn files(dir: &Path, never: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(dir.join(&folder)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = folder.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_dir {
                found.push(name.display().to_string());
            } else if depth < DEPTH_MAX && !never.iter().any(|never| entry.file_name() == *never) {
                open.push((name, depth + 1));
            }
            if found.len() >= FILES_MAX {
                return found;
            }
        }
    }
    found.sort();
    found
}
