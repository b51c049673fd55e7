//! In which order a task's containers start and stop, and which are started again.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html>

use serde_json::Value;

/// How long a container may take to become what others wait for when nothing is said, in seconds.
pub(super) const START_SECONDS: u64 = 180;
/// `restartAttemptPeriod` when nothing is said, in seconds.
const RESTART_SECONDS: u64 = 300;

/// The exit code of a container that is never started because of what it depends on, as the ECS agent has it.
pub(super) const NEVER_STARTED: i64 = 143;

/// How far a container is that others depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Not started yet.
    Waits,
    /// It will never start.
    Lost,
    /// It runs.
    Runs {
        /// Since when, in milliseconds.
        for_ms: u64,
        /// Whether its health check passes.
        is_healthy: bool,
    },
    /// It has ended.
    Ended {
        /// With which exit code.
        code: i64,
    },
}

/// Whether a container may start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Readiness {
    /// Now.
    Ready,
    /// Not yet.
    Waits,
    /// Never, in the agent's words.
    Never(String),
}

/// What a container depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependency<'a> {
    /// `START`, `COMPLETE`, `SUCCESS`, `HEALTHY`.
    pub(super) condition: &'a str,
    /// The other container's name.
    pub(super) name: &'a str,
    /// Its image, as the task definition has it.
    pub(super) image: &'a str,
    /// How far it is.
    pub(super) stage: Stage,
    /// Its `startTimeout`, in seconds.
    pub(super) start_seconds: u64,
}

impl std::fmt::Display for Dependency<'_> {
    /// As the agent writes a container: where it is, where it shall be, and its exit code.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}) ", self.name, self.image)?;
        match self.stage {
            Stage::Waits => f.write_str("(NONE->RUNNING)"),
            Stage::Lost => write!(f, "(STOPPED->STOPPED) - Exit: {NEVER_STARTED}"),
            Stage::Runs { .. } => f.write_str("(RUNNING->RUNNING)"),
            Stage::Ended { code } => write!(f, "(STOPPED->RUNNING) - Exit: {code}"),
        }
    }
}

/// Whether a container may start, as far as it depends on another one. `target` is its name, and its image in brackets.
///
/// Reasons are the agent's, as its source has them and as they were seen in `reason` of a container; but for a container
/// that ends before it was healthy: ECS leaves the task waiting for it.
/// <https://github.com/aws/amazon-ecs-agent/pull/3218>, <https://github.com/aws/containers-roadmap/issues/817>
pub(super) fn readiness(target: &str, on: &Dependency<'_>) -> Readiness {
    let target = format!("for target [{target} (NONE->RUNNING)]");
    let never = |why: &str| {
        Readiness::Never(format!(
            "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{on}] {target} {why}"
        ))
    };
    match (on.condition, on.stage) {
        (_, Stage::Lost) => never("because dependency will never start"),
        (_, Stage::Waits) => Readiness::Waits,
        ("START", _) | ("COMPLETE", Stage::Ended { .. }) | ("SUCCESS", Stage::Ended { code: 0 }) => {
            Readiness::Ready
        }
        ("HEALTHY", Stage::Runs { is_healthy: true, .. }) => Readiness::Ready,
        ("SUCCESS", Stage::Ended { .. }) => never("as dependency did not exit successfully."),
        (_, Stage::Ended { .. }) => never("because dependency has ended and will never be healthy"),
        (_, Stage::Runs { for_ms, .. }) if for_ms > on.start_seconds.saturating_mul(1000) => {
            Readiness::Never(format!(
                "CannotStartContainerError: dependency graph: container ordering dependency [{on}] {target} has timed out."
            ))
        }
        (_, Stage::Runs { .. }) => Readiness::Waits,
    }
}

/// Which of the containers that still run may be stopped now: those that no other one depends on that runs.
/// `after` is what each depends on.
pub(super) fn stoppable(running: &[&str], after: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let is_needed = |name: &str| {
        running.iter().any(|other| *other != name && after(other).iter().any(|needed| needed == name))
    };
    let free: Vec<String> =
        running.iter().filter(|name| !is_needed(name)).map(|name| (*name).to_owned()).collect();
    // A circle can't be registered; it would be stopped all at once.
    if free.is_empty() { running.iter().map(|name| (*name).to_owned()).collect() } else { free }
}

