//! What a person sees. Colours are written always and taken out where the output is not a terminal; nothing else that
//! a terminal would obey gets there.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use landfall_check::render;
use landfall_deliver::Failure;
use landfall_serve::log::{Record, Verdict};
use landfall_types::{Finding, SourceMap, shortened};

use crate::edge;

/// Widest line of a finding where the terminal doesn't tell its width.
const WIDTH_DEFAULT: usize = 120;

/// Longest line of a failure, in characters: what was found may be a line of a megabyte.
const LINE_CHARS_MAX: usize = 2_000;

/// Good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Bad.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// Names.
pub const BOLD: Style = Style::new().bold();

/// Dresses a text.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Whether standard output is a terminal that a line can be rewritten on.
pub fn is_live() -> bool {
    std::io::stdout().is_terminal() && !edge::is_ci()
}

/// Why standard output took no more, the first time.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line on standard output. Where that takes no more, the command goes on to its end without, and
/// [`lost`] tells it then: what it has begun is finished, and what it has made is cleared away.
pub fn line(text: impl std::fmt::Display) {
    print(&format!("{text}\n"));
}

/// Prints lines that end with newlines on standard output, as [`line`] prints one.
pub fn print(text: &str) {
    if let Err(error) = lines(text) {
        let _ = LOST.set(error);
    }
}

/// Why not all could be printed on standard output; a reader that went away (`| head`) is no reason.
pub fn lost() -> Option<String> {
    let error = LOST.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)?;
    Some(format!("cannot write to standard output: {error}"))
}

/// Prints a line on standard error. There is nowhere to tell that it can't be written.
fn line_on_stderr(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{}", tame(&text.to_string()));
}

/// Prints lines that end with newlines on standard output, all at once.
///
/// # Errors
/// When nobody reads it any more, or there is no room for it.
pub fn lines(text: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(tame(text).as_bytes())?;
    out.flush()
}

/// Prints a JSON document with a newline on standard output, as [`line`] prints a line.
pub fn json(document: impl std::fmt::Display) {
    if let Err(error) = json_lines(format!("{document}\n").as_bytes()) {
        let _ = LOST.set(error);
    }
}

/// Prints JSON documents, each with its newline, on standard output: what they say is not changed.
///
/// # Errors
/// As [`lines`].
pub fn json_lines(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match std::str::from_utf8(bytes) {
        Ok(text) => out.write_all(tame_json(text).as_bytes())?,
        Err(_) => out.write_all(bytes)?,
    }
    out.flush()
}

/// JSON in which nothing is left that a terminal would obey: JSON has no control characters below U+0020, and
/// whatever else there is of them stands in a string, where an escape says the same (RFC 8259, 7).
fn tame_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut tame = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => tame.push(c),
            c if is_unseen(c) => tame.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => tame.push(c),
        }
    }
    Cow::Owned(tame)
}

/// Whether a character does something instead of being seen: control characters but for the newline and the tab,
/// and what turns the order of letters around.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Lines in which a terminal finds nothing to obey but colours (ECMA-48, 8.3.117): whatever of them came from
/// somewhere else, no cursor moves, nothing is cleared, no title is set. Their order is for those who write them,
/// with [`plain_text`] for what has to stay in its line.
fn tame(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut tame = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_unseen) {
        let (before, found) = rest.split_at(at);
        tame.push_str(before);
        let (sequence, after) = match control_sequence(found) {
            Some(length) => found.split_at(length),
            None => {
                tame.push(char::REPLACEMENT_CHARACTER);
                ("", found.get(found.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default())
            }
        };
        let is_colour = sequence.strip_suffix('m').and_then(|rest| rest.strip_prefix("\u{1b}["));
        if is_colour
            .is_some_and(|of| of.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')))
        {
            tame.push_str(sequence);
        }
        rest = after;
    }
    tame.push_str(rest);
    Cow::Owned(tame)
}

/// How long the control sequence is that a text begins with: `ESC [`, parameters and intermediates, and one final
/// character (ECMA-48, 5.4).
fn control_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let last = parameters.trim_start_matches(|c| matches!(c, ' '..='?'));
    let end = text.len() - last.len();
    Some(end + usize::from(last.starts_with(|c| matches!(c, '@'..='~'))))
}

/// Prints a failure on standard error.
pub fn failure(failure: &Failure) {
    let message = shortened(&failure.message, LINE_CHARS_MAX);
    // Others' sentences may have lines: none of them is to pass for one of ours.
    let message = message.replace('\n', "\n  ");
    line_on_stderr(format_args!("{}: {message}", styled(BAD.bold(), "error")));
    for line in failure.details.iter().flat_map(|detail| detail.lines()) {
        line_on_stderr(format_args!("  {}", shortened(line, LINE_CHARS_MAX)));
    }
}

/// Prints a line for a person on standard error, where standard output belongs to a program.
pub fn note(text: &str) {
    line_on_stderr(text);
}

/// Prints a warning on standard error.
pub fn warning(text: &str) {
    line_on_stderr(format_args!("{}: {text}", styled(AnsiColor::Yellow.on_default().bold(), "warning")));
}

/// Prints a finding on standard output, indented by so many spaces.
pub fn finding(finding: &Finding, sources: &SourceMap, indent: usize) {
    print(&finding_lines(finding, sources, indent));
}

