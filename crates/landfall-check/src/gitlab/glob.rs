//! The patterns of `rules:changes`, `rules:exists`, `include:local` and `artifacts:paths`: `*` and `?` stay inside of
//! a folder's name, `**` goes through folders, `{a,b}` offers a choice.
//!
//! GitLab matches with Ruby's `File.fnmatch`, its flags `FNM_PATHNAME`, `FNM_DOTMATCH` and `FNM_EXTGLOB`.

/// Patterns that braces may unfold to.
const ALTERNATIVES_MAX: usize = 256;
/// Longest pattern, in bytes; a longer one fits nothing.
const PATTERN_BYTES_MAX: usize = 1024;
/// Steps of one comparison; a pattern that needs more fits nothing.
const STEPS_MAX: usize = 1_000_000;

/// Whether a path, relative and without `./`, fits a pattern.
pub fn fits(pattern: &str, path: &str) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let mut alternatives = Vec::new();
    unfold(pattern.trim_start_matches("./"), &mut alternatives);
    let path: Vec<char> = path.chars().collect();
    alternatives.iter().any(|pattern| {
        let pattern: Vec<char> = pattern.chars().collect();
        let mut steps = STEPS_MAX;
        matches(&pattern, &path, &mut steps)
    })
}

/// Whether a pattern is a plain path.
pub fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', '{'])
}

/// Offers every choice of the outermost braces on its own.
fn unfold(pattern: &str, into: &mut Vec<String>) {
    if into.len() >= ALTERNATIVES_MAX {
        return;
    }
    let braces = pattern.find('{').and_then(|open| Some((open, close_of(pattern, open)?)));
    let Some((open, close)) = braces else {
        into.push(pattern.to_owned());
        return;
    };
    let (before, inside, after) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    for choice in choices(inside) {
        unfold(&format!("{before}{choice}{after}"), into);
    }
}

fn close_of(pattern: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn choices(inside: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inside[start..]);
    found
}

fn matches(pattern: &[char], path: &[char], steps: &mut usize) -> bool {
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    match pattern {
        [] => path.is_empty(),
        // `**/` is any number of whole folders.
        ['*', '*', '/', rest @ ..] => {
            matches(rest, path, steps)
                || (0..path.len())
                    .filter(|at| path[*at] == '/')
                    .any(|at| matches(rest, &path[at + 1..], steps))
        }
        ['*', '*'] => true,
        ['*', rest @ ..] => {
            let end = path.iter().position(|character| *character == '/').unwrap_or(path.len());
            (0..=end).any(|used| matches(rest, &path[used..], steps))
        }
        ['?', rest @ ..] => {
            path.first().is_some_and(|first| *first != '/') && matches(rest, &path[1..], steps)
        }
        ['[', rest @ ..] => match (set(rest), path.first()) {
            (Some((test, length)), Some(first)) => {
                *first != '/' && test(*first) && matches(&rest[length..], &path[1..], steps)
            }
            (None, Some('[')) => matches(rest, &path[1..], steps),
            _ => false,
        },
        ['\\', literal, rest @ ..] => path.first() == Some(literal) && matches(rest, &path[1..], steps),
        [literal, rest @ ..] => path.first() == Some(literal) && matches(rest, &path[1..], steps),
    }
}

/// A set behind its `[`: the test, and how many characters it has with its `]`.
fn set(rest: &[char]) -> Option<(impl Fn(char) -> bool, usize)> {
    let close = rest.iter().skip(1).position(|character| *character == ']')? + 1;
    let inside = rest.get(..close)?;
    let (negated, inside) = match inside {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(from) = inside.get(at) {
        match inside.get(at + 1..at + 3) {
            Some(['-', to]) => {
                ranges.push((*from, *to));
                at += 3;
            }
            _ => {
                ranges.push((*from, *from));
                at += 1;
            }
        }
    }
    let test =
        move |character: char| ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != negated;
    Some((test, close + 1))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_without_end_fits_nothing() {
        assert!(!fits(&"*".repeat(1_000_000), "a"));
        assert!(!fits(&"{".repeat(1_000_000), "a"));
        assert!(!fits(&"*a".repeat(500), &"a".repeat(400)));
        assert!(!fits(&"{a,b}".repeat(200), "a"));
    }

    #[test]
    fn patterns_fit_as_rubys_fnmatch_has_it() {
        for (pattern, path, wanted) in [
            ("Dockerfile", "Dockerfile", true),
            ("Dockerfile", "a/Dockerfile", false),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.md", "docs/a/README.md", true),
            ("**/*.md", "README.md", true),
            ("docs/**/*", "docs/a/b", true),
            ("docs/**/*", "docs/a", true),
            ("src/*.{rs,toml}", "src/a.rs", true),
            ("src/*.{rs,toml}", "src/a.py", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("v[0-9]", "v7", true),
            ("v[!0-9]", "v7", false),
            ("./dist/*", "dist/x", true),
            ("dist/**", "dist/a/b", true),
        ] {
            assert_eq!(fits(pattern, path), wanted, "{pattern} {path}");
        }
    }
}
