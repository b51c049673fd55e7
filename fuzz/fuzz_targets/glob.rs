//! Pattern and text, with a newline between: the matcher agrees with the definition of its language.

#![no_main]

use landfall_policy::pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (wanted, found) = text.split_once('\n').unwrap_or((text, ""));
    if wanted.len() > 200 || found.len() > 200 {
        return;
    }
    assert_eq!(pattern::glob(wanted, found), by_definition(wanted, found, |left, right| left == right));
    let same = |left: char, right: char| left.eq_ignore_ascii_case(&right);
    assert_eq!(pattern::glob_ignore_case(wanted, found), by_definition(wanted, found, same));
    let _ = pattern::arn(wanted, found);
});

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
