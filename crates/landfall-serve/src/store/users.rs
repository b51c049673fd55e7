//! What IAM keeps beside providers, roles and policies: users with their access keys, groups, instance
//! profiles, and what an account is called.

use std::sync::Arc;

use landfall_types::{AccountId, Arn, Timestamp};
use serde::{Deserialize, Serialize};

use super::records::{key, within};
use super::{AttachedPolicy, Document, Record, Store, text};

/// An IAM user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `AIDA…`.
    pub id: String,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Inline policies by name, in order of writing.
    pub inline: Vec<(String, Document)>,
    /// Attached managed policies, in order of attachment.
    pub attached: Vec<AttachedPolicy>,
    /// The unique ids of the groups that it is in, in order of joining.
    pub groups: Vec<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `AGPA…`.
    pub id: String,
    /// Inline policies by name, in order of writing.
    pub inline: Vec<(String, Document)>,
    /// Attached managed policies, in order of attachment.
    pub attached: Vec<AttachedPolicy>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

/// A user's access key. Its secret is not kept: it follows from the id and the server's own key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The account.
    #[serde(with = "text::word")]
    pub account: AccountId,
    /// The user's name.
    pub user_name: String,
    /// The user's unique id.
    pub user_id: String,
    /// Whether calls may be signed with it.
    pub is_active: bool,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

/// An instance profile: what hands a role to a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Its ARN.
    #[serde(with = "text::word")]
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `AIPA…`.
    pub id: String,
    /// The name of its role, if it has one.
    pub role: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

/// The name that an account goes by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountAlias {
    /// The account.
    #[serde(with = "text::word")]
    pub account: AccountId,
    /// The name.
    pub alias: String,
}

/// When a role or an access key was last used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastUse {
    /// The unique id of the role, or the id of the key.
    pub of: String,
    /// When.
    #[serde(with = "text::millis")]
    pub at: Timestamp,
    /// In which region.
    pub region: String,
    /// With which service.
    pub service: String,
}

/// The deletion of a service-linked role, which AWS does on its own time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleDeletion {
    /// The account.
    #[serde(with = "text::word")]
    pub account: AccountId,
    /// `task/aws-service-role/SERVICE/ROLE/UUID`.
    pub task: String,
}

fn named(account: &str, name: &str) -> String {
    key(&[account, &name.to_ascii_lowercase()])
}

impl Record for User {
    const KIND: &'static str = "iam-user";
    // Names are unique ignoring case.
    fn key(&self) -> String {
        named(&self.arn.account, &self.name)
    }
}

impl Record for Group {
    const KIND: &'static str = "iam-group";
    fn key(&self) -> String {
        named(&self.arn.account, &self.name)
    }
}

impl Record for InstanceProfile {
    const KIND: &'static str = "iam-instance-profile";
    fn key(&self) -> String {
        named(&self.arn.account, &self.name)
    }
}

impl Record for AccessKey {
    const KIND: &'static str = "iam-access-key";
    // A key is found before it is known whose it is.
    fn key(&self) -> String {
        key(&[&self.id])
    }
}

impl Record for AccountAlias {
    const KIND: &'static str = "iam-account-alias";
    fn key(&self) -> String {
        key(&[self.account.as_str()])
    }
}

impl Record for LastUse {
    const KIND: &'static str = "iam-last-use";
    fn key(&self) -> String {
        key(&[&self.of])
    }
}

impl Record for RoleDeletion {
    const KIND: &'static str = "iam-role-deletion";
    fn key(&self) -> String {
        key(&[self.account.as_str(), &self.task])
    }
}

impl Store {
    /// A user by name, ignoring case.
    pub fn user(&self, account: AccountId, name: &str) -> Option<Arc<User>> {
        self.get(&named(account.as_str(), name))
    }

    /// All users of an account, by name.
    pub fn users(&self, account: AccountId) -> Vec<Arc<User>> {
        self.list(&within(&[account.as_str()]))
    }

    /// All groups of an account, by name.
    pub fn groups(&self, account: AccountId) -> Vec<Arc<Group>> {
        self.list(&within(&[account.as_str()]))
    }

    /// The groups that a user is in.
    pub fn groups_of(&self, user: &User) -> Vec<Arc<Group>> {
        if user.groups.is_empty() {
            return Vec::new();
        }
        let mut groups: Vec<Arc<Group>> = self.list(&within(&[&user.arn.account]));
        groups.retain(|group| user.groups.contains(&group.id));
        groups
    }

    /// An access key by its id.
    pub fn access_key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.get(&key(&[id]))
    }

    /// The access keys of a user, in the order of their making.
    pub fn access_keys_of(&self, user: &User) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<Arc<AccessKey>> = self.list("");
        keys.retain(|one| one.user_id == user.id);
        keys.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
        keys
    }

    /// All instance profiles of an account, by name.
    pub fn instance_profiles(&self, account: AccountId) -> Vec<Arc<InstanceProfile>> {
        self.list(&within(&[account.as_str()]))
    }

    /// When a role or an access key was last used.
    pub fn last_use(&self, of: &str) -> Option<Arc<LastUse>> {
        self.get(&key(&[of]))
    }

    /// What an account is called.
    pub fn account_alias(&self, account: AccountId) -> Option<Arc<AccountAlias>> {
        self.get(&key(&[account.as_str()]))
    }
}
