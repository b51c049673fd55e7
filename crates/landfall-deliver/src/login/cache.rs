//! A session in a file between two runs, for those who ask for it: `credential_process` is started
//! anew by every client.

use std::io;
use std::path::PathBuf;

use landfall_types::{Secret, Timestamp};
use serde_json::{Value, json};

use super::{Options, Session};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::keeper::Kept;
use crate::private;

/// A file that only its owner may read.
#[derive(Clone, Debug)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// The cache in this file, which needn't exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was kept for the same question. A file that isn't a cache counts as empty: it is written anew.
    ///
    /// # Errors
    /// When it is no regular file, or others than its owner may read it: then anybody could have put it there.
    pub fn read(&self, name: &str) -> Result<Option<Kept>, Failure> {
        let bytes =
            private::read(&self.path, CACHE_BYTES_MAX).map_err(|error| self.failure("reading", error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(if value["for"] == name { kept(&value) } else { None })
    }

    /// Keeps a session. Keys that don't end are not written: there is nothing to gain.
    ///
    /// # Errors
    /// When the directory can't be written to.
    pub fn write(&self, name: &str, kept: &Kept) -> Result<(), Failure> {
        let session = &kept.session;
        let (Some(end), Some(token)) = (session.expiration, &session.session_token) else { return Ok(()) };
        let value = json!({
            "for": name,
            "access_key_id": session.access_key_id,
            "secret_access_key": session.secret_access_key.expose(),
            "session_token": token.expose(),
            "expiration_millis": end.0,
            "obtained_millis": kept.obtained.0,
            "region": session.region,
            "account": session.account,
            "arn": session.arn,
        });
        private::write(&self.path, value.to_string().as_bytes())
            .map_err(|error| self.failure("writing", error))
    }

    fn failure(&self, doing: &str, error: io::Error) -> Failure {
        Failure::usage(format!("{doing} the cache `{}`", self.path.display())).caused_by(error)
    }
}

fn kept(value: &Value) -> Option<Kept> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let session = Session {
        access_key_id: text("access_key_id")?,
        secret_access_key: Secret::new(text("secret_access_key")?),
        session_token: Some(Secret::new(text("session_token")?)),
        expiration: Some(Timestamp(value["expiration_millis"].as_i64()?)),
        region: text("region")?,
        account: text("account")?,
        arn: text("arn")?,
    };
    Some(Kept { session, obtained: Timestamp(value["obtained_millis"].as_i64()?) })
}

/// What a session is made from, as one word: a session serves the same question only. Secrets go in
/// as a hash among other things and can't be read back.
pub fn fingerprint(options: &Options, environment: &Environment) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    // Attempts and waiting times change nothing about the session.
    let question = Options { backoff: crate::http::Backoff::default(), time_limit: None, ..options.clone() };
    context.update(format!("{question:?}").as_bytes());
    for name in SOURCES {
        let value = environment.get(name).unwrap_or_default();
        context.update(format!("\n{name}={}:{value}", value.len()).as_bytes());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Variables that say whose session it will be, and where it is made.
const SOURCES: &[&str] = &[
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "CI_JOB_ID",
];
/// The longest cache that is read, in bytes.
const CACHE_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::testing::environment;

    fn example() -> Kept {
        let session = Session {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("secret".to_owned()),
            session_token: Some(Secret::new("token".to_owned())),
            expiration: Some(Timestamp::from_seconds(3600)),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            arn: "arn:aws:sts::123456789012:assumed-role/deploy/x".to_owned(),
        };
        Kept { session, obtained: Timestamp(0) }
    }

    #[test]
    fn a_session_comes_back_for_the_same_question_only() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        assert!(cache.read("a").unwrap().is_none());
        cache.write("a", &example()).unwrap();
        let back = cache.read("a").unwrap().unwrap();
        assert_eq!(back.session.secret_access_key.expose(), "secret");
        assert_eq!((back.session.expiration, back.obtained), (example().session.expiration, Timestamp(0)));
        assert!(cache.read("b").unwrap().is_none());
        std::fs::write(&cache.path, "{").unwrap();
        assert!(cache.read("a").unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_cache_that_others_may_use_or_that_is_a_link_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        cache.write("a", &example()).unwrap();
        let mode = std::fs::metadata(&cache.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&cache.path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let failure = cache.read("a").unwrap_err();
        assert!(failure.details.join(" ").contains("0640"), "{failure:?}");
        let link = Cache::new(directory.path().join("link"));
        std::os::unix::fs::symlink(&cache.path, &link.path).unwrap();
        assert!(link.read("a").is_err());
    }

    #[test]
    fn another_role_or_another_source_is_another_question() {
        let job = environment(&[("AWS_ACCESS_KEY_ID", "AKIAONE")]);
        let options = |role: &str| Options { role: Some(role.to_owned()), ..Options::default() };
        let one = fingerprint(&options("one"), &job);
        assert_eq!(one, fingerprint(&options("one"), &job));
        assert_ne!(one, fingerprint(&options("two"), &job));
        assert_ne!(one, fingerprint(&options("one"), &environment(&[("AWS_ACCESS_KEY_ID", "AKIATWO")])));
    }
}
