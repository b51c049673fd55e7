//! Pushes against a played registry that keeps what it is given.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_deliver::FailureKind;
use landfall_deliver::blob::{Blob, Source, digest_of};
use landfall_deliver::docker_config::DockerConfig;
use landfall_deliver::layout;
use landfall_deliver::push::Options;
use support::registry::*;
use support::{Server, environment, reply};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"User: arn:aws:sts::123456789012:assumed-role/deploy/x is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/api because no identity-based policy allows the ecr:PutImage action"}]}"#;

#[tokio::test]
async fn everything_goes_once_and_the_tag_goes_last() {
    let server = registry().await;
    let pushed = push_small(&server).await.unwrap();
    let [first] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((first.sent_blob_count, first.present_blob_count), (2, 0));
    assert_eq!(methods(&server, "PATCH").len(), 2);
    assert_eq!(server.lines().last().unwrap(), "PUT /v2/api/manifests/v1");
    let last = server.requests().pop().unwrap();
    assert_eq!(last.header("content-type"), Some(layout::OCI_MANIFEST));
    assert_eq!(digest_of(&last.body), first.digest);
    assert_eq!(first.pinned(), format!("{}/api@{}", server.address, first.digest));

    let again = push_small(&server).await.unwrap();
    assert_eq!(
        again.first().map(|pushed| (pushed.sent_blob_count, &pushed.digest)),
        Some((0, &first.digest))
    );
    assert_eq!(methods(&server, "PATCH").len(), 2);
}

#[tokio::test]
async fn locations_are_used_as_they_are() {
    let server = registry().await;
    push_small(&server).await.unwrap();
    let closing: Vec<_> =
        methods(&server, "PUT").into_iter().filter(|path| path.contains("uploads")).collect();
    assert_eq!(closing.len(), 2);
    for path in closing {
        assert!(path.contains("?state=a%2Fb&digest=sha256%3A"), "{path}");
    }
}

#[tokio::test]
async fn the_registrys_own_sentence_is_shown() {
    let inner = Registry::default();
    let server = Server::start(move |request| {
        if request.path.contains("/manifests/") && request.method == "PUT" {
            reply(403, DENIED)
        } else {
            inner.answer(request)
        }
    })
    .await;
    let failure = push_small(&server).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("DENIED: User: arn:aws:sts::123456789012:assumed-role/deploy/x is not authorized to perform: ecr:PutImage"), "{}", failure.message);
    assert_eq!(methods(&server, "PUT").iter().filter(|path| path.contains("manifests")).count(), 1);
}

#[tokio::test]
async fn a_forbidden_head_leaves_the_answer_to_the_upload() {
    let inner = Registry::default();
    let server =
        Server::start(move |request| match (request.method.as_str(), request.header("authorization")) {
            ("HEAD", _) => reply(403, ""),
            ("POST", Some(_)) => {
                reply(403, r#"{"errors":[{"code":"DENIED","message":"ecr:InitiateLayerUpload"}]}"#)
            }
            _ => inner.answer(request),
        })
        .await;
    let failure = push_small(&server).await.unwrap_err();
    assert!(failure.message.contains("DENIED: ecr:InitiateLayerUpload"), "{}", failure.message);
}

#[tokio::test]
async fn a_registry_that_stumbles_is_asked_again_and_one_that_lies_is_not_believed() {
    let cases: [(&str, u16, usize, Option<FailureKind>); 5] = [
        ("POST", 503, 1, None),
        ("PATCH", 500, 1, None),
        ("PUT", 429, 1, None),
        ("POST", 503, 99, Some(FailureKind::Outside)),
        ("PUT", 400, 1, Some(FailureKind::Refused)),
    ];
    for (method, status, times, wanted) in cases {
        let (inner, left) = (Registry::default(), Mutex::new(times));
        let server = Server::start(move |request| {
            let mut left = left.lock().unwrap();
            if request.method == method && *left > 0 {
                *left -= 1;
                return reply(status, "");
            }
            inner.answer(request)
        })
        .await;
        let outcome = push_small(&server).await.err().map(|failure| failure.kind);
        assert_eq!(outcome, wanted, "{method} {status} × {times}");
    }

    let inner = Registry::default();
    let server = Server::start(move |request| {
        let mut answer = inner.answer(request);
        for header in &mut answer.headers {
            if header.0 == "docker-content-digest" {
                header.1 = digest_of(b"something else").to_string();
            }
        }
        answer
    })
    .await;
    let failure = push_small(&server).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside);
    assert!(failure.message.contains("the registry stored sha256:"), "{}", failure.message);
}

