//! OIDC providers.

use std::sync::Arc;

use landfall_types::{Arn, Finding, Issuer};
use landfall_wire::error::AwsError;

use super::checks::{check_length, check_tags};
use super::entity::{change, find, find_in, look_up};
use super::{account_of, already_exists, error, limit_exceeded, no_such_entity, write};
use crate::authz::{Permit, calls};
use crate::store::records::within;
use crate::store::{Provider, ProviderSpans, Record};
use crate::world::World;

/// OIDC providers of one account.
pub const PROVIDERS_MAX: usize = 100;
/// Client ids of one provider.
const CLIENT_IDS_MAX: usize = 100;
/// Thumbprints of one provider.
const THUMBPRINTS_MAX: usize = 5;
/// Longest URL of a provider, in characters.
const URL_CHARS_MAX: usize = 255;
/// Characters of a certificate thumbprint.
const THUMBPRINT_CHARS: usize = 40;

/// `CreateOpenIDConnectProvider`.
#[derive(Clone, Debug)]
pub struct CreateProvider {
    /// The issuer's URL.
    pub url: String,
    /// Audiences.
    pub client_ids: Vec<String>,
    /// Certificate thumbprints.
    pub thumbprints: Vec<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Where it was written.
    pub written: ProviderSpans,
}

/// Why a provider was not made, and what the decision log says of it beside AWS's sentence.
#[derive(Debug)]
pub struct NotMade {
    /// The refusal.
    pub error: AwsError,
    /// What went wrong with the issuer, if it was asked.
    pub finding: Option<Finding>,
}

impl From<AwsError> for NotMade {
    fn from(error: AwsError) -> Self {
        Self { error, finding: None }
    }
}

/// [`create_provider`]; one without a thumbprint gets that of the last certificate that its issuer sends, as on
/// AWS since 2024. An issuer that is played here has no certificate, and a server that asks nobody sees none:
/// such a provider stays without.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html>
///
/// # Errors
/// Those of [`create_provider`], and `OpenIdIdpCommunicationError`.
pub async fn create_provider_asking(
    world: &World,
    permit: &Permit<calls::CreateOpenIDConnectProvider>,
    mut input: CreateProvider,
) -> Result<Arc<Provider>, NotMade> {
    let issuer = check_new(world, permit, &input)?;
    if input.thumbprints.is_empty() && world.issuers.by_host_and_path(&issuer.host_and_path()).is_none() {
        match world.discovery.thumbprint(&issuer, world.clock.wall()).await {
            None => {}
            Some(Ok(thumbprint)) => input.thumbprints.push(thumbprint),
            Some(Err(fault)) => {
                let sentence =
                    format!("Could not connect to openid configuration of provider: {}", input.url);
                let finding = fault.finding().at(input.written.url, "the provider is for this issuer");
                let finding =
                    finding.help("with a ThumbprintList of its own a provider is made without asking");
                let error = error("OpenIdIdpCommunicationError", sentence, 400);
                return Err(NotMade { error, finding: Some(finding) });
            }
        }
    }
    Ok(create_provider(world, permit, input)?)
}

/// What can be said of a new provider before anybody is asked.
fn check_new<C>(world: &World, permit: &Permit<C>, input: &CreateProvider) -> Result<Issuer, AwsError> {
    let issuer = check_provider_url(&input.url)?;
    check_provider_lists(&input.client_ids, &input.thumbprints)?;
    check_tags("OpenIdConnectProvider", &input.tags)?;
    let account = account_of(permit, world);
    let arn = Arn::oidc_provider(account, &issuer.host_and_path()).to_string();
    match look_up::<Provider>(world, account, &arn) {
        Some(_) => Err(taken(&input.url)),
        None => Ok(issuer),
    }
}

fn taken(url: &str) -> AwsError {
    already_exists(format!("Provider with url {url} already exists."))
}

/// Makes a provider and tells its ARN.
///
/// # Errors
/// `InvalidInput` for a URL that is no issuer or too many entries, `EntityAlreadyExists`.
pub fn create_provider(
    world: &World,
    permit: &Permit<calls::CreateOpenIDConnectProvider>,
    input: CreateProvider,
) -> Result<Arc<Provider>, AwsError> {
    let account = account_of(permit, world);
    let issuer = check_new(world, permit, &input)?;
    let provider = Provider {
        arn: Arn::oidc_provider(account, &issuer.host_and_path()),
        issuer,
        client_ids: each_once(input.client_ids),
        thumbprints: lower(&input.thumbprints),
        tags: input.tags,
        created_at: world.clock.now(),
        written: input.written,
    };
    write(world, |writing| {
        if writing.list::<Provider>(&within(&[account.as_str()])).len() >= PROVIDERS_MAX {
            return Err(limit_exceeded("OpenIdConnectProvidersPerAccount", PROVIDERS_MAX).into());
        }
        if writing.get::<Provider>(&provider.key()).is_some() {
            return Err(taken(&input.url).into());
        }
        writing.put(provider.clone());
        Ok(())
    })?;
    Ok(Arc::new(provider))
}

