//! Whether the primary deployment has completed or failed, and what follows from it.

use super::{Action, Deployment, Fresh, Phase, Rollout, RolloutState, Status, Step, Target};

/// Why a deployment ends without having completed.
pub(super) enum Failure {
    /// Too many of its tasks failed.
    Breaker,
    /// An alarm went off.
    Alarm,
    /// Someone asked for it.
    Asked,
    /// A hook failed: this is what it said.
    Hook(String),
}

impl Rollout {
    /// Looks at what has become of the deployments.
    pub(super) fn judge(&mut self, step: &mut Step<'_>) {
        self.stop_unhealthy(step);
        self.note_healthy(step);
        self.retire();
        self.trip(step);
        self.advance(step);
        self.retire();
        self.complete(step);
    }

    /// Tasks that have become healthy clear the count of failures.
    fn note_healthy(&mut self, step: &Step<'_>) {
        let fresh: Vec<usize> = (0..self.tasks.len())
            .filter(|at| {
                self.tasks
                    .get(*at)
                    .is_some_and(|task| !task.was_healthy && self.is_healthy(task, step.now_ms))
            })
            .collect();
        let resets = self.rules.breaker.reset_on_healthy;
        for at in fresh {
            let Some(task) = self.tasks.get_mut(at) else { continue };
            task.was_healthy = true;
            let of = self.deployments.iter_mut().find(|known| known.id() == task.deployment);
            if let Some(deployment) = of {
                deployment.in_a_row = 0;
                deployment.not_before_ms = step.now_ms;
                if resets {
                    deployment.strikes = 0;
                }
            }
        }
    }

    /// Deployments that have no task left are not listed any more.
    fn retire(&mut self) {
        let tasks = &self.tasks;
        let mut first = true;
        self.deployments.retain(|deployment| {
            std::mem::take(&mut first) || tasks.iter().any(|task| task.deployment == deployment.id())
        });
    }

    /// The circuit breaker.
    fn trip(&mut self, step: &mut Step<'_>) {
        let Some(primary) = self.deployments.first() else { return };
        let breaker = self.rules.breaker;
        let is_too_many = primary.strikes >= breaker.threshold.failures(self.desired);
        if breaker.enabled && is_too_many && primary.state == RolloutState::InProgress {
            self.fail(Failure::Breaker, breaker.rollback, step);
        }
    }

    /// Ends the primary deployment, and goes back to the last one that completed.
    pub(super) fn fail(&mut self, failure: Failure, rollback: bool, step: &mut Step<'_>) {
        let Some(primary) = self.deployments.first_mut() else { return };
        let (id, number) = (primary.id().to_owned(), primary.number().to_owned());
        let told = primary.rolls_back.clone();
        primary.state = RolloutState::Failed;
        primary.updated_ms = step.now_ms;
        let why = match &failure {
            Failure::Breaker => {
                primary.reason = "ECS deployment circuit breaker: tasks failed to start.".to_owned();
                "tasks failed to start."
            }
            // The event was observed, the reason not.
            Failure::Alarm => {
                primary.reason = "ECS deployment alarms: alarm detected.".to_owned();
                "alarm detected."
            }
            Failure::Asked => {
                primary.reason = format!("ECS deployment ecs-svc/{number} stopped.");
                "stopped by a request."
            }
            Failure::Hook(reason) => {
                primary.reason.clone_from(reason);
                reason.as_str()
            }
        };
        let sentence =
            format!("(service {}) (deployment ecs-svc/{number}) deployment failed: {why}", self.service);
        step.actions.push(Action::Say(sentence));
        let reason = primary.reason.clone();
        if let Some(first_failure) = told {
            step.status(&first_failure, Status::RollbackFailed, Some(&reason));
            return;
        }
        let target = self.last_completed.clone().filter(|target| rollback && target.id != id);
        match target {
            Some(target) => self.roll_back(target, &id, &failure, step),
            None if rollback => {
                let reason = format!("{reason} No rollback candidate was found to run the rollback.");
                step.status(&id, Status::RollbackFailed, Some(&reason));
            }
            None => step.status(&id, Status::Stopped, Some(&reason)),
        }
    }

