//! A policy of any kind is read, decided on and explained; what is written is also checked as IAM would.

use landfall_policy::decide::Named;
use landfall_policy::{
    Context, Layers, Policy, PolicyKind, Principal, Request, decide, explain, json, parse, write_time,
};
use landfall_types::{AccountId, Arn, SourceMap};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let sources = SourceMap::new();
    let source = sources.add("policy", text);
    let (tree, _) = json::parse(source, text);
    for kind in [PolicyKind::Identity, PolicyKind::Resource, PolicyKind::Trust] {
        let (policy, problems) = parse::policy(&tree, kind);
        let _ = write_time::write_time_problems(&policy, &tree, kind, "123456789012");
        for problem in &problems {
            let _ = problem.finding();
        }
        for request in requests() {
            let decision = decide(&layers(kind, &policy), &request);
            let sentence = explain::aws_sentence(&decision, &request);
            assert_eq!(sentence.is_empty(), decision.is_allowed());
            let _ = explain::finding(&decision, &request, &sources);
        }
    }
}

fn layers(kind: PolicyKind, policy: &Policy) -> Layers<'_> {
    let named = Named { name: "policy".into(), policy };
    match kind {
        PolicyKind::Identity => Layers { identity: vec![named], ..Layers::default() },
        PolicyKind::Resource => Layers { resource: vec![named], ..Layers::default() },
        PolicyKind::Trust => Layers { trust: Some(named), ..Layers::default() },
    }
}

fn requests() -> [Request; 2] {
    let account = AccountId::parse("123456789012").expect("twelve digits");
    let mut context = Context::new();
    context.set("token.actions.githubusercontent.com:sub", "repo:acme/api:ref:refs/heads/main");
    context.set("aws:SourceIp", "127.0.0.1");
    context.set("aws:CurrentTime", "2026-10-01T12:00:00Z");
    let request = |principal, action: &str, resource: String| Request {
        principal,
        action: action.to_owned(),
        resource,
        resource_account: account.to_string(),
        context: context.clone(),
    };
    let session = Principal::Session {
        session: Arn::assumed_role(account, "deploy", "test"),
        role: Arn::role(account, "/", "deploy"),
        role_id: None,
    };
    let provider = Arn::oidc_provider(account, "token.actions.githubusercontent.com").to_string();
    [
        request(session, "ecr:PutImage", Arn::repository("eu-west-1", account, "team/api").to_string()),
        request(
            Principal::Federated { provider },
            "sts:AssumeRoleWithWebIdentity",
            Arn::role(account, "/", "deploy").to_string(),
        ),
    ]
}
