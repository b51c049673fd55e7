//! A small AWS side for tests: one account, time that stands still, random numbers that count.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use landfall_policy::PolicyKind;
use landfall_types::{AccountId, Arn, RepositoryName, SourceMap, Span, Timestamp};

use crate::blobs::DirBlobs;
use crate::caller::{Caller, Session};
use crate::clock::Clock;
use crate::connection::Connection;
use crate::control::Jobs;
use crate::discovery::{self, Discovery};
use crate::issuer::Issuers;
use crate::log::DecisionLog;
use crate::policies::{GivenTexts, PolicyCache};
use crate::store::{Document, RegistryId, Repository, RepositorySettings, Role, Store, TagMutability};
use crate::vault::Vault;
use crate::world::{RegistryMode, RootKey, Settings, World};

/// The default account.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The default region.
pub(crate) const REGION: &str = "eu-west-1";
/// 2026-10-01T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_790_856_000_000);

/// A world with a directory of its own, which goes away with it.
pub(crate) struct TestWorld {
    pub(crate) world: Arc<World>,
    _dir: tempfile::TempDir,
}

/// An empty world.
pub(crate) fn world() -> TestWorld {
    world_with(RegistryMode::Ecr)
}

/// An empty world whose registry is played in this mode.
pub(crate) fn world_with(registry: RegistryMode) -> TestWorld {
    world_of(registry, Store::in_memory())
}

/// An empty world whose records are kept here.
pub(crate) fn world_of(registry: RegistryMode, store: Store) -> TestWorld {
    let dir = tempfile::tempdir().unwrap();
    let world = World {
        sources: SourceMap::new(),
        store,
        blobs: DirBlobs::new(dir.path().to_owned()).unwrap(),
        log: DecisionLog::new(),
        issuers: Issuers::new(),
        discovery: Discovery::new(discovery::Settings::default()).unwrap(),
        doors: crate::door::Doors::default(),
        registries: crate::apart::Registries::default(),
        jobs: Jobs::default(),
        vault: Vault::new(&[7; 32]).unwrap(),
        clock: Clock::new(|| NOW),
        policies: PolicyCache::default(),
        given: GivenTexts::default(),
        ecs: crate::ecs::runner::Runner::default(),
        agent: crate::eks::agent::Agent::default(),
        fill_random: count,
        large_calls: tokio::sync::Semaphore::new(crate::world::LARGE_CALLS_MAX),
        data: None,
        settings: Settings {
            default_account: account(),
            default_region: REGION.to_owned(),
            root_key: RootKey::WellKnown,
            blob_mounting: true,
            registry,
        },
        base_url: OnceLock::from("http://127.0.0.1:4566".to_owned()),
    };
    TestWorld { world: Arc::new(world), _dir: dir }
}

fn count(buffer: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    buffer.iter_mut().zip(number.iter().rev().cycle()).for_each(|(byte, next)| *byte = *next);
}

/// The default account.
pub(crate) fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

/// The registry of the default account and region.
pub(crate) fn registry() -> RegistryId {
    RegistryId { account: account(), region: REGION.to_owned() }
}

/// A connection from this machine.
pub(crate) fn connection() -> Connection {
    Connection::new([127, 0, 0, 1].into(), Some("test"))
}

/// The default account's root user.
pub(crate) fn root() -> Caller {
    Caller::Root { account: account() }
}

/// A policy document.
pub(crate) fn document(world: &World, text: &str, kind: PolicyKind) -> Document {
    let source = world.sources.add("test policy", text);
    let (tree, problems) = landfall_policy::json::parse(source, text);
    assert!(problems.is_empty(), "{problems:?}");
    let (policy, problems) = landfall_policy::parse::policy(&tree, kind);
    assert!(problems.is_empty(), "{problems:?}");
    Document::known(text, kind, policy)
}

/// A session of a new role whose one policy allows these actions on everything.
pub(crate) fn session(world: &World, role_name: &str, actions: &[&str]) -> Caller {
    let actions = serde_json::json!(actions);
    let allow = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#
    );
    session_with(world, role_name, &allow)
}

