//! One step: its condition, its environment, what it runs, and what it leaves behind by GitHub's
//! file protocol.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use landfall_check::github::commands::{Command, CommandReader, Loudness};
use landfall_check::github::model::{Step, StepBody};
use landfall_check::github::{self, ExprError, Object, Pairs, Template, Value, files};

use crate::actions::{self, Builtin, Invocation};
use crate::event::{Event, Outcome};
use crate::home;
use crate::job::{JobRun, Post, runner};
use crate::payload;
use crate::process::{self, Ended, Process};
use crate::run::Executor;
use crate::snapshot;
use crate::teach::Asked;

/// What GitHub gives a job when it says nothing, in minutes.
const TIMEOUT_MINUTES_DEFAULT: f64 = 360.0;
/// Largest file that a step may write for the runner, in bytes.
const COMMAND_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a step is doing when it fails, for its own message.
type Failed = String;

/// What a step hands on.
#[derive(Default)]
struct Left {
    outputs: Vec<(String, String)>,
}

/// Runs a step and tells about it.
pub(crate) async fn run(executor: &mut Executor<'_>, run: &mut JobRun<'_>, index: usize, step: &Step) {
    let began = Instant::now();
    let name = title(executor, run, step);
    let mut asked = Asked::step(step);
    match is_due(executor, run, step) {
        Ok(true) => {}
        Ok(false) => {
            note(run, step, github::Outcome::Skipped, github::Outcome::Skipped, &[]);
            run.tell_end(executor, &name, &asked, (Outcome::Skipped, None), began);
            return;
        }
        Err(error) => {
            run.failed = true;
            note(run, step, github::Outcome::Failure, github::Outcome::Failure, &[]);
            executor.observer.event(Event::StepStarted { name: &name });
            run.tell_end(executor, &name, &asked, (Outcome::Failure, Some(error.to_string())), began);
            return;
        }
    }
    executor.observer.event(Event::StepStarted { name: &name });
    let mut left = Left::default();
    let result = carry_out(executor, run, index, step, &mut asked, &mut left).await;
    let failed = result.is_err();
    let forgiven = failed && is_forgiven(executor, run, step);
    let outcome = if failed { github::Outcome::Failure } else { github::Outcome::Success };
    let conclusion = if failed && !forgiven { github::Outcome::Failure } else { github::Outcome::Success };
    run.failed |= failed && !forgiven;
    note(run, step, outcome, conclusion, &left.outputs);
    let shown = if failed { Outcome::Failure } else { Outcome::Success };
    let error = result.err().map(|error| run.masks.mask(&error));
    run.tell_end(executor, &name, &asked, (shown, error), began);
    stretch(executor, step, &name);
}

/// Lets the AWS side's time go on as if the step had taken that long.
fn stretch(executor: &Executor<'_>, step: &Step, name: &str) {
    for (wanted, seconds) in &executor.rehearsal.stretch {
        let by_id = step.id.as_ref().is_some_and(|id| id.value == *wanted);
        if by_id || name.eq_ignore_ascii_case(wanted) {
            executor.rehearsal.world.clock.advance(*seconds);
        }
    }
}

fn title(executor: &Executor<'_>, run: &JobRun<'_>, step: &Step) -> String {
    let named = step.name.as_ref().and_then(|name| name.evaluate_text(&run.contexts(executor, &[])).ok());
    run.masks.mask(&named.unwrap_or_else(|| step.title()))
}

fn is_due(executor: &Executor<'_>, run: &JobRun<'_>, step: &Step) -> Result<bool, ExprError> {
    match &step.condition {
        None => Ok(!run.failed),
        Some(condition) => condition.evaluate_condition(&run.contexts(executor, &[])),
    }
}

fn is_forgiven(executor: &Executor<'_>, run: &JobRun<'_>, step: &Step) -> bool {
    let forgiving = step.continue_on_error.as_ref();
    forgiving.is_some_and(|template| template.evaluate_bool(&run.contexts(executor, &[])).unwrap_or(false))
}

/// Puts the step into the `steps` context.
fn note(
    run: &mut JobRun<'_>,
    step: &Step,
    outcome: github::Outcome,
    conclusion: github::Outcome,
    outputs: &[(String, String)],
) {
    let Some(id) = &step.id else { return };
    let object = Object::new()
        .with("outputs", crate::run::pairs(outputs))
        .with("outcome", Value::Text(outcome.as_str().to_owned()))
        .with("conclusion", Value::Text(conclusion.as_str().to_owned()));
    run.steps.set(id.value.as_str(), Value::Object(object.into()));
}

