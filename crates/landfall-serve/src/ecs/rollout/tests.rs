//! The rollout: cases as data, and what holds under any order of events.

#![allow(clippy::unwrap_used, clippy::panic)]

use serde::Deserialize;

use super::*;

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
    #[serde(default)]
    function_at: Option<Stage>,
    #[serde(default)]
    task_sets: bool,
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
        rules.grace_ms = ms(&self.grace);
        for (stage, function) in [(self.pause_at, None), (self.function_at, Some("f".to_owned()))] {
            rules.hooks.extend(stage.map(|stage| Hook { stages: vec![stage], function }));
        }
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

#[test]
fn cases() {
    let cases: Cases = toml::from_str(include_str!("../../../cases/rollout.toml")).unwrap();
    for case in &cases.case {
        let mut rollout = Rollout::new("web", case.desired, case.rules());
        let (mut now, mut number) = (0, 0);
        for (event, wanted) in &case.steps {
            let event = case.event(event, &mut now);
            let place = format!("{}: after {event:?} at {now} ms", case.name);
            let mut fresh = || {
                number += 1;
                format!("t{number}")
            };
            let actions = rollout.step(event, now, &mut fresh);
            let told: Vec<String> = actions.iter().map(told).collect();
            assert_eq!(&told, wanted, "{place}: {rollout:#?}");
        }
        let deployments: Vec<String> = rollout
            .deployments
            .iter()
            .map(|known| format!("{} {} {}", known.id(), known.state.word(), known.reason))
            .collect();
        if !case.deployments.is_empty() {
            assert_eq!(deployments, case.deployments, "{}", case.name);
        }
    }
}

/// A small generator of numbers: the schedules are random, and the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(items.len()).unwrap();
        (sides > 0).then(|| &items[usize::try_from(self.roll(sides)).unwrap()])
    }
}

struct Run {
    rollout: Rollout,
    now: i64,
    number: u32,
    /// Deployments whose tasks never become healthy.
    broken: Vec<String>,
    told: Vec<String>,
}

impl Run {
    fn step(&mut self, event: Event) {
        self.told.push(format!("{} ms: {event:?}", self.now));
        let (number, now) = (&mut self.number, self.now);
        let mut fresh = || {
            *number += 1;
            format!("t{number}")
        };
        let before = self.rollout.clone();
        let actions = self.rollout.step(event, now, &mut fresh);
        self.told.extend(actions.iter().map(|action| format!("  {}", told(action))));
        self.holds(&before, &actions);
    }

    /// What holds after every step.
    fn holds(&self, before: &Rollout, actions: &[Action]) {
        let rollout = &self.rollout;
        let limits = rollout.limits();
        let all = count(rollout.tasks.iter());
        let started = actions.iter().any(|action| matches!(action, Action::Start { .. }));
        let told = || self.told.join("\n");
        assert!(!started || all <= limits.upper, "{all} tasks, at most {} may be:\n{}", limits.upper, told());
        if rollout.draining {
            return;
        }
        // Tasks that counted when the step began or during it, and were then told to stop by the scheduler.
        let scaled: Vec<&String> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Stop { task, why: Why::Scaling { .. } } => Some(task),
                _ => None,
            })
            .collect();
        let lost = scaled.iter().any(|id| {
            let known = before.tasks.iter().find(|task| task.id == **id);
            known.is_some_and(|task| before.is_healthy(task, self.now))
        });
        let healthy = count(rollout.tasks.iter().filter(|task| rollout.is_healthy(task, self.now)));
        assert!(
            !lost || healthy >= limits.lower,
            "{healthy} healthy tasks are left, at least {} have to be:\n{}",
            limits.lower,
            told()
        );
    }

    /// Something happens to some task, or time passes.
    fn anything(&mut self, dice: &mut Dice) {
        let tasks = self.rollout.tasks.clone();
        let Some(task) = dice.pick(&tasks) else { return self.wait(dice) };
        let is_broken = self.broken.contains(&task.deployment);
        let id = task.id.clone();
        match (task.phase, dice.roll(6)) {
            (Phase::Starting, 0..=2) => self.step(Event::TaskRuns(id)),
            (Phase::Starting | Phase::Running { .. }, 3..=4) if is_broken => {
                self.step(Event::TaskStopped(id));
            }
            (Phase::Running { .. }, 0) if is_broken => self.step(Event::TaskHealth(id, Health::Unhealthy)),
            (Phase::Running { .. }, 0..=2) if !is_broken => self.step(Event::TaskHealth(id, Health::Healthy)),
            (Phase::Running { .. }, 3) if dice.roll(20) == 0 => self.step(Event::TaskStopped(id)),
            (Phase::Stopping, 0..=3) => self.step(Event::TaskStopped(id)),
            _ => self.wait(dice),
        }
    }

    fn wait(&mut self, dice: &mut Dice) {
        self.now += i64::try_from(dice.roll(700)).unwrap();
        self.step(Event::Tick);
    }

    /// All goes well for the deployments that can work, until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.now += 500;
            let tasks = self.rollout.tasks.clone();
            for task in &tasks {
                let is_broken = self.broken.contains(&task.deployment);
                match task.phase {
                    Phase::Stopping => self.step(Event::TaskStopped(task.id.clone())),
                    Phase::Starting => self.step(Event::TaskRuns(task.id.clone())),
                    Phase::Running { .. } if is_broken => self.step(Event::TaskStopped(task.id.clone())),
                    Phase::Running { .. } if task.health == Health::Unknown => {
                        self.step(Event::TaskHealth(task.id.clone(), Health::Healthy));
                    }
                    Phase::Running { .. } => {}
                }
            }
            self.step(Event::Tick);
            if self.rollout.steady {
                return;
            }
        }
    }
}

