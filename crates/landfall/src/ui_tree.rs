//! A rehearsal as it is told: a tree on the terminal, or one JSON object a line.

use std::io::Write as _;
use std::time::{Duration, Instant};

use landfall_check::render;
use landfall_rehearse::event::{JobStarted, Ready, ServiceNow, StepEnded, Summary};
use landfall_rehearse::{Event, Observer, Outcome};
use landfall_serve::log::{self, Record, Verdict};
use landfall_types::{Finding, SourceMap};

use crate::ui::{self, BAD, BOLD, DIM, GOOD, line, styled};

/// Column in which a step's duration stands.
const NAME_WIDTH: usize = 44;
/// Length of a task's id.
const TASK_ID_CHARS: usize = 32;
/// Column in which the reason of a decision stands.
const DECISION_WIDTH: usize = 62;

/// A step that has been quiet about its output for this long shows it as it comes.
const PATIENCE: Duration = Duration::from_secs(1);
/// As [`PATIENCE`], where nobody is watching.
const PATIENCE_UNWATCHED: Duration = Duration::from_secs(10);

/// The tree. The output of a quick step stands under its title; that of a slow one is shown as it
/// comes.
pub struct Tree<'a> {
    sources: &'a SourceMap,
    live: bool,
    /// Whether the line of the running step stands on the terminal without a newline.
    open: bool,
    /// Whether the last line was a blank one.
    blank: bool,
    step: Option<RunningStep>,
}

struct RunningStep {
    name: String,
    began: Instant,
    /// Lines that wait for the step's title; none once they are shown as they come.
    waiting: Option<Vec<String>>,
}

impl<'a> Tree<'a> {
    /// A tree on standard output.
    pub fn new(sources: &'a SourceMap) -> Self {
        Self { sources, live: ui::is_live(), open: false, blank: true, step: None }
    }

    fn clear(&mut self) {
        if self.open {
            print("\r\x1b[K");
            self.open = false;
        }
    }

    fn line(&mut self, text: impl std::fmt::Display) {
        line(text);
        self.blank = false;
    }

    /// A blank line, unless there is one.
    fn gap(&mut self) {
        if !self.blank {
            line("");
            self.blank = true;
        }
    }

    fn ready(&mut self, ready: &Ready) {
        self.line(format!(
            "{}  {}  {} on {}",
            styled(BOLD, "rehearse"),
            styled(BOLD, &ready.repository),
            ready.event,
            ready.git_ref
        ));
        let made = if ready.made.is_empty() { "nothing".to_owned() } else { ready.made.join(", ") };
        self.line(styled(
            DIM,
            format!("local AWS at {}, account {}, {}: {made}", ready.url, ready.account, ready.region),
        ));
        self.findings(&ready.warnings, 0);
    }

    fn findings(&mut self, findings: &[Finding], indent: usize) {
        for finding in findings {
            self.gap();
            ui::finding(finding, self.sources, indent);
            self.blank = false;
            self.gap();
        }
    }

    fn job(&mut self, job: &JobStarted) {
        self.gap();
        self.line(format!("{}  {}", styled(BOLD, &job.name), styled(DIM, &job.file)));
        for about in &job.about {
            self.line(styled(DIM, format!("  {about}")));
        }
        match &job.subject {
            _ if !job.about.is_empty() => {}
            Some(subject) => {
                self.line(styled(DIM, format!("  id-token: write, sub {}", ui::plain_text(subject))))
            }
            None => self.line(styled(DIM, "  id-token: none")),
        }
        self.group(job.group.as_deref());
    }

    fn group(&mut self, group: Option<&str>) {
        if let Some(group) = group {
            self.line(styled(DIM, format!("  concurrency: {group}")));
        }
    }

