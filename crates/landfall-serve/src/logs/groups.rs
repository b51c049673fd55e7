//! Log groups, and how long they keep events.

use std::sync::Arc;

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::{Called, Fault, Named, events, exists, invalid, missing, page};
use crate::authz::log_calls as calls;
use crate::store::logs::{LogBatch, LogGroup, LogStream, stream_arn};
use crate::store::records::KEY_SEPARATOR;
use crate::tags::request_keys;

/// The days that a group can keep its events.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>
const DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// Groups of one answer.
const PAGE_MAX: i64 = 50;
/// What names may not begin with, whatever the case.
const RESERVED: &str = "aws/";

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateLogGroup" => create(call),
        "DeleteLogGroup" => delete(call),
        "DescribeLogGroups" => describe(call),
        "PutRetentionPolicy" => put_retention(call),
        "DeleteRetentionPolicy" => delete_retention(call),
        "PutLogGroupDeletionProtection" => protect(call),
        _ => return None,
    })
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let tags = super::tags::given(call)?;
    let permit = call.authorize::<calls::CreateLogGroup>(named.resource(&call.place), request_keys(&tags))?;
    if !tags.is_empty() {
        let arn = crate::store::logs::group_arn(&call.place, &named.name);
        // AWS's own sentence, whatever the reason (captured).
        call.authorize::<calls::TagResource>(arn, request_keys(&tags)).map_err(|error| AwsError {
            message: format!(
                "User with accountId: {} is not authorized to perform CreateLogGroup with Tags. An additional permission \"logs:TagResource\" is required.",
                call.place.account
            ),
            ..error
        })?;
    }
    if named.name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    let group = LogGroup {
        place: call.place.clone(),
        name: named.name,
        class: call.input.text("logGroupClass")?.unwrap_or("STANDARD").to_owned(),
        kms_key: call.input.text("kmsKeyId")?.map(str::to_owned),
        retention_days: None,
        is_protected: call.input.boolean("deletionProtectionEnabled")?.unwrap_or(false),
        created_ms: call.now_ms(),
        tags,
    };
    call.write(&permit, |writing| writing.insert(group).map_err(|_| Fault::from(exists("log group"))))?;
    Ok(json!({}))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let permit = call.authorize::<calls::DeleteLogGroup>(named.resource(&call.place), named.keys())?;
    call.write(&permit, |writing| {
        let key = call.place.key(&[&named.name]);
        let known = writing.get::<LogGroup>(&key).ok_or_else(|| missing("log group"))?;
        if known.is_protected {
            let message = format!(
                "Log group {} has deletion protection enabled: disable it to delete the group",
                named.name
            );
            return Err(AwsError::bad_request("ValidationException", message).into());
        }
        let within = format!("{key}{KEY_SEPARATOR}");
        writing.remove_within::<LogBatch>(&within);
        writing.remove_within::<LogStream>(&within);
        writing.remove::<LogGroup>(&key)?;
        Ok(())
    })?;
    Ok(json!({}))
}

/// All groups are looked through, whatever is asked for: the decision is on one without a name (observed).
fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::DescribeLogGroups>(stream_arn(&call.place, "", ""), Vec::new())?;
    let (prefix, pattern) = (call.input.text("logGroupNamePrefix")?, call.input.text("logGroupNamePattern")?);
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let class = call.input.text("logGroupClass")?;
    let accounts = call.input.texts("accountIdentifiers")?;
    let identifiers = call.input.texts("logGroupIdentifiers")?;
    let wanted: Vec<Named> = identifiers.iter().map(|one| Named::by_identifier(call, one)).collect();
    let is_meant = |group: &Arc<LogGroup>| {
        prefix.is_none_or(|prefix| group.name.starts_with(prefix))
            && pattern.is_none_or(|pattern| group.name.contains(pattern))
            && class.is_none_or(|class| group.class == class)
            && (accounts.is_empty() || accounts.contains(&call.place.account.as_str()))
            && (wanted.is_empty() || wanted.iter().any(|one| !one.is_elsewhere && one.name == group.name))
    };
    let all = call.world.store.list::<LogGroup>(&call.place.all());
    let mut found: Vec<Arc<LogGroup>> = all.into_iter().filter(is_meant).collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(page(call, PAGE_MAX)?.answer(
        "logGroups",
        &found,
        |group| group.name.clone(),
        |group| shown(call, group),
    ))
}

fn shown(call: &Called<'_>, group: &LogGroup) -> Value {
    let arn = group.arn();
    let mut told = json!({
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "storedBytes": events::stored_bytes(call.world, group),
        "logGroupClass": group.class,
        "deletionProtectionEnabled": group.is_protected,
    });
    if let Some(days) = group.retention_days {
        told["retentionInDays"] = days.into();
    }
    if let Some(key) = &group.kms_key {
        told["kmsKeyId"] = key.as_str().into();
    }
    told
}

fn put_retention(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let days = call.input.required_integer("retentionInDays")?;
    let permit = call.authorize::<calls::PutRetentionPolicy>(named.resource(&call.place), named.keys())?;
    if !DAYS.contains(&days) {
        let all = DAYS.map(|days| days.to_string()).join(", ");
        // <https://github.com/aws/aws-cdk/issues/1343>
        return Err(invalid(format!("Invalid retention value. Valid values are: [{all}]")));
    }
    call.write(&permit, |writing| {
        named.change(call, writing, |group| {
            group.retention_days = Some(days);
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn delete_retention(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let permit = call.authorize::<calls::DeleteRetentionPolicy>(named.resource(&call.place), named.keys())?;
    call.write(&permit, |writing| {
        named.change(call, writing, |group| {
            group.retention_days = None;
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn protect(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_identifier(call, call.input.required_text("logGroupIdentifier")?);
    let permit =
        call.authorize::<calls::PutLogGroupDeletionProtection>(named.resource(&call.place), named.keys())?;
    named.there()?;
    let is_protected = call.input.boolean("deletionProtectionEnabled")?.unwrap_or(false);
    call.write(&permit, |writing| {
        named.change(call, writing, |group| {
            group.is_protected = is_protected;
            Ok(())
        })
    })?;
    Ok(json!({}))
}
