//! Files that the client finds on a machine, as `>>> KIND`: Docker's `config.json`, a profile of AWS's clients, the
//! caches of the credential helper and of sessions, a token, and words that a person gives on the command line.

use landfall_deliver::docker_config::{DockerConfig, Login};
use landfall_deliver::ecr::{self, EcrHost, Target};
use landfall_deliver::login::profile::Profile;
use landfall_deliver::login::{Cache, Session, StaticKeys, custom_tags};
use landfall_deliver::platform::Platform;
use landfall_deliver::registry::challenge::Challenge;
use landfall_deliver::{Environment, assemble, helper, id_token, proxy};
use landfall_types::{Secret, Timestamp};

use super::side::folder;

const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const NOW: Timestamp = Timestamp(1_790_856_000_000);

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    for (kind, text) in super::files(super::text(bytes), "config") {
        match kind {
            "config" => docker_config(text),
            "profile" => profile(text),
            "cache" => cache(text),
            "token" => {
                drop(id_token::claims(&Secret::new(text.to_owned())).map(|claims| id_token::telling(&claims)))
            }
            "challenge" => drop(Challenge::parse(text)),
            "proxy" => {
                let environment = environment(&[("HTTPS_PROXY", text)], None);
                let _ = proxy::Proxy::from_environment(&environment);
            }
            "keys" => drop(StaticKeys::parse(text)),
            "tags" => drop(custom_tags(text)),
            "helper" => helper_input(text),
            _ => words(text),
        }
    }
}

fn environment(variables: &[(&str, &str)], home: Option<&std::path::Path>) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::new(variables, home.map(std::borrow::ToOwned::to_owned))
}

/// The file is read, changed and written, and what was put into it is found again.
fn docker_config(text: &str) {
    let place = folder();
    let path = place.path().join("config.json");
    std::fs::write(&path, text).expect("a file");
    let Ok(mut config) = DockerConfig::read(&path) else { return };
    let _ = (config.login(REGISTRY), config.registries(), config.helper(REGISTRY));
    let login = Login { username: "AWS".to_owned(), password: Secret::new("pw".to_owned()) };
    if config.set(REGISTRY, &login).is_ok() {
        config.save().expect("a written file");
        let again = DockerConfig::read(&path).expect("the file that was written");
        assert_eq!(again.login(REGISTRY).map(|login| login.username), Some("AWS".to_owned()));
        config.remove(REGISTRY);
        assert!(config.login(REGISTRY).is_none());
    }
    let _ = config.set_helper(REGISTRY, "landfall");
    config.forget_helper(REGISTRY);
}

/// A profile is added to what is there, and nothing else of it changes.
fn profile(text: &str) {
    let place = folder();
    let file = place.path().join("credentials");
    std::fs::write(&file, text).expect("a file");
    let shown = file.display().to_string();
    let config = place.path().join("config").display().to_string();
    let environment =
        environment(&[("AWS_SHARED_CREDENTIALS_FILE", &shown), ("AWS_CONFIG_FILE", &config)], None);
    let Ok(profile) = Profile::new("deploy", true, &environment) else { return };
    let session = Session {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: Secret::new("s/k+".to_owned()),
        session_token: None,
        expiration: None,
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
        arn: "arn:x".to_owned(),
    };
    if profile.write(&session).is_ok() {
        let first = std::fs::read_to_string(&file).expect("the file that was written");
        profile.write(&session).expect("the same once more");
        assert_eq!(std::fs::read_to_string(&file).ok(), Some(first));
    }
}

fn cache(text: &str) {
    let place = folder();
    let path = place.path().join("session");
    std::fs::write(&path, text).expect("a file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    if let Ok(Some(kept)) = Cache::new(path).read("deploy") {
        let _ = (kept.is_due(NOW), kept.is_alive(NOW));
    }
}

fn helper_input(text: &str) {
    let place = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let environment = environment(&[("AWS_ACCESS_KEY_ID", "AKIA")], Some(place.path()));
    for action in ["store", "erase", "list"] {
        let _ = runtime.block_on(helper::answer(action, text, &environment, || NOW));
    }
}

fn words(text: &str) {
    let _ = (EcrHost::parse(text), Target::parse(text), Platform::parse(text));
    let _ = ecr::targets(&[text.to_owned()]);
    let _ = assemble::command(text);
    let _ = ecr::is_ecr_registry(text, &environment(&[("AWS_ENDPOINT_URL", text)], None));
    let _ = Login::from_base64(text);
}
