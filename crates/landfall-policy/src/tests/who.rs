//! Who can take a role: `cases/who.txt`, which says in its head how it is read. `LANDFALL_BLESS=1`
//! rewrites what is said; read the difference before keeping it.

use super::*;
use crate::prove::{self, Breadth, Forms, Meant, Only};
use crate::region::ProviderFacts;

pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

#[test]
fn whoever_gets_in_is_named() {
    let path = format!("{}/cases/who.txt", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).unwrap();
    let (head, blocks) = file.split_once("### ").unwrap();
    let mut said = head.to_owned();
    for block in blocks.split("\n### ") {
        let (case, _) = block.split_once("---\n").unwrap();
        said.push_str(&format!("### {case}---\n{}\n", answer(case)));
    }
    let said = format!("{}\n", said.trim_end());
    #[expect(clippy::disallowed_methods, reason = "a test is its own edge")]
    if std::env::var_os("LANDFALL_BLESS").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    for (line, (wanted, got)) in file.lines().zip(said.lines()).enumerate() {
        assert_eq!(got, wanted, "who.txt:{}", line + 1);
    }
    assert_eq!(file.lines().count(), said.lines().count());
}

/// A block's provider and policy, and the patterns of its gates.
pub(super) struct Case {
    pub(super) provider: ProviderFacts,
    pub(super) policy: Policy,
    gates: Vec<(bool, String)>,
}

fn answer(block: &str) -> String {
    let Case { provider, policy, gates } = case(block);
    let who = prove::who(&policy, &provider, ROLE, &[]).unwrap();
    let mut said = String::new();
    if who.is_nobody() {
        said.push_str("nobody\n");
    }
    for stratum in &who.strata {
        let reach = format!("{} {}", breadth(stratum.breadth), forms(stratum.forms));
        said.push_str(&format!("{reach}: {}\n", stratum.words));
        said.push_str(&format!("  {}\n", stratum.witness.claims.text("sub").unwrap()));
        check(&policy, &stratum.witness);
    }
    for dead in &who.dead {
        let what = dead.value.as_ref().map_or_else(|| "statement".to_owned(), |value| format!("`{value}`"));
        let by_default = if dead.by_default { " by default" } else { "" };
        said.push_str(&format!("dead{by_default} {what}: {}\n", dead.words));
    }
    for unknown in &who.unknown {
        said.push_str(&format!("unknown: {unknown}\n"));
    }
    for (or_ids, pattern) in gates {
        let name = if or_ids { "only+ids" } else { "only" };
        let meant = Meant { patterns: vec![pattern.clone()], or_ids };
        let outcome = match prove::only(&policy, &provider, ROLE, &meant, &[]).unwrap() {
            Only::Proved => "nobody else".to_owned(),
            Only::Outsider(witness) => {
                check(&policy, &witness);
                format!("also {}", witness.claims.text("sub").unwrap())
            }
            Only::Unknown { because } => format!("unknown: {}", because.join("; ")),
        };
        said.push_str(&format!("{name} {pattern}: {outcome}\n"));
    }
    said
}

/// Every witness is one that the evaluator allows.
fn check(policy: &Policy, witness: &prove::Witness) {
    let trust = Some(decide::Named { name: "trust policy".into(), policy });
    let layers = Layers { trust, ..Layers::default() };
    let decision = decide(&layers, &witness.request);
    assert!(decision.is_allowed(), "{witness:?}: {decision:?}");
}

pub(super) fn case(block: &str) -> Case {
    let mut provider = ProviderFacts::github(ACCOUNT);
    let mut gates = Vec::new();
    let mut statements: Vec<(&str, bool, Vec<&str>)> = vec![("Allow", true, Vec::new())];
    for line in block.lines().skip(1) {
        let last = statements.last_mut().unwrap();
        match line.split_once(' ') {
            None => {
                assert!(matches!(line, "Allow" | "Deny"), "{line}");
                statements.push((line, line == "Allow", Vec::new()));
            }
            Some(("no", "audience")) => last.1 = false,
            Some(("only", pattern)) => gates.push((false, pattern.to_owned())),
            Some(("only+ids", pattern)) => gates.push((true, pattern.to_owned())),
            Some(("provider", name)) => provider = provider_of(name),
            Some(_) => last.2.push(line),
        }
    }
    let statements: Vec<String> = statements.iter().map(|one| statement(&provider, one)).collect();
    let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    Case { policy: sound_text(&document, PolicyKind::Trust), provider, gates }
}

fn provider_of(name: &str) -> ProviderFacts {
    let host = match name {
        "gitlab" => "gitlab.com",
        "eks" => "oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
        "buildkite" => "agent.buildkite.com",
        "circleci" => "oidc.circleci.com/org/36a4",
        "other" | "unknown-audiences" => "ci.example.com",
        other => panic!("no such provider: {other}"),
    };
    ProviderFacts {
        arn: format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"),
        host: host.to_owned(),
        client_ids: vec!["sts.amazonaws.com".to_owned()],
        may_have_others: name == "unknown-audiences",
    }
}

fn statement(provider: &ProviderFacts, (effect, has_audience, lines): &(&str, bool, Vec<&str>)) -> String {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let audience = "StringEquals aud sts.amazonaws.com";
    for line in lines.iter().copied().chain(has_audience.then_some(audience)) {
        let [operator, claim, values] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let key = if claim.contains(':') { claim.to_owned() } else { format!("{}:{claim}", provider.host) };
        let values: Vec<String> = values.split(" | ").map(str::to_owned).collect();
        let entry = format!("{}:{}", quoted(&key), quoted_list(&values));
        match blocks.iter_mut().find(|(known, _)| known == operator) {
            Some((_, entries)) => entries.push(entry),
            None => blocks.push((operator.to_owned(), vec![entry])),
        }
    }
    let blocks: Vec<String> = blocks
        .iter()
        .map(|(operator, entries)| format!("{}:{{{}}}", quoted(operator), entries.join(",")))
        .collect();
    let condition = match blocks.is_empty() {
        true => String::new(),
        false => format!(r#","Condition":{{{}}}"#, blocks.join(",")),
    };
    format!(
        r#"{{"Effect":"{effect}","Principal":{{"Federated":{}}},"Action":"sts:AssumeRoleWithWebIdentity"{condition}}}"#,
        quoted(&provider.arn)
    )
}

pub(super) fn breadth(breadth: Breadth) -> &'static str {
    match breadth {
        Breadth::Context => "context",
        Breadth::Repository => "repository",
        Breadth::PullRequests => "pull-requests",
        Breadth::Owner => "owner",
        Breadth::OtherOwners => "other-owners",
        Breadth::Anyone => "anyone",
    }
}

fn forms(forms: Forms) -> &'static str {
    match forms {
        Forms::Names => "names",
        Forms::Ids => "ids",
        Forms::Both => "both",
        Forms::Customised => "customised",
    }
}
