//! What a person sees of a deployment: the plan, what happens, and how it ended; or each of it as JSON.

pub mod codedeploy;

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_deliver::deploy::cause;
use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::diff::{HIDDEN, Row, Values, redacted};
use landfall_deliver::deploy::logs::Tail;
use landfall_deliver::deploy::plan::{Part, Plan};
use landfall_deliver::deploy::roll::Begun;
use landfall_deliver::deploy::rollback::Target;
use landfall_deliver::deploy::run_task;
use landfall_deliver::deploy::story::Standing;
use landfall_deliver::deploy::verdict::Verdict;
use landfall_deliver::deploy::watch::{self, End, Outcome, Told};
use landfall_deliver::{Failure, FailureKind};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::progress::Progress;
use super::roll_out::Ended;
use super::{DeployFormat, PlaceArgs, report};
use crate::ui::{self, BAD, BOLD, DIM, GOOD, plain_text as plain, styled};

/// Where it is shown.
pub struct Screen {
    format: DeployFormat,
    began: Instant,
    /// The width of the column of services; none where there is only one.
    column: Option<usize>,
    /// Why tasks stopped, as far as it was told.
    reasons: BTreeSet<String>,
    /// What was done so far.
    pub progress: Progress,
}

impl Screen {
    /// An empty one.
    pub fn new(format: DeployFormat) -> Self {
        let progress = Progress::default();
        Self { format, began: Instant::now(), column: None, reasons: BTreeSet::new(), progress }
    }

    /// Whether a program reads it.
    pub fn is_json(&self) -> bool {
        self.format == DeployFormat::Json
    }

    fn json(&self, value: &Value) {
        ui::json(value);
    }

    /// The last line, of which there is one.
    fn report(&self, value: &Value) {
        self.progress.is_told();
        self.json(value);
    }

    /// A task that failed; the same reason again is not told again.
    fn task_stopped(&mut self, service: &str, task: &str, reason: &str) {
        let is_new = self.reasons.insert(cause::without_ids(reason, task));
        let reason = if is_new { plain(reason) } else { "as the one before".to_owned() };
        self.at(service, &format!("{} task {} stopped: {reason}", styled(BAD, "✗"), start(task)));
    }

    /// A line about a service, with the time since the beginning.
    fn at(&self, service: &str, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let name = match self.column {
            Some(width) => format!("{service:width$}  "),
            None => String::new(),
        };
        ui::line(format!("{} {name}{text}", styled(DIM, format!("{seconds:>7.1} s "))));
    }

    /// Members of the file that only AWS can say.
    pub fn left_out(&self, path: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        if self.is_json() {
            self.json(&json!({ "event": "leftOut", "file": path, "members": names }));
        } else {
            ui::line(styled(DIM, format!("{path}: left out what only AWS says: {}", names.join(", "))));
        }
    }

    /// What would change.
    pub fn plan(&mut self, plan: &Plan) {
        if plan.parts.len() > 1 {
            self.column = plan.parts.iter().map(|part| part.name().len()).max();
        }
        if self.is_json() {
            self.json(&report::plan(plan));
            return;
        }
        for part in &plan.parts {
            show_part(plan, part);
        }
        for note in &plan.notes {
            ui::line(format!("note: {}", plain(note)));
        }
    }

    /// What a service would go back to, and how that was found.
    pub fn way_back(&self, plan: &Plan, target: &Target, now: &[(String, String)]) {
        if self.is_json() {
            let mut value = report::plan(plan);
            value["how"] = Value::from(target.how.as_str());
            value["images"] =
                report::images(&plan.parts.first().map_or(Vec::new(), |part| part.wanted.images()));
            self.json(&value);
            return;
        }
        for part in &plan.parts {
            let name = styled(BOLD, part.name());
            let old = part.old_name().unwrap_or_default();
            ui::line(format!("{name}  {old} → {}, {}", short(&target.definition), target.how));
            for (container, image) in part.wanted.images() {
                let is_same = now.contains(&(container.clone(), image.clone()));
                let text = if is_same { " (as now)" } else { "" };
                ui::line(format!(
                    "    {} {}.image  {}{text}",
                    styled(DIM, "→"),
                    plain(&container),
                    plain(&image)
                ));
            }
            let rows: Vec<&Row> = part.rows.iter().filter(|row| !row.path.ends_with(".image")).collect();
            show_rows(&rows);
        }
        for note in &plan.notes {
            ui::line(format!("note: {}", plain(note)));
        }
    }

