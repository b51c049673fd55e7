//! What EKS keeps: clusters, and which service account of a cluster gets which role.

use landfall_types::Issuer;
use serde::{Deserialize, Serialize};

use super::Record;
use super::ecs::{Body, Place, Tags};

/// The ARN of something of EKS, `cluster/NAME`.
pub fn arn(place: &Place, resource: &str) -> String {
    let arn = place.arn(resource);
    // A place writes the ARNs of ECS; the two services' differ in their name alone.
    arn.replacen(":ecs:", ":eks:", 1)
}

/// A cluster. There is no Kubernetes in it: it has a name, an issuer, and associations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EksCluster {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its issuer's URL.
    pub issuer: String,
    /// `version`, `roleArn`, `resourcesVpcConfig`, … as they were written, with EKS's defaults.
    pub body: Body,
    /// `clientRequestToken` of its creation.
    pub client_token: Option<String>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Tags.
    pub tags: Tags,
}

impl EksCluster {
    /// Its ARN.
    pub fn arn(&self) -> String {
        arn(&self.place, &format!("cluster/{}", self.name))
    }

    /// Its issuer.
    pub fn issuer(&self) -> Option<Issuer> {
        Issuer::parse(&self.issuer).ok()
    }
}

impl Record for EksCluster {
    const KIND: &'static str = "eks-cluster";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// A Pod Identity association: the role of a service account's pods.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodIdentityAssociation {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// `a-` and 17 letters and digits.
    pub id: String,
    /// The pods' namespace.
    pub namespace: String,
    /// The pods' service account.
    pub service_account: String,
    /// The role that EKS takes for them.
    pub role: String,
    /// The role that is taken with that one, which may be of another account.
    pub target_role: Option<String>,
    /// Whether the sessions have no tags that tell whose they are.
    pub disable_session_tags: bool,
    /// A policy that narrows the sessions.
    pub policy: Option<String>,
    /// `clientRequestToken` of its creation.
    pub client_token: Option<String>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it last changed, milliseconds since 1970.
    pub modified_ms: i64,
    /// Tags.
    pub tags: Tags,
}

impl PodIdentityAssociation {
    /// Its ARN.
    pub fn arn(&self) -> String {
        arn(&self.place, &format!("podidentityassociation/{}/{}", self.cluster, self.id))
    }

    /// The `sts:ExternalId` with which the target role is taken (captured).
    pub fn external_id(&self) -> String {
        let Place { account, region } = &self.place;
        format!("{region}/{account}/{}/{}/{}", self.cluster, self.namespace, self.service_account)
    }
}

impl Record for PodIdentityAssociation {
    const KIND: &'static str = "eks-pod-identity-association";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.id])
    }
}
