//! Actions from folders on this machine: composite ones, JavaScript ones with the machine's Node.js, and those
//! that are containers.
//!
//! GitHub, "Metadata syntax reference"; environment and order as in the open-source runner
//! (`CompositeActionHandler`, `NodeScriptActionHandler`).

mod container;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landfall_check::github::model::{Step, StepBody};
use landfall_check::github::{Action, Object, Runs, Template, Value, load_action};
use landfall_types::{Finding, SourceMap};

use crate::actions;
use crate::containers::Containers;
use crate::event::{Event, Outcome};
use crate::job::{JobRun, Post};
use crate::protocol::{self, Done, Failed, Place, What};
use crate::run::{Executor, Rehearsal};
use crate::script::find_program;
use crate::snapshot;
use crate::stand_ins;
use crate::step::{self, StepEnv};
use crate::text_file;

/// Composite actions inside of each other (the runner's limit).
pub(crate) const DEPTH_MAX: usize = 10;
/// Largest `action.yml`, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What is an action where there is no other file.
const DOCKERFILE: &str = "Dockerfile";
/// Begins the name of an image that is an action.
const IMAGE: &str = "docker://";
/// The names of an action's file, in the order in which they are looked for.
const FILES: [&str; 2] = ["action.yml", "action.yaml"];

/// An action that was found.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) action: Arc<Action>,
    /// Its folder.
    dir: PathBuf,
    /// `OWNER/NAME`; empty for one of the workspace.
    repository: String,
    /// As it is written after `@`.
    reference: String,
}

/// Why there is no action.
pub(crate) enum Fault {
    /// The folder has none.
    Missing(String),
    /// Its file is not valid.
    Invalid(Vec<Finding>),
}

