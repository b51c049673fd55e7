//! Tasks take roles: the execution role to pull and to log, the task role for what runs in them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>

use std::sync::Arc;

use landfall_policy::decide::Named;
use landfall_policy::{Context, Layers, Principal, Request, decide, explain};
use landfall_types::{Arn, Finding};
use landfall_wire::error::AwsError;

use crate::caller::Session;
use crate::log::{Entry, Verdict};
use crate::store::Role;
use crate::store::ecs::{Place, Task};
use crate::world::World;

/// The principal that a role has to trust.
const TASKS: &str = "ecs-tasks.amazonaws.com";
/// How long a task's session lasts, in seconds; it is given another before.
pub(super) const SESSION_SECONDS: i64 = 21_600;

/// Who takes a role, and what for.
pub(crate) struct Taker<'a> {
    /// The service's principal, which the role has to trust.
    pub(crate) principal: &'a str,
    /// Where.
    pub(crate) place: &'a Place,
    /// `aws:SourceArn`.
    pub(crate) source: String,
    /// The session's name.
    pub(crate) session_name: String,
    /// The id of the request that it is taken for, or one of its own.
    pub(crate) request_id: String,
}

/// The session of a task in a role, named by the task's id.
///
/// # Errors
/// ECS's sentence, when there is no such role or it doesn't trust tasks.
pub(super) fn assume(world: &World, task: &Task, role_arn: &str) -> Result<Session, String> {
    let (source, session_name) = (task.arn(), task.id.clone());
    let request_id = world.request_id();
    let taker = Taker { principal: TASKS, place: &task.place, source, session_name, request_id };
    assume_as(world, &taker, role_arn).map_err(|()| refusal(role_arn))
}

/// ECS's sentence for a role that isn't there or doesn't trust tasks.
fn refusal(role_arn: &str) -> String {
    format!(
        "ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    )
}

/// The roles of a task that is about to be launched: ECS tries to take them first (captured). `source` is the task's ARN.
///
/// # Errors
/// ECS's sentence about the first that can't be taken.
pub(crate) fn check<'r>(
    world: &World,
    place: &Place,
    source: &str,
    roles: impl IntoIterator<Item = &'r str>,
) -> Result<(), String> {
    let session_name = source.rsplit('/').next().unwrap_or_default().to_owned();
    let request_id = world.request_id();
    let taker = Taker { principal: TASKS, place, source: source.to_owned(), session_name, request_id };
    for role_arn in roles {
        // What is taken for the task later is noted then.
        taken(world, &taker, role_arn, false).map_err(|()| refusal(role_arn))?;
    }
    Ok(())
}

/// Why tasks can't take a role, if they can't.
pub(crate) fn finding(world: &World, place: &Place, role_arn: &str) -> Option<Finding> {
    let source = place.arn("task/cluster/00000000000000000000000000000000");
    let request_id = world.request_id();
    let taker = Taker { principal: TASKS, place, source, session_name: String::new(), request_id };
    let before = world.log.last();
    taken(world, &taker, role_arn, false).err()?;
    world.log.after(before).into_iter().find_map(|record| record.finding.clone())
}

/// The session of a service in a role.
pub(crate) fn assume_as(world: &World, taker: &Taker<'_>, role_arn: &str) -> Result<Session, ()> {
    let role = taken(world, taker, role_arn, true)?;
    let now = world.clock.now();
    Ok(Session {
        access_key_id: crate::sts::key_id(world, &role.arn),
        account: taker.place.account.to_string(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: taker.session_name.clone(),
        issued_at_ms: now.0,
        expires_at_ms: world.clock.ends_from(now, SESSION_SECONDS).0,
        provider: None,
        federated_keys: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        policies: None,
        default_regions_only: false,
    })
}

/// The role, if it may be taken. A refusal is always noted.
fn taken(world: &World, taker: &Taker<'_>, role_arn: &str, notes_all: bool) -> Result<Arc<Role>, ()> {
    let request = request(taker, role_arn, world);
    let refused = || format!("{} may not take the role", taker.principal);
    let Some(role) = find(world, taker.place, role_arn) else {
        note(world, taker, role_arn, Err(refused()), None);
        return Err(());
    };
    let trust = Named { name: format!("trust policy of {}", role.name).into(), policy: &role.trust.policy };
    let decision = decide(&Layers { trust: Some(trust), ..Layers::default() }, &request);
    if !decision.is_allowed() {
        let finding = explain::finding(&decision, &request, &world.sources);
        note(world, taker, role_arn, Err(refused()), Some((decision, request, Some(finding))));
        return Err(());
    }
    if notes_all {
        note(world, taker, role_arn, Ok(()), Some((decision, request, None)));
    }
    Ok(role)
}

fn find(world: &World, place: &Place, role_arn: &str) -> Option<Arc<Role>> {
    let Ok(arn) = Arn::parse(role_arn) else { return world.store.role(place.account, role_arn) };
    // A service takes roles of the account that it acts in.
    let (path, name) = arn.role_path_and_name().filter(|_| arn.account == place.account.as_str())?;
    world.store.role(place.account, name).filter(|role| role.path == path)
}

fn request(taker: &Taker<'_>, role_arn: &str, world: &World) -> Request {
    let mut context = Context::new();
    let now = world.clock.now();
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", now.seconds().to_string());
    context.set("aws:SourceAccount", taker.place.account.as_str());
    context.set("aws:SourceArn", taker.source.clone());
    context.set("aws:PrincipalIsAWSService", "true");
    context.set("aws:PrincipalServiceName", taker.principal);
    Request {
        principal: Principal::Service { name: taker.principal.to_owned() },
        action: "sts:AssumeRole".to_owned(),
        resource: role_arn.to_owned(),
        resource_account: taker.place.account.to_string(),
        context,
    }
}

type Decided = (landfall_policy::Decision, Request, Option<Finding>);

fn note(
    world: &World,
    taker: &Taker<'_>,
    role_arn: &str,
    result: Result<(), String>,
    decided: Option<Decided>,
) {
    let verdict = match &result {
        Ok(()) => Verdict::Allowed,
        Err(message) => Verdict::refused(&AwsError::new("AccessDenied", 403, message.clone())),
    };
    let (decision, finding) = match decided {
        Some((decision, request, finding)) => (Some((decision, request)), finding),
        None => {
            let finding = Finding::error("role-missing", format!("there is no role `{role_arn}`"))
                .help("make the role, or name another one: the Terraform of --infra can describe it");
            (None, Some(finding))
        }
    };
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: taker.request_id.clone(),
            service: "sts",
            operation: "AssumeRole".to_owned(),
            caller: format!("{} for {}", taker.principal, taker.source),
            action: Some("sts:AssumeRole".to_owned()),
            resource: Some(role_arn.to_owned()),
            verdict,
            decision,
            finding,
            claims: None,
        },
    );
}
