//! EKS and EKS Auth over REST-JSON: method and path name the operation, and members of the input are in the
//! path, the query string and the body.

use landfall_wire::error::{self, AwsError, Protocol, Reply, json_reply, render};
use landfall_wire::query::Params;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::ApiCall;
use super::ecr_json::log_refused;
use crate::authn;
use crate::eks;
use crate::log::FailedCall;

/// Whether a path is one of EKS's.
pub(super) fn is_path(path: &str) -> bool {
    let begins = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    path == "/clusters"
        || begins("/clusters")
        || begins("/tags")
        || ELSEWHERE.iter().any(|folder| path == *folder || begins(folder))
}

/// Where EKS's operations are that are not here, beside those on clusters.
const ELSEWHERE: [&str; 5] = [
    "/access-policies",
    "/addons",
    "/cluster-registrations",
    "/cluster-versions",
    "/eks-anywhere-subscriptions",
];

/// An operation, and the members that its path holds.
struct Route {
    service: &'static str,
    operation: &'static str,
    members: Vec<(&'static str, String)>,
}

/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations_Amazon_Elastic_Kubernetes_Service.html>
fn route(method: &str, path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (service, operation, names): (_, _, &[(&'static str, usize)]) = match (method, parts.as_slice()) {
        ("POST", ["clusters"]) => ("eks", "CreateCluster", &[]),
        ("GET", ["clusters"]) => ("eks", "ListClusters", &[]),
        ("GET", ["clusters", _]) => ("eks", "DescribeCluster", &[("name", 1)]),
        ("DELETE", ["clusters", _]) => ("eks", "DeleteCluster", &[("name", 1)]),
        ("POST", ["clusters", _, "assume-role-for-pod-identity"]) => {
            ("eks-auth", "AssumeRoleForPodIdentity", &[("clusterName", 1)])
        }
        (method, ["clusters", _, "pod-identity-associations"]) => {
            let operation = match method {
                "POST" => "CreatePodIdentityAssociation",
                "GET" => "ListPodIdentityAssociations",
                _ => return None,
            };
            ("eks", operation, &[("clusterName", 1)])
        }
        (method, ["clusters", _, "pod-identity-associations", _]) => {
            let operation = match method {
                "GET" => "DescribePodIdentityAssociation",
                "POST" => "UpdatePodIdentityAssociation",
                "DELETE" => "DeletePodIdentityAssociation",
                _ => return None,
            };
            ("eks", operation, &[("clusterName", 1), ("associationId", 3)])
        }
        (method, ["tags", ..]) => {
            let operation = match method {
                "GET" => "ListTagsForResource",
                "POST" => "TagResource",
                "DELETE" => "UntagResource",
                _ => return None,
            };
            // The slashes of an ARN may come as they are.
            let arn = decoded(path.strip_prefix("/tags/")?)?;
            return Some(Route { service: "eks", operation, members: vec![("resourceArn", arn)] });
        }
        _ => return None,
    };
    let members = names.iter().map(|(name, index)| Some((*name, decoded(parts.get(*index)?)?)));
    Some(Route { service, operation, members: members.collect::<Option<_>>()? })
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Answers a call.
pub(super) fn handle(call: &ApiCall<'_>) -> Reply {
    let before = call.world.log.last();
    let (method, path) = (call.signed.method, call.signed.path);
    let route = route(method, path);
    let shown = format!("{method} {path}");
    let (service, operation) =
        route.as_ref().map_or(("eks", shown.as_str()), |route| (route.service, route.operation));
    let answer = match &route {
        Some(route) => answer(call, route),
        None => {
            let message = format!("this local side does not have the operation {shown} of EKS");
            Err(AwsError { message, ..error::unknown_operation(&shown, "", Protocol::RestJson) })
        }
    };
    match answer {
        Ok(body) => json_reply(&body, Protocol::RestJson, call.request_id),
        Err(error) => {
            let failed = FailedCall { request_id: call.request_id, service, operation };
            call.world.log.add_failure(call.world.clock.now(), before, failed, &error.code, &error.message);
            render(&error, Protocol::RestJson, call.request_id, call.accept_json)
        }
    }
}

fn answer(call: &ApiCall<'_>, route: &Route) -> Result<Value, AwsError> {
    let Route { service, operation, .. } = route;
    let identified = authn::identify(call.world, &call.signed, service, Protocol::RestJson, call.connection)
        .map_err(|refused| log_refused(call, service, operation, refused))?;
    let input = input(call, route)?;
    eks::handle(call.world, &identified, call.request_id, operation, &input)
}

/// Members of body, query string and path, of which the later ones count.
fn input(call: &ApiCall<'_>, route: &Route) -> Result<Value, AwsError> {
    let mut members = match call.body {
        [] => Map::new(),
        body => match landfall_wire::json::read(body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(unreadable("an object is expected in the body")),
            Err(error) => return Err(unreadable(&format!("the body is not JSON: {error}"))),
        },
    };
    let query = Params::parse(call.signed.query).map_err(|error| unreadable(&error.message))?;
    for (name, text) in query.iter() {
        match name {
            "maxResults" => {
                let number: i64 = text.parse().map_err(|_| unreadable("maxResults is not a number"))?;
                members.insert(name.to_owned(), Value::from(number));
            }
            // Lists, one item each time.
            "tagKeys" | "include" => {
                let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = list {
                    items.push(Value::from(text));
                }
            }
            _ => {
                members.insert(name.to_owned(), Value::from(text));
            }
        }
    }
    members
        .extend(route.members.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))));
    Ok(Value::Object(members))
}

fn unreadable(message: &str) -> AwsError {
    error::malformed(message, Protocol::RestJson)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn method_and_path_name_the_operation() {
        for (method, path, operation, members) in [
            ("GET", "/clusters", "ListClusters", &[][..]),
            ("POST", "/clusters", "CreateCluster", &[]),
            ("GET", "/clusters/shop", "DescribeCluster", &["shop"]),
            ("DELETE", "/clusters/shop", "DeleteCluster", &["shop"]),
            ("GET", "/clusters/shop/pod-identity-associations", "ListPodIdentityAssociations", &["shop"]),
            (
                "POST",
                "/clusters/shop/pod-identity-associations/a-1",
                "UpdatePodIdentityAssociation",
                &["shop", "a-1"],
            ),
            (
                "DELETE",
                "/tags/arn%3Aaws%3Aeks%3Aeu-west-1%3A123456789012%3Acluster%2Fshop",
                "UntagResource",
                &["arn:aws:eks:eu-west-1:123456789012:cluster/shop"],
            ),
            (
                "GET",
                "/tags/arn:aws:eks:eu-west-1:123456789012:cluster/shop",
                "ListTagsForResource",
                &["arn:aws:eks:eu-west-1:123456789012:cluster/shop"],
            ),
        ] {
            assert!(is_path(path), "{path}");
            let found = route(method, path).unwrap();
            assert_eq!(found.operation, operation, "{method} {path}");
            let values: Vec<&str> = found.members.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(values, members, "{method} {path}");
        }
        for (method, path) in [
            ("PATCH", "/clusters/shop"),
            ("GET", "/clusters/shop/node-groups"),
            ("PUT", "/clusters/shop/pod-identity-associations"),
            ("POST", "/clusters/%ff"),
        ] {
            assert!(route(method, path).is_none(), "{method} {path}");
        }
        assert!(!is_path("/") && !is_path("/clusterstatus") && !is_path("/tagsale/x"));
    }
}
