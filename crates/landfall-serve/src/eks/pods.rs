//! What EKS's webhook and the cluster's API server know when a pod is made: the cluster's issuer, and whether
//! the pod's service account has an association. `landfall token eks` and `landfall serve pod` ask for it.

use landfall_types::{AccountId, ClaimValue, Claims};
use serde_json::{Value, json};

use super::associations;
use crate::store::ecs::Place;
use crate::store::eks::{EksCluster, PodIdentityAssociation};
use crate::world::World;

/// Whose pod is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Its account; none for the server's own.
    pub account: Option<&'a str>,
    /// Its region; none where the name alone tells.
    pub region: Option<&'a str>,
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's service account.
    pub service_account: &'a str,
}

/// The cluster, and the service account's association: an object with `cluster`, `association` (null without
/// one), `others`, the service accounts that have one, and `timeLapse`, how many times as fast lifetimes pass.
///
/// # Errors
/// A status and a sentence, when there is no such cluster or more than one.
pub fn describe(world: &World, asked: &Asked<'_>) -> Result<Value, (u16, String)> {
    let cluster = find(world, asked)?;
    let association = associations::find(world, &cluster, asked.namespace, asked.service_account);
    let association =
        association.map(|one| json!({ "id": one.id, "roleArn": one.role, "targetRoleArn": one.target_role }));
    Ok(json!({
        "cluster": {
            "name": cluster.name,
            "arn": cluster.arn(),
            "account": cluster.place.account.as_str(),
            "region": cluster.place.region,
            "issuer": cluster.issuer,
        },
        "association": association,
        "others": others(world, &cluster),
        "timeLapse": world.clock.lapse(),
    }))
}

/// `NAMESPACE/SERVICE-ACCOUNT` of every association of a cluster.
pub(super) fn others(world: &World, cluster: &EksCluster) -> Vec<String> {
    let all = world.store.list::<PodIdentityAssociation>(&cluster.place.in_cluster(&cluster.name));
    let mut names: Vec<String> =
        all.iter().map(|one| format!("{}/{}", one.namespace, one.service_account)).collect();
    names.sort();
    names
}

fn find(world: &World, asked: &Asked<'_>) -> Result<std::sync::Arc<EksCluster>, (u16, String)> {
    let account = match asked.account {
        None => world.settings.default_account,
        Some(text) => AccountId::parse(text).map_err(|error| (400, error.to_string()))?,
    };
    let clusters: Vec<_> = world
        .store
        .list::<EksCluster>("")
        .into_iter()
        .filter(|cluster| cluster.place.account == account)
        .collect();
    let is_meant = |cluster: &&std::sync::Arc<EksCluster>| {
        let Place { region, .. } = &cluster.place;
        cluster.name == asked.cluster && asked.region.is_none_or(|wanted| wanted == region)
    };
    let found: Vec<_> = clusters.iter().filter(is_meant).collect();
    match found.as_slice() {
        [only] => Ok(std::sync::Arc::clone(only)),
        [] => {
            let there: Vec<String> = clusters
                .iter()
                .map(|cluster| format!("`{}` in {}", cluster.name, cluster.place.region))
                .collect();
            let there = if there.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", there.join(", "))
            };
            let wanted = asked.region.map(|region| format!(" in {region}")).unwrap_or_default();
            Err((404, format!("no EKS cluster `{}`{wanted} in account {account}: {there}", asked.cluster)))
        }
        [..] => {
            let regions: Vec<&str> = found.iter().map(|cluster| cluster.place.region.as_str()).collect();
            Err((
                409,
                format!(
                    "cluster `{}` is in {}: say which with --region",
                    asked.cluster,
                    regions.join(" and in ")
                ),
            ))
        }
    }
}

/// What a service account's token says.
#[derive(Clone, Debug)]
pub struct TokenFacts {
    /// The cluster's issuer.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid, a UUID.
    pub pod_uid: String,
    /// When it begins, seconds since 1970.
    pub issued_at: i64,
    /// How long it lives, in seconds.
    pub lifetime: u32,
    /// `jti`, a UUID.
    pub id: String,
}

/// The claims of a projected service account token, in Kubernetes' order (captured).
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims>
pub fn claims(facts: &TokenFacts) -> Claims {
    let text = |text: &str| ClaimValue::Text(text.to_owned());
    let number = |number: i64| ClaimValue::Number(number.to_string());
    let named = |name: &str, uid: &str| {
        ClaimValue::Map(vec![("name".to_owned(), text(name)), ("uid".to_owned(), text(uid))])
    };
    let place = format!("{}/{}", facts.issuer, facts.namespace);
    let kubernetes = [
        ("namespace", text(&facts.namespace)),
        ("node", named(NODE, &stable_uid(&format!("{}/{NODE}", facts.issuer)))),
        ("pod", named(&facts.pod, &facts.pod_uid)),
        (
            "serviceaccount",
            named(&facts.service_account, &stable_uid(&format!("{place}/{}", facts.service_account))),
        ),
    ];
    let mut claims = Claims::new();
    claims.set("aud", ClaimValue::List(vec![text(&facts.audience)]));
    claims.set("exp", number(facts.issued_at + i64::from(facts.lifetime)));
    claims.set("iat", number(facts.issued_at));
    claims.set_text("iss", facts.issuer.as_str());
    claims.set_text("jti", facts.id.as_str());
    let entries = kubernetes.map(|(name, value)| (name.to_owned(), value)).into();
    claims.set("kubernetes.io", ClaimValue::Map(entries));
    claims.set("nbf", number(facts.issued_at));
    let subject = format!("system:serviceaccount:{}:{}", facts.namespace, facts.service_account);
    claims.set_text("sub", subject);
    claims
}

/// The one node that there is.
const NODE: &str = "ip-10-0-0-1.internal";

/// The same uid for the same thing: a service account keeps its own.
fn stable_uid(of: &str) -> String {
    let hash = landfall_wire::hash::sha256(of.as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(byte, next)| *byte = next);
    landfall_wire::ids::request_id(bytes)
}
