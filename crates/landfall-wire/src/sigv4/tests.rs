#![allow(clippy::unwrap_used, clippy::panic)]

use landfall_types::{Secret, Timestamp};
use serde_json::Value;

use super::canonical::{PathRule, canonical_request, signature, string_to_sign};
use super::*;
use crate::hash::{EMPTY_SHA256, sha256_hex};

const SUITE: &str = include_str!("../../cases/sigv4/suite.json");
const BOTOCORE: &str = include_str!("../../cases/sigv4/botocore.json");
const REFUSALS: &str = include_str!("../../cases/sigv4/refusals.json");

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn secret() -> Secret<String> {
    Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned())
}

fn now() -> Timestamp {
    Timestamp::parse_basic("20150830T123600Z").unwrap()
}

/// A request as the suite writes it down: start line, headers (some folded), blank line, body.
struct Written {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body_sha256: String,
}

impl Written {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let start = lines.next().unwrap();
        let start = start.strip_suffix(" HTTP/1.1").unwrap_or(start);
        let (method, target) = start.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with(' ') {
                let last = headers.last_mut().unwrap();
                last.1 = format!("{}\n{line}", last.1);
            } else {
                let (name, value) = line.split_once(':').unwrap();
                headers.push((name.to_lowercase(), value.to_owned()));
            }
        }
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body_sha256: sha256_hex(body.as_bytes()),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&SignedRequest<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        read(&SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body_sha256: &self.body_sha256,
        })
    }
}

#[test]
fn every_step_of_the_suite_comes_out_to_the_byte() {
    let mut signatures = 0;
    for case in cases(SUITE) {
        for way in ["header", "query"] {
            let name = format!("{} ({way})", case["name"]);
            // The token is added after signing here, which no service of ours allows in a URL.
            let appended = way == "query" && case["omit_session_token"] == true;
            let Some(wanted) = case.get(way).filter(|_| !appended) else { continue };
            let rule = if case["normalize"] == true { PathRule::Normalized } else { PathRule::Verbatim };
            let written = Written::parse(wanted["request"].as_str().unwrap());
            written.with(|request| {
                let presented = present(request).expect(&name).expect(&name);
                let names: Vec<&str> = presented.signed_headers.iter().map(String::as_str).collect();
                let mut canonical = canonical_request(request, &names, rule).expect(&name);
                if name.starts_with("\"double-encode-path") {
                    // This case's files disagree about the date.
                    canonical = canonical.replace("20150830T123600Z", "20210511T154045Z");
                }
                assert_eq!(canonical, wanted["canonical"], "{name}");
                let to_sign = string_to_sign(&canonical, &presented.scope, &presented.timestamp.basic());
                if let Some(text) = wanted["string_to_sign"].as_str() {
                    assert_eq!(to_sign, text.trim_end(), "{name}");
                }
                if let Some(text) = wanted["signature"].as_str() {
                    let made = signature(&secret(), &presented.scope, &to_sign);
                    assert_eq!(crate::hash::hex(&made), text, "{name}");
                    signatures += 1;
                }
            });
        }
    }
    assert!(signatures > 70, "only {signatures} signatures were compared");
}

#[test]
fn what_the_suite_signed_is_accepted_and_signed_alike() {
    for case in cases(SUITE).iter().filter(|case| case["normalize"] == true) {
        let Some(wanted) = case.get("header").filter(|way| way.get("signature").is_some()) else { continue };
        let name = case["name"].as_str().unwrap();
        let mut written = Written::parse(wanted["request"].as_str().unwrap());
        written.with(|request| {
            let presented = present(request).unwrap().unwrap();
            let verdict = verify(request, &presented, &["service"], Some("us-east-1"), &secret(), now());
            assert_eq!(verdict, Ok(()), "{name}");
            let token = presented.session_token.map(|token| token.expose().clone());
            assert_eq!(token.as_deref(), case["session_token"].as_str(), "{name}");
        });
        let authorization = written.headers.iter().position(|(name, _)| name == "authorization").unwrap();
        let (_, authorization) = written.headers.remove(authorization);
        if case["omit_session_token"] == true {
            written.headers.retain(|(name, _)| name != "x-amz-security-token");
        }
        let scope = Scope {
            date: "20150830".to_owned(),
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
        };
        let credentials = Credentials { access_key_id: "AKIDEXAMPLE", secret: &secret() };
        let made = written.with(|request| sign(request, credentials, &scope, now()));
        assert_eq!(made, authorization.trim(), "{name}");
    }
}

#[test]
fn what_botocore_signed_is_accepted() {
    let cases = cases(BOTOCORE);
    assert!(cases.len() >= 60);
    for (index, case) in cases.iter().enumerate() {
        let text = |name: &str| case[name].as_str().unwrap();
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let request = SignedRequest {
            method: text("method"),
            path: text("path"),
            query: text("query"),
            headers: &headers,
            body_sha256: text("body_sha256"),
        };
        let presented = present(&request).unwrap().unwrap();
        let secret = Secret::new(text("secret").to_owned());
        let now = Timestamp::parse_basic(text("time")).unwrap();
        let check = |request: &SignedRequest<'_>| {
            verify(request, &presented, &[text("service")], Some(text("region")), &secret, now)
        };
        assert_eq!(check(&request), Ok(()), "request {index}: {case}");
        let token = presented.session_token.as_ref().map(|token| token.expose().as_str());
        assert_eq!(token, case["session_token"].as_str(), "request {index}");
        let other = SignedRequest { method: "PATCH", ..request };
        assert_eq!(check(&other), Err(SigV4Error::SignatureMismatch), "request {index}");
    }
}

