//! What has become of a deployment: one look at the service in, one verdict out. No clock and no calls.
//!
//! Stable means that the deployment that was asked for is the primary one, that ECS calls it completed, and
//! that as many of its tasks run as are wanted. Counts alone say nothing: a rollback ends with the same ones.

use super::definition::short;
use super::story::Story;
use super::view::{Deployment, Service};

/// The deployment that is watched.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Its id, as `UpdateService` answered.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created_at: f64,
    /// The deployments that were there before it.
    pub before: Vec<String>,
    /// How many failed tasks are too many where no circuit breaker counts them.
    pub failed_max: u32,
}

/// What has become of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// Nothing final yet.
    Waiting,
    /// It runs, and it is all that runs.
    Stable {
        /// How many tasks that is. Zero when none is wanted.
        running: u32,
    },
    /// ECS calls it failed, and the service stays with it.
    Failed {
        /// ECS's sentence.
        reason: String,
    },
    /// The service went back to another task definition.
    RolledBack {
        /// `family:revision` of what the service is set to now.
        to: String,
        /// ECS's sentence.
        reason: String,
        /// Whether that is over; until then the service changes.
        is_over: bool,
    },
    /// Somebody else's deployment took its place.
    Superseded {
        /// Its id.
        by: String,
        /// `family:revision` of what it deploys.
        definition: String,
    },
    /// Its tasks fail one after another, and no circuit breaker will end it.
    Failing {
        /// How many.
        failed: u32,
    },
    /// ECS doesn't list it any more, and doesn't say why.
    Gone {
        /// `family:revision` of what the service is set to now.
        now: String,
    },
    /// The service is being deleted, or is deleted.
    Deleted {
        /// Its status.
        status: String,
    },
}

/// Judges one look at the service and, where it is known, at the deployment's story, `since_update_ms` after
/// `UpdateService` answered.
pub fn judge(wanted: &Wanted, seen: &Service, story: Option<&Story>, since_update_ms: u64) -> Verdict {
    if seen.status != "ACTIVE" {
        return Verdict::Deleted { status: seen.status.clone() };
    }
    let Some(primary) = seen.primary() else { return Verdict::Waiting };
    let story = story.filter(|story| story.deployment_id() == wanted.id);
    if let Some(verdict) = story.and_then(|story| of_story(wanted, seen, primary, story)) {
        return verdict;
    }
    if primary.id == wanted.id {
        return of_primary(wanted, seen, primary, story);
    }
    if let Some(reason) = rollback_reason(wanted, seen, primary) {
        let is_over = primary.rollout_state.as_deref() != Some("IN_PROGRESS");
        return Verdict::RolledBack { to: short(&primary.task_definition).to_owned(), reason, is_over };
    }
    let is_newer = !wanted.before.contains(&primary.id) && primary.created_at >= wanted.created_at;
    if is_newer {
        return Verdict::Superseded {
            by: primary.id.clone(),
            definition: short(&primary.task_definition).to_owned(),
        };
    }
    // An answer that is older than ours: reads of ECS are consistent only after a while.
    if since_update_ms < STALE_MS {
        return Verdict::Waiting;
    }
    Verdict::Gone { now: short(&primary.task_definition).to_owned() }
}

/// What only the story tells: that the service goes back or stays where it failed, while counts look well.
fn of_story(wanted: &Wanted, seen: &Service, primary: &Deployment, story: &Story) -> Option<Verdict> {
    match story.status.as_str() {
        "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_SUCCESSFUL" => {
            let back = seen.deployments.iter().find(|known| known.id != wanted.id).unwrap_or(primary);
            Some(Verdict::RolledBack {
                to: short(&back.task_definition).to_owned(),
                reason: story.reason(),
                is_over: story.is_over(),
            })
        }
        "ROLLBACK_FAILED" => Some(Verdict::Failed { reason: story.reason() }),
        // Another deployment in its place stops one as well.
        "STOPPED" if primary.id == wanted.id => Some(Verdict::Failed { reason: story.reason() }),
        _ => None,
    }
}

fn of_primary(wanted: &Wanted, seen: &Service, primary: &Deployment, story: Option<&Story>) -> Verdict {
    let is_full =
        primary.running_count == primary.desired_count && primary.desired_count >= seen.desired_count;
    match primary.rollout_state.as_deref() {
        Some("FAILED") => {
            let reason = primary.rollout_state_reason.clone().unwrap_or_default();
            return Verdict::Failed { reason };
        }
        // It bakes, or a hook is asked: it may still go back.
        _ if story.is_some_and(|story| !story.is_over()) => {}
        _ if is_full && story.is_some_and(|story| story.status == "SUCCESSFUL") => {
            return Verdict::Stable { running: primary.running_count };
        }
        Some("COMPLETED") if is_full => return Verdict::Stable { running: primary.running_count },
        // Where ECS tells no state, only that nothing else is there.
        None if is_full && seen.deployments.len() == 1 => {
            return Verdict::Stable { running: primary.running_count };
        }
        _ => {}
    }
    let breaker = &seen.deployment_configuration.deployment_circuit_breaker;
    if !breaker.enable && primary.failed_tasks >= wanted.failed_max && !is_full {
        return Verdict::Failing { failed: primary.failed_tasks };
    }
    Verdict::Waiting
}

/// ECS's word for it that the service goes back, if there is one: the new primary deployment says that it is a
/// rollback, ours is marked as failed, or an event says that ours has failed.
fn rollback_reason(wanted: &Wanted, seen: &Service, primary: &Deployment) -> Option<String> {
    let of_ours = seen.deployment(&wanted.id);
    if let Some(ours) = of_ours.filter(|ours| ours.rollout_state.as_deref() == Some("FAILED")) {
        return Some(ours.rollout_state_reason.clone().unwrap_or_default());
    }
    let ours = format!("(deployment {})", wanted.id);
    let failed = seen.events.iter().find(|event| {
        event.message.contains(&ours)
            && (event.message.contains("deployment failed") || event.message.contains("rolling back"))
    });
    if let Some(event) = failed {
        return Some(event.message.clone());
    }
    let reason = primary.rollout_state_reason.as_deref().filter(|reason| reason.contains("rolling back"))?;
    let is_after = primary.created_at >= wanted.created_at || wanted.before.contains(&primary.id);
    is_after.then(|| reason.to_owned())
}

/// How many failed tasks are too many: as ECS's circuit breaker counts by default.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
pub fn failed_max(desired: u32) -> u32 {
    desired.div_ceil(2).clamp(3, 200)
}

/// How long an answer without our deployment is taken for an old one, in milliseconds.
const STALE_MS: u64 = 20_000;
