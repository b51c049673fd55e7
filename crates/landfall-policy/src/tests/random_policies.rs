//! Evaluator, prover and the plain reading on random policies and requests, which use all of the language.
//! What came up is counted, so that a change of the dice can't quietly leave something out.

use std::collections::BTreeMap;

use super::decisions::{layers, policies};
use super::random::{Random, case_count};
use super::*;
use crate::parse::OPERATORS;
use crate::prove::{Proof, allows, diff};
use crate::region::{Coordinate, Others, Presence, Product, Region, Slot};

/// How often something came up.
type Seen = BTreeMap<String, usize>;

/// Keys by what they hold, and values that meet often, so that about as much is allowed as denied.
const KEYS: &[(&str, &str, &[&str])] = &[
    ("String", "test:Text", &["a", "ab", "b", "A", "a:b", "", "red"]),
    ("String", "test:Many", &["a", "ab", "b", "red"]),
    ("String", "aws:TagKeys", &["a", "ab", "b", "red"]),
    ("Arn", "test:Arn", &["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/red", "arn:aws:iam::2:role/a", "a"]),
    ("Numeric", "test:Number", &["1", "2", "2.5", "-1", "2.50", "x", "1e0", "25E-1", "-10e-1", "2e2"]),
    (
        "Date",
        "aws:CurrentTime",
        &[
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-06-01",
            "1767225600",
            "+1767225600",
            "2027-01-01T02:00:00+02:00",
        ],
    ),
    ("Bool", "aws:SecureTransport", &["true", "false", "True", "yes"]),
    ("Binary", "test:Binary", &["QQ==", "Qg=="]),
    ("Ip", "aws:SourceIp", &["10.0.0.1", "10.1.0.1", "192.0.2.1", "192.000.2.1", "2001:db8::1", "x"]),
];
const TEAM: &str = "aws:PrincipalTag/team";
const ACTIONS: &[&str] = &["ecr:*", "ecr:Put*", "*", "ecr:Get?mage", "ECR:putimage"];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:ecr:*:*:repository/a*",
    REPOSITORY,
    "arn:aws:ecr:*",
    "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}",
    "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team, 'api'}",
];
const ROLE: &str = r#"{"AWS":"arn:aws:iam::123456789012:role/deploy"}"#;
const PRINCIPALS: &[&str] = &[
    r#""*""#,
    r#"{"AWS":"123456789012"}"#,
    ROLE,
    r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/deploy/run"}"#,
    r#"{"AWS":["arn:aws:iam::123456789012:root","arn:aws:iam::123456789012:role/deploy","arn:aws:sts::123456789012:assumed-role/deploy/run"]}"#,
    r#"{"Service":"ecs-tasks.amazonaws.com"}"#,
];

fn count(seen: &mut Seen, what: impl Into<String>) {
    *seen.entry(what.into()).or_default() += 1;
}

fn family(operator: &str) -> &'static str {
    let known = ["String", "Arn", "Numeric", "Date", "Bool", "Binary", "Ip", "NotIp"];
    match known.into_iter().find(|one| operator.starts_with(one)) {
        Some("NotIp") => "Ip",
        Some(family) => family,
        None => "any",
    }
}

