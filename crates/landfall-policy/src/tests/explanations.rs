//! Reasons as text. Each block of `cases/explanations.txt` is a case as in `decisions.json` and, after
//! a line of dashes, what is said: AWS's sentence, then the finding. `LANDFALL_BLESS=1` rewrites what
//! is said; read the difference before keeping it.

use landfall_types::Finding;

use super::decisions::{layers, policies, request};
use super::*;
use crate::explain;

#[expect(clippy::disallowed_methods, reason = "cases are rewritten when it is asked for")]
#[test]
fn denials_are_explained_as_written_down() {
    let path = format!("{}/cases/explanations.txt", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).unwrap();
    let mut said = String::new();
    for block in file.split("### ").skip(1) {
        let (case, _) = block.split_once("\n---\n").unwrap();
        let (name, document) = case.split_once('\n').unwrap();
        said.push_str(&format!("### {name}\n{document}\n---\n{}\n", explanation(name, document)));
    }
    if std::env::var_os("LANDFALL_BLESS").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    for (line, (wanted, got)) in file.lines().zip(said.lines()).enumerate() {
        assert_eq!(got, wanted, "explanations.txt:{}", line + 1);
    }
    assert_eq!(file.lines().count(), said.lines().count());
}

fn explanation(name: &str, document: &str) -> String {
    let (sources, id) = sources_with("case.json", document);
    let (case, problems) = json::parse(id, document);
    assert!(problems.is_empty(), "{name}: {problems:?}");
    let (policies, request) = (policies(&case), request(&case));
    let decision = decide(&layers(&policies), &request);
    let finding = explain::finding(&decision, &request, &sources);
    assert_eq!(explain::advice(&decision, &request).is_empty(), decision.is_allowed(), "{name}: advice");
    let mut said = explain::aws_sentence(&decision, &request);
    said.push('\n');
    said.push_str(&rendered(&finding, &sources));
    said
}

fn rendered(finding: &Finding, sources: &SourceMap) -> String {
    let mut text =
        format!("{:?}[{}]: {}\n", finding.severity, finding.rule, finding.message).to_lowercase_first();
    for label in &finding.labels {
        let excerpt = sources.excerpt(label.span);
        let shown: String = excerpt.chars().take(100).collect();
        text.push_str(&format!("  {shown}\n    ^ {}\n", label.text));
    }
    for note in &finding.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    for help in &finding.help {
        text.push_str(&format!("  help: {help}\n"));
    }
    text
}

trait LowercaseFirst {
    fn to_lowercase_first(self) -> String;
}

impl LowercaseFirst for String {
    fn to_lowercase_first(mut self) -> String {
        if let Some(first) = self.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        self
    }
}