    fn step(&mut self, ended: &StepEnded) {
        self.clear();
        let sign = match ended.outcome {
            Outcome::Success => styled(GOOD, "✓"),
            Outcome::Failure | Outcome::Cancelled => styled(BAD, "✗"),
            Outcome::Skipped => {
                self.line(styled(DIM, format!("  - {} (skipped)", ended.name)));
                return;
            }
        };
        let padding = " ".repeat(NAME_WIDTH.saturating_sub(ended.name.chars().count()).max(2));
        self.line(format!("  {sign} {}{padding}{}", ended.name, styled(DIM, seconds(ended.took))));
        for text in self.step.take().and_then(|step| step.waiting).unwrap_or_default() {
            self.shown(&text);
        }
        for text in ended.summary.lines() {
            self.line(styled(DIM, format!("      ┆ {text}").trim_end()));
        }
        for group in grouped(&ended.decisions) {
            self.decision(&group);
        }
        if let Some(error) = &ended.error {
            for part in error.lines() {
                self.line(format!("      {}", styled(BAD, part)));
            }
        }
        self.findings(&ended.findings, 4);
    }

    fn decision(&mut self, group: &Group<'_>) {
        let Group { record, count, is_mixed } = group;
        let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
        let what = ui::decided(record);
        let what = format!("{}{times}", if *is_mixed { without_ids(&what) } else { what });
        let width = anstream::adapter::strip_str(&what).to_string().chars().count();
        let padding = " ".repeat(DECISION_WIDTH.saturating_sub(width).max(2));
        let because = ui::because(record, self.sources);
        let reason = match because.as_str() {
            "" => String::new(),
            because => format!("{padding}{}", styled(DIM, because)),
        };
        self.line(format!("      {} {what}{reason}", ui::sign(&record.verdict)));
    }

    fn output(&mut self, text: &str) {
        let patience = if self.live { PATIENCE } else { PATIENCE_UNWATCHED };
        let Some(step) = &mut self.step else {
            self.shown(text);
            return;
        };
        if let Some(waiting) = &mut step.waiting {
            waiting.push(text.to_owned());
            if step.began.elapsed() < patience {
                return;
            }
        }
        let (title, lines) = match step.waiting.take() {
            Some(waiting) => (Some(step.name.clone()), waiting),
            None => (None, vec![text.to_owned()]),
        };
        self.clear();
        if let Some(title) = title {
            self.line(format!("  ● {title}"));
        }
        for text in lines {
            self.shown(&text);
        }
    }

    fn shown(&mut self, text: &str) {
        output(text);
        self.blank = false;
    }

    fn service(&mut self, service: &ServiceNow) {
        self.line(format!("  service {}", service.name));
        self.line(format!("          {}", ui::plain_text(&standing(service))));
        for address in &service.addresses {
            self.line(format!("          {address}"));
        }
        if let Some(why) = &service.not_run {
            self.line(styled(DIM, format!("          {}", ui::plain_text(why))));
        }
    }

    fn ended(&mut self, summary: &Summary) {
        if !summary.sessions.is_empty() || !summary.images.is_empty() || !summary.services.is_empty() {
            self.gap();
            self.line(styled(BOLD, "What there is now"));
        }
        for session in &summary.sessions {
            self.line(format!("  role    {}", session.role));
            self.line(styled(DIM, format!("          taken by {}", ui::plain_text(&session.subject))));
        }
        for image in &summary.images {
            let tags = if image.tags.is_empty() { "no tag".to_owned() } else { image.tags.join(", ") };
            self.line(format!("  image   {}", image.repository));
            self.line(format!("          {}", image.digest));
            self.line(styled(DIM, format!("          tags {tags}; {}", ui::size(image.size_in_bytes))));
        }
        for service in &summary.services {
            self.service(service);
        }
        let counts = format!(
            "{}, {}, {}{} in {}",
            many(summary.jobs, "job"),
            many(summary.steps, "step"),
            many(summary.calls, "AWS call"),
            if summary.refused > 0 { format!(" ({} refused)", summary.refused) } else { String::new() },
            seconds(summary.took)
        );
        let verdict = if summary.works() {
            styled(GOOD.bold(), "✓ the crossing works")
        } else if summary.jobs == 0 {
            styled(BAD.bold(), "✗ no job ran")
        } else if summary.is_unfinished() {
            styled(BAD.bold(), format!("✗ not shown to work: nothing ran {}", summary.not_run.join(", ")))
        } else {
            styled(BAD.bold(), "✗ the crossing does not work")
        };
        self.gap();
        self.line(format!("{verdict}  {}", styled(DIM, counts)));
    }
}

