//! The language once more, as plainly as the documentation puts it: straight from the document, without the
//! engine's parser, matcher, numbers, dates or addresses. It is slow, knows nothing of reasons, and is what
//! evaluator and prover are held to.

use super::*;

/// How a policy's principal names the caller, from vague to exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Named {
    ByAccount,
    ByRole,
    Itself,
}

/// Whether a case's policies allow a request, by the chart of *Policy evaluation logic*.
pub(super) fn allows(case: &Tree, request: &Request) -> bool {
    let list = |field: &str| case.field(field).map_or(&[][..], Tree::items);
    let managed: Vec<Tree> =
        case.field("managed").map(super::texts).unwrap_or_default().iter().map(|arn| managed(arn)).collect();
    let has_account = !matches!(
        request.principal,
        Principal::Anonymous | Principal::Federated { .. } | Principal::Service { .. }
    );
    let identity: Vec<&Tree> =
        if has_account { list("identity").iter().chain(&managed).collect() } else { Vec::new() };
    let only_with_account = |trees: &'_ [Tree]| if has_account { trees.to_vec() } else { Vec::new() };
    let boundary: Vec<Tree> =
        only_with_account(&case.field("boundary").cloned().into_iter().collect::<Vec<_>>());
    let session = only_with_account(list("session"));
    let is_linked = matches!(&request.principal, Principal::Session { role, .. }
        if role.resource.starts_with("role/aws-service-role/"));
    let service_control = if is_linked { Vec::new() } else { only_with_account(list("service_control")) };
    let resource_control = if is_linked { Vec::new() } else { list("resource_control").to_vec() };
    let takes_role = matches!(
        request.action.to_lowercase().as_str(),
        "sts:assumerole"
            | "sts:assumerolewithwebidentity"
            | "sts:assumerolewithsaml"
            | "sts:tagsession"
            | "sts:setsourceidentity"
            | "sts:setcontext"
    );
    let gate: Vec<&Tree> = one_or_many(case.field(if takes_role { "trust" } else { "resource_policy" }));

    // 1. An explicit denial anywhere.
    let levels = || service_control.iter().chain(&resource_control).flat_map(|level| level.items());
    let own = identity.iter().copied().chain(&boundary).chain(&session).chain(levels());
    let denies = own.map(|policy| (policy, false)).chain(gate.iter().map(|policy| (*policy, true)));
    if denies
        .into_iter()
        .any(|(policy, names_somebody)| best(policy, "Deny", names_somebody, request).is_some())
    {
        return false;
    }
    // 2. and 3. Every level of the organizations' policies.
    let grants =
        |policies: &[&Tree]| policies.iter().any(|policy| best(policy, "Allow", false, request).is_some());
    let is_within = |levels: &[Tree]| {
        levels
            .iter()
            .all(|level| level.items().is_empty() || grants(&level.items().iter().collect::<Vec<_>>()))
    };
    if !is_within(&resource_control) || !is_within(&service_control) {
        return false;
    }
    // 4. to 7. The resource's side, the caller's, and what bounds it.
    let granted = gate.iter().filter_map(|policy| best(policy, "Allow", true, request)).max();
    if !has_account {
        return granted.is_some();
    }
    let is_root = matches!(request.principal, Principal::Root { .. });
    let by_identity = is_root || grants(&identity);
    let is_bounded = |policies: &[Tree]| policies.is_empty() || grants(&policies.iter().collect::<Vec<_>>());
    let in_bounds = is_bounded(&boundary) && is_bounded(&session);
    let crosses = request.principal.account() != request.resource_account;
    match granted {
        None if takes_role || crosses => false,
        Some(Named::Itself) if !crosses => true,
        Some(Named::ByRole) if !crosses => in_bounds,
        _ => by_identity && in_bounds,
    }
}

fn managed(arn: &str) -> Tree {
    json::parse(SourceId(98), crate::managed::by_arn(arn).unwrap().json).0
}

/// A member that holds one thing or a list of them.
pub(super) fn one_or_many(tree: Option<&Tree>) -> Vec<&Tree> {
    match tree {
        None => Vec::new(),
        Some(tree) => match &tree.node {
            Node::List(items) => items.iter().collect(),
            _ => vec![tree],
        },
    }
}

/// How the statements of an effect that apply name the caller, the most exact of them.
fn best(policy: &Tree, effect: &str, names_somebody: bool, request: &Request) -> Option<Named> {
    let has_variables = policy.field("Version").and_then(Tree::as_text) == Some("2012-10-17");
    one_or_many(policy.field("Statement"))
        .into_iter()
        .filter(|one| one.field("Effect").and_then(Tree::as_text) == Some(effect))
        .filter_map(|one| applies(one, effect, has_variables, names_somebody, request))
        .max()
}

