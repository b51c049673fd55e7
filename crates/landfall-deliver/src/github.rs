//! GitHub's runner protocol: the files behind `GITHUB_ENV` and `GITHUB_OUTPUT`, and workflow commands.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use landfall_types::Secret;

use crate::environment::Environment;

/// The word that ends a multi-line value. Unpredictable, so that no value can end itself early and
/// smuggle in further variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delimiter(String);

impl Delimiter {
    /// A delimiter from 128 random bits, in the form that GitHub's own toolkit uses.
    pub fn from_random(bits: u128) -> Self {
        Self(format!("ghadelimiter_{bits:032x}"))
    }
}

/// `NAME=value` pairs for one of the runner's files, as text to append.
///
/// # Errors
/// When a value holds the delimiter or a name isn't one line without `=`: neither happens by accident.
pub fn entries(pairs: &[(&str, &str)], delimiter: &Delimiter) -> Result<String, String> {
    let mut text = String::new();
    for (name, value) in pairs {
        if name.is_empty() || name.contains(['\n', '\r', '=']) || name.contains("<<") {
            return Err(format!("`{}` can't be the name of a variable", name.escape_debug()));
        }
        if value.contains(&delimiter.0) {
            return Err(format!("the value of `{name}` holds the delimiter of the runner's file"));
        }
        // Writing to a String doesn't fail.
        let _ = write!(text, "{name}<<{delimiter}\n{value}\n{delimiter}\n", delimiter = delimiter.0);
    }
    Ok(text)
}

/// Appends pairs to one of the runner's files. A disk that gets full on the way leaves the file as it was: half a
/// value would spoil the rest of the job, and may be a secret.
///
/// # Errors
/// When the file can't be written, or [`entries`] refuses.
pub fn append(file: &Path, pairs: &[(&str, &str)], delimiter: &Delimiter) -> io::Result<Appended> {
    let text =
        entries(pairs, delimiter).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
    let before = match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => Before::Length(metadata.len()),
        Ok(_) => Before::Stream,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Before::Nothing,
        Err(error) => return Err(error),
    };
    let appended = Appended { file: file.to_owned(), before };
    let written = OpenOptions::new().append(true).create(true).open(file);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(appended),
        Err(error) => {
            appended.take_back();
            Err(error)
        }
    }
}

/// What was appended to one of the runner's files, for as long as it may have to be taken back.
#[derive(Debug)]
pub struct Appended {
    file: PathBuf,
    before: Before,
}

#[derive(Debug)]
enum Before {
    Nothing,
    Length(u64),
    /// A terminal, a pipe: what went there is gone.
    Stream,
}

impl Appended {
    /// Makes the file what it was before.
    pub fn take_back(self) {
        // Whoever does this has failed already, and says that.
        let _ = match self.before {
            Before::Nothing => std::fs::remove_file(&self.file),
            Before::Length(length) => {
                OpenOptions::new().write(true).open(&self.file).and_then(|file| file.set_len(length))
            }
            Before::Stream => Ok(()),
        };
    }
}

/// The workflow command that hides a value in the job's log. The runner masks every line of it, and
/// refuses an empty one: nothing comes for that.
pub fn mask(value: &Secret<String>) -> Option<String> {
    let value = value.expose();
    (!value.is_empty()).then(|| format!("::add-mask::{}", escape_data(value)))
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The file that carries variables to the job's later steps.
pub fn environment_file(environment: &Environment) -> Option<PathBuf> {
    environment.path("GITHUB_ENV")
}

/// The file that carries this step's outputs.
pub fn output_file(environment: &Environment) -> Option<PathBuf> {
    environment.path("GITHUB_OUTPUT")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn values_are_written_as_heredocs() {
        let delimiter = Delimiter::from_random(0xab);
        let text = entries(&[("A", "1"), ("B", "two\nlines=x")], &delimiter).unwrap();
        assert_eq!(
            text,
            "A<<ghadelimiter_000000000000000000000000000000ab\n1\nghadelimiter_000000000000000000000000000000ab\n\
             B<<ghadelimiter_000000000000000000000000000000ab\ntwo\nlines=x\nghadelimiter_000000000000000000000000000000ab\n"
        );
    }

    #[test]
    fn what_was_appended_can_be_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        std::fs::write(&old, "A=1\n").unwrap();
        for file in [&new, &old] {
            let appended = append(file, &[("B", "2")], &Delimiter::from_random(1)).unwrap();
            assert!(std::fs::read_to_string(file).unwrap().contains("B<<"));
            appended.take_back();
        }
        assert!(!new.exists());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "A=1\n");
        let full = append(Path::new("/dev/full"), &[("B", "2")], &Delimiter::from_random(1));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn nothing_can_smuggle_a_second_variable_in() {
        let delimiter = Delimiter::from_random(1);
        let hostile = format!("x\n{}\nNODE_OPTIONS=--require=/tmp/x", delimiter.0);
        for (name, value) in
            [("A", hostile.as_str()), ("A\nB", "x"), ("A=B", "x"), ("", "x"), ("A<<B", "x"), ("A\rB", "x")]
        {
            assert!(entries(&[(name, value)], &delimiter).is_err(), "{name:?}");
        }
    }

    #[test]
    fn appending_keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "OLD=1\n").unwrap();
        append(&file, &[("A", "1")], &Delimiter::from_random(2)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("OLD=1\nA<<ghadelimiter_"), "{text}");
    }

    #[test]
    fn masks_escape_what_would_end_the_command() {
        assert_eq!(mask(&Secret::new("a%b\nc\r".to_owned())).as_deref(), Some("::add-mask::a%25b%0Ac%0D"));
        assert_eq!(mask(&Secret::new(String::new())), None);
    }
}
