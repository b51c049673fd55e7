//! What the policy simulator takes, and what it says of the rest: its own texts, captured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_policy::request::ContextKey;
use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::super::error;
use super::ContextEntry;

/// Names and patterns that no service has are held against policies letter by letter (captured).
pub(super) fn check_action(action: &str) -> Result<String, AwsError> {
    match action.split_once(':') {
        Some((service, name)) if !service.is_empty() && !name.is_empty() => Ok(action.to_owned()),
        _ => Err(invalid("The action is invalid since it is missing names")),
    }
}

/// `*` alone, or ARNs.
pub(super) fn check_resources(resources: &[String]) -> Result<(), AwsError> {
    let is_arn = |text: &str| {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (prefix, partition, service, _, _, resource) = (next(), next(), next(), next(), next(), next());
        prefix == "arn" && [partition, service, resource].iter().all(|part| !part.is_empty())
    };
    let is_wrong = |text: &&String| !(is_arn(text) || *text == "*" && resources.len() == 1);
    match resources.iter().find(is_wrong) {
        None => Ok(()),
        Some(resource) => Err(not_an_arn(resource)),
    }
}

/// What is said of a resource whose name is none.
pub(super) fn not_an_arn(resource: &str) -> AwsError {
    invalid(format!("ResourceNames are not in a valid ARN format: {resource}."))
}

/// The keys of a simulation with their types and values. Captured.
pub(super) fn entries(given: Vec<ContextEntry>) -> Result<Vec<ContextKey>, AwsError> {
    let mut known: Vec<ContextKey> = Vec::new();
    for entry in given.into_iter().filter(|entry| *entry != ContextEntry::default()) {
        let name = entry.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| invalid("ContextKeyName cannot be null or empty."))?;
        if known.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            return Err(invalid(format!("Duplicate context key: {name}.")));
        }
        let kind = entry.kind.unwrap_or_else(|| "null".to_owned());
        let one = kind.strip_suffix("List").unwrap_or(&kind);
        let format = match one {
            "string" | "boolean" => None,
            "numeric" => Some((is_number as fn(&str) -> bool, "numeric format")),
            "ip" => Some((is_address as fn(&str) -> bool, "IP address")),
            "binary" => Some((is_base64 as fn(&str) -> bool, "base-64 encoded binary format")),
            "date" => Some((is_date as fn(&str) -> bool, "DateTime format")),
            _ => return Err(invalid(format!("Context key {name} has invalid type {kind}."))),
        };
        match entry.values.len() {
            0 => {
                let message = format!("Context values for context key {name} cannot be null or empty.");
                return Err(invalid(message));
            }
            count if count > 1 && one == kind => {
                let message = format!("Context key {kind} expected a single value, but received {count}.");
                return Err(invalid(message));
            }
            _ => {}
        }
        if let Some((fits, words)) = format
            && !entry.values.iter().all(|value| fits(value))
        {
            return Err(invalid(format!("Invalid context value for key {name}: expected {words}.")));
        }
        known.push(ContextKey { name, values: entry.values, multivalued: Some(one != kind) });
    }
    Ok(known)
}

/// `01.00`, `+1`, `1e9999`; neither `0x10` nor `Infinity`, and no blanks (captured).
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = unsigned(mantissa);
    let (before, behind) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    let is_exponent = |text: &str| !unsigned(text).is_empty() && digits(&unsigned(text));
    !(before.is_empty() && behind.is_empty())
        && digits(before)
        && digits(behind)
        && exponent.is_none_or(is_exponent)
}

/// An address, or a range of them.
fn is_address(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok()
}

fn is_base64(text: &str) -> bool {
    STANDARD.decode(text).is_ok()
}

/// A year or seconds, or what begins with a date: how far AWS goes beyond that isn't known.
fn is_date(text: &str) -> bool {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let is_count =
        !text.is_empty() && text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
    is_count || (0..4).all(is_digit) && text.as_bytes().get(4) == Some(&b'-')
}

/// The account of an IAM ARN; a number alone is none (captured).
pub(super) fn account_in(owner: &str) -> Result<String, AwsError> {
    let arn = Arn::parse(owner).ok().filter(|arn| arn.service == "iam" && arn.region.is_empty());
    let account = arn.and_then(|arn| arn.account_id()).map(|account| account.to_string());
    account.ok_or_else(|| invalid("Invalid Resource Owner."))
}

/// `InvalidInput`.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    error("InvalidInput", message.into(), 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_type() {
        for (kind, fits, texts) in [
            ("numeric", true, &["1", "01.00", "+1", "-1.", ".5", "1e2", "1E-2", "1e9999"][..]),
            ("numeric", false, &["", "abc", "0x10", " 1 ", "Infinity", "1e", "e1", ".", "+", "1.2.3", "--1"]),
            ("ip", true, &["10.0.0.1", "2001:db8::1", "10.0.0.0/8"]),
            ("ip", false, &["", "localhost", "10.0.0", "10.0.0.0/x"]),
            ("binary", true, &["YQ=="]),
            ("binary", false, &["YQ", "?"]),
            ("date", true, &["2035", "0", "2035-01-02", "2035-01-02T03:04:05+02:00", "1790856000"]),
            ("date", false, &["", "tomorrow", "2035/01/02"]),
            ("boolean", true, &["true", "yes"]),
            ("string", true, &["", "a"]),
        ] {
            for text in texts {
                let entry = ContextEntry {
                    name: Some("acme:key".to_owned()),
                    kind: Some(kind.to_owned()),
                    values: vec![(*text).to_owned()],
                };
                assert_eq!(entries(vec![entry]).is_ok(), fits, "{kind} `{text}`");
            }
        }
        assert_eq!(entries(vec![ContextEntry::default()]), Ok(Vec::new()));
    }
}
