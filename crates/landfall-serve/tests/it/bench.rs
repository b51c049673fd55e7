//! A server of its own for each test, at a time that stands still, with random numbers that count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landfall_serve::discovery::Settings;
use landfall_serve::issuer::Signer;
use landfall_serve::log::Record;
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Config, Limits, Place, Running};
use landfall_types::{AccountId, ClaimValue, Claims, SourceMap, Timestamp};

use crate::client::{Keys, Reply, Request, Signing};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-1";
/// 2026-10-01T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_790_856_000_000);
pub const STS: &str = "2011-06-15";
pub const IAM: &str = "2010-05-08";
/// The subject of the tokens that sessions are made of.
pub const SUBJECT: &str = "repo:acme/api:ref:refs/heads/main";

pub struct Bench {
    pub server: Running,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

/// A server on a port of its own, with a clock that stands still.
pub fn config(
    dir: &std::path::Path,
    root_key: RootKey,
    registry: RegistryMode,
    discovery: Settings,
    limits: Limits,
) -> Config {
    Config {
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        agent_addr: None,
        public_addr: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        place: Place::Scratch(dir.to_owned()),
        account: AccountId::parse(ACCOUNT).unwrap(),
        region: REGION.to_owned(),
        root_key,
        registry,
        sources: SourceMap::new(),
        discovery,
        read_time: || NOW,
        time_lapse: 1,
        fill_random: count,
        limits,
        warn: |_| {},
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with_root_key(RootKey::WellKnown)
    }

    pub fn with_root_key(root_key: RootKey) -> Self {
        Self::with(root_key, RegistryMode::Ecr)
    }

    pub fn with(root_key: RootKey, registry: RegistryMode) -> Self {
        Self::start(root_key, registry, Settings::default(), Limits::default())
    }

    /// A server that asks issuers as these settings say.
    pub fn with_discovery(discovery: Settings) -> Self {
        Self::start(RootKey::WellKnown, RegistryMode::Ecr, discovery, Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        Self::start(RootKey::WellKnown, RegistryMode::Ecr, Settings::default(), limits)
    }

    fn start(root_key: RootKey, registry: RegistryMode, discovery: Settings, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = config(dir.path(), root_key, registry, discovery, limits);
        let server = runtime.block_on(landfall_serve::start(config)).unwrap();
        Self { server, runtime, _dir: dir }
    }

    /// A server with GitHub's provider.
    pub fn with_provider() -> Self {
        Self::new().provided()
    }

    /// Adds GitHub's provider.
    pub fn provided(self) -> Self {
        let bench = self;
        let made = bench.iam(
            "CreateOpenIDConnectProvider",
            &[
                ("Url", "https://token.actions.githubusercontent.com"),
                ("ClientIDList.member.1", "sts.amazonaws.com"),
            ],
        );
        assert_eq!(made.status, 200, "{}", made.body);
        bench
    }

    /// Stops the server as a signal does.
    pub fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    pub fn send(&self, request: &Request) -> Reply {
        request.send(self.addr())
    }

    /// Signs with these keys, for this moment, and sends.
    pub fn call(&self, keys: &Keys, service: &str, request: Request) -> Reply {
        // ECR Public is in one region.
        let region = if service == "ecr-public" { "us-east-1" } else { REGION };
        self.send(&request.sign(keys, Signing { service, region, at: NOW }))
    }

    /// A call of IAM by the root user.
    pub fn iam(&self, action: &str, params: &[(&str, &str)]) -> Reply {
        self.call(&root(), "iam", Request::query(IAM, action, params))
    }

    /// A call of ECR by the root user.
    pub fn ecr(&self, operation: &str, input: &str) -> Reply {
        self.call(&root(), "ecr", Request::ecr(operation, input))
    }

    /// A role that GitHub's tokens for [`SUBJECT`] can take, with one policy.
    pub fn role(&self, name: &str, policy: &str) {
        let made =
            self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust(ACCOUNT))]);
        assert_eq!(made.status, 200, "{}", made.body);
        let put = self
            .iam("PutRolePolicy", &[("RoleName", name), ("PolicyName", "only"), ("PolicyDocument", policy)]);
        assert_eq!(put.status, 200, "{}", put.body);
    }

    /// A session of a role, by an exchange with more parameters.
    pub fn exchange(&self, role: &str, more: &[(&str, &str)]) -> Reply {
        let token = self.token(&claims(SUBJECT));
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let mut params = vec![
            ("RoleArn", arn.as_str()),
            ("RoleSessionName", "test"),
            ("WebIdentityToken", token.as_str()),
        ];
        params.extend_from_slice(more);
        self.send(&Request::query(STS, "AssumeRoleWithWebIdentity", &params))
    }

    pub fn session(&self, role: &str) -> Keys {
        keys_of(&self.exchange(role, &[]))
    }

    /// A session of a new role that may do this and nothing else.
    pub fn session_with(&self, role: &str, actions: &[&str]) -> Keys {
        self.role(role, &allow(actions, "*"));
        self.session(role)
    }

    pub fn token(&self, claims: &Claims) -> String {
        self.server
            .world
            .issuers
            .by_url(claims.text("iss").unwrap())
            .unwrap()
            .mint(claims, Signer::Issuer)
            .unwrap()
    }

    /// `Authorization` of the registry for these keys.
    pub fn login(&self, keys: &Keys) -> String {
        let answer = self.call(keys, "ecr", Request::ecr("GetAuthorizationToken", "{}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        format!("Basic {}", answer.json()["authorizationData"][0]["authorizationToken"].as_str().unwrap())
    }

    /// The newest record of the decision log.
    pub fn newest(&self) -> Arc<Record> {
        self.server.world.log.after(0).pop().unwrap()
    }

    /// The rule of the newest record's finding; empty when there is none.
    pub fn rule(&self) -> &'static str {
        self.newest().finding.as_ref().map_or("", |finding| finding.rule)
    }
}

pub fn root() -> Keys {
    Keys { id: "test".to_owned(), secret: "test".to_owned(), token: None }
}

pub fn root_of(account: &str) -> Keys {
    Keys { id: account.to_owned(), ..root() }
}

/// Keys out of an exchange's answer.
pub fn keys_of(reply: &Reply) -> Keys {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let part = |name| reply.element(name).unwrap();
    Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: Some(part("SessionToken")) }
}

/// The claims of a GitHub token that is good now.
pub fn claims(subject: &str) -> Claims {
    let mut claims = Claims::new();
    claims.set_text("iss", "https://token.actions.githubusercontent.com");
    claims.set_text("aud", "sts.amazonaws.com");
    claims.set_text("sub", subject);
    for (name, seconds) in [("iat", 0), ("nbf", -600), ("exp", 300)] {
        claims.set(name, ClaimValue::Number((NOW.seconds() + seconds).to_string()));
    }
    claims
}

/// A trust policy for GitHub's tokens of [`SUBJECT`].
pub fn trust(account: &str) -> String {
    serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{account}:oidc-provider/token.actions.githubusercontent.com")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"token.actions.githubusercontent.com:sub": SUBJECT}},
    }]})
    .to_string()
}

/// A policy that allows actions on a resource.
pub fn allow(actions: &[&str], resource: &str) -> String {
    statement("Allow", actions, resource)
}

/// A policy of one statement.
pub fn statement(effect: &str, actions: &[&str], resource: &str) -> String {
    serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Action": actions, "Resource": resource}
    ]})
    .to_string()
}

fn count(buffer: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Multiplied, so that numbers that follow each other differ in every byte.
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    buffer.iter_mut().zip(number.iter().rev().cycle()).for_each(|(byte, next)| *byte = *next);
}
