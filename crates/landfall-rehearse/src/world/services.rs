//! ECS and CodeDeploy on a start that finds what an earlier one has made: a task definition that says what its family's
//! newest revision says is not registered again, a service or a deployment group that is there is updated, and an alarm that says
//! the same stays as it is.

use landfall_serve::authn::Identified;
use landfall_serve::store::codedeploy::group_arn;
use landfall_serve::store::ecs::Place;
use landfall_serve::{cloudwatch, codedeploy, ecs};
use landfall_wire::error::{AwsError, Protocol};
use serde_json::{Map, Value, json};

use super::Seeder;

/// What `UpdateService` takes of what a service is made with.
const UPDATED: [&str; 11] = [
    "desiredCount",
    "taskDefinition",
    "deploymentConfiguration",
    "networkConfiguration",
    "capacityProviderStrategy",
    "healthCheckGracePeriodSeconds",
    "enableExecuteCommand",
    "loadBalancers",
    "serviceRegistries",
    "platformVersion",
    "propagateTags",
];

impl Seeder<'_> {
    /// The answer for something that is there already; none when it has to be made.
    pub(super) fn made_again(
        &self,
        identified: &Identified,
        operation: &str,
        input: &Value,
    ) -> Option<Result<Value, AwsError>> {
        match operation {
            "RegisterTaskDefinition" => {
                let known = self.newest_definition(identified, input.get("family")?)?;
                let is_same = without_tags(input).iter().all(|(name, value)| {
                    known.pointer(&format!("/taskDefinition/{name}")).is_some_and(|has| covers(has, value))
                });
                is_same.then_some(Ok(known))
            }
            "CreateCapacityProvider" => {
                let name = input.get("name")?;
                let asked = json!({ "capacityProviders": [name] });
                let told =
                    ecs::handle(self.world, identified, "terraform", "DescribeCapacityProviders", &asked);
                let is_there = told.ok()?.pointer("/capacityProviders/0").is_some();
                // Two of one name in the Terraform itself are what AWS refuses.
                let is_first = self.is_first(&format!("capacity provider {name} in {}", identified.region));
                (is_there && is_first).then_some(Ok(Value::Null))
            }
            "CreateService" => self.update_service(identified, input),
            "CreateDeploymentGroup" => self.update_group(identified, input),
            "PutMetricAlarm" => self.same_alarm(identified, input),
            _ => None,
        }
    }

    /// An alarm that says what is wanted stays as it is, with the state that it has.
    fn same_alarm(&self, identified: &Identified, input: &Value) -> Option<Result<Value, AwsError>> {
        let asked = json!({ "AlarmNames": [input.get("AlarmName")?] });
        let (operation, protocol) = ("DescribeAlarms", Protocol::Json10);
        let told =
            cloudwatch::handle(self.world, identified, "terraform", operation, &asked, protocol).ok()?;
        let mut wanted = input.as_object()?.clone();
        wanted.remove("Tags");
        covers(told.pointer("/MetricAlarms/0")?, &Value::Object(wanted)).then_some(Ok(Value::Null))
    }

    fn newest_definition(&self, identified: &Identified, family: &Value) -> Option<Value> {
        let asked = json!({ "taskDefinition": family });
        ecs::handle(self.world, identified, "terraform", "DescribeTaskDefinition", &asked).ok()
    }

    /// The first revision, which Terraform takes for the one that it makes, may be a later one here.
    pub(super) fn with_newest_definition(&self, identified: &Identified, input: &mut Value) {
        let named = input.get("taskDefinition").and_then(Value::as_str);
        let family = named
            .and_then(|arn| arn.rsplit_once(":task-definition/"))
            .and_then(|(_, definition)| definition.strip_suffix(":1"));
        let Some(family) = family.map(Value::from) else { return };
        let newest = self.newest_definition(identified, &family);
        let arn = newest.as_ref().and_then(|newest| newest.pointer("/taskDefinition/taskDefinitionArn"));
        if let (Some(arn), Some(members)) = (arn, input.as_object_mut()) {
            members.insert("taskDefinition".to_owned(), arn.clone());
        }
    }

    fn update_service(&self, identified: &Identified, input: &Value) -> Option<Result<Value, AwsError>> {
        let name = input.get("serviceName")?;
        let cluster = input.get("cluster").cloned().unwrap_or_else(|| "default".into());
        // Two of one name in the Terraform itself are what AWS refuses.
        if !self.is_first(&format!("service {name} of {cluster} in {}", identified.region)) {
            return None;
        }
        let asked = json!({ "cluster": cluster, "services": [name] });
        let answer = ecs::handle(self.world, identified, "terraform", "DescribeServices", &asked).ok()?;
        let known = answer.pointer("/services/0")?;
        if known.get("status")? != "ACTIVE" {
            return None;
        }
        let wanted = input.as_object()?.iter().filter(|(name, _)| UPDATED.contains(&name.as_str()));
        let mut changes: Map<String, Value> = wanted
            .filter(|(name, value)| !known.get(*name).is_some_and(|has| covers(has, value)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if changes.is_empty() {
            return Some(Ok(json!({ "service": known })));
        }
        changes.insert("cluster".to_owned(), cluster);
        changes.insert("service".to_owned(), name.clone());
        Some(ecs::handle(self.world, identified, "terraform", "UpdateService", &Value::Object(changes)))
    }
}

impl Seeder<'_> {
    /// A deployment group of CodeDeploy that is there gets what the Terraform says of it, and the tags that it names.
    fn update_group(&self, identified: &Identified, input: &Value) -> Option<Result<Value, AwsError>> {
        let application = input.get("applicationName")?.as_str()?;
        let name = input.get("deploymentGroupName")?.as_str()?;
        let place = Place { account: self.account, region: identified.region.clone() };
        let arn = group_arn(&place, application, name);
        // Two of one name in the Terraform itself are what AWS refuses.
        if !self.is_first(&arn) {
            return None;
        }
        let call = |operation: &str, input: &Value| {
            codedeploy::handle(self.world, identified, "terraform", operation, input)
        };
        let asked = json!({ "applicationName": application, "deploymentGroupName": name });
        call("GetDeploymentGroup", &asked).ok()?;
        let mut changes = without_tags(input);
        changes.remove("deploymentGroupName");
        changes.insert("currentDeploymentGroupName".to_owned(), name.into());
        let done = call("UpdateDeploymentGroup", &Value::Object(changes));
        Some(match input.get("tags") {
            Some(tags) => {
                done.and_then(|_| call("TagResource", &json!({ "ResourceArn": arn, "Tags": tags })))
            }
            None => done,
        })
    }
}

fn without_tags(input: &Value) -> Map<String, Value> {
    let mut members = input.as_object().cloned().unwrap_or_default();
    members.remove("tags");
    members
}

/// Whether what is there has all that is wanted; what AWS adds by itself is no difference.
fn covers(has: &Value, wanted: &Value) -> bool {
    match (has, wanted) {
        (Value::Object(has), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| has.get(name).map_or(wanted.is_null(), |has| covers(has, wanted))),
        (Value::Array(has), Value::Array(wanted)) => {
            has.len() == wanted.len() && has.iter().zip(wanted).all(|(has, wanted)| covers(has, wanted))
        }
        (has, wanted) => has == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_covers_what_is_wanted_with_what_aws_adds() {
        let has = json!({ "a": [{ "b": 1, "added": true }], "c": "d" });
        assert!(covers(&has, &json!({ "a": [{ "b": 1 }] })));
        assert!(covers(&has, &json!({ "c": "d", "e": null })));
        assert!(!covers(&has, &json!({ "a": [{ "b": 2 }] })));
        assert!(!covers(&has, &json!({ "a": [{ "b": 1 }, {}] })));
        assert!(!covers(&has, &json!({ "f": 1 })));
    }
}
