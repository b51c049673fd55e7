//! The credentials of a pod with EKS Pod Identity or of a task of ECS, from the agent beside it.
//!
//! AWS's SDK knows this agent too, but says no more of a refusal than its status. What the agent answers is
//! the one place where the reason stands.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_sdk_sts::config::Credentials;
use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
use landfall_types::Secret;
use reqwest::{StatusCode, Url};

use crate::aws::{Answer, CallError};
use crate::environment::Environment;
use crate::http;

/// The agent, as the environment names it.
#[derive(Debug)]
pub struct Agent {
    url: Url,
    token: Token,
}

/// What the agent is shown.
#[derive(Debug)]
enum Token {
    None,
    Text(Secret<String>),
    /// Read again for every request: it is written anew before it ends.
    File(PathBuf),
}

impl Agent {
    /// The agent of a pod or a task; none outside of them, and where the environment says that somebody else
    /// is meant (a profile, a web identity), whom AWS's SDKs ask before.
    ///
    /// # Errors
    /// When the environment names an address that credentials must not be asked of.
    pub fn of(environment: &Environment) -> Result<Option<Self>, CallError> {
        let is_web_identity = environment.get("AWS_ROLE_ARN").is_some()
            && environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
        if is_web_identity || environment.get("AWS_PROFILE").is_some() {
            return Ok(None);
        }
        let url = match (environment.get(RELATIVE), environment.get(FULL)) {
            (Some(path), _) => address(RELATIVE, &format!("http://{ECS_AGENT}{path}"))?,
            (None, Some(url)) => address(FULL, url)?,
            (None, None) => return Ok(None),
        };
        let token = match (environment.path(TOKEN_FILE), environment.get(TOKEN)) {
            (Some(path), _) => Token::File(path),
            (None, Some(text)) => Token::Text(Secret::new(text.to_owned())),
            (None, None) => Token::None,
        };
        Ok(Some(Self { url, token }))
    }

