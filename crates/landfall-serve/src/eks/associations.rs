//! Pod Identity associations: which role the pods of a service account get.
//! <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html>

use std::sync::Arc;

use landfall_policy::PolicyKind;
use landfall_policy::ast::{Effect, PrincipalPattern};
use landfall_types::{AccountId, Arn};
use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::{
    Called, Fault, PODS, authorize_pass_role, cluster_and_keys, clusters, invalid, malformed, no_cluster,
    resource_tag_keys, seconds, tags,
};
use crate::authz::eks_calls as calls;
use crate::iam::DocumentInput;
use crate::page::Page;
use crate::store::Role;
use crate::store::ecs::Place;
use crate::store::eks::{EksCluster, PodIdentityAssociation, arn};
use crate::world::World;

/// Longest name of a namespace or a service account, in characters.
const NAME_CHARS_MAX: usize = 253;
const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// How long a `clientRequestToken` has to be, in characters (captured).
const CLIENT_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 33..=126;
/// Longest session policy, in characters.
const POLICY_CHARS_MAX: usize = 2_048;
/// Associations of one cluster.
const ASSOCIATIONS_MAX: usize = 5_000;
/// Characters of an id behind `a-`.
const ID_CHARS: usize = 17;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreatePodIdentityAssociation" => create(call),
        "DescribePodIdentityAssociation" => describe(call),
        "ListPodIdentityAssociations" => list(call),
        "UpdatePodIdentityAssociation" => update(call),
        "DeletePodIdentityAssociation" => delete(call),
        _ => return None,
    })
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = call.input.required_text("clusterName")?;
    let given = tags::given(call.input)?;
    let (known, mut keys) = cluster_and_keys(call, cluster);
    keys.extend(tags::request_keys(&given));
    let on = arn(place, &format!("cluster/{cluster}"));
    let permit = call.authorize::<calls::CreatePodIdentityAssociation>(on.clone(), keys)?;
    let any = arn(place, &format!("podidentityassociation/{cluster}/*"));
    tags::authorize_on_create(call, &any, &given)?;
    let role = call.input.required_text("roleArn")?.to_owned();
    authorize_pass_role(call, &role, PODS, &on)?;
    let known = known.ok_or_else(|| no_cluster(cluster))?;
    let mut association = PodIdentityAssociation {
        place: place.clone(),
        cluster: known.name.clone(),
        id: new_id(call.world),
        namespace: name(call, "namespace")?,
        service_account: name(call, "serviceAccount")?,
        role,
        target_role: None,
        disable_session_tags: false,
        policy: None,
        client_token: client_token(call)?,
        created_ms: call.now_ms(),
        modified_ms: call.now_ms(),
        tags: given,
    };
    apply(call, &mut association)?;
    let association = call.write(&permit, |writing| {
        let all = writing.list::<PodIdentityAssociation>(&place.in_cluster(cluster));
        let is_same_call = |other: &&Arc<PodIdentityAssociation>| {
            association.client_token.is_some() && other.client_token == association.client_token
        };
        // The same token answers what it made, also when the rest of the call differs (captured).
        if let Some(made) = all.iter().find(is_same_call) {
            return Ok((**made).clone());
        }
        if let Some(other) = all.iter().find(|other| other.is_for(&association)) {
            let message = format!("Association already exists: {}", other.id);
            let error = AwsError::new("ResourceInUseException", 409, message);
            return Err(error.member("clusterName", cluster).into());
        }
        if all.len() >= ASSOCIATIONS_MAX {
            let message = format!("A cluster has at most {ASSOCIATIONS_MAX} Pod Identity associations.");
            return Err(AwsError::bad_request("ResourceLimitExceededException", message).into());
        }
        writing.put(association.clone());
        Ok(association)
    })?;
    Ok(json!({ "association": render(&association) }))
}

impl PodIdentityAssociation {
    /// Whether two are for the same pods.
    fn is_for(&self, other: &Self) -> bool {
        (&self.namespace, &self.service_account) == (&other.namespace, &other.service_account)
    }
}

/// The association of a service account.
pub(super) fn find(
    world: &World,
    cluster: &EksCluster,
    namespace: &str,
    service_account: &str,
) -> Option<Arc<PodIdentityAssociation>> {
    let all = world.store.list::<PodIdentityAssociation>(&cluster.place.in_cluster(&cluster.name));
    all.into_iter().find(|one| one.namespace == namespace && one.service_account == service_account)
}

