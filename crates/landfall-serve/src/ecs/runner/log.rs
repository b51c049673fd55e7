//! What a container has written, as the engine hands it out.

/// A line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub text: String,
}

/// The engine's frames: a stream's number, three zeros, four bytes of length, and the text. A container with
/// a terminal has none.
pub(super) fn log_lines(answer: &[u8]) -> Vec<LogLine> {
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
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (at, text) = line.split_once(' ')?;
            Some(LogLine { at_ms: moment_ms(at)?, text: text.trim_end_matches('\r').to_owned() })
        })
        .collect()
}

/// `2026-11-27T07:25:49.190123456Z` in milliseconds since 1970.
fn moment_ms(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    let (date, time) = whole.split_once('T')?;
    let number = |text: Option<&str>| text?.parse::<i64>().ok();
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next())?, number(date.next())?, number(date.next())?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    let millis: String = rest.chars().take_while(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    // Days of the civil calendar: years begin in March, so that leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day
        - 1
        - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
        let line = |at_ms, text: &str| LogLine { at_ms, text: text.to_owned() };
        assert_eq!(log_lines(&answer), [line(1_790_856_000_250, "hello"), line(1000, "world")]);
        assert_eq!(log_lines(b"1970-01-01T00:00:01Z plain\n"), [line(1000, "plain")]);
        assert_eq!(log_lines(b"\x01\x00"), []);
    }
}
