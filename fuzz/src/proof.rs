//! Evaluator against prover: bytes choose a policy and requests from small vocabularies, in which values
//! meet often. What is proved of all requests holds of each, what is proved of one request is what is
//! decided about it, and every witness is decided as the proof says.

use std::fmt::Write as _;

use landfall_policy::decide::Named;
use landfall_policy::parse::{self, OPERATORS};
use landfall_policy::prove::{self, Proof};
use landfall_policy::region::Region;
use landfall_policy::set::Language;
use landfall_policy::{Context, Layers, Policy, PolicyKind, Principal, Request, decide};
use landfall_types::{AccountId, Arn, SourceId};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut dice = Dice { bytes, at: 0 };
    let kind = *dice.one_of(&[PolicyKind::Identity, PolicyKind::Resource]);
    let region = Region::product(session(), Language::all(), Language::all(), ACCOUNT, Vec::new());
    if dice.below(2) == 0 { one(&mut dice, kind, &region) } else { two(&mut dice, kind, &region) }
}

/// Of one policy, what is proved of all requests and of single ones.
fn one(dice: &mut Dice<'_>, kind: PolicyKind, region: &Region) {
    let policy = policy(dice, kind);
    let proof = prove::allows(&layers(kind, &policy), region);
    if let Proof::Sometimes { allowed, denied } = &proof {
        let is_allowed = |request: &Request| is_allowed(kind, &policy, request);
        assert!(is_allowed(allowed) && !is_allowed(denied), "{proof:?}");
    }
    for _ in 0..4 {
        let request = request(dice);
        let is_allowed = is_allowed(kind, &policy, &request);
        match &proof {
            Proof::Always => assert!(is_allowed, "{request:?}"),
            Proof::Never => assert!(!is_allowed, "{request:?}"),
            Proof::Sometimes { .. } | Proof::TooLarge(_) | Proof::Unknown { .. } => {}
        }
        match prove::allows(&layers(kind, &policy), &Region::request(&request)) {
            Proof::Always => assert!(is_allowed, "{request:?}"),
            Proof::Never => assert!(!is_allowed, "{request:?}"),
            other => panic!("of one request: {other:?}"),
        }
    }
}

/// Of two policies, what the change from one to the other lets in and keeps out.
fn two(dice: &mut Dice<'_>, kind: PolicyKind, region: &Region) {
    let (old, new) = (policy(dice, kind), policy(dice, kind));
    let Ok(change) = prove::diff(&layers(kind, &old), &layers(kind, &new), region) else { return };
    let both = |request: &Request| (is_allowed(kind, &old, request), is_allowed(kind, &new, request));
    assert!(change.gained.as_ref().is_none_or(|request| both(request) == (false, true)), "{change:?}");
    assert!(change.lost.as_ref().is_none_or(|request| both(request) == (true, false)), "{change:?}");
    if !change.unknown.is_empty() {
        return;
    }
    for _ in 0..4 {
        let request = request(dice);
        let (before, after) = both(&request);
        assert!(before || !after || change.gained.is_some(), "{request:?}");
        assert!(!before || after || change.lost.is_some(), "{request:?}");
    }
}

fn is_allowed(kind: PolicyKind, policy: &Policy, request: &Request) -> bool {
    decide(&layers(kind, policy), request).is_allowed()
}

fn layers(kind: PolicyKind, policy: &Policy) -> Layers<'_> {
    let named = Named { name: "policy".into(), policy };
    match kind {
        PolicyKind::Resource => Layers { resource: vec![named], ..Layers::default() },
        PolicyKind::Identity | PolicyKind::Trust => Layers { identity: vec![named], ..Layers::default() },
    }
}

