//! What every command that makes a session is asked: `login`, `exec` and `credentials` have the same flags.

use std::path::PathBuf;
use std::time::Duration;

use landfall_deliver::http::Backoff;
use landfall_deliver::login::{self, Options};
use landfall_deliver::{Environment, Failure};

/// What the session is made from, and what it is like.
#[derive(Debug, clap::Args)]
pub struct SessionArgs {
    /// The role: an ARN, or with keys in the environment also a name [env: ROLE_TO_ASSUME]
    #[arg(long = "role-to-assume", visible_alias = "role", value_name = "ARN")]
    role: Option<String>,

    /// The region [env: AWS_REGION, AWS_DEFAULT_REGION]
    #[arg(long = "aws-region", visible_alias = "region", value_name = "REGION")]
    region: Option<String>,

    /// The ID token's audience [default: sts.amazonaws.com; in China sts.amazonaws.com.cn]
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,

    /// The session's name, 2 to 64 of A-Z a-z 0-9 _ + = , . @ -
    #[arg(long, value_name = "NAME", default_value = login::DEFAULT_SESSION_NAME)]
    role_session_name: String,

    /// How long the session lives, 900 to 43200 seconds and at most the role's maximum
    #[arg(long, value_name = "SECONDS", default_value_t = login::DEFAULT_DURATION_SECONDS)]
    role_duration_seconds: u32,

    /// A policy document (JSON) that narrows the session
    #[arg(long, value_name = "JSON")]
    inline_session_policy: Option<String>,

    /// A managed policy that narrows the session; may be repeated
    #[arg(long, value_name = "ARN")]
    managed_session_policies: Vec<String>,

    /// The external id that the role's trust policy wants; only with keys
    #[arg(long, value_name = "ID")]
    role_external_id: Option<String>,

    /// Send no session tags with AssumeRole; a token exchange never sends any
    #[arg(long)]
    role_skip_session_tagging: bool,

    /// Take the role with the credentials that the environment already holds
    #[arg(long)]
    role_chaining: bool,

    /// A file with an ID token
    #[arg(long, value_name = "FILE")]
    web_identity_token_file: Option<PathBuf>,

    /// Fail, with nothing written, unless the session belongs to one of these accounts
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    allowed_account_ids: Vec<String>,

    /// STS's address [env: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<String>,

    /// Attempts for what may heal by itself; a refusal is told at once
    #[arg(long, value_name = "COUNT", default_value_t = Backoff::default().attempts)]
    retry_max_attempts: u32,
}

impl SessionArgs {
    /// The options, with what the environment says where a flag says nothing.
    ///
    /// # Errors
    /// When a variable holds something impossible.
    pub fn options(&self, env: &Environment) -> Result<Options, Failure> {
        Ok(Options {
            role: self.role.clone().or_else(|| env.get("ROLE_TO_ASSUME").map(str::to_owned)),
            region: self.region.clone(),
            audience: self.audience.clone(),
            session_name: self.role_session_name.clone(),
            duration_seconds: self.role_duration_seconds,
            inline_policy: self.inline_session_policy.clone(),
            managed_policies: self.managed_session_policies.clone(),
            allowed_accounts: self.allowed_account_ids.clone(),
            token_file: self.web_identity_token_file.clone(),
            external_id: self.role_external_id.clone(),
            skip_session_tags: self.role_skip_session_tagging,
            sts_endpoint: self.sts_endpoint.clone(),
            role_chaining: self.role_chaining,
            ignore_environment_keys: false,
            backoff: Backoff { attempts: self.retry_max_attempts.max(1), first: FIRST_WAIT },
        })
    }
}

/// The first wait before something is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