impl Fault {
    fn text(&self, sources: &SourceMap) -> String {
        match self {
            Self::Missing(why) => why.clone(),
            Self::Invalid(findings) => {
                let told = findings.iter().map(|finding| {
                    let place = finding.labels.first().map(|label| sources.place(label.span).to_string());
                    format!("{}: {}", place.unwrap_or_default(), finding.message)
                });
                told.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// What a composite action's steps see of where they run.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) inputs: Value,
    pub(crate) steps: Object,
    /// `env` of the step that uses the action.
    pub(crate) env: StepEnv,
    pub(crate) path: PathBuf,
    pub(crate) repository: String,
    pub(crate) reference: String,
    /// What its steps are called after.
    pub(crate) title: String,
    pub(crate) failed: bool,
}

/// Reads the action of a folder, which messages name in another way.
fn read(sources: &SourceMap, dir: &Path, shown: &Path) -> Result<Action, Fault> {
    let Some(file) = FILES.iter().map(|name| dir.join(name)).find(|file| file.is_file()) else {
        if dir.join(DOCKERFILE).is_file() {
            return Ok(container::of_image(DOCKERFILE));
        }
        // GitHub's words.
        return Err(Fault::Missing(format!(
            "Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '{}'. Did you forget to run actions/checkout before running your local action?",
            dir.display()
        )));
    };
    let error = |why: String| Fault::Missing(format!("{}: {why}", file.display()));
    let text = text_file::read(&file, FILE_BYTES_MAX).map_err(|cause| error(cause.to_string()))?;
    let shown = shown.join(file.file_name().unwrap_or_default()).display().to_string();
    let source = sources.add(shown.strip_prefix("./").unwrap_or(&shown), text.as_str());
    match load_action(source, &text) {
        (Some(action), findings) if findings.is_empty() => Ok(action),
        (_, findings) => Err(Fault::Invalid(findings)),
    }
}

/// `OWNER/NAME[/PATH]@REF` in its parts: repository, path, ref.
fn parts(uses: &str) -> Option<(String, &str, &str)> {
    let (action, reference) = uses.split_once('@')?;
    let mut parts = action.splitn(3, '/');
    let (owner, name) = (parts.next()?, parts.next()?);
    Some((format!("{owner}/{name}"), parts.next().unwrap_or(""), reference))
}

/// The path of an action in the workspace: `./PATH`, or `$/PATH` for the workflow's own repository.
fn local_path(uses: &str) -> Option<&str> {
    uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/"))
}

/// The folder that the user named for an action, or for the repository that holds it.
fn named_dir(rehearsal: &Rehearsal, uses: &str) -> Option<PathBuf> {
    let (repository, path, reference) = parts(uses)?;
    let whole = if path.is_empty() { repository.clone() } else { format!("{repository}/{path}") };
    if let Some(dir) = rehearsal.actions.dir(&whole, reference) {
        return Some(dir.to_owned());
    }
    let dir = rehearsal.actions.dir(&repository, reference);
    dir.or_else(|| rehearsal.remotes.dir(&repository, reference)).map(|dir| dir.join(path))
}

/// Whether an action is Landfall's own here: one that it knows, unless the user has named a folder for it.
pub(crate) fn is_own(rehearsal: &Rehearsal, uses: &str) -> bool {
    (actions::builtin(uses).is_some() || stand_ins::of(uses).is_some())
        && named_dir(rehearsal, uses).is_none()
}

/// Why an action can't be run, as far as that is known before anything runs.
pub(crate) fn unready(
    rehearsal: &Rehearsal,
    uses: &str,
    with: &[(String, String)],
    depth: usize,
) -> Option<String> {
    if is_own(rehearsal, uses) {
        if actions::builtin(uses) == Some(actions::Builtin::BuildPush) {
            return actions::build_push::of_buildx(with).into_iter().next();
        }
        return stand_ins::unready(uses, &(rehearsal.user)("PATH").unwrap_or_default());
    }
    if uses.starts_with(IMAGE) {
        return None;
    }
    let action = match known(rehearsal, uses) {
        Ok(Some(action)) => action,
        Ok(None) => return None,
        Err(why) => return Some(why),
    };
    match &action.runs {
        Runs::Composite { .. } if depth >= DEPTH_MAX => Some(too_deep(uses)),
        Runs::Composite { steps } => steps.iter().find_map(|step| match (&step.body, &step.condition) {
            (StepBody::Uses { uses, .. }, None) => unready(rehearsal, &uses.value, &[], depth + 1),
            _ => None,
        }),
        Runs::JavaScript { using, .. } => {
            let path = (rehearsal.user)("PATH").unwrap_or_default();
            find_program("node", &path).is_none().then(|| without_node(uses, using))
        }
        Runs::Docker { .. } => None,
    }
}

/// The file of an action that is not Landfall's own; none for one of the workspace that isn't there: a step may
/// still make it, or check it out.
fn known(rehearsal: &Rehearsal, uses: &str) -> Result<Option<Action>, String> {
    if let Some(path) = local_path(uses) {
        let dir = rehearsal.snapshot.dir.join(path);
        return match read(&rehearsal.sources, &dir, &rehearsal.repository.join(path)) {
            Ok(action) => Ok(Some(action)),
            Err(Fault::Missing(_)) => Ok(None),
            Err(fault) => Err(fault.text(&rehearsal.sources)),
        };
    }
    let dir = named_dir(rehearsal, uses).ok_or_else(|| actions::unknown(uses))?;
    let action = read(&rehearsal.sources, &dir, &dir);
    action.map(Some).map_err(|fault| format!("`{uses}`: {}", fault.text(&rehearsal.sources)))
}

/// What a step needs of the container engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// That there is one.
    Engine,
    /// An image.
    Image(String),
    /// A builder that takes secrets.
    BuildSecrets,
}

/// What an action needs of the container engine, as far as that is known before anything runs.
pub(crate) fn needs(rehearsal: &Rehearsal, uses: &str, with: &[(String, String)], depth: usize) -> Vec<Need> {
    if let Some(image) = uses.strip_prefix(IMAGE) {
        return vec![Need::Engine, Need::Image(image.to_owned())];
    }
    if is_own(rehearsal, uses) {
        let is_build = actions::builtin(uses) == Some(actions::Builtin::BuildPush);
        let is_secret = |(name, _): &(String, String)| name.to_ascii_lowercase().starts_with("secret");
        let secrets = is_build && with.iter().any(is_secret);
        return [is_build.then_some(Need::Engine), secrets.then_some(Need::BuildSecrets)]
            .into_iter()
            .flatten()
            .collect();
    }
    match known(rehearsal, uses).ok().flatten().map(|action| action.runs) {
        Some(Runs::Docker { image, .. }) => match image.value.strip_prefix(IMAGE) {
            Some(image) => vec![Need::Engine, Need::Image(image.to_owned())],
            None => vec![Need::Engine],
        },
        Some(Runs::Composite { steps }) if depth < DEPTH_MAX => {
            let of_step = |step: &Step| match (&step.body, &step.condition) {
                (StepBody::Uses { uses, .. }, None) => needs(rehearsal, &uses.value, &[], depth + 1),
                _ => Vec::new(),
            };
            steps.iter().flat_map(of_step).collect()
        }
        _ => Vec::new(),
    }
}

fn too_deep(uses: &str) -> String {
    format!("`{uses}` is more than {DEPTH_MAX} composite actions deep")
}

fn without_node(uses: &str, using: &str) -> String {
    format!("`{uses}` runs by {using}, and this machine has no `node`")
}

/// Finds the action of a step. One from elsewhere is copied, so that nothing of it is changed.
///
/// # Errors
/// The text that the step fails with.
pub(crate) fn find(executor: &Executor<'_>, run: &mut JobRun<'_>, uses: &str) -> Result<Local, Failed> {
    let rehearsal = executor.rehearsal;
    let told = |fault: Fault| fault.text(&rehearsal.sources);
    if uses.starts_with(IMAGE) {
        let action = Arc::new(container::of_image(uses));
        let dir = run.folders.workspace.clone();
        return Ok(Local { action, dir, repository: String::new(), reference: String::new() });
    }
    if let Some(path) = local_path(uses) {
        let dir = run.folders.workspace.join(path);
        let action =
            Arc::new(read(&rehearsal.sources, &dir, &rehearsal.repository.join(path)).map_err(told)?);
        return Ok(Local { action, dir, repository: String::new(), reference: String::new() });
    }
    let from = named_dir(rehearsal, uses).ok_or_else(|| actions::unknown(uses))?;
    let (repository, _, reference) = parts(uses).unwrap_or_default();
    let dir = run.folders.actions.join(uses.replace(['@', ':'], "/"));
    if !dir.exists() {
        snapshot::check_out(&from, &dir).map_err(|error| format!("cannot copy `{uses}`: {error}"))?;
    }
    let action = Arc::new(read(&rehearsal.sources, &dir, &from).map_err(told)?);
    Ok(Local { action, dir, repository, reference: reference.to_owned() })
}

/// What was given to an action, and what it takes by default.
struct Given {
    inputs: Vec<(String, String)>,
    notes: Vec<String>,
}

fn given(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    action: &Action,
    with: &[(String, String)],
) -> Result<Given, Failed> {
    let contexts = run.contexts(executor, &[]);
    let (mut inputs, mut notes) = (Vec::new(), Vec::new());
    for input in &action.inputs {
        let name = &input.name.value;
        let said = with.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let (Some(_), Some(message)) = (said, &input.deprecation) {
            notes.push(format!("Warning: Input '{name}' has been deprecated with message: {message}"));
        }
        let value = match (said, &input.default) {
            (Some((_, value)), _) => Some(value.clone()),
            (None, Some(default)) => Some(protocol::text(default, &contexts)?),
            (None, None) => None,
        };
        inputs.extend(value.map(|value| (name.clone(), value)));
    }
    let declared = |name: &str| action.inputs.iter().any(|input| input.name.value.eq_ignore_ascii_case(name));
    let unexpected: Vec<&(String, String)> = with.iter().filter(|(name, _)| !declared(name)).collect();
    // An image by itself has no file that could declare any.
    if action.name.is_empty() && matches!(action.runs, Runs::Docker { .. }) {
        inputs.extend(unexpected.into_iter().cloned());
    } else if !unexpected.is_empty() {
        let quoted =
            |names: Vec<&str>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let said = quoted(unexpected.iter().map(|(name, _)| name.as_str()).collect());
        let valid = quoted(action.inputs.iter().map(|input| input.name.value.as_str()).collect());
        notes.push(format!("Warning: Unexpected input(s) {said}, valid inputs are [{valid}]"));
        if !matches!(action.runs, Runs::Composite { .. }) {
            inputs.extend(unexpected.into_iter().cloned());
        }
    }
    Ok(Given { inputs, notes })
}

/// Inputs as an action's scripts see them: blanks become `_`, hyphens stay.
fn variables(inputs: &[(String, String)]) -> Vec<(String, String)> {
    let name = |name: &str| format!("INPUT_{}", name.replace(' ', "_").to_uppercase());
    inputs.iter().map(|(key, value)| (name(key), value.clone())).collect()
}

/// Values that a script of an action keeps for its later ones.
pub(crate) fn states(states: &[(String, String)]) -> Vec<(String, String)> {
    states.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone())).collect()
}

