//! One step: its condition, what it runs, and what it leaves behind.

use std::time::{Duration, Instant};

use landfall_check::github::model::{Defaults, Step, StepBody};
use landfall_check::github::{Contexts, Object, Pairs, Runs, Template, Value};

use crate::action::{self, Local};
use crate::actions::{self, Builtin, Invocation};
use crate::containers::Containers;
use crate::docker;
use crate::event::{Event, Outcome};
use crate::flow::pairs;
use crate::home;
use crate::job::{JobRun, Post};
use crate::protocol::{self, Done, Failed, Place, What};
use crate::run::Executor;
use crate::script;
use crate::snapshot;
use crate::stand_ins;
use crate::task_definition;
use crate::teach::Asked;

/// Longest time that undoing something may take.
const POST_LIMIT: Duration = Duration::from_secs(60);

/// A step's own environment, evaluated.
pub(crate) type StepEnv = Vec<(String, String)>;

/// Runs a step and tells about it.
pub(crate) async fn run(executor: &mut Executor<'_>, run: &mut JobRun<'_>, step: &Step) {
    let began = Instant::now();
    run.begin(step);
    let mut asked = Asked::step(step);
    // As the runner does it: a condition sees the step's own variables, so they come first.
    let step_env = evaluated(executor, run, &step.env, &[]);
    let name = title(executor, run, step, step_env.as_deref().unwrap_or_default());
    let due = step_env.and_then(|step_env| Ok((is_due(executor, run, step, &step_env)?, step_env)));
    let step_env = match due {
        Ok((true, step_env)) => step_env,
        Ok((false, _)) => {
            note(run, step, Outcome::Skipped, Outcome::Skipped, &[]);
            run.tell_end(executor, &name, &asked, (Outcome::Skipped, None), began);
            return;
        }
        Err(error) => {
            run.fail();
            note(run, step, Outcome::Failure, Outcome::Failure, &[]);
            executor.observer.event(Event::StepStarted { name: &name });
            run.tell_end(executor, &name, &asked, (Outcome::Failure, Some(error)), began);
            return;
        }
    };
    let local = local(executor, run, step);
    // The steps of a composite action are told before it.
    let is_composite =
        matches!(&local, Some(Ok(local)) if matches!(local.action.runs, Runs::Composite { .. }));
    if !is_composite {
        executor.observer.event(Event::StepStarted { name: &name });
    }
    let done = match local {
        Some(Err(error)) => Done::without_a_process(Err(error)),
        Some(Ok(local)) => use_local(executor, run, step, &local, &step_env, &name).await,
        None => carry_out(executor, run, step, &step_env, &name, &mut asked).await,
    };
    if is_composite {
        executor.observer.event(Event::StepStarted { name: &name });
    }
    run.look_at_the_clock(executor);
    let outcome = match done.result {
        Ok(()) => Outcome::Success,
        Err(_) if done.timed_out && run.outcome() == Outcome::Cancelled => Outcome::Cancelled,
        Err(_) => Outcome::Failure,
    };
    let forgiven = outcome == Outcome::Failure && is_forgiven(executor, run, step, &step_env);
    if outcome == Outcome::Failure && !forgiven {
        run.fail();
    }
    note(run, step, outcome, if forgiven { Outcome::Success } else { outcome }, &done.outputs);
    run.tell_end(executor, &name, &asked, (outcome, done.result.err()), began);
    executor.stretch(step, &name);
}

/// The action of a step that is not Landfall's own.
fn local(executor: &Executor<'_>, run: &mut JobRun<'_>, step: &Step) -> Option<Result<Local, Failed>> {
    let StepBody::Uses { uses, .. } = &step.body else { return None };
    let is_own = action::is_own(executor.rehearsal, &uses.value);
    (!is_own).then(|| action::find(executor, run, &uses.value))
}

async fn use_local(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    step_env: &StepEnv,
    name: &str,
) -> Done {
    let StepBody::Uses { with, .. } = &step.body else { return Done::without_a_process(Ok(())) };
    match evaluated(executor, run, with, step_env) {
        Ok(inputs) => action::run(executor, run, step, local, (&inputs, step_env), name).await,
        Err(error) => Done::without_a_process(Err(error)),
    }
}

/// A step's name, behind those of the composite actions that it is a step of.
pub(crate) fn title(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    step: &Step,
    step_env: &[(String, String)],
) -> String {
    let contexts = run.contexts(executor, step_env);
    let named = step.name.as_ref().and_then(|name| name.evaluate_text(&contexts).ok());
    let title = run.masks.mask(&named.unwrap_or_else(|| step.title()));
    match run.scopes.last() {
        Some(scope) => format!("{}{title}", scope.title),
        None => title,
    }
}

fn is_due(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    step: &Step,
    step_env: &[(String, String)],
) -> Result<bool, Failed> {
    let contexts = run.contexts(executor, step_env);
    match &step.condition {
        None => Ok(contexts.status.success),
        Some(condition) => condition.evaluate_condition(&contexts).map_err(|error| error.to_string()),
    }
}