#[test]
fn labels_of_a_text_that_is_not_at_hand_become_notes() {
    let document = r#"{"Statement":{"Effect":"Allow","Action":"ecr:Get*","Resource":"*"}}"#;
    let case = format!(r#"{{"identity":[{document}]}}"#);
    let tree = json::parse(SourceId(3), &case).0;
    let policies = policies(&tree);
    let request = request(&tree);
    let finding = explain::finding(&decide(&layers(&policies), &request), &request, &SourceMap::new());
    assert!(finding.labels.is_empty());
    assert_eq!(finding.notes, ["allows `ecr:Get*`; `ecr:PutImage` is not among them"]);
}

#[test]
fn the_sentence_names_the_layer_as_aws_does() {
    let cases = [
        ("trust", "because no role trust policy allows the", "in the role trust policy"),
        ("identity", "because no identity-based policy allows the", "in an identity-based policy"),
        ("resource", "because no resource-based policy allows the", "in a resource-based policy"),
        ("boundary", "because no permissions boundary allows the", "in a permissions boundary"),
        ("session", "because no session policy allows the", "in a session policy"),
        ("service-control", "because no service control policy allows the", "in a service control policy"),
        ("resource-control", "because no resource control policy allows the", "in a resource control policy"),
    ];
    let tree = read_cases("decisions.json");
    for (layer, implicit, explicit) in cases {
        for (kind, words) in [("implicit", implicit), ("explicit", explicit)] {
            let verdict = format!("{kind} {layer}");
            let case = rows(&tree).iter().find(|case| {
                let is_token = case.field("principal").is_some_and(|one| text(one).starts_with("federated:"));
                case.field("verdict").and_then(Tree::as_text) == Some(&verdict) && !is_token
            });
            let case = case.unwrap_or_else(|| panic!("no case for {verdict}"));
            let (policies, request) = (policies(case), request(case));
            let sentence = explain::aws_sentence(&decide(&layers(&policies), &request), &request);
            assert!(sentence.contains(words), "{verdict}: {sentence}");
        }
    }
}

#[test]
fn a_token_that_is_refused_learns_no_reason() {
    let case = r#"{"principal":"federated:arn:aws:iam::123456789012:oidc-provider/x","action":"sts:AssumeRoleWithWebIdentity"}"#;
    let tree = json::parse(SourceId(0), case).0;
    let request = request(&tree);
    let sentence = explain::aws_sentence(&decide(&Layers::default(), &request), &request);
    assert_eq!(sentence, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
}

#[test]
fn an_explicit_denial_names_the_policy_only_if_it_has_an_arn() {
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let policy = sound_text(deny, PolicyKind::Identity);
    let request = request(&json::parse(SourceId(0), "{}").0);
    for (name, ending) in [
        (
            "arn:aws:iam::123456789012:policy/x",
            "an identity-based policy: arn:aws:iam::123456789012:policy/x",
        ),
        ("inline policy x", "an identity-based policy"),
    ] {
        let named = decide::Named { name: name.into(), policy: &policy };
        let layers = Layers { identity: vec![named], ..Layers::default() };
        let sentence = explain::aws_sentence(&decide(&layers, &request), &request);
        assert!(sentence.ends_with(ending), "{sentence}");
    }
}

/// As logs of AWS have it.
#[test]
fn iam_tells_what_is_there_by_kind_and_name() {
    let account = "arn:aws:iam::123456789012";
    for (action, resource, told) in [
        ("iam:GetRole", "role/ci/deploy", "role deploy"),
        ("iam:ListRolePolicies", "role/deploy", "role deploy"),
        ("iam:AttachRolePolicy", "role/deploy", "role deploy"),
        ("iam:DeleteRole", "role/deploy", "role deploy"),
        ("iam:CreateAccessKey", "user/alice", "user alice"),
        ("iam:GetGroup", "group/deploy-group", "group deploy-group"),
        ("iam:GetInstanceProfile", "instance-profile/machine", "instance profile machine"),
        ("iam:CreatePolicy", "policy/ci/push", "policy push"),
        ("iam:GetPolicy", "policy/ci/push", "policy arn:aws:iam::123456789012:policy/ci/push"),
        ("iam:CreateRole", "role/ci/deploy", "arn:aws:iam::123456789012:role/ci/deploy"),
        ("iam:PassRole", "role/deploy", "arn:aws:iam::123456789012:role/deploy"),
        ("iam:TagRole", "role/deploy", "arn:aws:iam::123456789012:role/deploy"),
        ("iam:ListRoles", "role/", "arn:aws:iam::123456789012:role/"),
        (
            "iam:GetOpenIDConnectProvider",
            "oidc-provider/a.test",
            "arn:aws:iam::123456789012:oidc-provider/a.test",
        ),
        ("sts:AssumeRole", "role/deploy", "arn:aws:iam::123456789012:role/deploy"),
    ] {
        assert_eq!(explain::resource_told(action, &format!("{account}:{resource}")), told, "{action}");
    }
    assert_eq!(explain::resource_told("iam:ListPolicies", "*"), "policy path /");
    assert_eq!(explain::resource_told("iam:GetAccountSummary", "*"), "*");
}