async fn carry_out(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    index: usize,
    step: &Step,
    asked: &mut Asked,
    left: &mut Left,
) -> Result<(), Failed> {
    let step_env = evaluated(executor, run, &step.env, &[])?;
    match &step.body {
        StepBody::Run { script } => run_script(executor, run, index, step, script, &step_env, left).await,
        StepBody::Uses { uses, with } => {
            let inputs = evaluated(executor, run, with, &step_env)?;
            match actions::builtin(&uses.value) {
                Some(Builtin::Checkout) => check_out(executor, run, &inputs),
                Some(Builtin::ConfigureAwsCredentials) => {
                    asked.is_login(with, &inputs);
                    run.login = Some(asked.clone());
                    let invocation = actions::login(&inputs)?;
                    run_landfall(executor, run, index, step, invocation, &step_env, left).await
                }
                Some(Builtin::EcrLogin) => {
                    let invocation = actions::ecr_login(&inputs)?;
                    run_landfall(executor, run, index, step, invocation, &step_env, left).await
                }
                None => Err(format!(
                    "`{}` is not rehearsed yet: of all actions, checkout, configure-aws-credentials and amazon-ecr-login are",
                    uses.value
                )),
            }
        }
        StepBody::Unmodelled { key, .. } => Err(format!("a step with `{}` is not rehearsed yet", key.value)),
    }
}

fn evaluated(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    templates: &Pairs,
    step_env: &[(String, String)],
) -> Result<Vec<(String, String)>, Failed> {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, template) in templates {
        let value =
            template.evaluate_text(&run.contexts(executor, step_env)).map_err(|error| error.to_string())?;
        values.push((name.value.clone(), value));
    }
    Ok(values)
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

