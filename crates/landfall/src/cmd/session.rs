//! What every command that makes a session is asked: `login`, `exec` and `credentials` have the same flags.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use landfall_deliver::http::Backoff;
use landfall_deliver::login::{self, Options, StaticKeys};
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

    /// The ID token's audience [env: AUDIENCE] [default: sts.amazonaws.com; in China sts.amazonaws.com.cn]
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,

    /// The session's name, 2 to 64 of A-Z a-z 0-9 _ + = , . @ - [env: ROLE_SESSION_NAME] [default: GitHubActions]
    #[arg(long, value_name = "NAME")]
    role_session_name: Option<String>,

    /// How long the session lives, 900 to 43200 seconds and at most the role's maximum [env:
    /// ROLE_DURATION_SECONDS] [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    role_duration_seconds: Option<u32>,

    /// A policy document (JSON) that narrows the session [env: INLINE_SESSION_POLICY]
    #[arg(long, value_name = "JSON")]
    inline_session_policy: Option<String>,

    /// A managed policy that narrows the session; may be repeated [env: MANAGED_SESSION_POLICIES, one on a
    /// line]
    #[arg(long, value_name = "ARN")]
    managed_session_policies: Vec<String>,

    /// The external id that the role's trust policy wants; only with keys [env: ROLE_EXTERNAL_ID]
    #[arg(long, value_name = "ID")]
    role_external_id: Option<String>,

    /// Send no session tags with AssumeRole; a token exchange never sends any [env: ROLE_SKIP_SESSION_TAGGING]
    #[arg(long)]
    role_skip_session_tagging: bool,

    /// Take the role with the credentials that the environment already holds [env: ROLE_CHAINING]
    #[arg(long)]
    role_chaining: bool,

    /// Further roles, taken one after another with the session so far; the last one is the result
    #[arg(long, value_name = "ARN,…", value_delimiter = ',')]
    role_chain: Vec<String>,

    /// The variable that holds an ID token (its name, not the token), as GitLab's `id_tokens` sets it
    #[arg(long, value_name = "NAME", conflicts_with = "web_identity_token_file")]
    web_identity_token_variable: Option<String>,

    /// Read keys from standard input: AWS_ACCESS_KEY_ID=… lines, or JSON with AccessKeyId
    #[arg(long, conflicts_with_all = ["web_identity_token_file", "web_identity_token_variable", "role_chaining"])]
    keys_from_stdin: bool,

    /// Never ask GitHub for an ID token
    #[arg(long)]
    force_skip_oidc: bool,

    /// A file with an ID token [env: WEB_IDENTITY_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    web_identity_token_file: Option<PathBuf>,

    /// Fail, with nothing written, unless the session belongs to one of these accounts
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    allowed_account_ids: Vec<String>,

    /// STS's address [env: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<String>,

    /// Attempts for what may heal by itself; a refusal is told at once [env: RETRY_MAX_ATTEMPTS] [default: 5]
    #[arg(long, value_name = "COUNT")]
    retry_max_attempts: Option<u32>,

    /// Try everything once [env: DISABLE_RETRY]
    #[arg(long)]
    disable_retry: bool,
}

