//! Dates in the format of Moment.js, whose tokens `{{date 'YYYYMMDD'}}` takes.
//! <https://momentjs.com/docs/#/displaying/format/>

use landfall_types::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Tokens, the longer ones first.
const TOKENS: &[&str] = &[
    "YYYY", "YY", "GGGG", "MMMM", "MMM", "MM", "Mo", "M", "DDDD", "DDDo", "DDD", "DD", "Do", "D", "dddd",
    "ddd", "dd", "do", "d", "HH", "H", "hh", "h", "kk", "k", "mm", "m", "ss", "s", "SSS", "SS", "S", "X",
    "x", "ZZ", "Z", "zz", "z", "A", "a", "Qo", "Q", "WW", "Wo", "W", "E",
];
/// Letters that begin tokens which are not known here: weeks of a locale, eras, whole dates of a locale.
const OTHERS: &[char] = &['w', 'g', 'G', 'e', 'N', 'y', 'L', 'l', 'Y'];
/// What Moment.js writes when no format is given.
pub const DEFAULT: &str = "YYYY-MM-DDTHH:mm:ssZ";

/// A moment in a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment<'z> {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// How far the zone is ahead of UTC, in seconds.
    pub ahead: i64,
    /// The zone's name.
    pub zone: &'z str,
}

/// A calendar's words for a moment.
struct Parts {
    year: i64,
    month: usize,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// Sunday is 0.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
}

/// Days since 1970 of a day of the civil calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let midnight = Timestamp::from_civil(year, month, day, 0, 0, 0);
    midnight.map_or(0, |midnight| midnight.seconds().div_euclid(86_400))
}