/// One operator with a key of its kind and some values: the operator as written, and its block.
fn condition(random: &mut Random, seen: &mut Seen) -> (String, String) {
    let (name, _) = random.one_of(OPERATORS);
    let family = family(name);
    let keys: Vec<_> = KEYS.iter().filter(|(kind, ..)| family == "any" || *kind == family).collect();
    let (_, key, values) = **random.one_of(&keys);
    let qualifier = *random.one_of(&["", "", "ForAllValues:", "ForAnyValue:"]);
    let suffix = if *name == "Null" { "" } else { *random.one_of(&["", "", "IfExists"]) };
    let wanted = |random: &mut Random| match *name {
        "Null" => (*random.one_of(&["true", "false"])).to_owned(),
        _ if matches!(family, "String" | "Arn") && random.below(6) == 0 => (*random.one_of(&[
            "${aws:PrincipalTag/team}",
            "${aws:PrincipalTag/team, 'a'}",
            "arn:aws:iam::?:role/${aws:PrincipalTag/team}",
            "${*}",
            "a${?}",
        ]))
        .to_owned(),
        "StringLike" | "StringNotLike" => random.glob(&['a', 'b', ':'], 3),
        _ if family == "Arn" => {
            (*random.one_of(&["*", "arn:aws:iam::*:role/a", "arn:*:iam::1:role/?", "arn:aws:*", "a"]))
                .to_owned()
        }
        _ if family == "Ip" => {
            (*random.one_of(&["10.0.0.0/8", "10.0.0.0/16", "192.0.2.1", "2001:db8::/32", "::/0"])).to_owned()
        }
        _ => (*random.one_of(values)).to_owned(),
    };
    let wanted: Vec<String> = (0..1 + random.below(2)).map(|_| wanted(random)).collect();
    count(seen, format!("{qualifier}{name}"));
    count(seen, format!("{name}{suffix}"));
    if wanted.iter().any(|value| value.contains("${aws")) {
        count(seen, "variable in a value");
    }
    (format!("{qualifier}{name}{suffix}"), format!("{{{}:{}}}", quoted(key), quoted_list(&wanted)))
}

