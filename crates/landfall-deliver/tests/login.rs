//! The login against a played GitHub and a played STS.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_deliver::login::{Options, Session, login};
use landfall_deliver::{Environment, Failure, FailureKind};
use support::{AT_ONCE, Pace, Reply, Request, Server, environment, reply};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
const SESSION_ARN: &str = "arn:aws:sts::123456789012:assumed-role/deploy/GitHubActions";
const SECRET: &str = "secret/secret+secret";

fn token() -> String {
    let claims = r#"{"sub":"repo:acme/api:ref:refs/heads/main","aud":"sts.amazonaws.com","iss":"https://token.actions.githubusercontent.com","repository":"acme/api","ref":"refs/heads/main"}"#;
    format!("eyJhbGciOiJSUzI1NiJ9.{}.SIGNATURE", URL_SAFE_NO_PAD.encode(claims))
}

fn id_token() -> Reply {
    reply(200, format!(r#"{{"count":1,"value":"{}"}}"#, token()))
}

fn sts(request: &Request) -> Reply {
    let text = request.text();
    if text.contains("Action=GetCallerIdentity") {
        return reply(
            200,
            format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                 <Arn>{SESSION_ARN}</Arn><UserId>AROA:x</UserId><Account>123456789012</Account>\
                 </GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        );
    }
    let action = if text.contains("Action=AssumeRoleWithWebIdentity") {
        "AssumeRoleWithWebIdentity"
    } else {
        "AssumeRole"
    };
    reply(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <SessionToken>SESSIONTOKEN</SessionToken><SecretAccessKey>{SECRET}</SecretAccessKey>\
             <Expiration>2036-11-21T02:48:15Z</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>\
             </{action}Result></{action}Response>"
        ),
    )
}

fn sts_error(status: u16, code: &str, message: &str) -> Reply {
    reply(
        status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        ),
    )
    .with("x-amzn-requestid", "r-1")
}

fn is_id_token(request: &Request) -> bool {
    request.path.contains("/idtoken")
}

fn job(server: &Server) -> Environment {
    let url = format!("{}/idtoken?api-version=2.0", server.url());
    environment(&[
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "BEARER"),
        ("AWS_ENDPOINT_URL", &server.url()),
        ("AWS_REGION", "eu-west-1"),
    ])
}

fn options() -> Options {
    Options { role: Some(ROLE.to_owned()), backoff: AT_ONCE, ..Options::default() }
}

async fn attempt(server: &Server, options: &Options) -> Result<Session, Failure> {
    login(options, &job(server)).await.map_err(Failure::from)
}

/// How often STS was asked for a session.
fn exchanges(server: &Server) -> usize {
    server.requests().iter().filter(|request| request.text().contains("Action=AssumeRole")).count()
}

#[tokio::test]
async fn an_id_token_becomes_a_session_whose_owner_is_known() {
    let server = Server::start(|request| if is_id_token(request) { id_token() } else { sts(request) }).await;
    let session = attempt(&server, &options()).await.unwrap();
    assert_eq!(session.account, "123456789012");
    assert_eq!(session.arn, SESSION_ARN);
    assert_eq!(session.expiration.unwrap().to_string(), "2036-11-21T02:48:15Z");
    assert_eq!(session.secret_access_key.expose(), SECRET);

    let requests = server.requests();
    let [github, exchange, whoami] = requests.as_slice() else { panic!("{:?}", server.lines()) };
    assert_eq!(github.path, "/idtoken?api-version=2.0&audience=sts.amazonaws.com");
    assert_eq!(github.header("authorization"), Some("Bearer BEARER"));
    assert_eq!(exchange.header("authorization"), None);
    for part in ["RoleSessionName=GitHubActions", "DurationSeconds=3600", "SIGNATURE"] {
        assert!(exchange.text().contains(part), "{part}");
    }
    let signature = whoami.header("authorization").unwrap();
    assert!(
        signature.contains("Credential=ASIAEXAMPLE/") && signature.contains("/eu-west-1/sts/"),
        "{signature}"
    );
}

