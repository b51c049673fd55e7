//! Finds the string that was not closed: the commonest slip in HCL, and the one that a parser
//! reports farthest from its place.

/// The offset of the first quote that opens a string which its line does not close.
pub(super) fn unclosed_string(text: &str) -> Option<usize> {
    /// What the scanner is inside of: a string, from its quote on, or braces.
    enum Inside {
        String(usize),
        Braces,
    }
    let mut inside: Vec<Inside> = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at..)?.chars().next() {
        let rest = text.get(at..)?;
        let mut length = c.len_utf8();
        match inside.last() {
            Some(Inside::String(quote)) => match c {
                '\n' => return Some(*quote),
                '\\' => length += rest.chars().nth(1).filter(|c| *c != '\n').map_or(0, char::len_utf8),
                '"' => drop(inside.pop()),
                '$' | '%'
                    if rest
                        .get(1..)
                        .is_some_and(|rest| rest.starts_with([c]) && rest.get(1..2) == Some("{")) =>
                {
                    length = 3;
                }
                '$' | '%' if rest.get(1..2) == Some("{") => {
                    inside.push(Inside::Braces);
                    length = 2;
                }
                _ => {}
            },
            _ => match c {
                '"' => inside.push(Inside::String(at)),
                '{' => inside.push(Inside::Braces),
                '}' => drop(inside.pop()),
                '#' => length = rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("//") => length = rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => length = rest.find("*/").map_or(rest.len(), |end| end + 2),
                '<' if rest.starts_with("<<") => length = heredoc_length(rest),
                _ => {}
            },
        }
        at += length;
    }
    None
}

/// The length of the heredoc that a text begins with, or of `<<`.
fn heredoc_length(text: &str) -> usize {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or("");
    let word = first.trim_start_matches('<').trim_start_matches('-').trim_end();
    if word.is_empty() {
        return 2;
    }
    let mut length = first.len();
    for line in lines {
        if line.trim() == word {
            return length;
        }
        length += line.len();
    }
    text.len()
}
