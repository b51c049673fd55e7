//! What GitHub checks about one call of a workflow: that it is there, that it may be called, and that
//! inputs, secrets and permissions fit together.

use landfall_types::{Finding, Severity, Span, Spanned};

use super::expr::Value;
use super::lines::Lines;
use super::model::{CallJob, Secrets, Workflow};
use super::permissions::{DefaultPermissions, Level, Levels, Origin, Permissions, Scope};
use super::plan::{CalledRef, Descent, File, Granted, LoadFailure, Loaded, RunFacts};
use super::template::{Template, unexpected};
use super::trigger::{CallTrigger, DeclaredSecret, Input};

const RULE: &str = "workflow-call";

/// An input of a called workflow, with what the caller gives for it.
#[derive(Clone, Debug)]
pub struct CalledInput {
    /// As the called file declares it: name, type, default.
    pub declared: Input,
    /// The caller's value.
    pub given: Option<Template>,
}

/// What a called workflow sees of its caller's secrets.
#[derive(Clone, Debug)]
pub enum CalledSecrets {
    /// All of them: `secrets: inherit`.
    Inherit,
    /// The ones that are passed by name.
    Named(Vec<(String, Template)>),
}

impl CalledSecrets {
    pub(super) fn of(declared: &CallTrigger, call: &CallJob) -> Self {
        match &call.secrets {
            Secrets::Inherit(_) => Self::Inherit,
            Secrets::Named(pairs) => {
                let name = |given: &str| {
                    let secret = declared.secrets.iter().find(|secret| same(&secret.name.value, given));
                    secret.map_or(given, |secret| &secret.name.value).to_owned()
                };
                Self::Named(pairs.iter().map(|(key, value)| (name(&key.value), value.clone())).collect())
            }
        }
    }
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

/// Reads `uses` of a call job.
pub(super) fn reference(file: &File, uses: &Spanned<String>) -> Result<CalledRef, Finding> {
    let text = uses.value.as_str();
    if let Some(path) = text.strip_prefix("./").or_else(|| text.strip_prefix("$/")) {
        check_path(file, uses, path)?;
        let path = path.to_owned();
        return Ok(match file.remote {
            false => CalledRef::Local { path },
            true => CalledRef::Remote {
                owner_repo: file.owner_repo.clone(),
                path,
                reference: file.reference.clone(),
            },
        });
    }
    let parts = text.split_once('@').and_then(|(place, reference)| {
        let (owner, rest) = place.split_once('/')?;
        let (name, path) = rest.split_once('/')?;
        let full = [owner, name, path, reference].iter().all(|part| !part.is_empty());
        full.then(|| (format!("{owner}/{name}"), path.to_owned(), reference.to_owned()))
    });
    let Some((owner_repo, path, reference)) = parts else {
        return Err(malformed(file, uses, "invalid value workflow reference: no version specified"));
    };
    check_path(file, uses, &path)?;
    Ok(CalledRef::Remote { owner_repo, path, reference })
}

fn malformed(file: &File, uses: &Spanned<String>, text: &str) -> Finding {
    file.invalid(RULE, uses.span, text).at(uses.span, "this is not a reference to a workflow").help(
        "write OWNER/NAME/.github/workflows/FILE@REF, or ./.github/workflows/FILE for the same repository",
    )
}

/// A workflow lies directly in `.github/workflows` and ends in `.yml` or `.yaml`.
fn check_path(file: &File, uses: &Spanned<String>, path: &str) -> Result<(), Finding> {
    let name = path.strip_prefix(".github/workflows/");
    if name.is_some_and(|name| !name.contains('/') && (name.ends_with(".yml") || name.ends_with(".yaml"))) {
        return Ok(());
    }
    let text = "invalid value workflow reference: workflows must be defined at the top level of the \
                .github/workflows/ directory";
    Err(malformed(file, uses, text))
}

/// How GitHub writes a reference: in full, for local calls with the commit.
pub(super) fn shown(file: &File, called: &CalledRef) -> String {
    match called {
        CalledRef::Local { path } => format!("{}/{path}@{}", file.owner_repo, file.sha),
        CalledRef::Remote { .. } => called.to_string(),
    }
}

pub(super) fn owner<'o>(called: &'o CalledRef, run: &'o RunFacts) -> &'o str {
    match called {
        CalledRef::Local { .. } => run.owner(),
        CalledRef::Remote { owner_repo, .. } => {
            owner_repo.split_once('/').map_or(owner_repo, |(owner, _)| owner)
        }
    }
}

/// The files on the way to a call, as GitHub's messages about called workflows list them.
fn way(file: &File, shown: &str) -> String {
    let quoted: Vec<String> =
        file.chain.iter().map(String::as_str).chain([shown]).map(|name| format!("\"{name}\"")).collect();
    quoted.join(" -> ")
}

pub(super) fn not_loaded(file: &File, step: &Descent<'_>, shown: &str, failure: LoadFailure) -> Vec<Finding> {
    let uses = step.call.uses.span;
    match failure {
        LoadFailure::NotFound { why } => {
            let message = format!(
                "error parsing called workflow {} : workflow was not found. See \
                 https://docs.github.com/actions/learn-github-actions/reusing-workflows\
                 #access-to-reusable-workflows for more information.",
                way(file, shown)
            );
            vec![Finding::error("workflow-not-found", message).at(uses, "this workflow").note(why).help(
                "on GitHub, the repository that holds it must share it: Settings → Actions → General → Access",
            )]
        }
        LoadFailure::Invalid { text, findings } => {
            let lines = Lines::of(&text);
            let place = file.place(uses);
            let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
            errors
                .map(|mut finding| {
                    let at = finding.labels.first().map_or(0, |label| label.span.start as usize);
                    let (line, column) = lines.at(at);
                    finding.message = format!(
                        "The workflow is not valid. In {place}: Error from called workflow {shown} (Line: {line}, \
                         Col: {column}): {}",
                        finding.message
                    );
                    finding.at(uses, "called here")
                })
                .collect()
        }
    }
}

pub(super) fn not_reusable(file: &File, step: &Descent<'_>, shown: &str, loaded: &Loaded) -> Finding {
    let message = format!(
        "error parsing called workflow {} (source branch with sha:{}) : workflow is not reusable as it is \
         missing a `on.workflow_call` trigger",
        way(file, shown),
        loaded.sha
    );
    Finding::error(RULE, message)
        .at(step.call.uses.span, "calls it")
        .at(loaded.workflow.on.span, "`workflow_call` is expected here")
        .help(format!("add `workflow_call:` under `on:` of {}", loaded.workflow.path))
}

/// The most that a called workflow may ask for, and who says so.
pub(super) struct Cap {
    levels: Levels,
    origin: Origin,
}

impl Cap {
    pub fn of(granted: Option<Granted>, setting: DefaultPermissions, trusted: bool) -> Self {
        match granted {
            Some(granted) => Self { levels: granted.levels, origin: granted.origin },
            None => Self { levels: setting.cap(trusted), origin: Origin::Default(setting) },
        }
    }
}

/// Every permission block of a called file that asks for more than the cap.
pub(super) fn excess(
    file: &File,
    step: &Descent<'_>,
    shown: &str,
    called: &Workflow,
    cap: &Cap,
) -> Vec<Finding> {
    let root = called.permissions.iter().map(|block| (None, block));
    let nested = called
        .jobs
        .iter()
        .filter_map(|job| job.permissions.as_ref().map(|block| (Some(job.id.value.as_str()), block)));
    root.chain(nested)
        .filter_map(|(job, block)| {
            let beyond = block.levels.beyond(&cap.levels);
            (!beyond.is_empty()).then(|| excess_finding(file, step, shown, cap, (job, block, &beyond)))
        })
        .collect()
}

fn excess_finding(
    file: &File,
    step: &Descent<'_>,
    shown: &str,
    cap: &Cap,
    (job, block, beyond): (Option<&str>, &Permissions, &[Scope]),
) -> Finding {
    let (requested, allowed) = (block.levels.text(beyond), cap.levels.text(beyond));
    let who = job.map_or_else(|| "The workflow".to_owned(), |job| format!("The nested job '{job}'"));
    let text = format!(
        "Error calling workflow '{shown}'. {who} is requesting '{requested}', but is only allowed '{allowed}'."
    );
    let (requested, allowed) = (some(&block.levels, beyond), some(&cap.levels, beyond));
    let mut finding = file
        .invalid("permissions-exceeded", step.job.id.span, &text)
        .at(step.job.id.span, format!("this job allows what it calls no more than `{allowed}`"));
    let place = beyond.first().map_or(block.span, |scope| block.place(*scope));
    finding = finding.at(place, format!("the called workflow asks for `{requested}` here"));
    match cap.origin {
        Origin::Default(setting) => {
            finding = finding.note(format!(
                "neither job `{}` nor {} sets `permissions`, so {} holds; it never covers more than `{allowed}`",
                step.job.id.value,
                file.workflow.path,
                setting.name()
            ));
        }
        origin => {
            if let Some(span) = origin.span() {
                finding = finding.at(span, "this block decides; scopes that it does not name are `none`");
            }
        }
    }
    finding.help(help(file, step, cap, block))
}

/// The first few of many permissions.
fn some(levels: &Levels, scopes: &[Scope]) -> String {
    const SHOWN: usize = 4;
    let text = levels.text(scopes.get(..SHOWN).unwrap_or(scopes));
    match scopes.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Which lines to add, and where.
fn help(file: &File, step: &Descent<'_>, cap: &Cap, block: &Permissions) -> String {
    let (path, job) = (&file.workflow.path, &step.job.id.value);
    if let Some(shorthand) = block.shorthand {
        return format!(
            "let the called workflow name only the permissions that it needs instead of `{shorthand}`, or give \
             job `{job}` in {path} `permissions: {shorthand}`"
        );
    }
    let mut needed: Vec<String> = Vec::new();
    for scope in Scope::all() {
        let level = block.levels.get(scope);
        let has = cap.levels.get(scope);
        // Where there is no block yet, the new one has to repeat what the job should keep.
        let wanted = if matches!(cap.origin, Origin::Default(_)) { level > Level::None } else { level > has };
        if wanted {
            needed.push(format!("`{}: {}`", scope.name(), level.as_str()));
        }
    }
    let lines = needed.join(" and ");
    match cap.origin {
        Origin::Job(_) => format!("add {lines} to `permissions` of job `{job}` in {path}"),
        Origin::Workflow(_) => format!("add {lines} to the top-level `permissions` of {path}"),
        Origin::Caller(_) => format!("add {lines} to the `permissions` of the job that calls {path}"),
        Origin::Default(_) => format!("give job `{job}` in {path} a `permissions` block with {lines}"),
    }
}

/// Inputs and secrets that do not fit what the called file declares.
pub(super) fn mismatches(
    file: &File,
    step: &Descent<'_>,
    declared: &CallTrigger,
    called: &Workflow,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, value) in &step.call.with {
        match declared.inputs.iter().find(|input| same(&input.name.value, &key.value)) {
            None => findings.push(undeclared(file, "input", key, value, called, {
                declared.inputs.iter().map(|input| input.name.value.as_str()).collect()
            })),
            Some(input) => findings.extend(wrong_type(file, input, value)),
        }
    }
    for input in declared.inputs.iter().filter(|input| input.required) {
        if !step.call.with.iter().any(|(key, _)| same(&key.value, &input.name.value)) {
            findings.push(missing(file, step, "Input", "with", &input.name));
        }
    }
    if let Secrets::Named(given) = &step.call.secrets {
        secret_mismatches(file, step, given, &declared.secrets, called, &mut findings);
    }
    findings
}

fn secret_mismatches(
    file: &File,
    step: &Descent<'_>,
    given: &[(Spanned<String>, Template)],
    declared: &[DeclaredSecret],
    called: &Workflow,
    findings: &mut Vec<Finding>,
) {
    for (key, value) in given {
        // GITHUB_TOKEN is passed on its own.
        let known = declared.iter().any(|secret| same(&secret.name.value, &key.value));
        if !known {
            let names = declared.iter().map(|secret| secret.name.value.as_str()).collect();
            findings.push(undeclared(file, "secret", key, value, called, names));
        }
    }
    for secret in declared.iter().filter(|secret| secret.required) {
        if !given.iter().any(|(key, _)| same(&key.value, &secret.name.value)) {
            findings.push(missing(file, step, "Secret", "secrets", &secret.name));
        }
    }
}

fn undeclared(
    file: &File,
    kind: &str,
    key: &Spanned<String>,
    value: &Template,
    called: &Workflow,
    names: Vec<&str>,
) -> Finding {
    let text = format!("Invalid {kind}, {} is not defined in the referenced workflow.", key.value);
    let declared = match names.as_slice() {
        [] => format!("{} declares no {kind}", called.path),
        names => format!("{} declares {}", called.path, names.join(", ")),
    };
    let at = called.on.event("workflow_call").map_or(called.on.span, |trigger| trigger.name.span);
    file.invalid(RULE, value.span, &text)
        .at(key.span, format!("this {kind} is not declared"))
        .at(at, declared)
        .help(format!(
            "declare `{}` under `on.workflow_call.{kind}s` of {}, or do not pass it",
            key.value, called.path
        ))
}

fn missing(file: &File, step: &Descent<'_>, kind: &str, key: &str, name: &Spanned<String>) -> Finding {
    let text = format!("{kind} {} is required, but not provided while calling.", name.value);
    file.invalid(RULE, step.call.uses.span, &text)
        .at(step.call.uses.span, format!("this call does not pass `{}`", name.value))
        .at(name.span, "required here")
        .help(format!("add `{}: …` under `{key}` of job `{}`", name.value, step.job.id.value))
}

fn wrong_type(file: &File, input: &Input, value: &Template) -> Option<Finding> {
    let literal: &Value = value.as_literal()?;
    if input.kind.convert(literal).is_some() {
        return None;
    }
    let span: Span = value.span;
    Some(
        file.invalid(RULE, span, &unexpected(&value.text))
            .at(span, format!("a {} is expected", input.kind.as_str()))
            .at(input.name.span, format!("`{}` is declared as a {}", input.name.value, input.kind.as_str())),
    )
}

pub(super) fn inputs(declared: &CallTrigger, call: &CallJob) -> Vec<CalledInput> {
    let given = |name: &str| call.with.iter().find(|(key, _)| same(&key.value, name)).map(|(_, value)| value);
    declared
        .inputs
        .iter()
        .map(|input| CalledInput { declared: input.clone(), given: given(&input.name.value).cloned() })
        .collect()
}