/// Containers in an order in which each comes after those that have to be made before it.
pub(super) fn made_in_order<T>(
    items: Vec<T>,
    name: impl Fn(&T) -> String,
    needs: impl Fn(&T) -> Vec<String>,
) -> Vec<T> {
    let known: Vec<String> = items.iter().map(&name).collect();
    let (mut left, mut ordered): (Vec<T>, Vec<T>) = (items, Vec::new());
    while !left.is_empty() {
        let is_free = |item: &T| {
            needs(item)
                .iter()
                .all(|needed| !known.contains(needed) || ordered.iter().any(|made| name(made) == *needed))
        };
        // Of those that need each other, the engine is to say that it can't be.
        let at = left.iter().position(is_free).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

/// `restartPolicy`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html>
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RestartPolicy {
    /// A container that ended sooner is not started again, in seconds.
    attempt_seconds: u64,
    /// Exit codes that end it for good.
    ignored: Vec<i64>,
}

impl RestartPolicy {
    /// Reads it; none when it is absent or off.
    pub(super) fn read(policy: Option<&Value>) -> Option<Self> {
        let policy = policy.filter(|policy| policy["enabled"] == true)?;
        let ignored = policy["ignoredExitCodes"].as_array().into_iter().flatten();
        Some(Self {
            attempt_seconds: policy["restartAttemptPeriod"].as_u64().unwrap_or(RESTART_SECONDS),
            ignored: ignored.filter_map(Value::as_i64).collect(),
        })
    }

    /// Whether a container that ended is started again.
    pub(super) fn restarts(&self, ran_ms: u64, code: i64) -> bool {
        ran_ms >= self.attempt_seconds.saturating_mul(1000) && !self.ignored.contains(&code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_starts_when_what_it_depends_on_is_as_it_has_to_be() {
        let runs = |for_ms, is_healthy| Stage::Runs { for_ms, is_healthy };
        let rows = [
            ("START", Stage::Waits, "waits"),
            ("START", runs(0, false), "ready"),
            ("START", Stage::Ended { code: 1 }, "ready"),
            ("START", Stage::Lost, "because dependency will never start"),
            ("COMPLETE", runs(1_000, false), "waits"),
            ("COMPLETE", Stage::Ended { code: 3 }, "ready"),
            ("SUCCESS", Stage::Ended { code: 0 }, "ready"),
            (
                "SUCCESS",
                Stage::Ended { code: 3 },
                "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [db(d:1) (STOPPED->RUNNING) - Exit: 3] for target [web(w:1) (NONE->RUNNING)] as dependency did not exit successfully.",
            ),
            (
                "SUCCESS",
                runs(2_001, false),
                "[db(d:1) (RUNNING->RUNNING)] for target [web(w:1) (NONE->RUNNING)] has timed out.",
            ),
            ("HEALTHY", runs(1_999, false), "waits"),
            ("HEALTHY", runs(9_000, true), "ready"),
            ("HEALTHY", runs(9_000, false), "[web(w:1) (NONE->RUNNING)] has timed out."),
            ("HEALTHY", Stage::Ended { code: 0 }, "because dependency has ended and will never be healthy"),
        ];
        for (condition, stage, wanted) in rows {
            let on = Dependency { condition, name: "db", image: "d:1", stage, start_seconds: 2 };
            let got = match readiness("web(w:1)", &on) {
                Readiness::Ready => "ready".to_owned(),
                Readiness::Waits => "waits".to_owned(),
                Readiness::Never(why) => why,
            };
            assert!(got.ends_with(wanted), "{condition} of {stage:?}: {got}");
        }
    }

    #[test]
    fn containers_stop_before_those_that_they_depend_on() {
        let after = |name: &str| match name {
            "web" => vec!["db".to_owned(), "proxy".to_owned()],
            "proxy" => vec!["db".to_owned()],
            _ => Vec::new(),
        };
        assert_eq!(stoppable(&["db", "proxy", "web"], after), ["web"]);
        assert_eq!(stoppable(&["db", "proxy", "log"], after), ["proxy", "log"]);
        assert_eq!(stoppable(&["db"], after), ["db"]);
        let needs = |name: &&str| after(name);
        assert_eq!(
            made_in_order(vec!["web", "proxy", "db"], |name| (*name).to_owned(), needs),
            ["db", "proxy", "web"]
        );
    }

    #[test]
    fn a_container_is_started_again_when_it_ran_long_enough() {
        let policy = json!({ "enabled": true, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60 });
        let policy = RestartPolicy::read(Some(&policy)).into_iter().next();
        let restarts = |ran_ms, code| policy.as_ref().is_some_and(|policy| policy.restarts(ran_ms, code));
        assert_eq!([restarts(60_000, 1), restarts(59_999, 1), restarts(60_000, 3)], [true, false, false]);
        assert_eq!(RestartPolicy::read(Some(&json!({ "enabled": false }))), None);
        assert_eq!(RestartPolicy::read(None), None);
    }
}