impl Moment<'_> {
    fn parts(self) -> Parts {
        let local = self.at_ms + self.ahead * 1000;
        let days = local.div_euclid(86_400_000);
        let (year, month, day, hour, minute, second) = Timestamp(local).civil();
        let index = |number: i64| usize::try_from(number).unwrap_or_default();
        Parts {
            year,
            month: index(month),
            day,
            day_of_year: days - days_since_1970(year, 1, 1) + 1,
            weekday: index((days + 4).rem_euclid(7)),
            hour,
            minute,
            second,
            ms: local.rem_euclid(1000),
        }
    }

    /// As text.
    ///
    /// # Errors
    /// A token that is not known here.
    pub fn format(self, pattern: &str) -> Result<String, String> {
        let parts = self.parts();
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            if let Some((literal, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                out.push_str(literal);
                rest = after;
            } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(**token)) {
                out.push_str(&self.token(token, &parts));
                rest = &rest[token.len()..];
            } else if OTHERS.contains(&c) {
                return Err(format!("the date format `{pattern}` has `{c}`, which is not rehearsed yet"));
            } else {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        Ok(out)
    }

    fn token(self, token: &str, parts: &Parts) -> String {
        let month = MONTHS.get(parts.month.wrapping_sub(1)).copied().unwrap_or_default();
        let day = DAYS.get(parts.weekday).copied().unwrap_or_default();
        let cut = |word: &str, length: usize| word.get(..length).unwrap_or(word).to_owned();
        let two = |number: i64| format!("{number:02}");
        let number = |number: usize| i64::try_from(number).unwrap_or_default();
        let (hour_of_12, hour_of_24) = ((parts.hour + 11) % 12 + 1, (parts.hour + 23) % 24 + 1);
        let quarter = (number(parts.month) + 2) / 3;
        match token {
            "YYYY" => format!("{:04}", parts.year),
            "YY" => two(parts.year.rem_euclid(100)),
            "GGGG" => format!("{:04}", iso_week(parts).0),
            "MMMM" => month.to_owned(),
            "MMM" => cut(month, 3),
            "MM" => two(number(parts.month)),
            "Mo" => ordinal(number(parts.month)),
            "M" => parts.month.to_string(),
            "DDDD" => format!("{:03}", parts.day_of_year),
            "DDDo" => ordinal(parts.day_of_year),
            "DDD" => parts.day_of_year.to_string(),
            "DD" => two(parts.day),
            "Do" => ordinal(parts.day),
            "D" => parts.day.to_string(),
            "dddd" => day.to_owned(),
            "ddd" => cut(day, 3),
            "dd" => cut(day, 2),
            "do" => ordinal(number(parts.weekday)),
            "d" => parts.weekday.to_string(),
            "HH" => two(parts.hour),
            "H" => parts.hour.to_string(),
            "hh" => two(hour_of_12),
            "h" => hour_of_12.to_string(),
            "kk" => two(hour_of_24),
            "k" => hour_of_24.to_string(),
            "mm" => two(parts.minute),
            "m" => parts.minute.to_string(),
            "ss" => two(parts.second),
            "s" => parts.second.to_string(),
            "SSS" => format!("{:03}", parts.ms),
            "SS" => two(parts.ms / 10),
            "S" => (parts.ms / 100).to_string(),
            "X" => self.at_ms.div_euclid(1000).to_string(),
            "x" => self.at_ms.to_string(),
            "ZZ" => self.ahead_as_text(""),
            "Z" => self.ahead_as_text(":"),
            "zz" | "z" => self.zone.to_owned(),
            "A" => if parts.hour < 12 { "AM" } else { "PM" }.to_owned(),
            "a" => if parts.hour < 12 { "am" } else { "pm" }.to_owned(),
            "Qo" => ordinal(quarter),
            "Q" => quarter.to_string(),
            "WW" => two(iso_week(parts).1),
            "Wo" => ordinal(iso_week(parts).1),
            "W" => iso_week(parts).1.to_string(),
            "E" => ((parts.weekday + 6) % 7 + 1).to_string(),
            other => other.to_owned(),
        }
    }

    fn ahead_as_text(self, between: &str) -> String {
        let minutes = self.ahead.abs() / 60;
        let sign = if self.ahead < 0 { '-' } else { '+' };
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

/// Year and week of ISO 8601: a week belongs to the year that its Thursday is in.
fn iso_week(parts: &Parts) -> (i64, i64) {
    let from_monday = i64::try_from((parts.weekday + 6) % 7).unwrap_or_default();
    let thursday = parts.day_of_year - from_monday + 3;
    let length = |year: i64| days_since_1970(year + 1, 1, 1) - days_since_1970(year, 1, 1);
    let (year, day) = match thursday {
        day if day < 1 => (parts.year - 1, day + length(parts.year - 1)),
        day if day > length(parts.year) => (parts.year + 1, day - length(parts.year)),
        day => (parts.year, day),
    };
    (year, (day - 1) / 7 + 1)
}

fn ordinal(number: i64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2020-01-10T02:30:00.123+02:00.
    const AT: Moment<'static> = Moment { at_ms: 1_578_616_200_123, ahead: 7200, zone: "EET" };

    #[test]
    fn tokens_are_those_of_moment() {
        for (pattern, wanted) in [
            ("YYYYMMDD", "20200110"),
            ("YYYYMMDD-HHmmss", "20200110-023000"),
            ("YY.M.D H:m:s", "20.1.10 2:30:0"),
            ("dddd Do MMMM, hh:mm a", "Friday 10th January, 02:30 am"),
            ("[at] X x SSS", "at 1578616200 1578616200123 123"),
            ("DDDD Q WW GGGG E Z ZZ z", "010 1 02 2020 5 +02:00 +0200 EET"),
            (DEFAULT, "2020-01-10T02:30:00+02:00"),
        ] {
            assert_eq!(AT.format(pattern).as_deref(), Ok(wanted), "{pattern}");
        }
        assert!(AT.format("ww").is_err());
    }

    #[test]
    fn the_turn_of_a_year_has_the_week_of_its_thursday() {
        for (at_ms, wanted) in [
            (1_609_459_200_000, "2021-01-01 2020-W53 001"),
            (1_704_067_199_999, "2023-12-31 2023-W52 365"),
            (1_735_603_200_000, "2024-12-31 2025-W01 366"),
            (951_782_400_000, "2000-02-29 2000-W09 060"),
            (-1, "1969-12-31 1970-W01 365"),
        ] {
            let moment = Moment { at_ms, ahead: 0, zone: "UTC" };
            assert_eq!(moment.format("YYYY-MM-DD GGGG-[W]WW DDDD").as_deref(), Ok(wanted));
        }
    }
}