    /// Nothing more happens.
    pub fn dry_run(&self, plan: &Plan) {
        if self.is_json() {
            self.report(&report::dry_run(plan));
            return;
        }
        let is_nothing = plan.parts.iter().all(Part::is_nothing);
        let text = if is_nothing { "nothing to do" } else { "dry run: nothing was registered or updated" };
        ui::line(format!("\n{text}"));
    }

    /// A revision was registered.
    pub fn registered(&self, arn: &str) {
        self.progress.has_registered(arn);
        if self.is_json() {
            self.json(&json!({ "event": "registered", "taskDefinitionArn": arn }));
        } else {
            ui::line(format!("\nregistered {}", styled(BOLD, short(arn))));
        }
    }

    /// That was all that was asked for.
    pub fn registered_only(&self, plan: &Plan, arns: &[String], failure: Option<&Failure>) {
        if self.is_json() {
            self.report(&json!({
                "event": "report", "services": [], "taskDefinitionArn": arns.first(),
                "failure": failure.map(report::failure),
            }));
            return;
        }
        let is_old = plan.parts.first().is_some_and(|part| part.existing.is_some());
        let arn = arns.first().map_or("", String::as_str);
        let text = if is_old {
            "nothing changed: it is registered already"
        } else {
            "registered, and used by no service yet"
        };
        ui::line(format!("{} {arn}  {text}", styled(GOOD, "✓")));
    }

    /// A deployment has begun.
    pub fn begun(&self, begun: &Begun) {
        if begun.is_updated {
            self.progress.has(format!(
                "updated service `{}` to {}",
                begun.service,
                short(&begun.definition_arn)
            ));
        }
        if self.is_json() {
            self.json(&report::begun(begun));
            return;
        }
        if begun.is_updated {
            let wanted = tasks(begun.desired);
            let text = if begun.is_new {
                format!("deployment {} begins, {wanted} wanted", begun.wanted.id)
            } else {
                format!("updated, {wanted} wanted; ECS makes no new deployment of it")
            };
            self.at(&begun.service, &text);
        }
    }

    /// The rules of the service make it wait longer than was asked for.
    pub fn waits_added(&self, timeout: Duration, waits: Duration) {
        let minutes = |time: Duration| time.as_secs().div_ceil(60);
        let (waits, all) = (minutes(waits), minutes(timeout + waits));
        if self.is_json() {
            self.json(&json!({ "event": "waits", "minutes": waits, "timeoutMinutes": all }));
        } else {
            self.at("", &format!("its rules let it wait {waits} min besides: watched for {all} min at most"));
        }
    }

    /// Something happened.
    pub fn told(&mut self, told: &Told) {
        if self.is_json() {
            self.json(&report::told(told));
            return;
        }
        match told {
            Told::Counts { service, running: now, pending, desired, failed, older } => {
                self.at(service, &running(*now, *desired, *pending, *failed, *older));
            }
            Told::Event { service, message } => self.at(service, &styled(DIM, plain(message))),
            Told::Stage { service, standing } => self.at(service, &stage(standing)),
            Told::Awaited { service, deployment, hook } => {
                self.at(service, &format!("the hook is answered by {}", plain(&answer(deployment, hook))));
            }
            Told::TaskStopped { service, task, reason } => self.task_stopped(service, task, reason),
            Told::GoingBack { service, to, how, images } => {
                let images: Vec<String> =
                    images.iter().map(|(name, image)| format!("{name} {image}")).collect();
                let images =
                    if images.is_empty() { String::new() } else { format!(" ({})", images.join(", ")) };
                self.at(service, &format!("going back to {}{}, {how}", short(to), plain(&images)));
            }
            Told::Stays { service, why } => self.at(service, &format!("not brought back: {}", plain(why))),
            Told::Note { text } => self.at("", &format!("note: {}", plain(text))),
        }
    }

