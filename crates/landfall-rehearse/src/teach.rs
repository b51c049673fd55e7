//! The other side of a refusal. The AWS side knows which line of a policy refused; the rehearsal knows
//! which line of the workflow made the token or the call what it was. A finding shows both.

use std::sync::Arc;

use landfall_check::github::model::{Step, StepBody};
use landfall_check::github::{self, Pairs};
use landfall_check::terraform::{About, Infra};
use landfall_policy::explain::DEFAULT_SUBJECT;
use landfall_serve::log::{Record, Verdict};
use landfall_types::{Finding, Severity, Span};

use crate::actions::{self, Builtin};
use crate::deployed::{self, Origin};
use crate::job::JobRun;
use crate::names::{self, Input};
use crate::run::Executor;

/// What a step asked for, as far as refusals are traced back to it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `role-to-assume`.
    role: Option<Span>,
    /// `audience`; none when the default was asked for.
    audience: Option<Span>,
    /// `role-duration-seconds`.
    duration: Option<Span>,
    /// The step's `uses` or the step itself.
    made_by: Span,
    /// The role can only be taken with the job's ID token.
    needs_token: bool,
    /// What ECS's actions were given.
    inputs: Vec<Input>,
    /// Whether it is the action that logs in.
    is_login: bool,
}

impl Asked {
    /// A step that is not a login.
    pub(crate) fn step(step: &Step) -> Self {
        let made_by = match &step.body {
            StepBody::Run { script } => script.span,
            StepBody::Uses { uses, .. } => uses.span,
            StepBody::Unmodelled { key, .. } => key.span,
        };
        Self { made_by, ..Self::at(step.span) }
    }

    /// Something at a place.
    pub(crate) fn at(span: Span) -> Self {
        Self {
            role: None,
            audience: None,
            duration: None,
            made_by: span,
            needs_token: false,
            inputs: Vec::new(),
            is_login: false,
        }
    }

    /// The step is one of ECS's actions with these inputs.
    pub(crate) fn is_of_ecs(&mut self, with: &Pairs, inputs: &[(String, String)]) {
        let given = with.iter().zip(inputs);
        let given = given.map(|((name, template), (_, value))| Input {
            name: name.value.clone(),
            value: value.clone(),
            span: template.span,
        });
        self.inputs = given.collect();
    }

    /// The step is a login with these inputs.
    pub(crate) fn is_login(&mut self, with: &Pairs, inputs: &[(String, String)]) {
        let given = |name: &str| {
            inputs.iter().any(|(known, value)| known.eq_ignore_ascii_case(name) && !value.trim().is_empty())
        };
        let span = |name: &str| {
            let found = with.iter().find(|(known, _)| known.value.eq_ignore_ascii_case(name));
            found.filter(|_| given(name)).map(|(_, template)| template.span)
        };
        let others = ["aws-access-key-id", "web-identity-token-file", "role-chaining"];
        self.is_login = true;
        self.needs_token = given("role-to-assume") && !others.into_iter().any(given);
        self.role = span("role-to-assume");
        self.audience = span("audience");
        self.duration = span("role-duration-seconds");
    }
}

/// What is to be said of the refusals among these decisions. A client that tries again is told once.
pub(crate) fn findings(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    asked: &Asked,
    decisions: &[Arc<Record>],
    (failed, error): (bool, Option<&str>),
) -> Vec<Finding> {
    let (mut findings, mut beside): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    let is_refused = |record: &Arc<Record>| record.verdict != Verdict::Allowed && record.finding.is_some();
    if !failed && !decisions.iter().any(is_refused) {
        return findings;
    }
    let origin = origin(executor, run, asked);
    for record in decisions {
        let (Verdict::Refused { .. }, Some(finding)) = (&record.verdict, &record.finding) else { continue };
        let finding = match finding.rule {
            "session-expired" => of_session(executor, run, asked, finding.clone()),
            _ if record.operation == "AssumeRoleWithWebIdentity" => {
                say_template(of_token(executor, run, asked, record, finding.clone()))
            }
            _ => deployed::of_task_session(&origin, record, finding.clone()).unwrap_or_else(|| {
                let finding = deployed::of_unreadable(&origin, record, finding.clone());
                of_call(executor, run, asked, record, finding)
            }),
        };
        let finding = names::of_refusal(&executor.rehearsal.world, record, finding);
        let finding = names::of_repository(&executor.rehearsal.infra, record, finding);
        if record.is_optional {
            beside.push(finding);
            continue;
        }
        let is_known = |known: &Finding| known.rule == finding.rule && known.message == finding.message;
        if !findings.iter().any(is_known) {
            findings.push(finding);
        }
    }
    if failed {
        findings.extend(deployed::findings(&origin, decisions));
    }
    if let (true, true, Some(error)) = (findings.is_empty(), failed, error) {
        let of = (asked.inputs.as_slice(), asked.made_by);
        let found = names::of_step(&executor.rehearsal.world, of, &origin.definitions, error);
        findings.extend(found.or_else(|| names::of_task(&asked.inputs, error)));
    }
    if findings.is_empty() && failed && run.endpoint.is_none() && asked.needs_token {
        // No call was made at all.
        findings.extend(github::no_id_token(run.job, &executor.rehearsal.facts, Some(asked.made_by)));
    }
    // A call that fails is no harm by itself; the last one of a step that failed is.
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    if let Some(last) = findings.last_mut().filter(|last| failed && !is_error(last)) {
        last.severity = Severity::Error;
    }
    deployed::add_beside(&mut findings, beside);
    findings
}

