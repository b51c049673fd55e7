//! `on:`: what starts a workflow, and whether one event does.
//!
//! GitHub, "Events that trigger workflows" and "Workflow syntax", `on`; keys and activity types as in
//! GitHub's published schema `workflow-v1.0.json`.

use landfall_types::{Finding, Span, Spanned};

use super::expr::{Object, Value};
use super::glob::Glob;
use super::template::Template;

/// The `on:` of a workflow.
#[derive(Clone, Debug)]
pub struct Triggers {
    /// Each event in written order.
    pub events: Vec<Trigger>,
    /// Where the value stands.
    pub span: Span,
}

/// One event under `on:`.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// `push`, `pull_request`, …
    pub name: Spanned<String>,
    /// `types`
    pub types: Vec<Spanned<String>>,
    /// `branches` or `branches-ignore`
    pub branches: Option<Filter>,
    /// `tags` or `tags-ignore`
    pub tags: Option<Filter>,
    /// `paths` or `paths-ignore`
    pub paths: Option<Filter>,
    /// `workflow_dispatch.inputs`
    pub dispatch_inputs: Vec<Input>,
    /// `cron` of each entry of `schedule`.
    pub schedules: Vec<Spanned<String>>,
    /// `workflows` of `workflow_run`.
    pub workflows: Vec<Spanned<String>>,
    /// What `workflow_call` declares; present only on that event.
    pub call: Option<CallTrigger>,
}

/// A list of patterns.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The key it stands under, with its place: `branches`, `branches-ignore`, …
    pub key: Spanned<String>,
    /// The patterns.
    pub patterns: Vec<Spanned<String>>,
    /// Whether a match keeps the workflow out.
    pub ignore: bool,
}

impl Filter {
    /// Whether a name passes. The last pattern that matches decides; `!` turns one around.
    pub fn lets(&self, name: &str) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            match pattern.value.strip_prefix('!') {
                Some(rest) if Glob::parse(rest).fits(name) => matched = false,
                None if Glob::parse(&pattern.value).fits(name) => matched = true,
                _ => {}
            }
        }
        matched != self.ignore
    }

    fn text(&self) -> String {
        let patterns: Vec<&str> = self.patterns.iter().map(|pattern| pattern.value.as_str()).collect();
        format!("`{}: [{}]`", self.key.value, patterns.join(", "))
    }
}

/// What `workflow_call` declares.
#[derive(Clone, Debug, Default)]
pub struct CallTrigger {
    /// Inputs in written order.
    pub inputs: Vec<Input>,
    /// Secrets in written order.
    pub secrets: Vec<DeclaredSecret>,
    /// Outputs: name and value.
    pub outputs: Vec<(Spanned<String>, Template)>,
}

/// An input of `workflow_dispatch` or `workflow_call`.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name; names compare without case.
    pub name: Spanned<String>,
    /// Its type.
    pub kind: InputKind,
    /// Whether a value must be given.
    pub required: bool,
    /// The value when none is given.
    pub default: Option<Template>,
    /// What `type: choice` offers.
    pub options: Vec<Spanned<String>>,
    /// `description`
    pub description: Option<String>,
}

impl Input {
    /// The value when there is neither a given one nor a default: `""`, `0` or `false`.
    pub fn empty(&self) -> Value {
        match self.kind {
            InputKind::Number => Value::Number(0.0),
            InputKind::Boolean => Value::Bool(false),
            _ => Value::Text(String::new()),
        }
    }
}

/// The type of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InputKind {
    /// `string`
    Text,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
    /// `choice` (`workflow_dispatch` only)
    Choice,
    /// `environment` (`workflow_dispatch` only)
    Environment,
}

