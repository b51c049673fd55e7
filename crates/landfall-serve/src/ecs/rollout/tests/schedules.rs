//! What holds under any order of events, and that all of it comes to an end.

use std::collections::BTreeMap;

use super::*;

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
    /// The last status that was told of each deployment.
    statuses: BTreeMap<String, Status>,
    /// The task that was just told to stop by someone.
    stopped_by_hand: Option<String>,
    /// Of so many launches one fails; none where it is 0.
    failing_launches: u32,
}

impl Run {
    fn new(service: &str, desired: u32, rules: Rules) -> Self {
        Self {
            rollout: Rollout::new(service, desired, rules),
            now: 0,
            number: 0,
            broken: Vec::new(),
            told: Vec::new(),
            statuses: BTreeMap::new(),
            stopped_by_hand: None,
            failing_launches: 0,
        }
    }

    fn step(&mut self, event: Event) {
        self.stopped_by_hand = match &event {
            Event::TaskStopping(task) => Some(task.clone()),
            _ => None,
        };
        self.told.push(format!("{} ms: {event:?}", self.now));
        let (number, now) = (&mut self.number, self.now);
        let mut fresh = |_: Fresh| {
            *number += 1;
            format!("t{number}")
        };
        let before = self.rollout.clone();
        let one_of = self.failing_launches;
        let mut refusal = |_: &str, task: &str| {
            let number: u32 = task.trim_start_matches('t').parse().unwrap();
            (one_of > 0 && number.is_multiple_of(one_of)).then(|| "no role".to_owned())
        };
        let actions = self.rollout.step_where(event, now, &mut fresh, &mut refusal);
        self.told.extend(actions.iter().map(|action| format!("  {}", told(action))));
        self.holds(&before, &actions);
        self.is_told_once(&actions);
        self.keeps_the_other_colour(&before, &actions);
        self.moves_traffic_forward(&before);
        self.is_due_when_it_says();
    }

    fn fails(&self, what: &str) -> ! {
        panic!("{what}:\n{}\n{:#?}", self.told.join("\n"), self.rollout)
    }

    /// Each deployment's story has one end, and nothing is told after it.
    fn is_told_once(&mut self, actions: &[Action]) {
        for action in actions {
            let Action::Status { deployment, status, .. } = action else { continue };
            if let Some(before) = self.statuses.insert(deployment.clone(), *status)
                && before.is_final()
            {
                self.fails(&format!("{deployment} is told to be {} after {}", status.word(), before.word()));
            }
        }
    }

    /// Tasks are started for what is deployed and for what runs beside it, never for what failed, nor for a deployment
    /// that is not there, nor before the wait after its last failure is over. All strategies but
    /// rolling keep what ran at its full number until the new tasks have the traffic for good.
    fn keeps_the_other_colour(&self, before: &Rollout, actions: &[Action]) {
        let rollout = &self.rollout;
        let is_live = |deployment: &str| {
            let state = |all: &Rollout| {
                all.deployments.iter().find(|known| known.id() == deployment).map(|known| known.state)
            };
            state(rollout) != Some(RolloutState::Failed) || state(before) != Some(RolloutState::Failed)
        };
        let started = actions.iter().filter_map(|action| match action {
            Action::Start { deployment, .. } => Some(deployment),
            _ => None,
        });
        // The wait after a launch that failed in this step begins with it.
        let has_failed = actions.iter().any(
            |action| matches!(action, Action::Say(sentence) if sentence.contains("failed to launch a task")),
        );
        for deployment in started {
            if !is_live(deployment) {
                self.fails(&format!("a task of {deployment} was started, which has failed"));
            }
            let listed = rollout.deployments.iter().find(|known| known.id() == deployment);
            if listed.is_none_or(|known| known.not_before_ms > self.now && !has_failed) {
                self.fails(&format!("a task of {deployment} was started, which is not there or has to wait"));
            }
        }
        let (Some(primary), Some(kept)) = (rollout.deployments.first(), rollout.last_completed.as_ref())
        else {
            return;
        };
        let is_beside = !rollout.rules.strategy.is_rolling()
            && primary.id() != kept.id
            && primary.state == RolloutState::InProgress
            && primary.rolls_back.is_none()
            && primary.stage < Stage::CleanUp;
        let live = |all: &Rollout| {
            let tasks = all.tasks.iter().filter(|task| task.deployment == kept.id);
            count(tasks.filter(|task| task.phase != Phase::Stopping))
        };
        if is_beside
            && live(rollout) < live(before).min(rollout.desired).saturating_sub(self.ended(before, &kept.id))
        {
            self.fails("tasks that a rollback would need were stopped");
        }
    }

