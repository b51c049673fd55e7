//! `--infra` of the commands that call AWS: why a call was refused, by the policies at hand.

use std::path::PathBuf;
use std::sync::Arc;

use landfall_check::render;
use landfall_deliver::Failure;
use landfall_deliver::deploy::denied::{self, Denied};
use landfall_policy::{Decision, Denial, Layer, Outcome, PolicyKind};
use landfall_serve::authz::{self, Asked};
use landfall_serve::caller::{Caller, CallingUser};
use landfall_serve::ecs::runner;
use landfall_types::{Arn, Finding, SourceMap};
use landfall_wire::error::Protocol;
use serde_json::{Value, json};

use super::explain::session_of;
use super::role::{self, Offline, RoleSource};
use crate::{files, ui};

/// Where the policies are that AWS's refusals are held against.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct InfraArgs {
    /// Terraform or a policy (JSON) at hand: when AWS refuses a call, it is said which statement or clause did
    #[arg(long, value_name = "PATH")]
    infra: Vec<PathBuf>,
}

/// Condition keys that the call had, as far as whoever made it knows them.
pub type Keys = Vec<(String, Vec<String>)>;

impl InfraArgs {
    /// A refusal with the reason that the policies at hand have for it.
    pub fn explained(&self, failure: impl Into<Failure>) -> Failure {
        explained(failure.into(), &self.infra, Keys::new())
    }

    /// The reason for a refusal that AWS tells in a sentence, where it is one of a permission.
    pub fn why(&self, text: &str) -> Option<Why> {
        why(text, &self.infra, Keys::new())
    }

    /// The same for a call that failed.
    pub fn why_failed(&self, failure: &Failure) -> Option<Why> {
        self.why(refusal(failure)?)
    }
}

/// What the policies at hand say of a refusal.
pub enum Why {
    /// They refuse it as well: the statement or clause, with its places.
    Refused(Box<Finding>, SourceMap),
    /// They don't, or it isn't known; one line.
    Note(String),
}

impl Why {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self::Refused(finding, sources) => ui::finding_text(finding, sources),
            Self::Note(text) => format!("note: {text}"),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Refused(finding, sources) => {
                json!({ "finding": render::json(finding, sources), "note": null })
            }
            Self::Note(text) => json!({ "finding": null, "note": text }),
        }
    }
}

/// The sentence of a failure that tells of a missing permission.
fn refusal(failure: &Failure) -> Option<&str> {
    let texts = std::iter::once(&failure.message).chain(&failure.details);
    let is_one = |text: &&str| denied::parse(text).is_some() || denied::untaken_role(text).is_some();
    texts.map(String::as_str).find(is_one)
}

/// A failure with the reason that the policies have for it, if it is a refused call.
pub fn explained(mut failure: Failure, paths: &[PathBuf], keys: Keys) -> Failure {
    let why = refusal(&failure).and_then(|text| why(text, paths, keys));
    failure.details.extend(why.map(|why| why.text()));
    failure
}

fn why(text: &str, paths: &[PathBuf], keys: Keys) -> Option<Why> {
    if paths.is_empty() {
        return None;
    }
    let sources = SourceMap::new();
    let shown = paths.iter().map(|path| files::shown(path)).collect::<Vec<_>>().join(", ");
    let Some(denied) = denied::parse(text) else {
        let role = denied::untaken_role(text)?;
        return Some(match untaken(role, paths, &sources) {
            Err(failure) => Why::Note(format!("{shown} doesn't say why: {failure}")),
            Ok(None) => Why::Note(format!(
                "by {shown} tasks may take {role}: what is in force in the account is something else"
            )),
            Ok(Some(finding)) => Why::Refused(Box::new(finding), sources),
        });
    };
    Some(Why::Note(match reason(&denied, paths, keys, &sources) {
        Err(failure) => format!("{shown} doesn't say why: {failure}"),
        Ok(Reason::Allowed) => format!(
            "by {shown} {} on {} is allowed: what is in force in the account is something else",
            denied.action, denied.resource
        ),
        Ok(Reason::OtherSide(account)) => format!(
            "by {shown} the caller may do it: the trust policy of {} is what refuses, and it is in account \
             {account}, of which {shown} says nothing",
            denied.resource
        ),
        Ok(Reason::Refused(finding)) => return Some(Why::Refused(Box::new(finding), sources)),
    }))
}

/// Why ECS can't take a role for tasks, if the policies have it so.
fn untaken(role: &str, paths: &[PathBuf], sources: &SourceMap) -> Result<Option<Finding>, Failure> {
    let account = Arn::parse(role).ok().and_then(|arn| arn.account_id());
    let account = account.ok_or_else(|| Failure::usage(format!("{role} is not the ARN of a role")))?;
    let source = source(paths, Some(account.to_string()));
    let Offline { world, .. } = role::offline(sources, account, &source)?;
    Ok(runner::why_not_taken(&world, role))
}

/// The policies at hand: Terraform in folders, and a document.
fn source(paths: &[PathBuf], account: Option<String>) -> RoleSource {
    let (documents, infra): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_file());
    RoleSource { infra, policy: documents.into_iter().next(), account, ..RoleSource::default() }
}

