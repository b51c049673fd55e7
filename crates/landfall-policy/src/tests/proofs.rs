//! The prover against the evaluator.

use super::decisions::{layers, policies, request};
use super::random::{Random, case_count};
use super::*;
use crate::pattern;
use crate::prove::{self, Forms, Meant, Measure, Only, Proof, STEPS_MAX, TooLarge, allows, diff};
use crate::region::{KeyFact, Presence, ProviderFacts, Region};
use crate::set::Language;

#[test]
fn of_one_request_the_prover_says_what_the_evaluator_says() {
    for case in rows(&read_cases("decisions.json")) {
        let name = text(case.field("name").unwrap());
        let (policies, request) = (policies(case), request(case));
        let layers = layers(&policies);
        let decision = decide(&layers, &request);
        let proof = allows(&layers, &Region::request(&request));
        let agrees = match &proof {
            Proof::Always => decision.is_allowed(),
            Proof::Never => !decision.is_allowed(),
            Proof::Unknown { because } => *because == decision.unknown,
            Proof::Sometimes { .. } | Proof::TooLarge { .. } => false,
        };
        assert!(
            agrees && (decision.unknown.is_empty() || matches!(proof, Proof::Unknown { .. })),
            "{name}: {proof:?}"
        );
    }
}

const HOST: &str = "token.actions.githubusercontent.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// Keys of a request and what they may hold.
const KEYS: &[(&str, &[&str])] = &[
    ("test:Text", &["a", "ab", "b", "A", "a:b", ""]),
    ("test:Many", &["a", "ab", "b"]),
    ("test:Number", &["1", "2", "2.5", "-1", "x"]),
    ("aws:SourceIp", &["10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1"]),
    ("aws:CurrentTime", &["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2027-01-01T00:00:00Z"]),
    ("aws:SecureTransport", &["true", "false"]),
];

fn random_request(random: &mut Random) -> Request {
    let mut context = Context::new();
    for (key, values) in KEYS {
        let one = |random: &mut Random| (*random.one_of(values)).to_owned();
        match random.below(5) {
            0 => {}
            1 if *key == "test:Many" => context.set_all(*key, Vec::new()),
            1 | 2 if matches!(*key, "test:Many" | "test:Text") => {
                context.set_all(*key, vec![one(random), one(random)]);
            }
            _ => context.set(*key, one(random)),
        }
    }
    Request {
        principal: principal(SESSION),
        action: (*random.one_of(&["ecr:PutImage", "ecr:GetImage", "s3:GetObject"])).to_owned(),
        resource: (*random.one_of(&[REPOSITORY, "arn:aws:ecr:eu-west-1:123456789012:repository/web", "*"]))
            .to_owned(),
        resource_account: ACCOUNT.to_owned(),
        context,
    }
}

fn identity(policy: &Policy) -> Layers<'_> {
    Layers { identity: vec![decide::Named { name: "p".into(), policy }], ..Layers::default() }
}

/// Everything that the caller may ask for.
fn everything() -> Region {
    Region::product(principal(SESSION), Language::all(), Language::all(), ACCOUNT, Vec::new())
}

const SUBJECTS: &[&str] = &[
    "repo:acme/api:ref:refs/heads/main",
    "repo:acme/api:ref:refs/heads/release/1",
    "repo:acme/api:ref:refs/tags/v1",
    "repo:acme/api:pull_request",
    "repo:acme/api:environment:prod",
    "repo:acme/web:environment:prod",
    "repo:acme@65/api@74:environment:prod",
    "repo:acme@65/api@74:ref:refs/heads/main",
    "repo:acmeX/api:ref:refs/heads/main",
];

/// The token of a subject, as STS shows it.
fn token(subject: &str) -> Request {
    let mut context = Context::new();
    let mut set = |claim: &str, value: &str| context.set(format!("{HOST}:{claim}"), value);
    let (repository, tail) = subject["repo:".len()..].split_once(':').unwrap();
    let plain: Vec<&str> = repository.split('/').map(|part| part.split('@').next().unwrap()).collect();
    set("sub", subject);
    set("aud", "sts.amazonaws.com");
    set("repository", &plain.join("/"));
    set("repository_id", "74");
    set("repository_owner_id", "65");
    for (claim, value) in [("actor", "octocat"), ("actor_id", "1"), ("workflow", "ci")] {
        set(claim, value);
    }
    set("job_workflow_ref", "acme/api/.github/workflows/ci.yml@refs/heads/main");
    let reference = tail.strip_prefix("ref:").unwrap_or("refs/heads/main");
    set("ref", if tail == "pull_request" { "refs/pull/7/merge" } else { reference });
    if let Some(name) = tail.strip_prefix("environment:") {
        set("environment", name);
    }
    Request {
        principal: principal(&format!("federated:arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}")),
        action: "sts:AssumeRoleWithWebIdentity".to_owned(),
        resource: ROLE.to_owned(),
        resource_account: ACCOUNT.to_owned(),
        context,
    }
}

