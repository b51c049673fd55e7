//! Who may do what: layers and a request in, verdict and nearest miss out.

use super::*;
use crate::decide::Named;
use crate::decision::{Clause, Decision, Denial, Layer, Miss, Outcome};
use crate::managed;

/// The policies of a case, before layers borrow them.
#[derive(Default)]
pub(super) struct Policies {
    trust: Option<Policy>,
    identity: Vec<Policy>,
    managed: Vec<(String, Policy)>,
    resource: Vec<Policy>,
    boundary: Option<Policy>,
    session: Option<Vec<Policy>>,
    service_control: Vec<Vec<Policy>>,
    resource_control: Vec<Vec<Policy>>,
}

#[test]
fn every_case_is_decided_as_documented() {
    let tree = read_cases("decisions.json");
    assert!(rows(&tree).len() >= 150);
    for case in rows(&tree) {
        let name = text(case.field("name").unwrap());
        let policies = policies(case);
        let decision = decide(&layers(&policies), &request(case));
        let verdict = verdict(&decision.outcome);
        assert_eq!(verdict, text(case.field("verdict").unwrap()), "{name}: {decision:#?}");
        if let Some(closest) = case.field("closest") {
            let nearest = decision.misses.first().map(clauses).unwrap_or_default();
            assert_eq!(nearest, texts(closest), "{name}: {:#?}", decision.misses);
        }
        if let Some(layers) = case.field("allowed_by") {
            let allowed_by: Vec<_> = decision.allowed_by.iter().map(|by| layer(by.layer)).collect();
            assert_eq!(allowed_by, texts(layers), "{name}");
        }
        let unknown = case.field("unknown").map(texts).unwrap_or_default();
        assert_eq!(decision.unknown, unknown, "{name}");
        check_shape(&decision, name);
    }
}

/// What holds of every decision.
fn check_shape(decision: &Decision, name: &str) {
    assert!(decision.misses.iter().all(|miss| !miss.failed.is_empty()), "{name}: a miss without a reason");
    match decision.outcome {
        Outcome::Allowed => assert!(decision.misses.is_empty(), "{name}: misses of an allowed request"),
        Outcome::Denied(_) => assert!(decision.allowed_by.is_empty(), "{name}: grants of a denial"),
    }
    for miss in &decision.misses {
        for clause in &miss.failed {
            let Clause::Condition { wanted, value_spans, .. } = clause else { continue };
            assert_eq!(wanted.len(), value_spans.len(), "{name}: a place for each value");
        }
    }
}

