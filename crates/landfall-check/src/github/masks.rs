//! Secrets out of a step's output.
//!
//! The runner hides each secret, each of its lines, and the forms in which tools print it again: base64,
//! JSON, URI, XML, quoted (`SecretMasker` and its value encoders in the open-source runner).

use std::fmt;

use super::expr::quote;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// The values that must not be seen.
#[derive(Clone, Default)]
pub struct Masks {
    values: Vec<String>,
}

impl fmt::Debug for Masks {
    // Never the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({} values)", self.values.len())
    }
}

impl Masks {
    /// Nothing hidden yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides a value, its lines and its encodings. Blank values are not hidden.
    pub fn add(&mut self, value: &str) {
        self.add_forms(value);
        if value.contains(['\n', '\r']) {
            for line in value.split(['\n', '\r']) {
                self.add_forms(line);
            }
        }
    }

    fn add_forms(&mut self, value: &str) {
        if value.trim().is_empty() {
            return;
        }
        let mut json = String::new();
        quote(value, &mut json);
        let json = json.trim_matches('"').to_owned();
        let mut forms = vec![
            value.to_owned(),
            json,
            percent_encoded(value),
            value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"),
            value.replace('\'', "''"),
            value.replace('"', "\\\""),
        ];
        let quoted = value.trim_matches(['"', '\'']);
        // As in the runner: quotes around a very short value are part of it.
        if quoted.len() >= TRIMMED_BYTES_MIN {
            forms.push(quoted.to_owned());
        }
        for shift in 0..3 {
            forms.extend(base64_inside(value.as_bytes(), shift));
        }
        for form in forms {
            if !form.trim().is_empty() && !self.values.contains(&form) {
                self.values.push(form);
            }
        }
    }

    /// Whether a hidden value is inside: such a job output is dropped
    /// (`Skip output 'X' since it may contain secret.`).
    pub fn contains_secret(&self, text: &str) -> bool {
        self.values.iter().any(|value| text.contains(value.as_str()))
    }

    /// The text with `***` in place of every hidden value; values that touch or overlap become one.
    pub fn mask(&self, text: &str) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for value in &self.values {
            let mut at = 0;
            while let Some(offset) = text.get(at..).and_then(|rest| rest.find(value.as_str())) {
                let start = at + offset;
                ranges.push((start, start + value.len()));
                let step = text.get(start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
                at = start + step;
            }
        }
        ranges.sort_unstable();
        let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
        let mut ranges = ranges.into_iter().peekable();
        while let Some((start, mut end)) = ranges.next() {
            while let Some((_, further)) = ranges.next_if(|(next, _)| *next <= end) {
                end = end.max(further);
            }
            masked.push_str(text.get(at..start).unwrap_or(""));
            masked.push_str(MASK);
            at = end;
        }
        masked.push_str(text.get(at..).unwrap_or(""));
        masked
    }
}

/// Shorter values are not hidden without their quotes.
const TRIMMED_BYTES_MIN: usize = 6;
/// Shorter pieces of base64 would hide ordinary text.
const BASE64_CHARS_MIN: usize = 8;

/// The characters of base64 text that only depend on `bytes` when `shift` other bytes stand before it in
/// its group of three: whole groups, and the padded end as it is when nothing follows.
fn base64_inside(bytes: &[u8], shift: usize) -> Vec<String> {
    let rest = bytes.get(shift..).unwrap_or(&[]);
    let whole = base64(rest);
    let sure = base64(rest.get(..rest.len() / 3 * 3).unwrap_or(&[]));
    [whole, sure].into_iter().filter(|form| form.len() >= BASE64_CHARS_MIN).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4_u32 {
            let index = (bits >> (18 - 6 * at)) & 63;
            let character = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if at as usize > group.len() { '=' } else { char::from(character) });
        }
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
