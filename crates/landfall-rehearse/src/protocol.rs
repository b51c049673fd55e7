//! The runner's side of the conversation with a step: its environment, the files that it may write, the
//! commands in its output.
//!
//! GitHub, "Workflow commands for GitHub Actions" and "Variables reference".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_check::github::commands::{Command, CommandReader, Loudness};
use landfall_check::github::{Contexts, Value, files};
use landfall_types::shortened;

use crate::containers::{self, ActionImage};
use crate::event::Event;
use crate::home;
use crate::job::JobRun;
use crate::process::{self, Ended, Process};
use crate::run::Executor;

/// Largest file that a step may write for the runner, in bytes.
const COMMAND_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest line that is shown, in characters, after secrets were taken out of it.
const SHOWN_CHARS_MAX: usize = 8 * 1024;
/// Lets `::set-env::` and `::add-path::` work.
const ALLOW_UNSECURE: &str = "ACTIONS_ALLOW_UNSECURE_COMMANDS";
/// What of the `github` context steps have as a variable, in upper case behind `GITHUB_` (`GitHubContext`
/// in the open-source runner).
const EXPORTED: &[&str] = &[
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

/// Why a step failed, for its own message.
pub(crate) type Failed = String;

/// A command of a step.
pub(crate) struct What<'w> {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) dir: PathBuf,
    /// The step's own `env`, evaluated.
    pub(crate) step_env: &'w [(String, String)],
    /// Variables that no workflow says: the inputs of an action.
    pub(crate) further: Vec<(String, String)>,
    pub(crate) limit: Duration,
    pub(crate) place: Place,
}

impl<'w> What<'w> {
    /// A command on this machine, in the workspace, with the step's own time.
    pub(crate) fn here(
        program: PathBuf,
        args: Vec<String>,
        run: &JobRun<'_>,
        step_env: &'w [(String, String)],
        further: Vec<(String, String)>,
    ) -> Self {
        let dir = run.folders.workspace.clone();
        Self { program, args, dir, step_env, further, limit: Duration::ZERO, place: Place::Machine }
    }
}

/// Where a command runs.
#[derive(Clone, Default, Debug)]
pub(crate) enum Place {
    /// On this machine.
    #[default]
    Machine,
    /// In the job's container, where it has one.
    Job,
    /// In a container of its own: it is an action. The program is the container's entrypoint, where there is one.
    Action(Box<ActionImage>),
}

/// How a command ended, and the outputs that it set until then.
pub(crate) struct Done {
    pub(crate) result: Result<(), Failed>,
    pub(crate) outputs: Vec<(String, String)>,
    /// What it keeps for the action's later scripts.
    pub(crate) states: Vec<(String, String)>,
    pub(crate) timed_out: bool,
}

impl Done {
    /// The end of something that needed no process, or never came to it.
    pub(crate) fn without_a_process(result: Result<(), Failed>) -> Self {
        Self { result, outputs: Vec::new(), states: Vec::new(), timed_out: false }
    }
}

/// Runs a command of a step, and does what it asks of the runner.
pub(crate) async fn execute(executor: &mut Executor<'_>, run: &mut JobRun<'_>, what: What<'_>) -> Done {
    let mut heard = Heard { unsecure: allows_unsecure(run, what.step_env), ..Heard::default() };
    let prepared = CommandFiles::make(run)
        .and_then(|files| Ok((environment(executor, run, what.step_env, &files)?, files)));
    let (mut env, files) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Done::without_a_process(Err(error)),
    };
    env.extend(what.further);
    if let Err(error) = executor.introduce_registries(&run.folders.home, &run.masks) {
        return Done::without_a_process(Err(error));
    }
    let process = Process { program: what.program, args: what.args, env, dir: what.dir, limit: what.limit };
    let placed = match what.place {
        Place::Machine => Ok(process),
        Place::Job => containers::inside(run, process, what.step_env),
        Place::Action(image) => containers::of_action(run, process, what.step_env, &image),
    };
    let process = match placed {
        Ok(process) => process,
        Err(error) => return Done::without_a_process(Err(error)),
    };
    let is_cancelled = run.is_cancelled();
    let JobRun { masks, leftovers, .. } = run;
    let observer = &executor.observer;
    let mut on_line = |line: String| {
        if let Some(shown) = heard.line(&line, masks) {
            observer.event(Event::Output { line: &shortened(&masks.mask(&shown), SHOWN_CHARS_MAX) });
        }
    };
    let ended = tokio::select! {
        ended = process::run(&process, leftovers, &mut on_line) => ended,
        // The process and all that it started end with its future.
        _ = executor.cancel.cancelled(), if !is_cancelled => Ended::TimedOut,
    };
    let introduced = executor.introduce_registries(&run.folders.home, &run.masks);
    let taken = heard.take_over(run, &files).and(introduced);
    let timed_out = ended == Ended::TimedOut;
    let result = match ended {
        Ended::Code(0) => taken,
        Ended::Code(code) => Err(format!("Process completed with exit code {code}.")),
        Ended::TimedOut => Err("The operation was canceled.".to_owned()),
        Ended::NotStarted(why) => Err(format!("cannot start: {why}")),
    };
    Done { result, outputs: heard.outputs, states: heard.states, timed_out }
}

