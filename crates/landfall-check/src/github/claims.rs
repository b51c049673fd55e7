//! The claims of the ID token that GitHub would give a job.
//!
//! GitHub, "OpenID Connect reference": token claims, subject claims, immutable subject claims. Every
//! value is a string but the three times; `head_ref` and `base_ref` are empty outside of pull requests;
//! what does not apply is absent, never null (observed).

use landfall_types::claims::GITHUB_ISSUER;
use landfall_types::{ClaimValue, Claims};

use super::model::JobBody;
use super::plan::{PlannedJob, RunFacts};

/// How long a token lives after its issue, in seconds (GitHub's sample token).
pub const TOKEN_LIFE_SECONDS: i64 = 300;
/// How long before its issue a token is valid, in seconds (GitHub's sample token).
pub const TOKEN_EARLY_SECONDS: i64 = 600;

/// Who may see a repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// `public`
    Public,
    /// `private`
    Private,
    /// `internal`
    Internal,
}

impl Visibility {
    /// The word in `repository_visibility`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Internal => "internal",
        }
    }
}

/// Everything that a token is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct TokenFacts {
    /// `iss`
    pub issuer: String,
    /// `aud`; none stands for `https://github.com/OWNER`, which GitHub takes when a job names no audience.
    pub audience: Option<String>,
    /// `OWNER/NAME`
    pub repository: String,
    /// `repository_id`
    pub repository_id: u64,
    /// `repository_owner_id`
    pub owner_id: u64,
    /// Whether the subject carries both ids: the repository was made, renamed or transferred after
    /// 2026-07-15, or opted in.
    pub immutable_subject: bool,
    /// `include_claim_keys`: the claims that the subject is made of, where that is customised.
    pub subject_keys: Option<Vec<String>>,
    /// `repository_visibility`
    pub visibility: Visibility,
    /// `event_name`
    pub event_name: String,
    /// `ref`, full: `refs/heads/main`
    pub git_ref: String,
    /// `ref_protected`
    pub ref_protected: bool,
    /// `head_ref`
    pub head_ref: String,
    /// `base_ref`
    pub base_ref: String,
    /// `sha`
    pub sha: String,
    /// `actor`
    pub actor: String,
    /// `actor_id`
    pub actor_id: u64,
    /// The job's environment, as its name stands in the file.
    pub environment: Option<String>,
    /// `workflow`: the name of the workflow that was started.
    pub workflow: String,
    /// `workflow_ref`: the file that was started.
    pub workflow_ref: String,
    /// `workflow_sha`
    pub workflow_sha: String,
    /// `job_workflow_ref`: the file that defines the job.
    pub job_workflow_ref: String,
    /// `job_workflow_sha`
    pub job_workflow_sha: String,
    /// `run_id`
    pub run_id: u64,
    /// `run_number`
    pub run_number: u64,
    /// `run_attempt`
    pub run_attempt: u64,
    /// `runner_environment`: whether the runner is GitHub's own.
    pub self_hosted: bool,
    /// `check_run_id`, when known.
    pub check_run_id: Option<u64>,
    /// Further claims, such as `enterprise`, `environment_node_id` or `repo_property_NAME`.
    pub further: Vec<(String, String)>,
}

impl TokenFacts {
    /// Facts for a push to `main` of a repository, to be changed field by field.
    pub fn of(repository: impl Into<String>) -> Self {
        let repository = repository.into();
        let workflow_ref = format!("{repository}/.github/workflows/deploy.yml@refs/heads/main");
        let sha = "0000000000000000000000000000000000000000";
        let owner = owner_of(&repository).to_owned();
        Self {
            issuer: GITHUB_ISSUER.to_owned(),
            audience: None,
            repository,
            repository_id: 1,
            owner_id: 1,
            immutable_subject: false,
            subject_keys: None,
            visibility: Visibility::Private,
            event_name: "push".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            ref_protected: false,
            head_ref: String::new(),
            base_ref: String::new(),
            sha: sha.to_owned(),
            actor: owner,
            actor_id: 1,
            environment: None,
            workflow: ".github/workflows/deploy.yml".to_owned(),
            job_workflow_ref: workflow_ref.clone(),
            workflow_ref,
            workflow_sha: sha.to_owned(),
            job_workflow_sha: sha.to_owned(),
            run_id: 1,
            run_number: 1,
            run_attempt: 1,
            self_hosted: false,
            check_run_id: None,
            further: Vec::new(),
        }
    }