    /// How it ended.
    pub fn ended(&self, place: &PlaceArgs, ended: &[Ended], failure: Option<&Failure>) {
        if self.is_json() {
            self.report(&report::ended(ended, failure, &place.infra));
            return;
        }
        for ended in ended {
            let why = match ended {
                Ended::ByEcs(outcome) => {
                    show_outcome(&place.cluster, outcome);
                    // The execution role is refused as well as a caller can be.
                    let causes = outcome.causes.iter().filter_map(|cause| place.infra.why(&cause.reason));
                    causes.chain(report::failed_call(ended, &place.infra)).collect()
                }
                Ended::ByCodeDeploy(outcome) => {
                    codedeploy::show(outcome);
                    Vec::from_iter(report::failed_call(ended, &place.infra))
                }
            };
            why.iter().for_each(|why| ui::line(format!("\n{}", why.text())));
        }
    }

    /// A task began.
    pub fn tasks_begun(&self, arns: &[String], definition: &str) {
        self.progress.has_started(arns);
        if self.is_json() {
            self.json(&json!({ "event": "begun", "taskArns": arns, "taskDefinition": short(definition) }));
            return;
        }
        for arn in arns {
            let id = arn.rsplit('/').next().unwrap_or(arn);
            self.at("", &format!("task {id} of {} begins", short(definition)));
        }
    }

    /// Nobody asked to wait for them.
    pub fn tasks_left(&self, arns: &[String], definition: &str, failure: Option<&Failure>) {
        if self.is_json() {
            self.report(&report::tasks_left(arns, definition, failure));
        }
    }

    /// A task went on.
    pub fn task_told(&self, told: &run_task::Told, one_container: bool) {
        if self.is_json() {
            self.json(&report::task_told(told));
            return;
        }
        match told {
            run_task::Told::Status { task, status } => {
                self.at("", &styled(DIM, format!("task {} {status}", start(task))));
            }
            run_task::Told::Line { text, .. } if one_container => self.at("", &format!("│ {}", plain(text))),
            run_task::Told::Line { container, text, .. } => {
                self.at("", &format!("{} │ {}", plain(container), plain(text)));
            }
            run_task::Told::Note { text } => self.at("", &format!("note: {}", plain(text))),
        }
    }

    /// How tasks ended.
    pub fn tasks_ended(
        &self,
        place: &PlaceArgs,
        arns: &[String],
        ended: &[run_task::Ended],
        exit_code: u8,
        failure: Option<&Failure>,
    ) {
        if self.is_json() {
            self.report(&report::tasks(arns, ended, exit_code, failure, &place.infra));
            return;
        }
        if !ended.is_empty() {
            ui::line("");
        }
        for one in ended {
            let id = start(one.task.id());
            if one.exit_code == 0 {
                ui::line(format!("{} task {id} ended with exit code 0", styled(GOOD, "✓")));
                continue;
            }
            ui::line(format!("{} task {id}: {}", styled(BAD, "✗"), plain(&one.reason)));
            let causes = cause::of(std::slice::from_ref(&one.task), &[]);
            if let Some(help) = causes.first().and_then(|cause| cause.help) {
                ui::line(format!("  help: {help}"));
            }
            let why = place.infra.why(&one.reason);
            why.iter().for_each(|why| ui::line(format!("\n{}", why.text())));
        }
    }
}

fn show_part(plan: &Plan, part: &Part) {
    match &part.service {
        Some(service) => ui::line(format!(
            "{} in {}",
            styled(BOLD, &service.service_name),
            plan.cluster.rsplit('/').next().unwrap_or(&plan.cluster)
        )),
        None => ui::line(styled(BOLD, part.wanted.family())),
    }
    ui::line(format!("  {}", heading(part)));
    show_rows(&part.rows.iter().collect::<Vec<_>>());
    for (name, value) in settings(part) {
        let value = redacted(&name, &value, Values::Shown).to_string();
        ui::line(format!("    {} service {name} {}", styled(DIM, "→"), plain(&value)));
    }
}

