//! What is written after the flags: `NAME=REF`, `CONTAINER:KEY=VALUE`, commands in words.
//!
//! The first `=` ends the key; everything after it is the value, to the letter.

/// A key and its value, perhaps for one container only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The container, when one is named.
    pub container: Option<String>,
    /// What stands before the first `=`, without the container.
    pub key: String,
    /// What stands after it.
    pub value: String,
}

/// Reads `[CONTAINER:]KEY=VALUE`. The container ends at the first colon before the `=`.
///
/// # Errors
/// A sentence for the user.
pub fn pair(text: &str) -> Result<Pair, String> {
    let wrong = || "it is not [CONTAINER:]KEY=VALUE".to_owned();
    let (left, value) = text.split_once('=').ok_or_else(wrong)?;
    let (container, key) = scoped(left);
    if key.is_empty() || container.as_deref() == Some("") {
        return Err(wrong());
    }
    Ok(Pair { container, key, value: value.to_owned() })
}

/// Reads `[CONTAINER:]KEY`.
pub fn scoped(text: &str) -> (Option<String>, String) {
    match text.split_once(':') {
        Some((container, key)) => (Some(container.to_owned()), key.to_owned()),
        None => (None, text.to_owned()),
    }
}

/// Reads `[CONTAINER[,CONTAINER…]=]VALUE`, where only the names in `known` are containers: a value may have
/// an `=` of its own.
pub fn assigned(text: &str, known: &[&str]) -> (Vec<String>, String) {
    if let Some((names, value)) = text.split_once('=') {
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        if names.iter().all(|name| known.contains(name)) {
            return (names.into_iter().map(str::to_owned).collect(), value.to_owned());
        }
    }
    (Vec::new(), text.to_owned())
}

/// A command: a JSON array, or words as a shell reads them (quotes and backslashes; nothing is expanded).
///
/// # Errors
/// A sentence for the user: an open quote, an array of something else.
pub fn command(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        // A command may hold a secret: messages leave it out.
        return serde_json::from_str(text)
            .map_err(|_| "it begins with `[`, and is not a JSON array of strings".to_owned());
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    loop {
        let at = text.chars().count() - characters.as_str().chars().count() + 1;
        let Some(c) = characters.next() else { break };
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut characters, '\'', at, word.get_or_insert_default())?,
            '"' => quoted(&mut characters, '"', at, word.get_or_insert_default())?,
            '\\' => match characters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("it ends with a backslash".to_owned()),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    characters: &mut std::str::Chars<'_>,
    quote: char,
    at: usize,
    word: &mut String,
) -> Result<(), String> {
    loop {
        match characters.next() {
            None => return Err(format!("a quote ({quote}) is not closed, at character {at}")),
            Some(c) if c == quote => return Ok(()),
            // Inside of double quotes a shell lets a backslash hide these only.
            Some('\\') if quote == '"' => match characters.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => word.extend(['\\', next]),
                None => return Err(format!("a quote ({quote}) is not closed, at character {at}")),
            },
            Some(c) => word.push(c),
        }
    }
}

/// A file of `KEY=VALUE` lines, as `docker run --env-file` reads it: blanks before a name don't count, `#` begins a
/// comment at the start of a line, a name holds no blanks, and values are kept to the letter, quotes included.
/// <https://github.com/docker/cli/blob/master/pkg/kvfile/kvfile.go>
///
/// # Errors
/// The line that isn't one, by its number, and why; never its value, which may be a secret.
pub fn environment_file(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut pairs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| Err((at + 1, why.to_owned()));
        match line.split_once('=') {
            None => return wrong("it is not NAME=VALUE"),
            Some(("", _)) => return wrong("there is no name before `=`"),
            Some((name, _)) if name.starts_with("export ") => {
                return wrong(
                    "`export` is a shell's word, and a name can't hold blanks: write NAME=VALUE alone",
                );
            }
            Some((name, _)) if name.trim_end() != name => {
                return wrong(
                    "a blank stands before `=`, and a name can't hold blanks (Docker refuses the line as well): write \
                     NAME=VALUE; a blank behind `=` would be a part of the value",
                );
            }
            Some((name, _)) if name.contains(char::is_whitespace) => {
                return wrong("the name holds a blank, which it can't (Docker refuses the line as well)");
            }
            Some((name, value)) => pairs.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(pairs)
}

/// A length of time such as `90s`, `30m`, `2h`, in seconds.
///
/// # Errors
/// A sentence for the user.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a length of time such as 90s, 30m or 2h");
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit)
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .ok_or_else(|| format!("`{text}` is not between 1s and {}h", SECONDS_MAX / 3600))
}

/// The longest wait, in seconds: longer than a job may run.
const SECONDS_MAX: u64 = 6 * 3600;
