//! The step that renders a task definition: reads it from the workspace or, with the job's own session,
//! from ECS, and writes the changed one for the steps that follow.

use std::time::Duration;

use landfall_check::{aws_document, terraform, yaml};
use landfall_serve::ecs::types;
use landfall_types::{Secret, SourceMap};
use serde_json::Value;

use crate::actions::{Inputs, Invocation, clean, deploy, render};
use crate::event::Event;
use crate::job::JobRun;
use crate::loopback::{self, Session};
use crate::protocol::{self, Done, Failed};
use crate::run::Executor;
use crate::text_file;

/// Largest task definition file, in bytes; ECS takes 64 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Renders; the output `task-definition` is the new file.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    inputs: &Inputs,
    step_env: &[(String, String)],
) -> Done {
    match rendered(executor, run, inputs, step_env).await {
        Ok(file) => {
            Done { outputs: vec![("task-definition".to_owned(), file)], ..Done::without_a_process(Ok(())) }
        }
        Err(error) => Done::without_a_process(Err(error)),
    }
}

async fn rendered(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    inputs: &Inputs,
    step_env: &[(String, String)],
) -> Result<String, Failed> {
    let definition = match render::from(inputs)? {
        render::From::File(file) => read(run, &file)?,
        render::From::Registered(name) => registered(executor, run, &name, step_env).await?,
    };
    let rendered = render::render(definition, inputs)?;
    for warning in &rendered.warnings {
        let line = run.masks.mask(&format!("Warning: {warning}"));
        executor.observer.event(Event::Output { line: &line });
    }
    let number = run.next_number();
    let file = run.folders.temp.join(format!("task-definition-{number}.json"));
    let text = serde_json::to_string_pretty(&rendered.definition).map_err(|error| error.to_string())?;
    std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(file.display().to_string())
}

fn text(run: &JobRun<'_>, file: &str) -> Result<String, Failed> {
    let path = run.folders.workspace.join(file);
    text_file::read(&path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("Task definition file does not exist: {file}"),
        _ => format!("cannot read {file}: {error}"),
    })
}

fn read(run: &JobRun<'_>, file: &str) -> Result<Value, Failed> {
    serde_json::from_str(&text(run, file)?)
        .map_err(|error| format!("{file} is not JSON ({error}), and the action reads nothing else"))
}

/// As the action that deploys reads it: JSON, or YAML whatever the file is called.
fn read_any(run: &JobRun<'_>, file: &str) -> Result<Value, Failed> {
    let text = text(run, file)?;
    if let Ok(value) = serde_json::from_str(&text) {
        return Ok(value);
    }
    let sources = SourceMap::new();
    let source = sources.add(file, text.as_str());
    yaml::parse(source, &text).and_then(|tree| aws_document::value(&sources, &tree)).map_err(|finding| {
        let place = finding.labels.first().map(|label| sources.place(label.span).to_string());
        format!("{}: {}", place.unwrap_or_else(|| file.to_owned()), finding.message)
    })
}

/// The session that the step's environment has.
fn session(run: &JobRun<'_>, step_env: &[(String, String)]) -> Result<Session, Failed> {
    let variable = |name: &str| protocol::variable(run, step_env, name);
    let region = variable("AWS_REGION").ok_or("Region is missing")?;
    let none = "Could not load credentials from any providers";
    Ok(Session {
        access_key_id: variable("AWS_ACCESS_KEY_ID").ok_or(none)?,
        secret: Secret::new(variable("AWS_SECRET_ACCESS_KEY").ok_or(none)?),
        token: variable("AWS_SESSION_TOKEN"),
        region,
    })
}

/// `DescribeTaskDefinition`, as the action calls it: the tags go into the definition.
async fn registered(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    name: &str,
    step_env: &[(String, String)],
) -> Result<Value, Failed> {
    let session = session(run, step_env)?;
    let input = serde_json::json!({ "taskDefinition": name, "include": ["TAGS"] });
    let now = executor.rehearsal.world.clock.wall();
    let mut answer = loopback::ecs(executor.aws_host(), &session, "DescribeTaskDefinition", &input, now)
        .await
        .map_err(|message| format!("Failed to describe task definition in ECS: {message}"))?;
    let mut definition = answer["taskDefinition"].take();
    let tags = answer["tags"].take();
    if let (Some(members), false) = (definition.as_object_mut(), tags.is_null()) {
        members.insert("tags".to_owned(), tags);
    }
    Ok(definition)
}

/// Registers a task definition of which a value has a type that AWS's model doesn't have there, and says how the step
/// fails by that; none where all fits. The action sends what the file has, while `landfall deploy` takes the number of a
/// YAML file for the text that ECS wants.
pub(crate) async fn refused(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    inputs: &Inputs,
    step_env: &[(String, String)],
) -> Option<Failed> {
    let (file, keep) = deploy::file(inputs).ok()?;
    let (cleaned, _) = clean::clean(&read_plain(run, &file)?, &keep);
    types::misfit("RegisterTaskDefinition", &cleaned)?;
    let session = session(run, step_env).ok()?;
    let now = executor.rehearsal.world.clock.wall();
    let answer = loopback::ecs(executor.aws_host(), &session, "RegisterTaskDefinition", &cleaned, now).await;
    answer.err().map(|message| format!("Failed to register task definition in ECS: {message}"))
}

/// What the action's own reader makes of a file: a number is a number, in YAML as well.
fn read_plain(run: &JobRun<'_>, file: &str) -> Option<Value> {
    let text = text(run, file).ok()?;
    let sources = SourceMap::new();
    let source = sources.add(file, text.as_str());
    serde_json::from_str(&text).ok().or_else(|| {
        let tree = yaml::parse(source, &text).ok()?;
        serde_json::from_str(&terraform::to_json(&tree)).ok()
    })
}

/// The commands of a step that deploys: its file is read and cleaned first, as the action does it. They wait no
/// longer than `most`.
pub(crate) fn deployment(
    run: &mut JobRun<'_>,
    inputs: &Inputs,
    most: Option<Duration>,
) -> Result<Invocation, Failed> {
    let (file, keep) = deploy::file(inputs)?;
    let (cleaned, warnings) = clean::clean(&read_any(run, &file)?, &keep);
    let number = run.next_number();
    let path = run.folders.temp.join(format!("registered-{number}.json"));
    std::fs::write(&path, cleaned.to_string())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let mut invocation = deploy::invocation(inputs, &path.display().to_string())?;
    if let Some(most) = most {
        let all = std::iter::once(&mut invocation.args).chain(&mut invocation.then);
        all.flatten().for_each(|word| deploy::wait_at_most(word, most));
    }
    invocation.warnings.extend(warnings);
    Ok(invocation)
}

/// A command's words, with the ARN that a command before has put out.
pub(crate) fn named(args: Vec<String>, outputs: &[(String, String)]) -> Vec<String> {
    let arn = outputs.iter().rev().find(|(name, _)| name == "task-definition-arn");
    match arn {
        Some((_, arn)) => args.into_iter().map(|word| word.replace(deploy::REGISTERED, arn)).collect(),
        None => args,
    }
}
