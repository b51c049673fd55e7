//! How many tasks to start and to stop now, within the percentages.

use super::{Action, Health, Phase, Rollout, RolloutState, Step, Task, Why, count};

/// The two limits of a deployment, in tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// Most tasks that may be there at once.
    pub(super) upper: u32,
    /// Fewest healthy tasks that the scheduler may leave.
    pub(super) lower: u32,
}

impl Rollout {
    /// The limits for the desired count.
    pub(super) fn limits(&self) -> Limits {
        let desired = u64::from(self.desired);
        let upper = desired * u64::from(self.rules.maximum_percent) / 100;
        let lower = (desired * u64::from(self.rules.minimum_percent)).div_ceil(100).min(desired);
        // Tasks of both colours run side by side whatever the percentages say.
        let upper = if self.rules.strategy.is_rolling() { upper } else { upper.max(desired * 2) };
        Limits {
            upper: u32::try_from(upper).unwrap_or(u32::MAX),
            lower: u32::try_from(lower).unwrap_or(u32::MAX),
        }
    }

    /// Whether a task counts as healthy: its check passes, or it has none and has run for a while.
    pub(super) fn is_healthy(&self, task: &Task, now_ms: i64) -> bool {
        let has_check = self
            .deployments
            .iter()
            .find(|deployment| deployment.id() == task.deployment)
            .is_some_and(|deployment| deployment.target.has_health_check);
        match (task.phase, task.health) {
            (Phase::Running { .. }, Health::Healthy) => true,
            (Phase::Running { since_ms }, Health::Unknown) => {
                !has_check && now_ms >= since_ms.saturating_add(self.rules.settle_ms)
            }
            _ => false,
        }
    }

    /// Stops tasks whose health check fails, once their grace period is over. They count as failed.
    pub(super) fn stop_unhealthy(&mut self, step: &mut Step<'_>) {
        let grace = self.rules.grace_ms;
        let mut failed = Vec::new();
        for task in &mut self.tasks {
            let Phase::Running { since_ms } = task.phase else { continue };
            if task.health == Health::Unhealthy && step.now_ms >= since_ms.saturating_add(grace) {
                task.phase = Phase::Stopping;
                failed.push((task.id.clone(), task.deployment.clone()));
            }
        }
        for (task, deployment) in failed {
            self.steady = false;
            let sentence =
                format!("(service {}) (task {task}) failed container health checks.", self.service);
            step.actions.push(Action::Say(sentence));
            self.count_failure(&deployment, step);
            step.actions.push(Action::Stop { task, why: Why::Unhealthy });
        }
    }

    /// Starts and stops what the limits allow.
    pub(super) fn scale(&mut self, step: &mut Step<'_>) {
        let Some(primary) = self.deployments.first() else { return };
        let (id, state, not_before) = (primary.id().to_owned(), primary.state, primary.not_before_ms);
        if state == RolloutState::Failed {
            self.scale_in_after_failure(step);
            return;
        }
        self.stop_excess(&id, self.desired, step);
        if !self.rules.strategy.is_rolling() {
            self.keep_other_colour(&id, step);
        }
        let live = self.live_of(&id);
        let wanted = if self.may_scale_up() { self.desired.saturating_sub(live) } else { 0 };
        let limits = self.limits();
        let room = limits.upper.saturating_sub(count(self.tasks.iter()));
        if step.now_ms >= not_before {
            self.start(&id, wanted.min(room), step);
        }
        if self.may_clean_up() || self.rules.strategy.is_rolling() {
            self.replace(&id, wanted.saturating_sub(room), limits, step);
        }
    }

    fn live_of(&self, deployment: &str) -> u32 {
        let tasks = self.tasks.iter().filter(|task| task.deployment == deployment);
        count(tasks.filter(|task| task.phase != Phase::Stopping))
    }

    /// A deployment that failed launches nothing, and what ran before it goes on beside it: neither has more tasks than
    /// are wanted.
    fn scale_in_after_failure(&mut self, step: &mut Step<'_>) {
        let all: Vec<String> = self.deployments.iter().map(|known| known.id().to_owned()).collect();
        for id in all {
            self.stop_excess(&id, self.desired, step);
        }
    }

    /// Fewer tasks are wanted of a service whose deployment failed halfway: what is healthy of the new ones needs none of
    /// the old.
    pub(super) fn scale_in_mixed(&mut self, step: &mut Step<'_>) {
        let Some(primary) = self.deployments.first() else { return };
        if primary.state != RolloutState::Failed || !self.rules.strategy.is_rolling() {
            return;
        }
        let id = primary.id().to_owned();
        self.stop_excess(&id, self.desired, step);
        let new = self.tasks.iter().filter(|task| task.deployment == id);
        let healthy = count(new.filter(|task| self.is_healthy(task, step.now_ms)));
        let mut wanted = self.desired.saturating_sub(healthy);
        let older: Vec<String> = self.deployments.iter().skip(1).map(|known| known.id().to_owned()).collect();
        for id in older {
            self.stop_excess(&id, wanted, step);
            wanted = wanted.saturating_sub(self.live_of(&id));
        }
    }

