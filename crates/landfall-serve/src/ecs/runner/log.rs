//! What a container has written, as the engine hands it out.

use landfall_types::Timestamp;

/// Nanoseconds of a millisecond.
const MS_NS: i64 = 1_000_000;

/// A line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When, nanoseconds since 1970: what engines tell lines apart by.
    pub at_ns: i64,
    /// What.
    pub text: String,
}

impl LogLine {
    /// When, milliseconds since 1970.
    pub fn at_ms(&self) -> i64 {
        self.at_ns.div_euclid(MS_NS)
    }
}

/// The engine's frames: a stream's number, three zeros, four bytes of length, and the text. A container with
/// a terminal has none. Whether a last line that has no end belongs to them, the caller knows: it may go on.
pub(super) fn log_lines(answer: &[u8], is_whole: bool) -> Vec<LogLine> {
    let mut text = Vec::new();
    let mut rest = answer;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let [0..=2, 0, 0, 0, a, b, c, d] = *head else { break };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((frame, after)) = body.split_at_checked(length.min(body.len())) else { break };
        text.extend_from_slice(frame);
        rest = after;
    }
    if text.is_empty() {
        text = answer.to_vec();
    }
    if !is_whole {
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        text.truncate(end);
    }
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (at, text) = line.split_once(' ')?;
            Some(LogLine { at_ns: moment_ns(at)?, text: text.trim_end_matches('\r').to_owned() })
        })
        .collect()
}

/// `2026-11-27T07:25:49.190123456Z` in nanoseconds since 1970.
fn moment_ns(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    let (date, time) = whole.split_once('T')?;
    let number = |text: Option<&str>| text?.parse::<i64>().ok();
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next())?, number(date.next())?, number(date.next())?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    let digits = rest.chars().take_while(char::is_ascii_digit);
    let nanos: String = digits.chain("000000000".chars()).take(9).collect();
    let moment = Timestamp::from_civil(year, month, day, hour, minute, second)?;
    moment.0.checked_mul(MS_NS)?.checked_add(nanos.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_moment_is_no_line() {
        for at in [
            "9223372036854775807-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-1",
            "T",
            "2026-01-01T99:0:0",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(log_lines(format!("{at} text\n").as_bytes(), true), [], "{at}");
        }
    }

    #[test]
    fn no_damage_to_a_log_ends_in_more_than_fewer_lines() {
        let mut log = vec![1, 0, 0, 0, 0, 0, 0, 42];
        log.extend_from_slice(b"2026-10-01T12:00:00.250000000Z hello world");
        assert_eq!(log_lines(&log, true).len(), 1);
        for at in 0..log.len() {
            for byte in [0, b' ', b'9', b'-', 0x80, 0xff] {
                let mut damaged = log.clone();
                damaged[at] = byte;
                assert!(log_lines(&damaged, true).len() <= 1 && log_lines(&damaged[..at], true).len() <= 1);
            }
        }
    }

    #[test]
    fn log_frames_become_lines_with_their_moments() {
        let mut answer = Vec::new();
        for (stream, text) in
            [(1_u8, "2026-10-01T12:00:00.250000000Z hello\n"), (2, "1970-01-01T00:00:01Z world\r\n")]
        {
            answer.extend_from_slice(&[stream, 0, 0, 0]);
            answer.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            answer.extend_from_slice(text.as_bytes());
        }
        let line = |at_ns, text: &str| LogLine { at_ns, text: text.to_owned() };
        let hello = line(1_790_856_000_250_000_000, "hello");
        assert_eq!(hello.at_ms(), 1_790_856_000_250);
        assert_eq!(log_lines(&answer, true), [hello, line(1_000_000_000, "world")]);
        let begun = b"1970-01-01T00:00:01.000000007Z plain\n1970-01-01T00:00:02Z begun";
        assert_eq!(log_lines(begun, false), [line(1_000_000_007, "plain")]);
        assert_eq!(log_lines(begun, true).len(), 2);
        assert_eq!(log_lines(b"1970-01-01T00:00:02Z begun", false), []);
        assert_eq!(log_lines(b"\x01\x00", true), []);
    }
}
