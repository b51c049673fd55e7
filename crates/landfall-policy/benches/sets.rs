//! What a question about languages and a proof costs. The bars: ten thousand questions a second for
//! patterns of real policies, and never more than a second for hostile ones, which meet a stated limit.
//!
//! `cargo bench -p landfall-policy --bench sets`

#![allow(missing_docs, reason = "what the macros make has no place for a sentence")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at what it did not expect")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use landfall_policy::decide::Named;
use landfall_policy::prove::{self, Meant, Only, Proof};
use landfall_policy::region::{ProviderFacts, Region};
use landfall_policy::set::Language;
use landfall_policy::{Layers, Policy, PolicyKind, Principal, parse};
use landfall_types::{Arn, SourceId};

/// Of two patterns of real trust and permission policies, whether the first one's texts are all among the
/// second one's.
const INCLUSIONS: &[(&str, &str, bool)] = &[
    ("repo:acme/api:ref:refs/heads/main", "repo:acme/api:*", true),
    ("repo:acme/api:*", "repo:acme/*", true),
    ("repo:acme/*", "repo:acme/api:*", false),
    ("repo:acme*/app:*", "repo:acme/*", false),
    ("repo:acme/*:environment:prod", "repo:acme/*", true),
    ("repo:acme/api:ref:refs/heads/release/*", "repo:*:ref:refs/heads/*", true),
    ("repo:acme/api:ref:refs/tags/v*", "repo:acme/api:ref:refs/heads/*", false),
    ("repo:*", "repo:acme/api:ref:refs/heads/main", false),
    ("project_path:acme/*:ref_type:branch:ref:main", "project_path:acme/*", true),
    ("system:serviceaccount:prod:web", "system:serviceaccount:prod:*", true),
    ("arn:aws:ecr:eu-west-1:123456789012:repository/team/api", "arn:aws:ecr:*:*:repository/team/*", true),
    ("arn:aws:ecr:*:123456789012:repository/*", "arn:aws:ecr:eu-west-1:*:repository/team/*", false),
];

/// Patterns that want to cost time: their joint states explode.
const HOSTILE: &[(&str, &str)] = &[
    ("*a????????????????????????????????????????", "*b???????????????????????????????????????*c*"),
    ("*a?a?a?*a?a?a?*a?a?a?*a?a?a?*a?a?a?*a?a?a?", "*b*a*"),
    ("*ab?ab?ab?ab?ab?ab?ab?ab?ab?ab?ab?ab?ab?", "*ba?ba?ba?ba?ba?ba?ba?*"),
    ("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "*?a?b?a?b?a?b?a?b?a?b?a?b?"),
];

fn inclusions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inclusion");
    let ask = |(left, right): (&str, &str)| Language::glob(right).includes(&Language::glob(left));
    for (left, right, wanted) in INCLUSIONS {
        assert_eq!(ask((left, right)), Ok(*wanted), "{left} in {right}");
    }
    group.throughput(Throughput::Elements(INCLUSIONS.len() as u64));
    group.bench_function("patterns of real policies", |bencher| {
        bencher.iter(|| {
            INCLUSIONS.iter().filter(|(left, right, _)| ask(black_box((left, right))) == Ok(true)).count()
        });
    });
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    let letters: Vec<char> = (0..1_000).filter_map(|at| char::from_u32(0x4e00 + at)).collect();
    let woven = |with: &str| letters.iter().map(|one| format!("{one}{with}")).collect::<String>();
    let (long, other) = (format!("*{}*", woven("?")), format!("*{}", woven("*?")));
    let stars = ("*a?".repeat(1_000), "*?b".repeat(1_000));
    let costly = [(long.as_str(), other.as_str()), (stars.0.as_str(), stars.1.as_str())];
    for (index, question) in HOSTILE.iter().chain(&costly).enumerate() {
        group.bench_function(format!("hostile {}", index + 1), |bencher| {
            bencher.iter(|| ask(black_box(*question)));
        });
    }
    group.finish();
}