impl InputKind {
    /// The word in a workflow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Choice => "choice",
            Self::Environment => "environment",
        }
    }

    /// A given value as one of this type; none when it does not fit.
    pub fn convert(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (_, Value::List(_) | Value::Object(_)) => None,
            (Self::Boolean, Value::Bool(_)) | (Self::Number, Value::Number(_)) => Some(value.clone()),
            (Self::Boolean, Value::Text(text)) if text.eq_ignore_ascii_case("true") => {
                Some(Value::Bool(true))
            }
            (Self::Boolean, Value::Text(text)) if text.eq_ignore_ascii_case("false") => {
                Some(Value::Bool(false))
            }
            (Self::Number, Value::Text(text)) => {
                let number = Value::Text(text.clone()).to_number();
                (!number.is_nan()).then_some(Value::Number(number))
            }
            (Self::Boolean | Self::Number, _) => None,
            (Self::Text | Self::Choice | Self::Environment, _) => Some(Value::Text(value.to_text())),
        }
    }
}

/// A secret that a called workflow declares.
#[derive(Clone, Debug)]
pub struct DeclaredSecret {
    /// Its name.
    pub name: Spanned<String>,
    /// Whether the caller must pass it.
    pub required: bool,
}

/// The event that starts a run.
#[derive(Clone, PartialEq, Debug)]
pub struct EventFacts {
    /// `push`, `pull_request`, …
    pub name: String,
    /// The activity, such as `opened`, or the `cron` of a schedule; none stands for one that the workflow listens
    /// to.
    pub action: Option<String>,
    /// `github.ref`: `refs/heads/main`, `refs/tags/v1`, `refs/pull/7/merge`.
    pub git_ref: String,
    /// The branch a pull request goes to; empty for other events.
    pub base_ref: String,
    /// The branch a pull request comes from; empty for other events.
    pub head_ref: String,
    /// The changed files, when they are known. Unknown ones pass every `paths` filter.
    pub changed_paths: Option<Vec<String>>,
}

impl EventFacts {
    /// An event on a full ref.
    pub fn new(name: impl Into<String>, git_ref: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            action: None,
            git_ref: git_ref.into(),
            base_ref: String::new(),
            head_ref: String::new(),
            changed_paths: None,
        }
    }

    /// A push to a full ref.
    pub fn push(git_ref: impl Into<String>) -> Self {
        Self::new("push", git_ref)
    }

    /// A `pull_request`: its ref is `refs/pull/NUMBER/merge`.
    pub fn pull_request(number: u64, base: impl Into<String>, head: impl Into<String>) -> Self {
        Self {
            base_ref: base.into(),
            head_ref: head.into(),
            ..Self::new("pull_request", format!("refs/pull/{number}/merge"))
        }
    }

    /// A `pull_request_target`: it runs on the default branch, whatever the request's base is.
    pub fn pull_request_target(
        default_branch: &str,
        base: impl Into<String>,
        head: impl Into<String>,
    ) -> Self {
        Self {
            base_ref: base.into(),
            head_ref: head.into(),
            ..Self::new("pull_request_target", format!("refs/heads/{default_branch}"))
        }
    }

    /// The branch of `git_ref`.
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/heads/")
    }

    /// The tag of `git_ref`.
    pub fn tag(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/tags/")
    }

    /// `github.ref_name`: the ref without its kind.
    pub fn ref_name(&self) -> &str {
        let rest = self.branch().or(self.tag()).or_else(|| self.git_ref.strip_prefix("refs/pull/"));
        rest.unwrap_or(&self.git_ref)
    }

    /// `branch` or `tag`; pull requests count as branches.
    pub fn ref_type(&self) -> &'static str {
        if self.tag().is_some() { "tag" } else { "branch" }
    }
}

impl Triggers {
    /// The trigger of an event.
    pub fn event(&self, name: &str) -> Option<&Trigger> {
        self.events.iter().find(|trigger| trigger.name.value == name)
    }

    /// What `workflow_call` declares, when the workflow may be called.
    pub fn call(&self) -> Option<&CallTrigger> {
        self.event("workflow_call").and_then(|trigger| trigger.call.as_ref())
    }
}

