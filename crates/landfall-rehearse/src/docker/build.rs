//! docker/build-push-action: the engine builds, and what is meant for ECR is pushed to the local registry.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use landfall_check::github::Step;
use serde_json::{Map, Value};

use super::{Given, is_loopback, own_platform, say};
use crate::actions::build_push::{self, Build, Context, From};
use crate::containers;
use crate::engine::{Engine, Kind};
use crate::home;
use crate::job::JobRun;
use crate::loopback;
use crate::protocol::{self, Done, Failed, What};
use crate::run::Executor;
use crate::snapshot;
use crate::step::{self, StepEnv};

/// What buildx says of an image that goes nowhere.
const NO_OUTPUT: &str = "Build result will only remain in the build cache. To push result image into registry use --push or to load image into docker use --load";
/// Largest Dockerfile, in bytes.
const DOCKERFILE_BYTES_MAX: u64 = 1 << 20;

/// Builds an image, and pushes it where the step says so.
pub(super) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    (inputs, step_env): Given<'_>,
    name: &str,
) -> Result<Done, Failed> {
    let build = build_push::build(inputs)?;
    super::warn(executor, run, &build.warnings);
    let engine = containers::of_job(executor, run).await?.engine().clone();
    let goes = Goes::of(executor, run, &build)?;
    if !build.push && !goes.loads {
        let driver = run.builder.as_deref().unwrap_or_default();
        super::warn(executor, run, &[format!("No output specified with {driver} driver. {NO_OUTPUT}")]);
    }
    let number = run.next_number();
    let id_file = run.folders.temp.join(format!("image-id-{number}"));
    let mut args = vec!["build".to_owned(), format!("--iidfile={}", id_file.display())];
    args.extend(goes.tags().map(|tag| format!("--tag={tag}")));
    let further = complete(executor, run, &engine, (&build, step_env), &mut args).await?;
    let what = What::here(engine.program.clone(), args, run, step_env, further);
    let done = step::with_limit(executor, run, step, what, name).await;
    if done.result.is_err() {
        return Ok(done);
    }
    let made = containers::of_job(executor, run).await?;
    goes.home.iter().for_each(|tag| made.adopt_image(tag));
    let image_id = std::fs::read_to_string(&id_file).unwrap_or_default().trim().to_owned();
    let mut digest = String::new();
    for tag in goes.home.iter().filter(|_| build.push) {
        look(run, step_env, tag).await?;
        let digest_file = run.folders.temp.join(format!("digest-{number}"));
        let mut args = vec!["push".to_owned()];
        args.extend(engine.without_tls().iter().map(|flag| (*flag).to_owned()));
        if engine.kind == Kind::Podman {
            args.push(format!("--digestfile={}", digest_file.display()));
        }
        args.push(tag.clone());
        let what = What::here(engine.program.clone(), args, run, step_env, engine.variables());
        let done = step::with_limit(executor, run, step, what, name).await;
        if done.result.is_err() {
            return Ok(done);
        }
        digest = pushed_digest(&engine, tag, &digest_file).await.unwrap_or(digest);
    }
    for tag in goes.elsewhere.iter().filter(|_| build.push) {
        say(executor, run, &format!("{tag} is not pushed: a rehearsal never leaves this machine"));
    }
    Ok(told(executor, run, &goes, (image_id, digest)))
}

/// Adds what the build is made of to its command; its variables.
async fn complete(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    engine: &Engine,
    (build, step_env): (&Build, &StepEnv),
    args: &mut Vec<String>,
) -> Result<Vec<(String, String)>, Failed> {
    let (dir, file) = context(executor, run, build)?;
    let dockerfile = dockerfile(executor, run, engine, &file, &build.args).await?;
    args.push(format!("--file={}", dockerfile.display()));
    args.extend(build.flags.iter().cloned());
    let platform = build.platform.iter().filter(|platform| *platform != own_platform());
    args.extend(platform.map(|platform| format!("--platform={platform}")));
    match &build.network {
        Some(network) => args.push(format!("--network={network}")),
        None if !engine.has_bridge().await => args.push("--network=host".to_owned()),
        None => {}
    }
    let mut further = engine.variables();
    further.extend(build_args(run, build, step_env, args));
    args.extend(secrets(run, engine, build, step_env)?);
    args.push(dir.display().to_string());
    Ok(further)
}

