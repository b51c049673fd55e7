//! AWS Query: `Action` and `Version` in a form or a query string name service and operation.

use landfall_wire::error::{self, AwsError, Protocol, Reply, render};
use landfall_wire::query::Params;
use landfall_wire::xml::{self, Element};

use super::ecr_json::log_refused;
use super::{ApiCall, cloudwatch, elsewhere, iam_query, sts_query};
use crate::authn::{self, Identified};
use crate::log::FailedCall;

/// STS's API version.
const STS_VERSION: &str = "2011-06-15";
/// IAM's API version.
const IAM_VERSION: &str = "2010-05-08";

/// A Query call with its parameters.
pub(super) struct QueryCall<'a> {
    pub(super) api: &'a ApiCall<'a>,
    pub(super) params: Params,
}

impl QueryCall<'_> {
    /// A parameter that the operation can't do without.
    pub(super) fn required(&self, name: &str) -> Result<String, AwsError> {
        let value = self.params.get(name).map(str::to_owned);
        value.ok_or_else(|| {
            let member = lower_first(name);
            AwsError::validation(format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ))
        })
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, AwsError> {
        let Some(text) = self.params.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            AwsError::new("MalformedInput", 400, format!("`{name}` must be a whole number, and is `{text}`"))
        })
    }

    /// Verifies the signature.
    pub(super) fn identify(
        &self,
        service: &'static str,
        operation: &str,
        protocol: Protocol,
    ) -> Result<Identified, AwsError> {
        authn::identify(self.api.world, &self.api.signed, service, protocol, self.api.connection)
            .map_err(|refused| log_refused(self.api, service, operation, refused))
    }
}

pub(super) fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// An answer: the result, or none for operations without one.
pub(super) type Answer = Result<Option<Element>, AwsError>;

/// Answers a Query call.
pub(super) async fn handle(call: &ApiCall<'_>) -> Reply {
    let before = call.world.log.last();
    let refuse = |error: &AwsError, protocol, service, operation: &str| {
        let failed = FailedCall { request_id: call.request_id, service, operation };
        call.world.log.add_error(call.world.clock.now(), before, failed, error);
        render(error, protocol, call.request_id, call.accept_json)
    };
    let params = match params(call) {
        Ok(params) => params,
        Err(error) => {
            return elsewhere::handle(call, None)
                .unwrap_or_else(|| refuse(&error, Protocol::STS, "aws", "unreadable call"));
        }
    };
    let operation = params.get("Action").unwrap_or("").to_owned();
    let version = params.get("Version").unwrap_or(STS_VERSION).to_owned();
    if version == cloudwatch::VERSION {
        return cloudwatch::handle_query(call, &params, &operation);
    }
    let query = QueryCall { api: call, params };
    let (service, protocol, namespace, answer) = match version.as_str() {
        IAM_VERSION => {
            let answer = match iam_query::answer_later(&query, &operation).await {
                Some(answer) => Some(answer),
                None => iam_query::answer(&query, &operation),
            };
            ("iam", Protocol::IAM, error::IAM_NAMESPACE, answer)
        }
        STS_VERSION => {
            let answer = match sts_query::answer_later(&query, &operation).await {
                Some(answer) => Some(answer),
                None => sts_query::answer(&query, &operation),
            };
            ("sts", Protocol::STS, error::STS_NAMESPACE, answer)
        }
        _ => match elsewhere::handle(call, Some(&operation)) {
            Some(refused) => return refused,
            None => ("aws", Protocol::STS, error::STS_NAMESPACE, None),
        },
    };
    let answer = answer.unwrap_or_else(|| Err(error::unknown_operation(&operation, &version, protocol)));
    match answer {
        Ok(result) => xml::reply(&operation, namespace, result.as_ref(), call.request_id, call.accept_json),
        Err(error) => refuse(&error, protocol, service, &operation),
    }
}

fn params(call: &ApiCall<'_>) -> Result<Params, AwsError> {
    let mut params = Params::parse(call.signed.query)?;
    if !call.body.is_empty() {
        params.extend(Params::parse_bytes(call.body)?);
    }
    if params.get("Action").is_some() {
        return Ok(params);
    }
    // What a browser or `curl` on the bare address is told.
    let mut error = AwsError::new(
        "MissingAction",
        400,
        format!(
            "no Action: versions {STS_VERSION} (STS), {IAM_VERSION} (IAM) and {} (CloudWatch) are served here, and ECR by \
             X-Amz-Target",
            cloudwatch::VERSION
        ),
    );
    error.before_dispatch = true;
    Err(error)
}