/// Runs an action as a step.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    (with, step_env): (&[(String, String)], &StepEnv),
    name: &str,
) -> Done {
    let given = match given(executor, run, &local.action, with) {
        Ok(given) => given,
        Err(error) => return Done::without_a_process(Err(error)),
    };
    for note in &given.notes {
        executor.observer.event(Event::Output { line: &run.masks.mask(note) });
    }
    match &local.action.runs {
        Runs::Composite { steps } => {
            let inputs: Object =
                given.inputs.into_iter().map(|(name, value)| (name, Value::Text(value))).collect();
            let scope = Scope {
                inputs: inputs.into(),
                steps: Object::new(),
                env: step_env.clone(),
                path: local.dir.clone(),
                repository: local.repository.clone(),
                reference: local.reference.clone(),
                title: format!("{name} › "),
                failed: false,
            };
            composite(executor, run, &local.action, steps, scope).await
        }
        Runs::JavaScript { .. } | Runs::Docker { .. } => {
            whole(executor, run, step, local, (&given.inputs, step_env), name).await
        }
    }
}

async fn composite(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    action: &Action,
    steps: &[Step],
    scope: Scope,
) -> Done {
    if run.scopes.len() >= DEPTH_MAX {
        return Done::without_a_process(Err(too_deep(&action.name)));
    }
    run.scopes.push(scope);
    for step in steps {
        run.look_at_the_clock(executor);
        Box::pin(step::run(executor, run, step)).await;
    }
    let mut outputs = Vec::new();
    let mut result = Ok(());
    for (name, value) in &action.outputs {
        let Some(template) = value else { continue };
        match protocol::text(template, &run.contexts(executor, &[])) {
            Ok(text) => outputs.push((name.value.clone(), text)),
            Err(error) => result = Err(format!("output `{}`: {error}", name.value)),
        }
    }
    if run.scopes.pop().is_some_and(|scope| scope.failed) {
        result = Err("a step of this action failed".to_owned());
    }
    Done { outputs, ..Done::without_a_process(result) }
}