#[tokio::test]
async fn a_damaged_layer_is_never_finished_and_nothing_is_published() {
    let server = registry().await;
    let directory = tempfile::tempdir().unwrap();
    let image = index_of_two(directory.path());
    let layer = image.blobs.iter().max_by_key(|blob| blob.size).unwrap();
    let path = directory.path().join("blobs/sha256").join(layer.digest.hex());
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, vec![b'x'; content.len()]).unwrap();
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    let failure = attempt(&image, &format!("{name}/api:v1"), &config, &environment(&[])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(
        failure.message.contains("is damaged") && failure.message.contains(layer.digest.as_str()),
        "{}",
        failure.message
    );
    assert!(
        !methods(&server, "PUT")
            .iter()
            .any(|path| path.contains("manifests") || path.contains(layer.digest.hex()))
    );
    assert_eq!(methods(&server, "DELETE").len(), 1);
}

#[tokio::test]
async fn an_index_goes_after_all_its_images() {
    let server = registry().await;
    let directory = tempfile::tempdir().unwrap();
    let image = index_of_two(directory.path());
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    let pushed = attempt(&image, &format!("{name}/api"), &config, &environment(&[])).await.unwrap();
    assert_eq!(pushed.first().unwrap().media_type, layout::OCI_INDEX);
    let manifests: Vec<_> =
        methods(&server, "PUT").into_iter().filter(|path| path.contains("manifests")).collect();
    let wanted: Vec<_> = image
        .children
        .iter()
        .chain([&image.root])
        .map(|manifest| format!("/v2/api/manifests/{}", manifest.digest))
        .collect();
    assert_eq!(manifests, wanted);
    assert_eq!(wanted.len(), 3);
}

