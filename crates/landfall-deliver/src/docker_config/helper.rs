//! Credential helpers, as Docker's config.json names them: programs that are asked for a registry's login.
//! <https://github.com/docker/docker-credential-helpers#development>

use std::process::Stdio;
use std::time::Duration;

use landfall_types::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::docker_config::Login;
use crate::http;

/// Asks `docker-credential-NAME` for a registry's login. None: it has none.
///
/// # Errors
/// A sentence for the user: it isn't there, it failed, or its answer is no answer. Never a secret.
pub async fn login(name: &str, registry: &str) -> Result<Option<Login>, String> {
    let program = program(name)?;
    let output = match converse(&program, "get", registry).await? {
        Ok(output) => output,
        // The protocol's own words for it.
        Err(words) if words.contains("credentials not found") => return Ok(None),
        Err(words) => return Err(format!("{program} failed: {words}")),
    };
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // Not the parser's own words: they may quote the answer.
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| format!("{program} answered no JSON with Username and Secret"))?;
    Ok(Some(Login { username: answer.username, password: Secret::new(answer.secret) }))
}

/// Has `docker-credential-NAME` keep a login, as `docker login` does.
///
/// # Errors
/// A sentence for the user: it isn't there, or it doesn't take it. Never a secret.
pub async fn store(name: &str, registry: &str, login: &Login) -> Result<(), String> {
    let program = program(name)?;
    let input = serde_json::json!({
        "ServerURL": registry,
        "Username": login.username,
        "Secret": login.password.expose(),
    });
    let input = Secret::new(input.to_string());
    let words = converse(&program, "store", input.expose()).await?.err();
    // One that repeats what it was given must not have it repeated here.
    let words = words.map(|words| words.replace(login.password.expose().as_str(), "***"));
    words.map_or(Ok(()), |words| Err(format!("{program} doesn't take the login: {words}")))
}

/// Has `docker-credential-NAME` forget a registry's login.
///
/// # Errors
/// A sentence for the user: it isn't there, or it failed.
pub async fn erase(name: &str, registry: &str) -> Result<(), String> {
    let program = program(name)?;
    let words = converse(&program, "erase", registry).await?.err();
    let words = words.filter(|words| !words.contains("credentials not found"));
    words.map_or(Ok(()), |words| Err(format!("{program} failed: {words}")))
}

fn program(name: &str) -> Result<String, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.bytes().all(is_name) {
        Ok(format!("docker-credential-{name}"))
    } else {
        Err(format!("`{}` in Docker's config.json is no helper's name", name.escape_debug()))
    }
}

/// Has a helper do something; gives its standard output, or its words where it ended badly.
async fn converse(program: &str, action: &str, input: &str) -> Result<Result<Vec<u8>, String>, String> {
    let conversation = tokio::time::timeout(ANSWER_SECONDS_MAX, exchange(program, action, input)).await;
    let (output, is_fine) = conversation
        .map_err(|_| format!("{program} gave no answer within {} s", ANSWER_SECONDS_MAX.as_secs()))?
        .map_err(|cause| format!("{program} can't be run: {cause}"))?;
    Ok(if is_fine { Ok(output) } else { Err(http::excerpt(&String::from_utf8_lossy(&output))) })
}

/// Standard output and whether it ended well. The input goes through standard input, as Docker does it.
async fn exchange(program: &str, action: &str, text: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let mut child = Command::new(program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that doesn't read has its answer ready.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut output).await?;
    }
    Ok((output, child.wait().await?.success()))
}

/// Helpers may ask a keychain, and a keychain a person.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
