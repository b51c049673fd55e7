//! How clients name things: by a short name, or by an ARN in the old or the new form.

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::invalid;
use crate::store::ecs::Place;

/// Longest name of anything, in characters.
const NAME_CHARS_MAX: usize = 255;

/// Whether a text can be the name of a cluster, a service or a family.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(allowed)
}

/// The resource of an ARN that must be one of ECS in this place.
fn resource(place: &Place, text: &str) -> Result<String, AwsError> {
    let arn = Arn::parse(text).map_err(|_| invalid(format!("Invalid identifier: {text}")))?;
    if arn.region != place.region {
        return Err(invalid(format!(
            "Invalid identifier: Identifier is for {}. Your accessing the endpoint {}",
            arn.region, place.region
        )));
    }
    place.resource_of(text).ok_or_else(|| invalid(format!("Invalid identifier: {text}")))
}

fn parts<'r>(resource: &'r str, kind: &str) -> Option<Vec<&'r str>> {
    let rest = resource.strip_prefix(kind)?.strip_prefix('/')?;
    Some(rest.split('/').collect())
}

/// A cluster by its name or its ARN.
pub(super) fn cluster(place: &Place, text: &str) -> Result<String, AwsError> {
    let name = if text.starts_with("arn:") {
        let resource = resource(place, text)?;
        match parts(&resource, "cluster").as_deref() {
            Some([name]) => (*name).to_owned(),
            _ => return Err(invalid(format!("Invalid identifier: {text}"))),
        }
    } else {
        text.to_owned()
    };
    if is_name(&name) { Ok(name) } else { Err(invalid("Invalid cluster name")) }
}

/// A service by its name, `service/NAME` or `service/CLUSTER/NAME`: its name.
pub(super) fn service(place: &Place, cluster: &str, text: &str) -> Result<String, AwsError> {
    if !text.starts_with("arn:") {
        return if is_name(text) { Ok(text.to_owned()) } else { Err(invalid("Invalid service name")) };
    }
    let resource = resource(place, text)?;
    match parts(&resource, "service").as_deref() {
        Some([name]) => Ok((*name).to_owned()),
        Some([of, name]) if *of == cluster => Ok((*name).to_owned()),
        Some([_, _]) => Err(invalid("Service ARN's cluster does not match the cluster that was specified")),
        _ => Err(invalid(format!("Invalid identifier: {text}"))),
    }
}

/// A task by its id or ARN: its id.
pub(super) fn task(place: &Place, cluster: &str, text: &str) -> Result<String, AwsError> {
    if !text.starts_with("arn:") {
        let is_id = text.len() <= NAME_CHARS_MAX
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        return if is_id && !text.is_empty() {
            Ok(text.to_owned())
        } else {
            Err(invalid("taskId length should be one of [32,36]"))
        };
    }
    let resource = resource(place, text)?;
    match parts(&resource, "task").as_deref() {
        Some([id]) => Ok((*id).to_owned()),
        Some([of, id]) if *of == cluster => Ok((*id).to_owned()),
        _ => Err(invalid(format!("Invalid identifier: {text}"))),
    }
}

/// Which task definition is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DefinitionName {
    /// The family.
    pub(super) family: String,
    /// The revision; none for the latest that is active.
    pub(super) revision: Option<u32>,
}

/// `FAMILY`, `FAMILY:REVISION`, or an ARN.
pub(super) fn definition(place: &Place, text: &str) -> Option<DefinitionName> {
    let name = if text.starts_with("arn:") {
        place.resource_of(text)?.strip_prefix("task-definition/")?.to_owned()
    } else {
        text.to_owned()
    };
    let (family, revision) = match name.split_once(':') {
        None => (name.as_str(), None),
        Some((family, revision)) => (family, Some(revision.parse().ok().filter(|number| *number > 0)?)),
    };
    is_name(family).then(|| DefinitionName { family: family.to_owned(), revision })
}

/// `service-deployment/CLUSTER/SERVICE/ID` and `service-revision/CLUSTER/SERVICE/NUMBER`.
pub(super) fn of_service(place: &Place, kind: &str, text: &str) -> Result<[String; 3], AwsError> {
    let resource = resource(place, text)?;
    match parts(&resource, kind).as_deref() {
        Some([cluster, service, id]) => Ok([cluster, service, id].map(|part| (*part).to_owned())),
        _ => Err(invalid(format!("Invalid identifier: {text}"))),
    }
}

/// A task set by its id or ARN: its number.
pub(super) fn task_set(text: &str) -> String {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.strip_prefix("ecs-svc/").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::testing::{REGION, account};

    fn place() -> Place {
        Place { account: account(), region: REGION.to_owned() }
    }

    #[test]
    fn things_are_named_shortly_or_by_arns_of_both_forms() {
        let arn = |resource: &str| place().arn(resource);
        assert_eq!(cluster(&place(), "prod").unwrap(), "prod");
        assert_eq!(cluster(&place(), &arn("cluster/prod")).unwrap(), "prod");
        assert_eq!(service(&place(), "prod", &arn("service/web")).unwrap(), "web");
        assert_eq!(service(&place(), "prod", &arn("service/prod/web")).unwrap(), "web");
        assert!(service(&place(), "other", &arn("service/prod/web")).is_err());
        assert_eq!(task(&place(), "prod", &arn("task/prod/0a")).unwrap(), "0a");
        assert_eq!(task(&place(), "prod", &arn("task/0a")).unwrap(), "0a");
        let name = |text: &str| definition(&place(), text).map(|name| (name.family, name.revision));
        assert_eq!(name("web"), Some(("web".to_owned(), None)));
        assert_eq!(name("web:7"), Some(("web".to_owned(), Some(7))));
        assert_eq!(name(&arn("task-definition/web:7")), Some(("web".to_owned(), Some(7))));
        for wrong in
            ["web:0", "web:x", "we b", "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7", ""]
        {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_arn_of_elsewhere_is_refused() {
        let error = cluster(&place(), "arn:aws:ecs:us-east-1:123456789012:cluster/prod").unwrap_err();
        assert_eq!(
            error.message,
            "Invalid identifier: Identifier is for us-east-1. Your accessing the endpoint eu-west-1"
        );
        assert!(cluster(&place(), "arn:aws:ecs:eu-west-1:999999999999:cluster/prod").is_err());
        assert!(cluster(&place(), "a b").is_err());
    }
}
