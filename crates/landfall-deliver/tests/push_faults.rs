//! Registries, their lines, their token services and proxies that fail: each has a clear outcome in bounded time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_deliver::blob::{Blob, Source, digest_of};
use landfall_deliver::docker_config::DockerConfig;
use landfall_deliver::http::Backoff;
use landfall_deliver::layout::Image;
use landfall_deliver::push::{Options, Pushed};
use landfall_deliver::registry::Patience;
use landfall_deliver::{Failure, FailureKind};
use support::registry::*;
use support::{Pace, Reply, Request, Server, environment, reply};

/// Nothing here may take longer, also on a busy machine.
const BOUND: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(60);

fn patience(answer: Duration, piece: Duration) -> Patience {
    Patience { answer, closing: answer, piece, ..Patience::default() }
}

/// A push whose only blob are so many bytes.
async fn push_large(server: &Server, length: usize, patience: Patience) -> Result<Vec<Pushed>, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(directory.path());
    let (path, content) = (directory.path().join("large"), vec![1; length]);
    std::fs::write(&path, &content).unwrap();
    image.blobs = vec![Blob { digest: digest_of(&content), size: length as u64, source: Source::File(path) }];
    push_image(server, &image, patience).await
}

async fn push_image(server: &Server, image: &Image, patience: Patience) -> Result<Vec<Pushed>, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    let (names, env) = ([format!("{name}/api:v1")], environment(&[]));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = Options { patience, ..Options::default() };
    let attempt = attempt_with(image, &names, &config, &env, options);
    tokio::time::timeout(BOUND, attempt).await.expect("it has to end")
}

/// What a registry answers in place of itself, to requests of a method.
async fn spoiled(method: &'static str, answer: impl Fn() -> Option<Reply> + Send + Sync + 'static) -> Server {
    let inner = Registry::default();
    Server::start(move |request| match request.method == method {
        true => answer().unwrap_or_else(|| inner.answer(request)),
        false => inner.answer(request),
    })
    .await
}

#[tokio::test]
async fn a_registry_that_says_nothing_or_a_byte_now_and_then_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(directory.path());
    // One request after the other, so that the tries can be counted.
    image.blobs.truncate(1);
    for method in ["GET", "HEAD", "POST", "PUT"] {
        for pace in [Pace::Never, Pace::Drip(Duration::from_millis(20))] {
            let server = spoiled(method, move || Some(reply(200, "").at(pace))).await;
            let failure = push_image(&server, &image, patience(MOMENT, BOUND)).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Outside, "{method} {pace:?}");
            assert!(
                failure.message.contains("for 0.06 s nothing came of it"),
                "{method} {pace:?}: {failure:?}"
            );
            assert_eq!(methods(&server, method).len(), 3, "{method} {pace:?}: tries");
        }
    }
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up_and_one_that_only_takes_long_is_not() {
    let inner = Registry::default();
    let server = support::deaf(move |request| {
        let mut answer = inner.answer(request);
        answer.closes = true;
        answer
    })
    .await;
    let failure = push_large(&server, 30_000_000, patience(BOUND, MOMENT)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside);
    assert!(failure.message.contains("PATCH blob sha256:") && failure.message.contains("nothing came of it"));

    let inner = Registry::default();
    let server = support::slow(65_536, Duration::from_millis(8), move |request| inner.answer(request)).await;
    let (began, answer) = (Instant::now(), Duration::from_millis(500));
    push_large(&server, 8_000_000, patience(answer, BOUND)).await.unwrap();
    assert!(began.elapsed() > answer, "the upload was too fast to tell: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_line_that_breaks_in_every_upload_ends_the_push() {
    let inner = Registry::default();
    let server = support::always_cutting(300_000, move |request| {
        let mut answer = inner.answer(request);
        answer.closes = true;
        answer
    })
    .await;
    let failure = push_large(&server, 5_000_000, Patience::default()).await.unwrap_err();
    assert_eq!((failure.kind, methods(&server, "POST").len()), (FailureKind::Outside, 3), "{failure:?}");
    assert!(failure.message.starts_with("PATCH blob sha256:"), "{failure:?}");
}

#[tokio::test]
async fn a_registry_that_asks_for_time_gets_it_and_one_that_keeps_asking_is_quoted() {
    for method in ["HEAD", "POST", "PATCH", "PUT"] {
        let once = Mutex::new(true);
        let busy = move || {
            std::mem::take(&mut *once.lock().unwrap()).then(|| reply(429, "").with("retry-after", "1"))
        };
        let server = spoiled(method, busy).await;
        let began = Instant::now();
        push_small(&server).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(1), "{method}: {:?}", began.elapsed());
    }
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    for (value, wanted) in [
        ("900", "; it asks to be left alone for 900 s"),
        ("99999999999999999999999", "(HTTP 429 Too Many Requests)"),
        ("soon", "(HTTP 429 Too Many Requests)"),
    ] {
        let server = spoiled("POST", move || {
            Some(
                reply(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}"#)
                    .with("retry-after", value),
            )
        })
        .await;
        let name = format!("{}/api:v1", server.address);
        let config = config(directory.path(), &server.address.to_string());
        let once =
            Patience { backoff: Backoff { attempts: 1, first: Duration::ZERO }, ..Patience::default() };
        let options = Options { patience: once, ..Options::default() };
        let failure =
            attempt_exactly(&image, &[&name], &config, &environment(&[]), options).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Outside);
        let message = &failure.message;
        assert!(message.contains("TOOMANYREQUESTS: Rate exceeded") && message.ends_with(wanted), "{message}");
    }
}