fn trust_document(random: &mut Random) -> String {
    let statements: Vec<String> = (0..1 + random.below(3))
        .map(|index| {
            let effect = if index > 0 && random.below(3) == 0 { "Deny" } else { "Allow" };
            let operator = *random.one_of(&["StringEquals", "StringLike", "StringLike", "StringNotLike"]);
            let mut subject = (*random.one_of(SUBJECTS)).to_owned();
            for _ in 0..random.below(3) {
                let at = random.below(subject.len());
                let rest = at + random.below(subject.len() - at + 1);
                let with = *random.one_of(&["*", "?", ""]);
                subject.replace_range(at..rest, with);
            }
            let claim = *random.one_of(&[
                ("ref", "refs/heads/main"),
                ("environment", "prod"),
                ("repository", "acme/api"),
                ("repository_id", "74"),
                ("repository_owner_id", "6*"),
                ("actor", "octocat"),
            ]);
            let further = match random.below(2) {
                0 => String::new(),
                _ => format!(
                    r#","{}StringLike{}":{{"{HOST}:{}":"{}"}}"#,
                    *random.one_of(&["ForAllValues:", "ForAnyValue:"]),
                    *random.one_of(&["", "IfExists"]),
                    claim.0,
                    claim.1
                ),
            };
            format!(
                r#"{{"Effect":"{effect}","Principal":{{"Federated":"arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}"}},
                "Action":"sts:AssumeRoleWithWebIdentity","Condition":{{"{operator}":{{"{HOST}:sub":{}}}{further}}}}}"#,
                quoted(&subject)
            )
        })
        .collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

/// Tokens of real shapes are in the region, and what is proved of the region holds of them.
#[test]
fn random_trusts_are_proved_as_tokens_are_admitted() {
    let provider = ProviderFacts::github(ACCOUNT);
    let mut random = Random::new(5);
    let (mut nobody, mut outsiders) = (0, 0);
    for _ in 0..(case_count() / 5_000).max(20) {
        let document = trust_document(&mut random);
        let policy = sound_text(&document, PolicyKind::Trust);
        let trust = Some(decide::Named { name: "trust policy".into(), policy: &policy });
        let layers = Layers { trust, ..Layers::default() };
        let proof = allows(&layers, &Region::tokens(&provider, ROLE));
        let meant = Meant { patterns: vec!["repo:acme/*".to_owned()], or_ids: true };
        let only = prove::only(&policy, &provider, ROLE, &meant, &[]).unwrap();
        let who = prove::who(&policy, &provider, ROLE, &[]).unwrap();
        assert!(who.unknown.is_empty(), "{document} {:?}", who.unknown);
        let by_default = who.strata.iter().any(|one| one.forms != Forms::Customised);
        assert_eq!(!by_default, matches!(proof, Proof::Never), "{document} {proof:?} {who:?}");
        nobody += usize::from(who.is_nobody());
        for stratum in &who.strata {
            assert!(decide(&layers, &stratum.witness.request).is_allowed(), "{document} {stratum:?}");
        }
        if let Only::Outsider(witness) = &only {
            outsiders += 1;
            assert!(decide(&layers, &witness.request).is_allowed(), "{document} {witness:?}");
            let subject = witness.claims.text("sub").unwrap();
            assert!(!pattern::glob("repo:acme/*", subject) && !pattern::glob("repo:acme@*/*", subject));
        }
        for subject in SUBJECTS {
            let is_allowed = decide(&layers, &token(subject)).is_allowed();
            match &proof {
                Proof::Always => assert!(is_allowed, "{document} {subject}"),
                Proof::Never => assert!(!is_allowed, "{document} {subject}"),
                Proof::Sometimes { .. } => {}
                other => panic!("{document} {other:?}"),
            }
            let is_stranger = subject.starts_with("repo:acmeX");
            assert!(!(is_allowed && is_stranger && matches!(only, Only::Proved)), "{document} {subject}");
        }
    }
    assert!(nobody > 0 && outsiders > 0, "{nobody} {outsiders}");
}