#[tokio::test]
async fn a_refusal_is_told_after_one_call_with_the_claims_and_without_the_token() {
    let server = Server::start(|request| {
        if is_id_token(request) {
            id_token()
        } else {
            sts_error(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
    })
    .await;
    let failure = attempt(&server, &options()).await.unwrap_err();
    assert_eq!(exchanges(&server), 1);
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.message,
        "Could not assume role with OIDC: Not authorized to perform sts:AssumeRoleWithWebIdentity"
    );
    let details = failure.details.join("\n");
    for line in [
        "caused by: AccessDenied (HTTP 403, request r-1)",
        "token: sub = repo:acme/api:ref:refs/heads/main",
        "token: aud = sts.amazonaws.com",
        "token: ref = refs/heads/main",
    ] {
        assert!(details.contains(line), "{line}\n{details}");
    }
    assert!(!format!("{failure:?}").contains("SIGNATURE") && !format!("{failure:?}").contains("BEARER"));
}

#[tokio::test]
async fn only_what_may_heal_is_tried_again() {
    struct Case {
        id_token: (u16, usize),
        sts: (u16, &'static str, usize),
        outcome: Result<(), FailureKind>,
        calls: (usize, usize),
    }
    let fine = (200, "", 0);
    let cases = [
        Case { id_token: (503, 1), sts: fine, outcome: Ok(()), calls: (2, 1) },
        Case { id_token: (503, 9), sts: fine, outcome: Err(FailureKind::Outside), calls: (3, 0) },
        Case { id_token: (500, 1), sts: fine, outcome: Err(FailureKind::Outside), calls: (1, 0) },
        Case { id_token: (403, 1), sts: fine, outcome: Err(FailureKind::Refused), calls: (1, 0) },
        Case { id_token: (200, 0), sts: (400, "IDPCommunicationError", 1), outcome: Ok(()), calls: (1, 2) },
        Case { id_token: (200, 0), sts: (503, "ServiceUnavailable", 1), outcome: Ok(()), calls: (1, 2) },
        Case { id_token: (200, 0), sts: (400, "Throttling", 1), outcome: Ok(()), calls: (1, 2) },
        Case { id_token: (200, 0), sts: (400, "RequestLimitExceeded", 2), outcome: Ok(()), calls: (1, 3) },
        Case {
            id_token: (200, 0),
            sts: (400, "RequestLimitExceeded", 9),
            outcome: Err(FailureKind::Outside),
            calls: (1, 3),
        },
        Case {
            id_token: (200, 0),
            sts: (500, "InternalFailure", 9),
            outcome: Err(FailureKind::Outside),
            calls: (1, 3),
        },
        Case {
            id_token: (200, 0),
            sts: (400, "InvalidIdentityToken", 1),
            outcome: Err(FailureKind::Refused),
            calls: (1, 1),
        },
        Case {
            id_token: (200, 0),
            sts: (400, "ExpiredTokenException", 1),
            outcome: Err(FailureKind::Refused),
            calls: (1, 1),
        },
        Case {
            id_token: (200, 0),
            sts: (403, "IDPRejectedClaim", 1),
            outcome: Err(FailureKind::Refused),
            calls: (1, 1),
        },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let (bad_tokens, bad_answers) = (AtomicUsize::new(case.id_token.1), AtomicUsize::new(case.sts.2));
        let take = |left: &AtomicUsize| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
        };
        let server = Server::start(move |request| {
            if is_id_token(request) {
                if take(&bad_tokens) { reply(case.id_token.0, "no") } else { id_token() }
            } else if request.text().contains("Action=AssumeRole") && take(&bad_answers) {
                sts_error(case.sts.0, case.sts.1, "m")
            } else {
                sts(request)
            }
        })
        .await;
        let outcome = attempt(&server, &options()).await.map(|_| ()).map_err(|failure| failure.kind);
        let tokens = server.requests().iter().filter(|request| is_id_token(request)).count();
        assert_eq!((outcome, (tokens, exchanges(&server))), (case.outcome, case.calls), "case {index}");
    }
}

#[tokio::test]
async fn an_endpoint_and_an_sts_that_are_slow_are_waited_for() {
    let server = Server::start(|request| {
        let answer = if is_id_token(request) { id_token() } else { sts(request) };
        answer.at(Pace::Drip(std::time::Duration::from_micros(100)))
    })
    .await;
    assert!(attempt(&server, &options()).await.is_ok());
}

#[tokio::test]
async fn an_account_that_was_not_allowed_is_refused() {
    let server = Server::start(|request| if is_id_token(request) { id_token() } else { sts(request) }).await;
    let allowed = |account: &str| Options { allowed_accounts: vec![account.to_owned()], ..options() };
    assert!(attempt(&server, &allowed("123456789012")).await.is_ok());
    let failure = attempt(&server, &allowed("210987654321")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.message,
        "The account ID of the provided credentials (123456789012) does not match any of the expected account IDs: \
         210987654321"
    );
}

#[tokio::test]
async fn keys_take_a_role_by_name_and_drop_tags_that_do_not_fit() {
    let server = Server::start(|request| {
        if request.text().contains("Key=RunId") {
            sts_error(
                400,
                "PackedPolicyTooLarge",
                "Packed policy consumes 112% of allotted space, please use smaller policy.",
            )
        } else {
            sts(request)
        }
    })
    .await;
    let environment = environment(&[
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "acme/api"),
        ("GITHUB_RUN_ID", "7"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "k"),
        ("AWS_ENDPOINT_URL_STS", &server.url()),
        ("AWS_REGION", "eu-west-1"),
    ]);
    let options =
        Options { role: Some("deploy".to_owned()), external_id: Some("x1".to_owned()), ..options() };
    let session = login(&options, &environment).await.unwrap();
    assert_eq!(session.access_key_id, "ASIAEXAMPLE");
    let assumed: Vec<_> = server
        .requests()
        .iter()
        .map(Request::text)
        .filter(|text| text.contains("Action=AssumeRole"))
        .collect();
    let [first, second] = assumed.as_slice() else { panic!("{assumed:?}") };
    for text in [first, second] {
        assert!(
            text.contains("role%2Fdeploy")
                && text.contains("Value=acme%2Fapi")
                && text.contains("ExternalId=x1"),
            "{text}"
        );
    }
    assert!(first.contains("Key=RunId") && !second.contains("Key=RunId"));
}