/// A registry whose token service gives `T1`, `T2`, …, each of which is taken for so many requests.
async fn with_tokens(
    life: usize,
    service: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    let (address, inner): (Arc<Mutex<String>>, _) = (Arc::default(), Registry::default());
    let (realm, state) = (Arc::clone(&address), Mutex::new((0, 0)));
    let server = Server::start(move |request| {
        let (given, left) = &mut *state.lock().unwrap();
        if request.path.starts_with("/token") {
            *given += 1;
            *left = life;
            let other = service(request, *given);
            return other.unwrap_or_else(|| reply(200, format!(r#"{{"token":"T{given}"}}"#)));
        }
        let is_good = request.header("authorization") == Some(&format!("Bearer T{given}")) && *left > 0;
        if !is_good {
            let challenge = format!(r#"Bearer realm="{}/token",service="s""#, realm.lock().unwrap());
            return reply(401, "").with("www-authenticate", challenge);
        }
        *left -= 1;
        let mut request = request.clone();
        request.headers.retain(|(name, _)| name != "authorization");
        request.headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode("AWS:pw"))));
        inner.answer(&request)
    })
    .await;
    *address.lock().unwrap() = server.url();
    server
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_as_often_as_the_push_needs() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(directory.path());
    // One request after the other, so that it is certain which token each has.
    image.blobs.truncate(1);
    for life in [1, 2, 3] {
        let server = with_tokens(life, |_, _| None).await;
        push_image(&server, &image, Patience::default()).await.unwrap();
        let renewals = server.lines().iter().filter(|line| line.contains("/token")).count();
        assert!(renewals >= 2, "{life}: {renewals}");
    }
    // One that never is taken ends it.
    let server = with_tokens(0, |_, _| None).await;
    let failure = push_small(&server).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    assert!(server.lines().len() < 20, "{:?}", server.lines());
}

#[tokio::test]
async fn a_token_service_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let server = with_tokens(99, |_, count| (count < 3).then(|| reply(503, ""))).await;
    push_small(&server).await.unwrap();
    let server = with_tokens(99, |_, _| Some(reply(503, "down"))).await;
    let failure = push_small(&server).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside);
    assert!(failure.message.contains("'s token service: down (HTTP 503"), "{failure:?}");
    let server = with_tokens(99, |_, _| Some(reply(401, ""))).await;
    let failure = push_small(&server).await.unwrap_err();
    assert_eq!((failure.kind, server.lines().len()), (FailureKind::Refused, 2), "{failure:?}");
    assert!(failure.message.contains("wants a login: it doesn't take the one of"), "{failure:?}");
}

