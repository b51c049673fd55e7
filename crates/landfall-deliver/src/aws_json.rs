//! Calls of AWS's JSON 1.1 protocol: the request and the answer stay JSON, so that a field which is newer
//! than any SDK goes through as it was written.
//!
//! Credentials come from the SDK's chain, the signature from its signer. Throttling, 5xx and broken
//! connections are tried again; a refusal is told at once.
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use landfall_types::{Timestamp, agent};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use crate::aws::{self, Answer, CallError};
use crate::environment::Environment;
use crate::http::{self, Backoff};
use crate::keeper::Clock;
use crate::proxy::Proxy;

/// A service that speaks this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// As `AWS_ENDPOINT_URL_…` names it.
    pub variable: &'static str,
    /// The first part of its host name, also what signatures name.
    pub name: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
}

/// Amazon ECS.
pub const ECS: Service =
    Service { variable: "ECS", name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };
/// AWS CodeDeploy.
pub const CODE_DEPLOY: Service =
    Service { variable: "CODEDEPLOY", name: "codedeploy", target: "CodeDeploy_20141006" };
/// Amazon CloudWatch Logs.
pub const LOGS: Service = Service { variable: "CLOUDWATCH_LOGS", name: "logs", target: "Logs_20140328" };

/// What a caller takes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// Real time, for signatures.
    pub clock: Clock,
    /// The system's randomness, for waits and for tokens that make a call idempotent.
    pub fill_random: fn(&mut [u8]),
}

/// Signed calls in one region, with credentials that are looked up once and again when they end.
#[derive(Clone)]
pub struct Caller {
    environment: Environment,
    region: String,
    backoff: Backoff,
    outside: Outside,
    is_optional: bool,
    credentials: Arc<tokio::sync::Mutex<Option<Credentials>>>,
    clients: Arc<tokio::sync::Mutex<Vec<(Service, Url, Client)>>>,
}

impl Caller {
    /// A caller; nothing is sent yet.
    pub fn new(environment: &Environment, region: &str, backoff: Backoff, outside: Outside) -> Self {
        Self {
            environment: environment.clone(),
            region: region.to_owned(),
            backoff,
            outside,
            is_optional: false,
            credentials: Arc::default(),
            clients: Arc::default(),
        }
    }

