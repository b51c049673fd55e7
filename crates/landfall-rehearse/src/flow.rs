//! The jobs of a file: which run, beside each other or one after the other, with what between them; the legs
//! of a matrix; called workflows.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use landfall_check::github::model::Concurrency;
use landfall_check::github::{
    CalledSecrets, Contexts, Object, PlannedBody, PlannedCall, PlannedJob, Status, Template, Value, matrix,
};
use landfall_types::Finding;

use crate::cancel::{Cancel, Member};
use crate::event::{Event, Outcome};
use crate::job::{self, JobResult};
use crate::readiness::is_chosen;
use crate::run::{Executor, Run};
use crate::voices::{Place, Voice};

/// Called workflows inside of each other; GitHub's own limit is lower.
const DEPTH_MAX: usize = 16;
/// Longest name of a matrix leg, in characters (`JobNameBuilder` in the open-source runner).
const NAME_CHARS_MAX: usize = 100;

/// What the jobs of one file see of where they are called from.
pub(crate) struct Frame {
    pub(crate) inputs: Value,
    pub(crate) secrets: Value,
    /// What stands before the names of the jobs: `caller / `.
    pub(crate) display: String,
    /// Where the jobs that call this file are told.
    pub(crate) place: Place,
    /// The concurrency groups that the callers are in.
    pub(crate) groups: Vec<String>,
}

/// One leg of a job's matrix; a job without a matrix is its own only leg.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// The `matrix` context.
    pub(crate) values: Option<Object>,
    index: usize,
    total: usize,
    fail_fast: bool,
    at_once: usize,
}

impl Leg {
    /// The `strategy` context.
    pub(crate) fn strategy(&self) -> Object {
        #[expect(clippy::cast_precision_loss, reason = "at most 256 legs")]
        let number = |number: usize| Value::Number(number as f64);
        Object::new()
            .with("fail-fast", Value::Bool(self.fail_fast))
            .with("job-index", number(self.index))
            .with("job-total", number(self.total))
            .with("max-parallel", number(self.at_once))
    }

    /// The `matrix` context.
    pub(crate) fn matrix(&self) -> Value {
        self.values.clone().map_or(Value::Null, Value::from)
    }
}

/// The jobs of one file that have ended, in the order in which they did.
pub(crate) type Results = Vec<(String, JobResult)>;

type Running<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// Futures that go on beside each other, on this thread.
struct Group<'f, T>(Vec<Running<'f, T>>);

