//! Amazon ECR: the names of its registries, and logins to them.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>

use aws_sdk_ecr::Client;
use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use landfall_types::{AccountId, RepositoryName, Timestamp};

use crate::aws::{self, CallError};
use crate::docker_config::Login;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::http::{self, Backoff};
use crate::proxy::Proxy;
use crate::registry::endpoint::{Endpoint, is_local};

/// A private ECR registry by its host name, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EcrHost {
    /// Whose registry.
    pub account: AccountId,
    /// Where.
    pub region: String,
    /// By an endpoint that keeps to FIPS 140.
    pub is_fips: bool,
}

impl EcrHost {
    /// Reads a host name, with or without a port. The forms are those that AWS's own credential helper
    /// knows: `.dkr.ecr.`, `.dkr.ecr-fips.`, and the dual-stack `.dkr-ecr.` of `on.aws`.
    pub fn parse(host: &str) -> Option<Self> {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let (account, rest) = name.split_once('.')?;
        let account = AccountId::parse(account).ok()?;
        let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
        let (is_fips, rest) = rest.strip_prefix("-fips").map_or((false, rest), |rest| (true, rest));
        let (region, suffix) = rest.strip_prefix('.')?.split_once('.')?;
        let is_region =
            !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (is_region && SUFFIXES.contains(&suffix)).then(|| Self {
            account,
            region: region.to_owned(),
            is_fips,
        })
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

/// A registry that a login is wanted for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An account's registry in the region that was said.
    Account(AccountId),
    /// A registry by its name, under which the login is kept too.
    Host {
        /// The name as it was given.
        name: String,
        /// What it says.
        host: EcrHost,
    },
    /// ECR Public.
    Public,
}

impl Target {
    /// An account id, an ECR registry's name, or `public.ecr.aws`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == PUBLIC_REGISTRY {
            return Ok(Self::Public);
        }
        if let Some(host) = EcrHost::parse(text) {
            return Ok(Self::Host { name: text.to_owned(), host });
        }
        AccountId::parse(text).map(Self::Account).map_err(|_| {
            format!(
                "`{}` is no registry of ECR: an account id, ACCOUNT.dkr.ecr.REGION.amazonaws.com or \
                 {PUBLIC_REGISTRY} is expected",
                text.escape_debug()
            )
        })
    }
}

/// Reads `--registries`: registries separated by commas, blanks around them ignored.
///
/// # Errors
/// A sentence for the user.
pub fn targets(texts: &[String]) -> Result<Vec<Target>, String> {
    let texts = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
    let targets: Vec<_> =
        texts.filter(|text| !text.is_empty()).map(Target::parse).collect::<Result<_, _>>()?;
    if targets.len() > REGISTRIES_MAX {
        return Err(format!(
            "{} registries were named, at most {REGISTRIES_MAX} are possible",
            targets.len()
        ));
    }
    Ok(targets)
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
    Ecr::new(environment, region, backoff).await?.private(region, false, accounts).await
}

/// ECR, asked with the credentials of the environment.
pub struct Ecr<'a> {
    environment: &'a Environment,
    backoff: Backoff,
    proxy: Proxy,
    credentials: Credentials,
}

impl<'a> Ecr<'a> {
    /// Looks for credentials. The region is for their own calls, if they need any.
    ///
    /// # Errors
    /// See [`EcrError`].
    pub async fn new(environment: &'a Environment, region: &str, backoff: Backoff) -> Result<Self, EcrError> {
        let proxy = Proxy::from_environment(environment)
            .map_err(|what| EcrError::NoCredentials(CallError::NotSent { what }))?;
        let http_client = aws::http_client(environment.endpoint("ECR"), &proxy);
        let credentials = aws::ambient_credentials(environment, region, http_client);
        let credentials = credentials.await.map_err(EcrError::NoCredentials)?;
        Ok(Self { environment, backoff, proxy, credentials })
    }

    /// When the credentials end, if they say so; a user's keys have no token and never do.
    pub fn session_end(&self) -> Option<Timestamp> {
        let never = || self.credentials.session_token().is_none().then_some(Timestamp(i64::MAX));
        self.credentials.expiry().map(aws::timestamp).or_else(never)
    }

