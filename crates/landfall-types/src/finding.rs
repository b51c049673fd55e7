//! What is said to the person who must act: one message, the places it concerns, and what to do.

use std::borrow::Cow;

use crate::span::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Good to know; nothing is wrong.
    Note,
    /// It works, and someone should look at it.
    Warning,
    /// It does not work.
    Error,
}

/// One message with its places. Renderers make text of it; nobody else does.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable kebab-case name, such as `subject-mismatch`.
    pub rule: &'static str,
    /// One line: what is wrong.
    pub message: String,
    /// The places concerned; the first is the one to look at.
    pub labels: Vec<Label>,
    /// Facts that need no place: what was wanted, what was got.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

/// A place and what it has to do with the message.
#[derive(Clone, PartialEq, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there.
    pub text: String,
}

impl Finding {
    /// The same with other words: each text as `words` has it.
    #[must_use]
    pub fn in_words(mut self, words: impl Fn(&str) -> String) -> Self {
        let texts = self.notes.iter_mut().chain(&mut self.help);
        let texts = texts.chain(self.labels.iter_mut().map(|label| &mut label.text));
        for text in texts.chain([&mut self.message]) {
            *text = words(text);
        }
        self
    }

    /// An error without places yet.
    pub fn error(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, rule, message)
    }

    /// A warning without places yet.
    pub fn warning(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, message)
    }

    fn new(severity: Severity, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            rule,
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// A text of at most so many characters: of a longer one the start, with a mark that more was there.
pub fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => Cow::Owned(format!("{} […]", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn only_what_is_longer_is_cut_and_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüx", 3), "äöü […]");
        assert_eq!(shortened("", 0), "");
    }
}
