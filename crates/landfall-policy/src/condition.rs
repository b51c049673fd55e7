//! Condition operators.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
//!
//! A key that is present without values counts as absent. `ForAnyValue` wants a value that fits: it fails
//! where there is none, and `IfExists` behind it changes nothing (observed: a call without the key is
//! refused, <https://repost.aws/questions/QU9HFmDzP0QGuU-fd7rS6B7w/foranyvalue-stringequalsifexists-behaving-unexpectedly>).
//! Without a qualifier nothing is compared with a list: a multivalued key that is there satisfies no operator,
//! negated or not, with `IfExists` or without, even when it has one value (observed, by calls of `iam:TagUser`).
//!
//! What a value of a request is that isn't of the operator's type was observed as well: it equals no number and no
//! date, so that `NumericNotEquals` and `DateNotEquals` hold; it is `false` if it isn't `true`; and under ARN and IP
//! operators nothing holds of it, `NotIpAddress` and `ArnNotLike` included.

use std::cmp::Ordering;
use std::net::IpAddr;

use landfall_types::Timestamp;

use crate::ast::{ComparisonKind, Condition, Qualifier, Relation};
use crate::pattern;
use crate::request::{Context, ContextKey};

/// Whether a condition holds. `variables` says whether the policy's version has them.
pub fn holds(condition: &Condition, context: &Context, variables: bool) -> bool {
    let operator = condition.operator;
    let key = context.key(&condition.key.value).filter(|key| !key.values.is_empty());
    let present = key.map(|key| key.values.as_slice());
    if operator.comparison.kind == ComparisonKind::Null {
        return condition.values.iter().any(|value| boolean(&value.value) == present.is_none());
    }
    let Some(values) = present else {
        return match operator.qualifier {
            Some(Qualifier::ForAllValues) => true,
            // With `IfExists`, too: see the head of this file.
            Some(Qualifier::ForAnyValue) => false,
            None => operator.if_exists || operator.comparison.negated,
        };
    };
    if operator.qualifier.is_none() && is_list(condition.multivalued, key) {
        return false;
    }
    let mut outcomes = values.iter().map(|value| value_holds(condition, value, context, variables));
    match operator.qualifier {
        Some(Qualifier::ForAllValues) => outcomes.all(|holds| holds),
        // Without a qualifier there is one.
        Some(Qualifier::ForAnyValue) | None => outcomes.any(|holds| holds),
    }
}

/// Whether a key of a request is a list, by what AWS documents of it. The request goes first where it says so
/// itself (IAM's simulator is told the type of each key). Several values are one whatever is said of the key, and one
/// value of a key that AWS does not document is taken for a value.
pub fn is_list(documented: Option<bool>, key: Option<&ContextKey>) -> bool {
    let declared = key.and_then(|key| key.multivalued);
    declared.or(documented) == Some(true) || key.is_some_and(|key| key.values.len() > 1)
}

/// Whether one value of the request satisfies a condition: one of the policy's values fits or, for a
/// negated operator, none does.
///
/// A policy value whose variable can't be filled in fits nothing, and makes a negated operator fail:
/// a statement does not match on the strength of a value that isn't there.
pub fn value_holds(condition: &Condition, got: &str, context: &Context, variables: bool) -> bool {
    let comparison = condition.operator.comparison;
    if !is_comparable(comparison.kind, got) {
        return false;
    }
    let mut unresolved = false;
    for wanted in &condition.values {
        match fits(comparison.kind, &wanted.value, got, context, variables) {
            Some(true) => return !comparison.negated,
            Some(false) => {}
            None => unresolved = true,
        }
    }
    comparison.negated && !unresolved
}

/// Whether an operator of this kind can hold of a request's value at all, negated or not.
pub fn is_comparable(kind: ComparisonKind, got: &str) -> bool {
    match kind {
        ComparisonKind::Arn => pattern::glob(ANY_ARN, got),
        ComparisonKind::IpAddress => address(got).is_some(),
        _ => true,
    }
}

/// What ARN operators take for an ARN.
pub const ANY_ARN: &str = "arn:*:*:*:*:*";