/// Tells how a subject's template is said, where a token of ours was made without one and the policy has one.
pub fn say_template(finding: Finding) -> Finding {
    if !finding.help.iter().any(|help| help == DEFAULT_SUBJECT) {
        return finding;
    }
    finding.help("where the repository has such a template, say it: [sub-template] in landfall.toml, or --sub-template")
}

/// Where what a step deployed comes from: the task definitions, images and waits that the job's steps speak of.
fn origin<'a>(executor: &'a Executor<'_>, run: &JobRun<'_>, asked: &Asked) -> Origin<'a> {
    let rehearsal = executor.rehearsal;
    let (mut words, mut images, mut waits) = (Vec::new(), Vec::new(), None);
    for step in &run.body.steps {
        match &step.body {
            StepBody::Run { script } => words.extend(script.text.split_whitespace()),
            StepBody::Uses { uses, with } => {
                let given = |name: &str| {
                    let found = with.iter().find(|(known, _)| known.value.eq_ignore_ascii_case(name));
                    found.map(|(_, template)| template)
                };
                words.extend(given("task-definition").map(|template| template.text.as_str()));
                match actions::builtin(&uses.value) {
                    Some(Builtin::EcsRender) => images.extend(given("image").map(|template| template.span)),
                    Some(Builtin::EcsDeploy) => {
                        waits = given("wait-for-minutes").map(|template| template.span)
                    }
                    _ => {}
                }
            }
            StepBody::Unmodelled { .. } => {}
        }
    }
    let job = &run.job.job;
    let is_grouped = job.concurrency.is_some() || run.job.run_workflow.concurrency.is_some();
    Origin {
        world: &rehearsal.world,
        infra: &rehearsal.infra,
        step: Some(asked.made_by),
        definitions: deployed::definitions(&rehearsal.sources, &rehearsal.repository, words),
        images,
        waits,
        ungrouped: (!is_grouped).then_some(job.id.span),
        wait_max: rehearsal.deployment_wait,
    }
}

/// A refused exchange: what made the token what it was.
fn of_token(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    asked: &Asked,
    record: &Record,
    finding: Finding,
) -> Finding {
    let facts = &executor.rehearsal.facts;
    let finding = made_by_token(executor, run, asked, record, finding);
    let shown = finding.clone().in_words(|text| facts.without_stand_ins(text));
    if shown == finding { finding } else { shown.help(facts.how_to_know_ids()) }
}