/// The whole environment of a step. Later entries win; `GITHUB_*` and `RUNNER_*` can't be overridden.
fn environment(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    step_env: &[(String, String)],
    files: &CommandFiles,
) -> BTreeMap<String, String> {
    let mut env = run.base_env.clone();
    for (name, value) in run.file_env.iter().chain(&run.written_env).chain(step_env) {
        env.insert(name.clone(), value.clone());
    }
    if !run.paths.is_empty() {
        let path = env.get("PATH").cloned().unwrap_or_default();
        env.insert("PATH".to_owned(), format!("{}:{path}", run.paths.join(":")));
    }
    let facts = &executor.rehearsal.facts;
    let workflow = &run.job.run_workflow;
    for (name, value) in payload::strings(facts, workflow.display_name(), &workflow.path, &run.job.id) {
        env.insert(format!("GITHUB_{}", name.to_ascii_uppercase()), value);
    }
    let text = |path: &Path| path.display().to_string();
    let (os, arch) = runner();
    let own = [
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_ACTION", "__run".to_owned()),
        ("GITHUB_WORKSPACE", text(&run.folders.workspace)),
        ("GITHUB_EVENT_PATH", text(&run.folders.commands.join("event.json"))),
        ("GITHUB_ENV", text(&files.env)),
        ("GITHUB_OUTPUT", text(&files.output)),
        ("GITHUB_PATH", text(&files.path)),
        ("GITHUB_STATE", text(&files.state)),
        ("GITHUB_STEP_SUMMARY", text(&files.summary)),
        ("RUNNER_OS", os.to_owned()),
        ("RUNNER_ARCH", arch.to_owned()),
        ("RUNNER_NAME", "landfall".to_owned()),
        ("RUNNER_ENVIRONMENT", "self-hosted".to_owned()),
        ("RUNNER_TEMP", text(&run.folders.temp)),
        ("RUNNER_TOOL_CACHE", text(&run.folders.temp)),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    for name in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
        env.remove(name);
    }
    if let Some(endpoint) = &run.endpoint {
        env.insert("ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), endpoint.url.clone());
        env.insert("ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned(), endpoint.bearer.expose().clone());
    }
    env
}

/// The files by which a step talks to the runner, new for each step.
struct CommandFiles {
    env: PathBuf,
    output: PathBuf,
    path: PathBuf,
    state: PathBuf,
    summary: PathBuf,
}

impl CommandFiles {
    fn make(run: &mut JobRun<'_>) -> Result<Self, Failed> {
        run.state_count += 1;
        let make = |kind: &str| {
            let file = run.folders.commands.join(format!("{kind}-{}", run.state_count));
            std::fs::write(&file, "").map(|()| file)
        };
        let all = || -> std::io::Result<Self> {
            Ok(Self {
                env: make("env")?,
                output: make("output")?,
                path: make("path")?,
                state: make("state")?,
                summary: make("summary")?,
            })
        };
        all().map_err(|error| format!("cannot make the runner's files: {error}"))
    }
}

async fn run_script(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    index: usize,
    step: &Step,
    script: &Template,
    step_env: &[(String, String)],
    left: &mut Left,
) -> Result<(), Failed> {
    let contexts = run.contexts(executor, step_env);
    let evaluate = |template: &Option<Template>| {
        let evaluated = template.as_ref().map(|template| template.evaluate_text(&contexts)).transpose();
        evaluated.map_err(|error| error.to_string())
    };
    let text = script.evaluate_text(&contexts).map_err(|error| error.to_string())?;
    let registry = executor.rehearsal.world.base_url().trim_start_matches("http://");
    let home_text = home::bring_home(&text, registry)
        .map_err(|host| format!("the script would reach {host}: a rehearsal never talks to the real AWS"))?;
    let first = |levels: [&Option<Template>; 3]| -> Result<Option<String>, Failed> {
        for level in levels {
            if let Some(value) = evaluate(level)?.filter(|value| !value.is_empty()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    };
    let shell = first([&step.shell, &run.body.defaults.shell, &run.job.workflow.defaults.shell])?;
    let dir = first([
        &step.working_directory,
        &run.body.defaults.working_directory,
        &run.job.workflow.defaults.working_directory,
    ])?;
    drop(contexts);
    let dir = dir.map_or_else(|| run.folders.workspace.clone(), |dir| run.folders.workspace.join(dir));
    if !dir.is_dir() {
        return Err(format!(
            "working-directory `{}` is not there: does a checkout come before this step?",
            dir.display()
        ));
    }
    let file = run.folders.commands.join(format!("script-{index}.sh"));
    std::fs::write(&file, home_text).map_err(|error| format!("cannot write the script: {error}"))?;
    let (program, args) =
        shell_command(shell.as_deref(), &file, run.base_env.get("PATH").map_or("", String::as_str))?;
    let process = (program, args, dir, Vec::new());
    run_process(executor, run, step, process, step_env, left).await
}

/// The shell of a `run` step. Without `shell:` it is `bash -e`, and `sh -e` where there is no bash.
/// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell>
fn shell_command(shell: Option<&str>, file: &Path, path: &str) -> Result<(PathBuf, Vec<String>), Failed> {
    let template = match shell {
        None if find_program("bash", path).is_some() => "bash -e {0}",
        None => "sh -e {0}",
        Some("bash") => "bash --noprofile --norc -eo pipefail {0}",
        Some("sh") => "sh -e {0}",
        Some("python") => "python3 {0}",
        Some("pwsh") => "pwsh -command . '{0}'",
        Some(custom) if custom.contains("{0}") => custom,
        Some(other) => {
            return Err(format!(
                "shell `{other}` is not known: give a command with {{0}} for the script's file"
            ));
        }
    };
    let file = file.display().to_string();
    let mut words = template.split_whitespace().map(|word| word.replace("{0}", &file));
    let program = words.next().unwrap_or_default();
    let found =
        find_program(&program, path).ok_or_else(|| format!("shell `{program}` is not on this machine"))?;
    Ok((found, words.collect()))
}

fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    path.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.is_file())
}

async fn run_landfall(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    index: usize,
    step: &Step,
    invocation: Invocation,
    step_env: &[(String, String)],
    left: &mut Left,
) -> Result<(), Failed> {
    for warning in &invocation.warnings {
        executor.observer.event(Event::Output { line: &format!("Warning: {warning}") });
    }
    let program = run.folders.bin.join("landfall");
    let process = (program, invocation.args, run.folders.workspace.clone(), invocation.env);
    let result = run_process(executor, run, step, process, step_env, left).await;
    if let (Ok(()), Some(args)) = (&result, invocation.post) {
        let name = format!("Post {}", title(executor, run, step));
        run.posts.push(Post { name, args, span: step.span });
    }
    let _ = index;
    result
}

/// Program, arguments, folder, and variables beside the step's own.
type What = (PathBuf, Vec<String>, PathBuf, Vec<(String, String)>);

async fn run_process(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    what: What,
    step_env: &[(String, String)],
    left: &mut Left,
) -> Result<(), Failed> {
    let limit = limit(executor, run, step)?;
    let files = CommandFiles::make(run)?;
    let mut env = environment(executor, run, step_env, &files);
    let (program, args, dir, further) = what;
    env.extend(further);
    let process = Process { program, args, env, dir, limit };
    let mut reader = CommandReader::default();
    let masks = &mut run.masks;
    let observer = &mut executor.observer;
    let mut outputs = Vec::new();
    let ended = process::run(&process, &mut |line| {
        if let Some(shown) = look_at(&line, &mut reader, masks, &mut outputs) {
            observer.event(Event::Output { line: &masks.mask(&shown) });
        }
    })
    .await;
    left.outputs.append(&mut outputs);
    let taken = take_over(run, &files, left);
    match ended {
        Ended::Code(0) => taken,
        Ended::Code(code) => Err(format!("Process completed with exit code {code}.")),
        Ended::TimedOut => {
            Err(format!("The step took longer than {} minutes and was stopped.", limit.as_secs() / 60))
        }
        Ended::NotStarted(why) => Err(format!("cannot start: {why}")),
    }
}

fn limit(executor: &Executor<'_>, run: &JobRun<'_>, step: &Step) -> Result<Duration, Failed> {
    let contexts = run.contexts(executor, &[]);
    let minutes = |template: &Option<Template>| {
        template
            .as_ref()
            .map(|template| template.evaluate_number(&contexts))
            .transpose()
            .map_err(|error| error.to_string())
    };
    let own = minutes(&step.timeout_minutes)?;
    let minutes = own.or(minutes(&run.body.timeout_minutes)?).unwrap_or(TIMEOUT_MINUTES_DEFAULT);
    let minutes = if minutes.is_finite() && minutes > 0.0 {
        minutes.min(TIMEOUT_MINUTES_DEFAULT)
    } else {
        TIMEOUT_MINUTES_DEFAULT
    };
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

/// Looks at one line of output: what it asks of the runner is done, what is left of it is shown.
fn look_at(
    line: &str,
    reader: &mut CommandReader,
    masks: &mut github::masks::Masks,
    outputs: &mut Vec<(String, String)>,
) -> Option<String> {
    match reader.line(line) {
        None => Some(line.to_owned()),
        Some(Command::AddMask(value)) => {
            masks.add(&value);
            None
        }
        Some(Command::SetOutput { name, value }) => {
            outputs.push((name, value));
            None
        }
        Some(Command::Annotation(annotation)) => {
            let word = match annotation.loudness {
                Loudness::Error => "Error",
                Loudness::Warning => "Warning",
                Loudness::Notice => "Notice",
            };
            Some(format!("{word}: {}", annotation.message))
        }
        Some(Command::Group(title)) => Some(title),
        Some(Command::Invalid(message)) => Some(format!("Error: {message}")),
        Some(Command::Unsecure { command, .. }) => Some(format!(
            "Error: The `{command}` command is disabled. Please upgrade to using Environment Files."
        )),
        Some(
            Command::SaveState { .. }
            | Command::Debug(_)
            | Command::EndGroup
            | Command::Echo(_)
            | Command::Stop
            | Command::Resume
            | Command::Matcher,
        ) => None,
    }
}

/// Takes over what the step wrote for the runner.
fn take_over(run: &mut JobRun<'_>, files: &CommandFiles, left: &mut Left) -> Result<(), Failed> {
    let read = |file: &Path, name: &str| -> Result<String, Failed> {
        let length = std::fs::metadata(file).map_or(0, |meta| meta.len());
        if length > COMMAND_FILE_BYTES_MAX {
            return Err(format!("{name} has {length} bytes; at most {COMMAND_FILE_BYTES_MAX} are read"));
        }
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))
    };
    let in_file = |name: &str| {
        let name = name.to_owned();
        move |error: files::FileError| {
            format!(
                "Unable to process file command '{name}' successfully: {} (line {})",
                error.message, error.line
            )
        }
    };
    let outputs = files::assignments(&read(&files.output, "GITHUB_OUTPUT")?).map_err(in_file("output"))?;
    left.outputs.extend(outputs);
    for (name, value) in files::environment(&read(&files.env, "GITHUB_ENV")?).map_err(in_file("env"))? {
        run.written_env.retain(|(known, _)| *known != name);
        run.written_env.push((name, value));
    }
    for path in files::paths(&read(&files.path, "GITHUB_PATH")?) {
        run.paths.insert(0, path);
    }
    Ok(())
}

/// Runs what undoes a step after the job's last one. It runs whatever happened before.
pub(crate) async fn run_post(executor: &mut Executor<'_>, run: &mut JobRun<'_>, post: &Post) {
    let began = Instant::now();
    executor.observer.event(Event::StepStarted { name: &post.name });
    let result = async {
        let files = CommandFiles::make(run)?;
        let env = environment(executor, run, &[], &files);
        let process = Process {
            program: run.folders.bin.join("landfall"),
            args: post.args.clone(),
            env,
            dir: run.folders.workspace.clone(),
            limit: Duration::from_secs(60),
        };
        let masks = &run.masks;
        let observer = &mut executor.observer;
        let ended =
            process::run(&process, &mut |line| observer.event(Event::Output { line: &masks.mask(&line) }))
                .await;
        match ended {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => Err(format!("Process completed with exit code {code}.")),
            Ended::TimedOut => Err("took longer than a minute and was stopped".to_owned()),
            Ended::NotStarted(why) => Err(format!("cannot start: {why}")),
        }
    }
    .await;
    run.failed |= result.is_err();
    let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Failure };
    let asked = Asked::at(post.span);
    run.tell_end(executor, &post.name, &asked, (outcome, result.err()), began);
}
