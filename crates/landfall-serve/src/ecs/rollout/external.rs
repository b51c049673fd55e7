//! Services whose deployments someone else controls: task sets, each with a share of the desired count.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html>

use super::{Action, Deployment, Phase, Rollout, RolloutState, Step, Target, count};

/// A task set's number of tasks: its share, rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is one")]
pub(super) fn computed(desired: u32, scale: f64) -> u32 {
    (f64::from(desired) * scale.clamp(0.0, 100.0) / 100.0).ceil() as u32
}

impl Rollout {
    pub(super) fn put_task_set(&mut self, target: Target, scale: f64, step: &Step<'_>) {
        let known = self.deployments.iter_mut().find(|known| known.id() == target.id);
        let set = match known {
            Some(set) => set,
            None => {
                self.deployments.push(Deployment::new(target, step.now_ms));
                match self.deployments.last_mut() {
                    Some(set) => set,
                    None => return,
                }
            }
        };
        set.scale = scale;
        set.updated_ms = step.now_ms;
        set.state = RolloutState::InProgress;
        self.steady = false;
    }

    pub(super) fn delete_task_set(&mut self, id: &str) {
        if let Some(set) = self.deployments.iter_mut().find(|known| known.id() == id) {
            set.scale = 0.0;
            set.state = RolloutState::Failed;
        }
    }

    pub(super) fn make_primary(&mut self, id: &str) {
        if let Some(at) = self.deployments.iter().position(|known| known.id() == id) {
            let set = self.deployments.remove(at);
            self.deployments.insert(0, set);
        }
    }

    /// Every task set gets its share.
    pub(super) fn scale_task_sets(&mut self, step: &mut Step<'_>) {
        self.stop_unhealthy(step);
        let sets: Vec<(String, u32, i64)> = self
            .deployments
            .iter()
            .map(|set| (set.id().to_owned(), computed(self.desired, set.scale), set.not_before_ms))
            .collect();
        let now = step.now_ms;
        for (id, wanted, not_before) in sets {
            let live =
                self.tasks.iter().filter(|task| task.deployment == id && task.phase != Phase::Stopping);
            let there = count(live.clone());
            let may_go = live.rev().filter(|task| !task.is_protected(now)).map(|task| task.id.clone());
            let excess: Vec<String> = may_go.take(there.saturating_sub(wanted) as usize).collect();
            self.stop(&excess, step);
            if now >= not_before {
                self.start(&id, wanted.saturating_sub(there), step);
            }
            let tasks = self.tasks.iter().filter(|task| task.deployment == id);
            let healthy = count(tasks.clone().filter(|task| self.is_healthy(task, now)));
            let all = count(tasks);
            if let Some(set) = self.deployments.iter_mut().find(|known| known.id() == id)
                && set.state != RolloutState::Failed
            {
                let is_steady = healthy == wanted && all == wanted;
                set.state = if is_steady { RolloutState::Completed } else { RolloutState::InProgress };
            }
        }
        let tasks = &self.tasks;
        self.deployments.retain(|set| {
            set.state != RolloutState::Failed || tasks.iter().any(|task| task.deployment == set.id())
        });
        let is_steady = self.deployments.iter().all(|set| set.state == RolloutState::Completed);
        if is_steady && !self.deployments.is_empty() && !self.steady {
            self.steady = true;
            step.actions.push(Action::Say(format!("(service {}) has reached a steady state.", self.service)));
        }
    }
}
