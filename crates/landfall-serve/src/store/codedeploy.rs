//! What CodeDeploy keeps: applications, deployment groups, configurations, revisions and deployments.

use serde::{Deserialize, Serialize};

use super::Record;
use super::ecs::{Body, Place, Tags};
use crate::codedeploy::course::Course;

/// An application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Application {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

impl Record for Application {
    const KIND: &'static str = "codedeploy-application";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// A deployment group: which service of ECS is deployed to, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Where it is.
    pub place: Place,
    /// Its application's name.
    pub application: String,
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// What was written, with CodeDeploy's defaults.
    pub body: Body,
}

impl Group {
    /// Its ARN.
    pub fn arn(&self) -> String {
        group_arn(&self.place, &self.application, &self.name)
    }
}

/// The ARN of a deployment group, which need not be there.
pub fn group_arn(place: &Place, application: &str, group: &str) -> String {
    arn(place, &format!("deploymentgroup:{application}/{group}"))
}

/// The ARN of something of CodeDeploy.
pub fn arn(place: &Place, resource: &str) -> String {
    place.arn(resource).replacen(":ecs:", ":codedeploy:", 1)
}

impl Record for Group {
    const KIND: &'static str = "codedeploy-group";
    fn key(&self) -> String {
        self.place.key(&[&self.application, &self.name])
    }
}

/// A deployment configuration of an account's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeploymentConfig {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// `AllAtOnce`, `TimeBasedCanary` or `TimeBasedLinear`.
    pub kind: String,
    /// The percentage of the traffic that moves at once.
    pub percent: i64,
    /// The minutes between two parts of the traffic.
    pub minutes: i64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

impl Record for DeploymentConfig {
    const KIND: &'static str = "codedeploy-config";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// A revision of an application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revision {
    /// Where it is.
    pub place: Place,
    /// Its application's name.
    pub application: String,
    /// The SHA-256 of its location as it is kept: what tells it from others.
    pub digest: String,
    /// `RevisionLocation`.
    pub location: serde_json::Value,
    /// What was said of it.
    pub description: Option<String>,
    /// When it was registered, milliseconds since 1970.
    pub registered_ms: i64,
    /// When it was first deployed, milliseconds since 1970.
    pub first_used_ms: Option<i64>,
    /// When it was last deployed, milliseconds since 1970.
    pub last_used_ms: Option<i64>,
}

impl Record for Revision {
    const KIND: &'static str = "codedeploy-revision";
    fn key(&self) -> String {
        self.place.key(&[&self.application, &self.digest])
    }
}

/// A deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// Where it is.
    pub place: Place,
    /// `d-` and nine letters or digits.
    pub id: String,
    /// Its application's name.
    pub application: String,
    /// Its group's name.
    pub group: String,
    /// `deploymentConfigName`.
    pub config: String,
    /// `user`, or `codeDeployRollback`.
    pub creator: String,
    /// What was said of it.
    pub description: Option<String>,
    /// `AppSpecContent`: the text and its SHA-256.
    pub revision: (String, String),
    /// What its group said when it was made.
    pub settings: Body,
    /// The role that it acts as.
    pub role: String,
    /// Cluster and name of the service.
    pub service: (String, String),
    /// What the new task set is made of.
    pub set: Body,
    /// The task set that took the traffic before, and the new one.
    pub sets: (Option<String>, Option<String>),
    /// How far it is.
    pub course: Course,
    /// The deployment that undoes this one, or the one that this one undoes.
    pub rollback: Option<(String, String, String)>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it last changed, milliseconds since 1970.
    pub updated_ms: i64,
}

impl Record for Deployment {
    const KIND: &'static str = "codedeploy-deployment";
    fn key(&self) -> String {
        self.place.key(&[&self.id])
    }
}
