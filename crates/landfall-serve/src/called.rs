//! A call of one of the services that speak JSON, before its decision: the operations of ECS, EKS and CodeDeploy
//! get what they need of it here, and change records by nothing else.

use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{Document, Input};
use serde_json::{Map, Value};

use crate::authn::Identified;
use crate::authz::{self, Asked, Permit};
use crate::store::ecs::{Body, Place};
use crate::store::{StoreError, Writing};
use crate::world::World;

/// Condition keys of a call.
pub(crate) type Keys = Vec<(String, Vec<String>)>;

/// What a service answers to a call of one of its operations; none when the operation is not one of them.
pub(crate) type Operations = fn(&Called<'_>) -> Option<Result<Value, AwsError>>;

/// A call before its decision.
pub(crate) struct Called<'a> {
    pub(crate) world: &'a World,
    pub(crate) identified: &'a Identified,
    pub(crate) request_id: &'a str,
    /// How the service speaks, for the refusals that are told the same everywhere.
    pub(crate) protocol: Protocol,
    pub(crate) operation: &'a str,
    pub(crate) input: Input<'a>,
    /// The input's own members.
    pub(crate) members: &'a Body,
    /// The caller's account, in the region of the call.
    pub(crate) place: Place,
}

/// A service that is called: how it speaks, and how it says that a member of the input is missing or wrong.
#[derive(Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) missing: fn(&str, &str) -> AwsError,
    /// Its operations, by the files that have them.
    pub(crate) operations: &'a [Operations],
}

impl Service<'_> {
    /// Answers one operation.
    pub(crate) fn answer(
        self,
        world: &World,
        identified: &Identified,
        request_id: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let document = Document::parse(input.to_string().as_bytes(), self.missing)?;
        let empty = Map::new();
        let account = identified.caller.account().ok_or_else(|| internal(self.protocol))?;
        let call = Called {
            world,
            identified,
            request_id,
            protocol: self.protocol,
            operation,
            input: document.input(),
            members: input.as_object().unwrap_or(&empty),
            place: Place { account, region: identified.region.clone() },
        };
        let answered = self.operations.iter().find_map(|operations| operations(&call));
        answered.unwrap_or_else(|| Err(self.not_here(operation)))
    }

    /// The service's own error for an operation that it doesn't have, which says that it isn't AWS that hasn't.
    fn not_here(self, operation: &str) -> AwsError {
        let message = format!("this local side does not have the operation {operation}");
        AwsError { message, ..unknown_operation(operation, "", self.protocol) }
    }
}

impl Called<'_> {
    pub(crate) fn now_ms(&self) -> i64 {
        self.world.clock.now().0
    }

    /// Decides the call on a resource of the caller's account, with more keys than the connection has.
    pub(crate) fn authorize<C: authz::Call>(
        &self,
        resource: String,
        more: Keys,
    ) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: self.place.account.to_string(),
            resource_policies: &[],
            keys,
            request_id: self.request_id,
        };
        authz::authorize(self.world, &asked, self.protocol)
    }

    /// Decides whether the caller may hand a role to a service, with more keys than `iam:PassedToService`.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
    pub(crate) fn authorize_pass_role(
        &self,
        role: String,
        service: &str,
        more: Keys,
    ) -> Result<(), AwsError> {
        let mut keys = vec![("iam:PassedToService".to_owned(), vec![service.to_owned()])];
        keys.extend(more);
        self.authorize::<authz::calls::PassRole>(role, keys).map(|_| ())
    }

    /// Changes records: nobody changes any without a permit.
    pub(crate) fn write<C, T>(
        &self,
        _permit: &Permit<C>,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, AwsError> {
        self.world.store.write(change).map_err(|fault| fault.error(self.protocol))
    }
}

/// Why a change did not happen.
pub(crate) enum Fault {
    /// The service's own error.
    Aws(AwsError),
    /// The change could not be kept.
    Store,
}

impl Fault {
    /// What the client is told: that a change can't be kept is the server's own failure.
    pub(crate) fn error(self, protocol: Protocol) -> AwsError {
        match self {
            Self::Aws(error) => error,
            Self::Store => internal(protocol),
        }
    }
}

impl From<AwsError> for Fault {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

impl From<StoreError> for Fault {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

/// Seconds since 1970 with milliseconds, as these services write times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
pub(crate) fn seconds(at_ms: i64) -> Value {
    Value::from(at_ms as f64 / 1000.0)
}
