//! The course of a blue/green deployment, as a step machine without clock and store: what is seen of the
//! new task set and a moment go in, what is to be done with the task sets comes out.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html>

use serde::{Deserialize, Serialize};

/// How long a stage that waits for nothing lasts, in milliseconds: long enough to be seen.
const STAGE_MS: i64 = 250;
/// How long the new task set may take to become healthy, in milliseconds.
const INSTALL_MS_MAX: i64 = 60 * 60 * 1000;

/// The lifecycle events of a deployment to ECS, in order.
pub const LIFECYCLE: [&str; 8] = [
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
];

/// How traffic moves to the new task set.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Shift {
    /// All at once.
    AllAtOnce,
    /// A part, and after a while the rest.
    Canary {
        /// The part in percent.
        percent: f64,
        /// The while, in milliseconds.
        wait_ms: i64,
    },
    /// In equal parts.
    Linear {
        /// A part in percent.
        percent: f64,
        /// Between two parts, in milliseconds.
        wait_ms: i64,
    },
}

impl Shift {
    /// The same with another wait: `span` makes it, in milliseconds, of AWS's.
    #[must_use]
    pub fn with_waits(self, span: impl Fn(i64) -> i64) -> Self {
        match self {
            Self::Canary { percent, wait_ms } => Self::Canary { percent, wait_ms: span(wait_ms) },
            Self::Linear { percent, wait_ms } => Self::Linear { percent, wait_ms: span(wait_ms) },
            Self::AllAtOnce => self,
        }
    }
}

/// What a deployment waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// The new task set, to be healthy.
    Install,
    /// Nothing: test traffic goes to it.
    TestTraffic,
    /// A word to go on.
    Ready,
    /// The traffic, to have moved.
    Shift,
    /// The time until the old task set goes.
    Termination,
    /// Nothing any more.
    Ended(End),
}

/// How a deployment ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum End {
    /// `Succeeded`.
    Succeeded,
    /// `Failed`, with `errorInformation`.
    Failed {
        /// CodeDeploy's word.
        code: String,
        /// What went wrong.
        message: String,
    },
    /// `Stopped`.
    Stopped,
}

/// A lifecycle event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Its name.
    pub name: String,
    /// `Pending`, `InProgress`, `Succeeded`, `Failed` or `Skipped`.
    pub status: String,
    /// When it began, milliseconds since 1970.
    pub began_ms: Option<i64>,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<i64>,
}

/// What is to be done with the task sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// The new one takes the traffic.
    Promote,
    /// The old one goes.
    Terminate,
    /// The new one goes, and the old one has the traffic.
    Undo,
}

/// How far a deployment is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Course {
    /// What it waits for.
    pub stage: Stage,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// The new task set's share of the traffic, in percent.
    pub traffic: f64,
    /// How the share grows.
    pub shift: Shift,
    /// How long it waits for a word before traffic moves, in milliseconds; none when it doesn't.
    pub ready_ms: Option<i64>,
    /// How long the old task set stays, in milliseconds; none for ever.
    pub termination_ms: Option<i64>,
    /// Lifecycle events with a function that would be asked.
    pub hooks: Vec<(String, String)>,
    /// The lifecycle events.
    pub events: Vec<Lifecycle>,
    /// Whether a failure gives the traffic back by a deployment of its own.
    pub rolls_back: bool,
}

impl Course {
    /// The beginning.
    pub fn new(shift: Shift, now_ms: i64) -> Self {
        let event = |name: &str| Lifecycle {
            name: name.to_owned(),
            status: "Pending".to_owned(),
            began_ms: None,
            ended_ms: None,
        };
        Self {
            stage: Stage::Install,
            since_ms: now_ms,
            traffic: 0.0,
            shift,
            ready_ms: None,
            termination_ms: Some(0),
            hooks: Vec::new(),
            events: LIFECYCLE.map(event).to_vec(),
            rolls_back: false,
        }
    }

