//! Pull-through cache rules. They are kept and checked; nothing is pulled through them, because this side
//! never goes out: who pulls what isn't there is told so.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>

use std::sync::Arc;

use landfall_types::{RepositoryName, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::page::Page;
use super::{Answer, EcrCall, epoch, write};
use crate::authz::{Permit, calls};
use crate::store::{PullThroughRule, Reads, RegistryId, in_registry, within_registry};
use crate::world::World;

/// Rules of one registry (service quota).
const RULES_MAX: usize = 50;
/// What is said of upstream registries.
const NOT_REACHED: &str = "this local registry does not reach upstream registries";

/// An upstream registry: its name, whether an address is its own, and whether it wants credentials.
struct Upstream {
    name: &'static str,
    is_address: fn(&str) -> bool,
    wants_secret: bool,
}

const UPSTREAMS: &[Upstream] = &[
    Upstream { name: "ecr-public", is_address: |url| url == "public.ecr.aws", wants_secret: false },
    Upstream { name: "quay", is_address: |url| url == "quay.io", wants_secret: false },
    Upstream { name: "k8s", is_address: |url| url == "registry.k8s.io", wants_secret: false },
    Upstream { name: "docker-hub", is_address: |url| url == "registry-1.docker.io", wants_secret: true },
    Upstream { name: "github-container-registry", is_address: |url| url == "ghcr.io", wants_secret: true },
    Upstream {
        name: "gitlab-container-registry",
        is_address: |url| url == "registry.gitlab.com",
        wants_secret: true,
    },
    Upstream {
        name: "azure-container-registry",
        is_address: |url| url.strip_suffix(".azurecr.io").is_some_and(|name| !name.is_empty()),
        wants_secret: true,
    },
    Upstream { name: "chainguard", is_address: |url| url == "cgr.dev", wants_secret: true },
    Upstream {
        name: "ecr",
        is_address: |url| url.contains(".dkr.ecr.") && url.contains(".amazonaws.com"),
        wants_secret: false,
    },
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleInput {
    ecr_repository_prefix: String,
    upstream_registry_url: Option<String>,
    upstream_registry: Option<String>,
    credential_arn: Option<String>,
    custom_role_arn: Option<String>,
    upstream_repository_prefix: Option<String>,
}

fn stem(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

pub(super) fn create(call: &EcrCall<'_>) -> Answer {
    let input: RuleInput = call.read()?;
    let url = input.upstream_registry_url.unwrap_or_default();
    let upstream = UPSTREAMS.iter().find(|upstream| (upstream.is_address)(&url)).ok_or_else(|| {
        let message = format!("The upstream registry '{url}' is not supported");
        AwsError::bad_request("UnsupportedUpstreamRegistryException", message)
    })?;
    if input.upstream_registry.as_deref().is_some_and(|name| name != upstream.name) {
        let constraint = format!("'{url}' is the address of {}", upstream.name);
        return Err(ecr_invalid_parameter("upstreamRegistry", &constraint));
    }
    if upstream.wants_secret && input.credential_arn.is_none() {
        let constraint = format!("must be specified for the upstream registry {}", upstream.name);
        return Err(ecr_invalid_parameter("credentialArn", &constraint));
    }
    let (permit, registry) = call.on_registry::<calls::CreatePullThroughCacheRule>()?;
    let rule = PullThroughRule {
        registry,
        prefix: stem(&input.ecr_repository_prefix).to_owned(),
        upstream_url: url,
        upstream_registry: Some(upstream.name.to_owned()),
        credential_arn: input.credential_arn,
        custom_role_arn: input.custom_role_arn,
        upstream_prefix: Some(input.upstream_repository_prefix.unwrap_or_else(|| "ROOT".to_owned())),
        created_at: call.world.clock.now(),
        updated_at: None,
    };
    insert(call.world, &permit, rule.clone())?;
    Ok(rule_json(&rule))
}

fn insert<C>(world: &World, permit: &Permit<C>, rule: PullThroughRule) -> Result<(), AwsError> {
    let (prefix, account) = (rule.prefix.clone(), rule.registry.account);
    write(world, permit, |writing| {
        if all(writing, &rule.registry).len() >= RULES_MAX {
            let message = format!(
                "The registry with id '{account}' has {RULES_MAX} pull through cache rules, which is the maximum"
            );
            return Err(AwsError::bad_request("LimitExceededException", message).into());
        }
        writing.insert(rule).map_err(|_| {
            let message = format!(
                "A pull through cache rule with the prefix '{prefix}' already exists in the registry with id '{account}'"
            );
            AwsError::bad_request("PullThroughCacheRuleAlreadyExistsException", message).into()
        })
    })
}

pub(super) fn describe(call: &EcrCall<'_>) -> Answer {
    let prefixes = call.input.get("ecrRepositoryPrefixes").and_then(Value::as_array);
    let prefixes: Vec<&str> = prefixes.into_iter().flatten().filter_map(Value::as_str).collect();
    let page = Page::of(call)?;
    let (_, registry) = call.on_registry::<calls::DescribePullThroughCacheRules>()?;
    let rules = if prefixes.is_empty() {
        all(&call.world.store, &registry)
    } else {
        let found = prefixes.iter().map(|prefix| find(&call.world.store, &registry, prefix).map(Arc::new));
        found.collect::<Result<_, _>>()?
    };
    Ok(page.answer("pullThroughCacheRules", &rules, |rule| rule.prefix.clone(), |rule| rule_json(rule)))
}

pub(super) fn update(call: &EcrCall<'_>) -> Answer {
    let input: RuleInput = call.read()?;
    let (permit, registry) = call.on_registry::<calls::UpdatePullThroughCacheRule>()?;
    let now = call.world.clock.now();
    let rule = update_rule(call.world, &permit, &registry, input, now)?;
    Ok(answer_without(&rule, &["createdAt", "upstreamRegistry", "upstreamRegistryUrl"]))
}

fn update_rule<C>(
    world: &World,
    permit: &Permit<C>,
    registry: &RegistryId,
    input: RuleInput,
    now: Timestamp,
) -> Result<PullThroughRule, AwsError> {
    write(world, permit, |writing| {
        let mut rule = find(writing, registry, &input.ecr_repository_prefix)?;
        rule.credential_arn = input.credential_arn.or(rule.credential_arn);
        rule.custom_role_arn = input.custom_role_arn.or(rule.custom_role_arn);
        rule.updated_at = Some(now);
        writing.put(rule.clone());
        Ok(rule)
    })
}

pub(super) fn delete(call: &EcrCall<'_>) -> Answer {
    let prefix = call.text("ecrRepositoryPrefix").unwrap_or_default();
    let (permit, registry) = call.on_registry::<calls::DeletePullThroughCacheRule>()?;
    let rule = remove(call.world, &permit, &registry, prefix)?;
    Ok(answer_without(&rule, &["updatedAt", "upstreamRegistry"]))
}

fn remove<C>(
    world: &World,
    permit: &Permit<C>,
    registry: &RegistryId,
    prefix: &str,
) -> Result<PullThroughRule, AwsError> {
    write(world, permit, |writing| {
        let rule = find(writing, registry, prefix)?;
        writing.remove::<PullThroughRule>(&in_registry(registry, &rule.prefix))?;
        Ok(rule)
    })
}

pub(super) fn validate(call: &EcrCall<'_>) -> Answer {
    let prefix = call.text("ecrRepositoryPrefix").unwrap_or_default();
    let (_, registry) = call.on_registry::<calls::ValidatePullThroughCacheRule>()?;
    let rule = find(&call.world.store, &registry, prefix)?;
    let mut answer = answer_without(&rule, &["createdAt", "updatedAt", "upstreamRegistry"]);
    if let Some(members) = answer.as_object_mut() {
        members.insert("isValid".to_owned(), false.into());
        members.insert("failure".to_owned(), NOT_REACHED.into());
    }
    Ok(answer)
}

fn all(records: &impl Reads, registry: &RegistryId) -> Vec<Arc<PullThroughRule>> {
    records.records(&within_registry(registry))
}

fn find(records: &impl Reads, registry: &RegistryId, prefix: &str) -> Result<PullThroughRule, AwsError> {
    let found = records.record::<PullThroughRule>(&in_registry(registry, stem(prefix)));
    found.map(|rule| PullThroughRule::clone(&rule)).ok_or_else(|| no_rule(registry, stem(prefix)))
}

fn no_rule(registry: &RegistryId, prefix: &str) -> AwsError {
    AwsError::bad_request(
        "PullThroughCacheRuleNotFoundException",
        format!(
            "Pull through cache rule with the prefix '{prefix}' does not exist in the registry with id '{}'",
            registry.account
        ),
    )
}

fn rule_json(rule: &PullThroughRule) -> Value {
    let mut members = Map::new();
    let texts = [
        ("ecrRepositoryPrefix", Some(rule.prefix.as_str())),
        ("upstreamRegistryUrl", Some(rule.upstream_url.as_str())),
        ("registryId", Some(rule.registry.account.as_str())),
        ("upstreamRegistry", rule.upstream_registry.as_deref()),
        ("credentialArn", rule.credential_arn.as_deref()),
        ("customRoleArn", rule.custom_role_arn.as_deref()),
        ("upstreamRepositoryPrefix", rule.upstream_prefix.as_deref()),
    ];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        members.insert(name.to_owned(), text.into());
    }
    members.insert("createdAt".to_owned(), json!(epoch(rule.created_at)));
    if let Some(updated_at) = rule.updated_at {
        members.insert("updatedAt".to_owned(), json!(epoch(updated_at)));
    }
    Value::Object(members)
}

/// A rule without the members that an operation does not answer with.
fn answer_without(rule: &PullThroughRule, absent: &[&str]) -> Value {
    let mut answer = rule_json(rule);
    if let Some(members) = answer.as_object_mut() {
        absent.iter().for_each(|name| _ = members.remove(*name));
    }
    answer
}

/// Why a repository that isn't there can't be filled from upstream, if a rule says that it should be.
pub(crate) fn not_pulled_through(
    world: &World,
    registry: &RegistryId,
    name: &RepositoryName,
) -> Option<String> {
    let is_within = |rule: &&Arc<PullThroughRule>| {
        rule.prefix == "ROOT"
            || name.as_str().strip_prefix(rule.prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    let rules = all(&world.store, registry);
    let rule = rules.iter().find(is_within)?;
    Some(format!(
        "{name} would be pulled through from {}, by the rule with the prefix '{}': {NOT_REACHED}",
        rule.upstream_url, rule.prefix
    ))
}