/// Whether a request's value stands in the relation to a policy's value, before any negation. None
/// when the policy's value holds a variable that the request can't fill.
pub fn fits(
    kind: ComparisonKind,
    wanted: &str,
    got: &str,
    context: &Context,
    variables: bool,
) -> Option<bool> {
    if variables && has_variables(kind) && pattern::has_variable(wanted) {
        return fits_expanded(kind, wanted, got, context);
    }
    Some(match kind {
        ComparisonKind::StringEquals | ComparisonKind::Binary => wanted == got,
        ComparisonKind::StringEqualsIgnoreCase => pattern::equal_but_for_case(wanted, got),
        ComparisonKind::StringLike => pattern::glob(wanted, got),
        ComparisonKind::Arn => pattern::arn(wanted, got),
        ComparisonKind::Numeric(relation) => compare(relation, Number::parse(got), Number::parse(wanted)),
        ComparisonKind::Date(relation) => compare(relation, date(got), date(wanted)),
        ComparisonKind::Bool => boolean(wanted) == boolean(got),
        ComparisonKind::IpAddress => in_range(wanted, got),
        // Decided on the key's presence alone, before there is a value to look at.
        ComparisonKind::Null => false,
    })
}

/// Variables have a meaning under String and Arn operators only.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>
fn has_variables(kind: ComparisonKind) -> bool {
    match kind {
        ComparisonKind::StringEquals
        | ComparisonKind::StringEqualsIgnoreCase
        | ComparisonKind::StringLike
        | ComparisonKind::Arn => true,
        ComparisonKind::Numeric(_)
        | ComparisonKind::Date(_)
        | ComparisonKind::Bool
        | ComparisonKind::Binary
        | ComparisonKind::IpAddress
        | ComparisonKind::Null => false,
    }
}

fn fits_expanded(kind: ComparisonKind, wanted: &str, got: &str, context: &Context) -> Option<bool> {
    let tokens = pattern::expand(wanted, context).ok()?;
    let written = || tokens.iter().map(|token| token.char());
    Some(match kind {
        ComparisonKind::StringLike => pattern::glob_tokens(&tokens, got),
        ComparisonKind::Arn => pattern::arn_tokens(&tokens, got),
        ComparisonKind::StringEqualsIgnoreCase => {
            pattern::equal_but_for_case(&written().collect::<String>(), got)
        }
        _ => written().eq(got.chars()),
    })
}

fn compare<T: PartialOrd>(relation: Relation, got: Option<T>, wanted: Option<T>) -> bool {
    let (Some(got), Some(wanted)) = (got, wanted) else { return false };
    match (relation, got.partial_cmp(&wanted)) {
        (Relation::Equals, Some(Ordering::Equal))
        | (Relation::Less | Relation::LessOrEqual, Some(Ordering::Less))
        | (Relation::Greater | Relation::GreaterOrEqual, Some(Ordering::Greater))
        | (Relation::LessOrEqual | Relation::GreaterOrEqual, Some(Ordering::Equal)) => true,
        (
            Relation::Equals
            | Relation::Less
            | Relation::LessOrEqual
            | Relation::Greater
            | Relation::GreaterOrEqual,
            _,
        ) => false,
    }
}

/// Whether a text is a decimal number, as Numeric operators read it.
pub fn is_number(text: &str) -> bool {
    Number::parse(text).is_some()
}