fn show_rows(rows: &[&Row]) {
    let width = rows.iter().map(|row| row.path.chars().count()).max().unwrap_or(0).min(PATH_CHARS_MAX);
    for row in rows {
        ui::line(format!("    {}", row_text(row, width)));
    }
}

/// What changes in the service besides its task definition.
fn settings(part: &Part) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    for (name, value) in part.update.iter().flatten() {
        match (name.as_str(), value, &part.service) {
            ("cluster" | "service", ..) => {}
            ("deploymentConfiguration", Value::Object(rules), Some(service)) => {
                let changed = rules.iter().filter(|(name, value)| service.rules.get(*name) != Some(value));
                settings.extend(changed.map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => settings.push((name.clone(), value.clone())),
        }
    }
    settings
}

fn heading(part: &Part) -> String {
    let family = part.wanted.family();
    let old = part.old_name();
    match (&part.existing, old) {
        (Some(existing), Some(old)) if part.old.as_deref() == Some(existing.as_str()) => {
            match &part.service {
                Some(_) => format!("runs {old}; nothing changes in it"),
                None => format!("{old} is the same; nothing to register"),
            }
        }
        (Some(existing), Some(old)) => format!("{old} → {}, which is registered", short(existing)),
        (Some(existing), None) => format!("{}, which is registered", short(existing)),
        (None, Some(old)) => format!("{old} → a new revision of {family}"),
        (None, None) => format!("a new revision of {family}; there is nothing to compare it with"),
    }
}

fn row_text(row: &Row, width: usize) -> String {
    let path = format!("{:width$}", plain(&row.path));
    let (old, new) = (row.old.as_deref().map(plain), row.new.as_deref().map(plain));
    match (old, new) {
        (Some(_), Some(new)) if new == HIDDEN => format!("{} {path}  changed {HIDDEN}", styled(DIM, "~")),
        (Some(old), Some(new)) => format!("{} {path}  {old} → {new}", styled(DIM, "~")),
        (None, Some(new)) => format!("{} {path}  {new}", styled(GOOD, "+")),
        (Some(old), None) => format!("{} {path}  {old}", styled(BAD, "-")),
        (None, None) => path,
    }
}

fn show_outcome(cluster: &str, outcome: &Outcome) {
    let service = styled(BOLD, &outcome.service);
    let definition = watch::definition_name(outcome);
    let took = format!("{:.1} s", outcome.took.as_secs_f64());
    ui::line("");
    if outcome.end == End::NotWaited {
        let what = if outcome.is_updated { "updated to" } else { "left as it is:" };
        ui::line(format!("{} {service}  {what} {definition}; not watched (--no-wait)", styled(GOOD, "✓")));
        return;
    }
    if let End::Verdict(Verdict::Stable { running }) = outcome.end {
        let count = match running {
            0 => "no task is wanted, none runs".to_owned(),
            count => format!("{} running", tasks(count)),
        };
        let took = if outcome.is_updated { format!(", {took}") } else { String::new() };
        ui::line(format!("{} {service}  {definition} is stable  {count}{took}", styled(GOOD, "✓")));
        return;
    }
    ui::line(format!("{} {service}  {}", styled(BAD, "✗"), plain(&headline(outcome, &took))));
    for line in reasons(outcome) {
        ui::line(format!("    {}", plain(&line)));
    }
    show_tail(outcome);
    for help in helps(cluster, outcome) {
        ui::line(format!("  help: {}", plain(&help)));
    }
}

/// The one line that says what it is.
fn headline(outcome: &Outcome, took: &str) -> String {
    let definition = watch::definition_name(outcome);
    match &outcome.end {
        End::Verdict(Verdict::Failed { .. }) => {
            format!("the deployment of {definition} failed, and the service stays with it  {took}")
        }
        End::Verdict(Verdict::RolledBack { to, .. }) => {
            format!("{definition} failed: ECS rolled the service back to {to}  {took}")
        }
        End::Verdict(Verdict::Superseded { by, definition: other }) if other == definition => {
            format!("superseded: somebody began another deployment of {other} ({by}) meanwhile  {took}")
        }
        End::Verdict(Verdict::Superseded { by, definition: other }) => {
            format!("superseded: somebody deployed {other} ({by}) before {definition} was stable  {took}")
        }
        End::Verdict(Verdict::Failing { failed }) => {
            let goes_on = if outcome.is_replaced { "" } else { " ECS goes on trying," };
            format!("{failed} tasks of {definition} failed;{goes_on} no circuit breaker is on  {took}")
        }
        End::Verdict(Verdict::Gone { now }) => {
            format!(
                "the deployment of {definition} is gone without a word of ECS; the service is set to {now}  {took}"
            )
        }
        End::Verdict(Verdict::Deleted { status }) => {
            format!("the service was deleted meanwhile ({status})  {took}")
        }
        End::Verdict(Verdict::Waiting | Verdict::Stable { .. }) | End::NotWaited => String::new(),
        End::Timeout => format!("{definition} is not stable after {took}: {}", counts(outcome)),
        End::Interrupted => format!("stopped watching after {took}: the deployment of {definition} goes on"),
        End::Lost(failure) | End::NotUpdated(failure) => failure.message.clone(),
    }
}

/// A stage, where traffic goes, and what it waits for.
fn stage(standing: &Standing) -> String {
    let mut text = styled(BOLD, plain(&standing.stage));
    if let Some(share) = standing.traffic {
        text.push_str(&format!("  {share} % of traffic to the new revision"));
    }
    if let Some(waits) = &standing.waits {
        text.push_str(&format!("  {waits}"));
    }
    text
}

/// How a hook that waits is answered.
fn answer(deployment: &str, hook: &str) -> String {
    format!(
        "`aws ecs continue-service-deployment --service-deployment-arn {deployment} --hook-id {hook}` \
         (--action ROLLBACK goes back)"
    )
}

/// How many tasks there were at the last look.
fn counts(outcome: &Outcome) -> String {
    let Some(ours) = outcome.last.deployment(&outcome.deployment) else {
        return format!("its deployment {} was not seen", outcome.deployment);
    };
    let older = outcome.last.running_count.saturating_sub(ours.running_count);
    running(ours.running_count, ours.desired_count, ours.pending_count, ours.failed_tasks, older)
}

fn running(running: u32, desired: u32, pending: u32, failed: u32, older: u32) -> String {
    let mut text = format!("{running} of {desired} running");
    for (count, what) in [(pending, "pending"), (failed, "failed"), (older, "of before")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    match &outcome.end {
        End::Verdict(Verdict::Failed { reason } | Verdict::RolledBack { reason, .. })
            if !reason.is_empty() =>
        {
            let prefix = format!("(service {}) ", outcome.service);
            lines.push(reason.strip_prefix(&prefix).unwrap_or(reason).to_owned());
        }
        End::Lost(failure) | End::NotUpdated(failure) => lines.extend(failure.details.clone()),
        End::Timeout | End::Verdict(Verdict::Failing { .. }) => {
            // What keeps tasks from being launched is among the causes.
            let others = outcome.complaints.iter().filter(|text| cause::launch_error(text).is_none());
            let others: Vec<&String> = others.collect();
            let start = others.len().saturating_sub(COMPLAINTS_SHOWN);
            lines.extend(others.iter().skip(start).map(|text| format!("ECS: {text}")));
            let ours = outcome.last.deployment(&outcome.deployment);
            let reason = ours.and_then(|ours| ours.rollout_state_reason.clone());
            lines.extend(reason.filter(|reason| outcome.end == End::Timeout && !reason.is_empty()));
        }
        _ => {}
    }
    if let Some(story) = &outcome.story {
        lines
            .extend(story.alarms.triggered_alarm_names.iter().map(|name| format!("alarm `{name}` went off")));
        let standing = story.standing().filter(|_| matches!(outcome.end, End::Timeout | End::Interrupted));
        lines.extend(standing.map(|standing| format!("it stands at {}", stage(&standing))));
    }
    for cause in &outcome.causes {
        lines.push(format!("{} × {}", cause.count, cause.reason));
    }
    lines.extend(outcome.stays.as_ref().map(|why| format!("not brought back: {why}")));
    lines
}

fn show_tail(outcome: &Outcome) {
    let Some((container, tail)) = &outcome.tail else { return };
    let task =
        outcome.causes.first().and_then(|cause| cause.task.as_ref()).map_or("", |task| start(task.id()));
    match tail {
        Tail::Lines { stream, lines } if lines.is_empty() => {
            ui::line(format!(
                "    `{container}` of task {task} wrote nothing ({}, {})",
                stream.group, stream.name
            ));
        }
        Tail::Lines { stream, lines } => {
            ui::line(format!(
                "    the last of `{container}` of task {task} ({}, {}):",
                stream.group, stream.name
            ));
            for line in lines {
                ui::line(format!("    {} {}", styled(DIM, "│"), plain(line)));
            }
        }
        Tail::Elsewhere(why) => {
            ui::line(format!("    no log of `{container}` of task {task}: {}", plain(why)));
        }
    }
}

fn helps(cluster: &str, outcome: &Outcome) -> Vec<String> {
    let mut helps: Vec<String> = Vec::new();
    for cause in &outcome.causes {
        if let Some(help) = cause.help
            && !helps.iter().any(|known| known == help)
        {
            helps.push(help.to_owned());
        }
    }
    if let Some(story) = &outcome.story {
        helps.extend(story.alarms.triggered_alarm_names.iter().map(|name| {
            format!("`aws cloudwatch describe-alarm-history --alarm-name {name}` tells what it saw")
        }));
        let is_open = matches!(outcome.end, End::Timeout | End::Interrupted);
        if let Some(hook) = story.awaited().filter(|_| is_open) {
            helps.push(format!("{} answers the hook", answer(&story.service_deployment_arn, &hook.hook_id)));
        }
    }
    let name = &outcome.service;
    let rollback = format!("`landfall deploy rollback --cluster {cluster} --service {name}`");
    match &outcome.end {
        // The service is on its way back: a further one would go one revision too far.
        End::Verdict(Verdict::Failing { .. }) if outcome.is_replaced => {
            helps.push("`--circuit-breaker rollback` lets ECS go back by itself the next time".to_owned());
        }
        _ if outcome.is_replaced => {}
        End::Verdict(Verdict::Failing { .. }) => helps.push(format!(
            "{rollback} goes back; `--circuit-breaker rollback` lets ECS do it the next time"
        )),
        End::Verdict(Verdict::Failed { .. }) => helps.push(format!("{rollback} goes back")),
        End::Timeout => helps.push(format!(
            "the deployment goes on: `landfall deploy --cluster {cluster} --service {name}` watches it again, {rollback} goes back"
        )),
        End::Interrupted => helps.push(format!(
            "`landfall deploy --cluster {cluster} --service {name}` watches it again"
        )),
        End::Verdict(Verdict::Superseded { .. }) => helps.push(
            "two deployments of one service at a time: let a `concurrency` group or an environment line them up"
                .to_owned(),
        ),
        _ => {}
    }
    helps
}

fn tasks(count: u32) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

/// The start of a task's id, which is enough to find it.
fn start(id: &str) -> &str {
    id.get(..ID_CHARS_SHOWN).unwrap_or(id)
}

/// A failure in place of a task's end.
pub fn stopped_watching(tasks: &[String], why: &str) -> Failure {
    let names: Vec<&str> = tasks.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn)).collect();
    Failure::new(FailureKind::Refused, format!("{why}: {}", names.join(", ")))
}

/// The column of paths is not wider, in characters.
const PATH_CHARS_MAX: usize = 48;
/// ECS's last sentences that are shown once more at the end.
const COMPLAINTS_SHOWN: usize = 3;
/// How much of a task's id is shown, in characters.
const ID_CHARS_SHOWN: usize = 8;
