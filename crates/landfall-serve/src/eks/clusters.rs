//! Clusters: what clients ask of one before they talk to its Kubernetes, which isn't here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::{
    Called, Keys, authorize_pass_role, cluster_and_keys, invalid, issuer_of, malformed, no_cluster,
    resource_tag_keys, seconds, tags,
};
use crate::authz::eks_calls as calls;
use crate::page::Page;
use crate::store::Writing;
use crate::store::ecs::{Body, Place};
use crate::store::eks::{EksCluster, PodIdentityAssociation, arn};

/// Longest name of a cluster, in characters.
const NAME_CHARS_MAX: usize = 100;
const NAME_PATTERN: &str = r"^[0-9A-Za-z][A-Za-z0-9\-_]*";
/// The version of a cluster that doesn't say which.
const VERSION_DEFAULT: &str = "1.34";
/// Who takes a cluster's own role.
const EKS: &str = "eks.amazonaws.com";
/// What a client may write of a cluster and read again as it was.
const MEMBERS: [&str; 12] = [
    "version",
    "roleArn",
    "encryptionConfig",
    "outpostConfig",
    "upgradePolicy",
    "zonalShiftConfig",
    "remoteNetworkConfig",
    "computeConfig",
    "storageConfig",
    "deletionProtection",
    "controlPlaneScalingConfig",
    "accessConfig",
];
/// What stands in `certificateAuthority.data` in base64: nobody here has a certificate.
const NO_AUTHORITY: &str =
    "this cluster is a name, an issuer and its associations: no Kubernetes runs here\n";

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateCluster" => create(call),
        "DescribeCluster" => describe(call),
        "ListClusters" => list(call),
        "DeleteCluster" => delete(call),
        _ => return None,
    })
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.required_text("name")?.to_owned();
    let role = call.input.required_text("roleArn")?.to_owned();
    let given = tags::given(call.input)?;
    let arn = arn(place, &format!("cluster/{name}"));
    let mut keys = tags::request_keys(&given);
    keys.extend(version_key(call)?);
    let permit = call.authorize::<calls::CreateCluster>(arn.clone(), keys)?;
    tags::authorize_on_create(call, &arn, &given)?;
    authorize_pass_role(call, &role, EKS, &arn)?;
    check_name(&name)?;
    if call.input.object("resourcesVpcConfig")?.is_none() {
        return Err(invalid("The parameter resourcesVpcConfig must be specified."));
    }
    if !super::associations::trusts(call.world, place, &role, EKS).unwrap_or(false) {
        return Err(invalid(format!(
            "Role with arn: {role}, could not be assumed because it does not exist or the trusted entity is \
             not correct"
        )));
    }
    let cluster = EksCluster {
        issuer: issuer_of(place.account, &place.region, &name).to_string(),
        body: body(call),
        client_token: call.input.text("clientRequestToken")?.map(str::to_owned),
        created_ms: call.now_ms(),
        tags: given,
        place: place.clone(),
        name,
    };
    let cluster = call.write(&permit, |writing| {
        if let Some(known) = writing.get::<EksCluster>(&cluster.place.key(&[&cluster.name])) {
            let is_same_call = cluster.client_token.is_some() && known.client_token == cluster.client_token;
            return if is_same_call { Ok((*known).clone()) } else { Err(exists(&cluster.name).into()) };
        }
        writing.put(cluster.clone());
        Ok(cluster)
    })?;
    if let Some(issuer) = cluster.issuer() {
        call.world.issuers.play(issuer);
    }
    Ok(json!({ "cluster": render(&cluster, "CREATING") }))
}

fn exists(name: &str) -> AwsError {
    AwsError::new("ResourceInUseException", 409, format!("Cluster already exists with name: {name}"))
        .member("clusterName", name)
}

fn check_name(name: &str) -> Result<(), AwsError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if begins_well && name.chars().all(allowed) && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    Err(malformed("name", NAME_PATTERN))
}

fn version_key(call: &Called<'_>) -> Result<Keys, AwsError> {
    let version = call.input.text("version")?.unwrap_or(VERSION_DEFAULT);
    Ok(vec![("eks:kubernetesVersion".to_owned(), vec![version.to_owned()])])
}

