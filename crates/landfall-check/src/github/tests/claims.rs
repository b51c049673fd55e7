use landfall_types::ClaimValue;

use super::plan::{Files, run};
use super::*;

#[test]
fn the_subject_is_the_environment_before_the_pull_request_before_the_ref() {
    let mut rows = 0;
    for row in include_str!("../../../cases/github/claims.txt").lines().filter(|row| !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [event, git_ref, environment, immutable, wanted, keys @ ..] = cells.as_slice() else {
            panic!("{row}")
        };
        let facts = TokenFacts {
            event_name: (*event).to_owned(),
            git_ref: (*git_ref).to_owned(),
            environment: Some((*environment).to_owned()).filter(|name| !name.is_empty()),
            immutable_subject: *immutable == "yes",
            subject_keys: keys.first().map(|keys| keys.split(',').map(str::to_owned).collect()),
            repository_id: 74,
            owner_id: 65,
            ..TokenFacts::of("acme/api")
        };
        assert_eq!(subject(&facts), *wanted, "{row}");
        let claims = token_claims(&facts, 1_000, "id");
        assert_eq!(claims.text("sub"), Some(*wanted));
        // The claim itself is not escaped, and absent without an environment.
        assert_eq!(claims.text("environment"), facts.environment.as_deref());
        rows += 1;
    }
    assert!(rows >= 20);
}

fn called_job(
    event: EventFacts,
    environment: Option<&str>,
    audience: Option<&str>,
) -> landfall_types::Claims {
    let mut library = Files::default();
    let called = "on: workflow_call\njobs: { d: { runs-on: [self-hosted], steps: [] } }\n";
    library.files.insert(
        "acme/t/.github/workflows/y.yml@v1".to_owned(),
        (called.to_owned(), "refs/tags/v1".to_owned()),
    );
    let root = fine(
        ".github/workflows/x.yml",
        "name: Ship\non: push\npermissions: { id-token: write }\njobs: { a: { uses: acme/t/.github/workflows/y.yml@v1 } }\n",
    );
    let mut run = run();
    run.event = event;
    let plan = crate::github::plan(&root, &run, &mut library).unwrap();
    let job = plan.job("a/d").unwrap();
    assert!(job.permissions.may_mint());
    crate::github::claims(&run, job, environment, audience, 1_700_000_000, "jti-1")
}

#[test]
fn a_called_job_has_its_callers_claims_and_its_own_file() {
    let claims = called_job(EventFacts::push("refs/heads/main"), Some("prod"), Some("sts.amazonaws.com"));
    let wanted = [
        ("jti", "jti-1"),
        ("sub", "repo:acme/api:environment:prod"),
        ("aud", "sts.amazonaws.com"),
        ("ref", "refs/heads/main"),
        ("sha", "run-sha"),
        ("repository", "acme/api"),
        ("repository_owner", "acme"),
        ("repository_owner_id", "65"),
        ("run_id", "4918"),
        ("run_number", "10"),
        ("run_attempt", "2"),
        ("repository_visibility", "private"),
        ("repository_id", "74"),
        ("actor_id", "12"),
        ("actor", "octocat"),
        ("workflow", "Ship"),
        ("head_ref", ""),
        ("base_ref", ""),
        ("event_name", "push"),
        ("ref_protected", "false"),
        ("ref_type", "branch"),
        ("workflow_ref", "acme/api/.github/workflows/x.yml@refs/heads/main"),
        ("workflow_sha", "run-sha"),
        ("job_workflow_ref", "acme/t/.github/workflows/y.yml@refs/tags/v1"),
        ("job_workflow_sha", "remote-sha"),
        ("runner_environment", "self-hosted"),
        ("environment", "prod"),
        ("iss", "https://token.actions.githubusercontent.com"),
    ];
    let texts = claims.iter().filter_map(|(name, value)| match value {
        ClaimValue::Text(text) => Some((name, text.as_str())),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), wanted);
    // The three times are numbers; nothing else is.
    let numbers = claims.iter().filter_map(|(name, value)| match value {
        ClaimValue::Number(text) => Some((name, text.as_str())),
        _ => None,
    });
    let times = [("nbf", "1699999400"), ("exp", "1700000300"), ("iat", "1700000000")];
    assert_eq!(numbers.collect::<Vec<_>>(), times);
    assert_eq!(claims.iter().count(), wanted.len() + times.len());
}

#[test]
fn a_pull_request_names_both_branches_and_the_default_audience_is_the_owner() {
    let claims = called_job(EventFacts::pull_request(7, "main", "fix/x"), None, None);
    for (name, wanted) in [
        ("sub", "repo:acme/api:pull_request"),
        ("aud", "https://github.com/acme"),
        ("ref", "refs/pull/7/merge"),
        ("head_ref", "fix/x"),
        ("base_ref", "main"),
        ("workflow_ref", "acme/api/.github/workflows/x.yml@refs/pull/7/merge"),
    ] {
        assert_eq!(claims.text(name), Some(wanted), "{name}");
    }
    assert_eq!(claims.get("environment"), None);
}

#[test]
fn further_claims_are_added_and_replace_what_is_there() {
    let facts = TokenFacts {
        check_run_id: Some(5),
        further: vec![
            ("enterprise".to_owned(), "octocat-inc".to_owned()),
            ("actor".to_owned(), "someone".to_owned()),
        ],
        git_ref: "refs/tags/v1".to_owned(),
        ..TokenFacts::of("acme/api")
    };
    let claims = token_claims(&facts, 0, "id");
    for (name, wanted) in [
        ("enterprise", "octocat-inc"),
        ("actor", "someone"),
        ("check_run_id", "5"),
        ("ref_type", "tag"),
        ("runner_environment", "github-hosted"),
    ] {
        assert_eq!(claims.text(name), Some(wanted), "{name}");
    }
}

#[test]
fn the_github_context_says_the_same_as_the_token() {
    let root = fine(
        ".github/workflows/x.yml",
        "name: Ship\non: pull_request\njobs: { a: { runs-on: x, steps: [] } }\n",
    );
    let mut run = run();
    run.event = EventFacts::pull_request(7, "main", "fix/x");
    let plan = crate::github::plan(&root, &run, &mut Files::default()).unwrap();
    let job = plan.job("a").unwrap();
    let claims = crate::github::claims(&run, job, None, None, 0, "id");
    let github = crate::github::context::github(&run, job);
    for name in ["actor", "actor_id", "base_ref", "event_name", "head_ref", "ref", "ref_type", "repository"] {
        assert_eq!(github.get(name).map(Value::to_text).as_deref(), claims.text(name), "{name}");
    }
    for name in
        ["repository_owner", "run_id", "run_number", "sha", "workflow", "workflow_ref", "workflow_sha"]
    {
        assert_eq!(github.get(name).map(Value::to_text).as_deref(), claims.text(name), "{name}");
    }
    let contexts = Contexts::new().with("github", Value::from(github));
    let value = |text: &str| {
        let may = slot::Slot::Step.availability();
        expr::Expression::parse(text, &may).unwrap().evaluate(&contexts).unwrap().to_text()
    };
    assert_eq!(value("github.event.number"), "7");
    assert_eq!(value("github.event.pull_request.head.ref"), "fix/x");
    assert_eq!(value("github.event.repository.default_branch"), "main");
}
