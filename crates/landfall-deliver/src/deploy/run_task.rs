//! One task that runs to its end: its log lines as they come, and its exit code.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::cause;
use super::definition::{Definition, Object};
use super::denied;
use super::ecs::{self, items};
use super::interrupt::Interrupt;
use super::logs::{self, Stream};
use super::view::Task;
use super::watch;
use crate::aws::CallError;
use crate::aws_json::{Caller, ECS};
use crate::failure::{Failure, FailureKind};

/// What is told while tasks run.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// A task has another status.
    Status {
        /// The task's id.
        task: String,
        /// Such as `RUNNING`.
        status: String,
    },
    /// A container wrote a line.
    Line {
        /// The task's id.
        task: String,
        /// The container.
        container: String,
        /// What it wrote.
        text: String,
    },
    /// Something about the watching itself.
    Note {
        /// One line.
        text: String,
    },
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// All tasks have stopped.
    Stopped,
    /// Not within the time; the tasks that still ran.
    Timeout(Vec<String>),
    /// The watching was stopped; the tasks that still ran.
    Interrupted(Vec<String>),
    /// They could not be watched to their end.
    Lost(Failure),
}

/// A task and how it ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    /// The last look at it.
    pub task: Task,
    /// One line, ECS's words.
    pub reason: String,
    /// 0, or the exit code of the container that failed; 1 when none has one.
    pub exit_code: u8,
}

/// Tasks that were started.
#[derive(Clone, PartialEq, Debug)]
pub struct Started {
    /// Their ARNs.
    pub tasks: Vec<String>,
    /// The ARN of what they run, as ECS tells it.
    pub definition: Option<String>,
    /// Why there are fewer than were asked for.
    pub failure: Option<Failure>,
}

/// Starts tasks.
///
/// # Errors
/// ECS's refusal, or that it found no place for any of them.
pub async fn start(caller: &Caller, mut input: Object) -> Result<Started, Failure> {
    // With a token of its own the call can be sent again: ECS starts nothing twice.
    input.insert("clientToken".to_owned(), Value::from(caller.token()));
    let definition = input.get("taskDefinition").and_then(Value::as_str).unwrap_or_default().to_owned();
    let doing = format!("running {}", super::definition::short(&definition));
    let answer = caller
        .call(ECS, "RunTask", &Value::Object(input))
        .await
        .map_err(|error| denied::failure(error, &doing))?;
    let arns: Vec<String> = items(&answer, "tasks")
        .iter()
        .filter_map(|task| Some(task.get("taskArn")?.as_str()?.to_owned()))
        .collect();
    let first = items(&answer, "tasks").first().and_then(|task| task.get("taskDefinitionArn"));
    let definition = first.and_then(Value::as_str).map(str::to_owned);
    let failures: Vec<String> = items(&answer, "failures").iter().map(failure_text).collect();
    if failures.is_empty() && !arns.is_empty() {
        return Ok(Started { tasks: arns, definition, failure: None });
    }
    let started = if arns.is_empty() {
        "no task was started".to_owned()
    } else {
        format!("only {} started", arns.len())
    };
    let mut failure = Failure::new(FailureKind::Refused, format!("{doing}: {started}"));
    for text in failures {
        failure = failure.caused_by(text);
    }
    if arns.is_empty() {
        return Err(failure);
    }
    Ok(Started { tasks: arns, definition, failure: Some(failure) })
}

fn failure_text(failure: &Value) -> String {
    let text = |name: &str| failure.get(name).and_then(Value::as_str);
    let reason = text("reason").unwrap_or("no reason given");
    let meaning = match reason {
        reason if reason.starts_with("RESOURCE:") => " (no instance has that much left)",
        "AGENT" => " (the instance's agent is not connected)",
        "ATTRIBUTE" => " (no instance can do what the task definition requires)",
        _ => "",
    };
    let detail = text("detail").map_or_else(String::new, |detail| format!(": {detail}"));
    let about = text("arn").map_or_else(String::new, |arn| format!(" at {arn}"));
    format!("{reason}{meaning}{detail}{about}")
}

/// Stops tasks that nobody waits for any more.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn stop(caller: &Caller, cluster: &str, task: &str, reason: &str) -> Result<(), CallError> {
    let input = json!({ "cluster": cluster, "task": task, "reason": reason });
    caller.call(ECS, "StopTask", &input).await.map(drop)
}

/// Tasks that were started, and how they are followed.
pub struct Followed<'f> {
    /// Who calls.
    pub caller: &'f Caller,
    /// The tasks' cluster.
    pub cluster: &'f str,
    /// The tasks' ARNs.
    pub arns: &'f [String],
    /// What they run: where they write to.
    pub definition: &'f Definition,
    /// How long they may take.
    pub timeout: Duration,
    /// What ends the watching early.
    pub interrupt: &'f Interrupt,
}

