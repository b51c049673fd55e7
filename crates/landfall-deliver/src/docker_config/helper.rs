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
    let program = format!("docker-credential-{name}");
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.bytes().all(is_name) {
        return Err(format!("`{}` in Docker's config.json is no helper's name", name.escape_debug()));
    }
    let conversation = tokio::time::timeout(ANSWER_SECONDS_MAX, converse(&program, registry)).await;
    let (output, is_fine) = conversation
        .map_err(|_| format!("{program} gave no answer within {} s", ANSWER_SECONDS_MAX.as_secs()))?
        .map_err(|cause| format!("{program} can't be run: {cause}"))?;
    if !is_fine {
        let words = http::excerpt(&String::from_utf8_lossy(&output));
        // The protocol's own words for it.
        if words.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("{program} failed: {words}"));
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // Not the parser's own words: they may quote the answer.
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| format!("{program} answered no JSON with Username and Secret"))?;
    if answer.username == "<token>" {
        return Err(format!("{program} gave an identity token: a user name and a password are expected"));
    }
    Ok(Some(Login { username: answer.username, password: Secret::new(answer.secret) }))
}

/// Standard output and whether it ended well. The registry goes through standard input, as Docker does it.
async fn converse(program: &str, registry: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that doesn't read has its answer ready.
        let _ = input.write_all(registry.as_bytes()).await;
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
