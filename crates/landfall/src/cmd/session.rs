//! What every command that makes a session is asked: `login`, `exec` and `credentials` have the same flags.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_deliver::http::Backoff;
use landfall_deliver::login::{self, Cache, LoginError, Options, Session, StaticKeys};
use landfall_deliver::{Environment, Failure, keeper};

use super::{explain, why};
use crate::{edge, ui};

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

    /// The session's name, 2 to 64 of A-Z a-z 0-9 _ + = , . @ - [env: ROLE_SESSION_NAME, AWS_ROLE_SESSION_NAME]
    /// [default: GitHubActions; in GitLab GitLabRunner-PROJECT_ID-PIPELINE_ID]
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
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    role_skip_session_tagging: Option<bool>,

    /// Session tags of your own for AssumeRole, as a JSON object of texts, numbers and truth values [env:
    /// CUSTOM_TAGS]
    #[arg(long, value_name = "JSON")]
    custom_tags: Option<String>,

    /// A session tag that goes on into the sessions made with this one; may be repeated [env:
    /// TRANSITIVE_TAG_KEYS, one on a line]
    #[arg(long, value_name = "KEY")]
    transitive_tag_keys: Vec<String>,

    /// Take the role with the credentials that the environment already holds [env: ROLE_CHAINING]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    role_chaining: Option<bool>,

    /// Further roles, taken one after another with the session so far; the last one is the result
    #[arg(long, value_name = "ARN,…", value_delimiter = ',')]
    role_chain: Vec<String>,

    /// The variable that holds an ID token (its name, not the token), as GitLab's `id_tokens` sets it
    #[arg(long, value_name = "NAME", conflicts_with = "web_identity_token_file")]
    web_identity_token_variable: Option<String>,

    /// Read keys from standard input: AWS_ACCESS_KEY_ID=… lines, or JSON with AccessKeyId
    #[arg(long, conflicts_with_all = ["web_identity_token_file", "web_identity_token_variable", "role_chaining"])]
    keys_from_stdin: bool,

    /// Never ask GitHub for an ID token [env: FORCE_SKIP_OIDC]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    force_skip_oidc: Option<bool>,

    /// Use the credentials that the environment holds as they are, if they work [env: USE_EXISTING_CREDENTIALS]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    use_existing_credentials: Option<bool>,

    /// A file with an ID token, `-` for standard input [env: WEB_IDENTITY_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    web_identity_token_file: Option<PathBuf>,

    /// Fail, with nothing written, unless the session belongs to one of these accounts [env: ALLOWED_ACCOUNT_IDS]
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    allowed_account_ids: Vec<String>,

    /// STS's address [env: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<String>,

    /// Attempts for what may heal by itself; a refusal is told at once [env: RETRY_MAX_ATTEMPTS] [default: 5]
    #[arg(long, value_name = "COUNT")]
    retry_max_attempts: Option<u32>,

    /// Try everything once [env: DISABLE_RETRY]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    disable_retry: Option<bool>,

    /// Give up after so many seconds, 0: never [env: ACTION_TIMEOUT_S]
    #[arg(long, value_name = "SECONDS")]
    action_timeout_s: Option<u32>,

    /// Ask until the keys are letters and digits only, for tools that can't take others [env:
    /// SPECIAL_CHARACTERS_WORKAROUND]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    special_characters_workaround: Option<bool>,

    /// A proxy for every call, without a password (that belongs into the variable) [env: HTTPS_PROXY, HTTP_PROXY]
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,

    /// Hosts that are asked past the proxy [env: NO_PROXY]
    #[arg(long, value_name = "HOST,…")]
    no_proxy: Option<String>,

    /// Terraform or a policy (JSON) at hand: when AWS refuses the token or a role of the chain, it is said which
    /// clause did
    #[arg(long, value_name = "PATH")]
    infra: Vec<PathBuf>,

    #[command(flatten)]
    argv: InArgv,
}

/// Secrets that people put into a command line, where every process of the machine sees them.
#[derive(Debug, clap::Args)]
struct InArgv {
    #[arg(long, hide = true, visible_alias = "token", num_args = 0..=1, value_name = "X")]
    web_identity_token: Option<Option<String>>,

    #[arg(long, hide = true, num_args = 0..=1, value_name = "X")]
    aws_access_key_id: Option<Option<String>>,

