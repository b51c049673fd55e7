//! Applications: names under which deployment groups stand.

use landfall_wire::error::AwsError;
use landfall_wire::ids;
use serde_json::{Value, json};

use super::{Called, Fault, bad_token, check_batch, check_name, error, seconds, tags};
use crate::authz::codedeploy_calls as calls;
use crate::page::Page;
use crate::store::Writing;
use crate::store::codedeploy::{Application, Deployment, Group, Revision};
use crate::store::ecs::Place;

/// Applications that are looked at once.
const DESCRIBED_MAX: usize = 100;
/// Names of one page.
const PAGE_NAMES: usize = 100;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateApplication" => create(call),
        "GetApplication" => get(call),
        "BatchGetApplications" => batch_get(call),
        "ListApplications" => list(call),
        "UpdateApplication" => update(call),
        "DeleteApplication" => delete(call),
        _ => return None,
    })
}

/// The application that a call names.
pub(super) fn named(call: &Called<'_>) -> Result<String, AwsError> {
    let name = call.input.required_text("applicationName")?;
    check_name("applicationName", name)?;
    Ok(name.to_owned())
}

pub(super) fn no_application(name: &str) -> AwsError {
    error("ApplicationDoesNotExistException", format!("No application found for name: {name}"))
}

pub(super) fn is_there(call: &Called<'_>, place: &Place, name: &str) -> Result<(), AwsError> {
    let known = call.world.store.get::<Application>(&place.key(&[name]));
    known.map(|_| ()).ok_or_else(|| no_application(name))
}

fn taken(name: &str) -> Fault {
    Fault::from(error("ApplicationAlreadyExistsException", format!("Application already exists: {name}")))
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = named(call)?;
    let (given, keys) = tags::given(call.input, "tags")?;
    let permit = tags::on_application::<calls::CreateApplication>(call, &name, keys)?;
    super::check_platform(call.input.text("computePlatform")?.unwrap_or("ECS"))?;
    let id = ids::request_id(call.world.random());
    let application = Application {
        place: call.place.clone(),
        name: name.clone(),
        id: id.clone(),
        tags: given,
        created_ms: call.now_ms(),
    };
    call.write(&permit, |writing| {
        if writing.get::<Application>(&call.place.key(&[&name])).is_some() {
            return Err(taken(&name));
        }
        writing.put(application);
        Ok(())
    })?;
    Ok(json!({ "applicationId": id }))
}

fn render(known: &Application) -> Value {
    json!({
        "applicationId": known.id,
        "applicationName": known.name,
        "createTime": seconds(known.created_ms),
        "linkedToGitHub": false,
        "computePlatform": "ECS",
    })
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = named(call)?;
    tags::on_application::<calls::GetApplication>(call, &name, Vec::new())?;
    let known = call.world.store.get::<Application>(&call.place.key(&[&name]));
    Ok(json!({ "application": render(&*known.ok_or_else(|| no_application(&name))?) }))
}

/// Decided on each application that it names.
fn batch_get(call: &Called<'_>) -> Result<Value, AwsError> {
    let names = call.input.texts("applicationNames")?;
    if names.is_empty() {
        return Err(super::missing("applicationName", ""));
    }
    check_batch(names.len(), DESCRIBED_MAX)?;
    let mut found = Vec::new();
    for name in names {
        check_name("applicationNames", name)?;
        tags::on_application::<calls::BatchGetApplications>(call, name, Vec::new())?;
        let known = call.world.store.get::<Application>(&call.place.key(&[name]));
        found.push(render(&*known.ok_or_else(|| no_application(name))?));
    }
    Ok(json!({ "applicationsInfo": found }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::ListApplications>("*".to_owned(), Vec::new())?;
    let all = call.world.store.list::<Application>(&call.place.all());
    let page = Page::at(call.input.text("nextToken")?, PAGE_NAMES).ok_or_else(bad_token)?;
    Ok(page.answer("applications", &all, |known| known.name.clone(), |known| json!(known.name)))
}

/// Another name: groups, revisions and deployments go with it.
fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = named(call)?;
    let permit = tags::on_application::<calls::UpdateApplication>(call, &name, Vec::new())?;
    let new = call.input.text("newApplicationName")?.unwrap_or(&name).to_owned();
    check_name("newApplicationName", &new)?;
    call.write(&permit, |writing| {
        let place = &call.place;
        let known = writing.get::<Application>(&place.key(&[&name])).ok_or_else(|| no_application(&name))?;
        if new == name {
            return Ok(());
        }
        if writing.get::<Application>(&place.key(&[&new])).is_some() {
            return Err(taken(&new));
        }
        writing.remove::<Application>(&place.key(&[&name]))?;
        writing.put(Application { name: new.clone(), ..(*known).clone() });
        rename_within(writing, place, &name, &new);
        Ok(())
    })?;
    Ok(json!({}))
}

fn rename_within(writing: &mut Writing<'_>, place: &Place, name: &str, new: &str) {
    for group in writing.list::<Group>(&place.in_cluster(name)) {
        writing.put(Group { application: new.to_owned(), ..(*group).clone() });
    }
    writing.remove_within::<Group>(&place.in_cluster(name));
    for revision in writing.list::<Revision>(&place.in_cluster(name)) {
        writing.put(Revision { application: new.to_owned(), ..(*revision).clone() });
    }
    writing.remove_within::<Revision>(&place.in_cluster(name));
    for deployment in writing.list::<Deployment>(&place.all()) {
        if deployment.application == name {
            writing.put(Deployment { application: new.to_owned(), ..(*deployment).clone() });
        }
    }
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = named(call)?;
    let permit = tags::on_application::<calls::DeleteApplication>(call, &name, Vec::new())?;
    call.write(&permit, |writing| {
        writing.remove_within::<Group>(&call.place.in_cluster(&name));
        writing.remove_within::<Revision>(&call.place.in_cluster(&name));
        // One that isn't there is gone already: CodeDeploy says nothing of it.
        let _ = writing.remove::<Application>(&call.place.key(&[&name]));
        Ok(())
    })?;
    Ok(json!({}))
}
