//! Steps of Docker's own actions: login, metadata, builders, build and push. What is read from their inputs is in
//! [`actions`](crate::actions); here it is done, with this machine's engine.

pub(crate) mod build;
mod login;

use landfall_check::github::Step;
use serde_json::json;

use crate::actions::{self, Builtin, metadata};
use crate::event::Event;
use crate::job::JobRun;
use crate::protocol::{self, Done, Failed};
use crate::run::Executor;
use crate::step::StepEnv;

/// What `docker/setup-buildx-action` makes when nothing is said.
const DRIVER_DEFAULT: &str = "docker-container";

/// A step's inputs, evaluated, and its own environment.
pub(crate) type Given<'g> = (&'g [(String, String)], &'g StepEnv);

/// Says a line of a step.
pub(crate) fn say(executor: &Executor<'_>, run: &JobRun<'_>, line: &str) {
    executor.observer.event(Event::Output { line: &run.masks.mask(line) });
}

fn warn(executor: &Executor<'_>, run: &JobRun<'_>, warnings: &[String]) {
    for warning in warnings {
        say(executor, run, &format!("Warning: {warning}"));
    }
}

/// One of Docker's actions, whatever its version.
pub(crate) fn of(uses: &str) -> Option<Builtin> {
    use Builtin::{BuildPush, DockerLogin, DockerMetadata, SetupBuildx, SetupQemu};
    let own = [BuildPush, DockerLogin, DockerMetadata, SetupBuildx, SetupQemu];
    actions::builtin(uses).filter(|builtin| own.contains(builtin))
}

/// Carries out a step.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    builtin: Builtin,
    given: Given<'_>,
    name: &str,
) -> Done {
    let done = match builtin {
        Builtin::DockerLogin => login::run(executor, run, step, given, name).await,
        Builtin::DockerMetadata => metadata(executor, run, given),
        Builtin::SetupBuildx => Ok(set_up_builder(executor, run, given)),
        Builtin::SetupQemu => Ok(set_up_emulator(executor, run)),
        Builtin::BuildPush => build::run(executor, run, step, given, name).await,
        _ => Err(actions::unknown(name)),
    };
    done.unwrap_or_else(|error| Done::without_a_process(Err(error)))
}

/// A registry on this machine.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = registry.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

fn metadata(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    (inputs, step_env): Given<'_>,
) -> Result<Done, Failed> {
    let facts = &executor.rehearsal.facts;
    let event = facts.event.name.as_str();
    let request = landfall_check::github::context::event(facts, &run.job.run_workflow)
        .get("number")
        .map(|it| it.to_text());
    let git_ref = match request {
        // The action looks at the request, not at the branch that the run is for.
        Some(number) if event == "pull_request_target" => format!("refs/pull/{number}/merge"),
        _ => facts.event.git_ref.clone(),
    };
    let now_ms = executor.rehearsal.world.clock.wall().0;
    let made = metadata::metadata(
        inputs,
        &metadata::Facts {
            event,
            git_ref: &git_ref,
            sha: &facts.sha,
            base: event.starts_with("pull_request").then_some(facts.event.base_ref.as_str()),
            default_branch: &facts.default_branch,
            repository: &facts.repository,
            now_ms,
            commit_ms: commit_ms(executor).unwrap_or(now_ms),
            ahead: &ahead,
            variable: &|name| protocol::variable(run, step_env, name),
        },
    )?;
    for line in &made.lines {
        say(executor, run, line);
    }
    warn(executor, run, &made.warnings);
    let exports = protocol::variable(run, step_env, "DOCKER_METADATA_SET_OUTPUT_ENV");
    if exports.is_none_or(|value| !value.eq_ignore_ascii_case("false") && value != "0") {
        for (name, value) in &made.outputs {
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_uppercase();
            run.write_env(format!("DOCKER_METADATA_OUTPUT_{name}"), value.clone());
        }
    }
    Ok(Done { outputs: made.outputs, ..Done::without_a_process(Ok(())) })
}

/// When the run's commit was made, where the copy is a checkout.
fn commit_ms(executor: &Executor<'_>) -> Option<i64> {
    let rehearsal = executor.rehearsal;
    let mut git = std::process::Command::new("git");
    git.arg("-C").arg(&rehearsal.snapshot.dir).args([
        "show",
        "-s",
        "--format=%ct",
        &rehearsal.facts.sha,
        "--",
    ]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    let seconds: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    seconds.checked_mul(1000)
}

/// How far a time zone is ahead of UTC, in seconds, as this machine's `date` knows it.
fn ahead(zone: &str, at_seconds: i64) -> Option<i64> {
    let at = format!("@{at_seconds}");
    let words: [&str; 2] = if cfg!(target_os = "macos") { ["-r", &at[1..]] } else { ["-d", &at] };
    let output = std::process::Command::new("date").env("TZ", zone).args(words).arg("+%z").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..)?.parse::<i64>().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// The one platform of this machine.
pub(crate) fn own_platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

fn set_up_builder(executor: &Executor<'_>, run: &mut JobRun<'_>, (inputs, _): Given<'_>) -> Done {
    let said = |name: &str| {
        let found = inputs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    say(executor, run, "nothing is set up: this machine's own engine builds, as it is");
    let driver = said("driver").unwrap_or_else(|| DRIVER_DEFAULT.to_owned());
    let name = said("name").unwrap_or_else(|| {
        format!("builder-{}", landfall_wire::hash::hex(&executor.rehearsal.world.random::<8>()))
    });
    let platforms = own_platform();
    let endpoint = said("endpoint").unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let node = json!([{ "name": format!("{name}0"), "endpoint": endpoint, "status": "running", "platforms": platforms }]);
    run.builder = Some(driver.clone());
    let outputs = [
        ("name", name),
        ("driver", driver),
        ("platforms", platforms.to_owned()),
        ("nodes", node.to_string()),
        ("endpoint", endpoint),
        ("status", "running".to_owned()),
        ("flags", String::new()),
    ];
    let outputs = outputs.map(|(name, value)| (name.to_owned(), value)).into();
    Done { outputs, ..Done::without_a_process(Ok(())) }
}

fn set_up_emulator(executor: &Executor<'_>, run: &JobRun<'_>) -> Done {
    let platform = own_platform();
    say(executor, run, &format!("nothing is installed: this machine builds for {platform}"));
    let outputs = vec![("platforms".to_owned(), platform.to_owned())];
    Done { outputs, ..Done::without_a_process(Ok(())) }
}