fn applies(
    statement: &Tree,
    effect: &str,
    has_variables: bool,
    names_somebody: bool,
    request: &Request,
) -> Option<Named> {
    let text = |tree: &Tree| tree.scalar().unwrap();
    let is_action =
        |tree: &&Tree| glob(&plain(&text(tree).to_ascii_lowercase()), &request.action.to_ascii_lowercase());
    let names_action = match statement.field("NotAction") {
        Some(not) => !one_or_many(Some(not)).iter().any(is_action),
        None => one_or_many(statement.field("Action")).iter().any(is_action),
    };
    let context = &request.context;
    let resources = |tree| -> Vec<Option<bool>> {
        let fits = |one: &Tree| Some(arn(&filled(&text(one), has_variables, context)?, &request.resource));
        one_or_many(Some(tree)).into_iter().map(fits).collect()
    };
    let names_resource = match (statement.field("Resource"), statement.field("NotResource")) {
        (Some(tree), _) => resources(tree).contains(&Some(true)),
        (None, Some(tree)) => resources(tree).iter().all(|fits| *fits == Some(false)),
        (None, None) => names_somebody,
    };
    let holds = statement.field("Condition").map_or(&[][..], Tree::entries).iter().all(|(operator, keys)| {
        keys.entries().iter().all(|(key, values)| {
            let wanted: Vec<String> = one_or_many(Some(values)).into_iter().map(text).collect();
            condition(&operator.text, &key.text, &wanted, has_variables, context)
        })
    });
    let named = principal(statement, effect, names_somebody, &request.principal)?;
    (names_action && names_resource && holds).then_some(named)
}

fn principal(statement: &Tree, effect: &str, names_somebody: bool, caller: &Principal) -> Option<Named> {
    if !names_somebody {
        return Some(Named::Itself);
    }
    if let Some(not) = statement.field("NotPrincipal") {
        let exempt = naming(not, caller);
        // Everything that a caller is has to be left out, or a denial reaches it.
        let is_spared = match (effect, caller) {
            ("Deny", Principal::Session { .. }) => {
                [Named::ByAccount, Named::ByRole, Named::Itself].iter().all(|one| exempt.contains(one))
            }
            ("Deny", Principal::User { .. }) => {
                [Named::ByAccount, Named::Itself].iter().all(|one| exempt.contains(one))
            }
            _ => !exempt.is_empty(),
        };
        let is_everybody = any(not);
        return (!is_spared && !is_everybody).then_some(Named::Itself);
    }
    let clause = statement.field("Principal")?;
    if any(clause) { Some(Named::Itself) } else { naming(clause, caller).into_iter().max() }
}

fn any(clause: &Tree) -> bool {
    clause.as_text() == Some("*")
        || one_or_many(clause.field("AWS")).iter().any(|one| one.as_text() == Some("*"))
}

/// In which ways a clause names a caller.
fn naming(clause: &Tree, caller: &Principal) -> Vec<Named> {
    let has = |kind: &str, name: &str| {
        one_or_many(clause.field(kind)).iter().any(|one| one.as_text() == Some(name))
    };
    let has_account = |account: &str, partition: &str| {
        has("AWS", account) || has("AWS", &format!("arn:{partition}:iam::{account}:root"))
    };
    let ways: Vec<(Named, bool)> = match caller {
        Principal::Anonymous => Vec::new(),
        Principal::Federated { provider } => vec![(Named::Itself, has("Federated", provider))],
        Principal::Service { name } => vec![(Named::Itself, has("Service", name))],
        Principal::Root { arn } => vec![(Named::Itself, has_account(&arn.account, &arn.partition))],
        Principal::User { arn, id } => vec![
            (Named::Itself, has("AWS", &arn.to_string())),
            (Named::Itself, id.as_deref().is_some_and(|id| has("AWS", id))),
            (Named::ByAccount, has_account(&arn.account, &arn.partition)),
        ],
        Principal::Session { session, role, role_id } => vec![
            (Named::Itself, has("AWS", &session.to_string())),
            (Named::ByRole, role_id.as_deref().is_some_and(|id| has("AWS", id))),
            (Named::ByRole, has("AWS", &role.to_string())),
            (Named::ByAccount, has_account(&session.account, &session.partition)),
        ],
    };
    ways.into_iter().filter(|(_, is_so)| *is_so).map(|(named, _)| named).collect()
}

