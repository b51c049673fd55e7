//! Stand-ins for actions that belong to every delivery and have nothing to do here: what brings tools (the
//! machine has its own), caches (a rehearsal begins from nothing), and artifacts, which go from job to job by a
//! folder of the rehearsal.
//!
//! Inputs and texts as in the actions' own `action.yml` and sources (`actions/upload-artifact` v4,
//! `actions/download-artifact` v4).

use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_check::github::glob::Glob;

use crate::event::Event;
use crate::hash_files;
use crate::job::JobRun;
use crate::protocol::{self, Done, Failed, Place, What};
use crate::run::Executor;
use crate::script::find_program;
use crate::snapshot;
use crate::step::{self, StepEnv};

/// The name of an artifact that has none.
const ARTIFACT: &str = "artifact";

/// An action that has a stand-in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StandIn {
    /// Brings a program: the machine's own is used. With the words that make it tell its version.
    Tool(&'static str, &'static [&'static str]),
    /// A cache that holds nothing.
    Cache,
    /// Keeps files for other jobs.
    Upload,
    /// Brings files of other jobs.
    Download,
}

/// The stand-in of a step's `uses`, whatever its version.
pub(crate) fn of(uses: &str) -> Option<StandIn> {
    let name = uses.split_once('@').map_or(uses, |(name, _)| name);
    Some(match name.to_ascii_lowercase().as_str() {
        "actions/setup-node" => StandIn::Tool("node", &["--version"]),
        "actions/setup-python" => StandIn::Tool("python3", &["--version"]),
        "actions/setup-go" => StandIn::Tool("go", &["version"]),
        "actions/setup-java" => StandIn::Tool("java", &["-version"]),
        "hashicorp/setup-terraform" => StandIn::Tool("terraform", &["version"]),
        "actions/cache" | "actions/cache/restore" | "actions/cache/save" => StandIn::Cache,
        "actions/upload-artifact" => StandIn::Upload,
        "actions/download-artifact" => StandIn::Download,
        _ => return None,
    })
}

/// Why it can't be run on this machine.
pub(crate) fn unready(uses: &str, path: &str) -> Option<String> {
    match of(uses) {
        Some(StandIn::Tool(program, _)) if find_program(program, path).is_none() => Some(format!(
            "`{uses}` stands for this machine's own `{program}`, and there is none: install it, or say where the action is with --action {uses}=DIR"
        )),
        _ => None,
    }
}

/// The inputs of a step: names without case.
struct Inputs<'i>(&'i [(String, String)]);

impl Inputs<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Carries it out.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &landfall_check::github::Step,
    stand_in: StandIn,
    (inputs, step_env): (&[(String, String)], &StepEnv),
    name: &str,
) -> Done {
    let say = |line: &str| executor.observer.event(Event::Output { line: &run.masks.mask(line) });
    let inputs = Inputs(inputs);
    let done = |outputs: &[(&str, String)]| Done {
        outputs: outputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        ..Done::without_a_process(Ok(()))
    };
    match stand_in {
        StandIn::Tool(program, words) => {
            say(&format!("this machine's own {program} is used, whatever version the step asks for:"));
            let Some(found) = find_program(program, &protocol::path_of(run, step_env)) else {
                return Done::without_a_process(Err(format!("`{program}` is not on this machine")));
            };
            let what = What {
                program: found,
                args: words.iter().map(|word| (*word).to_owned()).collect(),
                dir: run.folders.workspace.clone(),
                step_env,
                further: Vec::new(),
                limit: Duration::ZERO,
                place: Place::Machine,
            };
            step::with_limit(executor, run, step, what, name).await
        }
        StandIn::Cache => {
            say("a rehearsal begins without a cache, and keeps none");
            done(&[("cache-hit", "false".to_owned())])
        }
        StandIn::Upload => match upload(executor, run, &inputs) {
            Ok((line, id)) => {
                say(&line);
                done(&[("artifact-id", id)])
            }
            Err(error) => Done::without_a_process(Err(error)),
        },
        StandIn::Download => match download(executor, run, &inputs) {
            Ok((line, to)) => {
                say(&line);
                done(&[("download-path", to.display().to_string())])
            }
            Err(error) => Done::without_a_process(Err(error)),
        },
    }
}