/// Runs an action that is a program, with what it has before and after.
async fn whole(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    given: Inputs<'_>,
    name: &str,
) -> Done {
    let (Runs::JavaScript { pre, post, .. } | Runs::Docker { pre, post, .. }) = &local.action.runs else {
        return Done::without_a_process(Ok(()));
    };
    let mut kept = run.pre_states.remove(&step.span.start).unwrap_or_default();
    // The runner runs `pre` of a job's own steps before its first one.
    if let (Some((pre, _)), false) = (pre, run.scopes.is_empty() || local.repository.is_empty()) {
        let done = part(executor, run, step, local, given, (Some(pre.as_str()), name), &kept).await;
        kept.extend(done.states.iter().cloned());
        if done.result.is_err() {
            return done;
        }
    }
    let done = part(executor, run, step, local, given, (None, name), &kept).await;
    kept.extend(done.states.iter().cloned());
    if let Some((post, condition)) = post
        && let Ok(what) = what(executor, run, step, local, given, (Some(post.as_str()), name), &kept).await
    {
        let What { program, args, further, place, .. } = what;
        run.posts.push(Post {
            name: format!("Post {name}"),
            program,
            args,
            place,
            further,
            condition: condition.clone(),
            span: step.span,
            step_env: given.1.clone(),
        });
    }
    done
}

/// The inputs of an action, and the variables of its step.
type Inputs<'g> = (&'g [(String, String)], &'g StepEnv);