impl<T> Group<'_, T> {
    /// The next result, whoever has it first; none when nobody is left.
    async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            for index in 0..self.0.len() {
                // INVARIANT: the index is below the length.
                if let Some(Poll::Ready(value)) = self.0.get_mut(index).map(|it| it.as_mut().poll(context)) {
                    drop(self.0.remove(index));
                    return Poll::Ready(Some(value));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The run of one file's jobs.
pub(crate) struct Flow<'f, 'a> {
    pub(crate) run: Run<'a>,
    pub(crate) frame: &'f Frame,
    /// Ends all of them.
    pub(crate) cancel: &'f Cancel,
    pub(crate) depth: usize,
}

/// A job whose turn it is.
struct Due<'d> {
    job: &'d PlannedJob,
    results: Results,
}

impl<'a> Flow<'_, 'a> {
    /// Runs the jobs of one file by their needs.
    pub(crate) async fn jobs(&self, jobs: &[PlannedJob]) -> Results {
        let mut ended: Results = Vec::new();
        if self.depth >= DEPTH_MAX {
            return ended;
        }
        // All have their voices before the first is heard.
        let mut waiting: Vec<(&PlannedJob, Voice<'a>)> = in_order(jobs)
            .into_iter()
            .enumerate()
            .map(|(number, job)| (job, self.run.voices.voice(self.place(number))))
            .collect();
        let mut running: Group<'_, (String, JobResult)> = Group(Vec::new());
        loop {
            let is_ready = |job: &PlannedJob| job.needs.iter().all(|need| result_of(&ended, need).is_some());
            let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(job, _)| is_ready(job));
            waiting = rest;
            for (job, voice) in ready {
                let due = Due { job, results: ended.clone() };
                running.0.push(Box::pin(async move {
                    let result = self.job(jobs, &due, voice).await;
                    (due.job.id.clone(), result)
                }));
            }
            // INVARIANT: the plan has no cycles and no unknown needs, so nobody waits for ever.
            match running.next().await {
                Some(result) => ended.push(result),
                None => return ended,
            }
        }
    }

    fn place(&self, number: usize) -> Place {
        self.frame.place.iter().copied().chain([number]).collect()
    }

    async fn job(&self, jobs: &[PlannedJob], due: &Due<'_>, voice: Voice<'a>) -> JobResult {
        let Due { job, results } = due;
        if let Some(wanted) = self.run.rehearsal.only_job.as_deref()
            && !is_chosen(jobs, job, wanted)
        {
            voice.event(Event::JobSkipped { name: &job.display_name, why: "not asked for" });
            return JobResult::ended(Outcome::Skipped);
        }
        let mut contexts = self.contexts(job, results);
        contexts.status = status(jobs, job, results, self.cancel.reason().is_some());
        contexts.job_results = results.iter().map(|(id, result)| (id.clone(), result.outcome)).collect();
        let name = self.name_of(job, &contexts, None);
        let is_due = match &job.job.condition {
            None => Ok(contexts.status.success),
            Some(condition) => condition.evaluate_condition(&contexts),
        };
        let skipped = match is_due {
            Ok(true) => None,
            Ok(false) if job.job.condition.is_none() => Some("a job that it needs did not succeed"),
            Ok(false) => Some("its `if` is false"),
            Err(error) => {
                let why = format!("its `if` has no value: {error}");
                voice.event(Event::JobSkipped { name: &name, why: &why });
                return JobResult::ended(Outcome::Failure);
            }
        };
        if let Some(why) = skipped {
            voice.event(Event::JobSkipped { name: &name, why });
            return JobResult::ended(Outcome::Skipped);
        }
        match self.legs(job, &contexts) {
            Ok(None) => {
                let leg = Leg { values: None, index: 0, total: 1, fail_fast: true, at_once: 1 };
                let member = Part { name, leg, voice, cancel: self.cancel.part() };
                self.leg(due, member).await.1
            }
            Ok(Some(legs)) => self.matrix(due, legs, &contexts, voice).await,
            Err(why) => {
                voice.event(Event::JobSkipped { name: &name, why: &why });
                JobResult::ended(Outcome::Failure)
            }
        }
    }

    /// The legs of a job's matrix; none for a job without one.
    fn legs(&self, job: &PlannedJob, contexts: &Contexts<'_>) -> Result<Option<Vec<Leg>>, String> {
        let Some(strategy) = &job.job.strategy else { return Ok(None) };
        let Some(tree) = &strategy.matrix else { return Ok(None) };
        let legs =
            matrix::legs(tree, contexts).map_err(|error| format!("its matrix has no value: {error}"))?;
        let total = legs.len();
        let fail_fast = strategy.fail_fast.as_ref().map(|it| it.evaluate_bool(contexts)).transpose();
        let at_once = strategy.max_parallel.as_ref().map(|it| it.evaluate_number(contexts)).transpose();
        let fail_fast = fail_fast.map_err(|error| format!("`fail-fast`: {error}"))?.unwrap_or(true);
        let at_once = match at_once.map_err(|error| format!("`max-parallel`: {error}"))? {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 256")]
            Some(number) if number >= 1.0 => number.min(total as f64) as usize,
            _ => total,
        };
        let leg = |(index, values)| Leg { values: Some(values), index, total, fail_fast, at_once };
        Ok(Some(legs.into_iter().enumerate().map(leg).collect()))
    }

    /// Runs the legs of a matrix beside each other, as many as the job allows.
    async fn matrix(
        &self,
        due: &Due<'_>,
        legs: Vec<Leg>,
        contexts: &Contexts<'_>,
        voice: Voice<'a>,
    ) -> JobResult {
        let (fail_fast, at_once) = legs.first().map_or((true, 1), |leg| (leg.fail_fast, leg.at_once));
        let all = self.cancel.part();
        let place = voice.place().clone();
        let mut parts = Vec::new();
        for leg in legs {
            let mut own = Contexts::new();
            for name in ["github", "inputs", "vars", "needs"] {
                own.set(name, contexts.get(name));
            }
            let own = own.with("matrix", leg.matrix()).with("strategy", leg.strategy().into());
            let name = self.name_of(due.job, &own, leg.values.as_ref());
            let voice = self.run.voices.voice(place.iter().copied().chain([leg.index]).collect());
            parts.push(Part { name, leg, voice, cancel: all.part() });
        }
        // The legs are told at the place of their job.
        drop(voice);
        parts.reverse();
        let mut running: Group<'_, (String, JobResult)> = Group(Vec::new());
        let mut ended: Results = Vec::new();
        loop {
            while running.0.len() < at_once
                && let Some(part) = parts.pop()
            {
                running.0.push(Box::pin(self.leg(due, part)));
            }
            let Some((name, result)) = running.next().await else { break };
            if result.outcome == Outcome::Failure && fail_fast {
                all.cancel(&format!("The job was canceled because \"{name}\" failed."));
            }
            ended.push((name, result));
        }
        let mut outputs = Object::new();
        // Of an output that several legs set, the last one counts.
        for (name, value) in ended.iter().flat_map(|(_, result)| result.outputs.iter()) {
            if !value.to_text().is_empty() {
                outputs.set(name, value.clone());
            }
        }
        JobResult { outcome: combined(&ended), outputs }
    }

    /// Runs one leg, when its concurrency group lets it.
    async fn leg(&self, due: &Due<'_>, part: Part<'a>) -> (String, JobResult) {
        let Part { name, leg, voice, cancel } = part;
        let entered = self.enter(due, &name, &leg, &cancel).await;
        let (group, _member) = match entered {
            Ok(Some((group, member))) => (Some(group), Some(member)),
            Ok(None) => (None, None),
            Err((outcome, why)) => {
                voice.event(Event::JobSkipped { name: &name, why: &why });
                return (name, JobResult::ended(outcome));
            }
        };
        let result = match &due.job.body {
            PlannedBody::Call(call) => {
                let part = Part { name: name.clone(), leg, voice, cancel };
                Box::pin(self.call(due, call, part, group)).await
            }
            PlannedBody::Steps(steps) => {
                // Whoever else is in the group, or waits for it, has asked before this one is done.
                tokio::task::yield_now().await;
                // INVARIANT: the semaphore is never closed.
                let _place = tokio::select! {
                    place = self.run.shared.places.acquire() => place.ok(),
                    _ = cancel.cancelled() => None,
                };
                if let Some(reason) = cancel.reason() {
                    voice.event(Event::JobSkipped { name: &name, why: &reason });
                    return (name, JobResult::ended(Outcome::Cancelled));
                }
                let mut executor = match Executor::new(&self.run, voice, cancel).await {
                    Ok(executor) => executor,
                    // No port is left on this machine: nothing can be told of a job that has no voice.
                    Err(_) => return (name, JobResult::ended(Outcome::Failure)),
                };
                let stage = job::Stage { frame: self.frame, needs: needs(due.job, &due.results), leg, group };
                job::run(&mut executor, due.job, steps, stage, &name).await
            }
        };
        (name, result)
    }

    /// Enters the job's concurrency group.
    async fn enter(
        &self,
        due: &Due<'_>,
        name: &str,
        leg: &Leg,
        cancel: &Cancel,
    ) -> Result<Option<(String, Member)>, (Outcome, String)> {
        let contexts = self
            .contexts(due.job, &due.results)
            .with("matrix", leg.matrix())
            .with("strategy", leg.strategy().into());
        let failed = |why: String| (Outcome::Failure, why);
        let Some((group, cancels)) = group_of(due.job.job.concurrency.as_ref(), &contexts).map_err(failed)?
        else {
            return Ok(None);
        };
        if self.frame.groups.iter().any(|held| held.to_lowercase() == group.to_lowercase()) {
            return Err(failed(format!(
                "Canceling since a deadlock was detected for concurrency group: '{group}' between a top level workflow and '{name}'"
            )));
        }
        let entered = self.run.shared.groups.enter(&group, cancels, cancel).await;
        entered.map(|member| Some((group, member))).map_err(|why| (Outcome::Cancelled, why))
    }

    /// Contexts of a job before it has a runner.
    fn contexts(&self, job: &PlannedJob, results: &Results) -> Contexts<'static> {
        Contexts::new()
            .with("github", self.run.github_context(job).into())
            .with("inputs", self.frame.inputs.clone())
            .with("vars", pairs(&self.run.rehearsal.vars))
            .with("needs", needs(job, results))
            .with("secrets", self.frame.secrets.clone())
    }

    /// A job's name with its expressions evaluated, behind those of the jobs that called its file. A leg's
    /// values stand behind a name that has no expression.
    fn name_of(&self, job: &PlannedJob, contexts: &Contexts<'_>, leg: Option<&Object>) -> String {
        let template = job.job.name.as_ref();
        let named =
            template.and_then(|name| name.evaluate_text(contexts).ok()).filter(|name| !name.is_empty());
        let is_fixed = named.is_none() || template.is_none_or(Template::is_literal);
        let mut name = named.unwrap_or_else(|| job.id.clone());
        if let Some(label) = leg.map(matrix::label).filter(|label| is_fixed && !label.is_empty()) {
            name = format!("{name} ({label})");
        }
        if name.chars().count() > NAME_CHARS_MAX {
            name = name.chars().take(NAME_CHARS_MAX - 3).collect::<String>() + "...";
        }
        format!("{}{name}", self.frame.display)
    }

    async fn call(
        &self,
        due: &Due<'_>,
        call: &PlannedCall,
        part: Part<'a>,
        group: Option<String>,
    ) -> JobResult {
        let job = due.job;
        let contexts = self
            .contexts(job, &due.results)
            .with("matrix", part.leg.matrix())
            .with("strategy", part.leg.strategy().into());
        let mut inner = match self.frame_of(call, &part, &contexts) {
            Ok(inner) => inner,
            Err(finding) => {
                let findings = [finding];
                part.voice.event(Event::RunRefused { file: &call.workflow.path, findings: &findings });
                return JobResult::ended(Outcome::Failure);
            }
        };
        inner.groups.extend(group);
        let own = Contexts::new()
            .with("github", self.run.github_context(job).into())
            .with("inputs", inner.inputs.clone())
            .with("vars", pairs(&self.run.rehearsal.vars));
        let called = match group_of(call.workflow.concurrency.as_ref(), &own) {
            Ok(called) => called,
            Err(why) => {
                part.voice.event(Event::JobSkipped { name: &part.name, why: &why });
                return JobResult::ended(Outcome::Failure);
            }
        };
        let mut _member = None;
        if let Some((group, cancels)) = called {
            if inner.groups.iter().any(|held| held.to_lowercase() == group.to_lowercase()) {
                let why = format!(
                    "Canceling since a deadlock was detected for concurrency group: '{group}' between a top level workflow and '{}'",
                    part.name
                );
                part.voice.event(Event::JobSkipped { name: &part.name, why: &why });
                return JobResult::ended(Outcome::Failure);
            }
            match self.run.shared.groups.enter(&group, cancels, &part.cancel).await {
                Ok(member) => _member = Some(member),
                Err(why) => {
                    part.voice.event(Event::JobSkipped { name: &part.name, why: &why });
                    return JobResult::ended(Outcome::Cancelled);
                }
            }
            inner.groups.push(group);
        }
        let flow = Flow { run: self.run.clone(), frame: &inner, cancel: &part.cancel, depth: self.depth + 1 };
        let ended = flow.jobs(&call.jobs).await;
        let contexts = own.with("jobs", results_value(&ended));
        let mut outputs = Object::new();
        for (name, value) in &call.outputs {
            match value.evaluate_text(&contexts) {
                Ok(text) => outputs.set(name.as_str(), Value::Text(text)),
                Err(error) => {
                    let line = format!("Error: output `{name}` of the called workflow: {error}");
                    part.voice.event(Event::Output { line: &line });
                    return JobResult::ended(Outcome::Failure);
                }
            }
        }
        JobResult { outcome: combined(&ended), outputs }
    }

    fn frame_of(
        &self,
        call: &PlannedCall,
        part: &Part<'_>,
        contexts: &Contexts<'_>,
    ) -> Result<Frame, Finding> {
        let mut inputs = Object::new();
        for input in &call.with {
            let name = &input.declared.name.value;
            let value = match (&input.given, &input.declared.default) {
                (Some(template), _) | (None, Some(template)) => template
                    .evaluate(contexts)
                    .map_err(|error| Finding::error("expression", error.message).at(error.span, "here"))?,
                (None, None) => input.declared.empty(),
            };
            let converted = input.declared.kind.convert(&value).ok_or_else(|| {
                let wanted = input.declared.kind.as_str();
                let finding = Finding::error(
                    "input-type",
                    format!("input `{name}` of the called workflow must be a {wanted}"),
                )
                .at(input.declared.name.span, "declared here");
                match &input.given {
                    Some(given) => finding.at(given.span, "given here"),
                    None => finding,
                }
            })?;
            inputs.set(name.as_str(), converted);
        }
        let secrets = match &call.secrets {
            CalledSecrets::Inherit => self.frame.secrets.clone(),
            CalledSecrets::Named(named) => {
                let mut secrets = Object::new();
                for (name, value) in named {
                    let text = value.evaluate_text(contexts).map_err(|error| {
                        Finding::error("expression", error.message).at(error.span, "this secret has no value")
                    })?;
                    secrets.set(name.as_str(), Value::Text(text));
                }
                secrets.set("GITHUB_TOKEN", Value::Text(self.run.github_token()));
                secrets.into()
            }
        };
        Ok(Frame {
            inputs: inputs.into(),
            secrets,
            display: format!("{} / ", part.name),
            place: part.voice.place().clone(),
            groups: self.frame.groups.clone(),
        })
    }
}

