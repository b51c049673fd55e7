//! What Terraform says of ECR beside its repositories, by the calls that its provider makes.

use landfall_check::terraform::{self, EcrCall};
use landfall_serve::authn::Identified;
use landfall_serve::connection::Connection;
use landfall_serve::ecr;
use landfall_types::Finding;
use landfall_wire::error::AwsError;
use serde_json::{Map, Value};

use super::{Seeder, refusal};

impl Seeder<'_> {
    /// A call of ECR. What is made once and is there already is changed.
    pub(super) fn ecr(&self, call: &EcrCall) -> Result<(), Finding> {
        let input = self.input(call)?;
        let done = self.call(call, call.operation, input.clone());
        let is_there = |code: &str| done.as_ref().is_err_and(|error| error.code == code);
        let update = update_of(call.operation).filter(|(code, ..)| is_there(code));
        let done = match update {
            Some((_, operation, members)) => {
                let kept = input.into_iter().filter(|(name, _)| members.contains(&name.as_str()));
                self.call(call, operation, kept.collect())
            }
            None => done,
        };
        done.map_err(|error| refusal(&error, call.operation, call.span))
    }

    fn input(&self, call: &EcrCall) -> Result<Map<String, Value>, Finding> {
        let text = terraform::to_json(&call.input);
        let read = serde_json::from_str(&text);
        let mut input: Map<String, Value> =
            read.map_err(|error| Finding::error("terraform-json", error.to_string()).at(call.span, "here"))?;
        for (member, document) in &call.documents {
            let document = self.document(document)?;
            input.insert((*member).to_owned(), Value::from(document.text));
        }
        Ok(input)
    }

    fn call(&self, call: &EcrCall, operation: &str, input: Map<String, Value>) -> Result<(), AwsError> {
        let identified = Identified {
            caller: self.caller.clone(),
            region: call.region.clone(),
            connection: Connection::new(std::net::Ipv4Addr::LOCALHOST.into(), Some("Terraform")),
        };
        let face = if call.is_public { ecr::Face::Public } else { ecr::Face::Private };
        let input = Value::Object(input);
        match ecr::handle_plain(self.world, &identified, "terraform", (face, operation), input) {
            // What ECR Public has from the start before stays as it is.
            Err(error) if call.is_public && error.code == "RepositoryAlreadyExistsException" => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// What says that something is there already, and the operation that changes it, with what it takes.
fn update_of(operation: &str) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    match operation {
        "CreateRepositoryCreationTemplate" => Some((
            "TemplateAlreadyExistsException",
            "UpdateRepositoryCreationTemplate",
            &[
                "prefix",
                "description",
                "appliedFor",
                "imageTagMutability",
                "imageTagMutabilityExclusionFilters",
                "customRoleArn",
                "repositoryPolicy",
                "lifecyclePolicy",
                "encryptionConfiguration",
            ],
        )),
        "CreatePullThroughCacheRule" => Some((
            "PullThroughCacheRuleAlreadyExistsException",
            "UpdatePullThroughCacheRule",
            &["ecrRepositoryPrefix", "credentialArn", "customRoleArn"],
        )),
        _ => None,
    }
}
