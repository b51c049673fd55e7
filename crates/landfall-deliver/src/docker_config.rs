//! Docker's `config.json`, where registry logins are kept for every client that follows Docker.
//! <https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties>
//!
//! No `docker` binary is needed, and no password goes through a command line. Everything in the file
//! that isn't the login in question stays as it is.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_types::Secret;
use serde::Serialize as _;
use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::{private, read};

pub mod helper;

/// A user name and a password for one registry, or an identity token for its token service.
#[derive(Clone, Debug)]
pub struct Login {
    /// `AWS` for private ECR; [`IDENTITY`] where the password is an identity token.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}

/// The user name by which credential helpers tell an identity token from a password.
/// <https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol>
pub const IDENTITY: &str = "<token>";

impl Login {
    /// What the token service gives access tokens for, in place of a user and a password.
    pub fn identity_token(&self) -> Option<&Secret<String>> {
        (self.username == IDENTITY).then_some(&self.password)
    }

    /// Reads the base64 of `USER:PASSWORD`, the form of Docker's `auth` member and of ECR's
    /// authorization token.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        // Docker's own reader drops trailing NULs.
        let (username, password) = text.trim_end_matches('\0').split_once(':')?;
        Some(Self { username: username.to_owned(), password: Secret::new(password.to_owned()) })
    }

    /// The base64 of `USER:PASSWORD`.
    pub fn to_base64(&self) -> Secret<String> {
        Secret::new(STANDARD.encode(format!("{}:{}", self.username, self.password.expose())))
    }
}

/// The file's content and where it is.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    path: PathBuf,
    content: Map<String, Value>,
}

/// The file: in `directory`, else in `DOCKER_CONFIG`, else in `~/.docker`.
///
/// # Errors
/// When none of the three is known.
pub fn location(directory: Option<&Path>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    directory
        .map(Path::to_owned)
        .or_else(|| environment.path("DOCKER_CONFIG"))
        .or_else(|| environment.home().map(|home| home.join(".docker")))
        .map(|directory| directory.join("config.json"))
        .ok_or(ConfigError::NoLocation)
}

/// Changes the file. Two that change it at once come one after the other, and neither's login is lost.
///
/// # Errors
/// When it can't be read or written, or `change` fails: then nothing is written.
pub fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut DockerConfig) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let failed = |cause| ConfigError::Write { path: path.to_owned(), cause };
    let target = target_of(path);
    let directory = private::directory_of(&target);
    private::make_directory(directory).map_err(failed)?;
    let _lock = private::lock(directory).map_err(failed)?;
    let mut config = DockerConfig::read(path)?;
    let before = config.content.clone();
    let done = change(&mut config)?;
    if config.content != before {
        config.save()?;
    }
    Ok(done)
}

/// A configuration of one's own in a new folder below `parent`: what is in the one at `path`, but no program that
/// keeps the logins elsewhere, for that one is everybody's. Docker's plugins and contexts are found from there too.
/// Gives the folder.
///
/// # Errors
/// When the old one can't be read, or the new one can't be made.
pub fn isolated(path: &Path, parent: &Path) -> Result<PathBuf, ConfigError> {
    let mut config = DockerConfig::read(path)?;
    config.content.shift_remove("credsStore");
    let failed = |cause| ConfigError::Write { path: parent.to_owned(), cause };
    let folder = tempfile::Builder::new().prefix("landfall-docker-").tempdir_in(parent).map_err(failed)?;
    config.path = folder.path().join("config.json");
    config.save()?;
    #[cfg(unix)]
    for name in BESIDE {
        let old = private::directory_of(path).join(name);
        if let Ok(old) = std::fs::canonicalize(old) {
            std::os::unix::fs::symlink(old, folder.path().join(name)).map_err(failed)?;
        }
    }
    Ok(folder.keep())
}