/// A leg that is to run: its name, its values, its voice, and what ends it.
struct Part<'a> {
    name: String,
    leg: Leg,
    voice: Voice<'a>,
    cancel: Cancel,
}

/// A concurrency group's name, and whether whoever enters ends the one that is in.
fn group_of(
    concurrency: Option<&Concurrency>,
    contexts: &Contexts<'_>,
) -> Result<Option<(String, bool)>, String> {
    let Some(concurrency) = concurrency else { return Ok(None) };
    let Some(group) = &concurrency.group else { return Ok(None) };
    let name = group.evaluate_text(contexts).map_err(|error| format!("its concurrency group: {error}"))?;
    let cancels = concurrency.cancel_in_progress.as_ref().map(|it| it.evaluate_bool(contexts)).transpose();
    let cancels = cancels.map_err(|error| format!("`cancel-in-progress`: {error}"))?.unwrap_or(false);
    Ok((!name.is_empty()).then_some((name, cancels)))
}

/// The jobs as they would run one after the other: each behind those that it needs.
fn in_order(jobs: &[PlannedJob]) -> Vec<&PlannedJob> {
    let mut ordered: Vec<&PlannedJob> = Vec::new();
    let mut waiting: Vec<&PlannedJob> = jobs.iter().collect();
    let knows = |ordered: &[&PlannedJob], id: &str| ordered.iter().any(|it| it.id.eq_ignore_ascii_case(id));
    while let Some(position) =
        waiting.iter().position(|job| job.needs.iter().all(|need| knows(&ordered, need)))
    {
        ordered.push(waiting.remove(position));
    }
    ordered
}

