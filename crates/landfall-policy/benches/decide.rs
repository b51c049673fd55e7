//! What a decision costs. The bar: a million decisions a second on one core, for a textbook trust
//! policy and for a textbook permission set; that is one microsecond for each.
//!
//! `cargo bench -p landfall-policy`

#![allow(missing_docs, reason = "what the macros make has no place for a sentence")]
#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use landfall_policy::decide::Named;
use landfall_policy::{
    Context, Layers, Policy, PolicyKind, Principal, Request, catalogue, decide, managed, parse, pattern,
};
use landfall_types::{Arn, SourceId};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
    "Action":"sts:AssumeRoleWithWebIdentity",
    "Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"},
        "StringLike":{"token.actions.githubusercontent.com:sub":"repo:acme/api:ref:refs/heads/*"}}}]}"#;
const POWER_USER: &str = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser";
const PUSH: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
    {"Effect":"Allow","Action":["ecr:BatchCheckLayerAvailability","ecr:InitiateLayerUpload","ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload","ecr:PutImage","ecr:BatchGetImage"],
        "Resource":"arn:aws:ecr:*:123456789012:repository/team/*"}]}"#;

fn policy(text: &str, kind: PolicyKind) -> Policy {
    let (policy, problems) = parse::document(SourceId(0), text, kind);
    assert!(problems.is_empty(), "{problems:?}");
    policy
}

fn named<'a>(name: &'a str, policy: &'a Policy) -> Named<'a> {
    Named { name: name.into(), policy }
}

/// A token of a workflow on `branch`, exchanged for a role.
fn exchange(subject: &str) -> Request {
    let mut context = Context::new();
    context.set("token.actions.githubusercontent.com:aud", "sts.amazonaws.com");
    context.set("token.actions.githubusercontent.com:sub", subject);
    context.set("token.actions.githubusercontent.com:repository", "acme/api");
    context.set("sts:RoleSessionName", "GitHubActions");
    Request {
        principal: Principal::Federated {
            provider: "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
                .to_owned(),
        },
        action: "sts:AssumeRoleWithWebIdentity".to_owned(),
        resource: "arn:aws:iam::123456789012:role/deploy".to_owned(),
        resource_account: "123456789012".to_owned(),
        context,
    }
}

/// A call of a session of the role.
fn call(action: &str) -> Request {
    let mut context = Context::new();
    context.set("aws:SourceIp", "198.51.100.7");
    context.set("aws:SecureTransport", "true");
    context.set("aws:PrincipalArn", "arn:aws:iam::123456789012:role/deploy");
    Request {
        principal: Principal::Session {
            session: Arn::parse("arn:aws:sts::123456789012:assumed-role/deploy/run").unwrap(),
            role: Arn::parse("arn:aws:iam::123456789012:role/deploy").unwrap(),
            role_id: None,
        },
        action: action.to_owned(),
        resource: "arn:aws:ecr:eu-west-1:123456789012:repository/team/api".to_owned(),
        resource_account: "123456789012".to_owned(),
        context,
    }
}

fn decisions(criterion: &mut Criterion) {
    let trust = policy(TRUST, PolicyKind::Trust);
    let power_user = policy(managed::by_arn(POWER_USER).unwrap().json, PolicyKind::Identity);
    let push = policy(PUSH, PolicyKind::Identity);
    let by_trust = Layers { trust: Some(named("trust policy of deploy", &trust)), ..Layers::default() };
    let by_managed = Layers { identity: vec![named(POWER_USER, &power_user)], ..Layers::default() };
    let by_own = Layers { identity: vec![named("inline policy push", &push)], ..Layers::default() };
    let cases = [
        ("trust, allowed", &by_trust, exchange("repo:acme/api:ref:refs/heads/main"), true),
        ("trust, denied", &by_trust, exchange("repo:acme/api:pull_request"), false),
        ("ECR PowerUser, push", &by_managed, call("ecr:PutImage"), true),
        ("ECR PowerUser, denied", &by_managed, call("ecr:DeleteRepository"), false),
        ("push policy, push", &by_own, call("ecr:PutImage"), true),
        ("push policy, denied", &by_own, call("ecr:DeleteRepository"), false),
    ];
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    for (name, layers, request, allowed) in &cases {
        assert_eq!(decide(layers, request).is_allowed(), *allowed, "{name}");
        group.bench_function(*name, |bencher| bencher.iter(|| decide(black_box(layers), black_box(request))));
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let full = managed::by_arn("arn:aws:iam::aws:policy/AmazonECS_FullAccess").unwrap().json;
    for (name, text, kind) in
        [("trust policy", TRUST, PolicyKind::Trust), ("ECS FullAccess", full, PolicyKind::Identity)]
    {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| parse::document(SourceId(0), black_box(text), kind))
        });
    }
    group.finish();
}

fn globs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("glob");
    let hostile = "a*".repeat(50) + "b";
    let text = "a".repeat(2000);
    let arn = "arn:aws:ecr:eu-west-1:123456789012:repository/team/api";
    for (name, pattern, text) in [
        ("a subject", "repo:acme/*:ref:refs/heads/*", "repo:acme/api:ref:refs/heads/main"),
        ("an ARN", "arn:aws:ecr:*:*:repository/team/*", arn),
        ("hostile: 50 stars, 2000 characters", &hostile, &text),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| pattern::glob(black_box(pattern), black_box(text)))
        });
    }
    group.finish();
}

/// Looking something up; the files are read on first use, while the benchmark warms up.
fn facts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("catalogue");
    group.bench_function("an action", |bencher| bencher.iter(|| catalogue::action(black_box("ecs:RunTask"))));
    group.bench_function("a need", |bencher| {
        bencher.iter(|| catalogue::need(black_box("ecs"), black_box("RunTask")));
    });
    group.bench_function("a provider's key", |bencher| {
        bencher.iter(|| catalogue::condition_key(black_box("token.actions.githubusercontent.com:sub")));
    });
    group.finish();
}

criterion_group!(benches, facts, decisions, reading, globs);
criterion_main!(benches);
