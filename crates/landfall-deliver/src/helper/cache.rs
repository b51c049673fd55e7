//! Passwords of ECR between two runs of the helper: one file for each of a session's registries, so that two runs at
//! once are in nobody's way.
//!
//! A password outlives the session that it was made with, for up to twelve hours. What comes from here doesn't:
//! it ends with the session, and other credentials find nothing.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use landfall_types::Timestamp;
use serde_json::{Value, json};

use crate::docker_config::Login;
use crate::ecr::Authorization;
use crate::environment::Environment;
use crate::private;

/// The files of one session. Whatever goes wrong with them, the helper does its work without.
pub struct Cache {
    directory: PathBuf,
    /// Whose passwords these are.
    owner: String,
}

impl Cache {
    /// In `XDG_CACHE_HOME`, else in `~/.cache`; none without a home, or when it is turned off.
    pub fn new(environment: &Environment) -> Option<Self> {
        if environment.get(SWITCH).is_some_and(|value| value.eq_ignore_ascii_case("off")) {
            return None;
        }
        let home = || environment.home().map(|home| home.join(".cache"));
        let directory = environment.path("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(home)?;
        Some(Self { directory: directory.join("landfall/ecr"), owner: owner(environment) })
    }

    /// The password for a registry, if there is one that still serves.
    pub fn read(&self, registry: &str, now: Timestamp) -> Option<Login> {
        let (value, login) = read(&self.path(registry))?;
        (value["owner"] == self.owner.as_str() && is_alive(&value, now)).then_some(login)
    }

    /// Keeps a password. Keys that don't say when they end are those of a session, of which the shortest live for a
    /// quarter of an hour.
    pub fn write(
        &self,
        registry: &str,
        given: &Authorization,
        session_end: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Some(expiration) = given.expiration else { return };
        let session_end = session_end.unwrap_or_else(|| now.plus_seconds(UNKNOWN_END_SECONDS));
        let until = expiration.plus_seconds(-MARGIN_SECONDS).min(session_end);
        let value = json!({
            "owner": self.owner,
            "registry": registry,
            "login": given.login.to_base64().expose(),
            "until_millis": until.0,
        });
        if private::make_directory(&self.directory).is_err() {
            return;
        }
        self.clear(now);
        // A full disk: the next run asks again.
        let _ = private::write(&self.path(registry), value.to_string().as_bytes());
    }

    /// Forgets a registry's password.
    pub fn erase(&self, registry: &str) {
        let _ = std::fs::remove_file(self.path(registry));
    }

    /// Registries and users of all that still serve.
    pub fn list(&self, now: Timestamp) -> Vec<(String, String)> {
        let known = self.files().into_iter().filter_map(|path| read(&path));
        let own = known.filter(|(value, _)| value["owner"] == self.owner.as_str() && is_alive(value, now));
        own.filter_map(|(value, login)| Some((value["registry"].as_str()?.to_owned(), login.username)))
            .collect()
    }

    /// Takes away what no longer serves: sessions of jobs that are over.
    fn clear(&self, now: Timestamp) {
        for path in self.files() {
            if read(&path).is_some_and(|(value, _)| !is_alive(&value, now)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().take(FILES_MAX);
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.extension().is_some_and(|it| it == "json")).collect()
    }

    fn path(&self, registry: &str) -> PathBuf {
        let mut context = Context::new(&SHA256);
        context.update(self.owner.as_bytes());
        context.update(registry.as_bytes());
        self.directory.join(format!("{}.json", hex(context)))
    }
}

fn read(path: &Path) -> Option<(Value, Login)> {
    let bytes = private::read(path, ENTRY_BYTES_MAX).ok()??;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    let login = Login::from_base64(value["login"].as_str()?)?;
    Some((value, login))
}

fn is_alive(value: &Value, now: Timestamp) -> bool {
    value["until_millis"].as_i64().is_some_and(|until| now.0 < until)
}

/// Who would ask ECR, without asking anybody: an access key, else what the SDK's chain reads.
fn owner(environment: &Environment) -> String {
    let mut context = Context::new(&SHA256);
    let mut update = |name: &str, value: &[u8]| {
        context.update(format!("{name}={}:", value.len()).as_bytes());
        context.update(value);
    };
    for name in PLACES {
        update(name, environment.get(name).unwrap_or_default().as_bytes());
    }
    if let Some(id) = environment.get("AWS_ACCESS_KEY_ID") {
        update("AWS_ACCESS_KEY_ID", id.as_bytes());
        return hex(context);
    }
    for name in SOURCES {
        update(name, environment.get(name).unwrap_or_default().as_bytes());
    }
    let shared = |variable: &str, file: &str| {
        environment.path(variable).or_else(|| environment.home().map(|home| home.join(".aws").join(file)))
    };
    let files = [
        shared("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        shared("AWS_CONFIG_FILE", "config"),
        environment.path("AWS_WEB_IDENTITY_TOKEN_FILE"),
        environment.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ];
    for file in files.into_iter().flatten() {
        update("file", &start_of(&file));
    }
    hex(context)
}

fn start_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if is_file && let Ok(file) = std::fs::File::open(path) {
        // What can't be read says as much about whose it is as an empty file.
        let _ = file.take(SOURCE_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `off` turns the cache off.
const SWITCH: &str = "LANDFALL_ECR_CACHE";
/// Where ECR is.
const PLACES: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECR"];
/// What leads the SDK to credentials, beside the files.
const SOURCES: &[&str] = &[
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];
/// What is left of a password when it no longer comes from here: a long push wants to end with it.
const MARGIN_SECONDS: i64 = 900;
/// How long a password of credentials serves that don't say when they end: as long as STS's shortest sessions live.
const UNKNOWN_END_SECONDS: i64 = 900;
/// The longest entry that is read, in bytes.
const ENTRY_BYTES_MAX: u64 = 64 * 1024;
/// How much of a file says whose credentials are in it, in bytes.
const SOURCE_BYTES_MAX: u64 = 1024 * 1024;
/// How many entries are looked at.
const FILES_MAX: usize = 1_000;
