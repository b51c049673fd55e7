//! The edge: web pages, sizes, methods, versions, and what is said before a call is understood.

use landfall_serve::world::RootKey;
use landfall_types::Secret;

use crate::bench::{Bench, IAM, NOW, REGION, STS, claims, root};
use crate::client::{Keys, Request, Signing, encoded};

/// Who am I, signed by the root user.
fn who() -> Request {
    Request::query(STS, "GetCallerIdentity", &[])
}

fn mint_request() -> Request {
    let claims = landfall_wire::jwt::claims_to_json(&claims("x"));
    Request::new("POST", "/_landfall/token")
        .header("content-type", "application/json")
        .body(serde_json::json!({ "claims": claims }).to_string())
}

#[test]
fn a_web_page_gets_nothing_from_any_door() {
    let bench = Bench::with_provider();
    let signed = who().sign(&root(), Signing { service: "sts", region: REGION, at: NOW });
    let doors = [
        mint_request(),
        signed.clone(),
        Request::new("GET", "/v2/"),
        Request::new("GET", "/_landfall/health"),
        Request::new("OPTIONS", "/"),
    ];
    for door in &doors {
        for (header, value) in [("origin", "http://evil.com"), ("origin", "null"), ("host", "evil.com:4566")]
        {
            let reply = bench.send(&door.clone().header(header, value));
            assert_eq!(reply.status, 403, "{} {header}: {value}", door.target);
            assert_eq!(bench.rule(), "call-failed");
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(bench.send(&mint_request()).status, 200);
    assert_eq!(bench.send(&mint_request().header("host", "localhost:4566")).status, 200);
    assert_eq!(bench.send(&signed).status, 200);
}

/// Where the root key is a secret, the server may be called by any name; but what it tells callers on this machine
/// without credentials, a page must not get by a name that leads to this machine (DNS rebinding).
#[test]
fn a_name_that_anyone_can_have_opens_no_door_of_our_own() {
    let secret = Secret::new("s3cret".to_owned());
    let keys = Keys { id: "AKIALANDFALL".to_owned(), secret: "s3cret".to_owned(), token: None };
    let bench = Bench::with_root_key(RootKey::Random { access_key_id: keys.id.clone(), secret });
    let doors = [
        (Request::new("GET", "/_landfall/decisions"), 403),
        (Request::new("GET", "/_landfall/decisions?follow"), 403),
        (mint_request(), 403),
        (Request::new("GET", "/_landfall/pod?cluster=a&namespace=b&service-account=c"), 404),
        (Request::new("GET", "/_landfall/logs/task/container"), 404),
        (Request::new("POST", "/_landfall/gc"), 404),
        (Request::new("POST", "/_landfall/lifecycle"), 404),
    ];
    for (door, status) in doors {
        for host in ["evil.com", "evil.com:4566", "127.0.0.1.nip.io:4566"] {
            assert_eq!(
                bench.send(&door.clone().header("host", host)).status,
                status,
                "{} {host}",
                door.target
            );
        }
        let page = bench.send(&door.clone().header("origin", "http://evil.com"));
        assert_eq!(page.status, 403, "{} from a page", door.target);
    }
    for host in ["localhost:4566", "127.0.0.1", "[::1]:4566", "host.docker.internal"] {
        let reply = bench.send(&Request::new("GET", "/_landfall/decisions?limit=1").header("host", host));
        assert_eq!(reply.status, 200, "{host}");
    }
    let signed = Request::new("GET", "/_landfall/decisions")
        .header("host", "landfall.example.com")
        .sign(&keys, Signing { service: "landfall", region: REGION, at: NOW });
    assert_eq!(bench.send(&signed).status, 200, "the root user may call by any name");
}

#[test]
fn a_form_mints_no_token() {
    let bench = Bench::new();
    let form = mint_request().header("content-type", "text/plain");
    assert_eq!(bench.send(&form).status, 415);
}

#[test]
fn a_random_root_key_is_the_only_one() {
    let secret = Secret::new("s3cret".to_owned());
    let bench = Bench::with_root_key(RootKey::Random { access_key_id: "AKIALANDFALL".to_owned(), secret });
    let call = |id: &str, secret: &str| {
        let keys = Keys { id: id.to_owned(), secret: secret.to_owned(), token: None };
        bench.call(&keys, "sts", who()).status
    };
    assert_eq!(call("AKIALANDFALL", "s3cret"), 200);
    for (id, secret) in [("test", "test"), ("123456789012", "test"), ("AKIALANDFALL", "test"), ("", "")] {
        assert_eq!(call(id, secret), 403, "{id}");
    }
}

#[test]
fn a_body_has_a_size_and_a_strangers_a_smaller_one() {
    let bench = Bench::new();
    let body = |size: usize| format!("Action=GetCallerIdentity&Version={STS}&More={}", "x".repeat(size));
    let unsigned = |size| bench.send(&Request::new("POST", "/").body(body(size)));
    let signed = |size| bench.call(&root(), "sts", Request::new("POST", "/").body(body(size)));
    assert_eq!(unsigned(100_000).fault().0, "MissingAuthenticationToken");
    let refused = unsigned(200_000);
    assert_eq!((refused.status, refused.fault().0.as_str()), (413, "RequestEntityTooLarge"));
    assert_eq!(bench.rule(), "call-failed");
    assert_eq!(signed(1_000_000).status, 200);
    assert_eq!(signed(1_100_000).status, 413);
    // Whoever says that it is signed is a stranger where there is no such key.
    let keys = Keys { id: "AKIANOBODY1234567890".to_owned(), ..root() };
    let stranger = |size| bench.call(&keys, "sts", Request::new("POST", "/").body(body(size)));
    assert_eq!(stranger(100_000).fault().0, "InvalidClientTokenId");
    assert_eq!(stranger(200_000).status, 413);
}

#[test]
fn a_json_body_has_only_so_many_values() {
    let bench = Bench::new();
    let list = format!("[{}0]", "0,".repeat(150_000));
    for (service, operation) in [
        ("ecr", "UploadLayerPart"),
        ("ecr", "DescribeRepositories"),
        ("ecs", "ListClusters"),
        ("codedeploy", "ListApplications"),
        ("logs", "DescribeLogGroups"),
    ] {
        let refused =
            bench.call(&root(), service, Request::json(service, operation, &format!(r#"{{"x":{list}}}"#)));
        let (code, message) = refused.fault();
        assert_eq!(code, "SerializationException", "{service}");
        assert!(message.contains("more than 100000 values"), "{message}");
    }
}

#[test]
fn what_cannot_be_understood_is_said_in_the_callers_protocol_and_logged() {
    let bench = Bench::new();
    for (request, status, code) in [
        (Request::new("GET", "/"), 400, "MissingAction"),
        (Request::new("PUT", "/"), 405, "InvalidRequest"),
        (Request::new("CONNECT", "example.com:443"), 405, "InvalidRequest"),
        (Request::new("OPTIONS", "/"), 405, "InvalidRequest"),
        (Request::new("POST", "/").body("Action=%ff"), 400, "MalformedInput"),
        (Request::query("2014-01-01", "GetCallerIdentity", &[]), 400, "InvalidAction"),
        (Request::query(IAM, "GetCallerIdentity", &[]), 400, "InvalidAction"),
        (Request::query(STS, "AssumeRoleWithKerberos", &[]), 400, "InvalidAction"),
        (
            Request::new("POST", "/").header("x-amz-target", "Other.Call").body("{}"),
            400,
            "UnknownOperationException",
        ),
    ] {
        let reply = bench.send(&request);
        let place = format!("{} {}", request.method, String::from_utf8_lossy(&request.body));
        assert_eq!((reply.status, reply.fault().0.as_str()), (status, code), "{place}: {}", reply.body);
        assert!(reply.header("x-amzn-requestid").is_some(), "{place}");
        assert_eq!(bench.newest().request_id, reply.header("x-amzn-requestid").unwrap(), "{place}");
    }
    let old = Request::ecr("DescribeRepositories", "{}").header("content-type", "application/x-amz-json-1.0");
    let reply = bench.call(&root(), "ecr", old);
    assert_eq!((reply.status, reply.body.as_str()), (404, "<UnknownOperationException/>\n"));
    let unknown = bench.ecr("DescribeEverything", "{}");
    assert_eq!((unknown.status, unknown.fault().0.as_str()), (400, "UnknownOperationException"));
    let broken = bench.ecr("DescribeRepositories", "{");
    assert_eq!((broken.status, broken.fault().0.as_str()), (400, "SerializationException"));
    assert_eq!(bench.rule(), "call-failed");
}

#[test]
fn a_presigned_url_says_who_called() {
    let bench = Bench::new();
    let day = &NOW.basic()[..8];
    let presigned = |expires: &str, signature: &str| {
        format!(
            "/?Action=GetCallerIdentity&Version={STS}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}",
            encoded(&format!("test/{day}/{REGION}/sts/aws4_request")),
            NOW.basic(),
        )
    };
    // Signed as a header is: the same canonical request, without the signature itself.
    let target = presigned("60", "x");
    let unsigned = target.split_once("&X-Amz-Signature").unwrap().0;
    let signature = signature_of(unsigned);
    let get = |target: &str| bench.send(&Request::new("GET", target));
    let reply = get(&presigned("60", &signature));
    assert_eq!(reply.element("Arn").as_deref(), Some("arn:aws:iam::123456789012:root"), "{}", reply.body);
    assert_eq!(get(&presigned("61", &signature)).fault().0, "SignatureDoesNotMatch");
    assert_eq!(get(&presigned("60", "0")).fault().0, "SignatureDoesNotMatch");
    assert_eq!(get(&presigned("0", &signature)).fault().0, "IncompleteSignature");
    assert_eq!(bench.rule(), "credentials-refused");
}

/// The signature of a GET of this target, signed with `host` alone.
fn signature_of(target: &str) -> String {
    use landfall_wire::hash::{EMPTY_SHA256, hex, hmac_sha256, sha256_hex};
    let (_, query) = target.split_once('?').unwrap();
    let mut parts: Vec<&str> = query.split('&').collect();
    parts.sort_unstable();
    let canonical = format!("GET\n/\n{}\nhost:127.0.0.1\n\nhost\n{EMPTY_SHA256}", parts.join("&"));
    let day = &NOW.basic()[..8];
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{day}/{REGION}/sts/aws4_request\n{}",
        NOW.basic(),
        sha256_hex(canonical.as_bytes())
    );
    let key = [day, REGION, "sts", "aws4_request"]
        .iter()
        .fold(b"AWS4test".to_vec(), |key, part| hmac_sha256(&key, part.as_bytes()).to_vec());
    hex(&hmac_sha256(&key, to_sign.as_bytes()))
}

#[test]
fn a_jobs_endpoint_wants_its_own_bearer_and_ends_with_the_job() {
    let bench = Bench::new();
    let world = &bench.server.world;
    let issuer = "https://token.actions.githubusercontent.com";
    let endpoint = world.jobs.open(
        world,
        issuer,
        landfall_serve::issuer::Signer::Issuer,
        Box::new(|audience, _, _| {
            let mut claims = claims("repo:acme/api:ref:refs/heads/main");
            claims.set_text("aud", audience.unwrap_or("https://github.com/acme"));
            claims
        }),
    );
    let target = endpoint.url.strip_prefix(bench.server.url()).unwrap().to_owned();
    let get = |authorization: &str| {
        let request = Request::new("GET", &format!("{target}&audience=sts.amazonaws.com"));
        bench.send(&request.header("authorization", authorization))
    };
    let good = format!("bearer {}", endpoint.bearer.expose());
    assert_eq!(get(&good).status, 200);
    for bad in ["bearer x", "Basic x", "bearer"] {
        assert_eq!((get(bad).status, bench.rule()), (401, "call-failed"), "{bad}");
    }
    assert_eq!(world.jobs.close(&endpoint.id), ["sts.amazonaws.com"]);
    assert_eq!((get(&good).status, bench.rule()), (404, "call-failed"));
    let log = format!("{:?}", world.log.after(0));
    assert!(!log.contains(endpoint.bearer.expose().as_str()));
}
