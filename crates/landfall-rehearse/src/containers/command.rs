//! The engine's command lines: a step in the job's container, and an action in one of its own. Folders are where
//! GitHub has them, and paths in variables and arguments follow; those in expressions stay this machine's, as they
//! do on GitHub (<https://github.com/actions/runner/issues/2058>).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landfall_check::github::containers::{Container, words};

use super::Containers;
use crate::home::{self, Folders};
use crate::job::JobRun;
use crate::process::Process;
use crate::protocol::Failed;

/// `PATH` of an image that says none (Docker's own).
pub(super) const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that the engine's command line reads itself begin so: a container's own go another way.
const OF_COMMAND_LINE: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_",
    "DOCKER_",
    "BUILDX_",
    "BUILDKIT_",
    "CONTAINER",
    "PODMAN_",
    "BUILDAH_",
    "STORAGE_",
    "REGISTRY_AUTH_FILE",
    "LD_",
    "GO",
];
/// Where containers find Docker's socket.
const SOCKET: &str = "/var/run/docker.sock";

/// Words of a command line.
pub(super) type Flags = Vec<String>;

/// The image of an action.
#[derive(Clone, Debug)]
pub(crate) struct ActionImage {
    pub(crate) image: String,
    /// Whether the program that is run is its entrypoint.
    pub(crate) has_entrypoint: bool,
}

/// Flags for variables of a container, and what the command line needs for them: values are never among its words
/// where they can be among its own variables.
pub(super) fn variables(all: impl Iterator<Item = (String, String)>) -> (Flags, Vec<(String, String)>) {
    let (mut flags, mut values) = (Vec::new(), Vec::new());
    for (name, value) in all.filter(|(name, _)| !name.is_empty() && !name.contains('=')) {
        if OF_COMMAND_LINE.iter().any(|start| name.starts_with(start)) {
            flags.push(format!("--env={name}={value}"));
        } else {
            flags.push(format!("--env={name}"));
            values.push((name, value));
        }
    }
    (flags, values)
}

