//! Actions that are containers: an image by its name, or one that is built from the action's Dockerfile. Order,
//! folders and arguments as in the open-source runner (`ContainerActionHandler`).

use std::path::PathBuf;

use landfall_check::github::containers::words;
use landfall_check::github::{Action, Object, Runs, Step, Template, Value};
use landfall_types::{SourceId, Span, Spanned};

use super::{IMAGE, Inputs, Local, states, variables};
use crate::containers::{self, ActionImage};
use crate::docker::build;
use crate::job::JobRun;
use crate::protocol::{self, Failed, Place, What};
use crate::run::Executor;
use crate::step::{self, StepEnv};

/// The action that an image is by itself: `docker://IMAGE`, or the `Dockerfile` of a folder without another file.
pub(super) fn of_image(image: &str) -> Action {
    let nowhere = Span::new(SourceId(0), 0, 0);
    let image = Spanned::new(image.to_owned(), nowhere);
    let runs = Runs::Docker { image, entrypoint: None, args: None, env: Vec::new(), pre: None, post: None };
    Action { name: String::new(), inputs: Vec::new(), outputs: Vec::new(), runs, span: nowhere }
}

/// The command of an action's container: with its own entrypoint, or with another.
pub(super) async fn what<'g>(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    (inputs, step_env): Inputs<'g>,
    (entrypoint, name): (Option<&str>, &str),
    kept: &[(String, String)],
) -> Result<What<'g>, Failed> {
    let image = image(executor, run, step, local, step_env, name).await?;
    let (program, args, own_env) = command(executor, run, local, (inputs, step_env), entrypoint)?;
    let has_entrypoint = program.is_some();
    let further = [own_env, variables(inputs), states(kept)].concat();
    let place = Place::Action(Box::new(ActionImage { image, has_entrypoint }));
    Ok(What { place, ..What::here(program.unwrap_or_default(), args, run, step_env, further) })
}

/// Entrypoint, arguments and variables of an action's container.
type Command = (Option<PathBuf>, Vec<String>, Vec<(String, String)>);

fn command(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    local: &Local,
    (inputs, step_env): Inputs<'_>,
    entrypoint: Option<&str>,
) -> Result<Command, Failed> {
    let Runs::Docker { entrypoint: own, args, env, .. } = &local.action.runs else {
        return Err("not a container".to_owned());
    };
    let input = |name: &str| {
        let found = inputs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let given: Object =
        inputs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let contexts = run.contexts(executor, step_env).with("inputs", given.into());
    let text = |template: &Template| protocol::text(template, &contexts);
    let args = match args {
        Some(args) => args.iter().map(text).collect::<Result<Vec<String>, Failed>>()?,
        None => words(input("args").unwrap_or_default()).map_err(|error| format!("`args`: {error}"))?,
    };
    let env = env.iter().map(|(name, value)| text(value).map(|value| (name.value.clone(), value)));
    // The step's own variables win.
    let is_own = |(name, _): &(String, String)| !run.variables(step_env).any(|(known, _)| known == name);
    let env = env.collect::<Result<Vec<_>, Failed>>()?.into_iter().filter(is_own).collect();
    let program = entrypoint.or(own.as_deref()).or_else(|| input("entrypoint")).map(PathBuf::from);
    Ok((program, args, env))
}

/// The image of an action: one that is there, or one that is built.
async fn image(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    local: &Local,
    step_env: &StepEnv,
    name: &str,
) -> Result<String, Failed> {
    let Runs::Docker { image, .. } = &local.action.runs else { return Err("not a container".to_owned()) };
    let engine = containers::of_job(executor, run).await?.engine().clone();
    if let Some(image) = image.value.strip_prefix(IMAGE) {
        return containers::image(executor, run, image).await;
    }
    let file = local.dir.join(&image.value);
    // Of one folder there is one image in each job.
    let key = landfall_wire::hash::sha256_hex(file.display().to_string().as_bytes());
    let tag = format!("landfall-action:{}", key.chars().take(32).collect::<String>());
    if engine.has_image(&tag).await {
        return Ok(tag);
    }
    let dockerfile = build::dockerfile(executor, run, &engine, &file, &[]).await?;
    let mut args =
        vec!["build".to_owned(), format!("--tag={tag}"), format!("--file={}", dockerfile.display())];
    if !engine.has_bridge().await {
        args.push("--network=host".to_owned());
    }
    args.push(file.parent().unwrap_or(&local.dir).display().to_string());
    let what = What::here(engine.program.clone(), args, run, step_env, engine.variables());
    step::with_limit(executor, run, step, what, name)
        .await
        .result
        .map_err(|why| format!("Docker build failed: {why}"))?;
    containers::of_job(executor, run).await?.adopt_image(&tag);
    Ok(tag)
}