    /// The facts of one job of a run.
    pub fn of_job(
        run: &RunFacts,
        job: &PlannedJob,
        environment: Option<&str>,
        audience: Option<&str>,
    ) -> Self {
        Self {
            issuer: GITHUB_ISSUER.to_owned(),
            audience: audience.map(str::to_owned),
            repository: run.repository.clone(),
            repository_id: run.repository_id,
            owner_id: run.owner_id,
            immutable_subject: run.immutable_subject,
            subject_keys: run.subject_keys.clone(),
            visibility: run.visibility,
            event_name: run.event.name.clone(),
            git_ref: run.event.git_ref.clone(),
            ref_protected: false,
            head_ref: run.event.head_ref.clone(),
            base_ref: run.event.base_ref.clone(),
            sha: run.sha.clone(),
            actor: run.actor.clone(),
            actor_id: run.actor_id,
            environment: environment.map(str::to_owned),
            workflow: job.run_workflow.display_name().to_owned(),
            workflow_ref: format!("{}/{}@{}", run.repository, job.run_workflow.path, run.event.git_ref),
            workflow_sha: run.sha.clone(),
            job_workflow_ref: job.workflow_ref.clone(),
            job_workflow_sha: job.workflow_sha.clone(),
            run_id: run.run_id,
            run_number: run.run_number,
            run_attempt: run.run_attempt,
            self_hosted: is_self_hosted(job),
            check_run_id: None,
            further: Vec::new(),
        }
    }
}

/// A runner's labels say whether it is one of GitHub's own; labels from expressions count as GitHub's.
fn is_self_hosted(job: &PlannedJob) -> bool {
    match &job.job.body {
        JobBody::Steps(steps) => {
            steps.runs_on.labels.iter().any(|label| label.text.eq_ignore_ascii_case("self-hosted"))
        }
        JobBody::Call(_) => false,
    }
}

fn owner_of(repository: &str) -> &str {
    repository.split_once('/').map_or(repository, |(owner, _)| owner)
}

/// Colons inside of a value become `%3A`, so that the parts of a subject stay apart.
fn escaped(value: &str) -> String {
    value.replace(':', "%3A")
}

/// The events whose ref is `refs/pull/N/merge`: their subject says `pull_request` instead of a ref.
fn is_pull_request(facts: &TokenFacts) -> bool {
    matches!(
        facts.event_name.as_str(),
        "pull_request" | "pull_request_review" | "pull_request_review_comment"
    )
}

/// `sub` by default: `repo:OWNER/NAME:CONTEXT`, or `repo:OWNER@ID/NAME@ID:CONTEXT` in its immutable form. The context
/// is the environment if there is one, else `pull_request` for pull requests, else the ref.
fn default_subject(facts: &TokenFacts) -> String {
    let repository = match (facts.immutable_subject, facts.repository.split_once('/')) {
        (true, Some((owner, name))) => {
            format!("{owner}@{}/{name}@{}", facts.owner_id, facts.repository_id)
        }
        _ => facts.repository.clone(),
    };
    let context = match &facts.environment {
        Some(environment) => format!("environment:{}", escaped(environment)),
        None if is_pull_request(facts) => "pull_request".to_owned(),
        None => format!("ref:{}", escaped(&facts.git_ref)),
    };
    format!("repo:{repository}:{context}")
}

