//! What IAM keeps: providers, roles, customer managed policies.

use std::sync::Arc;

use landfall_types::{AccountId, Arn, Issuer, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::records::{key, within};
use super::{Document, Record, Store, text};

/// An IAM OIDC provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provider {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// The issuer.
    #[serde(with = "text::word")]
    pub issuer: Issuer,
    /// Registered audiences, in the order in which they were given.
    pub client_ids: Vec<String>,
    /// Certificate thumbprints, lower-case hex.
    pub thumbprints: Vec<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
    /// Where it was written: the provider, and its list of client ids.
    #[serde(skip)]
    pub written: ProviderSpans,
}

/// Where a provider was written.
#[derive(Clone, Copy, Debug)]
pub struct ProviderSpans {
    /// The provider as a whole.
    pub provider: Span,
    /// Its client ids.
    pub client_ids: Span,
    /// Its URL.
    pub url: Span,
}

/// An IAM role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `AROA…`.
    pub id: String,
    /// The description.
    pub description: Option<String>,
    /// The trust policy.
    pub trust: Document,
    /// Longest session, in seconds.
    pub max_session_seconds: u32,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Inline policies by name, in order of writing.
    pub inline: Vec<(String, Document)>,
    /// Attached managed policies, by ARN, in order of attachment.
    pub attached: Vec<AttachedPolicy>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
    /// Where it was written.
    #[serde(skip, default = "text::nowhere")]
    pub written: Span,
    /// Where its longest session was written, if it was.
    #[serde(skip)]
    pub max_session_written: Option<Span>,
}

/// A managed policy on a role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachedPolicy {
    /// The policy's ARN.
    pub arn: String,
    /// Where the attachment was written.
    #[serde(skip, default = "text::nowhere")]
    pub written: Span,
}

/// A customer managed policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CustomerPolicy {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `ANPA…`.
    pub id: String,
    /// The description.
    pub description: Option<String>,
    /// Its versions, the oldest first; never none.
    pub versions: Vec<PolicyVersion>,
    /// The number of the version that counts.
    pub default_version: u32,
    /// The highest number that a version ever had: numbers are not used again.
    pub newest_version: u32,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
    /// When a version was last made, chosen or removed.
    #[serde(with = "text::millis")]
    pub updated_at: Timestamp,
}

/// One version of a customer managed policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// 1 for `v1`.
    pub number: u32,
    /// The document.
    pub document: Document,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

impl CustomerPolicy {
    /// The document of the version that counts.
    pub fn default_document(&self) -> Option<&Document> {
        let counts = self.versions.iter().find(|version| version.number == self.default_version);
        counts.map(|version| &version.document)
    }
}

impl Default for ProviderSpans {
    fn default() -> Self {
        Self { provider: text::nowhere(), client_ids: text::nowhere(), url: text::nowhere() }
    }
}

impl Record for Provider {
    const KIND: &'static str = "iam-provider";
    fn key(&self) -> String {
        key(&[&self.arn.account, &self.issuer.host_and_path()])
    }
}

impl Record for Role {
    const KIND: &'static str = "iam-role";
    // Role names are unique ignoring case.
    fn key(&self) -> String {
        key(&[&self.arn.account, &self.name.to_ascii_lowercase()])
    }
}

impl Record for CustomerPolicy {
    const KIND: &'static str = "iam-policy";
    fn key(&self) -> String {
        key(&[&self.arn.account, &self.arn.to_string()])
    }
}

fn role_key(account: AccountId, name: &str) -> String {
    key(&[account.as_str(), &name.to_ascii_lowercase()])
}

fn policy_key(arn: &str) -> Option<String> {
    Some(key(&[&Arn::parse(arn).ok()?.account, arn]))
}

impl Store {
    /// The provider for an issuer's host and path.
    pub fn provider(&self, account: AccountId, host_and_path: &str) -> Option<Arc<Provider>> {
        self.get(&key(&[account.as_str(), host_and_path]))
    }

    /// All providers of an account, by host and path.
    pub fn providers(&self, account: AccountId) -> Vec<Arc<Provider>> {
        self.list(&within(&[account.as_str()]))
    }

    /// A role by name, ignoring case.
    pub fn role(&self, account: AccountId, name: &str) -> Option<Arc<Role>> {
        self.get(&role_key(account, name))
    }

    /// All roles of an account, by name.
    pub fn roles(&self, account: AccountId) -> Vec<Arc<Role>> {
        self.list(&within(&[account.as_str()]))
    }

    /// A customer managed policy by ARN.
    pub fn policy(&self, arn: &str) -> Option<Arc<CustomerPolicy>> {
        self.get(&policy_key(arn)?)
    }

    /// All customer managed policies of an account, by ARN.
    pub fn policies(&self, account: AccountId) -> Vec<Arc<CustomerPolicy>> {
        self.list(&within(&[account.as_str()]))
    }
}
