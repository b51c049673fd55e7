//! The rollout: cases as data, and what holds under any order of events.

#![allow(clippy::unwrap_used, clippy::panic)]

use serde::Deserialize;

use super::*;

mod schedules;

fn rules(minimum: u32, maximum: u32) -> Rules {
    Rules {
        controller: Controller::Ecs,
        minimum_percent: minimum,
        maximum_percent: maximum,
        breaker: Breaker {
            enabled: false,
            rollback: false,
            reset_on_healthy: true,
            threshold: Threshold::Bounded(50),
        },
        alarm_rollback: false,
        strategy: Strategy::Rolling,
        bake_ms: 0,
        hooks: Vec::new(),
        grace_ms: 0,
        settle_ms: SETTLE_MS,
        target_groups: Vec::new(),
    }
}

/// A row of `cases/rollout.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    desired: u32,
    #[serde(default = "hundred")]
    minimum: u32,
    #[serde(default = "two_hundred")]
    maximum: u32,
    /// `off`, `on` or `rollback`.
    #[serde(default)]
    breaker: String,
    /// `rolling`, `blue-green`, `linear 50 60s`, `canary 10 60s`.
    #[serde(default)]
    strategy: String,
    #[serde(default)]
    bake: String,
    #[serde(default)]
    grace: String,
    #[serde(default)]
    pause_at: Option<Stage>,
    /// Whether the deployment goes on when nobody answers the pause.
    #[serde(default)]
    pause_goes_on: bool,
    #[serde(default)]
    function_at: Option<Stage>,
    #[serde(default)]
    target_groups: Vec<String>,
    #[serde(default)]
    task_sets: bool,
    /// Whether an alarm brings back what ran.
    #[serde(default)]
    alarm_rollback: bool,
    /// Whether the tasks have a health check.
    #[serde(default)]
    health_check: bool,
    /// What happens, and what the machine then wants.
    steps: Vec<(String, Vec<String>)>,
    /// The deployments in the end: id, state, reason.
    #[serde(default)]
    deployments: Vec<String>,
}

fn hundred() -> u32 {
    100
}

fn two_hundred() -> u32 {
    200
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn ms(text: &str) -> i64 {
    if text.is_empty() {
        return 0;
    }
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap());
    let number: i64 = number.parse().unwrap();
    match unit {
        "ms" => number,
        "s" => number * 1000,
        "m" => number * 60_000,
        _ => panic!("{text} is no length of time"),
    }
}

impl Case {
    fn rules(&self) -> Rules {
        let mut rules = rules(self.minimum, self.maximum);
        rules.breaker.enabled = matches!(self.breaker.as_str(), "on" | "rollback");
        rules.breaker.rollback = self.breaker == "rollback";
        let words: Vec<&str> = self.strategy.split_whitespace().collect();
        rules.strategy = match words.as_slice() {
            [] | ["rolling"] => Strategy::Rolling,
            ["blue-green"] => Strategy::BlueGreen,
            ["linear", percent, bake] => {
                Strategy::Linear { step_percent: percent.parse().unwrap(), step_bake_ms: ms(bake) }
            }
            ["canary", percent, bake] => {
                Strategy::Canary { canary_percent: percent.parse().unwrap(), canary_bake_ms: ms(bake) }
            }
            other => panic!("{other:?}"),
        };
        rules.bake_ms = ms(&self.bake);
        rules.alarm_rollback = self.alarm_rollback;
        rules.grace_ms = ms(&self.grace);
        for (stage, function) in [(self.pause_at, None), (self.function_at, Some("f".to_owned()))] {
            rules.hooks.extend(stage.map(|stage| Hook {
                stages: vec![stage],
                function,
                timeout_ms: 86_400_000,
                goes_on: self.pause_goes_on,
            }));
        }
        rules.target_groups.clone_from(&self.target_groups);
        if self.task_sets {
            rules.controller = Controller::TaskSets;
        }
        rules
    }

