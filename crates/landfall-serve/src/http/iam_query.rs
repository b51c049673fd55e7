//! IAM's operations in the Query protocol: parameters in, elements out. What roles, users and groups have
//! in common is here once for all of them: `holders::put_policy::<Role>` answers `PutRolePolicy`.

mod account;
mod elements;
mod groups;
mod holders;
mod page;
mod policies;
mod profiles;
mod providers;
mod roles;
mod simulate;
mod tags;
mod users;

use landfall_policy::catalogue;
use landfall_types::{AccountId, Arn, Finding, Span};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::query::Params;

use super::query::{Answer, QueryCall};
use crate::authn::Identified;
use crate::authz::{self, Asked, Call, Permit};
use crate::called::Keys;
use crate::iam::DocumentInput;
use crate::iam::entity::{Entity, look_up};
use crate::iam::holders::Holder;
use crate::log::{Entry, Verdict};
use crate::tags::{prefixed_keys, request_keys as request_tag_keys};
use crate::world::World;

/// A call whose signature was verified, before its decision.
struct IamCall<'a> {
    query: &'a QueryCall<'a>,
    identified: Identified,
    account: AccountId,
}

/// What answers an operation.
type Run = fn(&IamCall<'_>) -> Answer;

/// Answers an operation that may ask an issuer; none for any other one.
pub(super) async fn answer_later(query: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    if operation != "CreateOpenIDConnectProvider" {
        return None;
    }
    Some(match IamCall::begin(query, operation) {
        Ok(call) => providers::create(&call).await,
        Err(error) => Err(error),
    })
}

/// Answers an operation; none for one that IAM does not have here.
pub(super) fn answer(query: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    let run = run_of(operation)?;
    Some(IamCall::begin(query, operation).and_then(|call| run(&call)))
}

fn run_of(operation: &str) -> Option<Run> {
    let nouns: [fn(&str) -> Option<Run>; 9] = [
        roles::operation,
        policies::operation,
        providers::operation,
        users::operation,
        groups::operation,
        profiles::operation,
        account::operation,
        simulate::operation,
        tags::operation,
    ];
    nouns.iter().find_map(|noun| noun(operation))
}

/// Condition keys.
impl<'a> IamCall<'a> {
    fn begin(query: &'a QueryCall<'a>, operation: &str) -> Result<Self, AwsError> {
        let identified = query.identify("iam", operation, Protocol::IAM)?;
        crate::iam::shapes::check(operation, &query.params)?;
        let account = identified.caller.account().unwrap_or(query.api.world.settings.default_account);
        Ok(Self { query, identified, account })
    }
}

impl IamCall<'_> {
    fn world(&self) -> &World {
        self.query.api.world
    }

    fn params(&self) -> &Params {
        &self.query.params
    }

    fn required(&self, parameter: &str) -> Result<String, AwsError> {
        self.query.required(parameter)
    }

    fn optional(&self, parameter: &str) -> Option<String> {
        self.params().get(parameter).map(str::to_owned)
    }

    fn list(&self, parameter: &str) -> Vec<String> {
        let values = self.params().list(&format!("{parameter}.member"), "");
        values.into_iter().map(str::to_owned).collect()
    }

    /// A parameter that is `true` or `false`; it is false when it isn't there.
    fn flag(&self, parameter: &str) -> Result<bool, AwsError> {
        match self.params().get(parameter) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                let message = format!("`{parameter}` must be true or false, and is `{text}`");
                Err(AwsError::new("MalformedInput", 400, message))
            }
        }
    }

    /// The name or the ARN of what a call is about.
    fn name_of<E: Entity>(&self) -> Result<String, AwsError> {
        self.required(E::PARAMETER)
    }

    /// Decides a call that names nothing that is there.
    fn permit<C: Call>(&self, resource: impl Into<String>, more: Keys) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let resource = resource.into();
        let owner = Arn::parse(&resource).ok().and_then(|arn| arn.account_id()).unwrap_or(self.account);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: owner.to_string(),
            resource_policies: &[],
            keys,
            request_id: self.query.api.request_id,
        };
        authz::authorize(self.world(), &asked, Protocol::IAM)
    }

    /// Decides a call that lists all of a kind.
    fn permit_on_all<C: Call>(&self) -> Result<Permit<C>, AwsError> {
        let all = catalogue::listing(&format!("{}:{}", C::SERVICE, C::NAME), self.account);
        self.permit(all.map_or_else(|| "*".to_owned(), |arn| arn.to_string()), Keys::new())
    }

    /// Decides a call on what it names: on its ARN, with its path and its tags, when it is there.
    fn permit_on<E: Entity, C: Call>(&self, name: &str, more: Keys) -> Result<Permit<C>, AwsError> {
        let named = E::arn_of(self.account, name);
        let found = look_up::<E>(self.world(), self.account, name);
        let found = found.filter(|entity| !E::IS_BY_ARN || entity.arn().to_string() == named);
        let Some(found) = found else { return self.permit(named, more) };
        let mut keys = prefixed_keys(found.tags(), &["aws:ResourceTag", "iam:ResourceTag"]);
        keys.extend(more);
        self.permit(found.arn().to_string(), keys)
    }

    /// `iam:PermissionsBoundary` of calls that change what somebody may do.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
    fn boundary_keys<H: Holder>(&self, holder: &str) -> Keys {
        let holder = look_up::<H>(self.world(), self.account, holder);
        boundary_key(holder.as_ref().and_then(|holder| holder.boundary()))
    }

    fn document(&self, parameter: &str, name: &str) -> Result<DocumentInput, AwsError> {
        Ok(DocumentInput::from_json(self.world(), name, &self.required(parameter)?))
    }

    /// The tags that a call gives.
    fn tags(&self) -> Vec<(String, String)> {
        let tags = self.params().structures("Tags.member");
        let text = |value: Option<&str>| value.unwrap_or("").to_owned();
        tags.iter().map(|tag| (text(tag.get("Key")), text(tag.get("Value")))).collect()
    }

    /// Logs why a call that was allowed came to nothing, when AWS's sentence doesn't say it.
    fn log_refusal<C>(&self, operation: &str, permit: &Permit<C>, error: &AwsError, finding: Finding) {
        self.log(operation, permit, Verdict::refused(error), finding);
    }

    /// Logs what is to be said of a call that was done.
    fn log_warning<C>(&self, operation: &str, permit: &Permit<C>, finding: Finding) {
        self.log(operation, permit, Verdict::Allowed, finding);
    }

    fn log<C>(&self, operation: &str, permit: &Permit<C>, verdict: Verdict, finding: Finding) {
        let entry = Entry {
            request_id: self.query.api.request_id.to_owned(),
            service: "iam",
            operation: operation.to_owned(),
            caller: self.identified.caller.arn(),
            action: Some(format!("iam:{operation}")),
            resource: Some(permit.resource().to_owned()),
            verdict,
            decision: None,
            finding: Some(finding),
            claims: None,
        };
        self.world().log.add(self.world().clock.now(), entry);
    }

    /// Where something stands that was given over the API: in a text made of its own parameters.
    fn written(&self, name: &str, value: &str) -> Span {
        let source = self.world().given.source(self.world(), name, value);
        Span::new(source, 0, value.len())
    }

    /// The path of what is to be made.
    fn path(&self) -> String {
        self.params().get("Path").unwrap_or("/").to_owned()
    }
}

fn boundary_key(boundary: Option<&str>) -> Keys {
    boundary.map(|arn| ("iam:PermissionsBoundary".to_owned(), vec![arn.to_owned()])).into_iter().collect()
}
