//! Account settings.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::page::Page;
use super::{Called, invalid};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{Place, Setting};
use crate::world::World;

/// Each setting, and what it is when nobody has said anything.
const KNOWN: [(&str, &str); 10] = [
    ("awsvpcTrunking", "disabled"),
    ("containerInsights", "disabled"),
    ("containerInstanceLongArnFormat", "enabled"),
    ("defaultLogDriverMode", "non-blocking"),
    ("fargateFIPSMode", "disabled"),
    ("fargateTaskRetirementWaitPeriod", "7"),
    ("guardDutyActivate", "off"),
    ("serviceLongArnFormat", "enabled"),
    ("tagResourceAuthorization", "on"),
    ("taskLongArnFormat", "enabled"),
];

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "PutAccountSetting" => put(call),
        "PutAccountSettingDefault" => put_default(call),
        "DeleteAccountSetting" => delete(call),
        "ListAccountSettings" => list(call),
        _ => return None,
    })
}

/// What holds for a principal: its own value, the account's, or AWS's.
pub(super) fn effective(world: &World, place: &Place, name: &str, principal: &str) -> String {
    let own = world.store.get::<Setting>(&place.key(&[name, principal]));
    let setting = own.or_else(|| world.store.get::<Setting>(&place.key(&[name, ""])));
    let default = KNOWN.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
    setting.map_or_else(|| default.to_owned(), |setting| setting.value.clone())
}

/// Whether new services and tasks have the cluster's name in their ARNs.
pub(super) fn has_long_arns(call: &Called<'_>, place: &Place, name: &str) -> bool {
    effective(call.world, place, name, &principal(call)) != "disabled"
}

/// Whose setting it is: a role's for all of its sessions.
fn principal(call: &Called<'_>) -> String {
    match &call.identified.caller {
        crate::caller::Caller::Session(session) => session.role_arn().to_string(),
        other => other.arn(),
    }
}

fn name_and_value(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let name = known_name(call.input.required_text("name")?)?;
    let value = call.input.required_text("value")?;
    let allowed: &[&str] = match name.as_str() {
        "containerInsights" => &["enabled", "disabled", "enhanced"],
        "tagResourceAuthorization" | "guardDutyActivate" => &["on", "off"],
        "fargateTaskRetirementWaitPeriod" => &["0", "7", "14"],
        "defaultLogDriverMode" => &["blocking", "non-blocking"],
        _ => &["enabled", "disabled"],
    };
    if !allowed.contains(&value) {
        return Err(invalid(format!("Invalid value for setting {name}: {value}")));
    }
    Ok((name, value.to_owned()))
}

fn known_name(name: &str) -> Result<String, AwsError> {
    let known = KNOWN.iter().any(|(known, _)| *known == name);
    if known { Ok(name.to_owned()) } else { Err(invalid(format!("Invalid setting name: {name}"))) }
}

fn render(setting: &Setting, place: &Place) -> Value {
    let root = landfall_types::Arn::root(place.account).to_string();
    json!({
        "name": setting.name,
        "value": setting.value,
        "principalArn": setting.principal.as_deref().unwrap_or(&root),
        "type": "user",
    })
}

fn put(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let permit = call.authorize::<calls::PutAccountSetting>("*".to_owned(), setting_key(call)?)?;
    let (name, value) = name_and_value(call)?;
    let whose = call.input.text("principalArn")?.map_or_else(|| principal(call), str::to_owned);
    let root = landfall_types::Arn::root(place.account).to_string();
    let principal = (whose != root).then_some(whose);
    let setting = Setting { place: place.clone(), principal, name, value };
    call.write(&permit, |writing| {
        writing.put(setting.clone());
        Ok(())
    })?;
    Ok(json!({ "setting": render(&setting, place) }))
}

fn setting_key(call: &Called<'_>) -> Result<super::Keys, AwsError> {
    let name = call.input.text("name")?.unwrap_or_default();
    Ok(vec![("ecs:account-setting".to_owned(), vec![name.to_owned()])])
}

fn put_default(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let permit = call.authorize::<calls::PutAccountSettingDefault>("*".to_owned(), setting_key(call)?)?;
    let (name, value) = name_and_value(call)?;
    let setting = Setting { place: place.clone(), principal: None, name, value };
    call.write(&permit, |writing| {
        writing.put(setting.clone());
        Ok(())
    })?;
    Ok(json!({ "setting": render(&setting, place) }))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let permit = call.authorize::<calls::DeleteAccountSetting>("*".to_owned(), setting_key(call)?)?;
    let name = known_name(call.input.required_text("name")?)?;
    let whose = call.input.text("principalArn")?.map_or_else(|| principal(call), str::to_owned);
    let root = landfall_types::Arn::root(place.account).to_string();
    let key = place.key(&[&name, if whose == root { "" } else { &whose }]);
    call.write(&permit, |writing| {
        if writing.get::<Setting>(&key).is_some() {
            writing.remove::<Setting>(&key)?;
        }
        Ok(())
    })?;
    let value = effective(call.world, place, &name, "");
    let setting = Setting { place: place.clone(), principal: (whose != root).then_some(whose), name, value };
    Ok(json!({ "setting": render(&setting, place) }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::ListAccountSettings>("*".to_owned(), Vec::new())?;
    let page = Page::read(call.input, 10, 10)?;
    let (name, value) = (call.input.text("name")?, call.input.text("value")?);
    let whose = call.input.text("principalArn")?.map_or_else(|| principal(call), str::to_owned);
    let root = landfall_types::Arn::root(place.account).to_string();
    let all: Vec<Setting> = if call.input.boolean("effectiveSettings")?.unwrap_or(false) {
        let effective = |(name, _): &(&str, &str)| Setting {
            place: place.clone(),
            principal: Some(whose.clone()),
            name: (*name).to_owned(),
            value: effective(call.world, place, name, &whose),
        };
        KNOWN.iter().map(effective).collect()
    } else {
        let known = call.world.store.list::<Setting>(&place.all());
        let mine =
            |setting: &&std::sync::Arc<Setting>| setting.principal.as_deref().unwrap_or(&root) == whose;
        known.iter().filter(mine).map(|setting| (**setting).clone()).collect()
    };
    let wanted: Vec<Setting> = all
        .into_iter()
        .filter(|setting| name.is_none_or(|name| setting.name == name))
        .filter(|setting| value.is_none_or(|value| setting.value == value))
        .collect();
    Ok(page.answer("settings", &wanted, |setting| setting.name.clone(), |setting| render(setting, place)))
}
