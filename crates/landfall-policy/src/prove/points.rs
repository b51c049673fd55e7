//! Numbers, dates and addresses: finitely many points, one at least in every part into which the
//! constants of a policy cut their order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use landfall_types::Timestamp;

use super::gather::Asked;
use crate::ast::ComparisonKind;
use crate::condition;
use crate::set::{Budget, TooLarge};

/// Values such that every joint outcome of these conditions comes up at one of them.
///
/// # Errors
/// When so many long numbers are more than the budget has left.
pub(super) fn points(asked: &[Asked<'_>], budget: &Budget) -> Result<Vec<String>, TooLarge> {
    let values = |wanted: fn(ComparisonKind) -> bool| {
        let of_kind = asked.iter().filter(move |one| wanted(one.condition.operator.comparison.kind));
        of_kind.flat_map(|one| one.condition.values.iter().map(|value| value.value.trim()))
    };
    let mut points = Vec::new();
    let numbers: Vec<&str> = values(|kind| matches!(kind, ComparisonKind::Numeric(_))).collect();
    let dates: Vec<&str> = values(|kind| matches!(kind, ComparisonKind::Date(_))).collect();
    let ranges: Vec<&str> = values(|kind| kind == ComparisonKind::IpAddress).collect();
    if !numbers.is_empty() {
        let mut constants = Vec::with_capacity(numbers.len());
        for number in numbers.iter().filter_map(|text| condition::written_out(text)) {
            // An exponent makes a long number of a short text.
            budget.spend(number.len())?;
            constants.push(number);
        }
        let longest = constants.iter().map(String::len).max().unwrap_or(0);
        budget.spend(constants.len().saturating_mul(longest))?;
        points.extend(number_points(&constants));
    }
    if !dates.is_empty() {
        points.extend(date_points(&dates));
    }
    if !ranges.is_empty() {
        points.extend(address_points(&ranges));
    }
    points.push("none-of-these".to_owned());
    Ok(points)
}

/// Each constant, a hair beyond it, nought, and below all of them. A hair is a digit further down than
/// any constant reaches, so nothing lies between.
fn number_points(constants: &[String]) -> Vec<String> {
    let fraction = |text: &str| text.split_once('.').map_or("", |(_, fraction)| fraction).to_owned();
    let digits = constants.iter().map(|text| fraction(text).len()).max().unwrap_or(0);
    let longest = constants.iter().map(|text| text.len()).max().unwrap_or(0);
    let mut points = vec!["0".to_owned()];
    for text in constants {
        let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        let hair = format!("{whole}.{:0<digits$}1", fraction(text));
        points.push(text.clone());
        let unsigned = hair.trim_start_matches(['-', '+']);
        points.push(format!("-{unsigned}"));
        points.push(unsigned.to_owned());
        points.push(hair);
    }
    points.push(format!("-{}", "9".repeat(longest + 1)));
    points
}

/// Each constant and the milliseconds beside it.
fn date_points(constants: &[&str]) -> Vec<String> {
    let mut points = Vec::new();
    for text in constants {
        let Some(moment) = condition::date(text) else { continue };
        let beside = [moment.saturating_sub(1), moment, moment.saturating_add(1)];
        points.push((*text).to_owned());
        points.extend(beside.into_iter().map(written_date));
    }
    points.push("2026-01-01T00:00:00Z".to_owned());
    points
}

fn written_date(milliseconds: i64) -> String {
    let (year, month, day, hour, minute, second) = Timestamp(milliseconds).civil();
    let fraction = milliseconds.rem_euclid(1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

/// The ends of each range and the addresses just outside.
fn address_points(ranges: &[&str]) -> Vec<String> {
    let mut points = vec!["203.0.113.7".to_owned(), "2001:db8::7".to_owned()];
    for range in ranges {
        match condition::cidr(range) {
            Some((IpAddr::V4(network), length)) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                let (first, last) = (network.to_bits() & mask, network.to_bits() | !mask);
                let ends = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                points.extend(ends.map(|bits| Ipv4Addr::from_bits(bits).to_string()));
            }
            Some((IpAddr::V6(network), length)) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                let (first, last) = (network.to_bits() & mask, network.to_bits() | !mask);
                let ends = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                points.extend(ends.map(|bits| Ipv6Addr::from_bits(bits).to_string()));
            }
            None => {}
        }
    }
    points
}