fn result_of<'r>(results: &'r Results, id: &str) -> Option<&'r JobResult> {
    results.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, result)| result)
}

/// Ids of all jobs that a job needs, directly or not.
pub(crate) fn ancestors(jobs: &[PlannedJob], job: &PlannedJob) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open: Vec<String> = job.needs.clone();
    while let Some(id) = open.pop() {
        if found.iter().any(|known| known.eq_ignore_ascii_case(&id)) {
            continue;
        }
        if let Some(needed) = jobs.iter().find(|job| job.id.eq_ignore_ascii_case(&id)) {
            open.extend(needed.needs.iter().cloned());
            found.push(needed.id.clone());
        }
    }
    found
}

fn status(jobs: &[PlannedJob], job: &PlannedJob, results: &Results, cancelled: bool) -> Status {
    let outcomes: Vec<Outcome> = ancestors(jobs, job)
        .iter()
        .filter_map(|id| result_of(results, id))
        .map(|result| result.outcome)
        .collect();
    Status {
        success: !cancelled && outcomes.iter().all(|outcome| *outcome == Outcome::Success),
        failure: outcomes.contains(&Outcome::Failure),
        cancelled: cancelled || outcomes.contains(&Outcome::Cancelled),
    }
}

pub(crate) fn combined(results: &Results) -> Outcome {
    let outcomes: Vec<Outcome> = results.iter().map(|(_, result)| result.outcome).collect();
    if outcomes.contains(&Outcome::Failure) {
        Outcome::Failure
    } else if outcomes.contains(&Outcome::Cancelled) {
        Outcome::Cancelled
    } else if !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == Outcome::Skipped) {
        Outcome::Skipped
    } else {
        Outcome::Success
    }
}

fn result_value(result: &JobResult) -> Value {
    let object = Object::new()
        .with("result", Value::Text(result.outcome.as_str().to_owned()))
        .with("outputs", Value::Object(result.outputs.clone().into()));
    Value::Object(object.into())
}

fn results_value(results: &Results) -> Value {
    let object: Object = results.iter().map(|(id, result)| (id.clone(), result_value(result))).collect();
    Value::Object(object.into())
}

fn needs(job: &PlannedJob, results: &Results) -> Value {
    let needed = job
        .needs
        .iter()
        .filter_map(|id| result_of(results, id).map(|result| (id.clone(), result_value(result))));
    Value::Object(needed.collect::<Object>().into())
}

/// Names and values as an object.
pub(crate) fn pairs(pairs: &[(String, String)]) -> Value {
    let object: Object =
        pairs.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
    Value::Object(object.into())
}