/// What made the token, ids that are made up included.
fn made_by_token(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    asked: &Asked,
    record: &Record,
    mut finding: Finding,
) -> Finding {
    if finding.rule == "audience-not-registered" {
        finding = match asked.audience {
            Some(span) => finding.at(span, "the job asks for this audience"),
            None if asked.is_login => finding
                .at(asked.made_by, "the job asks for this action's default audience, `sts.amazonaws.com`"),
            None => finding.at(asked.made_by, "the token is exchanged here"),
        };
        return finding;
    }
    if finding.rule == "role-missing" || finding.rule == "role-arn" {
        return finding.at(asked.role.unwrap_or(asked.made_by), "the job asks for this role");
    }
    if finding.rule == "session-too-long" {
        return finding.at(asked.duration.unwrap_or(asked.made_by), "the job asks for this long a session");
    }
    if finding.rule == "provider-missing" {
        finding = of_unknown_providers(&executor.rehearsal.infra, finding);
    }
    if finding.rule == "provider-missing" || finding.rule == "signature" {
        return finding.at(asked.made_by, "the token is exchanged here");
    }
    let Some(subject) = record.claims.as_ref().and_then(|claims| claims.text("sub")) else {
        // What was sent is no token that could be read, or has no subject.
        return finding.at(asked.made_by, "the token is exchanged here");
    };
    let (span, why) = maker_of_subject(executor, run);
    finding = finding.at(span, format!("{why}: the token's sub is `{subject}`"));
    if span != asked.made_by {
        finding = finding.at(asked.role.unwrap_or(asked.made_by), "the role is asked for here");
    }
    finding
}

/// A provider that is missing here may well be there, where a trust policy names one that isn't known.
pub(crate) fn of_unknown_providers(infra: &Infra, finding: Finding) -> Finding {
    let of_providers = infra.doubts.iter().filter(|doubt| doubt.about == About::Providers);
    of_providers.fold(finding, |finding, doubt| {
        let finding = finding.at(doubt.span, "what is here isn't known, and may make one");
        finding.note(format!("it may be there all the same: {}", doubt.because))
    })
}

/// The line of a workflow that decides the subject's last part: the environment, or else the event.
fn maker_of_subject(executor: &Executor<'_>, run: &JobRun<'_>) -> (Span, String) {
    if let Some((name, span)) = &run.environment {
        return (*span, format!("the job's environment is `{name}`"));
    }
    let event = &executor.rehearsal.facts.event;
    let why = match event.name.as_str() {
        "pull_request" => "the run was started by a pull request".to_owned(),
        name => format!("the run was started by {name} on `{}`", event.git_ref),
    };
    (trigger(executor, run), why)
}

/// The line of the started workflow that lets this event start it.
fn trigger(executor: &Executor<'_>, run: &JobRun<'_>) -> Span {
    let on = &run.job.run_workflow.on;
    on.event(&executor.rehearsal.facts.event.name).map_or(on.span, |trigger| trigger.name.span)
}

/// A refused call: which step made it, and as whom.
fn of_call(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    asked: &Asked,
    record: &Record,
    finding: Finding,
) -> Finding {
    if let Some(role) = other_role(executor, &record.caller) {
        // A role that the job has taken with its own, or that an AWS service has: CodeDeploy's, say.
        let finding = finding.at(asked.made_by, "the call comes about by this step");
        return finding
            .note(format!("it is made in the role `{role}`, not in the one that the job's token gave"));
    }
    let finding = finding.at(asked.made_by, "the call is made by this step");
    match run.login.as_ref().and_then(|login| login.role) {
        Some(role) if role != asked.made_by => finding.at(role, "with the session of this role"),
        _ => finding,
    }
}

/// The role of a caller, when the job's token gave another one.
fn other_role<'r>(executor: &Executor<'_>, caller: &'r str) -> Option<&'r str> {
    let (_, session) = caller.split_once(":assumed-role/")?;
    let (name, _) = session.split_once('/')?;
    let name_of = |role: &str| role.rsplit('/').next().is_some_and(|known| known == name);
    let is_jobs = executor.sessions.iter().any(|made| name_of(&made.role));
    (!is_jobs && !executor.sessions.is_empty()).then_some(name)
}

/// A session that had ended: where it was made, and where it was used.
fn of_session(executor: &Executor<'_>, run: &JobRun<'_>, asked: &Asked, finding: Finding) -> Finding {
    let mut finding = finding.at(asked.made_by, "used here, after it had ended");
    if let Some(login) = &run.login {
        finding = match login.duration {
            Some(span) => finding.at(span, "made for this many seconds"),
            None => {
                finding.at(login.made_by, "made here, for 3600 s because role-duration-seconds says nothing")
            }
        };
    }
    let world = &executor.rehearsal.world;
    let made = executor.sessions.last().and_then(|session| landfall_types::Arn::parse(&session.role).ok());
    let role = made.and_then(|arn| world.store.role(arn.account_id()?, arn.role_path_and_name()?.1));
    match role {
        Some(role) => finding.at(
            role.max_session_written.unwrap_or(role.written),
            format!("the role allows sessions of up to {} s", role.max_session_seconds),
        ),
        None => finding,
    }
}
