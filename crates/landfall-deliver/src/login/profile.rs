//! A session as a profile in the files that AWS's clients share: `credentials` has the keys, `config` the region.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>
//!
//! Both files are made before either is put in place. All that is not the profile stays as it is, to the letter.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use landfall_types::Secret;
use tempfile::NamedTempFile;

use super::Session;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::private;
use crate::read::whole;

/// The two files, and the profile's name.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    overwrites: bool,
    credentials: PathBuf,
    config: PathBuf,
}

impl Profile {
    /// The profile of this name in the files that the environment names, else below `~/.aws`.
    ///
    /// # Errors
    /// A name that is none, no home, or a profile that is there already and is not to be overwritten.
    pub fn new(name: &str, overwrites: bool, environment: &Environment) -> Result<Self, Failure> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.+=,@:/-".contains(&b);
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(fits) {
            return Err(Failure::usage(format!(
                "`{}` is not a profile's name: 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 _ . + = , @ : / - are expected",
                name.escape_debug()
            )));
        }
        let place = |variable: &str, file: &str| {
            let home = || environment.home().map(|home| home.join(".aws").join(file));
            environment.path(variable).or_else(home).ok_or_else(|| {
                Failure::usage(format!("no place for the profile: HOME or {variable} is expected"))
            })
        };
        let profile = Self {
            name: name.to_owned(),
            overwrites,
            credentials: place("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: place("AWS_CONFIG_FILE", "config")?,
        };
        profile.texts(None)?;
        Ok(profile)
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the session. Two that write at once come one after the other.
    ///
    /// # Errors
    /// When a file can't be read or written, is a symbolic link, or has the profile by now.
    pub fn write(&self, session: &Session) -> Result<(), Failure> {
        let failed = |path: &Path| {
            let shown = format!("writing `{}`", path.display());
            move |error: io::Error| Failure::usage(shown).caused_by(error)
        };
        // One lock for both: whoever writes one of them writes the other too.
        let directory = private::directory_of(&self.credentials);
        private::make_directory(directory).map_err(failed(&self.credentials))?;
        private::make_directory(private::directory_of(&self.config)).map_err(failed(&self.config))?;
        let _lock = private::lock(directory).map_err(failed(&self.credentials))?;
        let (credentials, config) = self.texts(Some(session))?;
        let credentials =
            staged(&self.credentials, credentials.expose()).map_err(failed(&self.credentials))?;
        let config = staged(&self.config, &config).map_err(failed(&self.config))?;
        let place = |file: NamedTempFile, path: &Path| {
            file.persist(path).map(|_| ()).map_err(|error| failed(path)(error.error))
        };
        place(config, &self.config)?;
        place(credentials, &self.credentials)
    }

    /// Both files as they will be.
    fn texts(&self, session: Option<&Session>) -> Result<(Secret<String>, String), Failure> {
        let lines = session.map(|session| {
            let token = session.session_token.as_ref();
            let token =
                token.map_or_else(String::new, |token| format!("aws_session_token = {}\n", token.expose()));
            let keys = format!(
                "aws_access_key_id = {}\naws_secret_access_key = {}\n{token}",
                session.access_key_id,
                session.secret_access_key.expose()
            );
            (keys, format!("region = {}\n", session.region))
        });
        let (keys, region) = lines.unwrap_or_default();
        let section =
            if self.name == "default" { self.name.clone() } else { format!("profile {}", self.name) };
        let credentials = self.text(&self.credentials, &self.name, &keys)?;
        Ok((Secret::new(credentials), self.text(&self.config, &section, &region)?))
    }

    fn text(&self, path: &Path, section: &str, lines: &str) -> Result<String, Failure> {
        let old = read(path)
            .map_err(|error| Failure::usage(format!("reading `{}`", path.display())).caused_by(error))?;
        let (others, had_it) = without(&old, section);
        if had_it && !self.overwrites {
            return Err(Failure::usage(format!(
                "`{}` has a profile `{}` already",
                path.display(),
                self.name
            ))
            .help("--overwrite-aws-profile replaces it"));
        }
        let gap = if others.is_empty() || others.ends_with("\n\n") {
            ""
        } else if others.ends_with('\n') {
            "\n"
        } else {
            "\n\n"
        };
        Ok(format!("{others}{gap}[{section}]\n{lines}"))
    }
}

/// A file's text without one of its sections, and whether it had it.
fn without(text: &str, section: &str) -> (String, bool) {
    let (mut kept, mut had_it, mut is_inside) = (String::new(), false, false);
    for line in text.split_inclusive('\n') {
        if let Some(name) = heading(line) {
            is_inside = name == section;
            had_it |= is_inside;
        }
        if !is_inside {
            kept.push_str(line);
        }
    }
    (kept, had_it)
}

/// The words in a section's heading, with one blank between them.
fn heading(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix('[')?;
    let (inside, _) = rest.split_once(']')?;
    Some(inside.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn read(path: &Path) -> io::Result<String> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(io::Error::other("a regular file is expected, and no link to one")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    }
    let bytes = whole(File::open(path)?, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text"))
}

fn staged(path: &Path, text: &str) -> io::Result<NamedTempFile> {
    // `tempfile` creates with mode 0600.
    let mut file = NamedTempFile::new_in(private::directory_of(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The longest name of a profile.
const NAME_CHARS_MAX: usize = 128;
/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn session() -> Session {
        Session {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("s/k+".to_owned()),
            session_token: Some(Secret::new("token".to_owned())),
            expiration: None,
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            arn: "arn:x".to_owned(),
        }
    }

    fn home(credentials: Option<&str>, config: Option<&str>) -> (tempfile::TempDir, Environment) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in [("credentials", credentials), ("config", config)] {
            if let Some(text) = text {
                std::fs::write(home.path().join(".aws").join(name), text).unwrap();
            }
        }
        let environment = Environment::new([], Some(home.path().to_owned()));
        (home, environment)
    }

    fn texts(home: &tempfile::TempDir) -> [String; 2] {
        ["credentials", "config"]
            .map(|name| std::fs::read_to_string(home.path().join(".aws").join(name)).unwrap())
    }

    const KEYS: &str =
        "aws_access_key_id = ASIAEXAMPLE\naws_secret_access_key = s/k+\naws_session_token = token\n";

    #[test]
    fn a_profile_is_added_and_everything_else_stays_as_it_is() {
        let (home, environment) = home(Some("# mine\n[default]\naws_access_key_id=A ; x\n"), None);
        Profile::new("ci", false, &environment).unwrap().write(&session()).unwrap();
        let wanted = format!("# mine\n[default]\naws_access_key_id=A ; x\n\n[ci]\n{KEYS}");
        assert_eq!(texts(&home), [wanted, "[profile ci]\nregion = eu-west-1\n".to_owned()]);
    }

    #[test]
    fn the_default_profile_has_its_own_name_in_both_files() {
        let (home, environment) = home(None, None);
        Profile::new("default", false, &environment).unwrap().write(&session()).unwrap();
        assert_eq!(
            texts(&home),
            [format!("[default]\n{KEYS}"), "[default]\nregion = eu-west-1\n".to_owned()]
        );
    }

    #[test]
    fn a_profile_that_is_there_is_replaced_only_when_that_is_asked_for() {
        let old = "[ci]\naws_access_key_id = OLD\ncredential_process = x\n# end\n\n[b]\nk = v\n";
        let (home, environment) = home(Some(old), Some("[profile  ci]\nrole_arn = r\n"));
        let failure = Profile::new("ci", false, &environment).unwrap_err();
        assert!(failure.message.contains("has a profile `ci` already"), "{failure:?}");
        Profile::new("ci", true, &environment).unwrap().write(&session()).unwrap();
        assert_eq!(
            texts(&home),
            [format!("[b]\nk = v\n\n[ci]\n{KEYS}"), "[profile ci]\nregion = eu-west-1\n".to_owned()]
        );
    }

    #[cfg(unix)]
    #[test]
    fn both_files_are_private_and_a_link_is_refused_before_anything_is_written() {
        use std::os::unix::fs::PermissionsExt as _;
        let (home, environment) = home(Some(""), None);
        Profile::new("ci", false, &environment).unwrap().write(&session()).unwrap();
        for name in ["credentials", "config"] {
            let mode = std::fs::metadata(home.path().join(".aws").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let config = home.path().join(".aws/config");
        std::fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &config).unwrap();
        let failure = Profile::new("other", false, &environment).unwrap_err();
        assert!(failure.details.join(" ").contains("no link to one"), "{failure:?}");
        assert!(!texts(&home)[0].contains("[other]"));
    }

    #[test]
    fn a_name_that_would_be_another_section_is_none() {
        let (_home, environment) = home(None, None);
        for name in ["", "a]b", "a\n[b", "a b", "é"] {
            assert!(Profile::new(name, true, &environment).is_err(), "{name:?}");
        }
        let nowhere = Profile::new("ci", true, &Environment::default()).unwrap_err();
        assert!(nowhere.message.contains("HOME or AWS_SHARED_CREDENTIALS_FILE"), "{nowhere:?}");
    }
}