/// Brings a provider that is there up to date with what would make it. Without thumbprints it keeps its own.
///
/// # Errors
/// `InvalidInput`, `LimitExceeded`, `NoSuchEntity`.
pub fn restate_provider(
    world: &World,
    permit: &Permit<calls::CreateOpenIDConnectProvider>,
    input: CreateProvider,
) -> Result<(), AwsError> {
    check_provider_lists(&input.client_ids, &input.thumbprints)?;
    change::<Provider, _, _>(world, permit, permit.resource(), |provider| {
        provider.client_ids = each_once(input.client_ids);
        provider.written = input.written;
        if !input.thumbprints.is_empty() {
            provider.thumbprints = lower(&input.thumbprints);
        }
        Ok(())
    })
}

fn each_once(given: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for id in given {
        if !once.contains(&id) {
            once.push(id);
        }
    }
    once
}

fn lower(thumbprints: &[String]) -> Vec<String> {
    thumbprints.iter().map(|thumbprint| thumbprint.to_ascii_lowercase()).collect()
}

fn check_provider_url(url: &str) -> Result<Issuer, AwsError> {
    check_length("url", url, 1, URL_CHARS_MAX)?;
    Issuer::parse(url).map_err(|_| {
        let has_more = url.starts_with("https://") && url.contains(['?', '#']);
        // The one word is AWS's whole message (observed).
        let unknown = "Unknown";
        let no_https = "Invalid Open ID Connect Provider URL. The URL must begin with https://.";
        error("InvalidInput", if has_more { unknown } else { no_https }, 400)
    })
}

fn check_provider_lists(client_ids: &[String], thumbprints: &[String]) -> Result<(), AwsError> {
    client_ids.iter().try_for_each(|id| check_length("clientIDList", id, 1, URL_CHARS_MAX))?;
    if client_ids.len() > CLIENT_IDS_MAX {
        return Err(limit_exceeded("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_MAX));
    }
    check_thumbprints(thumbprints)
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), AwsError> {
    let exact =
        |thumbprint: &String| check_length("thumbprintList", thumbprint, THUMBPRINT_CHARS, THUMBPRINT_CHARS);
    thumbprints.iter().try_for_each(exact)?;
    if thumbprints.len() > THUMBPRINTS_MAX {
        return Err(error("InvalidInput", "Thumbprint list must contain fewer than 5 entries.", 400));
    }
    Ok(())
}

/// `GetOpenIDConnectProvider`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_provider(
    world: &World,
    permit: &Permit<calls::GetOpenIDConnectProvider>,
) -> Result<Arc<Provider>, AwsError> {
    let arn = permit.resource();
    find(world, permit, arn)
        .map_err(|_| no_such_entity(format!("OpenIDConnect Provider not found for arn {arn}")))
}

/// `ListOpenIDConnectProviders`.
pub fn list_providers(
    world: &World,
    permit: &Permit<calls::ListOpenIDConnectProviders>,
) -> Vec<Arc<Provider>> {
    world.store.providers(account_of(permit, world))
}

/// `DeleteOpenIDConnectProvider`.
///
/// # Errors
/// `NoSuchEntity`, although the API reference calls it idempotent (captured).
pub fn delete_provider(
    world: &World,
    permit: &Permit<calls::DeleteOpenIDConnectProvider>,
) -> Result<(), AwsError> {
    let arn = permit.resource();
    write(world, |writing| {
        let provider = find_in::<Provider, _>(writing, world, permit, arn)?;
        writing.remove::<Provider>(&provider.key())?;
        Ok(())
    })
}

/// `UpdateOpenIDConnectProviderThumbprint`.
///
/// # Errors
/// `InvalidInput` for none or too many, `NoSuchEntity`.
pub fn update_thumbprints(
    world: &World,
    permit: &Permit<calls::UpdateOpenIDConnectProviderThumbprint>,
    thumbprints: &[String],
) -> Result<(), AwsError> {
    if thumbprints.is_empty() {
        return Err(error("InvalidInput", "Thumbprint list must contain at least one entry.", 400));
    }
    check_thumbprints(thumbprints)?;
    change::<Provider, _, _>(world, permit, permit.resource(), |provider| {
        provider.thumbprints = lower(thumbprints);
        Ok(())
    })
}

/// `AddClientIDToOpenIDConnectProvider`; adding twice is no error (captured).
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`.
pub fn add_client_id(
    world: &World,
    permit: &Permit<calls::AddClientIDToOpenIDConnectProvider>,
    id: String,
) -> Result<(), AwsError> {
    change::<Provider, _, _>(world, permit, permit.resource(), |provider| {
        if provider.client_ids.contains(&id) {
            return Ok(());
        }
        if provider.client_ids.len() >= CLIENT_IDS_MAX {
            return Err(limit_exceeded("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_MAX));
        }
        provider.client_ids.push(id);
        Ok(())
    })
}

/// `RemoveClientIDFromOpenIDConnectProvider`; removing twice is no error (captured).
///
/// # Errors
/// `NoSuchEntity`.
pub fn remove_client_id(
    world: &World,
    permit: &Permit<calls::RemoveClientIDFromOpenIDConnectProvider>,
    id: &str,
) -> Result<(), AwsError> {
    change::<Provider, _, _>(world, permit, permit.resource(), |provider| {
        provider.client_ids.retain(|known| known != id);
        Ok(())
    })
}