    /// Tasks of a deployment that ended in this step by themselves, or that someone or their check ended.
    fn ended(&self, before: &Rollout, deployment: &str) -> u32 {
        let of =
            before.tasks.iter().filter(|task| task.deployment == deployment && task.phase != Phase::Stopping);
        count(of.filter(|task| {
            let now = self.rollout.tasks.iter().find(|known| known.id == task.id);
            now.is_none_or(|now| now.phase == Phase::Stopping && now.health == Health::Unhealthy)
                || self.stopped_by_hand.as_ref() == Some(&task.id)
        }))
    }

    /// Traffic is all somewhere; it goes to new tasks only in its stage, and only more of it.
    fn moves_traffic_forward(&self, before: &Rollout) {
        let rollout = &self.rollout;
        let Some(primary) = rollout.deployments.first() else { return };
        if rollout.rules.strategy.is_rolling() || primary.state != RolloutState::InProgress {
            return;
        }
        if primary.rolls_back.is_none()
            && primary.stage < Stage::ProductionTrafficShift
            && primary.traffic > 0.0
        {
            self.fails("new tasks have traffic before it is their turn");
        }
        let same = before.deployments.first().filter(|known| known.id() == primary.id());
        if let Some(known) = same
            && known.rolls_back == primary.rolls_back
            && (known.stage > primary.stage || known.traffic > primary.traffic)
        {
            self.fails("a deployment went a step back");
        }
        if primary.rolls_back.is_none()
            && primary.stage >= Stage::ProductionTrafficShift
            && let [first, second] = rollout.deployments.as_slice()
            && first.traffic + second.traffic != 100.0
        {
            self.fails("some of the traffic is nowhere");
        }
    }