/// What was written, with EKS's defaults.
fn body(call: &Called<'_>) -> Body {
    let mut body = Body::new();
    body.insert("version".to_owned(), json!(VERSION_DEFAULT));
    body.insert("accessConfig".to_owned(), json!({ "authenticationMode": "CONFIG_MAP" }));
    body.insert("upgradePolicy".to_owned(), json!({ "supportType": "EXTENDED" }));
    body.insert("deletionProtection".to_owned(), json!(false));
    for name in MEMBERS {
        if let Some(value) = call.members.get(name).filter(|value| !value.is_null()) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    let network = json!({
        "subnetIds": [],
        "securityGroupIds": [],
        "endpointPublicAccess": true,
        "endpointPrivateAccess": false,
        "publicAccessCidrs": ["0.0.0.0/0"],
    });
    body.insert("resourcesVpcConfig".to_owned(), over(network, call.members.get("resourcesVpcConfig")));
    let kubernetes = json!({ "serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4" });
    let given = call.members.get("kubernetesNetworkConfig");
    body.insert("kubernetesNetworkConfig".to_owned(), over(kubernetes, given));
    let types = json!(["api", "audit", "authenticator", "controllerManager", "scheduler"]);
    let logging = json!({ "clusterLogging": [{ "types": types, "enabled": false }] });
    body.insert("logging".to_owned(), over(logging, call.members.get("logging")));
    body
}

/// What is given in place of what would be.
fn over(default: Value, given: Option<&Value>) -> Value {
    let (Value::Object(mut all), Some(Value::Object(given))) = (default.clone(), given) else {
        return default;
    };
    all.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(all)
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.required_text("name")?;
    let (cluster, keys) = cluster_and_keys(call, name);
    call.authorize::<calls::DescribeCluster>(arn(place, &format!("cluster/{name}")), keys)?;
    let cluster = cluster.ok_or_else(|| no_cluster(name))?;
    Ok(json!({ "cluster": render(&cluster, "ACTIVE") }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::ListClusters>(arn(place, "cluster/*"), Vec::new())?;
    let page = Page::read(call.input, 100, 100)?;
    let all = call.world.store.list::<EksCluster>(&place.all());
    Ok(page.answer(
        "clusters",
        &all,
        |cluster| cluster.name.clone(),
        |cluster| Value::from(cluster.name.as_str()),
    ))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.required_text("name")?;
    let (_, keys) = cluster_and_keys(call, name);
    let resource = arn(place, &format!("cluster/{name}"));
    let permit = call.authorize::<calls::DeleteCluster>(resource, keys)?;
    let cluster = call.write(&permit, |writing| {
        let known = writing.get::<EksCluster>(&place.key(&[name])).ok_or_else(|| no_cluster(name))?;
        if known.body.get("deletionProtection") == Some(&Value::Bool(true)) {
            let message = format!("Cluster {name} has deletion protection enabled, disable it to delete it.");
            return Err(AwsError::bad_request("InvalidRequestException", message).into());
        }
        remove(writing, place, name)?;
        Ok((*known).clone())
    })?;
    Ok(json!({ "cluster": render(&cluster, "DELETING") }))
}

/// A cluster goes with its associations.
fn remove(writing: &mut Writing<'_>, place: &Place, name: &str) -> Result<(), super::Fault> {
    writing.remove_within::<PodIdentityAssociation>(&place.in_cluster(name));
    writing.remove::<EksCluster>(&place.key(&[name]))?;
    Ok(())
}

/// A cluster as the API tells it. It is there at once; whoever makes one is told `CREATING`, as on AWS.
fn render(cluster: &EksCluster, status: &str) -> Value {
    let EksCluster { place, name, issuer, .. } = cluster;
    let id = issuer.rsplit('/').next().unwrap_or_default();
    let mut told = Map::new();
    told.insert("name".to_owned(), json!(name));
    told.insert("arn".to_owned(), json!(cluster.arn()));
    told.insert("createdAt".to_owned(), seconds(cluster.created_ms));
    told.insert("status".to_owned(), json!(status));
    told.insert("platformVersion".to_owned(), json!("eks.1"));
    told.insert("identity".to_owned(), json!({ "oidc": { "issuer": issuer } }));
    told.insert("tags".to_owned(), tags::render(&cluster.tags));
    told.insert("health".to_owned(), json!({ "issues": [] }));
    if status == "ACTIVE" {
        let end = if place.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = format!("https://{id}.gr7.{}.eks.{end}", place.region);
        told.insert("endpoint".to_owned(), json!(endpoint));
        let authority = json!({ "data": STANDARD.encode(NO_AUTHORITY) });
        told.insert("certificateAuthority".to_owned(), authority);
    } else {
        told.insert("certificateAuthority".to_owned(), json!({}));
    }
    if let Some(token) = &cluster.client_token {
        told.insert("clientRequestToken".to_owned(), json!(token));
    }
    told.extend(cluster.body.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(told)
}

/// The keys that a decision on a cluster has of it.
pub(super) fn keys(cluster: &EksCluster) -> Keys {
    resource_tag_keys(&cluster.tags)
}
