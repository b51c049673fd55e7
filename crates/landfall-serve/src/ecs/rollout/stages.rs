//! The stages of blue/green, linear and canary deployments: traffic moves to the new tasks while the old
//! ones wait, and goes back at once if it has to.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-blue-green.html>

use serde::{Deserialize, Serialize};

use super::judge::Failure;
use super::{Deployment, Rollout, RolloutState, Step};

/// How long a stage that has nothing to wait for lasts, in milliseconds: long enough to be seen.
const STAGE_MS: i64 = 250;

/// `strategy`, with what belongs to it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Strategy {
    /// Tasks are replaced within the percentages.
    Rolling,
    /// All traffic at once.
    BlueGreen,
    /// In equal steps.
    Linear {
        /// Percent of a step.
        step_percent: f64,
        /// Between two steps, milliseconds.
        step_bake_ms: i64,
    },
    /// A little first, then the rest.
    Canary {
        /// Percent of the first step.
        canary_percent: f64,
        /// After the first step, milliseconds.
        canary_bake_ms: i64,
    },
}

impl Strategy {
    /// Whether tasks are replaced in place.
    pub fn is_rolling(self) -> bool {
        matches!(self, Self::Rolling)
    }

    /// The same with other waits: `span` makes them, in milliseconds, of AWS's.
    #[must_use]
    pub fn with_waits(self, span: impl Fn(i64) -> i64) -> Self {
        match self {
            Self::Linear { step_percent, step_bake_ms } => {
                Self::Linear { step_percent, step_bake_ms: span(step_bake_ms) }
            }
            Self::Canary { canary_percent, canary_bake_ms } => {
                Self::Canary { canary_percent, canary_bake_ms: span(canary_bake_ms) }
            }
            other => other,
        }
    }

    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rolling => "ROLLING",
            Self::BlueGreen => "BLUE_GREEN",
            Self::Linear { .. } => "LINEAR",
            Self::Canary { .. } => "CANARY",
        }
    }
}

/// `lifecycleStage`, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 11] = [
        Self::ReconcileService,
        Self::PreScaleUp,
        Self::ScaleUp,
        Self::PostScaleUp,
        Self::TestTrafficShift,
        Self::PostTestTrafficShift,
        Self::PreProductionTrafficShift,
        Self::ProductionTrafficShift,
        Self::PostProductionTrafficShift,
        Self::BakeTime,
        Self::CleanUp,
    ];

    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    /// Whether something can be asked at this stage.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHook.html>
    pub fn has_hooks(self) -> bool {
        !matches!(self, Self::ScaleUp | Self::BakeTime | Self::CleanUp)
    }

    /// The word of a deployment that has come this far. AWS's model has no word for the stage between the tests and
    /// the traffic, only for its hooks: till then it is after the tests.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
    pub fn told(self) -> &'static str {
        match self {
            Self::PreProductionTrafficShift => Self::PostTestTrafficShift.word(),
            stage => stage.word(),
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|stage| *stage == self).unwrap_or(0);
        Self::ALL.get(at + 1).copied().unwrap_or(Self::CleanUp)
    }
}

/// Something that is asked when a stage is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// At which stages.
    pub stages: Vec<Stage>,
    /// The function that would be asked; none when a person is: `PAUSE`.
    pub function: Option<String>,
    /// How long an answer is waited for, in milliseconds.
    #[serde(default = "hook_timeout_ms")]
    pub timeout_ms: i64,
    /// Whether the deployment goes on without an answer; else it goes back.
    #[serde(default)]
    pub goes_on: bool,
}

/// A day, as AWS waits where nothing else is said.
fn hook_timeout_ms() -> i64 {
    HOOK_TIMEOUT_MINUTES * 60_000
}

/// `timeoutInMinutes` where nothing is said.
pub const HOOK_TIMEOUT_MINUTES: i64 = 1_440;

