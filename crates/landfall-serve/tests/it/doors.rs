//! Every door, and everyone who must not get through it. The doors are the calls that the server itself
//! declares: a new one fails these tests until it stands in the tables below.

use landfall_policy::catalogue::{self, RegistryCall};
use landfall_serve::authz::{Needs, calls, public_calls};
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_types::Timestamp;
use landfall_wire::hash::sha256_digest;

use crate::bench::{ACCOUNT, Bench, IAM, NOW, REGION, STS, allow, root};
use crate::client::{Keys, Reply, Request, Signing};
use crate::ecr_doors;
use crate::iam_doors;

/// An API operation, and parameters with which it works in the world of [`furnished`].
pub struct Door {
    pub service: &'static str,
    pub operation: &'static str,
    /// `Name=Value` parts of a form, or one JSON text.
    pub input: &'static [&'static str],
    /// What it is decided on.
    pub resource: &'static str,
    /// Further actions that it takes, with their resources.
    pub also: &'static [(&'static str, &'static str)],
    /// The status of its answer to whoever gets through, and the code when it is a refusal all the same.
    pub status: u16,
    pub code: &'static str,
}

pub const fn door(
    service: &'static str,
    operation: &'static str,
    resource: &'static str,
    input: &'static [&'static str],
) -> Door {
    Door { service, operation, input, resource, also: &[], status: 200, code: "" }
}

/// An operation that refuses even a role session with the permission, and how.
const fn shut(door: Door, status: u16, code: &'static str) -> Door {
    Door { status, code, ..door }
}

const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/team/api";
const DOORS: &[Door] = &[
    door(
        "sts",
        "AssumeRole",
        "arn:aws:iam::123456789012:role/taken",
        &["RoleArn=arn:aws:iam::123456789012:role/taken", "RoleSessionName=next"],
    ),
    // No account is in an organization.
    shut(
        door(
            "sts",
            "AssumeRoot",
            "arn:aws:iam::111111111111:root",
            &[
                "TargetPrincipal=111111111111",
                "TaskPolicyArn.arn=arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials",
            ],
        ),
        403,
        "AccessDenied",
    ),
    // Nothing makes encoded messages.
    shut(
        door("sts", "DecodeAuthorizationMessage", "*", &["EncodedMessage=abc"]),
        400,
        "InvalidAuthorizationMessageException",
    ),
    door("sts", "GetAccessKeyInfo", "*", &["AccessKeyId=ASIAQNZGKIQY56JQ7WML"]),
    door("sts", "GetCallerIdentity", "*", &[]),
    // Both are for the keys of users.
    shut(
        door("sts", "GetFederationToken", "arn:aws:sts::123456789012:federated-user/bob", &["Name=bob"]),
        403,
        "AccessDenied",
    ),
    shut(door("sts", "GetSessionToken", "*", &[]), 403, "AccessDenied"),
];

/// Whether a service speaks JSON.
fn is_json(service: &str) -> bool {
    matches!(service, "ecr" | "ecr-public")
}

/// All of them.
fn doors() -> impl Iterator<Item = &'static Door> {
    iam_doors::DOORS.iter().chain(DOORS).chain(ecr_doors::DOORS)
}

impl Door {
    fn request(&self, bench: &Bench) -> Request {
        if is_json(self.service) {
            return ecr_doors::request(self);
        }
        let filled: Vec<(String, String)> = self
            .input
            .iter()
            .map(|part| part.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), iam_doors::fill(bench, value)))
            .collect();
        let params: Vec<(&str, &str)> =
            filled.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Request::query(if self.service == "iam" { IAM } else { STS }, self.operation, &params)
    }

    fn action(&self) -> Option<&'static str> {
        match Needs::of(self.service, self.operation) {
            Needs::Permission(need) => Some(need.action),
            Needs::Caller | Needs::Nothing => None,
            Needs::Unlisted => panic!("{} is not in the catalogue", self.operation),
        }
    }

    fn named(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }
}

/// A world in which every door leads somewhere.
fn furnished() -> Bench {
    furnished_in(RegistryMode::Ecr)
}

