#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::testing::environment;

fn login() -> Login {
    Login { username: "AWS".to_owned(), password: Secret::new("p:w".to_owned()) }
}

fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

#[test]
fn a_login_is_merged_and_everything_else_stays() {
    let cases = [
        ("", r#"{"auths":{"r:1":{"auth":"QVdTOnA6dw=="}}}"#),
        (
            r#"{"HttpHeaders":{"a":"b"},"auths":{"z":{"auth":"eDp5"}},"credsStore":"x"}"#,
            r#"{"HttpHeaders":{"a":"b"},"auths":{"z":{"auth":"eDp5"},"r:1":{"auth":"QVdTOnA6dw=="}},"credsStore":"x"}"#,
        ),
        (
            r#"{"auths":{"r:1":{"auth":"b2xkOm9sZA==","identitytoken":"t","email":"e"}}}"#,
            r#"{"auths":{"r:1":{"auth":"QVdTOnA6dw==","email":"e"}}}"#,
        ),
    ];
    for (before, after) in cases {
        let (_directory, path) = written(before);
        let mut config = DockerConfig::read(&path).unwrap();
        config.set("r:1", &login()).unwrap();
        config.save().unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value.to_string(), after);
        assert_eq!(DockerConfig::read(&path).unwrap().login("r:1").unwrap().password.expose(), "p:w");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it_and_a_link_stays_a_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/docker/config.json");
    let mut config = DockerConfig::read(&path).unwrap();
    config.set("r", &login()).unwrap();
    config.save().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);

    let link = directory.path().join("config.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut config = DockerConfig::read(&link).unwrap();
    config.set("s", &login()).unwrap();
    config.save().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(DockerConfig::read(&path).unwrap().registries(), ["r", "s"]);
}

#[test]
fn logins_are_found_as_docker_finds_them() {
    let (_directory, path) = written(
        r#"{"auths":{"https://a.example/v1/":{"auth":"eDp5"},"b.example":{"username":"u","password":"p"},
            "c.example":{},"d.example":{"auth":"bm9jb2xvbg=="},
            "i.example":{"auth":"PHRva2VuPjo=","identitytoken":"opaque"}},
            "credHelpers":{"h.example":"ecr-login"}}"#,
    );
    let config = DockerConfig::read(&path).unwrap();
    let user = |registry: &str| config.login(registry).map(|login| login.username);
    assert_eq!(user("a.example").as_deref(), Some("x"));
    assert_eq!(user("b.example").as_deref(), Some("u"));
    let identity = config.login("i.example").unwrap();
    assert_eq!(identity.identity_token().map(|token| token.expose().as_str()), Some("opaque"));
    assert!(config.login("a.example").unwrap().identity_token().is_none());
    for registry in ["c.example", "d.example", "h.example", "none"] {
        assert_eq!(user(registry), None, "{registry}");
    }
    assert_eq!(config.helper("h.example").as_deref(), Some("ecr-login"));
    assert_eq!(config.helper("a.example"), None);
}

#[test]
fn a_login_is_removed_in_every_spelling() {
    let (_directory, path) = written(r#"{"auths":{"https://a/v1/":{},"a":{},"ab":{}}}"#);
    let mut config = DockerConfig::read(&path).unwrap();
    assert!(config.remove("a"));
    assert!(!config.remove("a"));
    assert_eq!(config.registries(), ["ab"]);
}

#[test]
fn what_cannot_be_read_is_said_without_quoting_it() {
    for content in [r#"{"auths":{"r":{"auth":"c2VjcmV0"}}"#, "[]", "\"c2VjcmV0\"", r#"{"auths":3}"#] {
        let (_directory, path) = written(content);
        let outcome = DockerConfig::read(&path).and_then(|mut config| config.set("r", &login()));
        let failure = Failure::from(outcome.unwrap_err());
        assert!(!format!("{failure:?}").contains("c2VjcmV0"), "{failure:?}");
    }
}

#[test]
fn the_flag_wins_over_the_variable_and_that_over_home() {
    let with = |variables: &[(&str, &str)]| location(None, &environment(variables));
    assert_eq!(with(&[("DOCKER_CONFIG", "/d")]).unwrap(), Path::new("/d/config.json"));
    assert!(with(&[]).is_err());
    let flag = location(Some(Path::new("/f")), &environment(&[("DOCKER_CONFIG", "/d")]));
    assert_eq!(flag.unwrap(), Path::new("/f/config.json"));
    let home = Environment::new([], Some(PathBuf::from("/home/x")));
    assert_eq!(location(None, &home).unwrap(), Path::new("/home/x/.docker/config.json"));
}

#[test]
fn many_that_change_the_file_at_once_lose_nothing() {
    let (_directory, path) = written("{}");
    std::thread::scope(|scope| {
        for index in 0..16 {
            let path = &path;
            scope.spawn(move || change(path, |config| config.set(&format!("r{index}"), &login())).unwrap());
        }
    });
    assert_eq!(DockerConfig::read(&path).unwrap().registries().len(), 16);
}

#[test]
fn a_change_that_fails_or_changes_nothing_writes_nothing() {
    let (_directory, path) = written(r#"{"credHelpers": 1}"#);
    assert!(change(&path, |config| config.set_helper("r", "x")).is_err());
    change(&path, |config| Ok(config.remove("r"))).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"credHelpers": 1}"#);
}

#[cfg(unix)]
#[test]
fn a_configuration_of_ones_own_has_the_others_logins_and_plugins_and_nobody_elses_store() {
    let (directory, path) = written(r#"{"auths":{"z":{"auth":"eDp5"}},"credsStore":"desktop"}"#);
    std::fs::create_dir(directory.path().join("cli-plugins")).unwrap();
    std::fs::write(directory.path().join("cli-plugins/docker-buildx"), "").unwrap();
    let own = isolated(&path, directory.path()).unwrap();
    change(&own.join("config.json"), |config| config.set("r", &login())).unwrap();
    let config = DockerConfig::read(&own.join("config.json")).unwrap();
    assert_eq!((config.registries(), config.helper("r")), (vec!["z".to_owned(), "r".to_owned()], None));
    assert!(own.join("cli-plugins/docker-buildx").exists());
    assert_eq!(DockerConfig::read(&path).unwrap().registries(), ["z"]);
}