/// Everything but `true` is false, on both sides.
pub fn boolean(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// The largest exponent of a number, of either sign. AWS's simulator has been seen to take it; limits of AWS are not
/// known.
const EXPONENT_MAX: i64 = 9_999;

/// A decimal number, exactly: ids of GitHub and epoch times in nanoseconds don't fit a float. It is the digits of
/// `whole` and `fraction`, of which the first is not 0 and neither is the last, behind `0.`, times 10 to the power of
/// `point`.
#[derive(Debug)]
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    point: i64,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match digits.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent_of(exponent)?),
            None => (digits, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (mut whole, mut fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let mut point = i64::try_from(whole.len()).ok()?;
        if whole.is_empty() {
            let significant = fraction.trim_start_matches('0');
            point = -i64::try_from(fraction.len() - significant.len()).ok()?;
            fraction = significant;
        }
        if fraction.is_empty() {
            whole = whole.trim_end_matches('0');
        }
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { negative: false, whole, fraction, point: 0 });
        }
        Some(Self { negative, whole, fraction, point: point + exponent })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    /// As a decimal without exponent.
    fn written_out(&self) -> String {
        let digits = format!("{}{}", self.whole, self.fraction);
        let sign = if self.negative { "-" } else { "" };
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        match usize::try_from(self.point).ok().and_then(|point| digits.split_at_checked(point)) {
            Some((whole, "")) => format!("{sign}0{whole}"),
            Some((whole, fraction)) => format!("{sign}0{whole}.{fraction}"),
            None if self.point < 0 => format!("{sign}0.{}{digits}", zeros(-self.point)),
            None => format!("{sign}{digits}{}", zeros(self.point - length)),
        }
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn exponent_of(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let exponent: i64 = (!unsigned.is_empty() && are_digits(unsigned)).then(|| text.parse().ok())??;
    (-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent).then_some(exponent)
}

/// A number without exponent: `1000` of `1e3`. None for what is no number.
pub fn written_out(text: &str) -> Option<String> {
    Number::parse(text).map(|number| number.written_out())
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let magnitude = || {
            // Nought is below everything, whatever its point.
            let power = (!self.is_zero(), self.point).cmp(&(!other.is_zero(), other.point));
            power.then_with(|| self.digits().cmp(other.digits()))
        };
        Some(match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        })
    }
}

/// Milliseconds since 1970 of a W3C date (`2026`, `2026-09`, `2026-09-11`, `2026-09-11T11:48Z`,
/// `2026-09-11T11:48:27.5+02:00`; without a zone it is UTC, observed) or of epoch seconds.
pub fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    let seconds = text.strip_prefix(['-', '+']).unwrap_or(text);
    if seconds.len() != 4 && !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (day, time) = text.split_once(['T', 't']).map_or((text, None), |(day, time)| (day, Some(time)));
    let mut parts = day.split('-');
    let year = digits(parts.next()?, 4)?;
    let mut two_or_one = || parts.next().map_or(Some(1), |part| digits(part, 2));
    let (month, day) = (two_or_one()?, two_or_one()?);
    if parts.next().is_some() {
        return None;
    }
    let midnight = Timestamp::from_civil(year, month, day, 0, 0, 0)?.0;
    time.map_or(Some(midnight), |time| time_of_day(time)?.checked_add(midnight))
}

/// Milliseconds from midnight UTC; the zone is part of the text.
fn time_of_day(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let milliseconds = fraction.map_or(Some(0), milliseconds)?;
    Some((hour * 3600 + minute * 60 + second - zone_seconds(zone)?) * 1000 + milliseconds)
}

/// The first three digits of a fraction of a second.
fn milliseconds(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("00".chars()).take(3).collect();
    padded.parse().ok()
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1).unwrap_or_default() {
        ("Z" | "z" | "", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    Some(sign * (digits(hours, 2)? * 3600 + digits(minutes, 2)? * 60))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Whether an address is in a CIDR range; without a prefix length the range is one address.
fn in_range(range: &str, address: &str) -> bool {
    let (Some((network, length)), Some(address)) = (cidr(range), self::address(address)) else {
        return false;
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// The address of a request. Its parts may have leading zeros, `192.000.2.1` (observed).
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let part = |part: &str| {
            (part.len() <= 3 && !part.is_empty() && are_digits(part)).then(|| part.parse().ok())?
        };
        let parts: Vec<u8> = text.split('.').map(part).collect::<Option<_>>()?;
        <[u8; 4]>::try_from(parts).ok().map(IpAddr::from)
    })
}

/// Network and prefix length of `203.0.113.0/24`, `2001:db8::/32` or a single address.
pub fn cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (network, length) = text.trim().split_once('/').map_or((text.trim(), None), |(n, l)| (n, Some(l)));
    let network: IpAddr = network.parse().ok()?;
    let longest = if network.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().ok()?,
        Some(_) => return None,
        None => longest,
    };
    let is_network = match network {
        // Bits beyond the prefix say nothing in IPv4, and make no range in IPv6 (observed).
        IpAddr::V4(_) => length <= longest,
        IpAddr::V6(network) => {
            length <= longest && network.to_bits() & !u128::MAX.checked_shl(128 - length).unwrap_or(0) == 0
        }
    };
    is_network.then_some((network, length))
}