impl SessionArgs {
    /// The options, with what the environment says where a flag says nothing.
    ///
    /// # Errors
    /// When a variable holds something impossible.
    pub fn options(&self, env: &Environment) -> Result<Options, Failure> {
        let text = |flag: &Option<String>, name| flag.clone().or_else(|| env.get(name).map(str::to_owned));
        let attempts = match number(self.retry_max_attempts, env, "RETRY_MAX_ATTEMPTS")? {
            _ if self.disable_retry || truth(env, "DISABLE_RETRY")? => 1,
            attempts => attempts.unwrap_or(Backoff::default().attempts).max(1),
        };
        let lines = env.get("MANAGED_SESSION_POLICIES").unwrap_or_default().lines();
        let managed: Vec<String> =
            lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        let no_file = self.web_identity_token_variable.is_some() || self.keys_from_stdin;
        let file = self.web_identity_token_file.clone();
        Ok(Options {
            role: text(&self.role, "ROLE_TO_ASSUME"),
            region: self.region.clone(),
            audience: text(&self.audience, "AUDIENCE"),
            session_name: text(&self.role_session_name, "ROLE_SESSION_NAME")
                .unwrap_or_else(|| login::DEFAULT_SESSION_NAME.to_owned()),
            duration_seconds: number(self.role_duration_seconds, env, "ROLE_DURATION_SECONDS")?
                .unwrap_or(login::DEFAULT_DURATION_SECONDS),
            inline_policy: text(&self.inline_session_policy, "INLINE_SESSION_POLICY"),
            managed_policies: if self.managed_session_policies.is_empty() {
                managed
            } else {
                self.managed_session_policies.clone()
            },
            allowed_accounts: self.allowed_account_ids.clone(),
            token_file: file.or_else(|| env.path("WEB_IDENTITY_TOKEN_FILE").filter(|_| !no_file)),
            token_variable: self.web_identity_token_variable.clone(),
            keys: if self.keys_from_stdin { Some(keys_from_stdin()?) } else { None },
            role_chain: self.role_chain.clone(),
            ignore_offer: self.force_skip_oidc,
            external_id: text(&self.role_external_id, "ROLE_EXTERNAL_ID"),
            skip_session_tags: self.role_skip_session_tagging || truth(env, "ROLE_SKIP_SESSION_TAGGING")?,
            sts_endpoint: self.sts_endpoint.clone(),
            role_chaining: self.role_chaining || truth(env, "ROLE_CHAINING")?,
            ignore_environment_keys: false,
            backoff: Backoff { attempts, first: FIRST_WAIT },
        })
    }
}

/// A variable that says yes or no, in the words of YAML 1.2's core schema, as the AWS action reads its inputs.
pub fn truth(env: &Environment, name: &str) -> Result<bool, Failure> {
    match env.get(name) {
        Some("true" | "True" | "TRUE") => Ok(true),
        None | Some("false" | "False" | "FALSE") => Ok(false),
        Some(other) => {
            Err(Failure::usage(format!("{name} is `{}`: true or false is expected", other.escape_debug())))
        }
    }
}

fn number(flag: Option<u32>, env: &Environment, name: &str) -> Result<Option<u32>, Failure> {
    let Some(text) = env.get(name).filter(|_| flag.is_none()) else { return Ok(flag) };
    text.trim().parse().map(Some).map_err(|_| {
        Failure::usage(format!("{name} is `{}`: a whole number is expected", text.escape_debug()))
    })
}

fn keys_from_stdin() -> Result<StaticKeys, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(KEYS_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage("reading keys from standard input").caused_by(error))?;
    StaticKeys::parse(&text).map_err(|reason| Failure::usage(format!("--keys-from-stdin: {reason}")))
}

/// The longest text with keys that is read, in bytes.
const KEYS_BYTES_MAX: u64 = 64 * 1024;
/// The first wait before something is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: SessionArgs,
    }

    fn options(line: &str, variables: &[(&str, &str)]) -> Result<Options, Failure> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Line::try_parse_from(line.split(' ')).unwrap().args.options(&Environment::new(variables, None))
    }

    #[test]
    fn a_variable_speaks_where_a_flag_is_silent() {
        let variables = [
            ("ROLE_DURATION_SECONDS", "1200"),
            ("AUDIENCE", "a"),
            ("MANAGED_SESSION_POLICIES", "one\n two \n"),
            ("ROLE_CHAINING", "false"),
            ("DISABLE_RETRY", "True"),
        ];
        let said = options("login", &variables).unwrap();
        assert_eq!(
            (said.duration_seconds, said.audience.as_deref(), said.role_chaining),
            (1200, Some("a"), false)
        );
        assert_eq!(
            (said.managed_policies, said.backoff.attempts),
            (vec!["one".to_owned(), "two".to_owned()], 1)
        );
        let flags = options("login --role-duration-seconds 900 --audience b", &variables).unwrap();
        assert_eq!((flags.duration_seconds, flags.audience.as_deref()), (900, Some("b")));
    }

    #[test]
    fn what_a_variable_cannot_mean_is_an_error_that_names_it() {
        for variable in
            [("ROLE_CHAINING", "no"), ("ROLE_DURATION_SECONDS", "1h"), ("RETRY_MAX_ATTEMPTS", "-1")]
        {
            let failure = options("login", &[variable]).unwrap_err();
            assert!(failure.message.contains(variable.0), "{failure:?}");
        }
    }
}
