//! Revisions: what an application was given to deploy. CodeDeploy keeps those that were registered, by a call or by
//! the first deployment of one.

use landfall_wire::error::AwsError;
use landfall_wire::hash::sha256_hex;
use landfall_wire::json::Input;
use serde_json::{Map, Value, json};

use super::{Called, applications, bad_token, check_description, error, seconds, tags};
use crate::authz::codedeploy_calls as calls;
use crate::page::Page;
use crate::store::Writing;
use crate::store::codedeploy::{Deployment, Revision};
use crate::store::ecs::Place;

/// Revisions that are looked at once.
const DESCRIBED_MAX: usize = 25;
/// Revisions of one page.
const PAGE_REVISIONS: usize = 100;

/// Where a revision can be, with the member that says so and what has to be in it.
const LOCATIONS: [(&str, &str, &[&str]); 4] = [
    ("AppSpecContent", "appSpecContent", &["content"]),
    ("String", "string", &["content"]),
    ("S3", "s3Location", &["bucket", "key", "bundleType"]),
    ("GitHub", "gitHubLocation", &["repository", "commitId"]),
];

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "RegisterApplicationRevision" => register(call),
        "GetApplicationRevision" => get(call),
        "BatchGetApplicationRevisions" => batch_get(call),
        "ListApplicationRevisions" => list(call),
        _ => return None,
    })
}

fn wrong(message: impl Into<String>) -> AwsError {
    error("InvalidRevisionException", message)
}

/// A revision's location as answers have it.
fn location(revision: Input<'_>) -> Result<Value, AwsError> {
    let kind = revision.text("revisionType")?.unwrap_or_default();
    let Some((_, member, needed)) = LOCATIONS.iter().find(|(known, ..)| *known == kind) else {
        let known: Vec<&str> = LOCATIONS.iter().map(|(known, ..)| *known).collect();
        return Err(wrong(format!("{kind} is no revision type: {} are expected", known.join(", "))));
    };
    let given = revision.object(member)?.ok_or_else(|| wrong(format!("The revision has no {member}")))?;
    for name in *needed {
        if given.text(name)?.is_none_or(str::is_empty) {
            return Err(wrong(format!("The revision's {member} has no {name}")));
        }
    }
    let mut members = Map::new();
    for name in
        ["content", "sha256", "bucket", "key", "bundleType", "version", "eTag", "repository", "commitId"]
    {
        if let Some(text) = given.text(name)? {
            members.insert(name.to_owned(), Value::from(text));
        }
    }
    if let Some(content) = given.text("content")? {
        super::appspec::check_digest(given, content)?;
        members.insert("sha256".to_owned(), Value::from(sha256_hex(content.as_bytes())));
    }
    Ok(json!({ "revisionType": kind, *member: members }))
}

/// What tells a revision from others of its application.
fn digest(location: &Value) -> String {
    sha256_hex(location.to_string().as_bytes())
}

fn of_call(call: &Called<'_>) -> Result<Value, AwsError> {
    let given = call.input.object("revision")?;
    location(given.ok_or_else(|| error("RevisionRequiredException", "You must provide a revision"))?)
}

/// Notes that a revision was deployed; the first deployment of one that isn't registered registers it.
pub(super) fn note_use(writing: &mut Writing<'_>, deployment: &Deployment) {
    let location = super::shapes::revision(&deployment.revision);
    let key = deployment.place.key(&[&deployment.application, &digest(&location)]);
    let now = deployment.created_ms;
    let known = writing.get::<Revision>(&key).map(|known| (*known).clone());
    // The description is CodeDeploy's own (AWS CLI reference, `get-application-revision`).
    let mut revision = known.unwrap_or_else(|| Revision {
        place: deployment.place.clone(),
        application: deployment.application.clone(),
        digest: digest(&location),
        location,
        description: Some(format!("Application revision registered by Deployment ID: {}", deployment.id)),
        registered_ms: now,
        first_used_ms: None,
        last_used_ms: None,
    });
    revision.first_used_ms.get_or_insert(now);
    revision.last_used_ms = Some(now);
    writing.put(revision);
}

fn register(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = applications::named(call)?;
    let permit = tags::on_application::<calls::RegisterApplicationRevision>(call, &name, Vec::new())?;
    applications::is_there(call, &call.place, &name)?;
    let description = call.input.text("description")?.map(str::to_owned);
    check_description(description.as_deref())?;
    let location = of_call(call)?;
    if location.get("appSpecContent").is_some() {
        super::appspec::read(call)?;
    }
    let revision = Revision {
        place: call.place.clone(),
        application: name.clone(),
        digest: digest(&location),
        location,
        description,
        registered_ms: call.now_ms(),
        first_used_ms: None,
        last_used_ms: None,
    };
    call.write(&permit, |writing| {
        let known = writing.get::<Revision>(&call.place.key(&[&name, &revision.digest]));
        let used = known.map_or((None, None), |known| (known.first_used_ms, known.last_used_ms));
        writing.put(Revision { first_used_ms: used.0, last_used_ms: used.1, ..revision });
        Ok(())
    })?;
    Ok(json!({}))
}