/// Whether an event starts a workflow.
///
/// # Errors
/// A finding that names the line that keeps the workflow out.
pub fn starts(on: &Triggers, event: &EventFacts) -> Result<(), Finding> {
    let Some(trigger) = on.event(&event.name) else {
        let names: Vec<&str> = on.events.iter().map(|trigger| trigger.name.value.as_str()).collect();
        let finding = Finding::error(
            "workflow-not-triggered",
            format!("`{}` does not start this workflow", event.name),
        )
        .at(on.span, format!("it starts on {}", names.join(", ")));
        return Err(match super::read_on::names().any(|known| known == event.name) {
            true => finding.help(format!("add `{}` under `on:`, or choose another event", event.name)),
            false => {
                let all: Vec<&str> = super::read_on::names().collect();
                finding.help(format!("GitHub has no event `{}`; there is {}", event.name, all.join(", ")))
            }
        });
    };
    types(trigger, event)?;
    match event.name.as_str() {
        "push" => push(trigger, event)?,
        "pull_request" | "pull_request_target" => {
            if let Some(filter) = trigger.branches.as_ref().filter(|filter| !filter.lets(&event.base_ref)) {
                return Err(kept_out(filter, &format!("pull requests into `{}`", event.base_ref)));
            }
        }
        "merge_group" => {
            let branch = merge_base(event);
            if let Some(filter) = trigger.branches.as_ref().filter(|filter| !filter.lets(branch)) {
                return Err(kept_out(filter, &format!("merge groups into `{branch}`")));
            }
        }
        _ => {}
    }
    paths(trigger, event)
}

/// The base branch of a merge group: its ref is `refs/heads/gh-readonly-queue/BASE/pr-N-SHA`.
fn merge_base(event: &EventFacts) -> &str {
    let queued = event.git_ref.strip_prefix("refs/heads/gh-readonly-queue/");
    let base = queued.and_then(|rest| rest.rsplit_once("/pr-")).map(|(base, _)| base);
    base.or(event.branch()).unwrap_or("")
}

fn kept_out(filter: &Filter, what: &str) -> Finding {
    Finding::error("workflow-not-triggered", format!("{} keeps out {what}", filter.text()))
        .at(filter.key.span, "this filter decides")
        .help("choose an event that passes the filter, or change the filter")
}

/// What a `pull_request` listens to when it names no types ("Events that trigger workflows").
const PULL_REQUEST_TYPES: [&str; 3] = ["opened", "synchronize", "reopened"];

fn types(trigger: &Trigger, event: &EventFacts) -> Result<(), Finding> {
    let Some(action) = &event.action else { return Ok(()) };
    if event.name == "schedule" {
        return schedules(trigger, action);
    }
    let is_pull_request = matches!(event.name.as_str(), "pull_request" | "pull_request_target");
    let listens = match trigger.types.as_slice() {
        [] if is_pull_request => PULL_REQUEST_TYPES.contains(&action.as_str()),
        [] => true,
        types => types.iter().any(|kind| kind.value == *action),
    };
    if listens {
        return Ok(());
    }
    let span = trigger.types.first().map_or(trigger.name.span, |first| {
        trigger.types.iter().fold(first.span, |span, kind| span.to(kind.span))
    });
    let listed: Vec<&str> = match trigger.types.as_slice() {
        [] => PULL_REQUEST_TYPES.to_vec(),
        types => types.iter().map(|kind| kind.value.as_str()).collect(),
    };
    Err(Finding::error(
        "workflow-not-triggered",
        format!("`{}` with the activity `{action}` does not start this workflow", event.name),
    )
    .at(span, format!("it listens to {}", listed.join(", ")))
    .help(format!("add `{action}` to `types`, or choose another activity")))
}

fn schedules(trigger: &Trigger, cron: &str) -> Result<(), Finding> {
    if trigger.schedules.iter().any(|known| known.value == cron) {
        return Ok(());
    }
    let known: Vec<&str> = trigger.schedules.iter().map(|known| known.value.as_str()).collect();
    Err(Finding::error(
        "workflow-not-triggered",
        format!("the schedule `{cron}` does not start this workflow"),
    )
    .at(trigger.name.span, format!("it starts at {}", known.join(", ")))
    .help("choose one of its schedules"))
}