/// Runs one part of an action: its `pre` or `post` when that is named, else what it is for. `kept` is what its earlier
/// parts have kept.
async fn part(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    given: Inputs<'_>,
    (other, name): (Option<&str>, &str),
    kept: &[(String, String)],
) -> Done {
    match what(executor, run, step, local, given, (other, name), kept).await {
        Ok(what) => step::with_limit(executor, run, step, what, name).await,
        Err(error) => Done::without_a_process(Err(error)),
    }
}

/// The command of one part of an action.
async fn what<'g>(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    given: Inputs<'g>,
    (other, name): (Option<&str>, &str),
    kept: &[(String, String)],
) -> Result<What<'g>, Failed> {
    match &local.action.runs {
        Runs::JavaScript { main, .. } => {
            let further = [variables(given.0), states(kept)].concat();
            script(executor, run, local, other.unwrap_or(main), given.1, further).await
        }
        _ => container::what(executor, run, step, local, given, (other, name), kept).await,
    }
}

/// A command of an action's script.
async fn script<'w>(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    local: &Local,
    file: &str,
    step_env: &'w StepEnv,
    further: Vec<(String, String)>,
) -> Result<What<'w>, Failed> {
    let Runs::JavaScript { using, .. } = &local.action.runs else { return Err("not a script".to_owned()) };
    let file = local.dir.join(file);
    if !file.is_file() {
        return Err(format!("File not found: '{}'", file.display()));
    }
    let (program, place) = match &run.containers {
        Some(containers) if containers.has_program("node").await => (PathBuf::from("node"), Place::Job),
        containers => {
            if containers.as_ref().is_some_and(Containers::has_job) {
                let line = "the job's image has no `node`, and GitHub would bring its own: this action runs outside of it";
                executor.observer.event(Event::Output { line });
            }
            let node = find_program("node", &protocol::path_of(run, step_env));
            (node.ok_or_else(|| without_node(&local.action.name, using))?, Place::Machine)
        }
    };
    let args = vec![file.display().to_string()];
    let dir = run.folders.workspace.clone();
    Ok(What { program, args, dir, step_env, further, limit: Duration::ZERO, place })
}

/// Runs what an action of a job wants to have run before the job's first step.
pub(crate) async fn run_pre(executor: &mut Executor<'_>, run: &mut JobRun<'_>, step: &Step) {
    let StepBody::Uses { uses, with } = &step.body else { return };
    if local_path(&uses.value).is_some() || is_own(executor.rehearsal, &uses.value) {
        return;
    }
    let Ok(local) = find(executor, run, &uses.value) else { return };
    let (Runs::JavaScript { pre: Some((pre, condition)), .. }
    | Runs::Docker { pre: Some((pre, condition)), .. }) = &local.action.runs
    else {
        return;
    };
    let began = std::time::Instant::now();
    let name = format!("Pre {}", step::title(executor, run, step, &[]));
    if !is_due(executor, run, condition.as_ref(), &[]) {
        return;
    }
    let step_env = step::evaluated(executor, run, &step.env, &[]).unwrap_or_default();
    executor.observer.event(Event::StepStarted { name: &name });
    let prepared = step::evaluated(executor, run, with, &step_env)
        .and_then(|with| given(executor, run, &local.action, &with));
    let done = match prepared {
        Ok(given) => {
            let given = (given.inputs.as_slice(), &step_env);
            part(executor, run, step, &local, given, (Some(pre), &name), &[]).await
        }
        Err(error) => Done::without_a_process(Err(error)),
    };
    run.pre_states.insert(step.span.start, done.states);
    let outcome = if done.result.is_ok() { Outcome::Success } else { Outcome::Failure };
    run.failed |= done.result.is_err();
    let asked = crate::teach::Asked::step(step);
    run.tell_end(executor, &name, &asked, (outcome, done.result.err()), began);
}

/// Whether something before or after the steps runs: without a condition always.
pub(crate) fn is_due(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    condition: Option<&Template>,
    step_env: &[(String, String)],
) -> bool {
    let contexts = run.contexts(executor, step_env);
    condition.is_none_or(|condition| condition.evaluate_condition(&contexts).unwrap_or(false))
}
