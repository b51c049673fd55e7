//! Functions over 70 lines. The ones that are there are written down in `xtask/ratchet.txt`, one a
//! line with their length; the list may only get shorter, and its numbers smaller.

use super::{Message, RATCHET, SourceFile};

/// Longest function, in lines from `fn` to the closing brace.
const LINES_MAX: usize = 70;

/// A function that is longer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Long {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Its length.
    pub lines: usize,
    /// Where it begins; 0 in the list.
    pub line: usize,
}

/// The long functions of a file. The code is formatted, so a function ends at the first line that is
/// a closing brace at the indentation of its `fn`.
pub fn long_functions(file: &SourceFile) -> Vec<Long> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().take(tests_begin(&file.text)).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let rest = lines.get(index..).unwrap_or_default();
        let Some(length) = rest.iter().position(|line| line.trim_end() == end) else { continue };
        if length + 1 > LINES_MAX {
            found.push(Long { file: file.path.clone(), name, lines: length + 1, line: index + 1 });
        }
    }
    found
}

/// The index of the line at which a file's own tests begin, or of its end.
pub fn tests_begin(text: &str) -> usize {
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let module = lines.peek().is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && module {
            return index;
        }
    }
    text.lines().count()
}

fn function_name(line: &str) -> Option<String> {
    let code = line.trim_start();
    let mut rest = code;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name: String = rest
        .strip_prefix("fn ")?
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    // A function that ends where it begins is not long.
    (!name.is_empty() && !code.ends_with([';', '}'])).then_some(name)
}

/// Reads the list.
pub fn read(text: &str) -> Vec<Long> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (file, name, lines) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        Some(Long { file: file.to_owned(), name: name.to_owned(), lines, line: 0 })
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

/// Writes the list.
pub fn write(list: &[Long]) -> String {
    let mut text = format!(
        "# Functions over {LINES_MAX} lines: file, name, lines. The list may only shrink:\n\
         # split one, then run `cargo xtask tidy --shrink`.\n"
    );
    for entry in list {
        text.push_str(&format!("{} {} {}\n", entry.file, entry.name, entry.lines));
    }
    text
}

/// The list without what has gone, and with what became shorter.
pub fn shrink(known: &[Long], now: &[Long]) -> Vec<Long> {
    let mut list: Vec<Long> = known
        .iter()
        .filter_map(|entry| {
            let lines = current(now, entry)?.lines.min(entry.lines);
            Some(Long { lines, ..entry.clone() })
        })
        .collect();
    list.sort();
    list
}

/// Compares the list with the code.
pub fn check(known: &[Long], now: &[Long]) -> Vec<Message> {
    let mut messages = Vec::new();
    for long in now {
        let allowed = current(known, long).map_or(LINES_MAX, |entry| entry.lines);
        if long.lines > allowed {
            let text = format!(
                "`{}` has {} lines and may have {allowed}: it no longer fits on a screen; split it",
                long.name, long.lines
            );
            messages.push(Message::new(&long.file, long.line, text));
        }
    }
    for (index, entry) in known.iter().enumerate() {
        if current(now, entry).is_none_or(|long| long.lines < entry.lines) {
            let text = format!(
                "`{}` of {} became shorter; run `cargo xtask tidy --shrink`, so that it stays so",
                entry.name, entry.file
            );
            messages.push(Message::new(RATCHET, index + 1, text));
        }
    }
    messages
}

fn current<'a>(list: &'a [Long], wanted: &Long) -> Option<&'a Long> {
    list.iter().find(|entry| entry.file == wanted.file && entry.name == wanted.name)
}