    /// What ran is deployed again, as a new primary that takes over the tasks that it still has. The sentences about
    /// the way back name the new deployment itself (observed).
    fn roll_back(&mut self, target: Target, failed: &str, failure: &Failure, step: &mut Step<'_>) {
        let at = self.deployments.iter().position(|known| known.id() == target.id);
        let mut deployment = match at {
            Some(at) => self.deployments.remove(at),
            None => Deployment::new(target.clone(), step.now_ms),
        };
        let number = (step.fresh)(Fresh::Deployment);
        deployment.state = RolloutState::InProgress;
        deployment.reason = match failure {
            Failure::Breaker => {
                format!("ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/{number}.")
            }
            Failure::Alarm => {
                format!("ECS deployment alarms: rolling back to deploymentId ecs-svc/{number}.")
            }
            Failure::Asked | Failure::Hook(_) => {
                format!("ECS deployment: rolling back to deploymentId ecs-svc/{number}.")
            }
        };
        deployment.rolls_back = Some(failed.to_owned());
        deployment.strikes = 0;
        deployment.in_a_row = 0;
        deployment.not_before_ms = step.now_ms;
        (deployment.created_ms, deployment.updated_ms) = (step.now_ms, step.now_ms);
        deployment.failed = 0;
        deployment.own_number = Some(number.clone());
        self.deployments.insert(0, deployment);
        self.shift_traffic_back();
        let sentence = format!("(service {}) rolling back to deployment ecs-svc/{number}.", self.service);
        step.actions.push(Action::Say(sentence));
        let reason = match failure {
            Failure::Breaker => {
                "Service deployment rolled back because the circuit breaker threshold was exceeded."
            }
            Failure::Alarm => "Service deployment rolled back because an alarm was detected.",
            Failure::Asked => "Service deployment rolled back because of a request.",
            Failure::Hook(reason) => reason,
        };
        step.status(failed, Status::RollbackInProgress, Some(reason));
    }

    /// All that is wanted runs and is healthy, and nothing else is there.
    pub(super) fn is_settled(&self, now_ms: i64) -> bool {
        let Some(primary) = self.deployments.first() else { return false };
        let mine = self.tasks.iter().filter(|task| task.deployment == primary.id());
        let healthy = mine.clone().filter(|task| self.is_healthy(task, now_ms)).count();
        let live = mine.filter(|task| task.phase != Phase::Stopping).count();
        healthy == self.desired as usize && live == healthy
    }

    fn complete(&mut self, step: &mut Step<'_>) {
        let is_alone = self.deployments.len() <= 1;
        let settled = self.is_settled(step.now_ms) && is_alone;
        if !settled || !self.stages_are_over() {
            return;
        }
        let service = self.service.clone();
        let Some(primary) = self.deployments.first_mut() else { return };
        let id = primary.id().to_owned();
        if primary.state == RolloutState::InProgress {
            primary.state = RolloutState::Completed;
            let number = primary.number().to_owned();
            primary.reason = format!("ECS deployment ecs-svc/{number} completed.");
            primary.updated_ms = step.now_ms;
            primary.traffic = 100.0;
            let rolled_back = primary.rolls_back.take();
            self.last_completed = Some(primary.target.clone());
            let sentence = format!("(service {service}) (deployment ecs-svc/{number}) deployment completed.");
            step.actions.push(Action::Say(sentence));
            match rolled_back {
                Some(failed) => step.status(&failed, Status::RollbackSuccessful, None),
                None => step.status(&id, Status::Successful, None),
            }
        }
        let is_over = self.deployments.first().is_some_and(|first| first.state == RolloutState::Completed);
        let is_quiet = self.tasks.iter().all(|task| task.phase != Phase::Stopping);
        if is_over && is_quiet && !self.steady {
            self.steady = true;
            step.actions.push(Action::Say(format!("(service {service}) has reached a steady state.")));
        }
    }

    /// A deployment that watches the alarm fails.
    pub(super) fn alarm_goes_off(&mut self, step: &mut Step<'_>) {
        if self.watched().is_some() {
            self.fail(Failure::Alarm, self.rules.alarm_rollback, step);
        }
    }

    /// `StopServiceDeployment`.
    pub(super) fn stop_deployment(&mut self, rollback: bool, step: &mut Step<'_>) {
        let is_going = self.deployments.first().is_some_and(|first| first.state == RolloutState::InProgress);
        if is_going {
            self.fail(Failure::Asked, rollback, step);
        }
    }
}