/// How a service stands, in a line.
fn standing(service: &ServiceNow) -> String {
    let state = match service.deployed.as_deref() {
        Some(status) => format!("deployment {}", status.to_ascii_lowercase().replace('_', " ")),
        None => "not deployed to".to_owned(),
    };
    format!("{}, {} of {} running, {state}", service.definition, service.running, service.desired)
}

fn output(text: &str) {
    for text in text.split('\n') {
        // A progress bar that draws itself again and again: its last state.
        let text = text.rsplit('\r').find(|state| !state.is_empty()).unwrap_or(text);
        line(styled(DIM, format!("      │ {text}").trim_end()));
    }
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    // A terminal that is gone is no reason to stop.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn many(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Decisions that say the same.
struct Group<'r> {
    /// The first of them.
    record: &'r Record,
    count: usize,
    /// Whether they differ in the id of a task.
    is_mixed: bool,
}

/// Decisions that say the same, but for the ids of tasks, are told once, with their number.
fn grouped(records: &[std::sync::Arc<Record>]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let resource = |record: &Record| record.resource.as_deref().map(without_ids);
    let verdict = |record: &Record| match &record.verdict {
        Verdict::Allowed => None,
        Verdict::Refused { code, message } => Some((code.clone(), without_ids(message))),
    };
    for record in records {
        let same = |known: &Record| {
            known.action == record.action
                && resource(known) == resource(record)
                && verdict(known) == verdict(record)
                && (known.action.is_some() || known.operation == record.operation)
        };
        match groups.iter_mut().find(|group| same(group.record)) {
            Some(group) => {
                group.count += 1;
                group.is_mixed |= group.record.resource != record.resource;
            }
            None => groups.push(Group { record, count: 1, is_mixed: false }),
        }
    }
    groups
}

/// A text with `*` in place of the ids of tasks, 32 hexadecimal digits each.
fn without_ids(text: &str) -> String {
    let (mut told, mut word) = (String::new(), String::new());
    for c in text.chars().map(Some).chain([None]) {
        if let Some(c) = c.filter(char::is_ascii_alphanumeric) {
            word.push(c);
            continue;
        }
        let is_id = word.len() == TASK_ID_CHARS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        told.push_str(if is_id { "*" } else { &word });
        word.clear();
        told.extend(c);
    }
    told
}

impl Observer for Tree<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Ready(ready) => self.ready(ready),
            Event::RunStarted { workflow, file, group } => {
                self.gap();
                self.line(format!("{}  {}", styled(BOLD, workflow), styled(DIM, file)));
                self.group(group);
            }
            Event::NotTriggered { file, finding, alone: true } => {
                self.gap();
                self.line(format!("{}  {}", styled(DIM, "not started"), file));
                self.findings(std::slice::from_ref(finding), 0);
            }
            // Of several workflows, most are for other events: that is no news.
            Event::NotTriggered { file, finding, alone: false } => {
                self.gap();
                self.line(format!(
                    "{}  {file}  {}",
                    styled(DIM, "not started"),
                    styled(DIM, &finding.message)
                ));
            }
            Event::Remark { finding } => self.findings(std::slice::from_ref(finding), 0),
            Event::RunRefused { file, findings } => {
                self.gap();
                self.line(format!("{}  {}", styled(BAD, "✗ no job starts"), file));
                self.findings(findings, 0);
            }
            Event::JobStarted(job) => self.job(job),
            Event::JobSkipped { name, why } => {
                self.gap();
                self.line(format!("{}  {}", styled(DIM, name), styled(DIM, format!("skipped: {why}"))));
            }
            Event::StepStarted { name } => {
                self.step = Some(RunningStep {
                    name: name.to_owned(),
                    began: Instant::now(),
                    waiting: Some(Vec::new()),
                });
                if self.live {
                    print(&format!("  ● {} …", ui::plain_text(name)));
                    self.open = true;
                }
            }
            Event::Output { line: text } => self.output(text),
            Event::StepEnded(ended) => self.step(ended),
            Event::JobEnded { .. } => {}
            Event::Ended(summary) => self.ended(summary),
        }
    }
}