/// The `sub` that a template makes of a token's claims (`include_claim_keys`): each key with its value,
/// `context` without its name, `repo` as default subjects begin. A claim that isn't there is empty.
/// <https://docs.github.com/en/actions/reference/security/oidc#customizing-the-token-claims>
fn customised_subject(claims: &Claims, keys: &[String]) -> String {
    let default = claims.text("sub").unwrap_or("");
    let rest = default.strip_prefix("repo:").unwrap_or(default);
    let (repository, context) = rest.split_once(':').unwrap_or((rest, ""));
    let part = |key: &String| match key.as_str() {
        "context" => context.to_owned(),
        "repo" => format!("repo:{repository}"),
        claim => format!("{claim}:{}", escaped(claims.text(claim).unwrap_or(""))),
    };
    keys.iter().map(part).collect::<Vec<_>>().join(":")
}

/// The `sub` of a token: by the repository's template, or GitHub's default.
pub fn subject(facts: &TokenFacts) -> String {
    token_claims(facts, 0, "").text("sub").unwrap_or_default().to_owned()
}

/// The claims of one job's token; `issued_at` in seconds since 1970, `token_id` becomes `jti`.
pub fn claims(
    run: &RunFacts,
    job: &PlannedJob,
    environment: Option<&str>,
    audience: Option<&str>,
    issued_at: i64,
    token_id: &str,
) -> Claims {
    token_claims(&TokenFacts::of_job(run, job, environment, audience), issued_at, token_id)
}

/// The claims of a token; `issued_at` in seconds since 1970, `token_id` becomes `jti`.
pub fn token_claims(facts: &TokenFacts, issued_at: i64, token_id: &str) -> Claims {
    let owner = owner_of(&facts.repository);
    let mut claims = Claims::new();
    let mut text = |name: &str, value: &str| claims.set_text(name, value);
    text("jti", token_id);
    text("sub", &default_subject(facts));
    let default_audience = format!("https://github.com/{owner}");
    text("aud", facts.audience.as_deref().unwrap_or(&default_audience));
    text("ref", &facts.git_ref);
    text("sha", &facts.sha);
    text("repository", &facts.repository);
    text("repository_owner", owner);
    text("repository_owner_id", &facts.owner_id.to_string());
    text("run_id", &facts.run_id.to_string());
    text("run_number", &facts.run_number.to_string());
    text("run_attempt", &facts.run_attempt.to_string());
    text("repository_visibility", facts.visibility.as_str());
    text("repository_id", &facts.repository_id.to_string());
    text("actor_id", &facts.actor_id.to_string());
    text("actor", &facts.actor);
    text("workflow", &facts.workflow);
    text("head_ref", &facts.head_ref);
    text("base_ref", &facts.base_ref);
    text("event_name", &facts.event_name);
    text("ref_protected", if facts.ref_protected { "true" } else { "false" });
    text("ref_type", if facts.git_ref.starts_with("refs/tags/") { "tag" } else { "branch" });
    text("workflow_ref", &facts.workflow_ref);
    text("workflow_sha", &facts.workflow_sha);
    text("job_workflow_ref", &facts.job_workflow_ref);
    text("job_workflow_sha", &facts.job_workflow_sha);
    text("runner_environment", if facts.self_hosted { "self-hosted" } else { "github-hosted" });
    if let Some(environment) = &facts.environment {
        text("environment", environment);
    }
    if let Some(id) = facts.check_run_id {
        text("check_run_id", &id.to_string());
    }
    for (name, value) in &facts.further {
        text(name, value);
    }
    text("iss", &facts.issuer);
    let times = [
        ("nbf", issued_at.saturating_sub(TOKEN_EARLY_SECONDS)),
        ("exp", issued_at.saturating_add(TOKEN_LIFE_SECONDS)),
        ("iat", issued_at),
    ];
    for (name, seconds) in times {
        claims.set(name, ClaimValue::Number(seconds.to_string()));
    }
    if let Some(keys) = &facts.subject_keys {
        claims.set_text("sub", customised_subject(&claims, keys));
    }
    claims
}