/// Renaming over a symbolic link would replace the link: what counts is what it points to.
fn target_of(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl DockerConfig {
    /// Reads the file; a missing one counts as empty.
    ///
    /// # Errors
    /// When it can't be read or isn't a JSON object of at most 1 MiB.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |cause| ConfigError::Read { path: path.to_owned(), cause };
        let bytes = match std::fs::File::open(path).and_then(|file| read::whole(file, CONFIG_BYTES_MAX)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let content = if bytes.iter().all(u8::is_ascii_whitespace) {
            Map::new()
        } else {
            // Line and column only: the parser's text never quotes values.
            serde_json::from_slice(&bytes)
                .map_err(|error| ConfigError::NotJson { path: path.to_owned(), line: error.line() })?
        };
        Ok(Self { path: path.to_owned(), content })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets a registry's login.
    ///
    /// # Errors
    /// When `auths` isn't an object.
    pub fn set(&mut self, registry: &str, login: &Login) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let auths = self.content.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        let auths = auths.as_object_mut().ok_or(ConfigError::Shape { path, member: "auths" })?;
        let mut entry = auths.get(registry).and_then(Value::as_object).cloned().unwrap_or_default();
        for old in ["username", "password", "identitytoken", "registrytoken"] {
            entry.shift_remove(old);
        }
        entry.insert("auth".to_owned(), Value::from(login.to_base64().expose().as_str()));
        auths.insert(registry.to_owned(), Value::Object(entry));
        Ok(())
    }

    /// Removes a registry's login, also one that was written with a scheme. Says whether there was one.
    pub fn remove(&mut self, registry: &str) -> bool {
        let Some(auths) = self.content.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = auths.len();
        auths.retain(|name, _| host_of(name) != registry);
        auths.len() != before
    }

    /// A registry's login as it stands in the file. What only a credential helper knows isn't here.
    pub fn login(&self, registry: &str) -> Option<Login> {
        let auths = self.content.get("auths")?.as_object()?;
        let entry = auths
            .get(registry)
            .or_else(|| auths.iter().find(|(name, _)| host_of(name) == registry).map(|(_, entry)| entry))?;
        let text = |name| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            let password = Secret::new(token.to_owned());
            return Some(Login { username: IDENTITY.to_owned(), password });
        }
        if let Some(auth) = text("auth") {
            return Login::from_base64(auth);
        }
        Some(Login {
            username: text("username")?.to_owned(),
            password: Secret::new(text("password")?.to_owned()),
        })
    }

    /// The registries that have a login in the file.
    pub fn registries(&self) -> Vec<String> {
        let auths = self.content.get("auths").and_then(Value::as_object);
        auths.into_iter().flatten().map(|(name, _)| host_of(name).to_owned()).collect()
    }

    /// Notes that a helper has this registry's login, as Docker does: by an entry that says nothing.
    ///
    /// # Errors
    /// When `auths` isn't an object.
    pub fn set_elsewhere(&mut self, registry: &str) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let auths = self.content.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        let auths = auths.as_object_mut().ok_or(ConfigError::Shape { path, member: "auths" })?;
        auths.insert(registry.to_owned(), Value::Object(Map::new()));
        Ok(())
    }

    /// The credential helper that Docker asks for this registry, in place of looking at `auths`.
    pub fn helper(&self, registry: &str) -> Option<String> {
        let named = self.content.get("credHelpers").and_then(|helpers| helpers.get(registry));
        let helper = named.or_else(|| self.content.get("credsStore"))?.as_str()?;
        (!helper.is_empty()).then(|| helper.to_owned())
    }

    /// Has Docker's clients ask a helper for this registry.
    ///
    /// # Errors
    /// When `credHelpers` isn't an object.
    pub fn set_helper(&mut self, registry: &str, helper: &str) -> Result<(), ConfigError> {
        let path = self.path.clone();
        let helpers = self.content.entry("credHelpers").or_insert_with(|| Value::Object(Map::new()));
        let helpers = helpers.as_object_mut().ok_or(ConfigError::Shape { path, member: "credHelpers" })?;
        helpers.insert(registry.to_owned(), Value::from(helper));
        Ok(())
    }

    /// Has Docker's clients look for this registry's login in the file, whatever helper is named for it alone.
    pub fn forget_helper(&mut self, registry: &str) {
        if let Some(helpers) = self.content.get_mut("credHelpers").and_then(Value::as_object_mut) {
            helpers.shift_remove(registry);
        }
    }

    /// Writes the file in one step: another process sees the old or the new content, never half of it.
    /// Only the owner may read it.
    ///
    /// # Errors
    /// When directory or file can't be written.
    pub fn save(&self) -> Result<(), ConfigError> {
        self.write().map_err(|cause| ConfigError::Write { path: self.path.clone(), cause })
    }

    fn write(&self) -> io::Result<()> {
        let path = target_of(&self.path);
        let directory = private::directory_of(&path);
        private::make_directory(directory)?;
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.content.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
        // `tempfile` creates with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// `https://HOST/v1/`, as old Docker versions wrote it, names the same registry as `HOST`.
pub(crate) fn host_of(name: &str) -> &str {
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    rest.split('/').next().unwrap_or(rest)
}

/// Why Docker's configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither a flag nor a variable nor a home directory.
    #[error("no place for Docker's config.json: DOCKER_CONFIG, HOME or --docker-config DIR is expected")]
    NoLocation,
    /// Reading.
    #[error("reading `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Writing.
    #[error("writing `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Not a JSON object.
    #[error("`{path}` line {line}: a JSON object is expected")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, from 1.
        line: usize,
    },
    /// A member isn't an object.
    #[error("`{path}`: `{member}` must be an object")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The member.
        member: &'static str,
    },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::usage(error.to_string()).causes_of(&error)
    }
}

/// What Docker keeps beside the file and looks for there.
const BESIDE: &[&str] = &["cli-plugins", "contexts", "buildx"];
/// The longest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