    fn event(&self, text: &str, now: &mut i64) -> Event {
        let target = |id: &str| Target { id: id.to_owned(), has_health_check: self.health_check };
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["deploy", id] => Event::Deploy(target(id)),
            ["desire", count] => Event::Desire(count.parse().unwrap()),
            [task, "runs"] => Event::TaskRuns((*task).to_owned()),
            [task, "stops"] => Event::TaskStopped((*task).to_owned()),
            [task, "healthy"] => Event::TaskHealth((*task).to_owned(), Health::Healthy),
            [task, "unhealthy"] => Event::TaskHealth((*task).to_owned(), Health::Unhealthy),
            [task, "protected", wait] => Event::Protect((*task).to_owned(), Some(*now + ms(wait))),
            [task, "unprotected"] => Event::Protect((*task).to_owned(), None),
            ["alarm"] => Event::AlarmGoesOff,
            ["abort"] => Event::StopDeployment { rollback: false },
            ["roll", "back"] => Event::StopDeployment { rollback: true },
            ["continue"] => Event::Continue { go_on: true },
            ["give", "up"] => Event::Continue { go_on: false },
            ["set", id, scale] => Event::TaskSet(target(id), scale.parse().unwrap()),
            ["unset", id] => Event::DeleteTaskSet((*id).to_owned()),
            ["primary", id] => Event::Primary((*id).to_owned()),
            ["drain"] => Event::Drain,
            [wait] => {
                *now += ms(wait);
                Event::Tick
            }
            other => panic!("{other:?} is no event"),
        }
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Start { task, deployment } => format!("start {task} of {deployment}"),
        Action::Stop { task, why } => format!("stop {task}: {}", why.sentence()),
        Action::Say(sentence) => sentence.clone(),
        Action::Status { deployment, status, reason: None } => format!("{deployment} {}", status.word()),
        Action::Status { deployment, status, reason: Some(reason) } => {
            format!("{deployment} {}: {reason}", status.word())
        }
    }
}

/// What can be seen of the deployments, and which hook waits.
fn seen(rollout: &Rollout) -> Vec<String> {
    let tell = |known: &Deployment| {
        let (number, state, stage) = (known.number(), known.state.word(), known.stage.word());
        format!("{number} {state} at {stage} with {} %: {}", known.traffic, known.reason)
    };
    let waits = rollout.waits_at().map(|(stage, _)| format!("a hook waits at {}", stage.word()));
    rollout.deployments.iter().map(tell).chain(waits).collect()
}

#[test]
fn cases() {
    let cases: Cases = toml::from_str(include_str!("../../../cases/rollout.toml")).unwrap();
    for case in &cases.case {
        let mut rollout = Rollout::new("web", case.desired, case.rules());
        let (mut now, mut number, mut ways_back) = (0, 0, 0);
        let mut refused: Option<String> = None;
        for (event, wanted) in &case.steps {
            if event == "look" {
                assert_eq!(&seen(&rollout), wanted, "{}: at {now} ms", case.name);
                continue;
            }
            if let Some(error) = event.strip_prefix("launches fail: ") {
                refused = Some(error.to_owned()).filter(|error| error != "no more");
                continue;
            }
            let event = case.event(event, &mut now);
            let place = format!("{}: after {event:?} at {now} ms", case.name);
            let mut fresh = |what| match what {
                Fresh::Task => {
                    number += 1;
                    format!("t{number}")
                }
                Fresh::Deployment => {
                    ways_back += 1;
                    format!("back{ways_back}")
                }
            };
            let actions = rollout.step_where(event, now, &mut fresh, &mut |_, _| refused.clone());
            let told: Vec<String> = actions.iter().map(told).collect();
            assert_eq!(&told, wanted, "{place}: {rollout:#?}");
        }
        let deployments: Vec<String> = rollout
            .deployments
            .iter()
            .map(|known| format!("{} {} {}", known.number(), known.state.word(), known.reason))
            .collect();
        if !case.deployments.is_empty() {
            assert_eq!(deployments, case.deployments, "{}", case.name);
        }
    }
}

#[test]
fn the_threshold_is_half_of_the_desired_count_between_3_and_200() {
    let half = Threshold::Bounded(50);
    let at = [1, 6, 7, 10, 399, 400, 1000].map(|desired| half.failures(desired));
    assert_eq!(at, [3, 3, 4, 5, 200, 200, 200]);
    assert_eq!(Threshold::Unbounded(50).failures(1000), 500);
    assert_eq!(Threshold::Count(7).failures(1), 7);
}
