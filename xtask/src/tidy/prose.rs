//! Rules about every text: paths of one machine, and dependencies without a reason.

use super::{ARCHITECTURE, Message, SourceFile};

/// Beginnings of paths that mean something on one machine only. In two parts, so that this file may
/// hold them.
const MACHINE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
/// Paths that begin so and mean something everywhere: GitHub's runners, and a home that tests make up.
const EVERYWHERE: &[&str] = &[concat!("/ho", "me/runner"), concat!("/ho", "me/x"), concat!("/ho", "me/USER")];

/// Paths that exist on the machine of whoever wrote them.
pub fn machine_paths(file: &SourceFile) -> Vec<Message> {
    let mut messages = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for start in MACHINE {
            let known = |at: usize| {
                EVERYWHERE.iter().any(|path| line.get(at..).is_some_and(|rest| rest.starts_with(path)))
            };
            // `$HOME/work/x` and `https://example.com/home/x` are no paths from the top.
            let from_top = |at: usize| {
                let before = line.get(..at).and_then(|text| text.chars().next_back());
                before.is_none_or(|letter| !letter.is_alphanumeric() && !"-_.}/*".contains(letter))
            };
            if line.match_indices(start).any(|(at, _)| from_top(at) && !known(at)) {
                let text = format!(
                    "a path under `{start}` exists on one machine; use a relative path or a temporary folder"
                );
                messages.push(Message::new(&file.path, index + 1, text));
            }
        }
    }
    messages
}

/// Dependencies of the workspace that no crate uses.
pub fn unused<'a>(manifest: &str, crates: impl Iterator<Item = &'a str> + Clone) -> Vec<Message> {
    let used = |name: &str| {
        let starts =
            |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
        crates.clone().any(|text| text.lines().any(starts))
    };
    dependencies(manifest)
        .filter(|(_, name, _)| !used(name))
        .map(|(line, name, _)| {
            let text =
                format!("no crate uses `{name}`; take it out, and put it back with the code that needs it");
            Message::new("Cargo.toml", line, text)
        })
        .collect()
}

/// Line, name and value of each entry of `[workspace.dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let lines =
        manifest.lines().enumerate().skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let own = lines.take_while(|(_, line)| !line.starts_with('['));
    own.filter_map(|(index, line)| line.split_once(" = ").map(|(name, value)| (index + 1, name, value)))
}

/// Dependencies of the workspace that nobody has given a reason for.
pub fn reasons(manifest: &str, architecture: Option<&str>) -> Vec<Message> {
    let Some(architecture) = architecture else {
        let text = "there is no such file; it says what is where, and why each dependency is there";
        return vec![Message::new(ARCHITECTURE, 1, text)];
    };
    let mut messages = Vec::new();
    for (line, name, value) in dependencies(manifest) {
        if !value.contains("path = ") && !mentions(architecture, name) {
            let text = format!(
                "`{name}` has no reason in {ARCHITECTURE}: what does the whole of it do for the person at the terminal? Write it there, or do without"
            );
            messages.push(Message::new("Cargo.toml", line, text));
        }
    }
    messages
}

/// Whether a text has a name as a word of its own: `http` is not mentioned by `https`.
fn mentions(text: &str, name: &str) -> bool {
    let part = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    text.match_indices(name).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