/// Lower-case letters and digits, of which AWS takes 17.
fn new_id(world: &World) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let letters = world.random::<ID_CHARS>().map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]);
    format!("a-{}", letters.map(char::from).iter().collect::<String>())
}

fn name(call: &Called<'_>, member: &str) -> Result<String, AwsError> {
    let text = call.input.required_text(member)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = bytes.first().copied().is_some_and(allowed) && bytes.last().copied().is_some_and(allowed);
    // Dots are for service accounts alone, whose names may be those of DNS subdomains.
    let inner = |byte: &u8| allowed(*byte) || *byte == b'-' || (*byte == b'.' && member == "serviceAccount");
    if ends_well && bytes.iter().all(inner) && text.len() <= NAME_CHARS_MAX {
        return Ok(text.to_owned());
    }
    Err(malformed(member, NAME_PATTERN))
}

fn client_token(call: &Called<'_>) -> Result<Option<String>, AwsError> {
    let token = call.input.text("clientRequestToken")?;
    if token.is_some_and(|token| !CLIENT_TOKEN_CHARS.contains(&token.chars().count())) {
        return Err(invalid("The client request token parameter must be between 33 and 126 characters."));
    }
    Ok(token.map(str::to_owned))
}

/// What creation and update have in common: the role, the target role, tags of sessions, the policy.
fn apply(call: &Called<'_>, association: &mut PodIdentityAssociation) -> Result<(), AwsError> {
    if let Some(role) = call.input.text("roleArn")? {
        role.clone_into(&mut association.role);
    }
    match call.input.text("targetRoleArn")? {
        None => {}
        Some("") => association.target_role = None,
        Some(target) => {
            let is_role = Arn::parse(target).is_ok_and(|arn| arn.role_path_and_name().is_some());
            if !is_role {
                return Err(invalid(format!("The parameter targetRoleArn is not a role's ARN: {target}")));
            }
            association.target_role = Some(target.to_owned());
        }
    }
    if let Some(disable) = call.input.boolean("disableSessionTags")? {
        association.disable_session_tags = disable;
    }
    match call.input.text("policy")? {
        None => {}
        Some("") => association.policy = None,
        Some(policy) => association.policy = Some(session_policy(policy, association.place.account)?),
    }
    if association.policy.is_some() && !association.disable_session_tags {
        return Err(invalid("A policy can be specified only when disableSessionTags is true."));
    }
    match trusts(call.world, &association.place, &association.role, PODS) {
        None => Err(invalid("Role provided in the request does not exist.")),
        Some(true) => Ok(()),
        // The sentence ends so (observed): which document it means, it does not say.
        Some(false) => Err(invalid(
            "Trust policy of the role provided is invalid. Follow the official documentation to resolve the \
             issue.",
        )),
    }
}

fn session_policy(text: &str, account: AccountId) -> Result<String, AwsError> {
    let chars = text.chars().count();
    if chars > POLICY_CHARS_MAX {
        return Err(invalid(format!(
            "The parameter policy has {chars} characters: at most {POLICY_CHARS_MAX} are allowed."
        )));
    }
    DocumentInput::from_passing_json(text)
        .read(PolicyKind::Identity, account)
        .map_err(|error| invalid(format!("The parameter policy is not a policy: {}", error.message)))?;
    Ok(text.to_owned())
}

/// The role of an ARN in the account of a place.
pub(super) fn role(world: &World, place: &Place, arn: &str) -> Option<Arc<Role>> {
    let arn = Arn::parse(arn).ok().filter(|arn| arn.account == place.account.as_str())?;
    let (_, name) = arn.role_path_and_name()?;
    world.store.role(place.account, name).filter(|role| role.arn == arn)
}

/// Whether some statement of a role's trust policy lets a service in; none when there is no such role. EKS
/// looks no further when it is given the role: conditions and `sts:TagSession` matter when it is taken.
pub(super) fn trusts(world: &World, place: &Place, arn: &str, service: &str) -> Option<bool> {
    let role = role(world, place, arn)?;
    let names_it = |pattern: &PrincipalPattern| match pattern {
        PrincipalPattern::Any => true,
        PrincipalPattern::Service(name) => name == service,
        _ => false,
    };
    let mut allowing =
        role.trust.policy.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    Some(allowing.any(|statement| {
        let clause = statement.principal.as_ref();
        clause
            .is_some_and(|clause| !clause.negated && clause.principals.iter().any(|one| names_it(&one.value)))
    }))
}

