//! Pattern, text and another pattern, with newlines between: the matcher agrees with the definition of its
//! language, and so does what is proved of languages: members, inclusion, and the witness of a difference.

use landfall_policy::pattern;
use landfall_policy::set::Language;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let (wanted, found) = text.split_once('\n').unwrap_or((text, ""));
    if wanted.len() > 200 || found.len() > 200 {
        return;
    }
    assert_eq!(pattern::glob(wanted, found), by_definition(wanted, found, |left, right| left == right));
    let same = |left: char, right: char| left.eq_ignore_ascii_case(&right);
    assert_eq!(pattern::glob_ignore_case(wanted, found), by_definition(wanted, found, same));
    let arn = pattern::arn(wanted, found);
    assert_eq!(Language::arn(wanted).contains(found), arn, "as an ARN");
    assert_eq!(arn, arn_by_definition(wanted, found), "as an ARN");
    let (found, other) = found.split_once('\n').unwrap_or((found, "*a"));
    let (left, right) = (Language::glob(wanted), Language::glob(other));
    let is_in = |pattern: &str, text: &str| by_definition(pattern, text, |left, right| left == right);
    assert_eq!(left.contains(found), is_in(wanted, found));
    // Too entangled is an answer.
    let Ok(witness) = left.clone().difference(right.clone()).shortest() else { return };
    match &witness {
        Some(witness) => assert!(is_in(wanted, witness) && !is_in(other, witness), "{witness:?}"),
        None => assert!(!is_in(wanted, found) || is_in(other, found), "{found:?} is in the difference"),
    }
    assert_eq!(right.includes(&left), Ok(witness.is_none()));
}

/// Six parts, each a pattern of its own; a shorter pattern has to end in `*`, which stands for the rest.
fn arn_by_definition(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    if parts.len() < 6 && !pattern.ends_with('*') {
        return false;
    }
    let texts: Vec<&str> = text.splitn(parts.len(), ':').collect();
    let same = |left: char, right: char| left == right;
    parts.len() == texts.len() && parts.iter().zip(texts).all(|(part, text)| by_definition(part, text, same))
}

/// `*` is any text, `?` any character, everything else itself. Row by row: `matches[i]` says whether the
/// pattern so far matches the first `i` characters.
fn by_definition(pattern: &str, text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut matches = vec![false; text.len() + 1];
    matches[0] = true;
    for wanted in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            next[end] = match wanted {
                '*' => matches[end] || (end > 0 && next[end - 1]),
                '?' => end > 0 && matches[end - 1],
                _ => end > 0 && matches[end - 1] && same(wanted, text[end - 1]),
            };
        }
        matches = next;
    }
    matches[text.len()]
}
