//! The decision log over its endpoint.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use crate::bench::{Bench, NOW, REGION, STS, root};
use crate::client::{Keys, Request, Signing};

fn who(bench: &Bench) {
    let reply = bench.call(&root(), "sts", Request::query(STS, "GetCallerIdentity", &[]));
    assert_eq!(reply.status, 200);
}

fn refused(bench: &Bench) -> String {
    let reply = bench.send(&Request::query(STS, "GetCallerIdentity", &[]));
    reply.header("x-amzn-requestid").unwrap().to_owned()
}

/// The sequence numbers of what a question brings.
fn asked(bench: &Bench, query: &str) -> Vec<u64> {
    let reply = bench.send(&Request::new("GET", &format!("/_landfall/decisions{query}")));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    lines(&reply.body).map(|line| parse(line)["sequence"].as_u64().unwrap()).collect()
}

/// The lines of a body that came in chunks.
fn lines(body: &str) -> impl Iterator<Item = &str> {
    body.lines().filter(|line| line.starts_with('{'))
}

#[test]
fn decisions_are_told_with_their_reasons_and_can_be_chosen() {
    let bench = Bench::new();
    who(&bench);
    let id = refused(&bench);
    bench.ecr("DescribeRepositories", "{}");
    for (query, expected) in [
        ("", vec![1, 2, 3]),
        ("?outcome=refused", vec![2]),
        ("?outcome=allowed", vec![1, 3]),
        ("?caller=anonymous", vec![2]),
        ("?caller=:root", vec![1, 3]),
        ("?action=ecr:describe", vec![3]),
        ("?action=GetCallerIdentity", vec![1, 2]),
        ("?resource=repository/", vec![3]),
        (&format!("?request_id={id}"), vec![2]),
        ("?after=1", vec![2, 3]),
        ("?limit=1", vec![3]),
        ("?outcome=allowed&limit=1&caller=root", vec![3]),
        ("?after=3", vec![]),
        // A number of a server before this one.
        ("?after=4", vec![1, 2, 3]),
    ] {
        assert_eq!(asked(&bench, query), expected, "{query}");
    }
    let reply = bench.send(&Request::new("GET", &format!("/_landfall/decisions?request_id={id}")));
    let record: serde_json::Value = serde_json::from_str(lines(&reply.body).next().unwrap()).unwrap();
    assert_eq!(record["outcome"], "refused");
    assert_eq!(record["code"], "MissingAuthenticationToken");
    assert_eq!(record["finding"]["rule"], "no-credentials");
    assert_eq!(record["time"], "2026-10-01T12:00:00Z");
}

/// <https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header>
#[test]
fn a_client_of_events_goes_on_behind_the_last_that_it_had() {
    let bench = Bench::new();
    who(&bench);
    who(&bench);
    who(&bench);
    let newest = bench.server.world.log.last();
    for (last, query, expected) in [
        ((newest - 1).to_string(), "", vec![newest]),
        // What the address says is what the client began with.
        ((newest - 1).to_string(), "?after=0", vec![newest]),
        ((newest + 1).to_string(), "?limit=2", vec![newest - 1, newest]),
    ] {
        let request = Request::new("GET", &format!("/_landfall/decisions{query}"))
            .header("accept", "text/event-stream")
            .header("last-event-id", &last);
        let body = bench.send(&request).body;
        let ids = body.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
        assert_eq!(ids.collect::<Vec<u64>>(), expected, "{last} {query}: {body}");
    }
    let request = Request::new("GET", "/_landfall/decisions").header("last-event-id", "x");
    assert_eq!(bench.send(&request).body, "Last-Event-ID must be a number, and is `x`\n");
}

/// The client gets AWS's sentence; that it is about this side alone is for whoever reads the log.
#[test]
fn what_is_so_of_this_side_alone_is_in_the_log_and_not_on_the_wire() {
    let bench = Bench::new();
    let policy = "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy";
    let reply = bench.iam("CreateUser", &[("UserName", "bob"), ("PermissionsBoundary", policy)]);
    let sentence = format!("Policy {policy} does not exist or is not attachable.");
    assert_eq!(reply.fault(), ("NoSuchEntity".to_owned(), sentence));
    let told = bench.send(&Request::new("GET", "/_landfall/decisions?outcome=refused&action=CreateUser"));
    assert!(told.body.contains("policy/service-role/AmazonECSTaskExecutionRolePolicy"), "{}", told.body);
}

#[test]
fn a_question_that_is_not_understood_is_told_what_there_is() {
    let bench = Bench::new();
    for (query, words) in [
        ("?outcome=denied", "outcome must be allowed or refused, and is `denied`"),
        ("?limit=x", "limit must be a number, and is `x`"),
        ("?user=x", "there is no parameter `user`; there are: outcome="),
    ] {
        let reply = bench.send(&Request::new("GET", &format!("/_landfall/decisions{query}")));
        assert_eq!((reply.status, reply.body.contains(words)), (400, true), "{}", reply.body);
    }
}

#[test]
fn who_follows_gets_what_was_and_what_comes_without_a_gap() {
    let bench = Bench::new();
    who(&bench);
    for (accept, first, next) in
        [("*/*", "{\"time\":", "{\"time\":"), ("text/event-stream", "id: 1", "data: {")]
    {
        let mut stream = TcpStream::connect(bench.addr()).unwrap();
        let head = format!(
            "GET /_landfall/decisions?follow&action=caller HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with(first)), "{accept}");
        let newest = bench.server.world.log.last();
        who(&bench);
        assert!(
            lines
                .any(|line| line.starts_with(next) && line.contains(&format!("\"sequence\":{}", newest + 1)))
        );
    }
}

#[test]
fn no_secret_is_in_the_log() {
    let bench = Bench::with_provider();
    let keys = bench.session_with("deploy", &["ecr:*"]);
    let login = bench.login(&keys);
    let request = Request::new("GET", "/v2/").header("authorization", &login);
    assert_eq!(bench.send(&request).status, 200);
    // The same again, refused: what is wrong must not bring out what was presented.
    let wrong = Keys { secret: "wrong-secret-of-somebody".to_owned(), ..keys.clone() };
    let refused = bench.call(&wrong, "sts", Request::query(STS, "GetCallerIdentity", &[]));
    assert_eq!(refused.status, 403);
    let stale = Request::query(STS, "GetCallerIdentity", &[])
        .sign(&keys, Signing { service: "sts", region: REGION, at: NOW.plus_seconds(-7200) });
    assert_ne!(bench.send(&stale).status, 200);
    let token = bench.token(&crate::bench::claims("repo:other/api:ref:refs/heads/main"));
    let arn = format!("arn:aws:iam::{}:role/deploy", crate::bench::ACCOUNT);
    let params = [("RoleArn", arn.as_str()), ("RoleSessionName", "x"), ("WebIdentityToken", token.as_str())];
    assert_ne!(bench.send(&Request::query(STS, "AssumeRoleWithWebIdentity", &params)).status, 200);
    let broken = format!("{login}x");
    bench.send(&Request::new("GET", "/v2/").header("authorization", &broken));
    let signature = token.rsplit('.').next().unwrap().to_owned();
    let told = bench.send(&Request::new("GET", "/_landfall/decisions")).body;
    assert!(told.lines().count() > 8, "{told}");
    let session_token = keys.token.clone().unwrap();
    let password = login.trim_start_matches("Basic ").to_owned();
    for secret in [&keys.secret, &wrong.secret, &session_token, &password, &token, &signature] {
        assert!(secret.len() > 20 && !told.contains(secret.as_str()), "{secret}");
    }
}
