//! Keys that are handed over on standard input: never in a command line, where every process sees them.

use aws_sdk_sts::config::Credentials;
use landfall_types::Secret;
use serde_json::Value;

/// An access key, or a session's keys.
#[derive(Clone, Debug)]
pub struct StaticKeys {
    access_key_id: String,
    secret_access_key: Secret<String>,
    session_token: Option<Secret<String>>,
}

impl StaticKeys {
    /// Reads `AWS_ACCESS_KEY_ID=…` lines (`export` in front is fine) or one JSON object with `AccessKeyId`,
    /// `SecretAccessKey` and perhaps `SessionToken`, as `credential_process` and STS write them.
    ///
    /// # Errors
    /// What is missing. Nothing of the text is repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Option<Value> = serde_json::from_str(text).ok();
        let get = |variable: &str, member: &str| {
            let found = match &json {
                Some(object) => object[member].as_str().map(str::to_owned),
                None => line(text, variable),
            };
            found.filter(|value| !value.is_empty())
        };
        let needed = |variable: &str, member: &str| {
            get(variable, member)
                .ok_or_else(|| format!("standard input has no {variable}=… line (in JSON: no `{member}`)"))
        };
        Ok(Self {
            access_key_id: needed("AWS_ACCESS_KEY_ID", "AccessKeyId")?,
            secret_access_key: Secret::new(needed("AWS_SECRET_ACCESS_KEY", "SecretAccessKey")?),
            session_token: get("AWS_SESSION_TOKEN", "SessionToken").map(Secret::new),
        })
    }

    pub(super) fn credentials(&self) -> Credentials {
        let token = self.session_token.as_ref().map(|token| token.expose().clone());
        Credentials::new(&self.access_key_id, self.secret_access_key.expose(), token, None, "standard input")
    }
}

fn line(text: &str, variable: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("export ").unwrap_or(line).split_once('=')
    });
    let mut values = pairs.filter(|(name, _)| name.trim() == variable).map(|(_, value)| value.trim());
    values.next().map(|value| value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn keys_come_as_lines_or_as_json() {
        for (text, token) in [
            ("AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=s=\n", None),
            (
                "export AWS_ACCESS_KEY_ID=\"A\"\nexport AWS_SECRET_ACCESS_KEY='s='\nAWS_SESSION_TOKEN=t",
                Some("t"),
            ),
            (r#"{"AccessKeyId": "A", "SecretAccessKey": "s=", "SessionToken": "t"}"#, Some("t")),
        ] {
            let keys = StaticKeys::parse(text).unwrap().credentials();
            assert_eq!(
                (keys.access_key_id(), keys.secret_access_key(), keys.session_token()),
                ("A", "s=", token),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_repeated() {
        for (text, missing) in [
            ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_ACCESS_KEY_ID"),
            ("AWS_ACCESS_KEY_ID=hunter2", "AWS_SECRET_ACCESS_KEY"),
            ("hunter2", "AWS_ACCESS_KEY_ID"),
            (r#"["hunter2"]"#, "AccessKeyId"),
        ] {
            let error = StaticKeys::parse(text).unwrap_err();
            assert!(error.contains(missing) && !error.contains("hunter2"), "{error}");
        }
    }
}
