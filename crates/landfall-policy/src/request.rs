//! What a policy decides on: a caller, an action, a resource, a context.

use landfall_types::Arn;

/// One call, before it is decided.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who calls.
    pub principal: Principal,
    /// `ecr:PutImage`, `sts:AssumeRoleWithWebIdentity`, …
    pub action: String,
    /// The resource's ARN, or `*` for actions without one.
    pub resource: String,
    /// The account that owns the resource; decides between the same-account and cross-account rules.
    pub resource_account: String,
    /// The condition keys that are present.
    pub context: Context,
}

/// Who calls, as policies name them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Principal {
    /// Nobody has been identified (an anonymous call).
    Anonymous,
    /// A token of a federated provider, before it has a role: the provider's ARN or, for built-in
    /// providers, its host.
    Federated {
        /// `arn:aws:iam::ACCOUNT:oidc-provider/HOST`.
        provider: String,
    },
    /// An account's root user.
    Root {
        /// Its ARN, `arn:aws:iam::ACCOUNT:root`.
        arn: Arn,
    },
    /// An IAM user.
    User {
        /// Its ARN.
        arn: Arn,
        /// Its unique id, `AIDA…`; none where nobody has given it one.
        id: Option<String>,
    },
    /// A role session.
    Session {
        /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
        session: Arn,
        /// `arn:aws:iam::ACCOUNT:role/PATH/ROLE`; for a federated user, who vouched.
        role: Arn,
        /// The unique id of that one, `AROA…`; none where nobody has given it one.
        role_id: Option<String>,
    },
    /// An AWS service, `ecs-tasks.amazonaws.com`.
    Service {
        /// The service principal.
        name: String,
    },
}

impl Principal {
    /// The caller's ARN as AWS prints it in refusals; none for anonymous callers and tokens.
    pub fn arn(&self) -> Option<&Arn> {
        match self {
            Self::Anonymous | Self::Federated { .. } | Self::Service { .. } => None,
            Self::Root { arn } | Self::User { arn, .. } => Some(arn),
            Self::Session { session, .. } => Some(session),
        }
    }

    /// The caller's account; empty when it has none.
    pub fn account(&self) -> &str {
        self.arn().map_or("", |arn| &arn.account)
    }
}

/// The condition keys of a request. Key names ignore case; a key can be present with no value
/// (an empty multi-valued key), which is not the same as being absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    keys: Vec<ContextKey>,
}

/// One key of a [`Context`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContextKey {
    /// The name as AWS documents it, `token.actions.githubusercontent.com:sub`.
    pub name: String,
    /// The values; more than one only for multi-valued keys.
    pub values: Vec<String>,
    /// Whether it is a list, where the request itself says so; else AWS's tables do.
    pub multivalued: Option<bool>,
}

impl Context {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// No keys yet, with room for so many.
    pub fn with_capacity(keys: usize) -> Self {
        Self { keys: Vec::with_capacity(keys) }
    }

    /// Sets a key to one value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.set_all(name, vec![value.into()]);
    }

    /// Sets a key to a list of values, possibly none.
    pub fn set_all(&mut self, name: impl Into<String>, values: Vec<String>) {
        self.set_key(ContextKey { name: name.into(), values, multivalued: None });
    }

    /// Sets a key, in place of what there is under its name.
    pub fn set_key(&mut self, key: ContextKey) {
        self.keys.retain(|known| !known.name.eq_ignore_ascii_case(&key.name));
        self.keys.push(key);
    }

    /// A key; none when it is absent.
    pub fn key(&self, name: &str) -> Option<&ContextKey> {
        self.keys.iter().find(|key| key.name.eq_ignore_ascii_case(name))
    }

    /// The values of a key; none when the key is absent.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.key(name).map(|key| key.values.as_slice())
    }

    /// All keys in the order in which they were set.
    pub fn iter(&self) -> impl Iterator<Item = &ContextKey> {
        self.keys.iter()
    }
}