    /// More tasks of a deployment than are wanted: those that aren't healthy go first, then the newest. Protected ones
    /// stay.
    fn stop_excess(&mut self, deployment: &str, wanted: u32, step: &mut Step<'_>) {
        let excess = self.live_of(deployment).saturating_sub(wanted);
        let mut candidates: Vec<(bool, usize, String)> = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.deployment == deployment && task.phase != Phase::Stopping)
            .filter(|(_, task)| !task.is_protected(step.now_ms))
            .map(|(at, task)| (self.is_healthy(task, step.now_ms), usize::MAX - at, task.id.clone()))
            .collect();
        candidates.sort();
        let ids: Vec<String> = candidates.into_iter().take(excess as usize).map(|(_, _, id)| id).collect();
        self.stop(&ids, step);
    }

    /// Old tasks that are replaced, or that have to make room for new ones.
    fn replace(&mut self, primary: &str, lacking: u32, limits: Limits, step: &mut Step<'_>) {
        let now = step.now_ms;
        let is_old = |task: &&Task| {
            task.deployment != primary && task.phase != Phase::Stopping && !task.is_protected(now)
        };
        let (healthy, idle): (Vec<&Task>, Vec<&Task>) =
            self.tasks.iter().filter(is_old).partition(|task| self.is_healthy(task, now));
        // One that never counted leaves no gap.
        let mut ids: Vec<String> = idle.iter().map(|task| task.id.clone()).collect();
        let stopping = count(self.tasks.iter().filter(|task| task.phase == Phase::Stopping));
        let making_room = stopping.saturating_add(count(ids.iter()));
        let all_healthy = count(self.tasks.iter().filter(|task| self.is_healthy(task, now)));
        let replaced = all_healthy.saturating_sub(self.desired);
        let in_the_way = lacking.saturating_sub(making_room);
        let spare = all_healthy.saturating_sub(limits.lower);
        let going = replaced.max(in_the_way).min(spare) as usize;
        ids.extend(healthy.iter().take(going).map(|task| task.id.clone()));
        let moves = !ids.is_empty() || stopping > 0;
        self.stop(&ids, step);
        self.say_stuck(lacking > 0 && !moves, primary, step);
    }

    /// Once: neither starting nor stopping is allowed, and nothing is on its way that could change it.
    fn say_stuck(&mut self, is_stuck: bool, primary: &str, step: &mut Step<'_>) {
        let awaited = self.tasks.iter().any(|task| {
            let is_on_its_way = task.deployment == primary && !self.is_healthy(task, step.now_ms);
            task.phase != Phase::Stopping && (is_on_its_way || task.is_protected(step.now_ms))
        });
        if !is_stuck || awaited || self.stuck {
            return;
        }
        self.stuck = true;
        let sentence = format!(
            "(service {}) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
            self.service
        );
        step.actions.push(Action::Say(sentence));
    }

    /// Beside the new tasks those stay that a rollback would go back to, as many as are wanted; tasks of a
    /// deployment that was superseded midway go as soon as they can be spared. So do those of the first ones, where none
    /// has completed yet.
    fn keep_other_colour(&mut self, primary: &str, step: &mut Step<'_>) {
        let kept = self.last_completed.as_ref().map(|target| target.id.clone());
        if let Some(kept) = kept.as_deref().filter(|kept| *kept != primary)
            && !self.may_clean_up()
        {
            self.stop_excess(kept, self.desired, step);
            let room = self.limits().upper.saturating_sub(count(self.tasks.iter()));
            let lacking = self.desired.saturating_sub(self.live_of(kept));
            let not_before = self.deployments.iter().find(|known| known.id() == kept);
            if not_before.is_some_and(|known| step.now_ms >= known.not_before_ms) {
                self.start(kept, lacking.min(room), step);
            }
        }
        let now = step.now_ms;
        let all_healthy = count(self.tasks.iter().filter(|task| self.is_healthy(task, now)));
        let spare = all_healthy.saturating_sub(self.limits().lower) as usize;
        let superseded = self.tasks.iter().filter(|task| {
            let is_other = task.deployment != primary && kept.as_deref() != Some(&task.deployment);
            is_other && task.phase != Phase::Stopping && !task.is_protected(now)
        });
        let (healthy, idle): (Vec<&Task>, Vec<&Task>) =
            superseded.partition(|task| self.is_healthy(task, now));
        let ids: Vec<String> =
            idle.into_iter().chain(healthy.into_iter().take(spare)).map(|task| task.id.clone()).collect();
        self.stop(&ids, step);
    }
}