fn is_forgiven(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    step: &Step,
    step_env: &[(String, String)],
) -> bool {
    let evaluate = |template: &Template| template.evaluate_bool(&run.contexts(executor, step_env));
    step.continue_on_error.as_ref().is_some_and(|template| evaluate(template).unwrap_or(false))
}

/// Puts the step into the `steps` context.
fn note(
    run: &mut JobRun<'_>,
    step: &Step,
    outcome: Outcome,
    conclusion: Outcome,
    outputs: &[(String, String)],
) {
    let Some(id) = &step.id else { return };
    let object = Object::new()
        .with("outputs", pairs(outputs))
        .with("outcome", Value::from(outcome.as_str()))
        .with("conclusion", Value::from(conclusion.as_str()));
    run.steps_mut().set(id.value.as_str(), Value::from(object));
}

async fn carry_out(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    step_env: &StepEnv,
    name: &str,
    asked: &mut Asked,
) -> Done {
    let what = match &step.body {
        StepBody::Run { script } => run_script(executor, run, step, script, step_env),
        StepBody::Uses { uses, with } => match evaluated(executor, run, with, step_env) {
            Err(error) => Err(error),
            Ok(inputs) if let Some(stand_in) = stand_ins::of(&uses.value) => {
                return stand_ins::run(executor, run, step, stand_in, (&inputs, step_env), name).await;
            }
            Ok(inputs) if let Some(builtin) = docker::of(&uses.value) => {
                return docker::run(executor, run, step, builtin, (&inputs, step_env), name).await;
            }
            Ok(inputs)
                if actions::builtin(&uses.value) == Some(Builtin::EcsDeploy)
                    && let Some(error) = task_definition::refused(executor, run, &inputs, step_env).await =>
            {
                Err(error)
            }
            Ok(inputs) => match work(executor, run, &uses.value, with, &inputs, asked) {
                Err(error) => Err(error),
                Ok(Work::CheckOut) => return Done::without_a_process(check_out(executor, run, &inputs)),
                Ok(Work::Render) => return task_definition::run(executor, run, &inputs, step_env).await,
                Ok(Work::Landfall(invocation)) => {
                    let mut done = run_landfall(executor, run, step, invocation, step_env, name).await;
                    if actions::builtin(&uses.value) == Some(Builtin::EcrLogin) {
                        let all = executor.rehearsal.world.registries.all();
                        actions::name_as_in_ecr(&mut done.outputs, &all);
                    }
                    return done;
                }
            },
        },
        StepBody::Unmodelled { key, .. } => Err(format!("a step with `{}` is not rehearsed yet", key.value)),
    };
    match what {
        Ok(what) => with_limit(executor, run, step, what, name).await,
        Err(error) => Done::without_a_process(Err(error)),
    }
}

/// What a step's action is here.
enum Work {
    /// A copy of the repository.
    CheckOut,
    /// A file is written.
    Render,
    /// A command.
    Landfall(Invocation),
}

fn work(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    uses: &str,
    with: &Pairs,
    inputs: &[(String, String)],
    asked: &mut Asked,
) -> Result<Work, Failed> {
    if matches!(actions::builtin(uses), Some(Builtin::EcsRender | Builtin::EcsDeploy)) {
        asked.is_of_ecs(with, inputs);
    }
    match actions::builtin(uses) {
        Some(Builtin::Checkout) => Ok(Work::CheckOut),
        Some(Builtin::ConfigureAwsCredentials) => {
            asked.is_login(with, inputs);
            run.login = Some(asked.clone());
            actions::login(inputs).map(Work::Landfall)
        }
        Some(Builtin::EcrLogin) => actions::ecr_login(inputs).map(Work::Landfall),
        Some(Builtin::EcsRender) => Ok(Work::Render),
        Some(Builtin::EcsDeploy) => {
            task_definition::deployment(run, inputs, executor.rehearsal.deployment_wait).map(Work::Landfall)
        }
        // Docker's own are not for here.
        Some(_) | None => Err(actions::unknown(uses)),
    }
}

pub(crate) fn evaluated(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    templates: &Pairs,
    step_env: &[(String, String)],
) -> Result<Vec<(String, String)>, Failed> {
    let contexts = run.contexts(executor, step_env);
    let value = |template| protocol::text(template, &contexts);
    templates.iter().map(|(name, template)| Ok((name.value.clone(), value(template)?))).collect()
}

fn check_out(
    executor: &mut Executor<'_>,
    run: &JobRun<'_>,
    inputs: &[(String, String)],
) -> Result<(), Failed> {
    let facts = &executor.rehearsal.facts;
    let path = actions::checkout(inputs, &facts.repository, &facts.event.git_ref, &facts.sha)?;
    let to = run.folders.workspace.join(path);
    snapshot::check_out(&executor.rehearsal.snapshot.dir, &to)
        .map_err(|error| format!("cannot check out: {error}"))?;
    let line = format!("{} at {}", facts.repository, facts.sha);
    executor.observer.event(Event::Output { line: &line });
    Ok(())
}

