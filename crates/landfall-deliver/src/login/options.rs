//! What a login is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use super::StaticKeys;
use crate::http::Backoff;

/// What a login is asked to do. The environment supplies the rest.
#[derive(Clone, Debug)]
pub struct Options {
    /// An ARN, or a role's name when the account is known from keys. None: the keys are used as they are.
    pub role: Option<String>,
    /// The region; none: `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// The ID token's audience; none: `sts.amazonaws.com`, in China `sts.amazonaws.com.cn`.
    pub audience: Option<String>,
    /// 2 to 64 of `[\w+=,.@-]`.
    pub session_name: String,
    /// 900 to 43200.
    pub duration_seconds: u32,
    /// A policy document that narrows the session.
    pub inline_policy: Option<String>,
    /// Managed policies (ARNs) that narrow the session.
    pub managed_policies: Vec<String>,
    /// Accounts that the session may belong to; empty: any.
    pub allowed_accounts: Vec<String>,
    /// A file with an ID token.
    pub token_file: Option<PathBuf>,
    /// The name of a variable that holds an ID token, as GitLab's `id_tokens` sets it.
    pub token_variable: Option<String>,
    /// Keys that were handed over, instead of those in the environment.
    pub keys: Option<StaticKeys>,
    /// Roles that are taken one after another with the session so far; the last one is the result.
    pub role_chain: Vec<String>,
    /// GitHub's offer of an ID token doesn't count.
    pub ignore_offer: bool,
    /// `ExternalId` for `AssumeRole`.
    pub external_id: Option<String>,
    /// No session tags with `AssumeRole`.
    pub skip_session_tags: bool,
    /// STS's address; none: the configured endpoint, else AWS's own for the region.
    pub sts_endpoint: Option<String>,
    /// The role is assumed with the credentials that the environment holds.
    pub role_chaining: bool,
    /// Keys in the environment don't count.
    pub ignore_environment_keys: bool,
    /// Credentials of the environment are the session, if they work and belong to an account that is allowed.
    pub use_existing: bool,
    /// Session tags for `AssumeRole` beside those that say which job this is.
    pub custom_tags: Vec<(String, String)>,
    /// Keys of session tags that go on into the sessions that this one makes.
    pub transitive_tag_keys: Vec<String>,
    /// Sessions are asked for until access key and secret key are letters and digits only.
    pub plain_keys: bool,
    /// How long all of it may take; none: as long as its calls do.
    pub time_limit: Option<Duration>,
    /// Attempts for what may heal by itself.
    pub backoff: Backoff,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            role: None,
            region: None,
            audience: None,
            session_name: super::DEFAULT_SESSION_NAME.to_owned(),
            duration_seconds: super::DEFAULT_DURATION_SECONDS,
            inline_policy: None,
            managed_policies: Vec::new(),
            allowed_accounts: Vec::new(),
            token_file: None,
            token_variable: None,
            keys: None,
            role_chain: Vec::new(),
            ignore_offer: false,
            external_id: None,
            skip_session_tags: false,
            sts_endpoint: None,
            role_chaining: false,
            ignore_environment_keys: false,
            use_existing: false,
            custom_tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            plain_keys: false,
            time_limit: None,
            backoff: Backoff::default(),
        }
    }
}
