//! OIDC providers.

use landfall_types::{Arn, Issuer};
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{tags, text, texts, time};
use super::{IamCall, Keys, Run, request_tag_keys};
use crate::authz::{Permit, calls};
use crate::iam::{self, providers};
use crate::store::{Provider, ProviderSpans};

const ARN: &str = "OpenIDConnectProviderArn";

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "GetOpenIDConnectProvider" => get,
        "DeleteOpenIDConnectProvider" => delete,
        "ListOpenIDConnectProviders" => list_all,
        "UpdateOpenIDConnectProviderThumbprint" => update_thumbprints,
        "AddClientIDToOpenIDConnectProvider" => add_client_id,
        "RemoveClientIDFromOpenIDConnectProvider" => remove_client_id,
        _ => return None,
    })
}

/// `CreateOpenIDConnectProvider`, which may ask the issuer.
pub(super) async fn create(call: &IamCall<'_>) -> Answer {
    let url = call.required("Url")?;
    let (client_ids, given) = (call.list("ClientIDList"), call.tags());
    // The ARN that the provider will have: `:443` is not a part of it.
    let issuer = Issuer::parse(&url).map(|issuer| issuer.host_and_path());
    let host = issuer.unwrap_or_else(|_| url.strip_prefix("https://").unwrap_or(&url).to_owned());
    let arn = Arn::oidc_provider(call.account, &host).to_string();
    let permit = call.permit(arn.clone(), request_tag_keys(&given))?;
    if !given.is_empty() {
        let _: Permit<calls::TagOpenIDConnectProvider> = call.permit(arn, request_tag_keys(&given))?;
    }
    let described = call.written("CreateOpenIDConnectProvider", &url);
    let input = iam::CreateProvider {
        written: ProviderSpans {
            provider: described,
            url: described,
            client_ids: call.written("CreateOpenIDConnectProvider", &client_ids.join(", ")),
        },
        thumbprints: call.list("ThumbprintList"),
        tags: given,
        url,
        client_ids,
    };
    let made = providers::create_provider_asking(call.world(), &permit, input).await;
    let provider = made.map_err(|not_made| {
        if let Some(finding) = not_made.finding {
            call.log_refusal("CreateOpenIDConnectProvider", &permit, &not_made.error, finding);
        }
        not_made.error
    })?;
    Ok(Some(Element::structure([(ARN, text(provider.arn.to_string())), ("Tags", tags(&provider.tags))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on::<Provider, _>(&call.required(ARN)?, Keys::new())?;
    let provider = providers::get_provider(call.world(), &permit)?;
    Ok(Some(Element::structure([
        ("ThumbprintList", texts(&provider.thumbprints)),
        ("CreateDate", time(provider.created_at)),
        ("ClientIDList", texts(&provider.client_ids)),
        ("Url", text(provider.issuer.host_and_path())),
        ("Tags", tags(&provider.tags)),
    ])))
}

fn delete(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on::<Provider, _>(&call.required(ARN)?, Keys::new())?;
    providers::delete_provider(call.world(), &permit).map(|()| None)
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let all = providers::list_providers(call.world(), &permit);
    let entries = all.iter().map(|provider| Element::structure([("Arn", text(provider.arn.to_string()))]));
    Ok(Some(Element::structure([("OpenIDConnectProviderList", Some(Element::List(entries.collect())))])))
}

fn update_thumbprints(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on::<Provider, _>(&call.required(ARN)?, Keys::new())?;
    providers::update_thumbprints(call.world(), &permit, &call.list("ThumbprintList")).map(|()| None)
}

fn add_client_id(call: &IamCall<'_>) -> Answer {
    let (arn, id) = (call.required(ARN)?, call.required("ClientID")?);
    let permit = call.permit_on::<Provider, _>(&arn, Keys::new())?;
    providers::add_client_id(call.world(), &permit, id).map(|()| None)
}

fn remove_client_id(call: &IamCall<'_>) -> Answer {
    let (arn, id) = (call.required(ARN)?, call.required("ClientID")?);
    let permit = call.permit_on::<Provider, _>(&arn, Keys::new())?;
    providers::remove_client_id(call.world(), &permit, &id).map(|()| None)
}