/// Only branch filters: tags do not start it. Only tag filters: branches do not.
fn push(trigger: &Trigger, event: &EventFacts) -> Result<(), Finding> {
    let (own, other, name, what) = match (event.tag(), event.branch()) {
        (Some(tag), _) => (&trigger.tags, &trigger.branches, tag, "tag"),
        (None, branch) => (&trigger.branches, &trigger.tags, branch.unwrap_or(&event.git_ref), "branch"),
    };
    match (own, other) {
        (Some(filter), _) if !filter.lets(name) => Err(kept_out(filter, &format!("the {what} `{name}`"))),
        (None, Some(filter)) => {
            let key = if what == "tag" { "tags" } else { "branches" };
            Err(Finding::error(
                "workflow-not-triggered",
                format!("with `{}` alone, a push of the {what} `{name}` does not start it", filter.key.value),
            )
            .at(filter.key.span, format!("the only filter of refs; there is none for {key}"))
            .help(format!("add `{key}: ['{name}']` beside it")))
        }
        _ => Ok(()),
    }
}

/// Path filters are not looked at for tags ("Workflow syntax", `on.push.paths`).
fn paths(trigger: &Trigger, event: &EventFacts) -> Result<(), Finding> {
    let (Some(filter), Some(changed), None) = (&trigger.paths, &event.changed_paths, event.tag()) else {
        return Ok(());
    };
    if changed.iter().any(|path| filter.lets(path)) {
        return Ok(());
    }
    Err(kept_out(filter, &format!("a change of {} files, none of which counts", changed.len())))
}

/// The `inputs` context of a `workflow_dispatch` run, typed, from what was given on the command line or in
/// the form. The strings of `github.event.inputs` are the same values as text.
///
/// # Errors
/// One finding for each input that is undeclared, missing or not of its type, in the words of GitHub's API.
pub fn dispatch_inputs(on: &Triggers, given: &[(String, String)]) -> Result<Object, Vec<Finding>> {
    let declared = on.event("workflow_dispatch").map_or(&[][..], |trigger| &trigger.dispatch_inputs);
    let mut findings = Vec::new();
    for (name, _) in given {
        if !declared.iter().any(|input| input.name.value.eq_ignore_ascii_case(name)) {
            let names: Vec<&str> = declared.iter().map(|input| input.name.value.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            findings.push(
                Finding::error("dispatch-inputs", format!("Unexpected inputs provided: [\"{name}\"]"))
                    .at(on.span, format!("`workflow_dispatch` declares these inputs: {known}")),
            );
        }
    }
    let mut inputs = Object::new();
    for input in declared {
        let value = given.iter().find(|(name, _)| name.eq_ignore_ascii_case(&input.name.value));
        match dispatch_value(input, value.map(|(_, value)| value.as_str())) {
            Ok(value) => inputs.set(input.name.value.clone(), value),
            Err(finding) => findings.push(finding),
        }
    }
    if findings.is_empty() { Ok(inputs) } else { Err(findings) }
}

fn dispatch_value(input: &Input, given: Option<&str>) -> Result<Value, Finding> {
    let name = &input.name.value;
    let default = input.default.as_ref().and_then(Template::as_literal);
    let value = match (given, default) {
        (Some(text), _) => Value::from(text),
        (None, Some(value)) => value.clone(),
        (None, None) if input.required => {
            return Err(Finding::error("dispatch-inputs", format!("Required input '{name}' not provided"))
                .at(input.name.span, "this input is required and has no default")
                .help(format!("give it: --input {name}=VALUE")));
        }
        (None, None) => match input.options.first() {
            Some(first) => Value::from(first.value.as_str()),
            None => return Ok(input.empty()),
        },
    };
    let text = value.to_text();
    if input.kind == InputKind::Choice && !input.options.iter().any(|option| option.value == text) {
        let options: Vec<&str> = input.options.iter().map(|option| option.value.as_str()).collect();
        return Err(Finding::error(
            "dispatch-inputs",
            format!("Provided value '{text}' for input '{name}' not in the list of allowed values"),
        )
        .at(input.name.span, format!("the values are {}", options.join(", "))));
    }
    input.kind.convert(&value).ok_or_else(|| {
        Finding::error(
            "dispatch-inputs",
            format!("input '{name}' is a {}, and '{text}' is not one", input.kind.as_str()),
        )
        .at(input.name.span, "declared here")
    })
}
