//! Who calls.

use std::sync::Arc;

use landfall_policy::Principal;
use landfall_types::{AccountId, Arn, Timestamp};
use serde::{Deserialize, Serialize};

/// The identity behind a call, once its signature has been verified.
#[derive(Clone, Debug)]
pub enum Caller {
    /// No credentials came with the call.
    Anonymous,
    /// An account's root user.
    Root {
        /// The account.
        account: AccountId,
    },
    /// A user, by one of its access keys.
    User(Arc<CallingUser>),
    /// A role session.
    Session(Arc<Session>),
}

/// A user as it called: its policies and tags are looked up when they are needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallingUser {
    /// Twelve digits.
    pub account: String,
    /// The user's path, `/` or `/x/`.
    pub path: String,
    /// The user's name.
    pub name: String,
    /// `AIDA…`.
    pub id: String,
    /// The access key that it signed with.
    pub access_key_id: String,
}

impl CallingUser {
    /// The user's account.
    pub fn account_id(&self) -> AccountId {
        AccountId::parse(&self.account).expect("INVARIANT: a user's account is an account id")
    }

    /// The user's ARN, with its path.
    pub fn arn(&self) -> Arn {
        Arn::user(self.account_id(), &self.path, &self.name)
    }
}

impl Caller {
    /// The caller's account; none for an anonymous call.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Root { account } => Some(*account),
            Self::User(user) => Some(user.account_id()),
            Self::Session(session) => Some(session.account_id()),
        }
    }

    /// The caller's ARN as `GetCallerIdentity` and refusals print it.
    pub fn arn(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Root { account } => Arn::root(*account).to_string(),
            Self::User(user) => user.arn().to_string(),
            Self::Session(session) => session.arn().to_string(),
        }
    }

    /// `UserId` of `GetCallerIdentity`.
    pub fn user_id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::Root { account } => account.to_string(),
            Self::User(user) => user.id.clone(),
            Self::Session(session) => format!("{}:{}", session.role_id, session.session_name),
        }
    }

    /// The caller as policies name it.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Anonymous => Principal::Anonymous,
            Self::Root { account } => Principal::Root { arn: Arn::root(*account) },
            Self::User(user) => Principal::User { arn: user.arn() },
            Self::Session(session) => Principal::Session { session: session.arn(), role: session.role_arn() },
        }
    }
}

/// A role session: all that there is to know about it travels, sealed, in its session token.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The access key that the session signs with.
    pub access_key_id: String,
    /// Twelve digits.
    pub account: String,
    /// The role's path, `/` or `/x/`.
    pub role_path: String,
    /// The role's name.
    pub role_name: String,
    /// `AROA…`.
    pub role_id: String,
    /// The session's name.
    pub session_name: String,
    /// When it was made, milliseconds since 1970.
    pub issued_at_ms: i64,
    /// When it ends, milliseconds since 1970.
    pub expires_at_ms: i64,
    /// The provider whose token was exchanged, an ARN.
    pub provider: Option<String>,
    /// Condition keys that the token left in the session: `HOST:aud`, `HOST:sub`, `HOST:amr`.
    pub federated_keys: Vec<(String, Vec<String>)>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// `sts:SourceIdentity`.
    pub source_identity: Option<String>,
    /// Session policies, if any were given.
    pub policies: Option<PassedPolicies>,
}

/// The policies that an exchange was given to narrow its session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PassedPolicies {
    /// The inline policy, JSON.
    pub inline: Option<String>,
    /// Managed policies by ARN; their documents stay where they are.
    pub managed: Vec<String>,
}

impl Session {
    /// The session's ARN.
    pub fn arn(&self) -> Arn {
        Arn::assumed_role(self.account_id(), &self.role_name, &self.session_name)
    }

    /// The role's ARN, with its path.
    pub fn role_arn(&self) -> Arn {
        Arn::role(self.account_id(), &self.role_path, &self.role_name)
    }

    /// The session's account.
    pub fn account_id(&self) -> AccountId {
        AccountId::parse(&self.account).expect("INVARIANT: a session's account is an account id")
    }

    /// When the session ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp(self.expires_at_ms)
    }
}
