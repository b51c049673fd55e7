//! Who comes, and which registry they come to.

use http::StatusCode;
use landfall_types::{AccountId, Finding};
use landfall_wire::error::AwsError;

use super::From;
use super::answer::Refusal;
use crate::apart::name_of;
use crate::authn::{self, RegistryAuthn, RegistryLogin};
use crate::caller::Caller;
use crate::ecr::PUBLIC_REGION;
use crate::log::{Entry, Verdict};
use crate::store::RegistryId;
use crate::world::World;

/// What ECR tells a login that it can't read (observed in clients' reports, as status 400).
const INVALID_LOGIN: &str = "Your Authorization Token is invalid.";
/// What ECR tells a login that has ended (observed in clients' reports).
const ENDED_LOGIN: &str = "Your authorization token has expired. Reauthenticate and try again.";

/// Opens the login and finds the registry. The first request of most clients comes without a login, to
/// see the challenge: it leaves no record.
pub(super) fn enter(
    from: &From<'_>,
    host: &str,
    authorization: Option<&str>,
) -> Result<(Caller, RegistryId), Refusal> {
    let world = from.world;
    let refuse = |refused| told(from, "ecr", refused);
    let is_basic = authorization.is_some_and(|text| {
        text.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
    });
    let login = match authn::registry_login(world, authorization) {
        RegistryAuthn::Login(login) => login,
        RegistryAuthn::Invalid if is_basic => return Err(refuse(invalid())),
        RegistryAuthn::Invalid => {
            let message = "the Authorization is not Basic, the only login that ECR takes";
            from.note(&AwsError::bad_request("UNAUTHORIZED", message));
            return Err(challenge(world, host));
        }
        RegistryAuthn::NotRequested => return Err(challenge(world, host)),
    };
    if let Some(door) = login.door {
        world.doors.note(door, from.request_id);
    }
    if login.has_ended(world.clock.now()) {
        return Err(refuse(ended(world, &login)));
    }
    let registry = registry_of(world, host, &login).ok_or_else(|| refuse(invalid()))?;
    if registry.region != login.region {
        return Err(refuse(other_region(&login, &registry)));
    }
    Ok((login.caller(), registry))
}

/// Asks who it is. Where each registry has its own address, ECR's name of it is told, as ECR tells it: `landfall push`
/// asks for its password by that.
fn challenge(world: &World, host: &str) -> Refusal {
    match world.registries.at(host) {
        Some(registry) => Refusal::challenge(&format!("https://{}", name_of(&registry))),
        None => Refusal::challenge(&format!("http://{host}")),
    }
}

/// Tells a client that its login does not open the registry, and the log why.
pub(super) fn told(from: &From<'_>, service: &'static str, refused: Refused) -> Refusal {
    let status = refused.status.as_u16();
    let finding = refused.finding.note(format!("the client was told: {status} DENIED"));
    from.world.log.add(
        from.world.clock.now(),
        Entry {
            request_id: from.request_id.to_owned(),
            service,
            operation: from.operation.to_owned(),
            caller: refused.caller,
            action: None,
            resource: None,
            verdict: Verdict::Refused { code: "DENIED".to_owned(), message: refused.message.to_owned() },
            decision: None,
            finding: Some(finding),
            claims: None,
        },
    );
    Refusal::with_status(refused.status, "DENIED", refused.message)
}

/// A login that does not open the registry.
pub(super) struct Refused {
    pub(super) caller: String,
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
    pub(super) finding: Finding,
}

pub(super) fn invalid() -> Refused {
    Refused {
        caller: "unknown".to_owned(),
        status: StatusCode::BAD_REQUEST,
        message: INVALID_LOGIN,
        finding: Finding::error("registry-login-invalid", "the registry login was not made by this server")
            .help("log in again: user AWS, and the password that `ecr get-login-password` gives for this server"),
    }
}

pub(super) fn ended(world: &World, login: &RegistryLogin) -> Refused {
    let ended_at = landfall_types::Timestamp(login.expires_at_ms);
    let now = world.clock.now();
    Refused {
        caller: login.caller().arn(),
        status: StatusCode::FORBIDDEN,
        message: ENDED_LOGIN,
        finding: Finding::error("registry-login-expired", format!("the registry login ended at {ended_at}"))
            .note(format!(
                "it is {now} now; a login lasts {} hours",
                crate::ecr::REGISTRY_LOGIN_SECONDS / 3600
            ))
            .help("log in to the registry again, in the job that pushes or pulls"),
    }
}

fn other_region(login: &RegistryLogin, registry: &RegistryId) -> Refused {
    Refused {
        caller: login.caller().arn(),
        status: StatusCode::BAD_REQUEST,
        message: INVALID_LOGIN,
        finding: Finding::error(
            "registry-login-other-region",
            format!("the login is for {}, the registry is in {}", login.region, registry.region),
        )
        .help(format!(
            "log in with region {}: a registry login opens one region's registries",
            registry.region
        )),
    }
}

/// The registry that a host names, or whose address it is, or else the login's own. A login for ECR Public has none
/// here.
fn registry_of(world: &World, host: &str, login: &RegistryLogin) -> Option<RegistryId> {
    let own = || {
        let account = AccountId::parse(&login.account).ok()?;
        let region = match login.region.as_str() {
            PUBLIC_REGION => &world.settings.default_region,
            _ => &login.region,
        };
        Some(RegistryId { account, region: region.clone() })
    };
    registry_of_host(host).or_else(|| world.registries.at(host)).or_else(own)
}

/// The account and region of an ECR host name, with or without a port. The forms are those of AWS's
/// credential helper. <https://github.com/awslabs/amazon-ecr-credential-helper/blob/main/ecr-login/api/client.go>
pub(crate) fn registry_of_host(host: &str) -> Option<RegistryId> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let (account, rest) = host.split_once('.')?;
    let account = AccountId::parse(account).ok()?;
    let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
    let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
    let (region, domain) = rest.split_once('.')?;
    let is_region = region.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_region && DOMAINS.contains(&domain)).then(|| RegistryId { account, region: region.to_owned() })
}

const DOMAINS: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "on.aws",
    "on.amazonwebservices.com.cn",
    "on.amazonwebservices.eu",
    "sc2s.sgov.gov",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];