/// One JSON object a line.
pub struct JsonLines<'a> {
    sources: &'a SourceMap,
}

impl<'a> JsonLines<'a> {
    /// Lines on standard output.
    pub fn new(sources: &'a SourceMap) -> Self {
        Self { sources }
    }

    fn findings(&self, findings: &[Finding]) -> Vec<serde_json::Value> {
        findings.iter().map(|finding| render::json(finding, self.sources)).collect()
    }
}

impl Observer for JsonLines<'_> {
    fn event(&mut self, event: Event<'_>) {
        let object = match event {
            Event::Ready(ready) => serde_json::json!({
                "event": "ready", "url": ready.url, "account": ready.account, "region": ready.region,
                "repository": ready.repository, "trigger": ready.event, "ref": ready.git_ref,
                "made": ready.made, "findings": self.findings(&ready.warnings),
            }),
            Event::RunStarted { workflow, file, group } => {
                serde_json::json!({ "event": "run-started", "workflow": workflow, "file": file, "concurrency": group })
            }
            Event::NotTriggered { file, finding, .. } => serde_json::json!({
                "event": "not-triggered", "file": file, "findings": self.findings(std::slice::from_ref(finding)),
            }),
            Event::RunRefused { file, findings } => {
                serde_json::json!({ "event": "run-refused", "file": file, "findings": self.findings(findings) })
            }
            Event::JobStarted(job) => serde_json::json!({
                "event": "job-started", "job": job.name, "file": job.file, "subject": job.subject,
                "concurrency": job.group,
            }),
            Event::JobSkipped { name, why } => {
                serde_json::json!({ "event": "job-skipped", "job": name, "why": why })
            }
            Event::StepStarted { name } => serde_json::json!({ "event": "step-started", "step": name }),
            Event::Output { line } => serde_json::json!({ "event": "output", "line": line }),
            Event::StepEnded(ended) => serde_json::json!({
                "event": "step-ended", "step": ended.name, "outcome": ended.outcome.as_str(), "error": ended.error,
                "summary": ended.summary, "seconds": ended.took.as_secs_f64(),
                "decisions": ended.decisions.iter().map(|record| log::json::record(record, self.sources)).collect::<Vec<_>>(),
                "findings": self.findings(&ended.findings),
            }),
            Event::JobEnded { name, outcome } => {
                serde_json::json!({ "event": "job-ended", "job": name, "outcome": outcome.as_str() })
            }
            Event::Remark { finding } => serde_json::json!({
                "event": "remark", "findings": self.findings(std::slice::from_ref(finding)),
            }),
            Event::Ended(summary) => ended_json(summary),
        };
        ui::json(object);
    }
}

fn ended_json(summary: &Summary) -> serde_json::Value {
    let sessions: Vec<_> = summary
        .sessions
        .iter()
        .map(|session| serde_json::json!({ "role": session.role, "subject": session.subject }))
        .collect();
    let images: Vec<_> = summary
        .images
        .iter()
        .map(|image| {
            serde_json::json!({
                "repository": image.repository, "digest": image.digest, "tags": image.tags,
                "size_in_bytes": image.size_in_bytes,
            })
        })
        .collect();
    let services: Vec<_> = summary
        .services
        .iter()
        .map(|service| {
            serde_json::json!({
                "service": service.name, "task_definition": service.definition, "desired": service.desired,
                "running": service.running, "rollout": service.state, "deployment": service.deployed,
                "events": service.events, "addresses": service.addresses, "not_run": service.not_run,
            })
        })
        .collect();
    serde_json::json!({
        "event": "ended", "success": summary.works(), "jobs": summary.jobs, "steps": summary.steps,
        "calls": summary.calls, "refused": summary.refused, "sessions": sessions, "images": images,
        "services": services, "not_run": summary.not_run,
        "seconds": summary.took.as_secs_f64(),
    })
}