    /// Passwords for the registries of these accounts in a region; of none: the caller's own.
    ///
    /// # Errors
    /// See [`EcrError`].
    pub async fn private(
        &self,
        region: &str,
        fips: bool,
        accounts: &[AccountId],
    ) -> Result<Vec<Authorization>, EcrError> {
        self.check("ECR", region)?;
        let mut call = self.client(region, fips).get_authorization_token();
        if !accounts.is_empty() {
            // AWS calls the member deprecated and still is the only one to offer it for several accounts.
            #[expect(deprecated, reason = "the only way to ask for the registries of other accounts")]
            {
                call = call.set_registry_ids(Some(accounts.iter().map(AccountId::to_string).collect()));
            }
        }
        let answer = call.send().await.map_err(|error| self.failed(error, "ECR", region))?;
        let authorizations: Option<Vec<_>> = answer.authorization_data().iter().map(authorization).collect();
        authorizations.filter(|all| !all.is_empty()).ok_or(EcrError::Unreadable)
    }

    /// Makes a private repository with ECR's defaults. One that has come to be there meanwhile is fine.
    ///
    /// # Errors
    /// See [`EcrError`].
    pub async fn create_repository(
        &self,
        region: &str,
        account: Option<AccountId>,
        name: &RepositoryName,
    ) -> Result<(), EcrError> {
        self.check("ECR", region)?;
        let call = self.client(region, false).create_repository().repository_name(name.as_str());
        match call.set_registry_id(account.map(|account| account.to_string())).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("RepositoryAlreadyExistsException") => Ok(()),
            Err(error) => Err(self.failed(error, "ECR", region)),
        }
    }

    /// Whether a service can be called at all: SDKs answer a region or an address that isn't one in words of
    /// their own.
    fn check(&self, service: &str, region: &str) -> Result<(), EcrError> {
        let checked = match self.environment.endpoint(service).map(aws::endpoint_url) {
            Some(endpoint) => endpoint.map(|_| ()),
            None if aws::is_region(region) => Ok(()),
            None => Err(CallError::NotSent {
                what: format!("`{}` is not a region: `eu-west-1` is one", http::excerpt(region)),
            }),
        };
        checked.map_err(EcrError::Call)
    }

    fn failed<E>(&self, error: SdkError<E, HttpResponse>, service: &str, region: &str) -> EcrError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let place = match self.environment.endpoint(service) {
            Some(endpoint) => format!("ECR at {endpoint}"),
            None => format!("ECR in {region}"),
        };
        EcrError::Call(aws::classify(error).at(&place))
    }

    fn client(&self, region: &str, fips: bool) -> Client {
        let endpoint = self.environment.endpoint("ECR");
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(aws::http_client(endpoint, &self.proxy))
            .credentials_provider(self.credentials.clone())
            .retry_config(aws::retries(self.backoff))
            .timeout_config(aws::timeouts())
            .use_fips(fips || self.environment.flag("AWS_USE_FIPS_ENDPOINT"))
            .use_dual_stack(self.environment.flag("AWS_USE_DUALSTACK_ENDPOINT"));
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Client::from_conf(config.build())
    }

    /// The password for ECR Public, which is asked for in one region only.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html>
    ///
    /// # Errors
    /// See [`EcrError`].
    pub async fn public(&self) -> Result<Authorization, EcrError> {
        use aws_sdk_ecrpublic::config::{Config, Region};
        self.check("ECR_PUBLIC", PUBLIC_REGION)?;
        let endpoint = self.environment.endpoint("ECR_PUBLIC");
        let mut config = Config::builder()
            .behavior_version(aws_sdk_ecrpublic::config::BehaviorVersion::latest())
            .region(Region::new(PUBLIC_REGION))
            .http_client(aws::http_client(endpoint, &self.proxy))
            .credentials_provider(self.credentials.clone())
            .retry_config(aws::retries(self.backoff))
            .timeout_config(aws::timeouts());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        let call = aws_sdk_ecrpublic::Client::from_conf(config.build()).get_authorization_token();
        let answer = call.send().await.map_err(|error| self.failed(error, "ECR_PUBLIC", PUBLIC_REGION))?;
        let data = answer.authorization_data().ok_or(EcrError::Unreadable)?;
        let login = data.authorization_token().and_then(Login::from_base64).ok_or(EcrError::Unreadable)?;
        let expiration = data.expires_at().and_then(|time| time.to_millis().ok()).map(Timestamp);
        Ok(Authorization { registry: PUBLIC_REGISTRY.to_owned(), login, expiration })
    }

    /// Passwords for all of these, in their order; those of one region with one call. None: the caller's own.
    ///
    /// # Errors
    /// The first that is refused.
    pub async fn all(&self, region: &str, targets: &[Target]) -> Result<Vec<Authorization>, EcrError> {
        if targets.is_empty() {
            return self.private(region, false, &[]).await;
        }
        let mut given = Vec::new();
        for place in places(targets, region) {
            let accounts = accounts_at(targets, region, &place);
            let answers = self.private(&place.region, place.is_fips, &accounts).await?;
            for (index, account) in accounts.into_iter().enumerate() {
                let found = of_account(&answers, account, index).ok_or(EcrError::Unreadable)?;
                given.push(((account, place.clone()), found.clone()));
            }
        }
        let mut found = Vec::new();
        for target in targets {
            let Some(asked) = target.place(region) else {
                found.push(self.public().await?);
                continue;
            };
            let known = given.iter().find(|(known, _)| *known == asked).ok_or(EcrError::Unreadable)?;
            let mut authorization = known.1.clone();
            if let Target::Host { name, .. } = target {
                authorization.registry.clone_from(name);
            }
            found.push(authorization);
        }
        Ok(found)
    }
}

