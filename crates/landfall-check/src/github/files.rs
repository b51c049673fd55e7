//! The files through which a step hands values to its runner: `GITHUB_ENV`, `GITHUB_OUTPUT`,
//! `GITHUB_STATE`, `GITHUB_PATH`.
//!
//! GitHub, "Workflow commands", Environment files; error texts as in the runner (`FileCommandManager`).

use std::fmt;

/// A file that cannot be read, with the line that is wrong, from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// The runner's text.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for FileError {}

/// Reads `NAME=VALUE` lines and `NAME<<DELIMITER` … `DELIMITER` blocks, in order; later values of a name
/// count. Empty lines between them are skipped.
///
/// # Errors
/// A line that is neither, an empty name, or a block without its end.
pub fn assignments(text: &str) -> Result<Vec<(String, String)>, FileError> {
    let mut lines = text.split('\n').enumerate().map(|(at, line)| (at + 1, line)).peekable();
    let mut found = Vec::new();
    while let Some((number, raw)) = lines.next() {
        let line = raw.strip_suffix('\r').unwrap_or(raw);
        if line.is_empty() {
            continue;
        }
        let error = |message: String| FileError { line: number, message };
        let (equals, block) = (line.find('='), line.find("<<"));
        match (equals, block) {
            (Some(at), _) if block.is_none_or(|block| at < block) => {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                if name.is_empty() {
                    return Err(error(format!("Invalid format '{line}'. Name must not be empty")));
                }
                found.push((name.to_owned(), value.to_owned()));
            }
            (_, Some(_)) => {
                let (name, delimiter) = line.split_once("<<").unwrap_or((line, ""));
                if name.is_empty() || delimiter.is_empty() {
                    return Err(error(format!(
                        "Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
                    )));
                }
                let mut value: Vec<&str> = Vec::new();
                loop {
                    let Some((_, raw)) = lines.next() else {
                        return Err(error(format!(
                            "Invalid value. Matching delimiter not found '{delimiter}'"
                        )));
                    };
                    if raw.strip_suffix('\r').unwrap_or(raw) == delimiter {
                        break;
                    }
                    value.push(raw);
                }
                let value = value.join("\n");
                // The newline before the delimiter is not part of the value.
                found.push((name.to_owned(), value.strip_suffix('\r').unwrap_or(&value).to_owned()));
            }
            _ => return Err(error(format!("Invalid format '{line}'"))),
        }
    }
    Ok(found)
}

/// Reads `GITHUB_ENV`: as [`assignments`], and refuses `NODE_OPTIONS`.
///
/// # Errors
/// As [`assignments`], and the runner's text for `NODE_OPTIONS`.
pub fn environment(text: &str) -> Result<Vec<(String, String)>, FileError> {
    let pairs = assignments(text)?;
    if pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case("NODE_OPTIONS")) {
        let line = text.lines().position(|line| line.to_ascii_uppercase().starts_with("NODE_OPTIONS"));
        let message = "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.".to_owned();
        return Err(FileError { line: line.map_or(1, |at| at + 1), message });
    }
    Ok(pairs)
}

/// Reads `GITHUB_PATH`: one directory a line. The last one is looked in first.
pub fn paths(text: &str) -> Vec<String> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
