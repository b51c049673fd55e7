//! A session and the forms in which it leaves the process: masks first, then variables and outputs.

use aws_sdk_sts::config::Credentials;
use landfall_types::{Secret, Timestamp};
use serde_json::{Map, Value};

use super::WhoAmI;
use crate::aws;

/// Temporary credentials (or keys, when no role was asked for) whose owner STS has confirmed.
#[derive(Clone, Debug)]
pub struct Session {
    /// `ASIA…` for a session, `AKIA…` for a user's key.
    pub access_key_id: String,
    /// The secret key.
    pub secret_access_key: Secret<String>,
    /// None for a user's key.
    pub session_token: Option<Secret<String>>,
    /// When it ends; none for keys from the environment.
    pub expiration: Option<Timestamp>,
    /// The region that later steps use.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, or a user's ARN.
    pub arn: String,
}

impl Session {
    pub(super) fn new(credentials: &Credentials, region: String, whoami: WhoAmI) -> Self {
        Self {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: Secret::new(credentials.secret_access_key().to_owned()),
            session_token: credentials.session_token().map(|token| Secret::new(token.to_owned())),
            expiration: credentials.expiry().map(aws::timestamp),
            region,
            account: whoami.account,
            arn: whoami.arn,
        }
    }

    /// What the job's log must never show, in the order of the AWS action.
    pub fn masks(&self, mask_account: bool) -> Vec<Secret<String>> {
        let mut masks = vec![Secret::new(self.access_key_id.clone()), self.secret_access_key.clone()];
        masks.extend(self.session_token.clone());
        if mask_account {
            masks.push(Secret::new(self.account.clone()));
            masks.push(Secret::new(self.arn.clone()));
        }
        masks
    }

    /// The variables that AWS's clients read. Exposes the secrets: for files and processes, not for logs.
    /// Without a session token the variable is emptied, or an older one would stay in force.
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("AWS_ACCESS_KEY_ID", &self.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.expose()),
            ("AWS_SESSION_TOKEN", self.session_token.as_ref().map_or("", |token| token.expose())),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
        ]
    }

    /// The step's outputs; with `credentials` also the keys and, unquoted, when they end.
    pub fn outputs(&self, credentials: bool) -> Vec<(&'static str, String)> {
        let mut outputs =
            vec![("aws-account-id", self.account.clone()), ("authenticated-arn", self.arn.clone())];
        if credentials {
            outputs.push(("aws-access-key-id", self.access_key_id.clone()));
            outputs.push(("aws-secret-access-key", self.secret_access_key.expose().clone()));
            let token = self.session_token.as_ref().map_or("", |token| token.expose());
            outputs.push(("aws-session-token", token.to_owned()));
            outputs.extend(self.expiration.map(|time| ("aws-expiration", time.to_string())));
        }
        outputs
    }

    /// `NAME=value` lines, for `--env-file` and for `export $(…)`.
    pub fn env_text(&self) -> Secret<String> {
        let lines = self.variables().into_iter().filter(|(_, value)| !value.is_empty());
        Secret::new(lines.map(|(name, value)| format!("{name}={value}\n")).collect())
    }

    /// One JSON object; its first members are those of AWS's `credential_process`.
    pub fn json(&self) -> Secret<String> {
        let mut object = self.process_object();
        object.insert("Region".into(), Value::from(self.region.as_str()));
        object.insert("Arn".into(), Value::from(self.arn.as_str()));
        Secret::new(Value::Object(object).to_string())
    }

    /// What AWS's `credential_process` answers, and nothing else.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
    pub fn process_json(&self) -> Secret<String> {
        Secret::new(Value::Object(self.process_object()).to_string())
    }

    fn process_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("Version".into(), Value::from(1));
        object.insert("AccessKeyId".into(), Value::from(self.access_key_id.as_str()));
        object.insert("SecretAccessKey".into(), Value::from(self.secret_access_key.expose().as_str()));
        if let Some(token) = &self.session_token {
            object.insert("SessionToken".into(), Value::from(token.expose().as_str()));
        }
        if let Some(expiration) = self.expiration {
            object.insert("Expiration".into(), Value::from(expiration.to_string()));
        }
        object.insert("AccountId".into(), Value::from(self.account.as_str()));
        object
    }
}

/// The variables that `--unset-current-credentials` empties.
pub const CREDENTIAL_VARIABLES: [&str; 5] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"];