    /// Time alone changes nothing before the moment that the machine has named.
    fn is_due_when_it_says(&self) {
        let due = self.rollout.due_ms(self.now).unwrap_or(self.now + 3_600_000);
        if due <= self.now {
            self.fails(&format!("at {} ms the next moment is {due} ms", self.now));
        }
        let mut probe = self.rollout.clone();
        let actions = probe.step(Event::Tick, due - 1, &mut |_| "early".to_owned());
        if due - 1 > self.now && (!actions.is_empty() || probe != self.rollout) {
            self.fails(&format!("at {} ms something happens that was due at {due} ms: {actions:?}", due - 1));
        }
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
            (Phase::Running { .. }, 4) if dice.roll(40) == 0 => self.step(Event::TaskStopping(id)),
            (Phase::Stopping, 0..=3) => self.step(Event::TaskStopped(id)),
            _ => self.wait(dice),
        }
    }

    /// Somebody asks for another number of tasks, or for other percentages.
    fn asked_for_something(&mut self, dice: &mut Dice) {
        match dice.roll(120) {
            0 | 1 => self.step(Event::Desire(u32::try_from(dice.roll(6)).unwrap() + 2)),
            2 => {
                let mut rules = self.rollout.rules.clone();
                (rules.minimum_percent, rules.maximum_percent) = *dice.pick(&PERCENTS).unwrap();
                self.step(Event::Rules(Box::new(rules)));
            }
            _ => {}
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

/// Minimum and maximum percent that let a deployment move, with enough tasks.
const PERCENTS: [(u32, u32); 7] =
    [(0, 100), (50, 100), (50, 200), (100, 200), (100, 150), (75, 125), (0, 200)];

/// Random rules under which a deployment can move at all.
fn random_rules(dice: &mut Dice) -> Rules {
    let (minimum, maximum) = *dice.pick(&PERCENTS).unwrap();
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
    rules.bake_ms = *dice.pick(&[0, 0, 1_500]).unwrap();
    rules.grace_ms = *dice.pick(&[0, 0, 900]).unwrap();
    rules
}

#[test]
fn under_any_schedule_the_limits_hold_and_a_rollback_ends_where_it_began() {
    let (mut rolled_back, mut completed) = (0, 0);
    for seed in 1..=150_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let desired = u32::try_from(dice.roll(6)).unwrap() + 2;
        let rules = random_rules(&mut dice);
        let mut run = Run::new("web", desired, rules);
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
                run.asked_for_something(&mut dice);
            }
        }
        let before = run.rollout.last_completed.clone().unwrap();
        let is_broken = run.broken.contains(&run.rollout.deployments[0].id().to_owned());
        run.settle();
        let rollout = &run.rollout;
        // Tasks that break later than they count as healthy: the deployment has completed, and fails from then on.
        let now = &rollout.deployments[0];
        if now.state == RolloutState::Completed && run.broken.contains(&now.target.id) {
            continue;
        }
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
        assert_eq!((primary.state, primary.traffic), (RolloutState::Completed, 100.0));
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
fn deployments_before_the_first_has_completed_give_way_to_the_last() {
    let (mut replaced, mut waited) = (0, 0);
    for seed in 1..=150_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x94D0_49BB_1331_11EB));
        let desired = u32::try_from(dice.roll(4)).unwrap() + 1;
        let mut rules = random_rules(&mut dice);
        rules.breaker.enabled = false;
        if !rules.strategy.is_rolling() {
            let stages = vec![*dice.pick(&Stage::ALL[1..10]).unwrap()];
            rules.hooks.push(Hook { stages, function: None, timeout_ms: 86_400_000, goes_on: false });
        }
        let mut run = Run::new("web", desired, rules);
        let target = |id: &str| Target { id: id.to_owned(), has_health_check: seed % 2 == 0 };
        for id in ["first", "second", "third", "fourth"] {
            run.step(Event::Deploy(target(id)));
            for _ in 0..dice.roll(80) {
                run.anything(&mut dice);
            }
        }
        let is_first = run.rollout.last_completed.is_none();
        for _ in 0..10 {
            run.settle();
            if run.rollout.waits_at().is_some() {
                run.step(Event::Continue { go_on: true });
            }
        }
        let rollout = &run.rollout;
        if rollout.stuck {
            continue;
        }
        let primary = &rollout.deployments[0];
        assert!(rollout.steady, "seed {seed}: never steady:\n{}\n{rollout:#?}", run.told.join("\n"));
        assert_eq!((primary.id(), primary.state), ("fourth", RolloutState::Completed), "seed {seed}");
        assert!(rollout.tasks.iter().all(|task| task.deployment == "fourth"), "seed {seed}");
        assert_eq!(count(rollout.tasks.iter()), rollout.desired, "seed {seed}");
        replaced += 1;
        waited += u32::from(is_first);
    }
    assert!(replaced > 100 && waited > 40, "{replaced} replaced, {waited} of them before any had completed");
}

#[test]
fn without_a_breaker_what_cannot_work_is_tried_on_and_never_costs_what_runs() {
    let (mut tried, mut replaced) = (0, 0);
    for seed in 1..=100_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xBF58_476D_1CE4_E5B9));
        let desired = u32::try_from(dice.roll(5)).unwrap() + 2;
        let mut rules = random_rules(&mut dice);
        rules.breaker.enabled = false;
        let mut run = Run::new("web", desired, rules);
        run.failing_launches = [0, 0, 3, 7][usize::try_from(seed % 4).unwrap()];
        // With a check that never passes no task of it ever counts.
        let target = |id: &str| Target { id: id.to_owned(), has_health_check: true };
        run.step(Event::Deploy(target("good")));
        run.settle();
        run.broken.push("broken".to_owned());
        run.step(Event::Deploy(target("broken")));
        for _ in 0..150 {
            run.anything(&mut dice);
            run.asked_for_something(&mut dice);
        }
        let rollout = &run.rollout;
        let primary = &rollout.deployments[0];
        assert_eq!((primary.id(), primary.state), ("broken", RolloutState::InProgress), "seed {seed}");
        assert_eq!(rollout.last_completed, Some(target("good")), "seed {seed}");
        tried += usize::from(primary.failed > 1);
        run.step(Event::Deploy(target("mended")));
        run.settle();
        if run.rollout.stuck {
            continue;
        }
        let rollout = &run.rollout;
        let primary = &rollout.deployments[0];
        assert!(rollout.steady, "seed {seed}: never steady:\n{}\n{rollout:#?}", run.told.join("\n"));
        assert_eq!((primary.id(), primary.state), ("mended", RolloutState::Completed), "seed {seed}");
        assert!(rollout.tasks.iter().all(|task| task.deployment == "mended"), "seed {seed}");
        replaced += 1;
    }
    assert!(tried > 30 && replaced > 50, "{tried} tried again, {replaced} replaced");
}