/// The outputs, and a line for each.
fn told(
    executor: &Executor<'_>,
    run: &JobRun<'_>,
    goes: &Goes,
    (image_id, digest): (String, String),
) -> Done {
    let mut metadata = Map::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            metadata.insert(name.to_owned(), Value::from(value));
        }
    };
    set("containerimage.config.digest", &image_id);
    set("containerimage.digest", &digest);
    set("image.name", &goes.tags().cloned().collect::<Vec<_>>().join(","));
    let outputs =
        [("imageid", image_id), ("digest", digest), ("metadata", Value::Object(metadata).to_string())];
    for (name, value) in outputs.iter().filter(|(_, value)| !value.is_empty()) {
        say(executor, run, &format!("{name}: {value}"));
    }
    let outputs = outputs.map(|(name, value)| (name.to_owned(), value)).into();
    Done { outputs, ..Done::without_a_process(Ok(())) }
}

/// Where an image goes.
struct Goes {
    /// Its names in registries of this machine.
    home: Vec<String>,
    /// Its other names.
    elsewhere: Vec<String>,
    /// Whether the engine keeps it.
    loads: bool,
    pushes: bool,
}

impl Goes {
    fn of(executor: &Executor<'_>, run: &JobRun<'_>, build: &Build) -> Result<Self, Failed> {
        // Only Docker's own driver builds into the engine by itself.
        let is_own_driver = run.builder.as_deref().is_none_or(|driver| driver == "docker");
        let (mut home, mut elsewhere) = (Vec::new(), Vec::new());
        for tag in &build.tags {
            let tag = home::bring_home(tag, &executor.at_home()).map_err(|host| {
                format!("the tag `{tag}` leads to {host}: a rehearsal never talks to the real AWS")
            })?;
            if is_loopback(&tag) { home.push(tag) } else { elsewhere.push(tag) }
        }
        if build.push && build.tags.is_empty() {
            return Err("tag is needed when pushing to registry".to_owned());
        }
        Ok(Self { home, elsewhere, loads: build.load || is_own_driver, pushes: build.push })
    }

    /// The names that the engine gets to know.
    fn tags(&self) -> impl Iterator<Item = &String> {
        let home = self.home.iter().filter(|_| self.loads || self.pushes);
        home.chain(self.elsewhere.iter().filter(|_| self.loads))
    }
}

/// A path below a folder.
fn below(dir: &Path, path: &str) -> Result<PathBuf, Failed> {
    let inside = Path::new(path).components().all(|part| !matches!(part, Component::ParentDir));
    if inside { Ok(dir.join(path)) } else { Err(format!("`{path}` is not below {}", dir.display())) }
}

/// The folder of the build's files, and its Dockerfile.
fn context(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    build: &Build,
) -> Result<(PathBuf, PathBuf), Failed> {
    let file = |dir: &Path| build.file.clone().map_or_else(|| dir.join("Dockerfile"), |file| dir.join(file));
    match &build.context {
        Context::Folder(folder) => {
            let dir = run.folders.workspace.join(folder);
            if !dir.is_dir() {
                return Err(format!("unable to prepare context: path \"{folder}\" not found"));
            }
            let file =
                build.file.as_ref().map_or_else(|| file(&dir), |file| run.folders.workspace.join(file));
            Ok((dir, file))
        }
        Context::Commit(folder) => {
            let number = run.next_number();
            let copy = run.folders.temp.join(format!("context-{number}"));
            snapshot::check_out(&executor.rehearsal.snapshot.dir, &copy)
                .and_then(|()| match std::fs::remove_dir_all(copy.join(".git")) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                })
                .map_err(|error| format!("cannot check out the build's context: {error}"))?;
            say(
                executor,
                run,
                "the build's context is the run's commit: what earlier steps made is not in it",
            );
            let dir = below(&copy, folder)?;
            let file = file(&dir);
            Ok((dir, file))
        }
    }
}