/// The groups whose current target a revision is: those whose newest deployment deploys it.
fn targets(call: &Called<'_>, place: &Place, revision: &Revision) -> Vec<String> {
    let mut newest: std::collections::BTreeMap<String, (i64, String)> = std::collections::BTreeMap::new();
    for deployment in call.world.store.list::<Deployment>(&place.all()) {
        if deployment.application != revision.application {
            continue;
        }
        let told = (deployment.created_ms, digest(&super::shapes::revision(&deployment.revision)));
        let known = newest.entry(deployment.group.clone()).or_insert_with(|| told.clone());
        if known.0 < told.0 {
            *known = told;
        }
    }
    newest.into_iter().filter(|(_, (_, digest))| *digest == revision.digest).map(|(group, _)| group).collect()
}

fn info(call: &Called<'_>, revision: &Revision) -> Value {
    let mut info = json!({
        "deploymentGroups": targets(call, &call.place, revision),
        "registerTime": seconds(revision.registered_ms),
    });
    if let Some(description) = &revision.description {
        info["description"] = json!(description);
    }
    for (member, at) in [("firstUsedTime", revision.first_used_ms), ("lastUsedTime", revision.last_used_ms)] {
        if let Some(at) = at {
            info[member] = seconds(at);
        }
    }
    info
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = applications::named(call)?;
    tags::on_application::<calls::GetApplicationRevision>(call, &name, Vec::new())?;
    applications::is_there(call, &call.place, &name)?;
    let location = of_call(call)?;
    let known = call.world.store.get::<Revision>(&call.place.key(&[&name, &digest(&location)]));
    let known = known.ok_or_else(|| {
        error("RevisionDoesNotExistException", format!("No revision found for application: {name}"))
    })?;
    Ok(json!({ "applicationName": name, "revision": location, "revisionInfo": info(call, &known) }))
}

fn batch_get(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = applications::named(call)?;
    tags::on_application::<calls::BatchGetApplicationRevisions>(call, &name, Vec::new())?;
    applications::is_there(call, &call.place, &name)?;
    let asked = call.input.objects("revisions")?;
    if asked.is_empty() {
        return Err(error("RevisionRequiredException", "You must provide a revision"));
    }
    super::check_batch(asked.len(), DESCRIBED_MAX)?;
    let (mut found, mut missing) = (Vec::new(), 0_usize);
    for revision in asked {
        let location = location(revision)?;
        match call.world.store.get::<Revision>(&call.place.key(&[&name, &digest(&location)])) {
            Some(known) => found.push(json!({
                "revisionLocation": location,
                "genericRevisionInfo": info(call, &known),
            })),
            None => missing += 1,
        }
    }
    let mut answer = json!({ "applicationName": name, "revisions": found });
    if missing > 0 {
        answer["errorMessage"] = json!(format!("{missing} of the revisions are not registered"));
    }
    Ok(answer)
}

/// One of the words that a member can be.
fn word<'a>(
    call: &Called<'a>,
    member: &str,
    words: &[&str],
    code: &'static str,
) -> Result<Option<&'a str>, AwsError> {
    match call.input.text(member)? {
        Some(given) if !words.contains(&given) => {
            Err(error(code, format!("{given} is no {member}: {} are expected", words.join(", "))))
        }
        given => Ok(given),
    }
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = applications::named(call)?;
    tags::on_application::<calls::ListApplicationRevisions>(call, &name, Vec::new())?;
    applications::is_there(call, &call.place, &name)?;
    let sort =
        word(call, "sortBy", &["registerTime", "firstUsedTime", "lastUsedTime"], "InvalidSortByException")?;
    let order = word(call, "sortOrder", &["ascending", "descending"], "InvalidSortOrderException")?;
    let deployed =
        word(call, "deployed", &["include", "exclude", "ignore"], "InvalidDeployedStateFilterException")?;
    let (bucket, prefix) = (call.input.text("s3Bucket")?, call.input.text("s3KeyPrefix")?);
    if prefix.is_some() && bucket.is_none() {
        let message = "A bucket name is required, but was not provided.";
        return Err(error("BucketNameFilterRequiredException", message));
    }
    let mut all = call.world.store.list::<Revision>(&call.place.in_cluster(&name));
    let place = |revision: &Revision, member: &str| {
        revision.location.pointer(&format!("/s3Location/{member}")).and_then(Value::as_str).map(str::to_owned)
    };
    all.retain(|one| bucket.is_none_or(|bucket| place(one, "bucket").as_deref() == Some(bucket)));
    all.retain(|one| {
        prefix.is_none_or(|prefix| place(one, "key").is_some_and(|key| key.starts_with(prefix)))
    });
    match deployed {
        Some("include") => all.retain(|one| !targets(call, &call.place, one).is_empty()),
        Some("exclude") => all.retain(|one| targets(call, &call.place, one).is_empty()),
        _ => {}
    }
    all.sort_by_key(|one| match sort {
        Some("firstUsedTime") => one.first_used_ms,
        Some("lastUsedTime") => one.last_used_ms,
        _ => Some(one.registered_ms),
    });
    if order == Some("descending") {
        all.reverse();
    }
    let page = Page::at(call.input.text("nextToken")?, PAGE_REVISIONS).ok_or_else(bad_token)?;
    Ok(page.answer("revisions", &all, |one| one.digest.clone(), |one| one.location.clone()))
}
