//! docker/login-action: ECR's logins are made by `landfall ecr login`, those of other registries on this machine by the
//! engine, and no other at all.

use std::path::{Path, PathBuf};

use landfall_check::github::Step;
use landfall_types::Secret;

use super::{Given, is_loopback, say};
use crate::actions::docker_login::{self, Login, Way};
use crate::home;
use crate::job::{JobRun, Post};
use crate::protocol::{self, Done, Failed, Place, What};
use crate::run::Executor;
use crate::step::{self, StepEnv};

/// Makes a step's logins, and has them end with the job.
pub(super) async fn run(
    executor: &mut Executor<'_>,
    run: &mut JobRun<'_>,
    step: &Step,
    (inputs, step_env): Given<'_>,
    name: &str,
) -> Result<Done, Failed> {
    let all = executor.rehearsal.world.registries.all();
    let in_ecr = |host: &str| {
        let known = all.iter().find(|(_, address)| address == host.split('/').next().unwrap_or_default());
        known.map(|(name, _)| name.clone())
    };
    let plan = docker_login::logins(inputs, &in_ecr)?;
    super::warn(executor, run, &plan.warnings);
    let landfall = run.folders.bin.join("landfall");
    let logout = |program: PathBuf, args: &[&str], further| Post {
        name: format!("Post {name}"),
        program,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        place: Place::Machine,
        further,
        condition: None,
        span: step.span,
        step_env: step_env.clone(),
    };
    let mut posts = Vec::new();
    for Login { registry, way } in &plan.logins {
        match way {
            Way::Ecr { registries, key } => {
                let mut args = vec!["ecr".to_owned(), "login".to_owned()];
                say(executor, run, &of_ecr(run, registries, step_env));
                args.extend(of_registry(run, registries, step_env));
                let what = What::here(landfall.clone(), args, run, step_env, of_key(key.as_ref()));
                let done = step::with_limit(executor, run, step, what, name).await;
                if done.result.is_err() {
                    return Ok(done);
                }
                if posts.is_empty() {
                    posts.push(logout(landfall.clone(), &["ecr", "logout"], Vec::new()));
                }
            }
            Way::Password { user, password } => {
                let host = home::bring_home(registry, &executor.at_home());
                let host = host.unwrap_or_else(|_| registry.clone());
                if !is_loopback(&host) {
                    let line = format!("no login to {registry}: a rehearsal never leaves this machine");
                    say(executor, run, &line);
                    continue;
                }
                let engine = executor.engine().await?;
                let config = protocol::variable(run, step_env, "DOCKER_CONFIG").unwrap_or_default();
                say(executor, run, &format!("Logging into {registry}..."));
                engine.log_in(&host, (user, password.expose()), Path::new(&config)).await?;
                say(executor, run, "Login Succeeded!");
                posts.push(logout(engine.program.clone(), &["logout", &host], engine.variables()));
            }
        }
    }
    if plan.log_out {
        run.posts.extend(posts);
    }
    Ok(Done::without_a_process(Ok(())))
}

/// The variables of a key that the step hands over; it has no session.
fn of_key(key: Option<&(String, Secret<String>)>) -> Vec<(String, String)> {
    let Some((id, secret)) = key else { return Vec::new() };
    let variables = [
        ("AWS_ACCESS_KEY_ID", id.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret.expose().clone()),
        ("AWS_SESSION_TOKEN", String::new()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What the action says before it asks ECR.
fn of_ecr(run: &JobRun<'_>, registry: &str, step_env: &StepEnv) -> String {
    let variable = |name: &str| protocol::variable(run, step_env, name);
    match docker_login::region(registry) {
        Some(region) => format!("AWS ECR detected with {region} region"),
        None => {
            let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
            format!("AWS Public ECR detected with {} region", region.as_deref().unwrap_or("us-east-1"))
        }
    }
}

/// What `landfall ecr login` takes for a registry, with those of the accounts in `AWS_ACCOUNT_IDS`. A private one is
/// told by its account, so that the login is for the name that it has here.
fn of_registry(run: &JobRun<'_>, registry: &str, step_env: &StepEnv) -> Vec<String> {
    let Some((region, account)) = docker_login::region(registry).zip(registry.split('.').next()) else {
        return vec![format!("--registries={registry}")];
    };
    let more = protocol::variable(run, step_env, "AWS_ACCOUNT_IDS").unwrap_or_default();
    let further = more.split(',').map(str::trim).filter(|other| !other.is_empty() && *other != account);
    let further = further.map(|other| format!(",{other}")).collect::<String>();
    vec![format!("--registries={account}{further}"), format!("--aws-region={region}")]
}
