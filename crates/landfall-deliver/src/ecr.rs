//! Amazon ECR: the names of its registries, and logins to them.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>

use aws_sdk_ecr::Client;
use aws_sdk_ecr::config::{BehaviorVersion, Config, Region};
use landfall_types::{AccountId, Timestamp};

use crate::aws::{self, CallError};
use crate::docker_config::Login;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::http::Backoff;
use crate::proxy::Proxy;
use crate::registry::endpoint::Endpoint;

/// A private ECR registry by its host name, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EcrHost {
    /// Whose registry.
    pub account: AccountId,
    /// Where.
    pub region: String,
}

impl EcrHost {
    /// Reads a host name, with or without a port. The forms are those that AWS's own credential helper
    /// knows: `.dkr.ecr.`, `.dkr.ecr-fips.`, and the dual-stack `.dkr-ecr.` of `on.aws`.
    pub fn parse(host: &str) -> Option<Self> {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let (account, rest) = name.split_once('.')?;
        let account = AccountId::parse(account).ok()?;
        let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
        let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
        let (region, suffix) = rest.split_once('.')?;
        let is_region =
            !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (is_region && SUFFIXES.contains(&suffix)).then(|| Self { account, region: region.to_owned() })
    }
}

/// A registry that ECR gave a password for.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// Host and port, without scheme: what stands before the repository in an image's name.
    pub registry: String,
    /// `AWS` and the password.
    pub login: Login,
    /// When the password ends; ECR's live for twelve hours.
    pub expiration: Option<Timestamp>,
}

impl Authorization {
    /// The registry as part of an output's name: runs of other than letters, digits and `_` become one
    /// `_`, as the AWS action names its outputs.
    pub fn output_suffix(&self) -> String {
        let mut suffix = String::new();
        let mut is_in_run = false;
        for c in self.registry.chars() {
            let fits = c.is_ascii_alphanumeric() || c == '_';
            if fits {
                suffix.push(c);
            } else if !is_in_run {
                suffix.push('_');
            }
            is_in_run = !fits;
        }
        suffix
    }
}