/// The first of the values that are said and not empty: the step's, the job's, the workflow's.
fn first(templates: [&Option<Template>; 3], contexts: &Contexts<'_>) -> Result<Option<String>, Failed> {
    for template in templates.into_iter().flatten() {
        let value = protocol::text(template, contexts)?;
        if !value.is_empty() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn run_script<'w>(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    script: &Template,
    step_env: &'w StepEnv,
) -> Result<What<'w>, Failed> {
    let contexts = run.contexts(executor, step_env);
    let text = protocol::text(script, &contexts)?;
    let text = home::bring_home(&text, &executor.at_home())
        .map_err(|host| format!("the script would reach {host}: a rehearsal never talks to the real AWS"))?;
    // What the job says by default is not for the steps of an action.
    let nothing = Defaults::default();
    let (job, workflow) = match run.scopes.is_empty() {
        true => (&run.body.defaults, &run.job.workflow.defaults),
        false => (&nothing, &nothing),
    };
    let shell = first([&step.shell, &job.shell, &workflow.shell], &contexts)?;
    let dirs = [&step.working_directory, &job.working_directory, &workflow.working_directory];
    let dir = run.folders.workspace.join(first(dirs, &contexts)?.unwrap_or_default());
    drop(contexts);
    let is_inside = run.containers.as_ref().is_some_and(Containers::has_job);
    // The container may have folders that this machine hasn't.
    if !dir.is_dir() && (!is_inside || dir.starts_with(&run.folders.workspace)) {
        return Err(format!(
            "working-directory `{}` is not there: does a checkout come before this step?",
            dir.display()
        ));
    }
    let path = protocol::path_of(run, step_env);
    // In a container nobody looks for bash.
    let shell = shell.or_else(|| is_inside.then(|| "sh".to_owned()));
    let shell = script::shell(shell.as_deref(), &text, &path)?;
    let number = run.next_number();
    let file = run.folders.commands.join(format!("script-{number}{}", shell.ending));
    std::fs::write(&file, &shell.text).map_err(|error| format!("cannot write the script: {error}"))?;
    let (program, args) = if is_inside { shell.words(&file) } else { shell.command(&file, &path)? };
    let place = Place::Job;
    Ok(What { program, args, dir, step_env, further: Vec::new(), limit: Duration::ZERO, place })
}

async fn run_landfall(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    invocation: Invocation,
    step_env: &StepEnv,
    name: &str,
) -> Done {
    for warning in &invocation.warnings {
        let line = run.masks.mask(&format!("Warning: {warning}"));
        executor.observer.event(Event::Output { line: &line });
    }
    let mut done = Done::without_a_process(Ok(()));
    for args in std::iter::once(invocation.args).chain(invocation.then) {
        let named = |args: Vec<String>| task_definition::named(args, &done.outputs);
        let what = What {
            program: run.folders.bin.join("landfall"),
            args: named(args),
            dir: run.folders.workspace.clone(),
            step_env,
            further: invocation.env.clone(),
            limit: Duration::ZERO,
            place: Place::Machine,
        };
        let next = with_limit(executor, run, step, what, name).await;
        let mut outputs = std::mem::take(&mut done.outputs);
        outputs.extend(next.outputs);
        done = Done { outputs, ..next };
        if done.result.is_err() {
            break;
        }
    }
    if let (Ok(()), Some(args)) = (&done.result, invocation.post) {
        let name = format!("Post {name}");
        run.posts.push(Post {
            name,
            program: run.folders.bin.join("landfall"),
            args,
            place: Place::Machine,
            further: Vec::new(),
            condition: None,
            span: step.span,
            step_env: step_env.clone(),
        });
    }
    done
}

/// Runs a command within the step's time and the job's.
pub(crate) async fn with_limit(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    what: What<'_>,
    name: &str,
) -> Done {
    let (limit, own) = match run.limit(executor, step) {
        Ok(limit) => limit,
        Err(error) => return Done::without_a_process(Err(error)),
    };
    let mut done = protocol::execute(executor, run, What { limit, ..what }).await;
    if done.timed_out && own {
        let minutes = limit.as_secs_f64() / 60.0;
        done.result = Err(format!("The action '{name}' has timed out after {minutes} minutes."));
    }
    done
}

/// Runs what undoes a step after the job's last one. It runs whatever happened before, unless the action says
/// otherwise.
pub(crate) async fn run_post(executor: &mut Executor<'_>, run: &mut JobRun<'_>, post: &Post) {
    let began = Instant::now();
    let asked = Asked::at(post.span);
    if !action::is_due(executor, run, post.condition.as_ref(), &post.step_env) {
        run.tell_end(executor, &post.name, &asked, (Outcome::Skipped, None), began);
        return;
    }
    executor.observer.event(Event::StepStarted { name: &post.name });
    let what = What {
        program: post.program.clone(),
        args: post.args.clone(),
        dir: run.folders.workspace.clone(),
        step_env: &post.step_env,
        further: post.further.clone(),
        limit: POST_LIMIT,
        place: post.place.clone(),
    };
    let done = protocol::execute(executor, run, what).await;
    run.failed |= done.result.is_err();
    let outcome = if done.result.is_ok() { Outcome::Success } else { Outcome::Failure };
    run.tell_end(executor, &post.name, &asked, (outcome, done.result.err()), began);
}
