//! The grammars of the parts of a token: what an owner, a repository, a branch can be called. Each is a
//! small deterministic machine. Lengths are not bounded: a pattern that demands an owner of more than
//! 39 characters counts as one that somebody has.

use super::parts::Parts;

/// What one part of a tape may read like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// This very text.
    Text(String),
    /// Any text, also none.
    Any,
    /// Any text of printable characters but none.
    Printable,
    /// A user or organization of GitHub.
    Owner,
    /// A repository of GitHub.
    Repository,
    /// A positive number without leading zeros.
    Id,
    /// The name of a branch or tag below `refs/heads/` or `refs/tags/`.
    /// <https://git-scm.com/docs/git-check-ref-format>
    RefName,
    /// As [`Shape::RefName`], of tags.
    TagName,
    /// As [`Shape::Printable`], of environments.
    Environment,
    /// A commit: 40 lower-case hexadecimal digits.
    Commit,
    /// A file name below `.github/workflows/`.
    File,
    /// `GROUP/PROJECT`, also with subgroups.
    ProjectPath,
    /// A name of Kubernetes: lower-case letters, digits, hyphens (RFC 1123).
    DnsLabel,
    /// As [`Shape::DnsLabel`] with dots: names of service accounts.
    DnsName,
    /// A session's name.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
    SessionName,
    /// Parts of a customised subject.
    Parts(Parts),
}

impl Shape {
    /// The state after one more character; none when it can't stand there.
    pub(crate) fn step(&self, state: u32, character: char) -> Option<u32> {
        let alnum = character.is_ascii_alphanumeric();
        match self {
            Self::Text(text) => (text.chars().nth(state as usize) == Some(character)).then_some(state + 1),
            Self::Any => Some(0),
            Self::Printable | Self::Environment => (!character.is_control()).then_some(1),
            Self::Owner => (alnum || (state == 1 && matches!(character, '-' | '_'))).then_some(1),
            Self::Repository => match (state, character) {
                (0, '.') => Some(1),
                (1, '.') => Some(2),
                (_, '-' | '_' | '.') => Some(3),
                _ => alnum.then_some(3),
            },
            Self::Id => matches!((state, character), (0, '1'..='9') | (1, '0'..='9')).then_some(1),
            Self::RefName | Self::TagName => ref_name(state, character),
            Self::Commit => {
                (state < COMMIT_CHARS && matches!(character, '0'..='9' | 'a'..='f')).then_some(state + 1)
            }
            Self::File => (alnum || matches!(character, '-' | '_' | '.')).then_some(1),
            Self::ProjectPath => match (state, character) {
                (1 | 3, '/') => Some(2),
                (0 | 1, '-' | '_' | '.') => Some(1),
                (2 | 3, '-' | '_' | '.') => Some(3),
                (0 | 1, _) => alnum.then_some(1),
                _ => alnum.then_some(3),
            },
            Self::DnsLabel => dns(state, character, false),
            Self::DnsName => dns(state, character, true),
            Self::SessionName => {
                let fits = alnum || matches!(character, '_' | '+' | '=' | ',' | '.' | '@' | '-');
                (fits && state < SESSION_NAME_CHARS_MAX).then_some(state + 1)
            }
            Self::Parts(parts) => parts.step(state, character),
        }
    }

    /// Whether the part may end in this state.
    pub(crate) fn may_end(&self, state: u32) -> bool {
        match self {
            Self::Text(text) => text.chars().nth(state as usize).is_none(),
            Self::Any => true,
            Self::Printable
            | Self::Environment
            | Self::Owner
            | Self::Id
            | Self::File
            | Self::RefName
            | Self::TagName
            | Self::DnsLabel
            | Self::DnsName => state == 1,
            // `.` and `..` are directories.
            Self::Repository | Self::ProjectPath => state == 3,
            Self::Commit => state == COMMIT_CHARS,
            Self::SessionName => state >= SESSION_NAME_CHARS_MIN,
            Self::Parts(parts) => parts.may_end(state),
        }
    }

    /// Whether a whole text is of this shape.
    pub(crate) fn admits(&self, text: &str) -> bool {
        let mut state = 0;
        for character in text.chars() {
            match self.step(state, character) {
                Some(next) => state = next,
                None => return false,
            }
        }
        self.may_end(state)
    }

    /// Texts that a reader takes for the real thing, most plain first; the first serves where nobody asks.
    pub(crate) fn plausible(&self) -> &[&'static str] {
        match self {
            Self::Text(_) | Self::Parts(_) => &[],
            Self::Any | Self::Printable => &["any", "any-value"],
            Self::Environment => &["production", "any-environment"],
            Self::Owner => &["any-owner", "someone-else"],
            Self::Repository => &["any-repo", "some-app"],
            Self::Id => &["123456789", "987654321"],
            Self::RefName => &["main", "any-branch", "feature/any"],
            Self::TagName => &["v1.0.0", "any-tag"],
            Self::Commit => &["8f2b1c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"],
            Self::File => &["deploy.yml", "any.yml"],
            Self::ProjectPath => &["any-group/any-project"],
            Self::DnsLabel => &["default", "any-namespace"],
            Self::DnsName => &["default", "any-account"],
            Self::SessionName => &["any-session"],
        }
    }

    /// What a text goes on with where it may go on.
    pub(crate) fn ending(&self) -> &'static str {
        match self {
            Self::Owner => "corp",
            Self::Repository => "app",
            Self::RefName | Self::TagName => "any",
            _ => "other",
        }
    }
}

/// Components between slashes are neither empty nor begin with a dot; two dots never follow each other.
fn ref_name(state: u32, character: char) -> Option<u32> {
    const START: u32 = 0;
    const INSIDE: u32 = 1;
    const AFTER_DOT: u32 = 2;
    match (state, character) {
        (START | AFTER_DOT, '.') | (START, '/') => None,
        (_, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\') => None,
        (_, other) if other.is_control() => None,
        (_, '.') => Some(AFTER_DOT),
        (_, '/') => Some(START),
        _ => Some(INSIDE),
    }
}

/// Begins and ends in a letter or digit.
fn dns(state: u32, character: char, dots: bool) -> Option<u32> {
    match character {
        'a'..='z' | '0'..='9' => Some(1),
        '-' if state != 0 => Some(2),
        '.' if dots && state == 1 => Some(2),
        _ => None,
    }
}

const COMMIT_CHARS: u32 = 40;
const SESSION_NAME_CHARS_MIN: u32 = 2;
const SESSION_NAME_CHARS_MAX: u32 = 64;