    /// The same for calls whose answers only tell more: their user agent says so, and whoever looks at refusals needs
    /// to know that these stop nothing.
    #[must_use]
    pub fn optional(&self) -> Self {
        Self { is_optional: true, ..self.clone() }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The time, as signatures have it.
    pub fn now(&self) -> Timestamp {
        (self.outside.clock)()
    }

    /// 128 random bits as hexadecimal digits, for `clientToken`.
    pub fn token(&self) -> String {
        let mut bytes = [0u8; 16];
        (self.outside.fill_random)(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Calls an operation; what may heal by itself is tried again.
    ///
    /// # Errors
    /// [`CallError`], with AWS's own words where it answered.
    pub async fn call(&self, service: Service, operation: &str, input: &Value) -> Result<Value, CallError> {
        self.attempt(service, operation, input, true).await
    }

    /// Calls an operation that must not happen twice: a connection that broke is not tried again, because
    /// nobody knows whether the call arrived.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_once(
        &self,
        service: Service,
        operation: &str,
        input: &Value,
    ) -> Result<Value, CallError> {
        self.attempt(service, operation, input, false).await
    }

    async fn attempt(
        &self,
        service: Service,
        operation: &str,
        input: &Value,
        is_repeatable: bool,
    ) -> Result<Value, CallError> {
        let (url, client) = self.client(service).await?;
        let body = input.to_string();
        let mut is_renewed = false;
        let mut attempt = 1;
        loop {
            let sent = self.send(service, operation, &url, &client, &body).await;
            let (error, after) = match sent {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match &error {
                CallError::Refused(answer) if is_expired(answer) && !is_renewed => {
                    // The chain may have newer ones: a renewed file, an endpoint that keeps a session alive.
                    is_renewed = true;
                    *self.credentials.lock().await = None;
                    continue;
                }
                CallError::Unavailable(_) => {}
                CallError::Unreachable { .. } if is_repeatable => {}
                _ => return Err(error),
            }
            let Some(wait) = self.backoff.wait_after(attempt, after) else { return Err(error) };
            tokio::time::sleep(self.with_jitter(wait)).await;
            attempt += 1;
        }
    }

    async fn send(
        &self,
        service: Service,
        operation: &str,
        url: &Url,
        client: &Client,
        body: &str,
    ) -> Result<Value, (CallError, Option<Duration>)> {
        let target = format!("{}.{operation}", service.target);
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", target.as_str())];
        let signed = self.sign(service, url, &headers, body).await.map_err(|error| (error, None))?;
        let mut request = client.post(url.clone()).timeout(ATTEMPT_SECONDS_MAX).body(body.to_owned());
        if self.is_optional {
            request = request.header("user-agent", format!("{} {}", http::USER_AGENT, agent::OPTIONAL));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| (unreachable(url, error), None))?;
        read(response).await
    }

    async fn sign(
        &self,
        service: Service,
        url: &Url,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Vec<(String, String)>, CallError> {
        let unsigned = |error: &dyn std::error::Error| CallError::NotSent {
            what: format!("the call can't be signed: {error}"),
        };
        let now = self.now();
        let identity = self.credentials(now).await?.into();
        let since = Duration::from_millis(u64::try_from(now.0).unwrap_or_default());
        let time: SystemTime = UNIX_EPOCH + since;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service.name)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let signable = SignableRequest::new(
            "POST",
            url.as_str(),
            headers.iter().copied(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| unsigned(&error))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| unsigned(&error))?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    async fn credentials(&self, now: Timestamp) -> Result<Credentials, CallError> {
        let mut kept = self.credentials.lock().await;
        if let Some(known) = kept.as_ref().filter(|known| is_alive(known, now)) {
            return Ok(known.clone());
        }
        let client = aws::http_client(self.environment.endpoint("STS"), &self.proxy()?);
        let fresh = aws::ambient_credentials(&self.environment, &self.region, client).await?;
        *kept = Some(fresh.clone());
        Ok(fresh)
    }

    fn proxy(&self) -> Result<Proxy, CallError> {
        Proxy::from_environment(&self.environment).map_err(|what| CallError::NotSent { what })
    }

    async fn client(&self, service: Service) -> Result<(Url, Client), CallError> {
        let mut clients = self.clients.lock().await;
        if let Some((_, url, client)) = clients.iter().find(|(known, ..)| *known == service) {
            return Ok((url.clone(), client.clone()));
        }
        let url = endpoint(&self.environment, service, &self.region)?;
        let client = http::client(&url, &self.proxy()?)
            .map_err(|error| CallError::NotSent { what: format!("no connections can be made: {error}") })?;
        clients.push((service, url.clone(), client.clone()));
        Ok((url, client))
    }

    /// Half of a wait and a random part of the other half, so that many jobs don't come back together.
    fn with_jitter(&self, wait: Duration) -> Duration {
        let mut byte = [0u8; 1];
        (self.outside.fill_random)(&mut byte);
        wait / 2 + wait.mul_f64(f64::from(byte[0]) / 512.0)
    }
}

async fn read(response: Response) -> Result<Value, (CallError, Option<Duration>)> {
    let after = http::retry_after(response.headers());
    let status = response.status();
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(http::excerpt(value))
    };
    let (request_id, error_type) = (header("x-amzn-requestid"), header("x-amzn-errortype"));
    let lost = |what: String| (CallError::Unreachable { what }, after);
    let bytes = http::body(response, ANSWER_BYTES_MAX)
        .await
        .map_err(|error| lost(format!("reading the answer (HTTP {}): {error}", status.as_u16())))?;
    let document: Result<Value, _> = serde_json::from_slice(&bytes);
    if status.is_success() {
        return document.map_err(|error| lost(format!("the answer is not JSON: {error}")));
    }
    Err((refusal(status, &document.unwrap_or_default(), error_type.as_deref(), request_id), after))
}

fn refusal(
    status: StatusCode,
    document: &Value,
    error_type: Option<&str>,
    request_id: Option<String>,
) -> CallError {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    // `com.amazonaws.ecs#ClientException`, `ClientException:http://internal.amazon.com/…`, or the bare name.
    let code = text("__type").or_else(|| text("code")).or(error_type).unwrap_or("Unknown");
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = http::excerpt(code.split(':').next().unwrap_or(code));
    let message = text("message").or_else(|| text("Message")).unwrap_or("no message");
    let message = http::excerpt(message);
    let is_passing = http::is_transient(status)
        || aws::is_retryable_code(&code)
        || message.starts_with(CONCURRENT_REGISTRATION);
    let answer = Box::new(Answer { code, message, status: status.as_u16(), request_id, help: None });
    if is_passing { CallError::Unavailable(answer) } else { CallError::Refused(answer) }
}

fn unreachable(url: &Url, error: reqwest::Error) -> CallError {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    CallError::Unreachable {
        what: format!("{host}{port} can't be reached: {}", aws::chain(&error.without_url())),
    }
}

fn is_expired(answer: &Answer) -> bool {
    matches!(answer.code.as_str(), "ExpiredTokenException" | "ExpiredToken")
}

fn is_alive(credentials: &Credentials, now: Timestamp) -> bool {
    let Some(end) = credentials.expiry().and_then(|end| end.duration_since(UNIX_EPOCH).ok()) else {
        return true;
    };
    i64::try_from(end.as_millis()).unwrap_or(i64::MAX).saturating_sub(now.0) > RENEWAL_MILLIS
}

/// Where a service answers: `AWS_ENDPOINT_URL_…`, `AWS_ENDPOINT_URL`, else AWS's own name.
///
/// # Errors
/// [`CallError::NotSent`] when the address isn't one, or the region can't be.
pub fn endpoint(environment: &Environment, service: Service, region: &str) -> Result<Url, CallError> {
    let fips = environment.flag("AWS_USE_FIPS_ENDPOINT");
    let dual = environment.flag("AWS_USE_DUALSTACK_ENDPOINT");
    let text = match environment.endpoint(service.variable) {
        Some(url) => url.to_owned(),
        None => aws_name(service, region, fips, dual).ok_or_else(|| CallError::NotSent {
            what: format!("`{}` is not a region", http::excerpt(region)),
        })?,
    };
    aws::endpoint_url(&text)
}

fn aws_name(service: Service, region: &str, fips: bool, dual: bool) -> Option<String> {
    let (_, plain, stack) = PARTITIONS.iter().find(|(start, ..)| region.starts_with(start))?;
    // A partition without names for both stacks has only the plain ones.
    let suffix = if dual { stack.unwrap_or(plain) } else { plain };
    let name = service.name;
    let fips = if fips { "-fips" } else { "" };
    aws::is_region(region).then(|| format!("https://{name}{fips}.{region}.{suffix}/"))
}

/// How a region begins, the partition's domain, and its domain for IPv4 and IPv6 together. The last one
/// takes all the rest. <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>
const PARTITIONS: &[(&str, &str, Option<&str>)] = &[
    ("cn-", "amazonaws.com.cn", Some("api.amazonwebservices.com.cn")),
    ("us-iso-", "c2s.ic.gov", None),
    ("us-isob-", "sc2s.sgov.gov", None),
    ("eu-isoe-", "cloud.adc-e.uk", None),
    ("us-isof-", "csp.hci.ic.gov", None),
    ("eusc-", "amazonaws.eu", Some("api.amazonwebservices.eu")),
    ("", "amazonaws.com", Some("api.aws")),
];
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Two jobs that register the same family at the same time (observed): the next attempt works.
const CONCURRENT_REGISTRATION: &str = "Too many concurrent attempts to create a new revision";
/// Credentials are looked up again so long before they end.
const RENEWAL_MILLIS: i64 = 60_000;
/// Time for one attempt, answer included.
const ATTEMPT_SECONDS_MAX: Duration = Duration::from_secs(20);
/// Largest answer that is read: ten services with a hundred events each are below 1 MiB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::testing::environment;

    #[test]
    fn every_partition_has_its_names() {
        for (region, fips, dual, host) in [
            ("eu-west-1", false, false, "ecs.eu-west-1.amazonaws.com"),
            ("us-east-1", true, false, "ecs-fips.us-east-1.amazonaws.com"),
            ("us-east-1", true, true, "ecs-fips.us-east-1.api.aws"),
            ("us-gov-west-1", false, true, "ecs.us-gov-west-1.api.aws"),
            ("cn-north-1", false, false, "ecs.cn-north-1.amazonaws.com.cn"),
            ("cn-north-1", false, true, "ecs.cn-north-1.api.amazonwebservices.com.cn"),
            ("us-iso-east-1", false, true, "ecs.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "ecs.us-isob-east-1.sc2s.sgov.gov"),
            ("eusc-de-east-1", false, false, "ecs.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(aws_name(ECS, region, fips, dual), Some(format!("https://{host}/")), "{region}");
        }
        for region in ["", "eu west", "a/b", "eu-west-1.evil.example", "EU-WEST-1"] {
            assert_eq!(aws_name(ECS, region, false, false), None, "{region}");
        }
    }

    #[test]
    fn an_endpoint_of_the_environment_wins() {
        let here = [("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
        let both = [here[0], ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://127.0.0.1:1")];
        let at = |variables: &[(&str, &str)]| {
            endpoint(&environment(variables), LOGS, "eu-west-1").map(String::from)
        };
        assert_eq!(at(&here).unwrap(), "http://127.0.0.1:4566/");
        assert_eq!(at(&both).unwrap(), "http://127.0.0.1:1/");
        assert_eq!(at(&[]).unwrap(), "https://logs.eu-west-1.amazonaws.com/");
        for url in ["127.0.0.1:4566", "ftp://x", "http://"] {
            assert!(at(&[("AWS_ENDPOINT_URL", url)]).is_err(), "{url}");
        }
    }

    #[test]
    fn only_what_may_heal_is_tried_again() {
        for (status, document, is_passing) in [
            (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, true),
            (
                400,
                r#"{"__type":"ClientException","message":"Too many concurrent attempts to create a new revision of the specified family."}"#,
                true,
            ),
            (500, r#"{"__type":"ServerException"}"#, true),
            (503, "", true),
            (
                400,
                r#"{"__type":"ClientException","message":"Container name should not be null or empty."}"#,
                false,
            ),
            (400, r#"{"__type":"com.amazonaws.ecs#AccessDeniedException","Message":"no"}"#, false),
            (404, "", false),
        ] {
            let value = serde_json::from_str(document).unwrap_or_default();
            let error = refusal(StatusCode::from_u16(status).unwrap(), &value, None, None);
            assert_eq!(matches!(error, CallError::Unavailable(_)), is_passing, "{document}");
        }
    }

    #[test]
    fn a_code_is_its_bare_name() {
        for text in ["X", "com.amazonaws.ecs#X", "X:http://internal.amazon.com/coral/"] {
            let document = serde_json::json!({ "__type": text, "Message": "m" });
            let error = refusal(StatusCode::BAD_REQUEST, &document, None, Some("r".to_owned()));
            assert_eq!(error.answer().unwrap().to_string(), "X: m (HTTP 400, request r)");
        }
    }
}