    #[arg(long, hide = true, num_args = 0..=1, value_name = "X")]
    aws_secret_access_key: Option<Option<String>>,

    #[arg(long, hide = true, num_args = 0..=1, value_name = "X")]
    aws_session_token: Option<Option<String>>,
}

impl InArgv {
    /// Nothing of it is repeated.
    fn refuse(&self) -> Result<(), Failure> {
        const WHY: &str =
            "every process on this machine can read a command line, and it stays in logs and histories";
        if self.web_identity_token.is_some() {
            return Err(Failure::usage("an ID token doesn't belong into a command line").caused_by(WHY).help(
                "--web-identity-token-file FILE (`-` for standard input) or --web-identity-token-variable NAME takes it",
            ));
        }
        let keys = [&self.aws_access_key_id, &self.aws_secret_access_key, &self.aws_session_token];
        if keys.iter().any(|key| key.is_some()) {
            return Err(Failure::usage("keys don't belong into a command line").caused_by(WHY).help(
                "--keys-from-stdin or the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN take them",
            ));
        }
        Ok(())
    }
}

impl SessionArgs {
    /// A session as they ask for it; from the cache, if there is one that has it. What was said and makes no
    /// difference is told.
    ///
    /// # Errors
    /// Whatever kept it from coming about; with --infra also the clause that refused.
    pub async fn obtain(
        &self,
        options: &Options,
        cache: Option<&Cache>,
        env: &Environment,
    ) -> Result<Session, Failure> {
        for note in login::ignored(options, env) {
            ui::warning(&note);
        }
        let made = match cache {
            Some(cache) => keeper::cached(cache, options, env, edge::now).await,
            None => login::login(options, env).await.map_err(keeper::CachedError::from),
        };
        made.map_err(|error| match error {
            keeper::CachedError::Login(error) => self.explained(error),
            keeper::CachedError::Cache(failure) => failure,
        })
    }

    /// A login's error, with the clause of the policies at hand that refused the token.
    pub fn explained(&self, error: LoginError) -> Failure {
        let told = error.refused_exchange().filter(|_| !self.infra.is_empty());
        let told = told.map(|(role, claims)| explain::refusal(role, claims, &self.infra));
        let mut failure = Failure::from(error);
        let Some(told) = told else { return why::explained(failure, &self.infra, self.chain_keys()) };
        failure.details.retain(|line| !line.contains("--infra"));
        failure.details.push(told);
        failure
    }

    /// Condition keys that an `AssumeRole` of ours has.
    fn chain_keys(&self) -> why::Keys {
        let external = said(&self.role_external_id).map(|id| ("sts:ExternalId".to_owned(), vec![id]));
        external.into_iter().collect()
    }

    /// The environment that the calls go by: the process's own, with the proxy that was said.
    ///
    /// # Errors
    /// A proxy with a password in it.
    pub fn environment(&self, env: &Environment) -> Result<Environment, Failure> {
        with_proxy(env, self.http_proxy.as_deref(), self.no_proxy.as_deref())
    }