fn allows_unsecure(run: &JobRun<'_>, step_env: &[(String, String)]) -> bool {
    let last = run.variables(step_env).filter(|(name, _)| name == ALLOW_UNSECURE).last();
    last.is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case("true"))
}

/// The whole environment of a step. Later entries win; `GITHUB_*` and `RUNNER_*` can't be overridden.
fn environment(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    step_env: &[(String, String)],
    files: &CommandFiles,
) -> Result<BTreeMap<String, String>, Failed> {
    let mut env = run.base_env.clone();
    home::extend(&mut env, run.variables(step_env), &executor.at_home())?;
    if !run.paths.is_empty() {
        let path = env.get("PATH").cloned().unwrap_or_default();
        env.insert("PATH".to_owned(), format!("{}:{path}", run.paths.join(":")));
    }
    if let Value::Object(github) = run.contexts(executor, step_env).get("github") {
        let named = EXPORTED.iter().filter_map(|name| Some((name, github.get(name)?)));
        env.extend(
            named.map(|(name, value)| (format!("GITHUB_{}", name.to_ascii_uppercase()), value.to_text())),
        );
    }
    let text = |path: &Path| path.display().to_string();
    let own = [
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_ENV", text(&files.env)),
        ("GITHUB_OUTPUT", text(&files.output)),
        ("GITHUB_PATH", text(&files.path)),
        ("GITHUB_STATE", text(&files.state)),
        ("GITHUB_STEP_SUMMARY", text(&files.summary)),
        ("RUNNER_WORKSPACE", text(run.folders.workspace.parent().unwrap_or(&run.folders.workspace))),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env.extend(
        run.runner()
            .iter()
            .map(|(name, value)| (format!("RUNNER_{}", name.to_ascii_uppercase()), value.to_text())),
    );
    for name in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
        env.remove(name);
    }
    if let Some(endpoint) = &run.endpoint {
        env.insert("ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(), endpoint.url.clone());
        env.insert("ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned(), endpoint.bearer.expose().clone());
    }
    Ok(env)
}

/// A variable that a step has, by whoever said it last.
pub(crate) fn variable(run: &JobRun<'_>, step_env: &[(String, String)], name: &str) -> Option<String> {
    let said = run.variables(step_env).filter(|(known, _)| known == name).last().map(|(_, value)| value);
    said.or_else(|| run.base_env.get(name)).filter(|value| !value.is_empty()).cloned()
}

/// The `PATH` that a step has.
pub(crate) fn path_of(run: &JobRun<'_>, step_env: &[(String, String)]) -> String {
    let said = run.variables(step_env).filter(|(name, _)| name == "PATH").last().map(|(_, value)| value);
    let path = said.or_else(|| run.base_env.get("PATH")).map_or("", String::as_str);
    run.paths.iter().map(String::as_str).chain([path]).collect::<Vec<_>>().join(":")
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
        let number = run.next_number();
        let make = |kind: &str| {
            let file = run.folders.commands.join(format!("{kind}-{number}"));
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

/// Reads one of the files; one that the step removed is empty.
fn read(file: &Path, name: &str) -> Result<String, Failed> {
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Ok(meta) if meta.len() > COMMAND_FILE_BYTES_MAX => {
            let length = meta.len();
            return Err(format!("{name} has {length} bytes; at most {COMMAND_FILE_BYTES_MAX} are read"));
        }
        Ok(meta) if !meta.is_file() => return Err(format!("{name} is no longer a file")),
        _ => {}
    }
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a step asked for in its output.
#[derive(Default)]
struct Heard {
    reader: CommandReader,
    outputs: Vec<(String, String)>,
    states: Vec<(String, String)>,
    env: Vec<(String, String)>,
    paths: Vec<String>,
    /// Whether commands are carried out that are refused since 2020.
    unsecure: bool,
    /// What was asked for and can't be done; it fails the step.
    refused: Option<String>,
}

impl Heard {
    /// Looks at one line of output: what it asks of the runner is done, what is left of it is shown.
    fn line(&mut self, line: &str, masks: &mut landfall_check::github::masks::Masks) -> Option<String> {
        match self.reader.line(line) {
            None => Some(line.to_owned()),
            Some(Command::AddMask(value)) => {
                masks.add(&value);
                None
            }
            Some(Command::SetOutput { name, value }) => {
                self.outputs.push((name, value));
                None
            }
            Some(Command::Annotation(annotation)) => {
                let word = match annotation.loudness {
                    Loudness::Error => "Error",
                    Loudness::Warning => "Warning",
                    Loudness::Notice => "Notice",
                };
                let said = |name: &str| {
                    let found = annotation.properties.iter().find(|(known, _)| known == name);
                    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
                };
                let title = said("title").map_or_else(String::new, |title| format!("{title}: "));
                let place = match (said("file"), said("line")) {
                    (Some(file), Some(line)) => format!(" ({file}:{line})"),
                    (Some(file), None) => format!(" ({file})"),
                    (None, _) => String::new(),
                };
                Some(format!("{word}: {title}{}{place}", annotation.message))
            }
            Some(Command::Group(title)) => Some(title),
            // An empty mask is only warned of; every other command that can't be done fails the step.
            Some(Command::Invalid(message)) if message.contains("add-mask") => {
                Some(format!("Warning: {message}"))
            }
            Some(Command::Invalid(message)) => self.refuse(line, &message),
            Some(Command::Unsecure { command, name, value }) => {
                if !self.unsecure {
                    return self.refuse(
                        line,
                        &format!(
                            "The `{command}` command is disabled. Please upgrade to using Environment Files or opt into unsecure command execution by setting the `{ALLOW_UNSECURE}` environment variable to `true`."
                        ),
                    );
                }
                match command.as_str() {
                    "add-path" => self.paths.push(value),
                    _ => self.env.push((name, value)),
                }
                None
            }
            Some(Command::SaveState { name, value }) => {
                self.states.push((name, value));
                None
            }
            Some(
                Command::Debug(_)
                | Command::EndGroup
                | Command::Echo(_)
                | Command::Stop
                | Command::Resume
                | Command::Matcher,
            ) => None,
        }
    }

    fn refuse(&mut self, line: &str, why: &str) -> Option<String> {
        self.refused.get_or_insert(format!("Unable to process command '{}' successfully.", line.trim()));
        Some(format!("Error: {why}"))
    }

    /// Takes over what the step wrote for the runner.
    fn take_over(&mut self, run: &mut JobRun<'_>, files: &CommandFiles) -> Result<(), Failed> {
        let in_file = |name: &'static str| {
            move |error: files::FileError| {
                format!(
                    "Unable to process file command '{name}' successfully: {} (line {})",
                    error.message, error.line
                )
            }
        };
        let outputs = read(&files.output, "GITHUB_OUTPUT")
            .and_then(|text| files::assignments(&text).map_err(in_file("output")));
        let states = read(&files.state, "GITHUB_STATE")
            .and_then(|text| files::assignments(&text).map_err(in_file("state")));
        let env =
            read(&files.env, "GITHUB_ENV").and_then(|text| files::environment(&text).map_err(in_file("env")));
        let paths = read(&files.path, "GITHUB_PATH").map(|text| files::paths(&text));
        let summary = read(&files.summary, "GITHUB_STEP_SUMMARY");
        let mut failed = self.refused.take();
        let mut note = |error: Failed| {
            failed.get_or_insert(error);
        };
        match outputs {
            Ok(outputs) => self.outputs.extend(outputs),
            Err(error) => note(error),
        }
        match states {
            Ok(states) => self.states.extend(states),
            Err(error) => note(error),
        }
        match env {
            Ok(env) => self.env.extend(env),
            Err(error) => note(error),
        }
        match paths {
            Ok(paths) => self.paths.extend(paths),
            Err(error) => note(error),
        }
        match summary {
            Ok(summary) => run.summary.push_str(&summary),
            Err(error) => note(error),
        }
        for (name, value) in self.env.drain(..) {
            run.write_env(name, value);
        }
        for path in self.paths.drain(..) {
            run.paths.retain(|known| *known != path);
            run.paths.insert(0, path);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A template where GitHub wants a text, with GitHub's message when it has none.
pub(crate) fn text(
    template: &landfall_check::github::Template,
    contexts: &Contexts<'_>,
) -> Result<String, Failed> {
    template.evaluate_text(contexts).map_err(|error| error.to_string())
}
