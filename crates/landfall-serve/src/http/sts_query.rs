//! STS's operations in the Query protocol.

use landfall_wire::error::Protocol;
use landfall_wire::xml::Element;

use super::query::{Answer, QueryCall};
use crate::authz::{self, Asked};
use crate::sts::{self, Assumed};

/// Answers an operation; none for one that STS does not have here.
pub(super) fn answer(call: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    match operation {
        "AssumeRoleWithWebIdentity" => Some(assume_role_with_web_identity(call)),
        "GetCallerIdentity" => Some(get_caller_identity(call)),
        _ => None,
    }
}

/// Unsigned: the token is the proof, and a signature is ignored.
fn assume_role_with_web_identity(call: &QueryCall<'_>) -> Answer {
    let world = call.api.world;
    let keys = call.api.connection.keys();
    let asked =
        sts::Asked { request_id: call.api.request_id, region: &world.settings.default_region, keys: &keys };
    Ok(Some(assumed_element(&sts::assume(world, asked, &call.params)?)))
}

fn assumed_element(assumed: &Assumed) -> Element {
    let session = &assumed.session;
    let text = |text: &str| Some(Element::text(text));
    Element::structure([
        ("SubjectFromWebIdentityToken", text(&assumed.subject)),
        ("Audience", text(&assumed.audience)),
        (
            "AssumedRoleUser",
            Some(Element::structure([
                ("Arn", text(&session.arn().to_string())),
                ("AssumedRoleId", text(&format!("{}:{}", session.role_id, session.session_name))),
            ])),
        ),
        (
            "Credentials",
            Some(Element::structure([
                ("SessionToken", text(assumed.session_token.expose())),
                ("SecretAccessKey", text(assumed.secret_key.expose())),
                ("Expiration", Some(Element::Time(session.expires_at()))),
                ("AccessKeyId", text(&session.access_key_id)),
            ])),
        ),
        ("Provider", text(&assumed.provider)),
        ("PackedPolicySize", Some(Element::Integer(i64::from(assumed.packed_policy_size)))),
        ("SourceIdentity", session.source_identity.as_deref().map(Element::text)),
    ])
}

fn get_caller_identity(call: &QueryCall<'_>) -> Answer {
    let identified = call.identify("sts", "GetCallerIdentity", Protocol::STS)?;
    let account = identified.caller.account().unwrap_or(call.api.world.settings.default_account);
    let asked = Asked {
        caller: &identified.caller,
        region: &identified.region,
        resource: "*".to_owned(),
        resource_account: account.to_string(),
        resource_policy: None,
        keys: identified.connection.keys(),
        request_id: call.api.request_id,
    };
    let permit = authz::authorize(call.api.world, &asked, Protocol::STS)?;
    let identity = sts::get_caller_identity(&permit);
    Ok(Some(Element::structure([
        ("UserId", Some(Element::from(identity.user_id))),
        ("Account", Some(Element::from(identity.account))),
        ("Arn", Some(Element::from(identity.arn))),
    ])))
}
