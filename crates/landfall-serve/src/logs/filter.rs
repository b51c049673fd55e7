//! Filter patterns, as far as they are terms: words and phrases that a message has, has not, or has one of.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForLogGroups.html>

/// A pattern of terms.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Pattern {
    has_all: Vec<String>,
    has_none: Vec<String>,
    has_one: Vec<String>,
}

/// What AWS says of a pattern that it can't read.
const UNREADABLE: &str = "Invalid filter pattern";

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence: it can't be read, or it is of a kind that is not here.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(kind) = kind(text) {
            return Err(format!(
                "{UNREADABLE}: this local side does not have patterns of {kind}, only terms: ERROR, \"a phrase\", ?one ?other, -without"
            ));
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (list, after) = match rest.split_at_checked(1) {
                Some(("-", after)) => (&mut pattern.has_none, after),
                Some(("?", after)) => (&mut pattern.has_one, after),
                _ => (&mut pattern.has_all, rest),
            };
            let (term, after) = term(after)?;
            list.push(term);
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    /// Whether a message is one of those that are looked for. Terms with `?` count where there are no others.
    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        if self.has_all.is_empty() && self.has_none.is_empty() && !self.has_one.is_empty() {
            return self.has_one.iter().any(has);
        }
        self.has_all.iter().all(has) && !self.has_none.iter().any(has)
    }
}

/// What else than terms a pattern is of.
fn kind(text: &str) -> Option<&'static str> {
    match text.as_bytes().first()? {
        b'{' => Some("JSON"),
        b'[' => Some("fields"),
        b'%' => Some("regular expressions"),
        _ => None,
    }
}

/// A word, or a phrase in quotes, and what follows it. Characters other than letters, digits and `_` stand in quotes.
fn term(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut term = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let after = quoted.get(at + 1..).unwrap_or_default();
                    let is_end = after.is_empty() || after.starts_with(char::is_whitespace);
                    return if is_end { Ok((term, after)) } else { Err(UNREADABLE.to_owned()) };
                }
                '\\' => term.extend(chars.next().map(|(_, escaped)| escaped)),
                c => term.push(c),
            }
        }
        return Err(UNREADABLE.to_owned());
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end).unwrap_or((text, ""));
    if word.is_empty() || !word.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(UNREADABLE.to_owned());
    }
    Ok((word.to_owned(), after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn terms_say_which_messages_are_meant() {
        let rows = [
            ("", "anything", true),
            ("ERROR", "[ERROR 400] BAD", true),
            ("ERROR", "[error 400] bad", false),
            ("ERROR BAD", "BAD things: ERROR", true),
            ("ERROR BAD", "an ERROR", false),
            ("\"BAD REQUEST\"", "400 BAD REQUEST", true),
            ("\"BAD REQUEST\"", "BAD 400 REQUEST", false),
            ("?ERROR ?WARN", "a WARN", true),
            ("?ERROR ?WARN", "an INFO", false),
            ("ERROR -EXITING", "ERROR", true),
            ("ERROR -EXITING", "ERROR: EXITING", false),
            ("-\"GET /health\"", "GET /health 200", false),
            ("-\"GET /health\"", "GET /orders 200", true),
            (r#""say \"hello\"""#, "they say \"hello\" twice", true),
            // With others, those with `?` say nothing.
            ("ERROR ?WARN", "ERROR", true),
        ];
        for (pattern, message, expected) in rows {
            assert_eq!(Pattern::read(pattern).unwrap().matches(message), expected, "{pattern} on {message}");
        }
    }

    #[test]
    fn what_is_no_pattern_of_terms_is_refused() {
        for pattern in ["\"open", "foo:bar", "-", "?", "\"a\"b", "a -", "*"] {
            assert_eq!(Pattern::read(pattern), Err(UNREADABLE.to_owned()), "{pattern}");
        }
        for (pattern, kind) in [("{ $.a = 1 }", "JSON"), ("[ip, user]", "fields"), ("%a+%", "regular")] {
            let told = Pattern::read(pattern).unwrap_err();
            assert!(told.starts_with("Invalid filter pattern: ") && told.contains(kind), "{told}");
        }
    }
}
