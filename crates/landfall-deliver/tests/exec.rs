//! A command's own session: its variables, its endpoint, and the renewal behind it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::OsString;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use landfall_deliver::exec::{self, Variables};
use landfall_deliver::keeper::{Event, Keeper};
use landfall_deliver::login::{Options, login};
use landfall_types::{Secret, Timestamp};
use support::{AT_ONCE, Reply, Request, Server, environment, reply};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
/// When STS's sessions end, in seconds: an hour after the clock's beginning.
const END: i64 = 3600;

/// STS, which numbers its sessions: `ASIA1`, `ASIA2`, … After `good` of them it refuses.
async fn numbering_sts(good: usize) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |request| sts(request, &count, good)).await
}

fn sts(request: &Request, count: &AtomicUsize, good: usize) -> Reply {
    if request.text().contains("Action=GetCallerIdentity") {
        return reply(
            200,
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/deploy/x</Arn>\
             <UserId>AROA:x</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        );
    }
    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
    if number > good {
        return reply(
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no longer</Message></Error></ErrorResponse>",
        );
    }
    let end = Timestamp::from_seconds(END * i64::try_from(number).unwrap());
    reply(
        200,
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><SessionToken>T{number}</SessionToken>\
             <SecretAccessKey>S</SecretAccessKey><Expiration>{end}</Expiration><AccessKeyId>ASIA{number}</AccessKeyId>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

/// An endpoint and what was told while it answered.
struct Command {
    url: String,
    token: String,
    told: Arc<Mutex<Vec<String>>>,
}

impl Command {
    async fn start(server: &Server, clock: fn() -> Timestamp) -> Self {
        let environment = environment(&[
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_ENDPOINT_URL", &server.url()),
        ]);
        let options = Options {
            role: Some(ROLE.to_owned()),
            region: Some("eu-west-1".to_owned()),
            backoff: AT_ONCE,
            ..Options::default()
        };
        let session = login(&options, &environment).await.unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&told);
        let keeper = Keeper::new(session, options, environment, clock, move |event| {
            sink.lock().unwrap().push(match event {
                Event::Renewed(session) => format!("renewed {}", session.access_key_id),
                Event::Failed(failure) => failure.message.clone(),
            });
        });
        let secret = Secret::new("command's own".to_owned());
        let variables = Variables::with_endpoint("eu-west-1", secret, Arc::new(keeper)).await.unwrap();
        let value =
            |name: &str| variables.set.iter().find(|(known, _)| *known == name).unwrap().1.expose().clone();
        Self {
            url: value("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            token: value("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            told,
        }
    }

    async fn ask(&self, token: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let answer = client.get(&self.url).header("authorization", token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The access key id that is given, or the status of the refusal.
    async fn key(&self) -> String {
        let (status, body) = self.ask(&self.token).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["AccessKeyId"].as_str().map_or_else(|| status.to_string(), str::to_owned)
    }
}

#[tokio::test]
async fn the_endpoint_answers_its_command_in_the_form_of_a_containers_agent() {
    let server = numbering_sts(1).await;
    let command = Command::start(&server, || Timestamp(0)).await;
    let (status, body) = command.ask(&command.token).await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let wanted = serde_json::json!({
        "AccessKeyId": "ASIA1", "SecretAccessKey": "S", "Token": "T1",
        "Expiration": "1970-01-01T01:00:00Z", "AccountId": "123456789012",
    });
    assert_eq!(body, wanted);
    let (status, body) = command.ask("somebody else's").await;
    assert!(status == 401 && !body.contains("ASIA"), "{status} {body}");
}

#[tokio::test]
async fn a_session_is_renewed_once_before_it_ends() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let server = numbering_sts(2).await;
    let command = Command::start(&server, || Timestamp::from_seconds(NOW.load(Ordering::SeqCst))).await;
    assert_eq!(command.key().await, "ASIA1");
    NOW.store(END - 600, Ordering::SeqCst);
    let (one, two) = tokio::join!(command.key(), command.key());
    assert_eq!((one.as_str(), two.as_str()), ("ASIA2", "ASIA2"));
    assert_eq!(*command.told.lock().unwrap(), ["renewed ASIA2"]);
}

#[tokio::test]
async fn a_renewal_that_is_refused_leaves_the_old_session_until_it_ends() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let server = numbering_sts(1).await;
    let command = Command::start(&server, || Timestamp::from_seconds(NOW.load(Ordering::SeqCst))).await;
    NOW.store(END - 600, Ordering::SeqCst);
    assert_eq!(command.key().await, "ASIA1");
    assert_eq!(command.key().await, "ASIA1");
    // It isn't tried again at every call.
    assert_eq!(*command.told.lock().unwrap(), ["Could not assume role with user credentials: no longer"]);
    NOW.store(END, Ordering::SeqCst);
    assert_eq!(command.key().await, "400");
}

async fn shell(script: &str, variables: &Variables) -> u8 {
    let arguments = ["-c", script].map(OsString::from);
    exec::run(&OsString::from("sh"), &arguments, variables, false).await.unwrap()
}

#[tokio::test]
async fn a_command_has_the_session_and_its_exit_code_is_passed_on() {
    let server = numbering_sts(1).await;
    let environment = environment(&[
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL", &server.url()),
        ("AWS_REGION", "eu-west-1"),
    ]);
    let options = Options { role: Some(ROLE.to_owned()), backoff: AT_ONCE, ..Options::default() };
    let variables = Variables::of(&login(&options, &environment).await.unwrap());
    let script = r#"[ "$AWS_ACCESS_KEY_ID$AWS_SESSION_TOKEN$AWS_REGION$AWS_CREDENTIAL_EXPIRATION" = ASIA1T1eu-west-11970-01-01T01:00:00Z ] && exit 7"#;
    assert_eq!(shell(script, &variables).await, 7);
    assert_eq!(shell("kill -KILL $$", &variables).await, 137);
    let missing = exec::run(&OsString::from("/no/such/command"), &[], &variables, false).await.unwrap_err();
    assert_eq!(missing.exit_code(), 127);
    let no_program = exec::run(&OsString::from("/"), &[], &variables, false).await.unwrap_err();
    assert_eq!(no_program.exit_code(), 126);
}

#[tokio::test]
async fn a_signal_reaches_the_command() {
    let variables = Variables { set: Vec::new(), removed: Vec::new() };
    // The command asks for the signal itself: by then it listens.
    let script = "trap 'exit 9' USR1; kill -USR1 $PPID; while :; do read -r line </dev/null || :; done";
    assert_eq!(shell(script, &variables).await, 9);
}