/// What one more statement can do: a grant never takes away, and a denial of everything always does.
#[test]
fn a_further_grant_never_denies_and_a_denial_of_everything_always_does() {
    let grant =
        sound_text(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#, PolicyKind::Identity);
    let deny =
        sound_text(r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#, PolicyKind::Identity);
    for case in rows(&read_cases("decisions.json")) {
        let name = text(case.field("name").unwrap());
        let (policies, request) = (policies(case), request(case));
        let before = decide(&layers(&policies), &request).is_allowed();
        let mut granted = layers(&policies);
        granted.identity.push(named("grant", &grant));
        assert!(!before || decide(&granted, &request).is_allowed(), "{name}: a grant took away");
        let mut denied = layers(&policies);
        // Organizations' policies bind everybody but roles that belong to a service.
        if name.starts_with("a service-linked role is") {
            denied.identity.push(named("deny", &deny));
        } else {
            denied.resource_control.push(vec![named("deny", &deny)]);
        }
        let outcome = decide(&denied, &request).outcome;
        assert!(matches!(outcome, Outcome::Denied(Denial::Explicit { .. })), "{name}: {outcome:?}");
    }
}

#[test]
fn a_miss_points_at_the_very_values() {
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:ResourceTag/team":["red","green"]}}}]}"#;
    let (sources, id) = sources_with("policy.json", document);
    let (policy, problems) = parse::document(id, document, PolicyKind::Identity);
    assert!(problems.is_empty());
    let case = json::parse(SourceId(9), r#"{"context":{"aws:ResourceTag/team":"blue"}}"#).0;
    let layers = Layers { identity: vec![named("p", &policy)], ..Layers::default() };
    let decision = decide(&layers, &request(&case));
    let Some(Clause::Condition { value_spans, got, span, .. }) = decision.misses[0].failed.first() else {
        panic!("{decision:?}")
    };
    let excerpts: Vec<_> = value_spans.iter().map(|span| sources.excerpt(*span)).collect();
    assert_eq!(excerpts, ["\"red\"", "\"green\""]);
    assert_eq!(sources.excerpt(*span), r#""aws:ResourceTag/team":["red","green""#);
    assert_eq!(got.as_deref(), Some(&["blue".to_owned()][..]));
}

#[test]
fn only_the_nearest_misses_are_kept() {
    let statement = r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}"#;
    let document = format!(r#"{{"Statement":[{}]}}"#, vec![statement; 100].join(","));
    let policy = sound_text(&document, PolicyKind::Identity);
    let layers = Layers { identity: vec![named("p", &policy)], ..Layers::default() };
    let case = json::parse(SourceId(9), "{}").0;
    let misses = decide(&layers, &request(&case)).misses;
    assert_eq!(misses.len(), crate::matching::MISSES_PER_LAYER_MAX);
}

pub(super) fn request(case: &Tree) -> Request {
    let or = |field: &str, default: &str| case.field(field).map_or(default, text).to_owned();
    Request {
        principal: principal(&or("principal", SESSION)),
        action: or("action", "ecr:PutImage"),
        resource: or("resource", REPOSITORY),
        resource_account: or("account", ACCOUNT),
        context: context(case.field("context")),
    }
}

pub(super) fn policies(case: &Tree) -> Policies {
    // Unread statements are the very point of some cases, so problems are not looked at here.
    let read = |tree: &Tree, kind| parse::policy(tree, kind).0;
    let one = |field: &str, kind| case.field(field).map(|tree| read(tree, kind));
    let list = |tree: &Tree, kind| tree.items().iter().map(|tree| read(tree, kind)).collect::<Vec<_>>();
    let levels = |field: &str, kind| {
        case.field(field).map_or(&[][..], Tree::items).iter().map(|level| list(level, kind)).collect()
    };
    let managed = |arn: String| {
        // A source of its own that no test shows: its places aren't those of the case.
        let json = managed::by_arn(&arn).unwrap().json;
        let (policy, problems) = parse::document(SourceId(99), json, PolicyKind::Identity);
        assert!(problems.is_empty(), "{arn}: {problems:?}");
        (arn, policy)
    };
    Policies {
        trust: one("trust", PolicyKind::Trust),
        identity: case.field("identity").map_or_else(Vec::new, |tree| list(tree, PolicyKind::Identity)),
        managed: case.field("managed").map(texts).unwrap_or_default().into_iter().map(managed).collect(),
        // One, or a list of them: the repository's and the registry's.
        resource: super::reference::one_or_many(case.field("resource_policy"))
            .into_iter()
            .map(|tree| read(tree, PolicyKind::Resource))
            .collect(),
        boundary: one("boundary", PolicyKind::Identity),
        session: case.field("session").map(|tree| list(tree, PolicyKind::Identity)),
        service_control: levels("service_control", PolicyKind::Identity),
        resource_control: levels("resource_control", PolicyKind::Identity),
    }
}

fn named<'a>(name: &str, policy: &'a Policy) -> Named<'a> {
    Named { name: name.to_owned().into(), policy }
}

pub(super) fn layers(policies: &Policies) -> Layers<'_> {
    fn list<'a>(name: &str, policies: &'a [Policy]) -> Vec<Named<'a>> {
        policies.iter().enumerate().map(|(index, one)| named(&format!("{name} {}", index + 1), one)).collect()
    }
    let mut identity = list("identity", &policies.identity);
    identity.extend(policies.managed.iter().map(|(arn, policy)| named(arn, policy)));
    Layers {
        trust: policies.trust.as_ref().map(|policy| named("trust policy of target", policy)),
        identity,
        resource: ["policy of api", "policy of the registry"]
            .into_iter()
            .zip(&policies.resource)
            .map(|(name, policy)| named(name, policy))
            .collect(),
        boundary: policies.boundary.as_ref().map(|policy| named("boundary", policy)),
        session: policies.session.as_deref().map(|policies| list("session policy", policies)),
        service_control: policies.service_control.iter().map(|level| list("scp", level)).collect(),
        resource_control: policies.resource_control.iter().map(|level| list("rcp", level)).collect(),
    }
}

fn verdict(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allowed => "allowed".to_owned(),
        Outcome::Denied(Denial::Explicit { by }) => format!("explicit {}", layer(by.layer)),
        Outcome::Denied(Denial::Implicit { layer: which }) => format!("implicit {}", layer(*which)),
    }
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Trust => "trust",
        Layer::Identity => "identity",
        Layer::Resource => "resource",
        Layer::Boundary => "boundary",
        Layer::Session => "session",
        Layer::ServiceControl => "service-control",
        Layer::ResourceControl => "resource-control",
    }
}

fn clauses(miss: &Miss) -> Vec<String> {
    let sid = miss.statement.sid.as_ref().map_or_else(String::new, |sid| format!("{sid} "));
    let clause = |clause: &Clause| match clause {
        Clause::Principal { .. } => format!("{sid}Principal"),
        Clause::Action { negated, .. } => format!("{sid}{}Action", if *negated { "Not" } else { "" }),
        Clause::Resource { negated, .. } => format!("{sid}{}Resource", if *negated { "Not" } else { "" }),
        Clause::Condition { operator, key, .. } => format!("{sid}{operator} {key}"),
    };
    miss.failed.iter().map(clause).collect()
}

/// The page that lists the rules names rows that are there.
#[test]
fn every_rule_of_the_documentation_has_its_row() {
    let path = format!("{}/../../docs/evaluation.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let tree = read_cases("decisions.json");
    let names: Vec<&str> = rows(&tree).iter().map(|case| text(case.field("name").unwrap())).collect();
    let mut count = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let row = line.trim_end_matches(" |").rsplit(" | ").next().unwrap().trim_matches('`');
        assert!(names.contains(&row), "{row}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}