#[tokio::test]
async fn the_login_never_follows_to_another_host() {
    let elsewhere = Server::start(|request| match request.method.as_str() {
        "PATCH" => reply(202, "").with("location", "/moved/2"),
        _ => reply(201, ""),
    })
    .await;
    let (inner, away) = (Registry::default(), elsewhere.url());
    let server = Server::start(move |request| match request.method.as_str() {
        "POST" if request.header("authorization").is_some() => {
            reply(202, "").with("location", format!("{away}/moved/1"))
        }
        "PUT" if request.path.contains("manifests") => {
            reply(307, "").with("location", format!("{away}/manifest"))
        }
        _ => inner.answer(request),
    })
    .await;
    push_small(&server).await.unwrap();
    let moved = elsewhere.requests();
    assert_eq!(moved.len(), 5, "{:?}", elsewhere.lines());
    for request in moved {
        assert_eq!(request.header("authorization"), None, "{}", request.line());
        assert_eq!(request.header("host"), Some(elsewhere.address.to_string().as_str()));
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let inner = Registry::default();
    let server = Server::start(move |request| {
        if request.method == "HEAD" {
            reply(307, "").with("location", request.path.clone())
        } else {
            inner.answer(request)
        }
    })
    .await;
    let failure = push_small(&server).await.unwrap_err();
    assert!(failure.message.contains("redirects"), "{}", failure.message);
}

#[tokio::test]
async fn an_ecr_name_stays_on_this_machine_and_gets_its_password_from_ecr() {
    let inner = Registry::default();
    let server = Server::start(move |request| {
        if request.header("x-amz-target") == Some("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken") {
            let token = STANDARD.encode("AWS:pw");
            return reply(
                200,
                format!(r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":1790434067.663,"proxyEndpoint":"https://{ECR}"}}]}}"#),
            );
        }
        let mut answer = inner.answer(request);
        for (name, value) in &mut answer.headers {
            if name == "location" {
                *value = format!("https://{ECR}{value}");
            }
        }
        answer
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let environment = environment(&[
        ("AWS_ENDPOINT_URL", &server.url()),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "k"),
        ("AWS_SESSION_TOKEN", "t"),
    ]);
    // A password that has expired: ECR has a new one.
    let path = directory.path().join("config.json");
    let old = STANDARD.encode("AWS:old");
    std::fs::write(&path, format!(r#"{{"auths":{{"{ECR}":{{"auth":"{old}"}}}}}}"#)).unwrap();
    let config = DockerConfig::read(&path).unwrap();
    let pushed =
        attempt(&image(directory.path()), &format!("{ECR}/api:v1"), &config, &environment).await.unwrap();
    assert!(pushed.first().unwrap().pinned().starts_with(&format!("{ECR}/api@sha256:")));
    let requests = server.requests();
    let registry_calls: Vec<_> = requests.iter().filter(|request| request.path.starts_with("/v2/")).collect();
    assert!(registry_calls.len() > 8, "{:?}", server.lines());
    for request in registry_calls {
        assert_eq!(request.header("host"), Some(ECR), "{}", request.line());
    }
    let signed = requests.iter().find(|request| request.header("x-amz-target").is_some()).unwrap();
    assert!(signed.header("authorization").unwrap().contains("/eu-west-1/ecr/"));
}

#[tokio::test]
async fn without_a_login_the_message_says_where_it_was_looked_for() {
    let server = registry().await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "other.example");
    let name = format!("{}/api:v1", server.address);
    let failure = attempt(&image(directory.path()), &name, &config, &environment(&[])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(
        failure.message.contains("wants a login: there is none in")
            && failure.message.contains("config.json"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_token_service_gets_the_login_and_the_registry_its_token() {
    let address: Arc<Mutex<String>> = Arc::default();
    let realm = Arc::clone(&address);
    let inner = Registry::default();
    let server = Server::start(move |request| {
        if request.path.starts_with("/token") {
            assert!(
                request.path.ends_with("?service=s&scope=repository%3Aapi%3Apull%2Cpush"),
                "{}",
                request.path
            );
            assert!(request.header("authorization").unwrap().starts_with("Basic "));
            return reply(200, r#"{"token":"T"}"#);
        }
        if request.header("authorization") != Some("Bearer T") {
            let challenge = format!(r#"Bearer realm="{}/token",service="s""#, realm.lock().unwrap());
            return reply(401, "").with("www-authenticate", challenge);
        }
        let mut request = request.clone();
        request.headers.retain(|(name, _)| name != "authorization");
        request.headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode("AWS:pw"))));
        inner.answer(&request)
    })
    .await;
    *address.lock().unwrap() = server.url();
    push_small(&server).await.unwrap();
}

#[tokio::test]
async fn an_answer_in_the_middle_of_a_layer_ends_the_push() {
    let inner = Registry::default();
    let server = support::impatient("PATCH", move |request| {
        let mut answer = inner.answer(request);
        answer.closes = true;
        answer
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let mut image = index_of_two(directory.path());
    // More than every buffer on the way can take.
    let path = directory.path().join("large");
    std::fs::write(&path, vec![1; 30_000_000]).unwrap();
    let digest = digest_of(&vec![1; 30_000_000]);
    image.blobs = vec![Blob { digest, size: 30_000_000, source: Source::File(path) }];
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    let (name, environment) = (format!("{name}/api:v1"), environment(&[]));
    let attempt = attempt(&image, &name, &config, &environment);
    let failure =
        tokio::time::timeout(Duration::from_secs(20), attempt).await.expect("no hanging").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_stands() {
    let (cut, inner) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Registry::default()));
    let (stands, registry) = (Arc::clone(&cut), Arc::clone(&inner));
    let server = support::cutting(2_000_000, Arc::clone(&cut), move |request| {
        let standing = stands.lock().unwrap().len();
        let mut answer = match (request.method.as_str(), request.header("content-range")) {
            ("GET", _) if request.path.contains("/uploads/") => {
                let at = request.path.clone();
                reply(204, "").with("range", format!("0-{}", standing - 1)).with("location", at)
            }
            ("PATCH", Some(range)) => {
                assert_eq!(range, format!("{standing}-4999999"));
                let mut whole = request.clone();
                whole.body = [stands.lock().unwrap().as_slice(), &request.body].concat();
                registry.answer(&whole)
            }
            _ => registry.answer(request),
        };
        answer.closes = true;
        answer
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..5_000_000u32).map(|index| (index >> 9) as u8 ^ index as u8).collect();
    let mut image = image(directory.path());
    image.blobs = vec![Blob::from_bytes(content.clone())];
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    attempt(&image, &format!("{name}/api:v1"), &config, &environment(&[])).await.unwrap();
    assert_eq!(methods(&server, "POST").len(), 1, "{:?}", server.lines());
    let stored = inner.blobs.lock().unwrap().values().next().cloned();
    assert!(stored == Some(content), "something else was stored");
    assert!(cut.lock().unwrap().len() >= 1_000_000);
}

#[tokio::test]
async fn an_upload_that_is_all_there_is_only_closed_again() {
    let (inner, left) = (Registry::default(), Mutex::new(2));
    let server = Server::start(move |request| {
        if request.method == "GET" && request.path.contains("/uploads/") {
            return reply(204, "").with("range", "0-1999999").with("location", request.path.clone());
        }
        let mut left = left.lock().unwrap();
        if request.method == "PUT" && request.path.contains("/uploads/") && *left > 0 {
            *left -= 1;
            return reply(503, "");
        }
        inner.answer(request)
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(directory.path());
    image.blobs = vec![Blob::from_bytes(vec![7; 2_000_000])];
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    attempt(&image, &format!("{name}/api:v1"), &config, &environment(&[])).await.unwrap();
    assert_eq!(
        (methods(&server, "PATCH").len(), methods(&server, "POST").len()),
        (1, 1),
        "{:?}",
        server.lines()
    );
}

#[tokio::test]
async fn what_a_neighbour_has_is_mounted_and_otherwise_sent() {
    for (answer, wanted) in [(201, (0, 2)), (202, (2, 0)), (404, (2, 0))] {
        let inner = Registry::default();
        let server = Server::start(move |request| {
            if request.method == "POST" && request.path.contains("mount=") {
                assert!(request.path.ends_with("&from=api"), "{}", request.path);
                if answer != 202 {
                    return reply(answer, "");
                }
            }
            // The two repositories of this registry know nothing of each other.
            let mut request = request.clone();
            if request.method == "HEAD" && request.path.starts_with("/v2/web/") {
                return reply(404, "");
            }
            request.path = request.path.replace("/v2/web/", "/v2/api/");
            inner.answer(&request)
        })
        .await;
        let directory = tempfile::tempdir().unwrap();
        let name = server.address.to_string();
        let config = config(directory.path(), &name);
        let names = [format!("{name}/api:v1"), format!("{name}/web:v1")];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (image, env) = (image(directory.path()), environment(&[]));
        let pushed = attempt_with(&image, &names, &config, &env, Options::default()).await.unwrap();
        let second = pushed.last().unwrap();
        assert_eq!((second.sent_blob_count, second.mounted_blob_count), wanted, "{answer}");
    }
}

#[tokio::test]
async fn a_login_that_ends_midway_is_renewed_once() {
    const ENDED: &str = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
    for (times, wanted) in [(1, None), (9, Some(FailureKind::Refused))] {
        let (inner, left) = (Registry::default(), Mutex::new(times));
        let server = Server::start(move |request| {
            let mut left = left.lock().unwrap();
            if request.method == "PUT" && request.path.contains("/manifests/") && *left > 0 {
                *left -= 1;
                return reply(403, ENDED);
            }
            inner.answer(request)
        })
        .await;
        let outcome = push_small(&server).await;
        assert_eq!(outcome.err().map(|failure| failure.kind), wanted, "{times}");
        // What had arrived is not sent again.
        assert_eq!(methods(&server, "PATCH").len(), 2);
    }
}

#[tokio::test]
async fn a_missing_repository_is_made_when_that_is_wanted() {
    const UNKNOWN: &str = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'api' does not exist in the registry with id '123456789012'"}]}"#;
    for wanted in [true, false] {
        let (inner, is_made) = (Registry::default(), Mutex::new(false));
        let server = Server::start(move |request| {
            let mut is_made = is_made.lock().unwrap();
            match request.header("x-amz-target").and_then(|target| target.split_once('.')) {
                Some((_, "CreateRepository")) => {
                    *is_made = true;
                    assert!(request.text().contains(r#""registryId":"123456789012""#), "{}", request.text());
                    reply(200, r#"{"repository":{}}"#)
                }
                _ if !*is_made && request.method == "POST" => reply(404, UNKNOWN),
                _ => inner.answer(request),
            }
        })
        .await;
        let directory = tempfile::tempdir().unwrap();
        let environment = environment(&[
            ("AWS_ENDPOINT_URL", &server.url()),
            ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "k"),
        ]);
        let config = config(directory.path(), ECR);
        let options = Options { creates_repository: wanted, ..Options::default() };
        let name = format!("{ECR}/api:v1");
        let outcome = attempt_with(&image(directory.path()), &[&name], &config, &environment, options).await;
        match outcome {
            Ok(pushed) => assert!(wanted && pushed.first().unwrap().is_new_repository),
            Err(failure) => {
                assert!(!wanted && failure.message.contains("NAME_UNKNOWN"), "{failure:?}");
                assert!(
                    failure.details.iter().any(|line| line.contains("--create-repository")),
                    "{failure:?}"
                );
            }
        }
    }
}