/// A finding's lines, indented by so many spaces, each with its newline.
pub fn finding_lines(finding: &Finding, sources: &SourceMap, indent: usize) -> String {
    let text = render::terminal(finding, sources, render::Style::Coloured, WIDTH_DEFAULT - indent);
    let space = " ".repeat(indent);
    text.lines().map(|part| format!("{}\n", format!("{space}{part}").trim_end())).collect()
}

/// Prints a finding on standard error: of input that can't be read.
pub fn finding_on_stderr(finding: &Finding, sources: &SourceMap) {
    line_on_stderr(finding_text(finding, sources));
}

/// A finding as coloured lines.
pub fn finding_text(finding: &Finding, sources: &SourceMap) -> String {
    render::terminal(finding, sources, render::Style::Coloured, WIDTH_DEFAULT)
}

/// A text of somebody else's in one line, without what a terminal would obey: colours and other sequences go, any
/// further control character and what turns the order of letters around is made visible.
pub fn plain_text(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (seen, length) = match control_sequence(rest) {
            Some(length) => (None, length),
            None if c == '\n' || is_unseen(c) => (Some(char::REPLACEMENT_CHARACTER), c.len_utf8()),
            None => (Some(c), c.len_utf8()),
        };
        plain.extend(seen);
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

/// The sign of a verdict.
pub fn sign(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allowed => styled(GOOD, "✓"),
        Verdict::Refused { .. } => styled(BAD, "✗"),
    }
}

/// What a decision was about, in one line: the action, and the end of the resource's name.
pub fn decided(record: &Record) -> String {
    let action = record.action.clone().unwrap_or_else(|| format!("{}:{}", record.service, record.operation));
    let action = plain_text(&action);
    match record.resource.as_deref() {
        Some("*") | None => action,
        Some(resource) => format!("{action}  {}", styled(DIM, plain_text(short(resource)))),
    }
}

/// Why it was decided so: the statement that allowed it, or the code of the refusal.
pub fn because(record: &Record, sources: &SourceMap) -> String {
    plain_text(&reason(record, sources))
}

fn reason(record: &Record, sources: &SourceMap) -> String {
    match (&record.verdict, &record.decision) {
        (Verdict::Refused { code, .. }, _) => code.clone(),
        (Verdict::Allowed, Some(decision)) => {
            decision.allowed_by.first().map_or_else(String::new, |by| {
                let name = sources.name(by.span.source);
                // A policy that came with AWS or over the API is known by its name, one in a file by its line.
                if by.policy == *name || !name.contains('.') {
                    short(&by.policy).to_owned()
                } else {
                    sources.place(by.span).to_string()
                }
            })
        }
        (Verdict::Allowed, None) => String::new(),
    }
}

/// The part of an ARN that people read.
pub fn short(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    if arn.contains(":aws:policy/") { resource.rsplit('/').next().unwrap_or(resource) } else { resource }
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{}.{} kB", bytes / 1024, bytes % 1024 * 10 / 1024),
        _ => format!("{}.{} MB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_shortened_to_what_people_read() {
        assert_eq!(short("arn:aws:iam::123456789012:role/ci/deploy"), "role/ci/deploy");
        assert_eq!(
            short("arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"),
            "AmazonEC2ContainerRegistryPowerUser"
        );
        assert_eq!(short("*"), "*");
    }

    #[test]
    fn what_others_say_moves_no_cursor() {
        for (text, plain) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "a\u{fffd}]0;title\u{fffd}b"),
            ("over\rwritten\u{9b}2J", "over\u{fffd}written\u{fffd}2J"),
            ("\u{1b}[2", ""),
            ("a\n12:00:00 ✓ b", "a\u{fffd}12:00:00 ✓ b"),
            ("\u{202e}txt", "\u{fffd}txt"),
            ("tab\tstays, é 漢", "tab\tstays, é 漢"),
        ] {
            assert_eq!(plain_text(text), plain, "{text:?}");
        }
    }

    #[test]
    fn only_colours_and_lines_reach_the_terminal() {
        for (text, tamed) in [
            ("\u{1b}[1m\u{1b}[38;5;9mred\u{1b}[0m\n", "\u{1b}[1m\u{1b}[38;5;9mred\u{1b}[0m\n"),
            ("a\u{1b}[2Jb\u{1b}[1;1Hc\u{1b}[?25md", "abcd"),
            ("a\u{1b}]0;title\u{7}b\u{1b}", "a\u{fffd}]0;title\u{fffd}b\u{fffd}"),
            ("over\rwritten\u{9b}2J\u{7f}", "over\u{fffd}written\u{fffd}2J\u{fffd}"),
            ("\u{202e}txt", "\u{fffd}txt"),
            ("tab\tand\nline, é 漢", "tab\tand\nline, é 漢"),
        ] {
            assert_eq!(tame(text), tamed, "{text:?}");
        }
    }

    #[test]
    fn json_says_what_it_said() {
        let text = "{\"a\": \"\u{9b}2J \u{202e}\u{7f} é\"}\n";
        assert_eq!(tame_json(text), "{\"a\": \"\\u009b2J \\u202e\\u007f é\"}\n");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        assert_eq!(read(&tame_json(text)), read(text));
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(
            (size(12), size(1536), size(3_145_728)),
            ("12 B".into(), "1.5 kB".into(), "3.0 MB".into())
        );
    }
}
