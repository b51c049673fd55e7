//! Carrying a plan out: revisions are registered, services updated. Everything was worked out before, so that
//! bad input never leaves half of it done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::definition::{Definition, short};
use super::plan::{Part, Plan};
use super::verdict::{self, Wanted};
use super::view::Service;
use super::{denied, ecs};
use crate::aws_json::Caller;
use crate::failure::Failure;

/// A service whose deployment has begun, or that was left as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Begun {
    /// The service's name.
    pub service: String,
    /// The ARN of the task definition that it is to run.
    pub definition_arn: String,
    /// The same, whole.
    pub definition: Definition,
    /// The ARN of what ran before.
    pub before: Option<String>,
    /// The ARN of what was stable last, as far as the service itself told it before the update.
    pub completed: Option<String>,
    /// The deployment to watch.
    pub wanted: Wanted,
    /// Whether `UpdateService` was called.
    pub is_updated: bool,
    /// Whether a deployment was made by it.
    pub is_new: bool,
    /// How many tasks are wanted.
    pub desired: u32,
    /// How long the service's rules let a deployment wait even if all goes well.
    pub waits: Duration,
    /// Events that were there before.
    pub known_events: Vec<String>,
}

/// What is told while revisions are registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registering<'r> {
    /// The call begins.
    Begins {
        /// The task definition's family.
        family: &'r str,
    },
    /// A revision was registered.
    Done {
        /// Its ARN.
        arn: &'r str,
    },
}

/// Registers what has to be registered: for each part the ARN of its task definition. Parts that want the same
/// share a revision.
///
/// # Errors
/// ECS's refusal. Revisions that were registered before it stay; nothing runs them.
pub async fn register(
    caller: &Caller,
    plan: &Plan,
    mut tell: impl FnMut(Registering<'_>),
) -> Result<Vec<String>, Failure> {
    let mut registered: BTreeMap<String, String> = BTreeMap::new();
    let mut arns = Vec::new();
    for part in &plan.parts {
        if let Some(existing) = &part.existing {
            arns.push(existing.clone());
            continue;
        }
        let key = part.wanted.normalised().to_string();
        let arn = match registered.get(&key) {
            Some(arn) => arn.clone(),
            None => {
                tell(Registering::Begins { family: part.wanted.family() });
                let arn = ecs::register(caller, &part.wanted).await.map_err(|error| {
                    denied::failure(error, &format!("registering a revision of `{}`", part.wanted.family()))
                })?;
                tell(Registering::Done { arn: &arn });
                registered.insert(key, arn.clone());
                arn
            }
        };
        arns.push(arn);
    }
    Ok(arns)
}

/// Updates a part's service, or leaves it alone when nothing changes.
///
/// # Errors
/// ECS's refusal.
pub async fn update(caller: &Caller, part: &Part, service: &Service, arn: &str) -> Result<Begun, Failure> {
    let known: Vec<String> = service.deployments.iter().map(|known| known.id.clone()).collect();
    let Some(mut input) = part.update.clone() else {
        return Ok(begun(part, service, arn, service, &[]));
    };
    if part.old.as_deref() != Some(arn) {
        input.insert("taskDefinition".to_owned(), Value::from(arn));
    }
    let after = ecs::update_service(caller, input).await.map_err(|error| {
        let doing = format!("updating service `{}` to {}", service.service_name, short(arn));
        denied::failure(error, &doing)
    })?;
    let mut begun = begun(part, service, arn, &after, &known);
    begun.is_updated = true;
    Ok(begun)
}

/// Sets a service to a task definition that is there, and nothing else.
///
/// # Errors
/// ECS's refusal.
pub async fn back(
    caller: &Caller,
    cluster: &str,
    service: &Service,
    arn: &str,
    definition: Definition,
) -> Result<Begun, Failure> {
    let mut update = super::definition::Object::new();
    update.insert("cluster".to_owned(), Value::from(cluster));
    update.insert("service".to_owned(), Value::from(service.service_name.as_str()));
    let part = Part {
        service: Some(service.clone()),
        old: Some(service.task_definition.clone()),
        wanted: definition,
        existing: Some(arn.to_owned()),
        rows: Vec::new(),
        update: Some(update),
    };
    self::update(caller, &part, service, arn).await
}

fn begun(part: &Part, before: &Service, arn: &str, after: &Service, known: &[String]) -> Begun {
    let primary = after.primary().cloned().unwrap_or_default();
    let is_new = !known.is_empty() && !known.contains(&primary.id);
    let mut others = known.to_vec();
    others.retain(|id| *id != primary.id);
    Begun {
        service: before.service_name.clone(),
        definition_arn: arn.to_owned(),
        definition: part.wanted.clone(),
        before: part.old.clone(),
        completed: before.completed().map(str::to_owned),
        wanted: Wanted {
            id: primary.id,
            created_at: primary.created_at,
            before: others,
            failed_max: verdict::failed_max(after.desired_count),
        },
        is_updated: false,
        is_new,
        desired: after.desired_count,
        waits: after.deployment_configuration.waits(),
        known_events: before.events.iter().map(|event| event.id.clone()).collect(),
    }
}