fn statement(random: &mut Random, seen: &mut Seen, names_somebody: bool) -> String {
    let effect = *random.one_of(&["Allow", "Allow", "Allow", "Deny"]);
    let action = *random.one_of(&["Action", "Action", "Action", "NotAction"]);
    let mut members = vec![
        format!(r#""Effect":"{effect}""#),
        format!(r#""{action}":"{}""#, if action == "Action" { random.one_of(ACTIONS) } else { "ecr:Get*" }),
    ];
    count(seen, effect);
    count(seen, action);
    if names_somebody {
        let principal =
            if effect == "Deny" { *random.one_of(&["Principal", "NotPrincipal"]) } else { "Principal" };
        members.push(format!(r#""{principal}":{}"#, random.one_of(PRINCIPALS)));
        count(seen, principal);
    } else {
        let resource = *random.one_of(&["Resource", "Resource", "Resource", "NotResource"]);
        let pattern = *random.one_of(RESOURCES);
        members.push(format!(r#""{resource}":"{pattern}""#));
        count(seen, resource);
        if pattern.contains("${") {
            count(seen, "variable in a resource");
        }
    }
    let mut blocks: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..random.below(3) {
        let (operator, block) = condition(random, seen);
        blocks.insert(operator, block);
    }
    let blocks: Vec<String> =
        blocks.iter().map(|(name, block)| format!("{}:{block}", quoted(name))).collect();
    members.push(format!(r#""Condition":{{{}}}"#, blocks.join(",")));
    format!("{{{}}}", members.join(","))
}

fn document(random: &mut Random, seen: &mut Seen, names_somebody: bool) -> String {
    let version = *random.one_of(&["2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17"]);
    count(seen, version);
    let statements: Vec<String> =
        (0..1 + random.below(3)).map(|_| statement(random, seen, names_somebody)).collect();
    format!(r#"{{"Version":"{version}","Statement":[{}]}}"#, statements.join(","))
}

/// Policies of some layers, as a row of `decisions.json` has them.
fn case(random: &mut Random, seen: &mut Seen) -> Tree {
    let mut layers = vec![format!(r#""identity":[{}]"#, document(random, seen, false))];
    let another = *random.one_of(&[
        "",
        "",
        "",
        "resource_policy",
        "resource_policy",
        "boundary",
        "session",
        "service_control",
        "resource_control",
    ]);
    count(seen, another);
    match another {
        "" => {}
        "resource_policy" => layers.push(format!(r#""{another}":{}"#, document(random, seen, true))),
        "boundary" => layers.push(format!(r#""{another}":{}"#, document(random, seen, false))),
        "session" => layers.push(format!(r#""{another}":[{}]"#, document(random, seen, false))),
        _ => layers.push(format!(r#""{another}":[[{}]]"#, document(random, seen, false))),
    }
    let text = format!("{{{}}}", layers.join(","));
    let (tree, problems) = json::parse(SourceId(0), &text);
    assert!(problems.is_empty(), "{text}");
    tree
}

/// The caller's tag, which is known; everything else of a request may be anything.
fn region(team: &[String], account: &str) -> Region {
    let any = |slot| Coordinate::of(slot, None, Presence::SINGLE);
    let team = Coordinate::Fixed { slot: Slot::Key(TEAM.to_owned()), values: team.to_vec() };
    let product = Product {
        family: None,
        templates: None,
        principal: principal(SESSION),
        resource_account: account.to_owned(),
        coordinates: vec![any(Slot::Action), any(Slot::Resource), team],
        others: Others::Free,
    };
    Region { products: vec![product] }
}

fn request(random: &mut Random, seen: &mut Seen, team: &[String], account: &str) -> Request {
    let mut context = Context::new();
    if !team.is_empty() {
        context.set_all(TEAM, team.to_vec());
    }
    for (_, key, values) in KEYS {
        let one = |random: &mut Random| (*random.one_of(values)).to_owned();
        let (how, values) = match random.below(8) {
            0 | 1 => ("absent key", None),
            2 => ("empty key", Some(Vec::new())),
            3 | 4 => ("key with several values", Some(vec![one(random), one(random)])),
            _ => ("key with one value", Some(vec![one(random)])),
        };
        count(seen, how);
        if let Some(values) = values {
            context.set_all(*key, values);
        }
    }
    Request {
        principal: principal(SESSION),
        action: (*random.one_of(&["ecr:PutImage", "ecr:GetImage", "s3:GetObject"])).to_owned(),
        resource: (*random.one_of(&[REPOSITORY, "arn:aws:ecr:eu-west-1:123456789012:repository/red", "*"]))
            .to_owned(),
        resource_account: account.to_owned(),
        context,
    }
}

/// What is the same for all requests of a round: the tag, and whose the resource is.
fn setting(random: &mut Random) -> (Vec<String>, &'static str) {
    let team = match random.below(4) {
        0 => Vec::new(),
        1 => vec!["a".to_owned()],
        2 => vec!["*".to_owned()],
        _ => vec!["red".to_owned()],
    };
    (team, *random.one_of(&[ACCOUNT, ACCOUNT, ACCOUNT, "111122223333"]))
}

const REQUESTS_PER_POLICY: usize = 50;

#[test]
fn what_is_proved_of_random_policies_is_what_is_decided() {
    let mut random = Random::new(3);
    let mut seen = Seen::new();
    let rounds = case_count() / REQUESTS_PER_POLICY;
    for _ in 0..rounds {
        let case = case(&mut random, &mut seen);
        let (team, account) = setting(&mut random);
        let policies = policies(&case);
        let layers = layers(&policies);
        let proof = allows(&layers, &region(&team, account));
        match &proof {
            Proof::Always => count(&mut seen, "proved always"),
            Proof::Never => count(&mut seen, "proved never"),
            Proof::Sometimes { allowed, denied } => {
                count(&mut seen, "proved sometimes");
                for (witness, wanted) in [(allowed, true), (denied, false)] {
                    assert_eq!(decide(&layers, witness).is_allowed(), wanted, "{case:?} {witness:?}");
                    assert_eq!(reference::allows(&case, witness), wanted, "{case:?} {witness:?}");
                }
            }
            Proof::TooLarge { .. } => count(&mut seen, "too large"),
            Proof::Unknown { because } => panic!("{case:?}: {because:?}"),
        }
        for round in 0..REQUESTS_PER_POLICY {
            let request = request(&mut random, &mut seen, &team, account);
            let is_allowed = crate::decide::allows(&layers, &request).unwrap();
            count(&mut seen, if is_allowed { "allowed" } else { "denied" });
            match &proof {
                Proof::Always => assert!(is_allowed, "{case:?} {request:?}"),
                Proof::Never => assert!(!is_allowed, "{case:?} {request:?}"),
                _ => {}
            }
            let one = allows(&layers, &Region::request(&request));
            assert_eq!(matches!(one, Proof::Always), is_allowed, "{case:?} {request:?} {one:?}");
            assert_eq!(matches!(one, Proof::Never), !is_allowed, "{case:?} {request:?} {one:?}");
            if round % 5 == 0 {
                assert_eq!(decide(&layers, &request).is_allowed(), is_allowed, "{case:?} {request:?}");
                assert_eq!(reference::allows(&case, &request), is_allowed, "{case:?} {request:?}");
            }
        }
    }
    check_coverage(&seen, rounds);
}

/// Everything that the dice can say was said often enough to mean something.
fn check_coverage(seen: &Seen, rounds: usize) {
    let of = |what: &str| seen.get(what).copied().unwrap_or(0);
    let requests = rounds * REQUESTS_PER_POLICY;
    assert_eq!(of("allowed") + of("denied"), requests);
    let mut rare = Vec::new();
    let mut at_least = |what: String, least: usize| {
        if of(&what) < least {
            rare.push(format!("{what}: {} of {least}", of(&what)));
        }
    };
    for (name, _) in OPERATORS {
        for qualifier in ["", "ForAllValues:", "ForAnyValue:"] {
            at_least(format!("{qualifier}{name}"), rounds / 100);
        }
        if *name != "Null" {
            at_least(format!("{name}IfExists"), rounds / 100);
        }
    }
    let members = ["Deny", "NotAction", "NotResource", "Principal", "NotPrincipal"];
    let others = ["variable in a value", "variable in a resource", "2008-10-17"];
    let layers = ["resource_policy", "boundary", "session", "service_control", "resource_control"];
    let proofs = ["proved never", "proved sometimes"];
    for what in members.iter().chain(&others).chain(&layers).chain(&proofs) {
        at_least((*what).to_owned(), rounds / 40);
    }
    for what in
        ["absent key", "empty key", "key with one value", "key with several values", "allowed", "denied"]
    {
        at_least(what.to_owned(), requests / 20);
    }
    assert!(rare.is_empty(), "{rare:?} of {seen:#?}");
    assert!(of("too large") <= rounds / 100, "{} of the questions were too large", of("too large"));
}

#[test]
fn a_change_is_found_exactly_where_the_two_disagree() {
    let mut random = Random::new(4);
    let mut seen = Seen::new();
    let (mut gains, mut none, mut too_large) = (0, 0, 0);
    let rounds = case_count() / 250;
    for _ in 0..rounds {
        let (old_case, new_case) = (case(&mut random, &mut seen), case(&mut random, &mut seen));
        let new_case = if random.below(8) == 0 { old_case.clone() } else { new_case };
        let (team, account) = setting(&mut random);
        let (old, new) = (policies(&old_case), policies(&new_case));
        let (old, new) = (layers(&old), layers(&new));
        let change = match diff(&old, &new, &region(&team, account)) {
            Ok(change) => change,
            Err(_) => {
                too_large += 1;
                continue;
            }
        };
        assert!(change.unknown.is_empty(), "{:?}", change.unknown);
        let both = |request: &Request| [&old, &new].map(|layers| decide(layers, request).is_allowed());
        if let Some(gained) = &change.gained {
            gains += 1;
            assert_eq!(both(gained), [false, true], "{old_case:?} {new_case:?} {gained:?}");
        }
        if let Some(lost) = &change.lost {
            assert_eq!(both(lost), [true, false], "{old_case:?} {new_case:?} {lost:?}");
        }
        none += usize::from(change.is_none());
        for _ in 0..20 {
            let request = request(&mut random, &mut seen, &team, account);
            match both(&request) {
                [false, true] => assert!(change.gained.is_some(), "{old_case:?} {new_case:?} {request:?}"),
                [true, false] => assert!(change.lost.is_some(), "{old_case:?} {new_case:?} {request:?}"),
                [_, _] => {}
            }
        }
    }
    assert!(too_large <= rounds / 50, "{too_large} of the questions were too large");
    assert!(gains > rounds / 10 && none > rounds / 50, "{gains} {none}");
}