/// What the policies say of a call that was refused.
enum Reason {
    /// They allow it.
    Allowed,
    /// The caller's side allows it, and nothing is known of the role in another account.
    OtherSide(String),
    /// They refuse it too.
    Refused(Finding),
}

fn reason(
    denied: &Denied,
    paths: &[PathBuf],
    mut keys: Keys,
    sources: &SourceMap,
) -> Result<Reason, Failure> {
    let caller = Arn::parse(&denied.caller)
        .map_err(|_| Failure::usage(format!("AWS's message names no caller: `{}`", denied.caller)))?;
    let account = caller.account_id();
    let source = source(paths, account.map(|account| account.to_string()));
    let (world, identity, _blobs) = who(&caller, &source, sources)?;
    add_keys(&mut keys, denied);
    let resource = Arn::parse(&denied.resource).ok();
    let resource_account = resource.as_ref().map(|arn| arn.account.clone()).filter(|id| !id.is_empty());
    let policies = landfall_serve::ecr::policies_of(&world, &denied.resource);
    let asked = Asked {
        caller: &identity,
        region: resource
            .as_ref()
            .map(|arn| arn.region.as_str())
            .filter(|region| !region.is_empty())
            .unwrap_or(&world.settings.default_region),
        resource: denied.resource.clone(),
        resource_account: resource_account.unwrap_or_else(|| caller.account.clone()),
        resource_policies: &policies,
        keys,
        request_id: "why",
    };
    let target = resource
        .clone()
        .filter(|arn| arn.role_path_and_name().is_some() && denied.action == "sts:AssumeRole");
    if let Some(target) = target {
        let role = target.account_id().zip(target.role_path_and_name());
        let role = role.and_then(|(account, (_, name))| world.store.role(account, name));
        if let Some(role) = role {
            let before = world.log.last();
            if authz::authorize_role(&world, &asked, Some(&role), &[], Protocol::IAM).is_ok() {
                return Ok(Reason::Allowed);
            }
            let record = world.log.after(before).into_iter().next();
            return Ok(record
                .and_then(|record| record.finding.clone())
                .map_or(Reason::Allowed, Reason::Refused));
        }
    }
    let (decision, request, _) = authz::explain_call(&world, &asked, None, &denied.action);
    if decision.is_allowed() {
        return Ok(Reason::Allowed);
    }
    if denied.action == "sts:AssumeRole" && asked.resource_account != caller.account && caller_may(&decision)
    {
        return Ok(Reason::OtherSide(asked.resource_account.clone()));
    }
    Ok(Reason::Refused(authz::explanation(&world, &identity, &decision, &request)))
}

/// Whether only the other side of a call is missing: what is the caller's own has nothing against it.
fn caller_may(decision: &Decision) -> bool {
    let is_other_side = matches!(
        decision.outcome,
        Outcome::Denied(Denial::Implicit { layer: Layer::Trust | Layer::Resource })
    );
    is_other_side && decision.misses.iter().all(|miss| miss.statement.layer != Layer::Identity)
}

/// The caller as the policies have it: a role's session, or a user.
fn who(
    arn: &Arn,
    source: &RoleSource,
    sources: &SourceMap,
) -> Result<(Arc<landfall_serve::World>, Caller, Arc<tempfile::TempDir>), Failure> {
    if let Some((role, session)) =
        arn.resource.strip_prefix("assumed-role/").and_then(|rest| rest.split_once('/'))
    {
        let standing = role::find(sources, role, source, PolicyKind::Identity, None)?;
        let caller = session_of(&standing.world, &standing.role, session, Vec::new());
        return Ok((standing.side.world, caller, standing.side.blobs));
    }
    let name = arn.resource.strip_prefix("user/").map(|path| path.rsplit('/').next().unwrap_or(path));
    let (Some(name), Some(account)) = (name, arn.account_id()) else {
        return Err(Failure::usage(format!("{arn} is no role's session and no user")));
    };
    let Offline { world, blobs, .. } = role::offline(sources, account, source)?;
    let user = world.store.user(account, name);
    let user =
        user.ok_or_else(|| Failure::usage(format!("there is no user `{name}` in account {account}")))?;
    let caller = CallingUser {
        account: account.to_string(),
        path: user.path.clone(),
        name: user.name.clone(),
        id: user.id.clone(),
        access_key_id: String::new(),
        session_issued_at_ms: None,
    };
    Ok((world, Caller::User(Arc::new(caller)), blobs))
}

/// Keys that follow from the call itself.
fn add_keys(keys: &mut Keys, denied: &Denied) {
    if denied.action == "iam:PassRole" {
        keys.push(("iam:PassedToService".to_owned(), vec!["ecs-tasks.amazonaws.com".to_owned()]));
    }
    let Ok(arn) = Arn::parse(&denied.resource) else { return };
    let mut parts = arn.resource.split('/');
    let in_cluster =
        matches!(parts.next(), Some("service" | "task" | "service-deployment" | "service-revision"));
    if let (true, Some(cluster), Some(_)) = (arn.service == "ecs" && in_cluster, parts.next(), parts.next()) {
        let cluster = Arn { resource: format!("cluster/{cluster}"), ..arn.clone() };
        keys.push(("ecs:cluster".to_owned(), vec![cluster.to_string()]));
    }
}