const ACCOUNT: &str = "123456789012";
const KEYS: &[&str] = &["test:A", "test:B", "aws:PrincipalTag/a", "aws:SourceIp", "aws:CurrentTime"];
const VALUES: &[&str] = &[
    "a",
    "A",
    "ab",
    "b",
    "",
    "*",
    "a*",
    "?b",
    "a:b",
    "arn:aws:iam::1:role/a",
    "arn:aws:*",
    "true",
    "false",
    "1",
    "1.5",
    "-2",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "10.0.0.1",
    "10.0.0.0/8",
    "2001:db8::/32",
    "2001:db8::1",
    "${aws:PrincipalTag/a}",
    "${aws:PrincipalTag/a, 'a'}b",
    "${*}",
    "a${$}",
    "ä",
];
const ACTIONS: &[&str] = &["ecr:PutImage", "ecr:Put*", "*", "ecr:Get?mage", "ecr:GetImage", "ECR:putimage"];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:ecr:eu-west-1:123456789012:repository/a",
    "arn:aws:ecr:*:*:repository/a*",
    "arn:aws:ecr:*",
    "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/a}",
];
const PRINCIPALS: &[&str] = &[
    r#""*""#,
    r#"{"AWS":"123456789012"}"#,
    r#"{"AWS":"arn:aws:iam::123456789012:role/deploy"}"#,
    r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/deploy/run"}"#,
    r#"{"AWS":["123456789012","arn:aws:iam::123456789012:role/deploy","arn:aws:sts::123456789012:assumed-role/deploy/run"]}"#,
    r#"{"Service":"ecs-tasks.amazonaws.com"}"#,
];

fn policy(dice: &mut Dice<'_>, kind: PolicyKind) -> Policy {
    let version = *dice.one_of(&["2012-10-17", "2012-10-17", "2008-10-17"]);
    let statements: Vec<String> = (0..1 + dice.below(3)).map(|_| statement(dice, kind)).collect();
    let text = format!(r#"{{"Version":"{version}","Statement":[{}]}}"#, statements.join(","));
    let (policy, _) = parse::document(SourceId(0), &text, kind);
    assert_eq!(policy.unread_statements, 0, "{text}");
    policy
}

fn statement(dice: &mut Dice<'_>, kind: PolicyKind) -> String {
    let effect = *dice.one_of(&["Allow", "Allow", "Deny"]);
    let (action, resource) =
        (*dice.one_of(&["Action", "NotAction"]), *dice.one_of(&["Resource", "NotResource"]));
    let mut text = format!(
        r#"{{"Effect":"{effect}","{action}":"{}","{resource}":"{}""#,
        dice.one_of(ACTIONS),
        dice.one_of(RESOURCES)
    );
    if kind == PolicyKind::Resource {
        let negated = if effect == "Deny" { *dice.one_of(&["", "Not"]) } else { "" };
        let _ = write!(text, r#","{negated}Principal":{}"#, dice.one_of(PRINCIPALS));
    }
    let mut blocks: Vec<(String, String)> = Vec::new();
    for _ in 0..dice.below(3) {
        let (name, _) = dice.one_of(OPERATORS);
        let qualifier = *dice.one_of(&["", "", "ForAllValues:", "ForAnyValue:"]);
        let suffix = if *name == "Null" { "" } else { *dice.one_of(&["", "IfExists"]) };
        let operator = format!("{qualifier}{name}{suffix}");
        let values: Vec<String> =
            (0..1 + dice.below(2)).map(|_| format!("{:?}", dice.one_of(VALUES))).collect();
        let key = dice.one_of(KEYS);
        if blocks.iter().all(|(known, _)| *known != operator) {
            blocks.push((operator, format!(r#"{{"{key}":[{}]}}"#, values.join(","))));
        }
    }
    let blocks: Vec<String> = blocks.iter().map(|(name, block)| format!(r#""{name}":{block}"#)).collect();
    let _ = write!(text, r#","Condition":{{{}}}}}"#, blocks.join(","));
    text
}

fn session() -> Principal {
    let account = AccountId::parse(ACCOUNT).expect("twelve digits");
    Principal::Session {
        session: Arn::assumed_role(account, "deploy", "run"),
        role: Arn::role(account, "/", "deploy"),
        role_id: None,
    }
}

fn request(dice: &mut Dice<'_>) -> Request {
    let mut context = Context::new();
    for key in KEYS {
        let count = dice.below(4);
        if count < 3 {
            context.set_all(*key, (0..count).map(|_| (*dice.one_of(VALUES)).to_owned()).collect());
        }
    }
    Request {
        principal: session(),
        action: (*dice.one_of(&["ecr:PutImage", "ecr:GetImage", "s3:GetObject"])).to_owned(),
        resource: (*dice.one_of(&[
            "arn:aws:ecr:eu-west-1:123456789012:repository/a",
            "arn:aws:ecr:eu-west-1:123456789012:repository/b",
            "*",
        ]))
        .to_owned(),
        resource_account: ACCOUNT.to_owned(),
        context,
    }
}

/// The input, read as choices; at its end every choice is the first.
struct Dice<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Dice<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % bound
    }

    fn one_of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        let index = self.below(items.len());
        &items[index]
    }
}
