//! The claims of the ID tokens that GitLab would give a job.
//!
//! <https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload>. Every value is a string but the times,
//! the runner's id, and an `aud` of several.

use landfall_types::{ClaimValue, Claims};

use super::facts::PipelineFacts;

/// How long a token lives when the job's time isn't said, in seconds: projects give jobs an hour.
pub const TIMEOUT_SECONDS_DEFAULT: u64 = 3600;
/// How long before its issue a token is valid, in seconds (`NOT_BEFORE_TIME`).
const EARLY_SECONDS: i64 = 5;
/// What a subject is made of unless the project says otherwise (`ci_id_token_sub_claim_components`).
pub const SUB_COMPONENTS: &[&str] = &["project_path", "ref_type", "ref"];

/// The environment of a job, as its token tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenEnvironment {
    /// `environment`
    pub name: String,
    /// `environment_protected`
    pub is_protected: bool,
    /// `deployment_tier`
    pub tier: String,
    /// `environment_action`
    pub action: String,
}

impl TokenEnvironment {
    /// An environment of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { tier: tier_of(&name).to_owned(), name, is_protected: false, action: "start".to_owned() }
    }
}

/// Everything that a token is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct TokenFacts {
    /// The pipeline.
    pub pipeline: PipelineFacts,
    /// `aud`
    pub audiences: Vec<String>,
    /// Whether `aud` is an array.
    pub is_list: bool,
    /// The job's environment.
    pub environment: Option<TokenEnvironment>,
    /// `job_id`
    pub job_id: u64,
    /// How long the job may take, in seconds: so long its token lives.
    pub timeout_seconds: u64,
    /// What the subject is made of.
    pub sub_components: Vec<String>,
    /// Whether the runner is GitLab's own.
    pub is_hosted: bool,
}

impl TokenFacts {
    /// The facts of a job of a pipeline, to be changed field by field.
    pub fn of(pipeline: PipelineFacts, audience: impl Into<String>) -> Self {
        Self {
            pipeline,
            audiences: vec![audience.into()],
            is_list: false,
            environment: None,
            job_id: 1,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            sub_components: SUB_COMPONENTS.iter().map(|name| (*name).to_owned()).collect(),
            is_hosted: true,
        }
    }
}

/// The tier that GitLab takes an environment for by its name.
/// <https://docs.gitlab.com/ci/environments/#deployment-tier-of-environments>
pub fn tier_of(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let known: [(&[&str], &str); 4] = [
        (&["dev", "review", "trunk"], "development"),
        (&["test", "tst", "int", "acpt", "accept", "qa", "qc", "control", "quality"], "testing"),
        (&["stg", "stag", "modl", "model", "pre", "demo", "non"], "staging"),
        (&["prd", "prod", "live"], "production"),
    ];
    let found = known.iter().find(|(words, _)| words.iter().any(|word| name.contains(word)));
    found.map_or("other", |(_, tier)| tier)
}

/// `sub`: the components with their values, those without one left out.
fn subject(facts: &TokenFacts, claims: &Claims) -> String {
    let mut parts = Vec::new();
    for name in &facts.sub_components {
        if let Some(value) = claims.text(name) {
            parts.extend([name.as_str(), value]);
        }
    }
    parts.join(":")
}

/// The claims of a token; `issued_at` in seconds since 1970, `token_id` becomes `jti`.
pub fn token_claims(facts: &TokenFacts, issued_at: i64, token_id: &str) -> Claims {
    let pipeline = &facts.pipeline;
    let mut claims = Claims::new();
    let mut text = |name: &str, value: &str| claims.set_text(name, value);
    for prefix in ["", "job_"] {
        text(&format!("{prefix}namespace_id"), &pipeline.namespace_id.to_string());
        text(&format!("{prefix}namespace_path"), pipeline.namespace());
        text(&format!("{prefix}project_id"), &pipeline.project_id.to_string());
        text(&format!("{prefix}project_path"), &pipeline.project);
    }
    text("user_id", &pipeline.user_id.to_string());
    text("user_login", &pipeline.user_login);
    let host = pipeline.host().split(':').next().unwrap_or_default().to_owned();
    text("user_email", &format!("{}@{host}", pipeline.user_login));
    text("user_access_level", "maintainer");
    text("pipeline_id", &pipeline.pipeline_id.to_string());
    text("pipeline_source", &pipeline.source);
    text("job_id", &facts.job_id.to_string());
    text("ref", &pipeline.ref_name);
    text("ref_type", pipeline.ref_type.as_str());
    text("ref_path", &pipeline.ref_path());
    text("ref_protected", if pipeline.ref_protected { "true" } else { "false" });
    if let Some(environment) = &facts.environment {
        text("environment", &environment.name);
        text("environment_protected", if environment.is_protected { "true" } else { "false" });
        text("deployment_tier", &environment.tier);
        text("environment_action", &environment.action);
    }
    text("runner_environment", if facts.is_hosted { "gitlab-hosted" } else { "self-hosted" });
    text("sha", &pipeline.sha);
    text("project_visibility", "private");
    let config =
        format!("{}/{}//{}@{}", pipeline.host(), pipeline.project, pipeline.config_path, pipeline.ref_path());
    text("ci_config_ref_uri", &config);
    text("ci_config_sha", &pipeline.sha);
    text("jti", token_id);
    text("iss", &pipeline.server_url);
    claims.set("runner_id", ClaimValue::Number("1".to_owned()));
    let seconds = i64::try_from(facts.timeout_seconds).unwrap_or(i64::MAX);
    for (name, at) in [
        ("iat", issued_at),
        ("nbf", issued_at.saturating_sub(EARLY_SECONDS)),
        ("exp", issued_at.saturating_add(seconds)),
    ] {
        claims.set(name, ClaimValue::Number(at.to_string()));
    }
    let subject = subject(facts, &claims);
    claims.set_text("sub", subject);
    match facts.audiences.as_slice() {
        [one] if !facts.is_list => claims.set_text("aud", one.as_str()),
        several => {
            let list = several.iter().map(|audience| ClaimValue::Text(audience.clone())).collect();
            claims.set("aud", ClaimValue::List(list));
        }
    }
    claims
}

/// `sub` alone.
pub fn token_subject(facts: &TokenFacts) -> String {
    token_claims(facts, 0, "").text("sub").unwrap_or_default().to_owned()
}
