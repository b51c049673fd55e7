//! Dates of conditions, as IAM reads them when a policy is written: more loosely than ISO 8601 has them. What is
//! accepted and refused here was observed.

use crate::condition;

/// Most seconds since 1970, and most digits of a part of a second.
const SECONDS_MAX: u64 = i64::MAX as u64;
const FRACTION_MAX: u64 = 999_999_999;
/// The years that Java's calendar has.
const YEARS: std::ops::RangeInclusive<i64> = -292_275_054..=292_278_993;

/// Whether a value is a date: `2026-01-31T00:00:00Z` and shorter, or seconds since 1970.
pub(super) fn is_readable(value: &str) -> bool {
    // What the comparison reads is read here, too.
    if condition::date(value).is_some() {
        return true;
    }
    let value = value.to_ascii_lowercase();
    if !value.contains(['t', '-']) {
        return number(&value).is_some_and(|seconds| seconds <= SECONDS_MAX);
    }
    let (date, time) = value.split_once('t').unwrap_or((&value, ""));
    is_date(date) && is_time(time)
}

fn is_date(date: &str) -> bool {
    let (sign, rest) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date),
    };
    let mut parts = rest.split('-');
    let year = parts.next().and_then(number).and_then(|year| i64::try_from(year).ok());
    let is_within = |part: Option<&str>, last| part.is_none_or(|part| is_in(part, 1, last));
    year.is_some_and(|year| YEARS.contains(&(sign * year)))
        && is_within(parts.next(), 12)
        && is_within(parts.next(), 31)
        && parts.next().is_none()
}

fn is_time(time: &str) -> bool {
    let mut parts = time.splitn(3, ':');
    let hours = parts.next().unwrap_or("");
    (hours.is_empty() || is_in(hours, 0, 23))
        && parts.next().is_none_or(|minutes| is_in(minutes, 0, 59))
        && parts.next().is_none_or(are_seconds)
}

/// `05`, `05.25`, `05z`, `05+09` or `05+09:00`.
fn are_seconds(text: &str) -> bool {
    let (seconds, has_zone) = match (text.split_once('z'), text.split_once(['+', '-'])) {
        (Some((seconds, rest)), _) => (seconds, rest.is_empty()),
        (None, Some((seconds, zone))) => (seconds, is_zone(zone)),
        (None, None) => (text, true),
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    has_zone && is_in(whole, 0, 59) && is_in(fraction, 0, FRACTION_MAX)
}

fn is_zone(zone: &str) -> bool {
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "00"));
    hours.len() == 2 && is_in(hours, 0, 23) && minutes.len() == 2 && is_in(minutes, 0, 59)
}

fn is_in(text: &str, first: u64, last: u64) -> bool {
    number(text).is_some_and(|number| (first..=last).contains(&number))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