/// The association that a call names, decided on.
fn named<C: crate::authz::Call>(
    call: &Called<'_>,
) -> Result<(Place, PodIdentityAssociation, crate::authz::Permit<C>), AwsError> {
    let place = &call.place;
    let (cluster, id) =
        (call.input.required_text("clusterName")?, call.input.required_text("associationId")?);
    let known = call.world.store.get::<PodIdentityAssociation>(&place.key(&[cluster, id]));
    let keys = known.as_ref().map(|known| resource_tag_keys(&known.tags)).unwrap_or_default();
    let resource = arn(place, &format!("podidentityassociation/{cluster}/{id}"));
    let permit = call.authorize(resource, keys)?;
    if call.world.store.get::<EksCluster>(&place.key(&[cluster])).is_none() {
        return Err(no_cluster(cluster));
    }
    let known = known.ok_or_else(|| no_association(cluster, id))?;
    Ok((place.clone(), (*known).clone(), permit))
}

fn no_association(cluster: &str, id: &str) -> AwsError {
    let message = format!("No service account role association found for ID: {id}");
    AwsError::new("ResourceNotFoundException", 404, message).member("clusterName", cluster)
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let (_, association, _) = named::<calls::DescribePodIdentityAssociation>(call)?;
    Ok(json!({ "association": render(&association) }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = call.input.required_text("clusterName")?;
    let (known, _) = cluster_and_keys(call, cluster);
    let keys = known.as_deref().map(clusters::keys).unwrap_or_default();
    let on = arn(place, &format!("cluster/{cluster}"));
    call.authorize::<calls::ListPodIdentityAssociations>(on, keys)?;
    known.ok_or_else(|| no_cluster(cluster))?;
    let page = Page::read(call.input, 100, 100)?;
    let (namespace, account) = (call.input.text("namespace")?, call.input.text("serviceAccount")?);
    let mut all = call.world.store.list::<PodIdentityAssociation>(&place.in_cluster(cluster));
    all.retain(|one| {
        namespace.is_none_or(|wanted| one.namespace == wanted)
            && account.is_none_or(|wanted| one.service_account == wanted)
    });
    Ok(page.answer(
        "associations",
        &all,
        |association| association.id.clone(),
        |association| summary(association),
    ))
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let (place, mut association, permit) = named::<calls::UpdatePodIdentityAssociation>(call)?;
    client_token(call)?;
    if let Some(role) = call.input.text("roleArn")? {
        let on = arn(&place, &format!("cluster/{}", association.cluster));
        authorize_pass_role(call, role, PODS, &on)?;
    }
    apply(call, &mut association)?;
    association.modified_ms = call.now_ms();
    call.write(&permit, |writing| {
        let key = place.key(&[&association.cluster, &association.id]);
        let gone = || Fault::from(no_association(&association.cluster, &association.id));
        writing.get::<PodIdentityAssociation>(&key).ok_or_else(gone)?;
        writing.put(association.clone());
        Ok(())
    })?;
    Ok(json!({ "association": render(&association) }))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (place, association, permit) = named::<calls::DeletePodIdentityAssociation>(call)?;
    call.write(&permit, |writing| {
        let key = place.key(&[&association.cluster, &association.id]);
        writing.remove::<PodIdentityAssociation>(&key).map_err(Fault::from)
    })?;
    Ok(json!({ "association": render(&association) }))
}

fn summary(association: &PodIdentityAssociation) -> Value {
    json!({
        "clusterName": association.cluster,
        "namespace": association.namespace,
        "serviceAccount": association.service_account,
        "associationArn": association.arn(),
        "associationId": association.id,
    })
}

fn render(association: &PodIdentityAssociation) -> Value {
    let mut told = match summary(association) {
        Value::Object(told) => told,
        _ => Map::new(),
    };
    told.insert("roleArn".to_owned(), json!(association.role));
    told.insert("tags".to_owned(), tags::render(&association.tags));
    told.insert("createdAt".to_owned(), seconds(association.created_ms));
    told.insert("modifiedAt".to_owned(), seconds(association.modified_ms));
    told.insert("disableSessionTags".to_owned(), json!(association.disable_session_tags));
    if let Some(target) = &association.target_role {
        told.insert("targetRoleArn".to_owned(), json!(target));
        told.insert("externalId".to_owned(), json!(association.external_id()));
    }
    if let Some(policy) = &association.policy {
        told.insert("policy".to_owned(), json!(policy));
    }
    Value::Object(told)
}