/// A session of a new role with this one policy.
pub(crate) fn session_with(world: &World, role_name: &str, policy: &str) -> Caller {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let id = role(world, role_name, &trust, policy);
    Caller::Session(Arc::new(Session {
        access_key_id: "ASIATEST".to_owned(),
        account: ACCOUNT.to_owned(),
        role_path: "/".to_owned(),
        role_name: role_name.to_owned(),
        role_id: id,
        session_name: "test".to_owned(),
        issued_at_ms: NOW.0,
        expires_at_ms: NOW.plus_seconds(3600).0,
        provider: None,
        federated_keys: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        policies: None,
        default_regions_only: false,
    }))
}

/// Makes a role with this trust policy and this one policy; its id.
pub(crate) fn role(world: &World, role_name: &str, trust: &str, policy: &str) -> String {
    let nowhere = Span::new(world.sources.add("test role", ""), 0, 0);
    let id = format!("AROA{:A>17}", role_name.to_ascii_uppercase());
    let role = Role {
        arn: Arn::role(account(), "/", role_name),
        path: "/".to_owned(),
        name: role_name.to_owned(),
        id: id.clone(),
        description: None,
        trust: document(world, trust, PolicyKind::Trust),
        max_session_seconds: 3600,
        boundary: None,
        inline: vec![("allow".to_owned(), document(world, policy, PolicyKind::Identity))],
        attached: Vec::new(),
        tags: Vec::new(),
        created_at: NOW,
        written: nowhere,
        max_session_written: None,
    };
    world.store.write(|writing| writing.insert(role)).unwrap();
    id
}

/// Makes a repository in the default registry.
pub(crate) fn repository(world: &World, name: &str, immutable_tags: bool, policy: Option<Document>) {
    repository_in(world, registry(), name, immutable_tags, policy);
}

/// Makes a repository of ECR Public.
pub(crate) fn public_repository(world: &World, name: &str, policy: Option<Document>) {
    let registry = RegistryId { account: account(), region: crate::ecr::PUBLIC_REGION.to_owned() };
    repository_in(world, registry, name, false, policy);
}

fn repository_in(
    world: &World,
    registry: RegistryId,
    name: &str,
    immutable_tags: bool,
    policy: Option<Document>,
) {
    let repository = Repository {
        registry,
        name: RepositoryName::parse(name).unwrap(),
        settings: RepositorySettings {
            tag_mutability: if immutable_tags { TagMutability::Immutable } else { TagMutability::Mutable },
            ..RepositorySettings::default()
        },
        policy,
        tags: Vec::new(),
        created_at: NOW,
    };
    world.store.insert_repository(repository).unwrap();
}

/// The `Authorization` of a caller who has logged in to the registries of a region, or to ECR Public.
pub(crate) fn registry_authorization(world: &Arc<World>, caller: &Caller, region: &str) -> String {
    let (face, region, data) = match region {
        crate::ecr::PUBLIC_REGION => (crate::ecr::Face::Public, "us-east-1", "/authorizationData"),
        region => (crate::ecr::Face::Private, region, "/authorizationData/0"),
    };
    let identified = crate::authn::Identified {
        caller: caller.clone(),
        region: region.to_owned(),
        connection: connection(),
    };
    let answer = ecr_of(world, &identified, (face, "GetAuthorizationToken"), serde_json::json!({})).unwrap();
    let token = answer.pointer(data).unwrap()["authorizationToken"].as_str().unwrap().to_owned();
    assert!(base64::engine::general_purpose::STANDARD.decode(&token).unwrap().starts_with(b"AWS:"));
    format!("Basic {token}")
}

/// Answers an operation of ECR.
pub(crate) fn ecr(
    world: &Arc<World>,
    identified: &crate::authn::Identified,
    operation: &str,
    input: serde_json::Value,
) -> Result<serde_json::Value, landfall_wire::error::AwsError> {
    ecr_of(world, identified, (crate::ecr::Face::Private, operation), input)
}

/// Answers an operation of ECR or ECR Public.
pub(crate) fn ecr_of(
    world: &Arc<World>,
    identified: &crate::authn::Identified,
    operation: (crate::ecr::Face, &str),
    input: serde_json::Value,
) -> Result<serde_json::Value, landfall_wire::error::AwsError> {
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(crate::ecr::handle(world, identified, "id", operation, input))
            .map(crate::ecr::Reply::into_value)
    };
    // A thread of its own: the caller may be within a runtime.
    std::thread::scope(|scope| scope.spawn(answer).join().unwrap())
}
