//! Tasks take roles: the execution role to pull and to log, the task role for what runs in them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>

use std::sync::Arc;

use landfall_policy::decide::Named;
use landfall_policy::{Context, Decision, Layers, Principal, Request, decide, explain};
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
    /// The id of the request that it is taken for, or one of its own.
    pub(crate) request_id: String,
}

/// The session of a task in a role, named by the task's id.
///
/// # Errors
/// ECS's sentence, when there is no such role or it doesn't trust tasks.
pub(super) fn assume(world: &World, task: &Task, role_arn: &str) -> Result<Session, String> {
    let request_id = world.request_id();
    let taker = Taker { principal: TASKS, place: &task.place, source: task.arn(), request_id };
    assume_as(world, &taker, &task.id, role_arn).map_err(|_| refusal(role_arn))
}

/// Whether a sentence is about a role that ECS couldn't take.
pub(crate) fn is_refusal(sentence: &str) -> bool {
    sentence.contains("ECS was unable to assume the role")
}

/// ECS's sentence for a role that isn't there or doesn't trust tasks.
fn refusal(role_arn: &str) -> String {
    format!(
        "ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    )
}

/// The roles of a task that is about to be launched: ECS tries to take them first (captured). `source` is the task's ARN,
/// and `request_id` that of the request that asks for it.
///
/// # Errors
/// ECS's sentence about the first that can't be taken.
pub(crate) fn check<'r>(
    world: &World,
    place: &Place,
    source: String,
    request_id: String,
    roles: impl IntoIterator<Item = &'r str>,
) -> Result<(), String> {
    let taker = Taker { principal: TASKS, place, source, request_id };
    for role_arn in roles {
        // What is taken for the task later is noted then.
        taken(world, &taker, role_arn, false).map_err(|_| refusal(role_arn))?;
    }
    Ok(())
}

/// Why tasks can't take a role, if they can't.
pub(crate) fn finding(world: &World, place: &Place, role_arn: &str) -> Option<Finding> {
    let source = place.arn("task/cluster/00000000000000000000000000000000");
    let taker = Taker { principal: TASKS, place, source, request_id: world.request_id() };
    taken(world, &taker, role_arn, false).err().map(|finding| *finding)
}

/// The session of a service in a role.
///
/// # Errors
/// Why it may not take the role.
pub(crate) fn assume_as(
    world: &World,
    taker: &Taker<'_>,
    session_name: &str,
    role_arn: &str,
) -> Result<Session, Box<Finding>> {
    let role = taken(world, taker, role_arn, true)?;
    let now = world.clock.now();
    Ok(Session {
        access_key_id: crate::sts::key_id(world, &role.arn),
        account: taker.place.account.to_string(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: session_name.to_owned(),
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

/// The role, if it may be taken. A refusal is always noted, and what it is made of is given back.
fn taken(
    world: &World,
    taker: &Taker<'_>,
    role_arn: &str,
    notes_all: bool,
) -> Result<Arc<Role>, Box<Finding>> {
    let role = match find(world, taker.place, role_arn) {
        Ok(role) => role,
        Err(finding) => {
            note(world, taker, role_arn, None, Some(finding.clone()));
            return Err(Box::new(finding));
        }
    };
    let request = request(taker, role_arn, world);
    let trust = Named { name: format!("trust policy of {}", role.name).into(), policy: &role.trust.policy };
    let decision = decide(&Layers { trust: Some(trust), ..Layers::default() }, &request);
    if !decision.is_allowed() {
        let finding = explain::finding(&decision, &request, &world.sources);
        note(world, taker, role_arn, Some((decision, request)), Some(finding.clone()));
        return Err(Box::new(finding));
    }
    if notes_all {
        note(world, taker, role_arn, Some((decision, request)), None);
    }
    Ok(role)
}

/// The role that a service is told to take.
///
/// # Errors
/// Why there is none.
fn find(world: &World, place: &Place, role_arn: &str) -> Result<Arc<Role>, Finding> {
    let missing = || Finding::error("role-missing", format!("there is no role `{role_arn}`"));
    let arn = Arn::parse(role_arn).ok();
    if let Some(arn) = arn.as_ref().filter(|arn| arn.account != place.account.as_str()) {
        let (own, other) = (place.account, &arn.account);
        return Err(missing()
            .note(format!(
                "a service takes roles of the account that it acts in, {own}, and this one is of {other}"
            ))
            .help(format!("name a role of {own}")));
    }
    let name = role_arn.rsplit('/').next().unwrap_or_default();
    match world.store.role(place.account, name) {
        Some(role) if arn.as_ref().is_none_or(|arn| *arn == role.arn) => Ok(role),
        Some(role) => {
            Err(missing().help(format!("write {}: it is part of a role's ARN where it lies", role.arn)))
        }
        None => {
            Err(missing()
                .help("make the role, or name another one: the Terraform of --infra can describe it"))
        }
    }
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

fn note(
    world: &World,
    taker: &Taker<'_>,
    role_arn: &str,
    decision: Option<(Decision, Request)>,
    finding: Option<Finding>,
) {
    let verdict = match &finding {
        None => Verdict::Allowed,
        Some(_) => {
            let message = format!("{} may not take the role", taker.principal);
            Verdict::refused(&AwsError::new("AccessDenied", 403, message))
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