/// Follows tasks to their end.
pub async fn follow(followed: &Followed<'_>, tell: &mut dyn FnMut(Told)) -> (End, Vec<Ended>) {
    let Followed { caller, definition, timeout, arns, interrupt, .. } = *followed;
    let _first_is_ours = interrupt.watching();
    let mut follow = Follow {
        caller,
        definition,
        statuses: BTreeMap::new(),
        streams: BTreeMap::new(),
        is_log_refused: false,
        changed: Instant::now(),
        tell,
    };
    let (began, mut lost_since) = (Instant::now(), None::<Instant>);
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        let bound = timeout.saturating_sub(began.elapsed()).max(watch::LAST_LOOK);
        let lost = tokio::select! {
            lost = tokio::time::timeout(bound, follow.step(followed, &mut tasks)) => lost.unwrap_or_default(),
            () = interrupt.asked() => return (End::Interrupted(running(arns, &tasks)), ended(&tasks)),
        };
        match lost {
            None => lost_since = None,
            Some(error) => {
                let since = *lost_since.get_or_insert(Instant::now());
                let is_refused = matches!(error, CallError::Refused(_) | CallError::NotSent { .. });
                if is_refused || since.elapsed() > LOST_SECONDS_MAX {
                    return (
                        End::Lost(denied::failure(error, "looking at the task, which goes on")),
                        ended(&tasks),
                    );
                }
            }
        }
        if arns.iter().all(|arn| is_over(&tasks, arn)) {
            return (End::Stopped, ended(&tasks));
        }
        if began.elapsed() >= timeout {
            return (End::Timeout(running(arns, &tasks)), ended(&tasks));
        }
        let pause = watch::pause(follow.changed.elapsed()).min(timeout.saturating_sub(began.elapsed()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = interrupt.asked() => return (End::Interrupted(running(arns, &tasks)), ended(&tasks)),
        }
    }
}

fn running(arns: &[String], tasks: &[Task]) -> Vec<String> {
    arns.iter().filter(|arn| !is_over(tasks, arn)).cloned().collect()
}

fn is_over(tasks: &[Task], arn: &str) -> bool {
    tasks.iter().any(|task| task.task_arn == arn && task.is_stopped())
}

fn ended(tasks: &[Task]) -> Vec<Ended> {
    tasks.iter().filter(|task| task.is_stopped()).map(end_of).collect()
}

/// How a task ended: the code of the first container that failed. A task that was stopped before a container
/// could say anything has failed, whatever it was stopped for.
pub fn end_of(task: &Task) -> Ended {
    let (reason, _) = cause::reason(task);
    let codes: Vec<i64> = task.containers.iter().filter_map(|container| container.exit_code).collect();
    let exit_code = match codes.iter().find(|code| **code != 0) {
        Some(code) => u8::try_from(*code).unwrap_or(1).max(1),
        None if codes.is_empty() => 1,
        None => 0,
    };
    Ended { task: task.clone(), reason, exit_code }
}

struct Follow<'f> {
    caller: &'f Caller,
    definition: &'f Definition,
    statuses: BTreeMap<String, String>,
    /// Where the next lines of a stream begin.
    streams: BTreeMap<(String, String), Option<String>>,
    is_log_refused: bool,
    changed: Instant,
    tell: &'f mut dyn FnMut(Told),
}

impl Follow<'_> {
    /// One look at all of them; why there was none.
    async fn step(&mut self, followed: &Followed<'_>, tasks: &mut Vec<Task>) -> Option<CallError> {
        let seen = match ecs::describe_tasks(self.caller, followed.cluster, followed.arns).await {
            Ok(seen) => seen,
            Err(error) => return Some(error),
        };
        // ECS forgets a task an hour after its end; how it ended is known by then.
        for task in &seen {
            match tasks.iter_mut().find(|known| known.task_arn == task.task_arn) {
                Some(known) => *known = task.clone(),
                None => tasks.push(task.clone()),
            }
        }
        self.look(&seen).await;
        None
    }

    async fn look(&mut self, tasks: &[Task]) {
        for task in tasks {
            // First the lines, so that a task's end is the last that is told of it.
            self.lines(task).await;
            let id = task.id().to_owned();
            let before = self.statuses.insert(id.clone(), task.last_status.clone());
            if before.as_deref() != Some(task.last_status.as_str()) {
                self.changed = Instant::now();
                (self.tell)(Told::Status { task: id, status: task.last_status.clone() });
            }
        }
    }

    async fn lines(&mut self, task: &Task) {
        let has_begun = matches!(
            task.last_status.as_str(),
            "RUNNING" | "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" | "STOPPED"
        );
        if !has_begun || self.is_log_refused {
            return;
        }
        let containers: Vec<String> = task.containers.iter().map(|one| one.name.clone()).collect();
        for container in containers {
            if let Some(stream) = logs::stream(self.definition, &container, task.id()) {
                self.stream(task.id(), &container, &stream).await;
            }
        }
    }

    async fn stream(&mut self, task: &str, container: &str, stream: &Stream) {
        let key = (task.to_owned(), container.to_owned());
        for _ in 0..PAGES_MAX {
            let from = self.streams.get(&key).cloned().flatten();
            let caller = self.caller.optional();
            let page = ecs::log_events(&caller, &stream.group, &stream.name, from.as_deref(), None).await;
            let (lines, next) = match page {
                Ok(page) => page,
                Err(error) => {
                    if error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied")) {
                        self.is_log_refused = true;
                        let text = format!(
                            "its log can't be shown, logs:GetLogEvents is not allowed here: log group {}, stream {}",
                            stream.group, stream.name
                        );
                        (self.tell)(Told::Note { text });
                    }
                    // A stream that isn't there yet comes with the first line.
                    return;
                }
            };
            let is_end = lines.is_empty() || next == from;
            self.streams.insert(key.clone(), next);
            for text in lines {
                self.changed = Instant::now();
                (self.tell)(Told::Line { task: task.to_owned(), container: container.to_owned(), text });
            }
            if is_end {
                return;
            }
        }
    }
}

/// Pages of a log that are read at one look; the rest comes with the next.
const PAGES_MAX: usize = 20;
/// How long ECS may be out of reach before the watching ends.
const LOST_SECONDS_MAX: Duration = Duration::from_secs(120);