#[tokio::test]
async fn a_token_in_a_variable_takes_a_role_and_that_one_the_next() {
    let server = Server::start(sts).await;
    let environment = environment(&[
        ("MY_TOKEN", &token()),
        ("AWS_ENDPOINT_URL_STS", &server.url()),
        ("AWS_REGION", "eu-west-1"),
    ]);
    let options = Options {
        token_variable: Some("MY_TOKEN".to_owned()),
        role_chain: ["second", "third"].map(|name| format!("arn:aws:iam::210987654321:role/{name}")).to_vec(),
        inline_policy: Some("POLICY".to_owned()),
        duration_seconds: 7200,
        ..options()
    };
    login(&options, &environment).await.unwrap();
    let requests = server.requests();
    let assumed: Vec<_> =
        requests.iter().filter(|request| request.text().contains("Action=AssumeRole")).collect();
    let [exchange, second, third] = assumed.as_slice() else { panic!("{:?}", server.lines()) };
    assert!(exchange.text().contains("SIGNATURE") && exchange.header("authorization").is_none());
    for (request, parts) in [
        (second, ["role%2Fsecond", "DurationSeconds=900"]),
        (third, ["role%2Fthird", "DurationSeconds=3600"]),
    ] {
        assert!(parts.iter().all(|part| request.text().contains(part)), "{}", request.text());
        assert!(request.header("authorization").unwrap().contains("Credential=ASIAEXAMPLE/"));
    }
    let narrowed: Vec<_> = assumed.iter().map(|request| request.text().contains("POLICY")).collect();
    assert_eq!(narrowed, [false, false, true]);
}

