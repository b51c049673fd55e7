//! `cargo xtask tidy`: what the compiler can't check. Each rule is a function from texts to
//! messages; this file reads the texts and prints the messages as `file:line: what, why, what to do`.

mod code;
mod edges;
mod length;
mod prose;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::Command;

/// Where long functions are written down.
const RATCHET: &str = "xtask/ratchet.txt";
/// Where every dependency has to have its reason.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// What happens to the list of long functions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ratchet {
    /// It is compared.
    Hold,
    /// Entries that became shorter, or are gone, are written down.
    Shrink,
}

/// Something that isn't as agreed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Message {
    file: String,
    line: usize,
    text: String,
}

impl Message {
    fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, text: text.into() }
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// A file of the repository, with its path from the top.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Test code may do what production code may not.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }
}

/// Checks everything; says what is wrong.
///
/// # Errors
/// When something is wrong, or the files can't be listed or read.
pub fn run(root: &Path, ratchet: Ratchet) -> Result<(), String> {
    let files = files(root)?;
    let mut messages = Vec::new();
    for file in &files {
        if file.path.ends_with("Cargo.toml") && file.path != "Cargo.toml" {
            messages.extend(edges::check(&file.path, &file.text));
        }
        messages.extend(prose::machine_paths(file));
        if file.is_rust() {
            messages.extend(code::check(file));
        }
    }
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let manifest = text("Cargo.toml").unwrap_or("");
    let crates =
        files.iter().filter(|file| file.path.ends_with("/Cargo.toml")).map(|file| file.text.as_str());
    let unused = prose::unused(manifest, crates);
    // What nobody uses needs no reason.
    let reasons = prose::reasons(manifest, text(ARCHITECTURE));
    messages
        .extend(reasons.into_iter().filter(|reason| unused.iter().all(|unused| unused.line != reason.line)));
    messages.extend(unused);
    let long: Vec<length::Long> = files.iter().flat_map(length::long_functions).collect();
    let known = length::read(text(RATCHET).unwrap_or(""));
    if ratchet == Ratchet::Shrink {
        let shrunk = length::shrink(&known, &long);
        std::fs::write(root.join(RATCHET), length::write(&shrunk))
            .map_err(|error| format!("cannot write {RATCHET}: {error}"))?;
        messages.extend(length::check(&shrunk, &long));
    } else {
        messages.extend(length::check(&known, &long));
    }
    messages.sort();
    for message in &messages {
        println!("{message}");
    }
    if messages.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        Ok(())
    } else {
        Err(format!("tidy: {} to mend", messages.len()))
    }
}

/// The texts of the repository: what git knows, and what it would know.
fn files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let listed = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if !listed.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut files = Vec::new();
    for path in names.split('\0').filter(|path| !path.is_empty()) {
        // What is deleted and not committed yet, and what is not text, has nothing to check.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