    /// Whether nothing happens any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// CodeDeploy's word for its status.
    pub fn status(&self) -> &'static str {
        match &self.stage {
            Stage::Ready => "Ready",
            Stage::Ended(End::Succeeded) => "Succeeded",
            Stage::Ended(End::Failed { .. }) => "Failed",
            Stage::Ended(End::Stopped) => "Stopped",
            _ => "InProgress",
        }
    }

    /// Goes on as far as it can now.
    pub fn look(&mut self, is_healthy: bool, now_ms: i64) -> Vec<Act> {
        let mut acts = Vec::new();
        while !self.is_over() {
            let waited = now_ms.saturating_sub(self.since_ms);
            if self.stage == Stage::Install && self.asks_a_hook("Install", now_ms) {
                break;
            }
            match self.stage.clone() {
                Stage::Install if !is_healthy => {
                    self.begin("Install", now_ms);
                    if waited < INSTALL_MS_MAX {
                        break;
                    }
                    let message = "The deployment timed out while waiting for the replacement task set to become healthy. This time out period is 60 minutes.";
                    acts.extend(self.fail("TIMEOUT", message, now_ms));
                }
                Stage::Install => self.enter(Stage::TestTraffic, "AllowTestTraffic", now_ms),
                Stage::TestTraffic if waited < STAGE_MS => break,
                Stage::TestTraffic if self.ready_ms.is_some() => {
                    self.enter(Stage::Ready, "BeforeAllowTraffic", now_ms);
                }
                Stage::TestTraffic => self.enter(Stage::Shift, "AllowTraffic", now_ms),
                Stage::Ready if self.ready_ms.is_some_and(|wait| waited < wait) => break,
                Stage::Ready => acts.extend(self.stop(now_ms)),
                Stage::Shift if self.traffic >= 100.0 && waited < STAGE_MS => break,
                Stage::Shift if self.traffic >= 100.0 => {
                    acts.push(Act::Promote);
                    self.enter(Stage::Termination, "AfterAllowTraffic", now_ms);
                }
                Stage::Shift => {
                    if self.traffic > 0.0 && waited < self.shift_ms() {
                        break;
                    }
                    self.traffic = self.next_share();
                    self.since_ms = now_ms;
                }
                Stage::Termination => match self.termination_ms {
                    Some(wait) if waited < wait => break,
                    ending => {
                        acts.extend(ending.map(|_| Act::Terminate));
                        self.end(End::Succeeded, now_ms);
                    }
                },
                Stage::Ended(_) => break,
            }
        }
        let has_failed = matches!(self.stage, Stage::Ended(End::Failed { .. }));
        if has_failed && !acts.contains(&Act::Undo) {
            acts.push(Act::Undo);
        }
        acts
    }

    /// When time alone changes something next, milliseconds since 1970.
    pub fn due_ms(&self) -> Option<i64> {
        let wait = match &self.stage {
            Stage::Install => INSTALL_MS_MAX,
            Stage::TestTraffic => STAGE_MS,
            Stage::Ready => self.ready_ms?,
            Stage::Shift if self.traffic >= 100.0 => STAGE_MS,
            Stage::Shift => self.shift_ms(),
            Stage::Termination => self.termination_ms.unwrap_or(0),
            Stage::Ended(_) => return None,
        };
        Some(self.since_ms.saturating_add(wait))
    }

    /// Someone ends a wait; whether there was one of that kind.
    pub fn go_on(&mut self, wait: &str, now_ms: i64) -> bool {
        match (&self.stage, wait) {
            (Stage::Ready, "READY_WAIT") => self.enter(Stage::Shift, "AllowTraffic", now_ms),
            (Stage::Termination, "TERMINATION_WAIT") => {
                self.termination_ms = self.termination_ms.map(|_| 0);
            }
            _ => return false,
        }
        true
    }

    /// Someone stops it.
    pub fn stop(&mut self, now_ms: i64) -> Vec<Act> {
        self.end(End::Stopped, now_ms);
        vec![Act::Undo]
    }

    /// It can't go on.
    pub fn fail(&mut self, code: &str, message: &str, now_ms: i64) -> Vec<Act> {
        self.end(End::Failed { code: code.to_owned(), message: message.to_owned() }, now_ms);
        vec![Act::Undo]
    }

    fn shift_ms(&self) -> i64 {
        match self.shift {
            Shift::AllAtOnce => 0,
            Shift::Canary { wait_ms, .. } | Shift::Linear { wait_ms, .. } => wait_ms,
        }
    }

    fn next_share(&self) -> f64 {
        match self.shift {
            Shift::Canary { percent, .. } if self.traffic == 0.0 => percent,
            Shift::Linear { percent, .. } => (self.traffic + percent).min(100.0),
            Shift::AllAtOnce | Shift::Canary { .. } => 100.0,
        }
    }

    /// Comes to a stage, whose first lifecycle event this is.
    fn enter(&mut self, stage: Stage, event: &str, now_ms: i64) {
        if self.asks_a_hook(event, now_ms) {
            return;
        }
        self.begin(event, now_ms);
        self.stage = stage;
        self.since_ms = now_ms;
    }

    /// Whether a hook stands in the way to an event: at that one or at one before it that hasn't begun. Its
    /// function can't be asked, so the deployment fails there.
    fn asks_a_hook(&mut self, event: &str, now_ms: i64) -> bool {
        let until = self.events.iter().position(|known| known.name == event).unwrap_or(0);
        let pending = self.events.iter().take(until + 1).filter(|known| known.status == "Pending");
        let hook =
            pending.flat_map(|known| self.hooks.iter().find(|(name, _)| *name == known.name)).next().cloned();
        let Some((name, function)) = hook else { return false };
        self.begin(&name, now_ms);
        let message =
            format!("The function {function} was not invoked at {name}: there are no Lambda functions here.");
        self.end(End::Failed { code: "INVALID_LAMBDA_FUNCTION".to_owned(), message }, now_ms);
        true
    }

    /// All events before this one have succeeded, and it goes on.
    fn begin(&mut self, name: &str, now_ms: i64) {
        for event in &mut self.events {
            if event.name == name {
                event.began_ms.get_or_insert(now_ms);
                "InProgress".clone_into(&mut event.status);
                return;
            }
            event.began_ms.get_or_insert(now_ms);
            event.ended_ms.get_or_insert(now_ms);
            "Succeeded".clone_into(&mut event.status);
        }
    }

    fn end(&mut self, end: End, now_ms: i64) {
        let (going, waiting) = match end {
            End::Succeeded => ("Succeeded", "Succeeded"),
            End::Failed { .. } | End::Stopped => ("Failed", "Skipped"),
        };
        for event in &mut self.events {
            match event.status.as_str() {
                "InProgress" => going.clone_into(&mut event.status),
                "Pending" => waiting.clone_into(&mut event.status),
                _ => continue,
            }
            event.ended_ms = Some(now_ms);
        }
        self.stage = Stage::Ended(end);
        self.since_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(course: &Course) -> String {
        course.events.iter().map(|event| event.status.chars().next().unwrap_or('?')).collect()
    }

    /// Looks at each of the moments: what there is to do, the status, the traffic.
    fn told(course: &mut Course, moments: &[(bool, i64)]) -> Vec<String> {
        let look = |(is_healthy, at): &(bool, i64)| {
            let acts = course.look(*is_healthy, *at);
            format!("{at} {} {} {acts:?}", course.status(), course.traffic)
        };
        moments.iter().map(look).collect()
    }

    #[test]
    fn all_at_once_goes_straight_through_and_the_old_set_goes_after_its_time() {
        let mut course = Course { termination_ms: Some(5_000), ..Course::new(Shift::AllAtOnce, 0) };
        let got =
            told(&mut course, &[(false, 100), (true, 1_000), (true, 1_250), (true, 1_500), (true, 6_499)]);
        let wanted = [
            "100 InProgress 0 []",
            "1000 InProgress 0 []",
            "1250 InProgress 100 []",
            "1500 InProgress 100 [Promote]",
            "6499 InProgress 100 []",
        ];
        assert_eq!(got, wanted);
        assert_eq!(statuses(&course), "SSSSSSSI");
        assert_eq!(course.look(true, 6_500), [Act::Terminate]);
        assert_eq!((course.status(), statuses(&course)), ("Succeeded", "SSSSSSSS".to_owned()));
    }

    #[test]
    fn a_canary_gives_a_part_and_then_the_rest() {
        let shift = Shift::Canary { percent: 10.0, wait_ms: 300_000 };
        let mut course = Course { termination_ms: None, ..Course::new(shift, 0) };
        let got =
            told(&mut course, &[(true, 0), (true, 250), (true, 300_000), (true, 300_250), (true, 300_500)]);
        assert_eq!(
            got[1..],
            [
                "250 InProgress 10 []",
                "300000 InProgress 10 []",
                "300250 InProgress 100 []",
                "300500 Succeeded 100 [Promote]",
            ]
        );
    }

    #[test]
    fn it_waits_for_a_word_and_stops_without_one() {
        let mut course = Course { ready_ms: Some(60_000), ..Course::new(Shift::AllAtOnce, 0) };
        told(&mut course, &[(true, 0), (true, 250)]);
        assert_eq!(course.status(), "Ready");
        let mut other = course.clone();
        assert!(other.go_on("READY_WAIT", 1_000));
        assert_eq!(
            told(&mut other, &[(true, 1_000), (true, 1_250)])[1],
            "1250 Succeeded 100 [Promote, Terminate]"
        );
        assert!(!course.go_on("TERMINATION_WAIT", 1_000));
        assert_eq!(told(&mut course, &[(true, 60_250)]), ["60250 Stopped 0 [Undo]"]);
        assert_eq!(statuses(&course), "SSSSSFSS");
    }

    #[test]
    fn a_set_that_never_becomes_healthy_fails_after_an_hour() {
        let mut course = Course::new(Shift::AllAtOnce, 0);
        assert_eq!(
            told(&mut course, &[(false, 3_599_999), (false, 3_600_000)]),
            ["3599999 InProgress 0 []", "3600000 Failed 0 [Undo]",]
        );
        for event in ["BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic"] {
            let mut hooked = Course::new(Shift::AllAtOnce, 0);
            hooked.hooks.push((event.to_owned(), "check".to_owned()));
            told(&mut hooked, &[(true, 0), (true, 10_000), (true, 20_000)]);
            let failed: Vec<&str> = hooked
                .events
                .iter()
                .filter(|known| known.status == "Failed")
                .map(|known| known.name.as_str())
                .collect();
            assert_eq!((hooked.status(), failed), ("Failed", vec![event]));
        }
    }
}