/// A Dockerfile whose images are all there. Registries of ECR become the local one, in a copy.
///
/// # Errors
/// The image that isn't there, with its line.
pub(crate) async fn dockerfile(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    engine: &Engine,
    file: &Path,
    args: &[(String, Option<String>)],
) -> Result<PathBuf, Failed> {
    let shown = file.strip_prefix(&run.folders.workspace).unwrap_or(file).display().to_string();
    let length = std::fs::metadata(file).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if length > DOCKERFILE_BYTES_MAX {
        return Err(format!("{shown} has {length} bytes; at most {DOCKERFILE_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    for (line, image) in build_push::bases(&text, args) {
        let image = home::bring_home(&image, &executor.at_home()).unwrap_or(image);
        if executor.is_at_home(&image) {
            // The build brings it, and it goes with the job.
            containers::of_job(executor, run).await?.adopt_image(&image);
        } else if !is_loopback(&image) && !engine.has_image(&image).await {
            return Err(format!("{shown}:{line}: {}", engine.missing(&image)));
        }
    }
    let brought = build_push::at_home(&text, args, &executor.at_home())
        .map_err(|(line, host)| format!("{shown}:{line}: the image is at {host}: {}", home::NEVER))?;
    if brought == text {
        return Ok(file.to_owned());
    }
    let number = run.next_number();
    let copy = run.folders.temp.join(format!("Dockerfile-{number}"));
    std::fs::write(&copy, brought).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
    Ok(copy)
}

/// Adds the build's arguments; their values are variables of the engine's command line, unless it would read them
/// itself.
fn build_args(
    run: &JobRun<'_>,
    build: &Build,
    step_env: &StepEnv,
    args: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (name, value) in &build.args {
        let value = value.clone().or_else(|| protocol::variable(run, step_env, name));
        let is_read =
            run.base_env.contains_key(name) || name.starts_with("DOCKER_") || name.starts_with("BUILDKIT_");
        match value {
            Some(value) if is_read => args.push(format!("--build-arg={name}={value}")),
            Some(value) => {
                args.push(format!("--build-arg={name}"));
                variables.push((name.clone(), value));
            }
            None => args.push(format!("--build-arg={name}")),
        }
    }
    variables
}

/// Flags for the build's secrets, which go by files.
fn secrets(
    run: &mut JobRun<'_>,
    engine: &Engine,
    build: &Build,
    step_env: &StepEnv,
) -> Result<Vec<String>, Failed> {
    if !build.secrets.is_empty() && !engine.takes_build_secrets() {
        return Err(NO_SECRETS.to_owned());
    }
    let mut flags = Vec::new();
    for (id, from) in &build.secrets {
        let value = match from {
            From::File(path) => {
                flags.push(format!("--secret=id={id},src={}", run.folders.workspace.join(path).display()));
                continue;
            }
            From::Text(value) => value.clone(),
            From::Variable(name) => protocol::variable(run, step_env, name)
                .ok_or_else(|| format!("the variable `{name}` of the secret `{id}` is not set"))?,
        };
        let number = run.next_number();
        let file = run.folders.temp.join(format!("secret-{number}"));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&file)
            .and_then(|mut open| std::io::Write::write_all(&mut open, value.as_bytes()))
            .map_err(|error| format!("cannot keep the secret `{id}`: {error}"))?;
        flags.push(format!("--secret=id={id},src={}", file.display()));
    }
    Ok(flags)
}

/// Why secrets of a build can't be had.
pub(crate) const NO_SECRETS: &str =
    "secrets of a build need buildx or Podman, and this machine's Docker has neither: install docker-buildx";

/// BuildKit looks at the tag before it pushes to it, and stops at every answer but "there" and "not there": on ECR
/// that takes `ecr:BatchGetImage`, which a plain `docker push` does without.
/// <https://github.com/docker/build-push-action/issues/826>
async fn look(run: &JobRun<'_>, step_env: &StepEnv, image: &str) -> Result<(), Failed> {
    let config = protocol::variable(run, step_env, "DOCKER_CONFIG").unwrap_or_default();
    let Some((host, rest)) = image.split_once('/') else { return Ok(()) };
    // Without a login the push itself is refused.
    let Some(login) = login_of(Path::new(&config), host) else { return Ok(()) };
    let (name, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    let path = format!("/v2/{name}/manifests/{tag}");
    let reason = match loopback::head(host, &path, &format!("Basic {login}")).await? {
        401 => "401 Unauthorized",
        403 => "403 Forbidden",
        _ => return Ok(()),
    };
    Err(format!(
        "buildx failed with: ERROR: failed to build: failed to solve: failed to push {image}: unexpected status \
         from HEAD request to https://{host}{path}: {reason}"
    ))
}

/// What Docker's configuration has for a registry: user and password in Base64.
fn login_of(config: &Path, host: &str) -> Option<String> {
    let text = std::fs::read_to_string(config.join("config.json")).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    config["auths"][host]["auth"].as_str().map(str::to_owned)
}

/// The digest under which a tag was pushed.
async fn pushed_digest(engine: &Engine, tag: &str, file: &Path) -> Option<String> {
    if engine.kind == Kind::Podman {
        return std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    }
    let format = "{{range .RepoDigests}}{{println .}}{{end}}";
    let known = engine.ask(&["image", "inspect", "--format", format, tag]).await.ok()?;
    let repository = tag.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(tag, |(name, _)| name);
    let of_repository =
        |line: &str| Some(line.trim().strip_prefix(repository)?.strip_prefix('@')?.to_owned());
    known.lines().find_map(of_repository)
}
