//! Operations that AWS refuses to an account like those of this server: without a SAML provider, outside of
//! an organization, with outbound federation off. They are answered with AWS's refusal rather than unknown.

use landfall_types::Finding;
use landfall_wire::error::{AwsError, access_denied};
use landfall_wire::query::Params;
use landfall_wire::sts as rules;
use landfall_wire::web_identity::invalid_token;

use super::identity::PROTOCOL;
use super::{Asked, SignedCall, because, refuse};
use crate::authz::{Permit, calls};
use crate::log::{Entry, Verdict};
use crate::world::World;

/// `AssumeRoleWithSAML`: no account here has a SAML provider. Unsigned, as the exchange of an ID token.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html>
///
/// # Errors
/// Always: what AWS answers where the provider is not there.
pub fn assume_role_with_saml(world: &World, asked: Asked<'_>, params: &Params) -> AwsError {
    let (error, finding) = match rules::check_saml_assertion(params) {
        Err(error) => {
            let finding = Finding::error("token-refused", error.message.clone());
            (error, finding)
        }
        Ok(input) => (
            invalid_token("Specified provider doesn't exist"),
            Finding::error("provider-missing", format!("there is no SAML provider `{}`", input.provider))
                .help("SAML providers are not served here: exchange an ID token instead"),
        ),
    };
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: asked.request_id.to_owned(),
            service: "sts",
            operation: "AssumeRoleWithSAML".to_owned(),
            caller: "a SAML assertion".to_owned(),
            action: Some("sts:AssumeRoleWithSAML".to_owned()),
            resource: params.get("RoleArn").map(str::to_owned),
            verdict: Verdict::refused(&error),
            decision: None,
            finding: Some(finding),
            claims: None,
        },
    );
    error
}

/// `AssumeRoot`: no account here is in an organization.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoot.html>
///
/// # Errors
/// Always.
pub fn assume_root(
    world: &World,
    permit: &Permit<calls::AssumeRoot>,
    call: &SignedCall<'_>,
    params: &Params,
) -> AwsError {
    if let Err(error) = rules::check_target_principal(params) {
        return error;
    }
    let caller = permit.caller().arn();
    let sentence = format!(
        "User: {caller} is not authorized to perform: sts:AssumeRoot on resource: {}",
        permit.resource()
    );
    let finding = Finding::error(
        "no-organization",
        "root sessions are for the management account of an organization, and there is none",
    )
    .help("take a role of that account instead: its policies say what it may");
    let resource = Some(permit.resource().to_owned());
    refuse(world, call, "AssumeRoot", resource, because(access_denied(sentence, PROTOCOL), finding))
}

/// `GetWebIdentityToken`: outbound federation is off until an account turns it on, and none does here.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>
///
/// # Errors
/// Always.
pub fn get_web_identity_token(world: &World, call: &SignedCall<'_>) -> AwsError {
    let message = "The outbound web identity federation feature is not enabled for this account. To use this \
                   feature, you must first enable it through the AWS Management Console or API.";
    let finding =
        Finding::error("outbound-federation-off", "tokens of AWS for other services are not made here")
            .help("`landfall token` mints tokens of the issuers that are played");
    let error = AwsError::new("OutboundWebIdentityFederationDisabledException", 403, message);
    refuse(world, call, "GetWebIdentityToken", None, because(error, finding))
}