#[test]
fn a_change_anywhere_is_a_mismatch() {
    let headers = [("host", "sts.amazonaws.com"), ("x-amz-date", "20150830T123600Z"), ("x-amz-target", "T")];
    let request = SignedRequest {
        method: "POST",
        path: "/a/b",
        query: "x=1&y=2",
        headers: &headers,
        body_sha256: EMPTY_SHA256,
    };
    let scope =
        Scope { date: "20150830".to_owned(), region: "us-east-1".to_owned(), service: "sts".to_owned() };
    let credentials = Credentials { access_key_id: "AKIDEXAMPLE", secret: &secret() };
    let authorization = sign(&request, credentials, &scope, now());
    let check = |request: &SignedRequest<'_>, secret: &Secret<String>| {
        let mut headers = request.headers.to_vec();
        headers.push(("authorization", &authorization));
        let request = SignedRequest { headers: &headers, ..*request };
        let presented = present(&request).unwrap().unwrap();
        verify(&request, &presented, &["sts"], None, secret, now())
    };
    assert_eq!(check(&request, &secret()), Ok(()));
    // The order of a query's parameters and headers outside the signature don't matter.
    assert_eq!(check(&SignedRequest { query: "y=2&x=1", ..request }, &secret()), Ok(()));
    let more = [headers.as_slice(), &[("user-agent", "x")]].concat();
    assert_eq!(check(&SignedRequest { headers: &more, ..request }, &secret()), Ok(()));

    let target = [headers[0], headers[1], ("x-amz-target", "U")];
    let twice = [headers.as_slice(), &[("x-amz-target", "U")]].concat();
    let other_body = sha256_hex(b"x");
    let changed = [
        SignedRequest { method: "GET", ..request },
        SignedRequest { path: "/a/c", ..request },
        SignedRequest { path: "/a/b/", ..request },
        SignedRequest { query: "x=1&y=3", ..request },
        SignedRequest { query: "x=1&y=2&z", ..request },
        SignedRequest { headers: &target, ..request },
        SignedRequest { headers: &twice, ..request },
        SignedRequest { body_sha256: &other_body, ..request },
    ];
    for request in changed {
        assert_eq!(check(&request, &secret()), Err(SigV4Error::SignatureMismatch), "{request:?}");
    }
    assert_eq!(check(&request, &Secret::new("another".to_owned())), Err(SigV4Error::SignatureMismatch));
}

#[test]
fn each_refusal_is_told_in_awss_words() {
    for case in cases(REFUSALS) {
        let name = case["name"].as_str().unwrap();
        let mut headers = vec![("host", "example.amazonaws.com")];
        headers.extend(case["authorization"].as_str().map(|text| ("authorization", text)));
        headers.extend(case["date"].as_str().map(|text| ("x-amz-date", text)));
        let request = SignedRequest {
            method: "GET",
            path: "/",
            query: case["query"].as_str().unwrap_or_default(),
            headers: &headers,
            body_sha256: EMPTY_SHA256,
        };
        let verdict = present(&request).and_then(|presented| {
            verify(&request, &presented.unwrap(), &["service"], Some("us-east-1"), &secret(), now())
        });
        let error = verdict.expect_err(name);
        let kind = match error {
            SigV4Error::Missing => "missing",
            SigV4Error::Incomplete(_) => "incomplete",
            SigV4Error::WrongScope(_) => "scope",
            SigV4Error::HostNotSigned => "host",
            SigV4Error::Expired(_) => "expired",
            SigV4Error::NotYetCurrent(_) => "not yet",
            SigV4Error::PresignedExpired => "presigned expired",
            SigV4Error::SignatureMismatch => "mismatch",
        };
        assert_eq!(kind, case["kind"], "{name}: {error}");
        assert_eq!(error.message(), case["message"], "{name}");
    }
}

#[test]
fn a_request_without_credentials_presents_none() {
    let request = SignedRequest {
        method: "POST",
        path: "/",
        query: "Action=X",
        headers: &[("host", "a"), ("x-amz-date", "20150830T123600Z")],
        body_sha256: EMPTY_SHA256,
    };
    assert!(present(&request).unwrap().is_none());
}

#[test]
fn the_date_header_serves_when_there_is_no_other() {
    let authorization =
        "AWS4-HMAC-SHA256 Credential=A/19941106/r/s/aws4_request,SignedHeaders=host;date,Signature=00";
    let dates = [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some("19941106T084937Z")),
        ("19941106T084937Z", Some("19941106T084937Z")),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("06 Nov 1994 08:49:37 GMT", None),
        ("", None),
    ];
    for (date, wanted) in dates {
        let request = SignedRequest {
            method: "GET",
            path: "/",
            query: "",
            headers: &[("host", "a"), ("date", date), ("authorization", authorization)],
            body_sha256: EMPTY_SHA256,
        };
        let got = present(&request).ok().flatten().map(|presented| presented.timestamp.basic());
        assert_eq!(got.as_deref(), wanted, "{date}");
    }
}

#[test]
fn nothing_that_is_presented_prints_its_secrets() {
    let headers = [
        ("host", "a"),
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-security-token", "hunter2"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host, Signature=c0ffee",
        ),
    ];
    let request =
        SignedRequest { method: "GET", path: "/", query: "", headers: &headers, body_sha256: EMPTY_SHA256 };
    let text = format!("{:?}", present(&request).unwrap().unwrap());
    assert!(!text.contains("hunter2") && !text.contains("c0ffee"), "{text}");
}
