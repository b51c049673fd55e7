//! The scripts of a job as one file for the shell, as GitLab's runner puts them together, with a mark before each line:
//! so it is known which line of the configuration made a call.
//!
//! A mark goes out on the shell's first output, and the shell waits for an answer in a pipe before it goes on.

use std::path::{Path, PathBuf};

use landfall_types::{Span, Spanned};

/// What a mark begins with.
const MARK: char = '\u{1e}';
/// Longest title of a line, in characters.
const TITLE_CHARS_MAX: usize = 60;

/// A line of a script.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its first line, as it is shown.
    pub(super) title: String,
    /// Its text.
    pub(super) text: String,
    /// Where it was written.
    pub(super) span: Span,
}

impl Line {
    pub(super) fn of(line: &Spanned<String>) -> Self {
        let text = line.value.trim_end().to_owned();
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default().trim();
        let mut title: String = first.chars().take(TITLE_CHARS_MAX).collect();
        if title.len() < first.len() || lines.next().is_some() {
            title = format!("{} …", title.trim_end());
        }
        Self { title, text, span: line.span }
    }
}

/// The file that the shell runs. `mark` is a word that nobody can guess, `answers` the pipe.
pub(super) fn assemble(
    lines: &[Line],
    texts: &[String],
    mark: &str,
    answers: &Path,
    is_bash: bool,
) -> String {
    let pipe = answers.display().to_string().replace('\'', "'\\''");
    let options = if is_bash { "set -eo pipefail\nset +o noclobber" } else { "set -e" };
    let mut script = format!(
        "exec 9>&1 2>&1\n__landfall_line() {{ printf '{MARK}%s {mark}\\n' \"$1\" >&9; read -r __landfall_go <'{pipe}' || :; }}\n{options}\n"
    );
    for (number, (_, text)) in lines.iter().zip(texts).enumerate() {
        script.push_str(&format!("__landfall_line {number}\n{text}\n"));
    }
    script
}

/// The number in a mark, and what a program wrote before it without ending its line.
pub(super) fn marked<'l>(line: &'l str, mark: &str) -> Option<(&'l str, usize)> {
    let (before, rest) = line.rsplit_once(MARK)?;
    let (number, word) = rest.split_once(' ')?;
    if word == mark { Some((before, number.parse().ok()?)) } else { None }
}

/// The pipe by which the shell is told to go on.
pub(super) struct Answers {
    path: PathBuf,
    file: std::fs::File,
}

impl Answers {
    /// Makes the pipe.
    ///
    /// # Errors
    /// When the system makes none.
    pub(super) fn make(path: PathBuf) -> std::io::Result<Self> {
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status()?;
        if !made.success() {
            return Err(std::io::Error::other(format!("mkfifo {} failed", path.display())));
        }
        // Opened for both, it never waits for the shell, and the shell never waits for it.
        let file = std::fs::File::options().read(true).write(true).open(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the shell go on.
    pub(super) fn go_on(&self) {
        use std::io::Write as _;
        // A shell that is gone needs no answer.
        let _ = (&self.file).write_all(b"\n");
    }
}

/// Words that are no programs.
const SHELL_WORDS: &[&str] = &[
    "alias", "break", "case", "cd", "command", "continue", "declare", "do", "done", "echo", "elif", "else",
    "esac", "eval", "exec", "exit", "export", "false", "fi", "for", "function", "if", "let", "local",
    "printf", "pwd", "read", "readonly", "return", "set", "shift", "shopt", "source", "test", "then", "time",
    "trap", "true", "type", "ulimit", "umask", "unset", "until", "wait", "while",
];
/// Programs that get others.
const INSTALLERS: &[&str] =
    &["apt", "apt-get", "apk", "dnf", "yum", "pip", "pip3", "npm", "brew", "curl", "wget", "go"];

/// Programs that the lines begin with and that `is_there` doesn't know. Where a line may install something, nothing is
/// said.
pub(super) fn missing_programs(lines: &[Line], is_there: &dyn Fn(&str) -> bool) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let mut missing: Vec<String> = Vec::new();
    for line in lines.iter().filter(|line| !line.text.contains('\n')) {
        let mut words = line.text.split_whitespace();
        let first = words.by_ref().find(|word| !word.contains('=') && *word != "sudo").unwrap_or_default();
        let is_program = !first.is_empty() && first.chars().all(is_word) && !SHELL_WORDS.contains(&first);
        if !is_program {
            continue;
        }
        let is_function = lines.iter().any(|line| line.text.contains(&format!("{first}()")));
        if INSTALLERS.contains(&first) && is_there(first) {
            return Vec::new();
        }
        if !is_function && !is_there(first) && !missing.iter().any(|known| known == first) {
            missing.push(first.to_owned());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use landfall_types::SourceId;

    use super::*;

    fn line(text: &str) -> Line {
        Line::of(&Spanned::new(text.to_owned(), Span::new(SourceId(0), 0, 0)))
    }

    #[test]
    fn a_title_is_one_line_that_fits() {
        assert_eq!(line("aws sts get-caller-identity").title, "aws sts get-caller-identity");
        assert_eq!(line("\n  first\nsecond\n").title, "first …");
        assert!(line(&"x".repeat(100)).title.chars().count() <= TITLE_CHARS_MAX + 2);
    }

    #[test]
    fn programs_that_are_not_here_are_told() {
        let lines: Vec<Line> =
            ["export A=1", "A=1 terraform plan", "aws sts", "say() { echo; }", "say", "./x.sh", "kubectl"]
                .map(line)
                .into();
        let missing = missing_programs(&lines, &|name| name == "aws");
        assert_eq!(missing, ["terraform", "kubectl"]);
    }

    #[test]
    fn only_ones_own_marks_count() {
        assert_eq!(marked("\u{1e}3 word", "word"), Some(("", 3)));
        assert_eq!(marked("no newline\u{1e}3 word", "word"), Some(("no newline", 3)));
        assert_eq!(marked("\u{1e}3 other", "word"), None);
        assert_eq!(marked("3 word", "word"), None);
    }
}