/// Folders of this machine, and where they are in a container; the first that fits counts.
struct Mounts(Vec<(PathBuf, &'static str)>);

impl Mounts {
    fn of_job(folders: &Folders) -> Self {
        // `work/NAME/NAME`
        let work = folders.workspace.ancestors().nth(2).unwrap_or(&folders.workspace);
        Self(vec![
            (work.to_owned(), "/__w"),
            (folders.temp.clone(), "/__w/_temp"),
            (folders.home.clone(), "/github/home"),
            (folders.commands.clone(), "/github/workflow"),
        ])
    }

    fn of_action(folders: &Folders) -> Self {
        Self(vec![
            (folders.workspace.clone(), "/github/workspace"),
            (folders.temp.clone(), "/github/runner_temp"),
            (folders.home.clone(), "/github/home"),
            (folders.commands.clone(), "/github/workflow"),
        ])
    }

    fn flags(&self, socket: Option<&str>) -> Flags {
        let folders = self.0.iter().map(|(here, there)| format!("--volume={}:{there}", here.display()));
        let socket = socket.filter(|socket| Path::new(socket).exists());
        folders.chain(socket.map(|socket| format!("--volume={socket}:{SOCKET}"))).collect()
    }

    /// A path of this machine as the container has it; any other text as it is.
    fn inside(&self, text: &str) -> String {
        for (here, there) in &self.0 {
            let rest = here.to_str().and_then(|here| text.strip_prefix(here));
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                return format!("{there}{rest}");
            }
        }
        text.to_owned()
    }
}

/// What of a step's environment is for a container: nothing of this machine's tools, unless the workflow says it.
fn environment(
    run: &JobRun<'_>,
    env: BTreeMap<String, String>,
    step_env: &[(String, String)],
    mounts: &Mounts,
    image_path: Option<&str>,
) -> Vec<(String, String)> {
    let said = |name: &str| run.variables(step_env).filter(|(known, _)| known == name).last();
    let mut all: Vec<(String, String)> = env
        .into_iter()
        .filter(|(name, _)| name != "PATH" && (!home::is_of_machine(name) || said(name).is_some()))
        .map(|(name, value)| (name, mounts.inside(&value)))
        .collect();
    let path = said("PATH").map(|(_, path)| path.as_str());
    if path.is_some() || !run.paths.is_empty() {
        let first = run.paths.iter().map(|path| mounts.inside(path));
        let last = path.or(image_path).unwrap_or(PATH_DEFAULT).to_owned();
        all.push(("PATH".to_owned(), first.chain([last]).collect::<Vec<_>>().join(":")));
    }
    all
}

/// A command of a step, in the job's container where it has one.
///
/// # Errors
/// When the container should be there and isn't.
pub(crate) fn inside(
    run: &JobRun<'_>,
    process: Process,
    step_env: &[(String, String)],
) -> Result<Process, Failed> {
    if run.has_lost_container {
        return Err("the job's container was not started".to_owned());
    }
    let Some((containers, job)) =
        run.containers.as_ref().and_then(|containers| Some((containers, containers.job.as_ref()?)))
    else {
        return Ok(process);
    };
    let mounts = Mounts::of_job(&run.folders);
    let text = |path: &Path| mounts.inside(&path.display().to_string());
    let (flags, values) =
        variables(environment(run, process.env, step_env, &mounts, Some(&job.path)).into_iter());
    let mut args: Flags = vec!["exec".to_owned(), format!("--workdir={}", text(&process.dir))];
    args.extend(flags);
    args.extend([job.name.clone(), text(&process.program)]);
    args.extend(process.args.iter().map(|arg| mounts.inside(arg)));
    Ok(containers.process(args, values, &run.folders, process.limit))
}

/// An action in a container of its own.
///
/// # Errors
/// When nobody has looked for an engine.
pub(crate) fn of_action(
    run: &mut JobRun<'_>,
    process: Process,
    step_env: &[(String, String)],
    image: &ActionImage,
) -> Result<Process, Failed> {
    let number = run.next_number();
    let name = format!("{}_action_{number}", run.leftovers.id());
    let mounts = Mounts::of_action(&run.folders);
    let env = environment(run, process.env, step_env, &mounts, None);
    let (flags, values) = variables(env.into_iter());
    let labels = super::labels(run, None);
    let containers = run.containers.as_mut().ok_or("the job has no engine for an action's container")?;
    containers.made.push(name.clone());
    let mut args: Flags = ["run", "--rm", "--name", &name].map(str::to_owned).into();
    args.extend(labels);
    args.push("--workdir=/github/workspace".to_owned());
    args.extend(containers.network_flags());
    args.extend(flags);
    args.extend(mounts.flags(containers.engine.socket()));
    if image.has_entrypoint {
        args.push(format!("--entrypoint={}", process.program.display()));
    }
    args.push(image.image.clone());
    args.extend(process.args.iter().map(|arg| mounts.inside(arg)));
    Ok(containers.process(args, values, &run.folders, process.limit))
}

impl Containers {
    fn process(
        &self,
        args: Flags,
        values: Vec<(String, String)>,
        folders: &Folders,
        limit: std::time::Duration,
    ) -> Process {
        let mut env = self.engine.environment().clone();
        env.extend(values);
        Process { program: self.engine.program.clone(), args, env, dir: folders.workspace.clone(), limit }
    }

    /// This machine's network, with the services by their names.
    fn network_flags(&self) -> Flags {
        // One that has ended has no address.
        let there = self.services.iter().filter(|service| !service.address.is_empty());
        let services = there.map(|service| format!("--add-host={}:{}", service.name, service.address));
        std::iter::once("--network=host".to_owned()).chain(services).collect()
    }

    /// The command that makes the job's container, and its variables.
    pub(super) fn job_command(
        &self,
        run: &JobRun<'_>,
        container: &Container,
        (name, image): (&str, &str),
    ) -> Result<(Flags, Vec<(String, String)>), Failed> {
        let mounts = Mounts::of_job(&run.folders);
        let mut args: Flags = ["create", "--name", name].map(str::to_owned).into();
        args.extend(super::labels(run, self.own_image(image)));
        args.extend(self.network_flags());
        let own = [("HOME", "/github/home"), ("GITHUB_ACTIONS", "true"), ("CI", "true")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (flags, values) = variables(container.env.iter().cloned().chain(own));
        args.extend(flags);
        args.extend(mounts.flags(self.engine.socket()));
        args.extend(container.volumes.iter().map(|volume| format!("--volume={volume}")));
        let workspace = mounts.inside(&run.folders.workspace.display().to_string());
        args.push(format!("--workdir={workspace}"));
        let options = words(&container.options).map_err(|error| format!("`container.options`: {error}"))?;
        let is_network = |word: &String| {
            word == "--network" || word.starts_with("--network=") || word.starts_with("--net")
        };
        if options.iter().any(is_network) {
            return Err("`container.options` can't have --network: GitHub doesn't support it".to_owned());
        }
        args.extend(options);
        args.extend(["--entrypoint", "tail", image, "-f", "/dev/null"].map(str::to_owned));
        Ok((args, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_no_words_of_the_command_line_unless_it_would_read_them() {
        let all = [
            ("TOKEN", "hunter2"),
            ("PATH", "/bin"),
            ("REGISTRY_AUTH_FILE", "/github/home/auth"),
            ("a=b", "x"),
        ];
        let (flags, values) =
            variables(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(flags, ["--env=TOKEN", "--env=PATH=/bin", "--env=REGISTRY_AUTH_FILE=/github/home/auth"]);
        assert_eq!(values, [("TOKEN".to_owned(), "hunter2".to_owned())]);
    }

    #[test]
    fn paths_are_those_of_the_container() {
        let folders = Folders {
            workspace: "/d/work/api/api".into(),
            temp: "/d/temp".into(),
            home: "/d/home".into(),
            bin: "/d/bin".into(),
            commands: "/d/commands".into(),
            actions: "/d/work/_actions".into(),
        };
        for (text, in_job, in_action) in [
            ("/d/work/api/api", "/__w/api/api", "/github/workspace"),
            ("/d/work/api/api/a", "/__w/api/api/a", "/github/workspace/a"),
            ("/d/work/_actions/x", "/__w/_actions/x", "/d/work/_actions/x"),
            ("/d/temp/x", "/__w/_temp/x", "/github/runner_temp/x"),
            ("/d/home", "/github/home", "/github/home"),
            ("/d/commands/event.json", "/github/workflow/event.json", "/github/workflow/event.json"),
            ("/d/workshop", "/d/workshop", "/d/workshop"),
            ("it is in /d/temp", "it is in /d/temp", "it is in /d/temp"),
        ] {
            assert_eq!(Mounts::of_job(&folders).inside(text), in_job);
            assert_eq!(Mounts::of_action(&folders).inside(text), in_action);
        }
    }
}