#[test]
fn stopped_at_any_moment_a_deployment_goes_back_or_stays_as_it_is() {
    let (mut went_back, mut stayed) = (0, 0);
    for seed in 1..=150_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        let desired = u32::try_from(dice.roll(5)).unwrap() + 1;
        let mut rules = random_rules(&mut dice);
        rules.breaker.enabled = dice.roll(2) == 0;
        if dice.roll(3) == 0 && !rules.strategy.is_rolling() {
            let stages = vec![*dice.pick(&Stage::ALL[1..10]).unwrap()];
            rules.hooks.push(Hook { stages, function: None, timeout_ms: 86_400_000, goes_on: false });
        }
        let hooks = rules.hooks.clone();
        let mut run = Run::new("web", desired, Rules { hooks: Vec::new(), ..rules });
        let target = |id: &str| Target { id: id.to_owned(), has_health_check: seed % 3 == 0 };
        run.step(Event::Deploy(target("good")));
        run.settle();
        let rules = Rules { hooks, ..run.rollout.rules.clone() };
        run.step(Event::Rules(Box::new(rules)));
        run.step(Event::Deploy(target("next")));
        for _ in 0..dice.roll(120) {
            run.anything(&mut dice);
            if run.rollout.waits_at().is_some() && dice.roll(10) == 0 {
                run.step(Event::Continue { go_on: true });
            }
        }
        let was_going = run.rollout.deployments[0].state == RolloutState::InProgress
            && run.rollout.deployments[0].id() == "next"
            && run.rollout.last_completed.as_ref().is_some_and(|known| known.id == "good");
        let rollback = dice.roll(2) == 0;
        run.step(Event::StopDeployment { rollback });
        if !was_going {
            continue;
        }
        let tasks = run.rollout.tasks.clone();
        if rollback {
            run.settle();
            // With these percentages and this number of tasks there may be no way, back as well as forth.
            if run.rollout.stuck {
                continue;
            }
            let primary = &run.rollout.deployments[0];
            assert!(run.rollout.steady && primary.id() == "good", "seed {seed}: {}", run.told.join("\n"));
            assert_eq!(run.statuses["next"], Status::RollbackSuccessful, "seed {seed}");
            assert!(run.rollout.tasks.iter().all(|task| task.deployment == "good"), "seed {seed}");
            went_back += 1;
        } else {
            assert_eq!(run.statuses["next"], Status::Stopped, "seed {seed}");
            run.now += 60_000;
            run.step(Event::Tick);
            let same = |task: &Task| tasks.iter().any(|known| known.id == task.id);
            assert!(run.rollout.tasks.iter().all(same), "seed {seed}: {}", run.told.join("\n"));
            stayed += 1;
        }
    }
    assert!(went_back > 30 && stayed > 30, "{went_back} went back, {stayed} stayed");
}

#[test]
fn a_deleted_service_ends_with_no_task_whatever_went_on() {
    for seed in 1..=60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xA24B_AED4_963E_E407));
        let mut run = Run::new("web", 3, random_rules(&mut dice));
        run.step(Event::Deploy(Target { id: "only".to_owned(), has_health_check: false }));
        for _ in 0..dice.roll(60) {
            run.anything(&mut dice);
        }
        run.step(Event::Drain);
        for task in run.rollout.tasks.clone() {
            run.step(Event::TaskStopped(task.id));
        }
        assert!(run.rollout.tasks.is_empty() && run.rollout.deployments.is_empty(), "seed {seed}");
    }
}
