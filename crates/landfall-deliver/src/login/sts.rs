//! The three calls to STS. The token exchange is sent unsigned and without looking for credentials.

use std::time::SystemTime;

use aws_sdk_sts::Client;
use aws_sdk_sts::config::{BehaviorVersion, Config, Credentials, Region, SharedHttpClient};
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use landfall_types::Secret;

use super::Options;
use super::tags::SessionTags;
use crate::aws::{self, CallError};
use crate::environment::Environment;
use crate::http::Backoff;
use crate::proxy::Proxy;

/// Calls to one STS endpoint over shared connections.
pub struct Sts {
    anonymous: Config,
    http_client: SharedHttpClient,
    /// The endpoint, as errors name it.
    place: String,
}

/// The owner of credentials.
#[derive(Clone, Debug)]
pub struct WhoAmI {
    /// Twelve digits.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
}

impl Sts {
    /// # Errors
    /// [`CallError::NotSent`] when the endpoint is no address.
    pub fn new(
        region: &str,
        endpoint: Option<&str>,
        backoff: Backoff,
        proxy: &Proxy,
        environment: &Environment,
    ) -> Result<Self, CallError> {
        endpoint.map(aws::endpoint_url).transpose()?;
        let place = endpoint.map_or_else(|| format!("STS in {region}"), |url| format!("STS at {url}"));
        let http_client = aws::http_client(endpoint, proxy);
        let mut builder = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(http_client.clone())
            .retry_config(aws::retries(backoff))
            .timeout_config(aws::timeouts());
        if environment.flag("AWS_USE_FIPS_ENDPOINT") {
            builder = builder.use_fips(true);
        }
        if environment.flag("AWS_USE_DUALSTACK_ENDPOINT") {
            builder = builder.use_dual_stack(true);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Ok(Self { anonymous: builder.build(), http_client, place })
    }

    pub fn http_client(&self) -> SharedHttpClient {
        self.http_client.clone()
    }

    fn signed(&self, credentials: &Credentials) -> Client {
        Client::from_conf(self.anonymous.to_builder().credentials_provider(credentials.clone()).build())
    }

    pub async fn assume_with_token(
        &self,
        options: &Options,
        role: &str,
        token: &Secret<String>,
    ) -> Result<Credentials, CallError> {
        let answer = Client::from_conf(self.anonymous.clone())
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name(&options.session_name)
            .web_identity_token(token.expose())
            .duration_seconds(seconds(options))
            .set_policy(options.inline_policy.clone())
            .set_policy_arns(policy_arns(options))
            .send()
            .await
            .map_err(|error| aws::classify(error).at(&self.place))?;
        credentials(answer.credentials())
    }

    /// Session tags that may go are left out once, when AWS finds the whole too large.
    pub async fn assume_with_keys(
        &self,
        options: &Options,
        role: &str,
        keys: &Credentials,
        tags: &SessionTags,
    ) -> Result<Credentials, CallError> {
        let all = self.assume_role(options, role, keys, tags, tags.all()).await;
        match all {
            Err(CallError::Refused(answer))
                if answer.code.starts_with("PackedPolicyTooLarge") && tags.can_shrink() =>
            {
                self.assume_role(options, role, keys, tags, tags.required()).await
            }
            other => other,
        }
    }

    async fn assume_role(
        &self,
        options: &Options,
        role: &str,
        keys: &Credentials,
        tags: &SessionTags,
        sent: Vec<Tag>,
    ) -> Result<Credentials, CallError> {
        let answer = self
            .signed(keys)
            .assume_role()
            .role_arn(role)
            .role_session_name(&options.session_name)
            .duration_seconds(seconds(options))
            .set_external_id(options.external_id.clone())
            .set_policy(options.inline_policy.clone())
            .set_policy_arns(policy_arns(options))
            .set_transitive_tag_keys(tags.transitive(&sent))
            .set_tags((!sent.is_empty()).then_some(sent))
            .send()
            .await
            .map_err(|error| aws::classify(error).at(&self.place))?;
        credentials(answer.credentials())
    }

    pub async fn who_am_i(&self, credentials: &Credentials) -> Result<WhoAmI, CallError> {
        let answer = self.signed(credentials).get_caller_identity().send().await;
        let answer = answer.map_err(|error| aws::classify(error).at(&self.place))?;
        match (answer.account(), answer.arn()) {
            (Some(account), Some(arn)) => Ok(WhoAmI { account: account.to_owned(), arn: arn.to_owned() }),
            _ => {
                Err(CallError::Unreachable { what: "GetCallerIdentity's answer names no account".to_owned() })
            }
        }
    }
}

fn seconds(options: &Options) -> i32 {
    i32::try_from(options.duration_seconds).unwrap_or(i32::MAX)
}

fn policy_arns(options: &Options) -> Option<Vec<PolicyDescriptorType>> {
    let arns = options.managed_policies.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
    (!options.managed_policies.is_empty()).then(|| arns.collect())
}

fn credentials(answer: Option<&aws_sdk_sts::types::Credentials>) -> Result<Credentials, CallError> {
    let answer = answer
        .ok_or_else(|| CallError::Unreachable { what: "STS's answer holds no credentials".to_owned() })?;
    let expiration = SystemTime::try_from(*answer.expiration()).ok();
    Ok(Credentials::new(
        answer.access_key_id(),
        answer.secret_access_key(),
        Some(answer.session_token().to_owned()),
        expiration,
        "sts",
    ))
}