impl Rollout {
    /// Moves the primary deployment through its stages as far as it goes now.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        while let Some(primary) = self.deployments.first() {
            if primary.state != RolloutState::InProgress || primary.rolls_back.is_some() {
                return;
            }
            let stage = primary.stage;
            let waited_since = primary.stage_since_ms;
            let is_timed_out =
                |hook: &&Hook| !hook.goes_on && step.now_ms >= waited_since.saturating_add(hook.timeout_ms);
            if self.hook_at(stage).as_ref().is_some_and(is_timed_out) {
                let reason = format!("lifecycle hook at {} timed out.", stage.word());
                self.fail(Failure::Hook(reason), true, step);
                return;
            }
            if stage == Stage::CleanUp || !self.is_over(stage, step) {
                return;
            }
            let Some(primary) = self.deployments.first_mut() else { return };
            if stage == Stage::ProductionTrafficShift && primary.traffic < 100.0 {
                // The next step of the same stage.
                primary.stage_since_ms = step.now_ms;
            } else {
                primary.stage = stage.next();
                primary.stage_since_ms = step.now_ms;
            }
            primary.updated_ms = step.now_ms;
            self.enter(step);
        }
    }

    /// What happens at the beginning of a stage, or of a step of the traffic's move.
    fn enter(&mut self, step: &mut Step<'_>) {
        let strategy = self.rules.strategy;
        let alone = self.last_completed.is_none();
        let Some(primary) = self.deployments.first_mut() else { return };
        if primary.stage == Stage::ProductionTrafficShift {
            primary.traffic = match strategy {
                Strategy::Linear { step_percent, .. } if !alone => {
                    (primary.traffic + step_percent).min(100.0)
                }
                Strategy::Canary { canary_percent, .. } if !alone && primary.traffic == 0.0 => canary_percent,
                _ => 100.0,
            };
            let rest = 100.0 - primary.traffic;
            if let Some(before) = self.deployments.get_mut(1) {
                before.traffic = rest;
            }
        }
        let Some(stage) = self.deployments.first().map(|primary| primary.stage) else { return };
        let function = self.hook_at(stage).and_then(|hook| hook.function.clone());
        if let Some(function) = function {
            let reason = format!(
                "lifecycle hook {function} was not invoked at {}: there are no Lambda functions here.",
                stage.word()
            );
            self.fail(Failure::Hook(reason), true, step);
        }
    }

    fn hook_at(&self, stage: Stage) -> Option<&Hook> {
        self.rules.hooks.iter().find(|hook| hook.stages.contains(&stage))
    }

    /// Whether a hook of the primary's stage waits for a person: the stage, and the hook. A way back goes through no
    /// stages.
    pub fn waits_at(&self) -> Option<(Stage, &Hook)> {
        let primary = self.deployments.first()?;
        let hook = self.hook_at(primary.stage)?;
        let goes_forward = primary.state == RolloutState::InProgress && primary.rolls_back.is_none();
        goes_forward.then_some((primary.stage, hook))
    }

    /// Whether the primary's stage has done what it is for.
    fn is_over(&self, stage: Stage, step: &Step<'_>) -> bool {
        let Some(primary) = self.deployments.first() else { return false };
        if let Some(hook) = self.hook_at(stage) {
            return hook.goes_on && step.now_ms >= primary.stage_since_ms.saturating_add(hook.timeout_ms);
        }
        match self.stage_length(primary) {
            Some(length) => step.now_ms >= primary.stage_since_ms.saturating_add(length),
            None => self.is_settled(step.now_ms),
        }
    }

    /// How long the stage lasts, in milliseconds; none for the one that waits for the tasks.
    fn stage_length(&self, primary: &Deployment) -> Option<i64> {
        let seen = if self.rules.strategy.is_rolling() { 0 } else { STAGE_MS };
        let first = self.last_completed.is_none();
        Some(match (primary.stage, self.rules.strategy) {
            (Stage::ScaleUp, _) => return None,
            (Stage::ProductionTrafficShift, Strategy::Linear { step_bake_ms, .. })
                if !first && primary.traffic < 100.0 =>
            {
                step_bake_ms.max(seen)
            }
            (Stage::ProductionTrafficShift, Strategy::Canary { canary_bake_ms, .. })
                if !first && primary.traffic < 100.0 =>
            {
                canary_bake_ms.max(seen)
            }
            // There is nothing to go back to while the first deployment bakes.
            (Stage::BakeTime, _) if !first => self.rules.bake_ms.max(seen),
            (Stage::PreProductionTrafficShift, _) => 0,
            _ => seen,
        })
    }

    /// When the stage ends by itself, milliseconds since 1970.
    pub(super) fn stage_due_ms(&self, primary: &Deployment) -> Option<i64> {
        if primary.stage == Stage::CleanUp || primary.rolls_back.is_some() {
            return None;
        }
        if let Some(hook) = self.hook_at(primary.stage) {
            return Some(primary.stage_since_ms.saturating_add(hook.timeout_ms));
        }
        self.stage_length(primary).map(|length| primary.stage_since_ms.saturating_add(length))
    }

    /// Whether new tasks may be started: all strategies but rolling have stages before.
    pub(super) fn may_scale_up(&self) -> bool {
        self.deployments.first().is_some_and(|primary| {
            primary.stage >= Stage::ScaleUp
                || primary.rolls_back.is_some()
                || primary.state == RolloutState::Completed
        })
    }

    /// Whether the old tasks may go.
    pub(super) fn may_clean_up(&self) -> bool {
        self.deployments.first().is_some_and(|primary| {
            primary.stage == Stage::CleanUp
                || primary.rolls_back.is_some()
                || primary.state == RolloutState::Completed
        })
    }

    /// Whether only the tasks are waited for.
    pub(super) fn stages_are_over(&self) -> bool {
        self.may_clean_up()
    }

    /// Traffic goes back to the primary.
    pub(super) fn shift_traffic_back(&mut self) {
        for (at, deployment) in self.deployments.iter_mut().enumerate() {
            deployment.traffic = if at == 0 { 100.0 } else { 0.0 };
        }
    }

    /// `ContinueServiceDeployment`.
    pub(super) fn answer_hook(&mut self, go_on: bool, step: &mut Step<'_>) {
        let Some((stage, _)) = self.waits_at() else { return };
        if !go_on {
            self.fail(Failure::Asked, true, step);
            return;
        }
        // The hook has spoken: the stage goes on without it.
        for hook in &mut self.rules.hooks {
            hook.stages.retain(|known| *known != stage);
        }
    }
}
