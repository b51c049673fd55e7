//! What a job says to GitHub's runner, as files that begin with a line `>>> KIND`: `env`, `output` and `path` are the
//! files that a step writes, `log` is what it prints, `action` is an `action.yml`, `hash` and `upload` are patterns of
//! files, `fits` is a filter's pattern and a name.

use landfall_check::github::commands::{Command, CommandReader};
use landfall_check::github::glob::Glob;
use landfall_check::github::masks::Masks;
use landfall_check::github::{self, files};
use landfall_check::render;
use landfall_rehearse::{hash_files, script};
use landfall_types::SourceMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    for (kind, text) in super::files(super::text(bytes), "log") {
        match kind {
            "env" => {
                if let Ok(variables) = files::environment(text) {
                    // A variable is one that an output may be as well.
                    assert_eq!(files::assignments(text).map(|all| all.len()), Ok(variables.len()));
                }
            }
            "output" => drop(files::assignments(text)),
            "path" => drop(files::paths(text)),
            "action" => action(text),
            "hash" => drop(hash_files::hash_files(workspace(), &[text.to_owned()])),
            "upload" => drop(hash_files::matching(workspace(), text)),
            "fits" => {
                let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
                let _ = Glob::parse(pattern).fits(name);
            }
            "shell" => {
                let (shell, script) = text.split_once('\n').unwrap_or((text, ""));
                let _ = script::shell(Some(shell), script, "/usr/bin:/bin");
            }
            _ => log(text),
        }
    }
}

/// Lines are read, and no mask that was asked for is seen afterwards.
fn log(text: &str) {
    let (mut reader, mut masks, mut secrets) = (CommandReader::default(), Masks::new(), Vec::new());
    for line in text.lines() {
        if let Some(Command::AddMask(secret)) = reader.line(line) {
            masks.add(&secret);
            secrets.push(secret);
        }
    }
    let masked = masks.mask(text);
    for secret in secrets.iter().filter(|secret| !secret.trim().is_empty() && !secret.contains('*')) {
        // With the spaces around it: without them it is another text.
        assert!(!masked.contains(secret), "{secret:?} is seen in {masked:?}");
    }
}

fn action(text: &str) {
    let sources = SourceMap::new();
    let source = sources.add("action.yml", text);
    let (action, findings) = github::load_action(source, text);
    assert!(action.is_some() || !findings.is_empty());
    for finding in &findings {
        let _ = render::terminal(finding, &sources, render::Style::Plain, 100);
        let _ = render::json(finding, &sources);
    }
}

/// A few files, the same for all inputs.
fn workspace() -> &'static PathBuf {
    static PLACE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PLACE.get_or_init(|| {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().to_owned();
        for name in ["Cargo.lock", "src/main.rs", "src/a b/c.rs", ".hidden/x", "docs/ü.md"] {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().unwrap_or(&path)).expect("a folder");
            std::fs::write(file, name).expect("a file");
        }
        (place, path)
    });
    path
}