/// Random rules under which a deployment can move at all.
fn random_rules(dice: &mut Dice) -> Rules {
    let percents = [(0, 100), (50, 100), (50, 200), (100, 200), (100, 150), (75, 125), (0, 200)];
    let (minimum, maximum) = *dice.pick(&percents).unwrap();
    let mut rules = rules(minimum, maximum);
    rules.breaker.enabled = true;
    rules.breaker.rollback = true;
    rules.breaker.reset_on_healthy = dice.roll(2) == 0;
    rules.strategy = match dice.roll(6) {
        0 => Strategy::BlueGreen,
        1 => Strategy::Linear { step_percent: 25.0, step_bake_ms: 1_000 },
        2 => Strategy::Canary { canary_percent: 10.0, canary_bake_ms: 1_000 },
        _ => Strategy::Rolling,
    };
    rules
}

#[test]
fn under_any_schedule_the_limits_hold_and_a_rollback_ends_where_it_began() {
    let (mut rolled_back, mut completed) = (0, 0);
    for seed in 1..=150_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let desired = u32::try_from(dice.roll(6)).unwrap() + 2;
        let rules = random_rules(&mut dice);
        let mut run = Run {
            rollout: Rollout::new("web", desired, rules),
            now: 0,
            number: 0,
            broken: Vec::new(),
            told: Vec::new(),
        };
        let target = |id: &str| Target { id: id.to_owned(), has_health_check: seed % 2 == 0 };
        run.step(Event::Deploy(target("good")));
        run.settle();
        assert!(run.rollout.steady, "{}", run.told.join("\n"));
        for id in ["second", "third", "fourth"] {
            if dice.roll(2) == 0 {
                run.broken.push(id.to_owned());
            }
            run.step(Event::Deploy(target(id)));
            for _ in 0..dice.roll(200) {
                run.anything(&mut dice);
                if dice.roll(60) == 0 {
                    let count = u32::try_from(dice.roll(6)).unwrap() + 2;
                    run.step(Event::Desire(count));
                }
            }
        }
        let before = run.rollout.last_completed.clone().unwrap();
        let is_broken = run.broken.contains(&run.rollout.deployments[0].id().to_owned());
        run.settle();
        let rollout = &run.rollout;
        // Chance has taken the tasks of the way back as well: it ends there.
        if rollout.deployments[0].state == RolloutState::Failed && rollout.deployments[0].rolls_back.is_some()
        {
            continue;
        }
        let stuck = rollout.stuck;
        assert!(rollout.steady || stuck, "seed {seed}: never steady:\n{}\n{rollout:#?}", run.told.join("\n"));
        if stuck {
            continue;
        }
        assert_eq!(rollout.deployments.len(), 1);
        assert_eq!(count(rollout.tasks.iter()), rollout.desired);
        let primary = &rollout.deployments[0];
        assert_eq!(primary.state, RolloutState::Completed);
        assert!(rollout.tasks.iter().all(|task| task.deployment == primary.id()));
        if is_broken {
            rolled_back += 1;
            assert_eq!(primary.target, before, "seed {seed}: {}", run.told.join("\n"));
        } else {
            completed += 1;
        }
    }
    assert!(rolled_back > 5 && completed > 50, "{rolled_back} rolled back, {completed} completed");
}

#[test]
fn the_threshold_is_half_of_the_desired_count_between_3_and_200() {
    let half = Threshold::Bounded(50);
    let at = [1, 6, 7, 10, 399, 400, 1000].map(|desired| half.failures(desired));
    assert_eq!(at, [3, 3, 4, 5, 200, 200, 200]);
    assert_eq!(Threshold::Unbounded(50).failures(1000), 500);
    assert_eq!(Threshold::Count(7).failures(1), 7);
}