#[tokio::test]
async fn a_party_that_is_not_there_is_an_outside_failure() {
    let gone = Server::start(|_| reply(200, "")).await.url().replace("127.0.0.1", "127.0.0.2");
    let server = Server::start(|_| id_token()).await;
    let options = Options { sts_endpoint: Some(gone), ..options() };
    let failure = attempt(&server, &options).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside, "{failure:?}");
    assert!(failure.message.contains("STS at http://127.0.0.2:"), "{}", failure.message);
}

#[tokio::test]
async fn an_endpoint_that_is_no_address_is_said_before_anything_is_sent_to_it() {
    for address in ["127.0.0.1:4566", "not-a-url", "http://", "//x", "http://a b", "http://[::1", "ftp://x"] {
        let server = Server::start(|_| id_token()).await;
        let options = Options { sts_endpoint: Some(address.to_owned()), ..options() };
        let failure = attempt(&server, &options).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Usage, "{failure:?}");
        assert_eq!(failure.message, format!("the endpoint `{address}` is not an http or https address"));
        assert!(!format!("{failure:?}").contains("SIGNATURE"), "{failure:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_said_without_quoting_it() {
    for body in ["{}", r#"{"value":""}"#, "SIGNATURE", r#"{"value":["SIGNATURE"]}"#] {
        let server = Server::start(move |_| reply(200, body)).await;
        let failure = attempt(&server, &options()).await.unwrap_err();
        assert_eq!(failure.message, "getIDToken call failed: Response json body do not have ID Token field");
        assert!(!format!("{failure:?}").contains("SIGNATURE"), "{failure:?}");
    }
}

#[tokio::test]
async fn an_answer_of_sts_that_is_none_is_an_outside_failure() {
    let server =
        Server::start(|request| if is_id_token(request) { id_token() } else { reply(200, "<html/>") }).await;
    let failure = attempt(&server, &options()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside);
    assert!(failure.message.contains("unreadable answer (HTTP 200)"), "{}", failure.message);
}

/// Keys of the environment, and where STS is.
fn with_keys(server: &Server, more: &[(&str, &str)]) -> Environment {
    let mut variables = vec![("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "k")];
    let url = server.url();
    variables.extend([("AWS_ENDPOINT_URL_STS", url.as_str()), ("AWS_REGION", "eu-west-1")]);
    variables.extend(more);
    environment(&variables)
}

#[tokio::test]
async fn an_account_that_was_not_allowed_is_refused_before_anybody_is_asked_when_the_role_says_it() {
    let server = Server::start(sts).await;
    let options = Options { allowed_accounts: vec!["210987654321".to_owned()], ..options() };
    let failure = attempt(&server, &options).await.unwrap_err();
    assert_eq!((failure.kind, server.lines().len()), (FailureKind::Refused, 0));
}

#[tokio::test]
async fn credentials_that_are_there_are_used_if_they_work_and_their_account_is_allowed() {
    let knows = Server::start(sts).await;
    let asks = Options { use_existing: true, ..options() };
    let session = login(&asks, &with_keys(&knows, &[])).await.unwrap();
    assert_eq!((session.access_key_id.as_str(), exchanges(&knows)), ("AKIAEXAMPLE", 0));

    let elsewhere = Options { allowed_accounts: vec!["210987654321".to_owned()], ..asks.clone() };
    assert!(login(&elsewhere, &with_keys(&knows, &[])).await.is_err());

    let unknown = Server::start(|request| {
        let is_old = request.header("authorization").is_some_and(|text| text.contains("AKIAEXAMPLE"));
        match is_old && request.text().contains("GetCallerIdentity") {
            true => sts_error(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            false => sts(request),
        }
    })
    .await;
    let session = login(&asks, &with_keys(&unknown, &[])).await.unwrap();
    assert_eq!((session.access_key_id.as_str(), exchanges(&unknown)), ("ASIAEXAMPLE", 1));
    assert!(login(&Options { use_existing: false, ..asks }, &with_keys(&knows, &[])).await.is_ok());
    assert_eq!(exchanges(&knows), 1);
}

#[tokio::test]
async fn tags_of_ones_own_go_with_keys_and_only_those_that_are_sent_go_on() {
    let server = Server::start(sts).await;
    let options = Options {
        custom_tags: vec![("Team".to_owned(), "web".to_owned())],
        transitive_tag_keys: vec!["Team".to_owned(), "Absent".to_owned()],
        ..options()
    };
    login(&options, &with_keys(&server, &[])).await.unwrap();
    let sent = server.requests()[0].text();
    assert!(sent.contains("Tags.member.1.Key=Team&Tags.member.1.Value=web"), "{sent}");
    assert!(sent.contains("TransitiveTagKeys.member.1=Team") && !sent.contains("Absent"), "{sent}");
    assert_eq!(landfall_deliver::login::ignored(&options, &with_keys(&server, &[])), Vec::<String>::new());
    let told = landfall_deliver::login::ignored(&options, &job(&server));
    assert!(told.iter().all(|line| line.contains("is not sent")) && told.len() == 2, "{told:?}");
}

#[tokio::test]
async fn sessions_are_asked_for_until_their_keys_are_plain() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let reply = sts(request);
        if !request.text().contains("Action=AssumeRole") || count.fetch_add(1, Ordering::Relaxed) < 2 {
            return reply;
        }
        Reply { body: String::from_utf8(reply.body).unwrap().replace(SECRET, "plain").into_bytes(), ..reply }
    })
    .await;
    let options = Options { plain_keys: true, ..options() };
    let session = login(&options, &with_keys(&server, &[])).await.unwrap();
    assert_eq!((session.secret_access_key.expose().as_str(), exchanges(&server)), ("plain", 3));

    let never = Server::start(sts).await;
    let failure = Failure::from(login(&options, &with_keys(&never, &[])).await.unwrap_err());
    assert_eq!((failure.kind, exchanges(&never)), (FailureKind::Outside, 32));
}

#[tokio::test]
async fn a_login_ends_when_its_time_is_over() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let options = Options {
        sts_endpoint: Some(url),
        time_limit: Some(std::time::Duration::from_millis(50)),
        ..options()
    };
    let server = Server::start(|_| id_token()).await;
    let failure = attempt(&server, &options).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Outside);
    assert!(failure.message.contains("--action-timeout-s"), "{failure:?}");
}

