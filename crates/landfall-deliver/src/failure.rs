//! What a command ends with when it doesn't work: one sentence, its causes, and an exit code.

use std::fmt;

use crate::aws::Answer;
use crate::proxy::Proxy;

/// Why a command failed, as far as the exit code tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// The other side answered, and the answer is no: exit code 1.
    Refused,
    /// Wrong usage or unreadable input: exit code 2.
    Usage,
    /// An outside party failed (network, AWS, a registry): exit code 3.
    Outside,
}

impl FailureKind {
    /// The process's exit code, 1 to 3.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Outside => 3,
        }
    }
}

/// A command's failure, ready to be shown. Never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: FailureKind,
    /// One line: what failed.
    pub message: String,
    /// Further lines, each complete: `caused by: …`, `token: …`, `help: …`.
    pub details: Vec<String>,
}

impl Failure {
    /// A failure without details yet.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new() }
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    /// A mistake of this program, found while it was `doing` something: nobody else's failure.
    pub fn mistake(doing: &str, found: impl fmt::Display) -> Self {
        Self::new(FailureKind::Outside, format!("{doing}: landfall made a mistake: {found}"))
            .help("please report it, with the command and what stands above")
    }

    /// Where somebody outside failed: says that a proxy was in between, if one was.
    #[must_use]
    pub fn by_way_of(mut self, proxy: &Proxy) -> Self {
        if let (FailureKind::Outside, Some((url, name))) = (self.kind, proxy.shown()) {
            self.details.push(format!(
                "note: calls that leave this machine go through the proxy {url} ({name}), but to hosts in NO_PROXY"
            ));
        }
        self
    }

    /// Adds `help: …`.
    #[must_use]
    pub fn help(mut self, text: impl fmt::Display) -> Self {
        self.details.push(format!("help: {text}"));
        self
    }

    /// Adds `help: …`, where there is some.
    #[must_use]
    pub fn helped_by(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// Adds `caused by: …`.
    #[must_use]
    pub fn caused_by(mut self, text: impl fmt::Display) -> Self {
        self.details.push(format!("caused by: {text}"));
        self
    }

    /// Adds AWS's answer as `caused by: …`; its sentence is left out where the message has it already.
    #[must_use]
    pub fn answered(self, answer: &Answer) -> Self {
        if self.message.contains(&answer.message) {
            self.caused_by(answer.origin())
        } else {
            self.caused_by(answer)
        }
    }

    /// Adds a `caused by` line for every source below `error`.
    #[must_use]
    pub fn causes_of(mut self, error: &dyn std::error::Error) -> Self {
        let mut source = error.source();
        let mut said = self.message.clone();
        for _ in 0..CAUSES_MAX {
            let Some(cause) = source else { break };
            let text = cause.to_string();
            // Many libraries repeat the cause in their own text; saying it twice helps nobody.
            if !said.contains(&text) {
                said.push_str(&text);
                self = self.caused_by(&text);
            }
            source = cause.source();
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// How many causes are shown below an error.
const CAUSES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_one_two_and_three() {
        let codes =
            [FailureKind::Refused, FailureKind::Usage, FailureKind::Outside].map(FailureKind::exit_code);
        assert_eq!(codes, [1, 2, 3]);
    }

    #[test]
    fn a_sentence_of_aws_is_said_once() {
        let answer = Answer {
            code: "AccessDenied".to_owned(),
            message: "no".to_owned(),
            status: 403,
            request_id: Some("r-1".to_owned()),
            help: None,
        };
        let details = |message: &str| Failure::usage(message).answered(&answer).details;
        assert_eq!(details("asking: no"), ["caused by: AccessDenied (HTTP 403, request r-1)"]);
        assert_eq!(details("asking"), ["caused by: AccessDenied: no (HTTP 403, request r-1)"]);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_listed_once_each() {
        let error = Outer(std::io::Error::other("connection refused"));
        let failure = Failure::usage("asking for a token").causes_of(&error);
        assert_eq!(failure.details, ["caused by: connection refused"]);
        let failure = Failure::usage("asking: connection refused").causes_of(&error);
        assert!(failure.details.is_empty(), "{:?}", failure.details);
    }
}
