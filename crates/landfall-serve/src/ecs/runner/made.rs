//! A container that the engine has made for a task: how far it is, and what of that the task's record says.

use std::time::Instant;

use super::engine::State;
use super::order::{NEVER_STARTED, Stage};
use super::spec::Plan;
use crate::store::ecs::Container;

/// A container that was made.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) id: String,
    pub(super) started: Option<Instant>,
    /// When its health check was run last.
    pub(super) checked: Option<Instant>,
    /// Why it can't be started.
    pub(super) lost: Option<String>,
    pub(super) state: State,
    /// Where its ports are: container port, host port, protocol.
    pub(super) ports: Vec<(u16, u16, String)>,
}

impl Made {
    pub(super) fn stage(&self) -> Stage {
        match (&self.lost, self.state.exit_code, self.started) {
            (Some(_), ..) => Stage::Lost,
            (None, Some(code), _) => Stage::Ended { code },
            (None, None, Some(since)) => Stage::Runs {
                for_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                is_healthy: self.state.health == "healthy",
            },
            (None, None, None) => Stage::Waits,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage(), Stage::Ended { .. } | Stage::Lost)
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.stage(), Stage::Runs { .. })
    }
}

impl Made {
    /// What a change of is worth telling: not for how long it has run.
    pub(super) fn seen(&self) -> (Stage, State) {
        let stage = match self.stage() {
            Stage::Runs { is_healthy, .. } => Stage::Runs { for_ms: 0, is_healthy },
            stage => stage,
        };
        (stage, self.state.clone())
    }
}

/// Puts what is known of a container into its record.
pub(super) fn show(made: &Made, container: &mut Container) {
    let state = &made.state;
    container.runtime_id = Some(made.id.clone());
    let is_lost = made.lost.is_some();
    container.exit_code = state.exit_code.or(is_lost.then_some(NEVER_STARTED)).or(container.exit_code);
    let status = match made.stage() {
        Stage::Ended { .. } | Stage::Lost => "STOPPED",
        Stage::Runs { .. } => "RUNNING",
        Stage::Waits => "PENDING",
    };
    status.clone_into(&mut container.status);
    let health = match state.health.as_str() {
        "healthy" => "HEALTHY",
        "unhealthy" => "UNHEALTHY",
        _ => "UNKNOWN",
    };
    health.clone_into(&mut container.health);
    if !state.health_says.is_empty() && health == "UNHEALTHY" {
        container.health_says = Some(state.health_says.clone());
    }
    if state.out_of_memory {
        container.reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
    } else if let Some(why) = &made.lost {
        container.reason = Some(why.clone());
    } else if !state.error.is_empty() {
        container.reason =
            Some(format!("CannotStartContainerError: Error response from daemon: {}", state.error));
    }
    container.ports.clone_from(&made.ports);
}