#[tokio::test]
async fn calls_go_through_the_proxy_but_not_to_this_machine_and_not_to_hosts_that_are_left_out() {
    let proxy = Server::start(|request| if is_id_token(request) { id_token() } else { sts(request) }).await;
    let there = environment(&[
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://token.test/idtoken?x"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "BEARER"),
        ("AWS_ENDPOINT_URL_STS", "http://sts.test"),
        ("AWS_REGION", "eu-west-1"),
        ("HTTP_PROXY", &format!("http://me:pass@{}", proxy.address)),
    ]);
    let session = login(&options(), &there).await.unwrap();
    assert_eq!(session.account, "123456789012");
    let asked: Vec<_> = proxy.requests().iter().map(|request| request.path.clone()).collect();
    assert!(asked.iter().any(|path| path.starts_with("http://sts.test")), "{asked:?}");
    // `me:pass`
    assert!(
        proxy
            .requests()
            .iter()
            .all(|request| request.header("proxy-authorization") == Some("Basic bWU6cGFzcw=="))
    );

    let count = proxy.lines().len();
    let here = Server::start(|request| if is_id_token(request) { id_token() } else { sts(request) }).await;
    let past = job(&here).with([("HTTPS_PROXY", proxy.url().as_str())]);
    login(&options(), &past).await.unwrap();
    assert_eq!(proxy.lines().len(), count);
}