    /// Asks for credentials, a second time when what went wrong may heal by itself.
    ///
    /// # Errors
    /// What the agent said, or what kept it from being asked.
    pub async fn credentials(&self) -> Result<Credentials, CallError> {
        for _ in 1..ATTEMPTS {
            match self.ask().await {
                Err(CallError::Unavailable(_) | CallError::Unreachable { .. }) => {}
                answer => return answer,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.ask().await
    }

    async fn ask(&self) -> Result<Credentials, CallError> {
        let failed = |error: reqwest::Error| self.unreachable(&error);
        let token = self.token()?;
        // The agent is on this very machine: no proxy leads to it.
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let builder = builder.connect_timeout(CONNECT_SECONDS_MAX).timeout(ANSWER_SECONDS_MAX);
        let builder = if self.url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(failed)?;
        let mut request = client.get(self.url.clone()).header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", token.expose());
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = http::body(response, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| CallError::Unreachable {
            what: format!("the credentials agent's answer could not be read: {error}"),
        })?;
        let body = String::from_utf8_lossy(&body);
        if status != StatusCode::OK {
            return Err(self.refused(status, &body));
        }
        credentials(&body).ok_or_else(|| CallError::Unreachable {
            what: format!("the credentials agent at {} answered without credentials", self.url),
        })
    }

    fn token(&self) -> Result<Option<Secret<String>>, CallError> {
        let text = match &self.token {
            Token::None => return Ok(None),
            Token::Text(text) => text.expose().to_owned(),
            Token::File(path) => std::fs::read_to_string(path).map_err(|error| CallError::NotSent {
                what: format!("cannot read {} ({TOKEN_FILE}): {error}", path.display()),
            })?,
        };
        let text = text.trim_end().to_owned();
        if text.is_empty() || text.contains(|c: char| c.is_control()) {
            let place = match &self.token {
                Token::File(path) => format!("{} ({TOKEN_FILE})", path.display()),
                _ => TOKEN.to_owned(),
            };
            let what = format!("{place} holds no token: one line of text is expected");
            return Err(CallError::NotSent { what });
        }
        Ok(Some(Secret::new(text)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        let url = &self.url;
        let why = if error.is_timeout() && !error.is_connect() {
            format!("it took the connection and did not answer within {} s", ANSWER_SECONDS_MAX.as_secs())
        } else if error.is_timeout() {
            format!("no connection within {} s", CONNECT_SECONDS_MAX.as_secs())
        } else {
            let mut cause: &dyn std::error::Error = error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            cause.to_string()
        };
        let help = if url.host_str() == Some(EKS_AGENT) {
            "; is the add-on eks-pod-identity-agent running on this node?"
        } else {
            ""
        };
        CallError::Unreachable { what: format!("the credentials agent at {url} can't be asked: {why}{help}") }
    }

    fn refused(&self, status: StatusCode, body: &str) -> CallError {
        let said = Said::of(body);
        let code = said.code.unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let help = match code.as_str() {
            "AccessDeniedException" => Some(
                "the role's trust policy has to allow pods.eks.amazonaws.com both sts:AssumeRole and \
                 sts:TagSession, with conditions that this pod meets",
            ),
            "ResourceNotFoundException" => Some(
                "the pod's service account needs a Pod Identity association; pods that were started before \
                 there was one have to be started again",
            ),
            _ => None,
        };
        let message = format!("the credentials agent at {} refused: {}", self.url, said.message);
        let answer = Answer { code, message, status: status.as_u16(), request_id: said.request_id, help };
        if http::is_transient(status) {
            CallError::Unavailable(Box::new(answer))
        } else {
            CallError::Refused(Box::new(answer))
        }
    }
}

/// Whether nothing that AWS's SDKs ask before the agent can have an answer: they read profiles from files.
pub fn is_alone(environment: &Environment) -> bool {
    let files = [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
    files.iter().all(|(name, file)| {
        let of_home = || environment.home().map(|home| home.join(".aws").join(file));
        let path = environment.path(name).or_else(of_home);
        !path.is_some_and(|path| path.metadata().is_ok_and(|file| file.is_file() && file.len() > 0))
    })
}

/// Plain HTTP is for this machine and the agents' own addresses alone, as in AWS's SDKs.
fn address(variable: &str, text: &str) -> Result<Url, CallError> {
    let wrong =
        |why: &str| CallError::NotSent { what: format!("{variable} is `{}`: {why}", http::excerpt(text)) };
    let url = Url::parse(text).map_err(|error| wrong(&format!("not a URL: {error}")))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_agent = [ECS_AGENT, EKS_AGENT, EKS_AGENT_V6].contains(&bare) || http::is_loopback_host(host);
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_agent => Ok(url),
        "http" => Err(wrong(&format!(
            "credentials are asked for over plain http only of this machine, {ECS_AGENT}, {EKS_AGENT} and \
             {EKS_AGENT_V6}"
        ))),
        _ => Err(wrong("http or https is expected")),
    }
}

/// What an agent says of a refusal.
#[derive(PartialEq, Eq, Debug)]
struct Said {
    code: Option<String>,
    message: String,
    request_id: Option<String>,
}

impl Said {
    /// `[ID]: (CODE): MESSAGE, fault: client` of EKS's agent, or `{"code", "message"}`; any other text is the
    /// message.
    fn of(body: &str) -> Self {
        let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
        if let Some(json) = json.filter(serde_json::Value::is_object) {
            let text = |name: &str| json.get(name).and_then(|value| value.as_str()).map(http::excerpt);
            let message = text("message").or_else(|| text("Message"));
            let code = text("code").or_else(|| text("Code"));
            return Self { code, message: message.unwrap_or_else(|| http::excerpt(body)), request_id: None };
        }
        Self::of_eks(body.trim()).unwrap_or_else(|| {
            let message = http::excerpt(body);
            let message = if message.is_empty() { "it says nothing more".to_owned() } else { message };
            Self { code: None, message, request_id: None }
        })
    }

    fn of_eks(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix('[')?.split_once("]: (")?;
        let (code, message) = rest.split_once("): ")?;
        let message = message.rsplit_once(", fault: ").map_or(message, |(message, _)| message);
        Some(Self {
            code: Some(http::excerpt(code)),
            message: http::excerpt(message),
            request_id: Some(http::excerpt(id)),
        })
    }
}

fn credentials(body: &str) -> Option<Credentials> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let text = |name: &str| json.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
    let ends = match text("Expiration") {
        Some(text) => {
            let ends = DateTime::from_str(text, DateTimeFormat::DateTime).ok()?;
            Some(SystemTime::try_from(ends).ok()?)
        }
        None => None,
    };
    let token = text("Token").map(str::to_owned);
    Some(Credentials::new(text("AccessKeyId")?, text("SecretAccessKey")?, token, ends, "container"))
}

pub(crate) const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
pub(crate) const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Where the agents of ECS and EKS are.
const ECS_AGENT: &str = "169.254.170.2";
const EKS_AGENT: &str = "169.254.170.23";
const EKS_AGENT_V6: &str = "fd00:ec2::23";
/// How often it is asked, and the pause in between.
const ATTEMPTS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(200);
/// Time to connect, and for a whole answer: EKS's agent itself waits for a second.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(1);
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes: a session token is a few thousand.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::environment;

    #[test]
    fn an_agent_is_asked_where_sdks_ask_one() {
        let url = |variables: &[(&str, &str)]| {
            Agent::of(&environment(variables)).map(|agent| agent.map(|agent| agent.url.to_string()))
        };
        let some = |text: &str| Ok(Some(text.to_owned()));
        let pod = (FULL, "http://169.254.170.23/v1/credentials");
        assert_eq!(url(&[pod]), some("http://169.254.170.23/v1/credentials"));
        assert_eq!(url(&[pod, (RELATIVE, "/v2/x")]), some("http://169.254.170.2/v2/x"));
        assert_eq!(
            url(&[(FULL, "http://[fd00:ec2::23]/v1/credentials")]),
            some("http://[fd00:ec2::23]/v1/credentials")
        );
        assert_eq!(url(&[(FULL, "https://example.com/x")]), some("https://example.com/x"));
        assert_eq!(url(&[]), Ok(None));
        // Somebody else is meant.
        assert_eq!(url(&[pod, ("AWS_PROFILE", "x")]), Ok(None));
        assert_eq!(url(&[pod, ("AWS_ROLE_ARN", "x"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "y")]), Ok(None));
        for (text, why) in [
            ("http://10.9.9.9/x", "over plain http only of this machine, 169.254.170.2, 169.254.170.23"),
            ("http://169.254.170.23.example.com/x", "over plain http only"),
            ("ftp://127.0.0.1/x", "http or https is expected"),
            ("nonsense", "not a URL"),
        ] {
            let error = url(&[(FULL, text)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{FULL} is `{text}`: ")) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_an_agent_says_is_told() {
        let eks = "[0b1c-2]: (AccessDeniedException): Unauthorized Exception!, fault: client\n";
        let said = |code: Option<&str>, message: &str, id: Option<&str>| Said {
            code: code.map(str::to_owned),
            message: message.to_owned(),
            request_id: id.map(str::to_owned),
        };
        for (body, wanted) in [
            (eks, said(Some("AccessDeniedException"), "Unauthorized Exception!", Some("0b1c-2"))),
            (r#"{"code":"Unauthorized","message":"no"}"#, said(Some("Unauthorized"), "no", None)),
            ("404 page not found\n", said(None, "404 page not found", None)),
            ("", said(None, "it says nothing more", None)),
            ("[broken", said(None, "[broken", None)),
        ] {
            assert_eq!(Said::of(body), wanted, "{body}");
        }
    }

    #[test]
    fn credentials_end_when_the_agent_says() {
        let body = r#"{"AccessKeyId":"A","SecretAccessKey":"s","Token":"t","AccountId":"1","Expiration":"2026-10-01T12:00:00Z"}"#;
        let read = credentials(body).unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("A", Some("t")));
        let ends = std::time::UNIX_EPOCH + Duration::from_secs(1_790_856_000);
        assert_eq!(read.expiry(), Some(ends));
        for broken in ["", "{}", r#"{"AccessKeyId":"A"}"#, &body.replace("2026-", "x")] {
            assert!(credentials(broken).is_none(), "{broken}");
        }
    }
}