fn condition(operator: &str, key: &str, wanted: &[String], has_variables: bool, context: &Context) -> bool {
    let (qualifier, name) = operator.split_once(':').map_or(("", operator), |(q, name)| (q, name));
    let got: &[String] = context.get(key).unwrap_or(&[]);
    if name == "Null" {
        return wanted.iter().any(|one| (one.to_lowercase() == "true") == got.is_empty());
    }
    let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
    let is_negated = name.contains("Not");
    let positive = name.replace("Not", "");
    if got.is_empty() {
        // ForAnyValue wants a value that fits, with `IfExists` too: observed, see the table's sources.
        return qualifier == "ForAllValues" || (qualifier.is_empty() && (if_exists || is_negated));
    }
    if qualifier.is_empty() && is_list(key, got) {
        return false;
    }
    // Of one value: whether the operator holds of it.
    let holds = |got: &String| {
        let is_of_type = match positive.as_str() {
            "ArnEquals" | "ArnLike" => got.starts_with("arn:") && got.split(':').count() >= 6,
            "IpAddress" => bits(got).is_some(),
            _ => true,
        };
        if !is_of_type {
            return false;
        }
        let fits: Vec<Option<bool>> =
            wanted.iter().map(|one| fits(&positive, one, got, has_variables, context)).collect();
        if is_negated { fits.iter().all(|fits| *fits == Some(false)) } else { fits.contains(&Some(true)) }
    };
    match qualifier {
        "ForAllValues" => got.iter().all(holds),
        "ForAnyValue" => got.iter().any(holds),
        _ if is_negated => got.iter().all(holds),
        _ => got.iter().any(holds),
    }
}

/// Keys that AWS documents as lists, and what has several values.
fn is_list(key: &str, got: &[String]) -> bool {
    match key.to_ascii_lowercase().as_str() {
        "aws:tagkeys" | "sts:transitivetagkeys" | "token.actions.githubusercontent.com:amr" => true,
        _ => got.len() > 1,
    }
}

/// None for a value with a variable that can't be filled in.
fn fits(operator: &str, wanted: &str, got: &str, has_variables: bool, context: &Context) -> Option<bool> {
    let order = |relation: &str, left: Option<i128>, right: Option<i128>| {
        let (Some(left), Some(right)) = (left, right) else { return false };
        match relation {
            "Equals" => left == right,
            "LessThan" => left < right,
            "LessThanEquals" => left <= right,
            "GreaterThan" => left > right,
            "GreaterThanEquals" => left >= right,
            other => panic!("no relation {other}"),
        }
    };
    let written = || -> Option<String> {
        Some(filled(wanted, has_variables, context)?.iter().map(|(one, _)| *one).collect())
    };
    let folded = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
    Some(match operator {
        "StringEquals" => written()? == got,
        "StringEqualsIgnoreCase" => folded(&written()?) == folded(got),
        "StringLike" => glob(&filled(wanted, has_variables, context)?, got),
        "ArnEquals" | "ArnLike" => arn(&filled(wanted, has_variables, context)?, got),
        "BinaryEquals" => wanted == got,
        "Bool" => (wanted.to_lowercase() == "true") == (got.to_lowercase() == "true"),
        "IpAddress" => in_network(wanted, got),
        other => match other.split_at(if other.starts_with("Date") { 4 } else { 7 }) {
            ("Numeric", relation) => order(relation, number(got), number(wanted)),
            ("Date", relation) => order(relation, moment(got), moment(wanted)),
            _ => panic!("no operator {other}"),
        },
    })
}

/// Characters of a pattern, each with whether it may be a wildcard.
type Pattern = Vec<(char, bool)>;

fn plain(text: &str) -> Pattern {
    text.chars().map(|one| (one, true)).collect()
}

/// A pattern with its variables filled in; what comes from a value is no wildcard.
fn filled(text: &str, has_variables: bool, context: &Context) -> Option<Pattern> {
    let Some((before, rest)) = text.split_once("${").filter(|_| has_variables) else {
        return Some(plain(text));
    };
    let Some((variable, after)) = rest.split_once('}') else { return Some(plain(text)) };
    let value = match variable {
        "*" | "?" | "$" => variable.to_owned(),
        _ => {
            let (key, default) =
                variable.split_once(',').map_or((variable, None), |(key, it)| (key, Some(it)));
            match (context.get(key.trim()), default) {
                (Some([one]), _) => one.clone(),
                (_, Some(default)) => default.trim().trim_matches('\'').to_owned(),
                (_, None) => return None,
            }
        }
    };
    let mut pattern = plain(before);
    pattern.extend(value.chars().map(|one| (one, false)));
    pattern.extend(filled(after, has_variables, context)?);
    Some(pattern)
}