#[test]
fn hostile_trusts_meet_a_limit_and_not_a_hang() {
    let started = std::time::Instant::now();
    let provider = ProviderFacts::github(ACCOUNT);
    for value in [
        format!("repo:{}", "*a?".repeat(200)),
        format!("*a{}", "?".repeat(60)),
        "*".repeat(1_000),
        format!("repo:acme/{}:*", "*?".repeat(100)),
    ] {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":{}}},
            "Action":"sts:AssumeRoleWithWebIdentity","Condition":{{"StringLike":{{"{HOST}:sub":[{}, "*b?????????????c*"]}}}}}}}}"#,
            quoted(&provider.arn),
            quoted(&value)
        );
        let policy = sound_text(&document, PolicyKind::Trust);
        let meant = Meant { patterns: vec!["repo:acme/*".to_owned()], or_ids: false };
        match prove::only(&policy, &provider, ROLE, &meant, &[]) {
            Ok(Only::Outsider(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(too_large) => assert!(too_large.count > too_large.limit),
        }
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// No part of these questions passes a limit of its own: there are too many parts.
#[test]
fn all_parts_of_a_question_draw_on_one_budget() {
    let started = std::time::Instant::now();
    let provider = ProviderFacts::github(ACCOUNT);
    let trust = |conditions: &str| {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":{}}},
            "Action":"sts:AssumeRoleWithWebIdentity","Condition":{{{conditions}}}}}}}"#,
            quoted(&provider.arn),
        );
        sound_text(&document, PolicyKind::Trust)
    };
    let keys: Vec<String> = (0..8).map(|index| format!(r#""aws:RequestTag/{index}":["a*","*b"]"#)).collect();
    let of_keys = trust(&format!(r#""StringLikeIfExists":{{{}}}"#, keys.join(",")));
    let numbers: Vec<String> = (0..3_000).map(|index| format!("\"{index}.{}\"", "7".repeat(40))).collect();
    let of_numbers = trust(&format!(r#""NumericLessThan":{{"aws:EpochTime":[{}]}}"#, numbers.join(",")));
    let is_limit = |found: TooLarge| {
        (found.measure, found.limit) == (Measure::Steps, STEPS_MAX) && found.count > STEPS_MAX
    };
    assert!(prove::who(&of_keys, &provider, ROLE, &[]).is_err_and(is_limit));
    let meant = Meant { patterns: vec!["repo:acme/*".to_owned()], or_ids: false };
    assert!(prove::only(&of_numbers, &provider, ROLE, &meant, &[]).is_err_and(is_limit));
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn what_could_not_be_read_is_never_a_proof() {
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Alow","Action":"*","Resource":"*"}]}"#;
    let (policy, problems) = parse::document(SourceId(0), document, PolicyKind::Identity);
    assert!(!problems.is_empty());
    let proof = allows(&identity(&policy), &everything());
    assert!(matches!(proof, Proof::Unknown { .. }), "{proof:?}");
    let change = diff(&identity(&policy), &identity(&policy), &everything()).unwrap();
    assert!(!change.is_none());
}

#[test]
fn a_variable_is_filled_in_where_its_key_is_known() {
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*",
        "Resource":"arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team, 'none'}/*"}]}"#;
    let policy = sound_text(document, PolicyKind::Identity);
    let team =
        |presence, values| vec![KeyFact { name: "aws:PrincipalTag/team".to_owned(), presence, values }];
    let region = |keys| {
        let resource = Language::glob("arn:aws:ecr:eu-west-1:123456789012:repository/red/*");
        Region::product(principal(SESSION), Language::literal("ecr:PutImage"), resource, ACCOUNT, keys)
    };
    let unknown = allows(&identity(&policy), &region(team(Presence::SINGLE, Language::all())));
    assert!(matches!(unknown, Proof::Unknown { .. }), "{unknown:?}");
    let mut request = random_request(&mut Random::new(6));
    request.action = "ecr:PutImage".to_owned();
    request.resource = "arn:aws:ecr:eu-west-1:123456789012:repository/red/a".to_owned();
    for (tag, wanted) in [(Some("red"), true), (Some("blue"), false), (None, false)] {
        let mut request = request.clone();
        request.context = Context::new();
        if let Some(tag) = tag {
            request.context.set("aws:PrincipalTag/team", tag);
        }
        let proof = allows(&identity(&policy), &Region::request(&request));
        assert_eq!(matches!(proof, Proof::Always), wanted, "{tag:?} {proof:?}");
        assert_eq!(matches!(proof, Proof::Never), !wanted, "{tag:?} {proof:?}");
    }
}

/// Every operator on every kind of presence: the rows that the evaluator is held to.
#[test]
fn every_row_of_the_condition_tables_is_proved_as_it_is_evaluated() {
    for file in ["condition-matrix.json", "condition-special.json"] {
        for row in rows(&read_cases(file)) {
            let [operator, wanted, have, holds, ..] = row.items() else { panic!("{row:?}") };
            let statement = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*",
                "Condition":{{{}:{{"test:Key":{}}}}}}}}}"#,
                quoted(text(operator)),
                quoted_list(&texts(wanted))
            );
            let policy = sound_text(&statement, PolicyKind::Identity);
            let mut request = random_request(&mut Random::new(7));
            request.context = Context::new();
            if have.node != Node::Null {
                request.context.set_all("Test:key", texts(have));
            }
            let layers = identity(&policy);
            let one = allows(&layers, &Region::request(&request));
            assert_eq!(matches!(one, Proof::Always), flag(holds), "{file} {statement} {request:?} {one:?}");
            match allows(&layers, &everything()) {
                Proof::Always => assert!(flag(holds), "{statement} {request:?}"),
                Proof::Never => assert!(!flag(holds), "{statement} {request:?}"),
                Proof::Sometimes { .. } => {}
                Proof::Unknown { because } => assert!(statement.contains("${"), "{statement} {because:?}"),
                other => panic!("{statement} {other:?}"),
            }
        }
    }
}