    /// The options, with what the environment says where a flag says nothing.
    ///
    /// # Errors
    /// When a variable holds something impossible.
    pub fn options(&self, env: &Environment) -> Result<Options, Failure> {
        self.argv.refuse()?;
        let text = |flag: &Option<String>, name| said(flag).or_else(|| env.get(name).map(str::to_owned));
        let truth = |flag: Option<bool>, name| flag.map_or_else(|| truth(env, name), Ok);
        let attempts = match number(self.retry_max_attempts, env, "RETRY_MAX_ATTEMPTS")? {
            _ if truth(self.disable_retry, "DISABLE_RETRY")? => 1,
            attempts => attempts.unwrap_or(Backoff::default().attempts).max(1),
        };
        let custom_tags = text(&self.custom_tags, "CUSTOM_TAGS");
        let custom_tags = custom_tags.map_or(Ok(Vec::new()), |text| login::custom_tags(&text));
        let limit = number(self.action_timeout_s, env, "ACTION_TIMEOUT_S")?.filter(|seconds| *seconds > 0);
        let list = |flags: &[String], name| if flags.is_empty() { lines(env, name) } else { flags.to_vec() };
        Ok(Options {
            role: text(&self.role, "ROLE_TO_ASSUME"),
            region: said(&self.region),
            audience: text(&self.audience, "AUDIENCE"),
            session_name: text(&self.role_session_name, "ROLE_SESSION_NAME")
                .unwrap_or_else(|| login::session_name(env)),
            duration_seconds: number(self.role_duration_seconds, env, "ROLE_DURATION_SECONDS")?
                .unwrap_or(login::DEFAULT_DURATION_SECONDS),
            inline_policy: text(&self.inline_session_policy, "INLINE_SESSION_POLICY"),
            managed_policies: list(&self.managed_session_policies, "MANAGED_SESSION_POLICIES"),
            allowed_accounts: self.allowed_accounts(env),
            token_file: self.token_file(env)?,
            token_variable: said(&self.web_identity_token_variable),
            keys: if self.keys_from_stdin { Some(keys_from_stdin()?) } else { None },
            role_chain: self.role_chain.clone(),
            ignore_offer: truth(self.force_skip_oidc, "FORCE_SKIP_OIDC")?,
            external_id: text(&self.role_external_id, "ROLE_EXTERNAL_ID"),
            skip_session_tags: truth(self.role_skip_session_tagging, "ROLE_SKIP_SESSION_TAGGING")?,
            sts_endpoint: said(&self.sts_endpoint),
            role_chaining: truth(self.role_chaining, "ROLE_CHAINING")?,
            ignore_environment_keys: false,
            use_existing: truth(self.use_existing_credentials, "USE_EXISTING_CREDENTIALS")?,
            custom_tags: custom_tags.map_err(Failure::usage)?,
            transitive_tag_keys: list(&self.transitive_tag_keys, "TRANSITIVE_TAG_KEYS"),
            plain_keys: truth(self.special_characters_workaround, "SPECIAL_CHARACTERS_WORKAROUND")?,
            time_limit: limit.map(|seconds| Duration::from_secs(seconds.into())),
            backoff: Backoff { attempts, first: FIRST_WAIT },
        })
    }

    fn allowed_accounts(&self, env: &Environment) -> Vec<String> {
        let variable = env.get("ALLOWED_ACCOUNT_IDS").into_iter().flat_map(|text| text.split(','));
        let said = self.allowed_account_ids.iter().map(String::as_str).filter(|id| !id.trim().is_empty());
        let said: Vec<String> = said.map(str::to_owned).collect();
        if said.is_empty() { variable.map(|id| id.trim().to_owned()).collect() } else { said }
    }

    fn token_file(&self, env: &Environment) -> Result<Option<PathBuf>, Failure> {
        let has_other = self.web_identity_token_variable.is_some() || self.keys_from_stdin;
        let said = self.web_identity_token_file.clone().filter(|path| !path.as_os_str().is_empty());
        let file = said.or_else(|| env.path("WEB_IDENTITY_TOKEN_FILE").filter(|_| !has_other));
        match file {
            Some(path) if looks_like_a_token(&path) => {
                Err(Failure::usage("--web-identity-token-file takes a file's name, not a token")
                    .help("`-` reads the token from standard input"))
            }
            Some(path) if path.as_os_str() == "-" => Ok(Some(PathBuf::from("/dev/stdin"))),
            file => Ok(file),
        }
    }
}

/// The environment with the proxy that was said.
///
/// # Errors
/// A proxy with a password in it.
pub fn with_proxy(
    env: &Environment,
    proxy: Option<&str>,
    no_proxy: Option<&str>,
) -> Result<Environment, Failure> {
    let proxy = proxy.filter(|url| !url.is_empty());
    if proxy.is_some_and(|url| url.contains('@')) {
        return Err(Failure::usage(
            "--http-proxy with a user and a password: a command line is no place for them",
        )
        .help("the variable HTTPS_PROXY takes http://USER:PASSWORD@HOST:PORT"));
    }
    let said = [("HTTPS_PROXY", proxy), ("NO_PROXY", no_proxy.filter(|hosts| !hosts.is_empty()))];
    Ok(env.with(said.into_iter().filter_map(|(name, value)| Some((name, value?)))))
}

/// A flag's text. Empty is as good as not said: a template fills it in from an input that nobody has set.
fn said(flag: &Option<String>) -> Option<String> {
    flag.clone().filter(|text| !text.is_empty())
}

/// Three parts of base64url, the first of which begins as JSON does: a JWT.
fn looks_like_a_token(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with("eyJ") && text.split('.').count() == 3)
}