/// Row by row: after each element, which beginnings of the text it reaches.
fn glob(pattern: &[(char, bool)], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for (wanted, is_wild) in pattern {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            next[end] = match (wanted, is_wild) {
                ('*', true) => reached[end] || (end > 0 && next[end - 1]),
                ('?', true) => end > 0 && reached[end - 1],
                (wanted, _) => end > 0 && reached[end - 1] && *wanted == text[end - 1],
            };
        }
        reached = next;
    }
    reached[text.len()]
}

fn arn(pattern: &[(char, bool)], text: &str) -> bool {
    let parts: Vec<&[(char, bool)]> = pattern.splitn(6, |(one, _)| *one == ':').collect();
    if parts.len() < 6 && pattern.last() != Some(&('*', true)) {
        return false;
    }
    let texts: Vec<&str> = text.splitn(parts.len(), ':').collect();
    parts.len() == texts.len() && parts.iter().zip(texts).all(|(pattern, text)| glob(pattern, text))
}

/// A decimal number in units of 10⁻¹².
fn number(text: &str) -> Option<i128> {
    let text = text.trim();
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_lowercase();
    let (digits, exponent) = match lower.split_once('e') {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (lower.as_str(), 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.chars().all(|one| one.is_ascii_digit());
    if digits == "." || digits.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let number = sign * format!("{whole}{fraction:0<12}").parse::<i128>().ok()?;
    let power = 10_i128.pow(exponent.unsigned_abs());
    Some(if exponent < 0 { number / power } else { number * power })
}

/// Milliseconds since 1970, counted year by year.
fn moment(text: &str) -> Option<i128> {
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|one| one.is_ascii_digit());
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.len() != 4 && is_number(unsigned) {
        return unsigned.parse::<i128>().ok().map(|seconds| seconds * 1000);
    }
    let (day, time) = text.split_once('T').map_or((text, None), |(day, time)| (day, Some(time)));
    let parts: Vec<i128> =
        day.split('-').map(|part| is_number(part).then(|| part.parse().unwrap())).collect::<Option<_>>()?;
    let (year, month, day) = match parts[..] {
        [year] => (year, 1, 1),
        [year, month] => (year, month, 1),
        [year, month, day] => (year, month, day),
        _ => return None,
    };
    let is_leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || !(1..=months[month as usize - 1]).contains(&day) {
        return None;
    }
    let years = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum::<i128>();
    let days = years + months[..month as usize - 1].iter().sum::<i128>() + day - 1;
    let Some(time) = time else { return Some(days * 86_400_000) };
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock: Vec<i128> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (hour, minute, second) = (clock.first()?, clock.get(1)?, clock.get(2).unwrap_or(&0));
    if *hour > 23 || *minute > 59 || *second > 60 {
        return None;
    }
    let minutes = hour * 60 + minute;
    let millis = format!("{fraction:0<3}")[..3].parse::<i128>().ok()?;
    let zone: String = zone.chars().filter(|one| *one != ':').collect();
    let shift = match zone.split_at(zone.len().min(1)) {
        ("Z" | "", "") => 0,
        (sign, digits) => {
            let minutes = digits[..2].parse::<i128>().ok()? * 60 + digits[2..].parse::<i128>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    Some(days * 86_400_000 + (minutes - shift) * 60_000 + second * 1000 + millis)
}

/// The bits of an address, whose parts may have leading zeros in IPv4.
fn bits(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let text = match parts[..] {
        [_, _, _, _] => {
            let bare = |one: &&str| {
                let bare = one.trim_start_matches('0');
                if bare.is_empty() && !one.is_empty() { "0" } else { bare }.to_owned()
            };
            parts.iter().map(bare).collect::<Vec<_>>().join(".")
        }
        _ => text.to_owned(),
    };
    match text.parse().ok()? {
        std::net::IpAddr::V4(it) => Some(format!("{:032b}", u32::from(it))),
        std::net::IpAddr::V6(it) => Some(format!("{:0128b}", u128::from(it))),
    }
}

/// Bit by bit.
fn in_network(network: &str, address: &str) -> bool {
    let (network, length) =
        network.split_once('/').map_or((network, None), |(it, length)| (it, Some(length)));
    let (Some(network), Some(address)) = (bits(network), bits(address)) else { return false };
    let length = match length.map(str::parse::<usize>) {
        None => network.len(),
        Some(Ok(length)) if length <= network.len() => length,
        Some(_) => return false,
    };
    let has_more_bits = network.len() == 128 && network[length..].contains('1');
    network.len() == address.len() && !has_more_bits && network[..length] == address[..length]
}
