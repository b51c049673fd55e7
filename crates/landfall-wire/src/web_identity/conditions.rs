//! What a trust policy can see of a token: the condition keys of the provider.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>

use landfall_types::ClaimValue;

use super::WebIdentity;

/// The condition keys that a token gives, in the spelling of AWS's documentation, with their values. The
/// prefix is the issuer's host and path, as in the provider's ARN. Claims beyond these are invisible to
/// policies.
pub fn condition_keys(issuer_host_and_path: &str, identity: &WebIdentity) -> Vec<(String, Vec<String>)> {
    let key = |name: &str| [issuer_host_and_path, ":", name].concat();
    let shared = PROVIDERS.iter().find(|provider| (provider.is)(issuer_host_and_path));
    let names = shared.map_or(&[][..], |provider| provider.claims);
    let mut keys = Vec::with_capacity(3 + EVERY_PROVIDER.len() + names.len());
    keys.push((key("aud"), vec![identity.audience.clone()]));
    keys.push((key("oaud"), identity.audiences.clone()));
    keys.push((key("sub"), vec![identity.subject.clone()]));
    for (name, spellings) in EVERY_PROVIDER.iter().chain(names) {
        let claim = spellings.iter().find_map(|spelling| identity.claims.get(spelling));
        let values = claim.map(values).unwrap_or_default();
        if !values.is_empty() {
            keys.push((key(name), values));
        }
    }
    keys
}

fn values(claim: &ClaimValue) -> Vec<String> {
    match claim {
        ClaimValue::List(items) => items.iter().filter_map(scalar).collect(),
        other => scalar(other).into_iter().collect(),
    }
}

fn scalar(value: &ClaimValue) -> Option<String> {
    match value {
        ClaimValue::Text(text) | ClaimValue::Number(text) => Some(text.clone()),
        ClaimValue::Bool(value) => Some(value.to_string()),
        ClaimValue::Null | ClaimValue::List(_) | ClaimValue::Map(_) => None,
    }
}

/// A provider that many customers share, and which of its claims AWS makes condition keys of: the key's
/// name and the claim's spellings.
struct Provider {
    is: fn(&str) -> bool,
    claims: Names,
}

type Names = &'static [(&'static str, &'static [&'static str])];

const EVERY_PROVIDER: Names = &[("amr", &["amr"])];

macro_rules! same_names {
    ($($name:literal),* $(,)?) => { &[$(($name, &[$name])),*] };
}

const PROVIDERS: &[Provider] = &[
    Provider {
        is: is_github,
        claims: same_names![
            "actor",
            "actor_id",
            "enterprise_id",
            "environment",
            "job_workflow_ref",
            "ref",
            "repository",
            "repository_id",
            "repository_owner_id",
            "workflow",
        ],
    },
    Provider {
        is: |issuer| issuer == "gitlab.com",
        claims: same_names![
            "namespace_id",
            "pipeline_source",
            "project_id",
            "ref_protected",
            "runner_environment",
            "user_access_level",
            "user_email",
            "user_id",
            "user_login",
        ],
    },
    Provider {
        is: is_buildkite,
        claims: same_names![
            "build_branch",
            "cluster_id",
            "cluster_name",
            "organization_id",
            "organization_slug",
            "pipeline_id",
            "pipeline_slug",
        ],
    },
    Provider {
        is: |issuer| issuer == "accounts.google.com",
        claims: &[(
            "google/organization_number",
            &["google.organization_number", "google:organization_number"],
        )],
    },
    Provider {
        is: |issuer| is_below(issuer, "oidc.circleci.com/org/"),
        claims: same_names!["oidc.circleci.com/project-id"],
    },
    Provider { is: is_oracle, claims: same_names!["rpst_id"] },
];

fn is_github(issuer: &str) -> bool {
    const SHARED: &str = "token.actions.githubusercontent.com";
    issuer == SHARED
        || issuer.strip_prefix(SHARED).is_some_and(|path| path.starts_with('/'))
        || host(issuer)
            .strip_prefix("token.actions.")
            .and_then(|host| host.strip_suffix(".ghe.com"))
            .is_some()
        || is_below(issuer, "github.com/enterprises/")
}

fn is_buildkite(issuer: &str) -> bool {
    issuer == "agent.buildkite.com"
        || issuer.strip_prefix("agent.").is_some_and(|rest| {
            [".buildkite.dev", ".buildkite.site"].iter().any(|suffix| is_labelled(rest, suffix))
        })
}

fn is_oracle(issuer: &str) -> bool {
    host(issuer).strip_prefix("idcs-").is_some_and(|rest| is_labelled(rest, ".identity.oraclecloud.com"))
}

fn is_labelled(text: &str, suffix: &str) -> bool {
    text.strip_suffix(suffix).is_some_and(|label| !label.is_empty())
}

fn is_below(issuer: &str, prefix: &str) -> bool {
    issuer.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())
}

fn host(issuer: &str) -> &str {
    issuer.split('/').next().unwrap_or(issuer)
}