fn policy(text: &str, kind: PolicyKind) -> Policy {
    let (policy, problems) = parse::document(SourceId(0), text, kind);
    assert!(problems.is_empty(), "{problems:?}");
    policy
}

fn trust(subject: &str) -> Policy {
    trust_of(&format!("\"{subject}\""), "")
}

/// A trust policy of some subjects, with further conditions behind them.
fn trust_of(subjects: &str, further: &str) -> Policy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",
        "Principal":{{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"}},
        "Action":"sts:AssumeRoleWithWebIdentity",
        "Condition":{{"StringEquals":{{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}},
            "StringLike":{{"token.actions.githubusercontent.com:sub":[{subjects}]}}{further}}}}}]}}"#
    );
    policy(&text, PolicyKind::Trust)
}

const PUSH: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
    {"Effect":"Allow","Action":["ecr:BatchCheckLayerAvailability","ecr:InitiateLayerUpload","ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload","ecr:PutImage","ecr:BatchGetImage"],
        "Resource":"arn:aws:ecr:*:123456789012:repository/team/*"}]}"#;

fn proofs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prove");
    let provider = ProviderFacts::github("123456789012");
    let role = "arn:aws:iam::123456789012:role/deploy";
    let (tight, wide) = (trust("repo:acme/api:ref:refs/heads/main"), trust("repo:acme*/app:*"));
    let meant = Meant { patterns: vec!["repo:acme/*".to_owned()], or_ids: false };
    let only = |policy: &Policy| prove::only(policy, &provider, role, &meant, &[]).unwrap();
    assert!(matches!(only(&tight), Only::Proved) && matches!(only(&wide), Only::Outsider(_)));
    group.bench_function("only, proved", |bencher| bencher.iter(|| only(black_box(&tight))));
    group.bench_function("only, refuted", |bencher| bencher.iter(|| only(black_box(&wide))));
    group
        .bench_function("who", |bencher| bencher.iter(|| prove::who(black_box(&wide), &provider, role, &[])));
    group.bench_function("diff of two trusts", |bencher| {
        bencher.iter(|| prove::diff_trust(black_box(&tight), black_box(&wide), &provider, role));
    });
    let branches: Vec<String> =
        (0..40).map(|at| format!("\"repo:acme/app-{at}:ref:refs/heads/main\"")).collect();
    let many = trust_of(&branches.join(","), "");
    group.bench_function("who, 40 repositories", |bencher| {
        bencher.iter(|| prove::who(black_box(&many), &provider, role, &[]).unwrap());
    });
    let keys: Vec<String> = (0..8).map(|at| format!(r#""aws:RequestTag/{at}":["a*","*b"]"#)).collect();
    let hostile = trust_of("\"repo:acme/*\"", &format!(r#","StringLikeIfExists":{{{}}}"#, keys.join(",")));
    group.sample_size(10);
    group.bench_function("who, hostile", |bencher| {
        bencher.iter(|| prove::who(black_box(&hostile), &provider, role, &[]).unwrap_err());
    });
    group.sample_size(100);
    let push = policy(PUSH, PolicyKind::Identity);
    let layers = Layers { identity: vec![Named { name: "push".into(), policy: &push }], ..Layers::default() };
    let session = Principal::Session {
        session: Arn::parse("arn:aws:sts::123456789012:assumed-role/deploy/run").unwrap(),
        role: Arn::parse(role).unwrap(),
        role_id: None,
    };
    let resource = Language::glob("arn:aws:ecr:eu-west-1:123456789012:repository/team/*");
    let region =
        Region::product(session, Language::literal("ecr:PutImage"), resource, "123456789012", Vec::new());
    assert!(matches!(prove::allows(&layers, &region), Proof::Always));
    group.bench_function("push everywhere below a prefix", |bencher| {
        bencher.iter(|| prove::allows(black_box(&layers), &region));
    });
    group.finish();
}

criterion_group!(benches, inclusions, proofs);
criterion_main!(benches);