fn lines(env: &Environment, name: &str) -> Vec<String> {
    let lines = env.get(name).unwrap_or_default().lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Yes or no as a flag's value, in the same words as [`truth`]; nothing is no.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("true or false is expected".to_owned()),
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
        let switched = options("login --role-chaining --disable-retry=false", &variables).unwrap();
        assert_eq!((switched.role_chaining, switched.backoff.attempts), (true, 5));
        let empty = options("login --role-chaining= --audience= --role=", &variables).unwrap();
        assert_eq!((empty.role_chaining, empty.audience.as_deref(), empty.role), (false, Some("a"), None));
        let flags = options("login --role-duration-seconds 900 --audience b", &variables).unwrap();
        assert_eq!((flags.duration_seconds, flags.audience.as_deref()), (900, Some("b")));
    }

    #[test]
    fn every_input_of_the_action_is_a_flag_and_a_variable_with_the_same_meaning() {
        let shown = |options: Result<Options, Failure>| {
            let options = options.unwrap();
            format!("{:?}", Options { region: None, ..options })
        };
        let nothing = shown(options("login", &[]));
        for (flag, variable) in [
            ("--role-to-assume=arn:r", ("ROLE_TO_ASSUME", "arn:r")),
            ("--web-identity-token-file=f", ("WEB_IDENTITY_TOKEN_FILE", "f")),
            ("--role-chaining", ("ROLE_CHAINING", "true")),
            ("--audience=a", ("AUDIENCE", "a")),
            ("--role-duration-seconds=900", ("ROLE_DURATION_SECONDS", "900")),
            ("--role-external-id=x", ("ROLE_EXTERNAL_ID", "x")),
            ("--role-session-name=n", ("ROLE_SESSION_NAME", "n")),
            ("--role-skip-session-tagging", ("ROLE_SKIP_SESSION_TAGGING", "true")),
            ("--transitive-tag-keys=Team", ("TRANSITIVE_TAG_KEYS", "Team\n")),
            (r#"--custom-tags={"Team":"web"}"#, ("CUSTOM_TAGS", r#"{"Team": "web"}"#)),
            ("--inline-session-policy={}", ("INLINE_SESSION_POLICY", "{}")),
            ("--managed-session-policies=p", ("MANAGED_SESSION_POLICIES", " p\n")),
            ("--disable-retry", ("DISABLE_RETRY", "true")),
            ("--retry-max-attempts=7", ("RETRY_MAX_ATTEMPTS", "7")),
            ("--special-characters-workaround", ("SPECIAL_CHARACTERS_WORKAROUND", "true")),
            ("--use-existing-credentials", ("USE_EXISTING_CREDENTIALS", "true")),
            ("--allowed-account-ids=1,2", ("ALLOWED_ACCOUNT_IDS", "1, 2")),
            ("--force-skip-oidc", ("FORCE_SKIP_OIDC", "true")),
            ("--action-timeout-s=9", ("ACTION_TIMEOUT_S", "9")),
        ] {
            let by_flag = shown(options(&format!("login {flag}"), &[]));
            assert_ne!(by_flag, nothing, "{flag}");
            assert_eq!(by_flag, shown(options("login", &[variable])), "{flag}");
        }
        for variable in [
            "ROLE_CHAINING",
            "ROLE_SKIP_SESSION_TAGGING",
            "DISABLE_RETRY",
            "SPECIAL_CHARACTERS_WORKAROUND",
            "USE_EXISTING_CREDENTIALS",
            "FORCE_SKIP_OIDC",
        ] {
            assert_eq!(shown(options("login", &[(variable, "false")])), nothing, "{variable}=false");
        }
    }

    #[test]
    fn secrets_in_a_command_line_are_refused_and_not_repeated() {
        for line in [
            "login --web-identity-token hunter2",
            "login --token=hunter2",
            "login --aws-access-key-id hunter2",
            "login --aws-secret-access-key=hunter2",
            "login --aws-session-token hunter2",
            "login --web-identity-token-file eyJhbGciOiJ9.e30.hunter2",
        ] {
            let failure = options(line, &[]).unwrap_err();
            assert!(
                !failure.details.is_empty() && !format!("{failure:?}").contains("hunter2"),
                "{failure:?}"
            );
        }
        let args = Line::try_parse_from(["login", "--http-proxy", "http://me:hunter2@h:1"]).unwrap().args;
        let failure = args.environment(&Environment::default()).unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
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
