//! Who gets in, worked out by hand: `cases/trusts.txt`, which says in its head how it is read. The
//! evaluator is asked about each token, the prover about all of them.

use super::who::{Case, ROLE, breadth, case};
use super::*;
use crate::prove::{self, Meant, Only};
use crate::region::ProviderFacts;

#[test]
fn trusts_admit_whom_they_admit_by_hand() {
    let path = format!("{}/cases/trusts.txt", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).unwrap();
    let mut wrong = Vec::new();
    let (mut blocks, mut lines) = (0, 0);
    for block in file.split("\n### ").skip(1) {
        let (asked, expected) = block.split_once("---\n").unwrap();
        let name = asked.lines().next().unwrap();
        let case = case(asked);
        blocks += 1;
        for line in expected.lines().filter(|line| !line.is_empty()) {
            lines += 1;
            if let Err(said) = check(&case, line) {
                wrong.push(format!("{name}: {line}: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(blocks > 40 && lines > 180, "{blocks} {lines}");
}

/// What was said instead, where it differs.
fn check(case: &Case, line: &str) -> Result<(), String> {
    let Case { provider, policy, .. } = case;
    let (what, rest) = line.split_once(' ').unwrap();
    let who = || prove::who(policy, provider, ROLE, &[]).unwrap();
    match what {
        "in" | "out" => {
            let trust = Some(decide::Named { name: "trust policy".into(), policy });
            let layers = Layers { trust, ..Layers::default() };
            let is_allowed = decide(&layers, &token(provider, rest)).is_allowed();
            if is_allowed == (what == "in") { Ok(()) } else { Err(format!("allowed: {is_allowed}")) }
        }
        "reach" => {
            let who = who();
            let reach = who.strata.iter().map(|stratum| stratum.breadth).max();
            let said = reach.map_or("nobody", breadth);
            let agrees = said == rest && who.unknown.is_empty();
            if agrees { Ok(()) } else { Err(format!("{said} {:?} {:?}", who.strata, who.unknown)) }
        }
        "dead" => {
            let who = who();
            let is_dead = who.dead.iter().any(|dead| dead.value.as_deref() == Some(rest));
            if is_dead { Ok(()) } else { Err(format!("{:?}", who.dead)) }
        }
        "only" => {
            let (pattern, wanted) = rest.rsplit_once(": ").unwrap();
            let meant = Meant { patterns: vec![pattern.to_owned()], or_ids: false };
            let said = prove::only(policy, provider, ROLE, &meant, &[]).unwrap();
            match (&said, wanted) {
                (Only::Proved, "yes") | (Only::Outsider(_), "no") => Ok(()),
                _ => Err(format!("{said:?}")),
            }
        }
        other => panic!("{other}"),
    }
}

/// A token of a subject, with the claims that its issuer would put beside it.
fn token(provider: &ProviderFacts, words: &str) -> Request {
    let mut words = words.split(' ');
    let subject = words.next().unwrap();
    let mut context = Context::new();
    let key = |claim: &str| format!("{}:{claim}", provider.host);
    context.set(key("sub"), subject);
    context.set(key("aud"), "sts.amazonaws.com");
    if provider.host.contains("githubusercontent") {
        github(subject, |claim, value| context.set(key(claim), value));
    }
    for (claim, value) in words.map(|word| word.split_once('=').unwrap()) {
        match value {
            "" => context.set_all(key(claim), Vec::new()),
            value => context.set(key(claim), value),
        }
    }
    Request {
        principal: Principal::Federated { provider: provider.arn.clone() },
        action: "sts:AssumeRoleWithWebIdentity".to_owned(),
        resource: ROLE.to_owned(),
        resource_account: ACCOUNT.to_owned(),
        context,
    }
}

fn github(subject: &str, mut set: impl FnMut(&str, &str)) {
    let (repository, tail) =
        subject.strip_prefix("repo:").and_then(|rest| rest.split_once(':')).unwrap_or(("", ""));
    let parts: Vec<&str> = repository.split(['/', '@']).collect();
    let (name, owner_id, id) = match parts.as_slice() {
        [owner, owner_id, name, id] => (format!("{owner}/{name}"), *owner_id, *id),
        _ => (repository.to_owned(), "1001", "2002"),
    };
    set("repository", &name);
    set("repository_owner_id", owner_id);
    set("repository_id", id);
    set("ref", tail.strip_prefix("ref:").unwrap_or("refs/heads/main"));
    if let Some(environment) = tail.strip_prefix("environment:") {
        set("environment", environment);
    }
    for (claim, value) in [("actor", "octocat"), ("actor_id", "1"), ("workflow", "ci")] {
        set(claim, value);
    }
    set("job_workflow_ref", &format!("{name}/.github/workflows/ci.yml@refs/heads/main"));
}