/// Where the artifacts of a job's run are.
fn artifacts(executor: &Executor<'_>, run: &JobRun<'_>) -> PathBuf {
    let of_run = run.job.run_workflow.path.replace('/', "_");
    executor.rehearsal.dir.join("artifacts").join(of_run)
}

/// A name that is one name of a folder.
fn checked(name: &str) -> Result<&str, Failed> {
    const FORBIDDEN: &[char] = &['"', ':', '<', '>', '|', '*', '?', '\r', '\n', '\\', '/'];
    match name.chars().find(|c| FORBIDDEN.contains(c)) {
        Some(c) => {
            Err(format!("The artifact name is not valid: {name}. Contains the following character: {c}"))
        }
        None if name == "." || name == ".." => Err(format!("The artifact name is not valid: {name}")),
        None => Ok(name),
    }
}

fn upload(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    inputs: &Inputs<'_>,
) -> Result<(String, String), Failed> {
    let name = checked(inputs.text("name").unwrap_or(ARTIFACT))?;
    let path = inputs.text("path").ok_or("Input required and not supplied: path")?;
    let workspace = &run.folders.workspace;
    let (root, mut files) = hash_files::matching(workspace, path)?;
    if !inputs.is_true("include-hidden-files") {
        let is_hidden = |file: &Path| {
            let below = file.strip_prefix(&root).unwrap_or(file);
            below.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
        };
        files.retain(|file| !is_hidden(file));
    }
    if files.is_empty() {
        let line =
            format!("No files were found with the provided path: {path}. No artifacts will be uploaded.");
        return match inputs.text("if-no-files-found") {
            Some("error") => Err(line),
            Some("ignore") => Ok((line, String::new())),
            _ => Ok((format!("Warning: {line}"), String::new())),
        };
    }
    let to = artifacts(executor, run).join(name);
    if to.exists() {
        if !inputs.is_true("overwrite") {
            return Err(format!(
                "Failed to CreateArtifact: Received non-retryable error: Failed request: (409) Conflict: an artifact with this name already exists on the workflow run (`{name}`)"
            ));
        }
        std::fs::remove_dir_all(&to).map_err(|error| format!("cannot replace artifact {name}: {error}"))?;
    }
    for file in &files {
        let target = to.join(file.strip_prefix(&root).unwrap_or(file));
        let folder = target.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| snapshot::copy_file(&workspace.join(file), &target))
            .map_err(|error| format!("cannot keep {}: {error}", file.display()))?;
    }
    let count = files.len();
    let line = format!("artifact {name}: {count} file{}", if count == 1 { "" } else { "s" });
    let id = landfall_wire::hash::sha256_hex(name.as_bytes())
        .bytes()
        .take(9)
        .fold(0, |id: u64, byte| id * 10 + u64::from(byte % 10));
    Ok((line, id.to_string()))
}

fn download(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    inputs: &Inputs<'_>,
) -> Result<(String, PathBuf), Failed> {
    let all = artifacts(executor, run);
    let workspace = &run.folders.workspace;
    let to = workspace.join(inputs.text("path").unwrap_or(""));
    if !(to.starts_with(workspace) || to.starts_with(&run.folders.temp))
        || to.components().any(|part| part == std::path::Component::ParentDir)
    {
        return Err(format!("the path `{}` is not in the workspace", to.display()));
    }
    let copy = |name: &str, to: &Path| {
        std::fs::create_dir_all(to)
            .and_then(|()| snapshot::check_out(&all.join(name), to))
            .map_err(|error| format!("cannot bring artifact {name}: {error}"))
    };
    if let Some(name) = inputs.text("name") {
        if !all.join(checked(name)?).is_dir() {
            return Err(format!("Unable to download artifact(s): Artifact not found for name: {name}"));
        }
        copy(name, &to)?;
        return Ok((format!("artifact {name}"), to));
    }
    let pattern = inputs.text("pattern").map(Glob::parse);
    let entries = std::fs::read_dir(&all).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| pattern.as_ref().is_none_or(|pattern| pattern.fits(name)));
    names.sort();
    for name in &names {
        // One artifact for each folder, unless they are to be put together.
        let to = if inputs.is_true("merge-multiple") { to.clone() } else { to.join(name) };
        copy(name, &to)?;
    }
    Ok((format!("artifacts: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }), to))
}