fn furnished_in(mode: RegistryMode) -> Bench {
    let bench = Bench::with(RootKey::WellKnown, mode).provided();
    iam_doors::furnish(&bench);
    let works = |reply: Reply| assert!(matches!(reply.status, 200 | 201), "{}", reply.body);
    let of_account = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}}}}}}"#
    );
    works(bench.iam("CreateRole", &[("RoleName", "taken"), ("AssumeRolePolicyDocument", &of_account)]));
    works(bench.ecr("CreateRepository", r#"{"repositoryName":"team/api"}"#));
    let login = bench.login(&root());
    let push = |method, target: &str, body: &str| {
        let request = Request::new(method, target).header("authorization", &login).body(body);
        works(bench.send(&request));
    };
    push("POST", &format!("/v2/team/api/blobs/uploads/?digest={}", sha256_digest(b"layer")), "layer");
    push("PUT", "/v2/team/api/manifests/v1", INDEX);
    ecr_doors::furnish(&bench);
    bench
}

const INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// What a service answers: status, code, and the beginning of the message.
type Wanted = (u16, &'static str, &'static str);

/// Someone who must not get through, and what the Query services and ECR tell them.
struct Stranger {
    name: &'static str,
    query: Wanted,
    ecr: Wanted,
    /// The rule of the finding in the decision log.
    rule: &'static str,
    /// Makes the request theirs.
    come: fn(Request, &Keys, &str) -> Request,
}

fn at(seconds: i64) -> Timestamp {
    NOW.plus_seconds(seconds)
}

fn signed(request: Request, keys: &Keys, service: &str, region: &str, seconds: i64) -> Request {
    request.sign(keys, Signing { service, region, at: at(seconds) })
}

const INVALID: &str = "The security token included in the request is invalid.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

const STRANGERS: &[Stranger] = &[
    Stranger {
        name: "nobody",
        query: (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
        ecr: (400, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        rule: "no-credentials",
        come: |request, _, _| request,
    },
    Stranger {
        name: "a key that nobody has",
        query: (403, "InvalidClientTokenId", INVALID),
        ecr: (400, "UnrecognizedClientException", INVALID),
        rule: "credentials-refused",
        come: |request, _, service| {
            let keys = Keys { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..root() };
            signed(request, &keys, service, REGION, 0)
        },
    },
    Stranger {
        name: "a wrong secret",
        query: (403, "SignatureDoesNotMatch", MISMATCH),
        ecr: (400, "InvalidSignatureException", MISMATCH),
        rule: "credentials-refused",
        come: |request, keys, service| {
            signed(request, &Keys { secret: "guess".to_owned(), ..keys.clone() }, service, REGION, 0)
        },
    },
    Stranger {
        name: "a session without its token",
        query: (403, "InvalidClientTokenId", INVALID),
        ecr: (400, "UnrecognizedClientException", INVALID),
        rule: "credentials-refused",
        come: |request, keys, service| {
            signed(request, &Keys { token: None, ..keys.clone() }, service, REGION, 0)
        },
    },
    Stranger {
        name: "a session token under another key",
        query: (403, "InvalidClientTokenId", INVALID),
        ecr: (400, "UnrecognizedClientException", INVALID),
        rule: "credentials-refused",
        come: |request, keys, service| {
            signed(request, &Keys { id: "test".to_owned(), ..keys.clone() }, service, REGION, 0)
        },
    },
    Stranger {
        name: "a session token that was changed",
        query: (403, "InvalidClientTokenId", INVALID),
        ecr: (400, "UnrecognizedClientException", INVALID),
        rule: "credentials-refused",
        come: |request, keys, service| {
            let other = |token: &String| if token.starts_with('A') { 'B' } else { 'A' };
            let token = keys.token.as_ref().map(|token| format!("{}{}", other(token), &token[1..]));
            signed(request, &Keys { token, ..keys.clone() }, service, REGION, 0)
        },
    },
    Stranger {
        name: "a clock that is slow",
        query: (
            403,
            "SignatureDoesNotMatch",
            "Signature expired: 20261001T115459Z is now earlier than 20261001T115500Z (20261001T120000Z - 5 min.)",
        ),
        ecr: (
            400,
            "InvalidSignatureException",
            "Signature expired: 20261001T115459Z is now earlier than 20261001T115500Z (20261001T120000Z - 5 min.)",
        ),
        rule: "credentials-refused",
        come: |request, keys, service| signed(request, keys, service, REGION, -301),
    },
    Stranger {
        name: "a clock that is fast",
        query: (
            403,
            "SignatureDoesNotMatch",
            "Signature not yet current: 20261001T120501Z is still later than 20261001T120500Z (20261001T120000Z + 5 min.)",
        ),
        ecr: (
            400,
            "InvalidSignatureException",
            "Signature not yet current: 20261001T120501Z is still later than 20261001T120500Z (20261001T120000Z + 5 min.)",
        ),
        rule: "credentials-refused",
        come: |request, keys, service| signed(request, keys, service, REGION, 301),
    },
    Stranger {
        name: "a signature for another service",
        query: (403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: '"),
        ecr: (400, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecr"),
        rule: "credentials-refused",
        come: |request, keys, _| signed(request, keys, "s3", REGION, 0),
    },
    Stranger {
        name: "a region that would change the resource's name",
        query: (403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region. "),
        ecr: (400, "InvalidSignatureException", "Credential should be scoped to a valid region. "),
        rule: "credentials-refused",
        come: |request, keys, service| signed(request, keys, service, "eu-west-1:123456789012:repository", 0),
    },
    Stranger {
        name: "a body that was changed on its way",
        query: (403, "SignatureDoesNotMatch", MISMATCH),
        ecr: (400, "InvalidSignatureException", MISMATCH),
        rule: "credentials-refused",
        come: |request, keys, service| {
            let mut request = signed(request, keys, service, REGION, 0);
            request.body.extend_from_slice(if is_json(service) { b" " } else { b"&More=1" });
            request
        },
    },
];

/// Operations that are tried at no door.
const NOT_COVERED: &[(&str, &str)] = &[];

#[test]
fn every_api_operation_of_the_server_stands_in_the_table() {
    let all = || calls::API.iter().chain(public_calls::API);
    let missing: Vec<_> = all()
        .filter(|(service, name)| !doors().any(|door| door.service == *service && door.operation == *name))
        .collect();
    assert_eq!(missing, NOT_COVERED.iter().collect::<Vec<_>>());
    assert_eq!(doors().count() + NOT_COVERED.len(), all().count());
    let unlisted: Vec<_> = all()
        .filter(|(service, name)| {
            !catalogue::operations().iter().any(|known| known.service == *service && known.name == *name)
        })
        .collect();
    assert!(unlisted.is_empty(), "not in the catalogue: {unlisted:?}");
}

#[test]
fn strangers_stay_outside_of_every_api_operation() {
    let bench = furnished();
    let keys = bench.session_with("all", &["iam:*", "sts:*", "ecr:*", "ecr-public:*"]);
    for door in doors() {
        for stranger in STRANGERS {
            let place = format!("{} by {}", door.named(), stranger.name);
            let reply = bench.send(&(stranger.come)(door.request(&bench), &keys, door.service));
            let (status, code, message) = if is_json(door.service) { stranger.ecr } else { stranger.query };
            refused(&bench, &reply, &place, (status, code), stranger.rule);
            assert!(reply.fault().1.starts_with(message), "{place}: {}", reply.fault().1);
        }
    }
}

#[test]
fn a_session_ends_at_every_api_operation_to_the_second() {
    let bench = furnished();
    let keys = bench.session_with("all", &["iam:*", "sts:*", "ecr:*", "ecr-public:*"]);
    bench.server.world.clock.advance(3599);
    assert_eq!(bench.call(&keys, "sts", Request::query(STS, "GetCallerIdentity", &[])).status, 200);
    bench.server.world.clock.advance(1);
    for door in doors() {
        let reply = bench.call(&keys, door.service, door.request(&bench));
        let wanted =
            if is_json(door.service) { (400, "ExpiredTokenException") } else { (403, "ExpiredToken") };
        refused(&bench, &reply, &door.named(), wanted, "session-expired");
        assert_eq!(reply.fault().1, "The security token included in the request is expired");
    }
}

#[test]
fn a_role_needs_the_one_action_of_each_operation() {
    let bench = furnished();
    let free = bench.session_with("nothing", &["s3:GetObject"]);
    // All sessions are made first: one of the doors takes the provider away.
    let callers = CALLERS.map(|name| {
        bench.role(name, &allow(&["s3:*"], "*"));
        bench.session(name)
    });
    for door in doors() {
        if door.action().is_none() {
            let reply = bench.call(&free, door.service, door.request(&bench));
            ends(door, &reply);
            continue;
        }
        let action = door.action().unwrap();
        let nothing = format!("because no identity-based policy allows the {action} action");
        let explicit = "with an explicit deny in an identity-based policy";
        arm(&bench, door, action);
        let [without, elsewhere, denied, with] = &callers;
        for (role, keys, reason, rule) in [
            ("without", without, nothing.as_str(), ""),
            ("elsewhere", elsewhere, nothing.as_str(), ""),
            ("denied", denied, explicit, "explicit-deny"),
        ] {
            let reply = bench.call(keys, door.service, door.request(&bench));
            let code =
                if is_json(door.service) { (400, "AccessDeniedException") } else { (403, "AccessDenied") };
            refused(&bench, &reply, &door.named(), code, rule);
            // STS names no resource where there is none.
            let on = match (door.service, door.resource) {
                ("sts", "*") => String::new(),
                (_, resource) => {
                    format!(" on resource: {}", landfall_policy::explain::resource_told(action, resource))
                }
            };
            let sentence = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test is not authorized to perform: {action}{on} {reason}",
            );
            assert_eq!(reply.fault().1, sentence, "{}", door.named());
            let record = bench.newest();
            assert_eq!(record.action.as_deref(), Some(action));
            assert_eq!(record.resource.as_deref(), Some(door.resource));
            assert!(record.decision.is_some());
        }
        let reply = bench.call(with, door.service, door.request(&bench));
        ends(door, &reply);
        assert!(reply.header("x-amzn-requestid").is_some(), "{}", door.named());
    }
}

fn ends(door: &Door, reply: &Reply) {
    let code = if door.code.is_empty() { String::new() } else { reply.fault().0 };
    assert_eq!((reply.status, code.as_str()), (door.status, door.code), "{}: {}", door.named(), reply.body);
}

/// Four roles: without the action, with it on something else, with it denied, with it.
const CALLERS: [&str; 4] = ["without", "elsewhere", "denied", "with"];

/// Gives the four roles their policies for a door.
fn arm(bench: &Bench, door: &Door, action: &str) {
    let everything = serde_json::json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let statement = |effect: &str, action: &str, resource: &str| serde_json::json!({"Effect": effect, "Action": action, "Resource": resource});
    let also = door.also.iter().map(|(action, resource)| statement("Allow", action, resource));
    let policies = [
        vec![statement("Allow", "s3:*", "*")],
        vec![statement("Allow", action, "arn:aws:iam::123456789012:role/elsewhere")],
        vec![everything, statement("Deny", action, door.resource)],
        also.chain([statement("Allow", action, door.resource)]).collect(),
    ];
    for (role, statements) in CALLERS.iter().zip(policies) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let put = [("RoleName", *role), ("PolicyName", "only"), ("PolicyDocument", policy.as_str())];
        assert_eq!(bench.iam("PutRolePolicy", &put).status, 200, "{}", door.named());
    }
}

/// The answer is this refusal, and the log knows it with its reason.
fn refused(bench: &Bench, reply: &Reply, place: &str, (status, code): (u16, &str), rule: &str) {
    assert_eq!((reply.status, reply.fault().0.as_str()), (status, code), "{place}: {}", reply.body);
    let record = bench.newest();
    assert_eq!(reply.header("x-amzn-requestid"), Some(record.request_id.as_str()), "{place}");
    let landfall_serve::log::Verdict::Refused { code: logged, .. } = &record.verdict else {
        panic!("{place}: the log says that it was allowed")
    };
    assert_eq!(logged, code, "{place}");
    let finding = record.finding.as_ref().unwrap_or_else(|| panic!("{place}: no reason in the log"));
    assert!(rule.is_empty() || finding.rule == rule, "{place}: {} is not {rule}", finding.rule);
}

/// A registry call, the actions that it needs beside its own, and its status when it works.
struct RegistryDoor {
    name: &'static str,
    call: RegistryCall,
    request: fn(&Bench, &str) -> Request,
    also: &'static [&'static str],
    status: u16,
    /// What it is decided on.
    resource: &'static str,
    /// The modes that have it.
    modes: &'static [RegistryMode],
}

const BOTH: &[RegistryMode] = &[RegistryMode::Ecr, RegistryMode::StrictOci];
const STRICT: &[RegistryMode] = &[RegistryMode::StrictOci];

const REGISTRY_DOORS: &[RegistryDoor] = &[
    RegistryDoor {
        name: "GET manifest",
        call: RegistryCall::ReadManifest,
        request: |_, _| Request::new("GET", "/v2/team/api/manifests/v1"),
        also: &[],
        status: 200,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "PUT manifest",
        call: RegistryCall::PutManifest,
        request: |_, _| Request::new("PUT", "/v2/team/api/manifests/v2").body(INDEX),
        also: &[],
        status: 201,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "HEAD blob",
        call: RegistryCall::CheckBlob,
        request: |_, _| Request::new("HEAD", &format!("/v2/team/api/blobs/{}", sha256_digest(b"layer"))),
        also: &[],
        status: 200,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "GET blob",
        call: RegistryCall::ReadBlob,
        request: |_, _| Request::new("GET", &format!("/v2/team/api/blobs/{}", sha256_digest(b"layer"))),
        also: &[],
        status: 200,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "POST upload",
        call: RegistryCall::StartUpload,
        request: |_, _| Request::new("POST", "/v2/team/api/blobs/uploads/"),
        also: &[],
        status: 202,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "PATCH upload",
        call: RegistryCall::AppendUpload,
        request: |bench, login| Request::new("PATCH", &upload(bench, login)).body("x"),
        also: &["ecr:InitiateLayerUpload"],
        status: 202,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "PUT upload",
        call: RegistryCall::FinishUpload,
        request: |bench, login| {
            // ECR takes no upload without parts.
            let upload = upload(bench, login);
            bench.send(&Request::new("PATCH", &upload).header("authorization", login).body("hello"));
            Request::new("PUT", &format!("{upload}?digest={}", sha256_digest(b"hello")))
        },
        also: &["ecr:InitiateLayerUpload", "ecr:UploadLayerPart"],
        status: 201,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "DELETE upload",
        call: RegistryCall::CancelUpload,
        request: |bench, login| Request::new("DELETE", &upload(bench, login)),
        also: &["ecr:InitiateLayerUpload"],
        status: 204,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "GET tags",
        call: RegistryCall::ListTags,
        request: |_, _| Request::new("GET", "/v2/team/api/tags/list"),
        also: &[],
        status: 200,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "GET referrers",
        call: RegistryCall::ListReferrers,
        request: |_, _| Request::new("GET", &format!("/v2/team/api/referrers/{}", sha256_digest(b"x"))),
        also: &[],
        status: 200,
        resource: REPOSITORY,
        modes: BOTH,
    },
    RegistryDoor {
        name: "GET catalog",
        call: RegistryCall::ListCatalog,
        request: |_, _| Request::new("GET", "/v2/_catalog"),
        also: &[],
        status: 200,
        resource: "arn:aws:ecr:eu-west-1:123456789012:repository/*",
        modes: BOTH,
    },
    RegistryDoor {
        name: "DELETE manifest",
        call: RegistryCall::DeleteManifest,
        request: |_, _| Request::new("DELETE", "/v2/team/api/manifests/v1"),
        also: &[],
        status: 202,
        resource: REPOSITORY,
        modes: STRICT,
    },
    RegistryDoor {
        name: "DELETE blob",
        call: RegistryCall::DeleteBlob,
        request: |_, _| Request::new("DELETE", &format!("/v2/team/api/blobs/{}", sha256_digest(b"layer"))),
        also: &[],
        status: 202,
        resource: REPOSITORY,
        modes: STRICT,
    },
];

/// The path of an upload that this login began; one that nobody began when it may not.
fn upload(bench: &Bench, login: &str) -> String {
    let begun =
        bench.send(&Request::new("POST", "/v2/team/api/blobs/uploads/").header("authorization", login));
    let location = begun.header("location").unwrap_or("http://h/v2/team/api/blobs/uploads/none").to_owned();
    location.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap()
}

#[test]
fn every_registry_call_of_the_server_stands_in_the_table() {
    let listed: Vec<_> = REGISTRY_DOORS.iter().map(|door| (door.name, door.call)).collect();
    assert_eq!(listed, calls::REGISTRY);
    assert_eq!(listed.iter().map(|(_, call)| *call).collect::<Vec<_>>(), RegistryCall::ALL);
}

#[test]
fn strangers_stay_outside_of_every_registry_call() {
    BOTH.iter().for_each(|mode| strangers_stay_outside_of_the_registry(*mode));
}

fn doors_in(mode: RegistryMode) -> impl Iterator<Item = &'static RegistryDoor> {
    REGISTRY_DOORS.iter().filter(move |door| door.modes.contains(&mode))
}

fn strangers_stay_outside_of_the_registry(mode: RegistryMode) {
    let bench = furnished_in(mode);
    let keys = bench.session_with("all", &["ecr:*"]);
    let login = bench.login(&keys);
    for door in doors_in(mode) {
        let request = (door.request)(&bench, &login);
        let challenged = bench.send(&request);
        assert_eq!(challenged.status, 401, "{}", door.name);
        let challenge = "Basic realm=\"http://127.0.0.1/\",service=\"ecr.amazonaws.com\"";
        assert_eq!(challenged.header("www-authenticate"), Some(challenge), "{}", door.name);
        for (authorization, status, rule) in [
            ("Bearer abc", 401, "call-failed"),
            ("Basic QVdTOm5vdC1tYWRlLWhlcmU=", 400, "registry-login-invalid"),
            ("Basic not base64", 400, "registry-login-invalid"),
        ] {
            let reply = bench.send(&request.clone().header("authorization", authorization));
            assert_eq!((reply.status, bench.rule()), (status, rule), "{} {authorization}", door.name);
        }
        let elsewhere = format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com");
        let reply = bench.send(&request.clone().header("authorization", &login).header("host", &elsewhere));
        assert_eq!((reply.status, bench.rule()), (400, "registry-login-other-region"), "{}", door.name);
        // A session token is no login, and a login is no session token.
        let token = keys.token.as_ref().unwrap();
        let basic = base64(&format!("AWS:{token}"));
        let reply = bench.send(&request.clone().header("authorization", &format!("Basic {basic}")));
        assert_eq!((reply.status, bench.rule()), (400, "registry-login-invalid"), "{}", door.name);
    }
    bench.server.world.clock.advance(43_200);
    for door in doors_in(mode) {
        let request = (door.request)(&bench, &login).header("authorization", &login);
        assert_eq!(
            (bench.send(&request).status, bench.rule()),
            (403, "registry-login-expired"),
            "{}",
            door.name
        );
    }
}

#[test]
fn a_role_needs_the_one_action_of_each_registry_call() {
    BOTH.iter().for_each(|mode| a_role_needs_the_one_action(*mode));
}

fn a_role_needs_the_one_action(mode: RegistryMode) {
    let bench = furnished_in(mode);
    for (number, door) in doors_in(mode).enumerate() {
        let action = catalogue::registry_need(door.call).action;
        let mut actions = vec!["ecr:GetAuthorizationToken"];
        actions.extend(door.also);
        let login = bench.login(&bench.session_with(&format!("without-{number}"), &actions));
        let reply = bench.send(&(door.request)(&bench, &login).header("authorization", &login));
        assert_eq!(reply.status, 403, "{}: {}", door.name, reply.body);
        let sentence = format!(
            "User: arn:aws:sts::{ACCOUNT}:assumed-role/without-{number}/test is not authorized to perform: {action} on resource: {} because no identity-based policy allows the {action} action",
            door.resource
        );
        if !door.name.starts_with("HEAD") {
            assert_eq!(reply.fault(), ("DENIED".to_owned(), sentence), "{}", door.name);
        }
        assert_eq!(bench.newest().action.as_deref(), Some(action));
        actions.push(action);
        let login = bench.login(&bench.session_with(&format!("with-{number}"), &actions));
        let reply = bench.send(&(door.request)(&bench, &login).header("authorization", &login));
        assert_eq!(reply.status, door.status, "{}: {}", door.name, reply.body);
    }
}

#[test]
fn what_only_the_specification_has_ecr_refuses_to_everyone() {
    let bench = furnished();
    let login = bench.login(&root());
    let mut count = 0;
    for door in REGISTRY_DOORS.iter().filter(|door| !door.modes.contains(&RegistryMode::Ecr)) {
        let reply = bench.send(&(door.request)(&bench, &login).header("authorization", &login));
        assert_eq!((reply.status, reply.fault().0.as_str()), (405, "UNSUPPORTED"), "{}", door.name);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn the_first_push_to_a_strict_registry_needs_leave_to_make_the_repository() {
    let bench = furnished_in(RegistryMode::StrictOci);
    for (method, path, action, body, status) in [
        ("POST", "/v2/team/new/blobs/uploads/", "ecr:InitiateLayerUpload", "", 202),
        ("PUT", "/v2/team/newer/manifests/v1", "ecr:PutImage", INDEX, 201),
    ] {
        let request = Request::new(method, path).body(body);
        let mut actions = vec!["ecr:GetAuthorizationToken", action];
        let name = action.replace(':', "-");
        let login = bench.login(&bench.session_with(&format!("without-{name}"), &actions));
        let reply = bench.send(&request.clone().header("authorization", &login));
        assert_eq!(reply.status, 403, "{path}: {}", reply.body);
        assert_eq!(bench.newest().action.as_deref(), Some("ecr:CreateRepository"));
        actions.push("ecr:CreateRepository");
        let login = bench.login(&bench.session_with(&format!("with-{name}"), &actions));
        let reply = bench.send(&request.header("authorization", &login));
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