/// Asks ECR for passwords: for the caller's own registry, or for those of the accounts named.
///
/// # Errors
/// See [`EcrError`].
pub async fn authorize(
    environment: &Environment,
    region: &str,
    accounts: &[AccountId],
    backoff: Backoff,
) -> Result<Vec<Authorization>, EcrError> {
    let endpoint = environment.endpoint("ECR");
    let proxy =
        Proxy::from_environment(environment).map_err(|what| EcrError::Call(CallError::NotSent { what }))?;
    let http_client = aws::http_client(endpoint, &proxy);
    let credentials = aws::ambient_credentials(environment, region, http_client.clone());
    let credentials = credentials.await.map_err(EcrError::NoCredentials)?;
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(http_client)
        .credentials_provider(credentials)
        .retry_config(aws::retries(backoff))
        .timeout_config(aws::timeouts())
        .use_fips(environment.flag("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(environment.flag("AWS_USE_DUALSTACK_ENDPOINT"));
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    let mut call = Client::from_conf(config.build()).get_authorization_token();
    if !accounts.is_empty() {
        // AWS calls the member deprecated and still is the only one to offer it for several accounts.
        #[expect(deprecated, reason = "the only way to ask for the registries of other accounts")]
        {
            call = call.set_registry_ids(Some(accounts.iter().map(AccountId::to_string).collect()));
        }
    }
    let answer = call.send().await.map_err(|error| EcrError::Call(aws::classify(error)))?;
    let authorizations: Option<Vec<_>> = answer.authorization_data().iter().map(authorization).collect();
    authorizations.filter(|all| !all.is_empty()).ok_or(EcrError::Unreadable)
}

fn authorization(data: &aws_sdk_ecr::types::AuthorizationData) -> Option<Authorization> {
    Some(Authorization {
        registry: registry_of(data.proxy_endpoint()?).to_owned(),
        login: Login::from_base64(data.authorization_token()?)?,
        expiration: data.expires_at().and_then(|time| time.to_millis().ok()).map(Timestamp),
    })
}

/// A `proxyEndpoint` without its scheme.
fn registry_of(proxy_endpoint: &str) -> &str {
    let rest = proxy_endpoint.split_once("://").map_or(proxy_endpoint, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// Whether a registry is private ECR, by its name or because ECR's calls are sent to that very host.
pub fn is_ecr_registry(registry: &str, environment: &Environment) -> bool {
    Endpoint::new(registry, environment).is_ok_and(|endpoint| endpoint.ecr_region(environment).is_some())
}

/// Reads `--registries`: account ids, separated by commas, blanks around them ignored.
///
/// # Errors
/// A sentence for the user.
pub fn accounts(texts: &[String]) -> Result<Vec<AccountId>, String> {
    let ids = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let accounts =
        ids.map(AccountId::parse).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if accounts.len() > ACCOUNTS_MAX {
        return Err(format!(
            "{} registries were named, at most {ACCOUNTS_MAX} are possible in one call",
            accounts.len()
        ));
    }
    Ok(accounts)
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum EcrError {
    /// Nothing to sign with.
    #[error("{0}")]
    NoCredentials(CallError),
    /// ECR's answer.
    #[error("{0}")]
    Call(CallError),
    /// An answer without what it should hold.
    #[error("GetAuthorizationToken's answer holds no password")]
    Unreadable,
}

impl From<EcrError> for Failure {
    fn from(error: EcrError) -> Self {
        match error {
            EcrError::NoCredentials(error) => {
                let is_nobody = matches!(error, CallError::NotSent { .. });
                let failure = error.into_failure("Could not get ECR's authorization token");
                if is_nobody {
                    failure.help("`landfall login` comes first: it puts the role's keys into the environment")
                } else {
                    failure
                }
            }
            EcrError::Call(error) => {
                let is_denied = error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied"));
                let failure = error.into_failure("Could not get ECR's authorization token");
                if is_denied {
                    failure.help("the role needs ecr:GetAuthorizationToken on resource `*`")
                } else {
                    failure
                }
            }
            EcrError::Unreadable => Failure::new(crate::FailureKind::Outside, error.to_string()),
        }
    }
}

/// The domains of AWS's partitions that have registries.
const SUFFIXES: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "on.aws",
    "on.amazonwebservices.com.cn",
    "on.amazonwebservices.eu",
];
/// GetAuthorizationToken takes 1 to 10 ids.
const ACCOUNTS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn ecr_hosts_are_recognised_and_lookalikes_are_not() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com:8080", "eu-west-1"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr-ecr.us-east-1.on.aws", "us-east-1"),
        ] {
            assert_eq!(EcrHost::parse(host).unwrap().region, region, "{host}");
        }
        for host in [
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.amazonaws.com",
            "x.123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "public.ecr.aws",
            "127.0.0.1:4566",
        ] {
            assert_eq!(EcrHost::parse(host), None, "{host}");
        }
    }

    #[test]
    fn a_registry_is_its_endpoint_without_scheme() {
        for (endpoint, registry) in [
            (
                "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            ),
            ("http://127.0.0.1:4566", "127.0.0.1:4566"),
            ("http://127.0.0.1:4566/", "127.0.0.1:4566"),
            ("127.0.0.1:4566", "127.0.0.1:4566"),
        ] {
            assert_eq!(registry_of(endpoint), registry);
        }
    }

    #[test]
    fn outputs_are_named_as_the_action_names_them() {
        let authorization = |registry: &str| Authorization {
            registry: registry.to_owned(),
            login: Login::from_base64("QVdTOng=").unwrap(),
            expiration: None,
        };
        assert_eq!(authorization("127.0.0.1:5611").output_suffix(), "127_0_0_1_5611");
        assert_eq!(
            authorization("123456789012.dkr.ecr.eu-west-1.amazonaws.com").output_suffix(),
            "123456789012_dkr_ecr_eu_west_1_amazonaws_com"
        );
    }

    #[test]
    fn registries_are_trimmed_and_counted() {
        let parse = |text: &str| accounts(&[text.to_owned()]).map(|all| all.len());
        assert_eq!(parse("123456789012, 210987654321"), Ok(2));
        assert_eq!(parse(" "), Ok(0));
        assert!(parse("12345").is_err());
        assert!(parse(&["123456789012"; 11].join(",")).is_err());
    }
}
