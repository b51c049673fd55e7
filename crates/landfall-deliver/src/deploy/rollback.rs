//! What a service goes back to: the last deployment of another task definition that was successful.

use serde_json::{Value, json};

use super::definition::short;
use super::denied;
use super::ecs::items;
use super::view::Service;
use crate::aws::CallError;
use crate::aws_json::{Caller, ECS};
use crate::failure::{Failure, FailureKind};

/// Where a service goes back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The task definition's ARN.
    pub definition: String,
    /// How it was found, for people.
    pub how: String,
}

/// Finds it: in the service's own story where ECS tells that, else as the family's revision before.
///
/// # Errors
/// When there is nothing to go back to, or ECS refuses.
pub async fn target(caller: &Caller, cluster: &str, service: &Service) -> Result<Target, Failure> {
    let current = service.running_definition();
    match by_story(&caller.optional(), cluster, service, current).await {
        Ok(Some(definition)) => {
            return Ok(Target {
                definition,
                how: "its last successful deployment of another revision".to_owned(),
            });
        }
        Ok(None) => {}
        // Not known there, or not allowed: the family still has its revisions.
        Err(CallError::Refused(_)) => {}
        Err(error) => return Err(denied::failure(error, "looking at the service's deployments")),
    }
    let earlier = earlier_revision(caller, current)
        .await
        .map_err(|error| denied::failure(error, "looking at the family's revisions"))?;
    earlier
        .map(|definition| Target { definition, how: "the family's revision before".to_owned() })
        .ok_or_else(|| {
            Failure::new(
                FailureKind::Refused,
                format!(
                    "service `{}` runs {}, and there is no earlier revision to go back to",
                    service.service_name,
                    short(current)
                ),
            )
            .help("--to FAMILY:REVISION names one")
        })
}

async fn by_story(
    caller: &Caller,
    cluster: &str,
    service: &Service,
    current: &str,
) -> Result<Option<String>, CallError> {
    let input = json!({ "cluster": cluster, "service": service.service_name, "status": ["SUCCESSFUL"] });
    let listed = caller.call(ECS, "ListServiceDeployments", &input).await?;
    let mut stories: Vec<(f64, String)> = items(&listed, "serviceDeployments")
        .iter()
        .filter_map(|story| {
            let at = story.get("createdAt").and_then(Value::as_f64).unwrap_or_default();
            Some((at, story.get("targetServiceRevisionArn")?.as_str()?.to_owned()))
        })
        .collect();
    stories.sort_by(|left, right| right.0.total_cmp(&left.0));
    let arns: Vec<String> = stories.into_iter().map(|(_, arn)| arn).take(REVISIONS_MAX).collect();
    if arns.is_empty() {
        return Ok(None);
    }
    let told = caller.call(ECS, "DescribeServiceRevisions", &json!({ "serviceRevisionArns": arns })).await?;
    let definition_of = |arn: &String| {
        let text =
            |revision: &Value, name: &str| revision.get(name).and_then(Value::as_str).map(str::to_owned);
        let revisions = items(&told, "serviceRevisions").iter();
        revisions
            .filter(|revision| text(revision, "serviceRevisionArn").as_ref() == Some(arn))
            .find_map(|revision| text(revision, "taskDefinition"))
    };
    Ok(arns.iter().filter_map(definition_of).find(|definition| definition != current))
}

async fn earlier_revision(caller: &Caller, current: &str) -> Result<Option<String>, CallError> {
    let Some((family, revision)) = short(current).rsplit_once(':') else { return Ok(None) };
    let Ok(revision) = revision.parse::<u64>() else { return Ok(None) };
    let input = json!({ "familyPrefix": family, "status": "ACTIVE", "sort": "DESC" });
    let answer = caller.call(ECS, "ListTaskDefinitions", &input).await?;
    let number = |arn: &str| short(arn).rsplit_once(':')?.1.parse::<u64>().ok();
    let earlier = items(&answer, "taskDefinitionArns")
        .iter()
        .filter_map(Value::as_str)
        .find(|arn| number(arn).is_some_and(|number| number < revision));
    Ok(earlier.map(str::to_owned))
}

/// Revisions that are looked at, the newest first (`DescribeServiceRevisions` takes no more).
const REVISIONS_MAX: usize = 20;