/// Where a call for passwords goes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    region: String,
    is_fips: bool,
}

impl Target {
    /// The account and where it is asked for; none for ECR Public.
    fn place(&self, region: &str) -> Option<(AccountId, Place)> {
        match self {
            Self::Public => None,
            Self::Account(account) => Some((*account, Place { region: region.to_owned(), is_fips: false })),
            Self::Host { host, .. } => {
                Some((host.account, Place { region: host.region.clone(), is_fips: host.is_fips }))
            }
        }
    }
}

/// Each place once.
fn places(targets: &[Target], region: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for (_, place) in targets.iter().filter_map(|target| target.place(region)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The accounts that are asked for in one place, each once.
fn accounts_at(targets: &[Target], region: &str, place: &Place) -> Vec<AccountId> {
    let mut accounts = Vec::new();
    for (account, at) in targets.iter().filter_map(|target| target.place(region)) {
        if at == *place && !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    accounts
}

/// ECR's answers say their account in the registry's name. Where that is another one, as on a local AWS side,
/// they come in the order of the question.
fn of_account(answers: &[Authorization], account: AccountId, index: usize) -> Option<&Authorization> {
    let of = |answer: &&Authorization| {
        EcrHost::parse(&answer.registry).is_some_and(|host| host.account == account)
    };
    answers.iter().find(of).or_else(|| answers.get(index))
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

/// Whether a registry is on this machine and may be one that ECR is played by: only its challenge says it.
pub fn may_be_played(registry: &str, environment: &Environment) -> bool {
    Endpoint::new(registry, environment).is_ok_and(|endpoint| is_local(&endpoint.base, environment))
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
            EcrError::NoCredentials(error) => error.into_failure("Could not get ECR's authorization token"),
            EcrError::Call(error) => {
                let is_denied = error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied"));
                let failure = error.into_failure("Could not get ECR's authorization token");
                if is_denied {
                    failure.help(
                        "the role needs ecr:GetAuthorizationToken on resource `*`; for ECR Public \
                         ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken",
                    )
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
/// ECR Public's name.
pub const PUBLIC_REGISTRY: &str = "public.ecr.aws";
/// Where ECR Public gives passwords.
pub const PUBLIC_REGION: &str = "us-east-1";
/// GetAuthorizationToken takes 1 to 10 ids.
const REGISTRIES_MAX: usize = 10;

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
    fn registries_are_named_by_account_by_host_or_are_the_public_one() {
        let parse = |text: &str| targets(&[text.to_owned()]);
        let host = "210987654321.dkr.ecr-fips.us-east-2.amazonaws.com";
        let named = parse(&format!("123456789012, {host},public.ecr.aws")).unwrap();
        let places: Vec<_> = named.iter().map(|target| target.place("eu-west-1")).collect();
        let place = |account: &str, region: &str, is_fips| {
            Some((AccountId::parse(account).unwrap(), Place { region: region.to_owned(), is_fips }))
        };
        let wanted =
            [place("123456789012", "eu-west-1", false), place("210987654321", "us-east-2", true), None];
        assert_eq!(places, wanted);
        assert_eq!(parse(" "), Ok(Vec::new()));
        for text in ["12345", "docker.io", &["123456789012"; 11].join(",")] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_call_asks_for_all_accounts_of_a_region() {
        let named =
            targets(&["123456789012,210987654321,123456789012.dkr.ecr.eu-west-1.amazonaws.com".to_owned()]);
        let named = named.unwrap();
        let places = places(&named, "eu-west-1");
        let [place] = places.as_slice() else { panic!("{places:?}") };
        assert_eq!(accounts_at(&named, "eu-west-1", place).len(), 2);
    }
}