#[tokio::test]
async fn an_identity_token_gets_access_tokens() {
    let server = with_tokens(99, |request, _| {
        assert_eq!(request.line(), "POST /token");
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(
            request.text(),
            "grant_type=refresh_token&service=s&client_id=landfall&scope=repository%3Aapi%3Apull%2Cpush\
             &refresh_token=opaque%2F1"
        );
        Some(reply(200, r#"{"access_token":"T1"}"#))
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (name, path) = (server.address.to_string(), directory.path().join("config.json"));
    let config = format!(r#"{{"auths":{{"{name}":{{"auth":"eDo=","identitytoken":"opaque/1"}}}}}}"#);
    std::fs::write(&path, config).unwrap();
    let config = DockerConfig::read(&path).unwrap();
    let (image, name) = (image(directory.path()), format!("{name}/api:v1"));
    attempt(&image, &name, &config, &environment(&[])).await.unwrap();

    let basic = registry().await;
    let name = basic.address.to_string();
    let config = format!(r#"{{"auths":{{"{name}":{{"identitytoken":"opaque/1"}}}}}}"#);
    std::fs::write(&path, config).unwrap();
    let config = DockerConfig::read(&path).unwrap();
    let failure = attempt(&image, &format!("{name}/api:v1"), &config, &environment(&[])).await.unwrap_err();
    assert!(failure.message.contains("has an identity token, and it wants a user and a password"));
}

#[tokio::test]
async fn a_login_without_the_right_is_told_so() {
    let lacking = || {
        let challenge = r#"Bearer realm="https://x/token",service="s",error="insufficient_scope""#;
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(reply(401, body).with("www-authenticate", challenge))
    };
    let failure = push_small(&spoiled("POST", lacking).await).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    let details = failure.details.join("\n");
    assert!(
        details.contains("insufficient_scope: the login may not do that in this repository"),
        "{failure:?}"
    );
}

/// A push to a registry elsewhere, by a proxy with a password.
async fn push_by(proxy: &str, more: &[(&str, &str)]) -> Failure {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "registry.test");
    let url = format!("http://me:hunter2@{proxy}");
    let variables = [[("HTTPS_PROXY", url.as_str())].as_slice(), more].concat();
    let env = environment(&variables);
    let image = image(directory.path());
    let attempt = attempt(&image, "registry.test/api:v1", &config, &env);
    let failure = tokio::time::timeout(BOUND, attempt).await.expect("it has to end").unwrap_err();
    let said = format!("{failure:?}");
    assert!(!said.contains("hunter2") && !said.contains("bWU6aHVudGVyMg"), "{said}");
    failure
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_and_its_password_is_not() {
    for (status, tries, wanted) in [
        (407, 1, "the proxy wants a user and a password"),
        (502, 3, "caused by: tunnel error: unsuccessful"),
        (403, 3, "caused by: tunnel error: unsuccessful"),
    ] {
        let proxy = Server::start(move |_| reply(status, "")).await;
        let failure = push_by(&proxy.address.to_string(), &[]).await;
        assert_eq!(
            (failure.kind, proxy.lines().len()),
            (FailureKind::Outside, tries),
            "{status}: {failure:?}"
        );
        assert_eq!(proxy.lines()[0], "CONNECT registry.test:443");
        assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some("Basic bWU6aHVudGVyMg=="));
        assert!(failure.details.join("\n").contains(wanted), "{status}: {failure:?}");
    }
    let failure = push_by("127.0.0.1:1", &[]).await;
    assert!(failure.details.join("\n").contains("Connection refused"), "{failure:?}");
}

#[tokio::test]
async fn this_machine_and_hosts_that_are_left_out_are_not_asked_through_a_proxy() {
    let proxy = Server::start(|_| reply(502, "")).await;
    push_by(&proxy.address.to_string(), &[("NO_PROXY", ".test")]).await;
    assert_eq!(proxy.lines(), Vec::<String>::new());
    let (server, directory) = (registry().await, tempfile::tempdir().unwrap());
    let name = server.address.to_string();
    let (image, config) = (image(directory.path()), config(directory.path(), &name));
    for url in [proxy.url().as_str(), "socks5://127.0.0.1:1"] {
        let env = environment(&[("HTTPS_PROXY", url), ("HTTP_PROXY", url)]);
        attempt(&image, &format!("{name}/api:v1"), &config, &env).await.unwrap();
        assert_eq!(proxy.lines(), Vec::<String>::new());
    }
}
