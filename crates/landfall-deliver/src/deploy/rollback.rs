//! What a service goes back to: the revision that completed a deployment last. One that was only tried, and failed, is
//! no place to go back to.

use serde_json::{Value, json};

use super::definition::{Definition, short};
use super::denied;
use super::ecs::{self, items};
use super::roll::Begun;
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

/// Finds it for a service that runs something else than it should: the last revision that completed a deployment, other
/// than what it is set to now.
///
/// # Errors
/// When ECS tells of none, or refuses.
pub async fn target(caller: &Caller, cluster: &str, service: &Service) -> Result<Target, Failure> {
    let current = service.running_definition();
    let told = successful(caller, cluster, &service.service_name, current).await?;
    let completed = service.completed().filter(|completed| *completed != current).map(str::to_owned);
    if let Some(definition) = told.definition.or(completed) {
        let how = "its last successful deployment of another revision".to_owned();
        return Ok(Target { definition, how });
    }
    let failure = Failure::new(
        FailureKind::Refused,
        format!(
            "service `{}` runs {}, and ECS tells of no other revision that completed a deployment of it: nothing was \
             changed",
            service.service_name,
            short(current)
        ),
    );
    let failure = match told.is_allowed {
        true => failure,
        false => failure.help(UNTOLD),
    };
    // Which one that is can be read or not: it is only a hint.
    Err(match earlier_revision(&caller.optional(), current).await.ok().flatten() {
        Some(earlier) => failure.help(format!(
            "`--to {}` goes to the family's revision before, of which nobody says that it ever ran",
            short(&earlier)
        )),
        None => failure.help("--to FAMILY:REVISION names one"),
    })
}

/// What a service whose deployment failed goes back to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// A revision that completed a deployment of it.
    To(Target),
    /// Nowhere; why, for people.
    Nowhere(String),
}

/// Finds the way back of a deployment that failed.
///
/// # Errors
/// No answer of ECS.
pub async fn way(caller: &Caller, cluster: &str, begun: &Begun) -> Result<Way, Failure> {
    let tried = begun.definition_arn.as_str();
    // Before the update the service listed it itself: the primary deployment, or the one that it was to replace.
    if let Some(completed) = begun.completed.as_deref() {
        return Ok(if completed == tried {
            Way::Nowhere(format!("{} is itself the last revision that completed a deployment", short(tried)))
        } else {
            let how = "the last revision that completed a deployment".to_owned();
            Way::To(Target { definition: completed.to_owned(), how })
        });
    }
    let told = successful(caller, cluster, &begun.service, tried).await?;
    Ok(match told.definition {
        Some(definition) => Way::To(Target {
            definition,
            how: "its last successful deployment of another revision".to_owned(),
        }),
        None if told.is_allowed => {
            Way::Nowhere("ECS tells of no revision that ever completed a deployment of it".to_owned())
        }
        None => Way::Nowhere(format!("nobody says which revision was stable before: {UNTOLD}")),
    })
}

/// A registered task definition as far as it can be read: going back needs no more than its name.
pub async fn read(caller: &Caller, arn: &str) -> Definition {
    let found = ecs::describe_definition(&caller.optional(), arn).await;
    found.map_or_else(|_| Definition::unread(arn), |(_, definition)| definition)
}

/// What ECS tells of the deployments that succeeded.
struct Told {
    /// The task definition of the last one that is of another revision.
    definition: Option<String>,
    /// Whether it may be asked.
    is_allowed: bool,
}

async fn successful(caller: &Caller, cluster: &str, service: &str, current: &str) -> Result<Told, Failure> {
    match by_story(&caller.optional(), cluster, service, current).await {
        Ok(definition) => Ok(Told { definition, is_allowed: true }),
        // Not known there, or not allowed.
        Err(CallError::Refused(_)) => Ok(Told { definition: None, is_allowed: false }),
        Err(error) => Err(denied::failure(error, "looking at the service's deployments")),
    }
}

async fn by_story(
    caller: &Caller,
    cluster: &str,
    service: &str,
    current: &str,
) -> Result<Option<String>, CallError> {
    let input = json!({ "cluster": cluster, "service": service, "status": ["SUCCESSFUL"] });
    let listed = ecs::pages(caller, "ListServiceDeployments", input, "serviceDeployments").await?;
    let mut stories: Vec<(f64, String)> = listed
        .iter()
        .filter_map(|story| {
            let at = story.get("createdAt").and_then(Value::as_f64).unwrap_or_default();
            Some((at, story.get("targetServiceRevisionArn")?.as_str()?.to_owned()))
        })
        .collect();
    stories.sort_by(|left, right| right.0.total_cmp(&left.0));
    let arns: Vec<String> = stories.into_iter().map(|(_, arn)| arn).collect();
    for some in arns.chunks(REVISIONS_MAX) {
        let input = json!({ "serviceRevisionArns": some });
        let told = caller.call(ECS, "DescribeServiceRevisions", &input).await?;
        let text = |revision: &Value, name: &str| Some(revision.get(name)?.as_str()?.to_owned());
        let definition_of = |arn: &String| {
            let revisions = items(&told, "serviceRevisions").iter();
            revisions
                .filter(|revision| text(revision, "serviceRevisionArn").as_ref() == Some(arn))
                .find_map(|revision| text(revision, "taskDefinition"))
        };
        let found = some.iter().filter_map(definition_of).find(|definition| definition != current);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
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

/// What is missing where ECS keeps it to itself.
const UNTOLD: &str =
    "ecs:ListServiceDeployments and ecs:DescribeServiceRevisions are not allowed here, which tell it";
/// Revisions of one `DescribeServiceRevisions`.
const REVISIONS_MAX: usize = 20;
