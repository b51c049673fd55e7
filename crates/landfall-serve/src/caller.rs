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
    /// Someone whom a user vouched for, with `sts:GetFederationToken`.
    Federated(Arc<FederatedUser>),
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
    /// When the session was made that it signed with, milliseconds since 1970; none for a key of its own.
    #[serde(default)]
    pub session_issued_at_ms: Option<i64>,
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
            Self::Federated(user) => Some(user.account_id()),
        }
    }

    /// The caller's ARN as `GetCallerIdentity` and refusals print it.
    pub fn arn(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Root { account } => Arn::root(*account).to_string(),
            Self::User(user) => user.arn().to_string(),
            Self::Session(session) => session.arn().to_string(),
            Self::Federated(user) => user.arn().to_string(),
        }
    }

    /// `UserId` of `GetCallerIdentity`.
    pub fn user_id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::Root { account } => account.to_string(),
            Self::User(user) => user.id.clone(),
            Self::Session(session) => format!("{}:{}", session.role_id, session.session_name),
            Self::Federated(user) => user.user_id(),
        }
    }

    /// The caller as policies name it.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Anonymous => Principal::Anonymous,
            Self::Root { account } => Principal::Root { arn: Arn::root(*account) },
            Self::User(user) => Principal::User { arn: user.arn(), id: Some(user.id.clone()) },
            Self::Session(session) => Principal::Session {
                session: session.arn(),
                role: session.role_arn(),
                role_id: Some(session.role_id.clone()),
            },
            // A policy that names the user who vouched reaches as far as one that names a session's role.
            Self::Federated(user) => Principal::Session {
                session: user.arn(),
                role: user.vouched_by(),
                role_id: user.user.as_ref().map(|user| user.id.clone()),
            },
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
    /// The keys of those that a session of this session inherits.
    #[serde(default)]
    pub transitive_tag_keys: Vec<String>,
    /// `sts:SourceIdentity`.
    pub source_identity: Option<String>,
    /// Session policies, if any were given.
    pub policies: Option<PassedPolicies>,
    /// Whether it works only in regions that are on by default: it was made at the global endpoint.
    #[serde(default)]
    pub default_regions_only: bool,
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

    /// Whether a session of this session inherits the tag.
    pub fn hands_on(&self, key: &str) -> bool {
        self.transitive_tag_keys.iter().any(|known| landfall_wire::sts::same_tag_key(known, key))
    }
}

/// A session of a user or of an account's root user: `sts:GetSessionToken`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserSession {
    /// The access key that the session signs with.
    pub access_key_id: String,
    /// Twelve digits.
    pub account: String,
    /// The user; none for the account's root user.
    pub user: Option<CallingUser>,
    /// When it was made, milliseconds since 1970.
    pub issued_at_ms: i64,
    /// When it ends, milliseconds since 1970.
    pub expires_at_ms: i64,
    /// Whether it works only in regions that are on by default: it was made at the global endpoint.
    #[serde(default)]
    pub default_regions_only: bool,
}

/// Someone whom a user, or an account's root user, vouched for: `sts:GetFederationToken`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FederatedUser {
    /// The access key that the session signs with.
    pub access_key_id: String,
    /// Twelve digits.
    pub account: String,
    /// The name that it was given.
    pub name: String,
    /// The user who vouched; none for the account's root user.
    pub user: Option<CallingUser>,
    /// When it was made, milliseconds since 1970.
    pub issued_at_ms: i64,
    /// When it ends, milliseconds since 1970.
    pub expires_at_ms: i64,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// Session policies: what they and the user's policies allow, it may.
    pub policies: PassedPolicies,
    /// Whether it works only in regions that are on by default: it was made at the global endpoint.
    #[serde(default)]
    pub default_regions_only: bool,
}

impl FederatedUser {
    /// The account.
    pub fn account_id(&self) -> AccountId {
        AccountId::parse(&self.account).expect("INVARIANT: a session's account is an account id")
    }

    /// `arn:aws:sts::ACCOUNT:federated-user/NAME`.
    pub fn arn(&self) -> Arn {
        Arn::federated_user(self.account_id(), &self.name)
    }

    /// `ACCOUNT:NAME`.
    pub fn user_id(&self) -> String {
        format!("{}:{}", self.account, self.name)
    }

    /// The ARN of the user who vouched.
    pub fn vouched_by(&self) -> Arn {
        self.user.as_ref().map_or_else(|| Arn::root(self.account_id()), CallingUser::arn)
    }
}

/// What a session token holds: all that there is to know about a session travels in it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub enum SealedSession {
    /// A role's.
    Role(Session),
    /// A user's.
    User(UserSession),
    /// A federated user's.
    Federated(FederatedUser),
}

impl SealedSession {
    /// The access key that the session signs with.
    pub fn access_key_id(&self) -> &str {
        match self {
            Self::Role(session) => &session.access_key_id,
            Self::User(session) => &session.access_key_id,
            Self::Federated(user) => &user.access_key_id,
        }
    }

    /// When it was made and when it ends, in milliseconds since 1970.
    pub fn lifetime_ms(&self) -> (i64, i64) {
        match self {
            Self::Role(session) => (session.issued_at_ms, session.expires_at_ms),
            Self::User(session) => (session.issued_at_ms, session.expires_at_ms),
            Self::Federated(user) => (user.issued_at_ms, user.expires_at_ms),
        }
    }

    /// Whether it works only in regions that are on by default.
    pub fn default_regions_only(&self) -> bool {
        match self {
            Self::Role(session) => session.default_regions_only,
            Self::User(session) => session.default_regions_only,
            Self::Federated(user) => user.default_regions_only,
        }
    }

    /// Who signs with it.
    pub fn caller(self) -> Option<Caller> {
        Some(match self {
            Self::Role(session) => Caller::Session(Arc::new(session)),
            Self::Federated(user) => Caller::Federated(Arc::new(user)),
            Self::User(UserSession { user: Some(user), access_key_id, issued_at_ms, .. }) => {
                let session_issued_at_ms = Some(issued_at_ms);
                Caller::User(Arc::new(CallingUser { access_key_id, session_issued_at_ms, ..user }))
            }
            Self::User(session) => Caller::Root { account: AccountId::parse(&session.account).ok()? },
        })
    }
}
