#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn environment(home: &tempfile::TempDir, variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::new(variables, Some(home.path().to_owned()))
}

fn noon() -> Timestamp {
    Timestamp::from_seconds(43_200)
}

fn given(life_seconds: i64) -> Authorization {
    Authorization {
        registry: REGISTRY.to_owned(),
        login: Login { username: "AWS".to_owned(), password: Secret::new("hunter2".to_owned()) },
        expiration: Some(noon().plus_seconds(life_seconds)),
    }
}

fn said(action: &str, input: &str, environment: &Environment) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(answer(action, input, environment, noon));
    answer.map(|secret| secret.expose().clone())
}

#[test]
fn what_is_not_ecrs_is_not_found_and_not_stored_in_dockers_words() {
    let home = tempfile::tempdir().unwrap();
    let nothing = environment(&home, &[]);
    for (action, input, wanted) in [
        ("get", "https://index.docker.io/v1/", Err(NOT_FOUND)),
        ("get", "\n", Err("no credentials server URL")),
        ("store", r#"{"ServerURL": "", "Username": "x"}"#, Err("no credentials server URL")),
        ("store", r#"{"ServerURL": "x", "Secret": "hunter2"}"#, Err("no credentials username")),
        ("erase", "", Err("no credentials server URL")),
        ("erase", "ghcr.io", Ok("")),
        ("list", "", Ok("{}")),
        ("shout", "", Err("docker-credential-landfall: unknown action: shout")),
    ] {
        assert_eq!(
            said(action, input, &nothing),
            wanted.map(str::to_owned).map_err(str::to_owned),
            "{action} {input}"
        );
    }
    let login = format!(r#"{{"ServerURL": "https://{REGISTRY}", "Username": "AWS", "Secret": "hunter2"}}"#);
    assert_eq!(said("store", &login, &nothing), Ok(String::new()));
    let elsewhere = r#"{"ServerURL": "ghcr.io", "Username": "me", "Secret": "hunter2"}"#;
    let refused = said("store", elsewhere, &nothing).unwrap_err();
    assert!(refused.contains("ghcr.io") && !refused.contains("hunter2"), "{refused}");
}

#[test]
fn a_registry_is_known_with_and_without_scheme_and_path() {
    let home = tempfile::tempdir().unwrap();
    let local = environment(&home, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")]);
    for server in [REGISTRY, &format!("https://{REGISTRY}"), &format!("https://{REGISTRY}/v2/")] {
        assert!(matches!(target_of(server, &local), Some(Target::Host { .. })), "{server}");
    }
    assert_eq!(target_of("https://public.ecr.aws", &local), Some(Target::Public));
    assert!(matches!(target_of("127.0.0.1:4566", &local), Some(Target::Account(_))));
    for server in ["127.0.0.1:4567", "123456789012", "ghcr.io", REGISTRY.trim_end_matches("com")] {
        assert_eq!(target_of(server, &local), None, "{server}");
    }
}

#[test]
fn a_password_serves_the_same_credentials_until_they_end() {
    let home = tempfile::tempdir().unwrap();
    let job = environment(&home, &[("AWS_ACCESS_KEY_ID", "ASIAONE")]);
    let cache = Cache::new(&job).unwrap();
    let day = 12 * 3600;
    for (life, session_end, second, serves) in [
        (day, Some(3600), 3599, true),
        (day, Some(3600), 3600, false),
        (day, None, 899, true),
        (day, None, 900, false),
        (1000, Some(3600), 99, true),
        (1000, Some(3600), 100, false),
    ] {
        cache.write(REGISTRY, &given(life), session_end.map(|end| noon().plus_seconds(end)), noon());
        let login = cache.read(REGISTRY, noon().plus_seconds(second));
        assert_eq!(login.is_some(), serves, "{life} {session_end:?} {second}");
    }
    let other = environment(&home, &[("AWS_ACCESS_KEY_ID", "ASIATWO")]);
    cache.write(REGISTRY, &given(day), None, noon());
    assert!(Cache::new(&other).unwrap().read(REGISTRY, noon()).is_none());
    assert_eq!(Cache::new(&other).unwrap().list(noon()), []);
    assert_eq!(cache.list(noon()), [(REGISTRY.to_owned(), "AWS".to_owned())]);
    assert!(Cache::new(&environment(&home, &[("LANDFALL_ECR_CACHE", "off")])).is_none());
    assert!(Cache::new(&Environment::default()).is_none());
}

#[test]
fn other_content_of_a_file_with_credentials_is_another_owner() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("token");
    let path = file.display().to_string();
    let pod = environment(&home, &[("AWS_WEB_IDENTITY_TOKEN_FILE", &path), ("AWS_ROLE_ARN", "r")]);
    std::fs::write(&file, "one").unwrap();
    Cache::new(&pod).unwrap().write(REGISTRY, &given(9000), None, noon());
    assert!(Cache::new(&pod).unwrap().read(REGISTRY, noon()).is_some());
    std::fs::write(&file, "two").unwrap();
    assert!(Cache::new(&pod).unwrap().read(REGISTRY, noon()).is_none());
}

#[test]
fn what_is_kept_is_answered_without_asking_until_it_is_erased() {
    let home = tempfile::tempdir().unwrap();
    // Nobody is there to ask.
    let variables = [
        ("AWS_ACCESS_KEY_ID", "ASIAONE"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let job = environment(&home, &variables);
    Cache::new(&job).unwrap().write(REGISTRY, &given(9000), None, noon());
    let wanted = format!(r#"{{"ServerURL":"https://{REGISTRY}","Username":"AWS","Secret":"hunter2"}}"#);
    assert_eq!(said("get", &format!("https://{REGISTRY}\n"), &job), Ok(wanted));
    assert_eq!(said("list", "", &job), Ok(format!(r#"{{"{REGISTRY}":"AWS"}}"#)));
    assert_eq!(said("erase", REGISTRY, &job), Ok(String::new()));
    assert_eq!(said("list", "", &job), Ok("{}".to_owned()));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it_and_what_others_could_have_put_there_does_not_count() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let job = environment(&home, &[("AWS_ACCESS_KEY_ID", "ASIAONE")]);
    let cache = Cache::new(&job).unwrap();
    cache.write(REGISTRY, &given(9000), None, noon());
    let directory = home.path().join(".cache/landfall/ecr");
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(cache.read(REGISTRY, noon()).is_none());
    cache.write(REGISTRY, &given(9000), None, noon());
    assert!(cache.read(REGISTRY, noon()).is_some());
    std::fs::write(&file, "{").unwrap();
    assert!(cache.read(REGISTRY, noon()).is_none());
}

#[test]
fn what_has_ended_is_taken_away_with_the_next_that_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let old = environment(&home, &[("AWS_ACCESS_KEY_ID", "ASIAOLD")]);
    Cache::new(&old).unwrap().write(REGISTRY, &given(9000), None, noon());
    let new = environment(&home, &[("AWS_ACCESS_KEY_ID", "ASIANEW")]);
    Cache::new(&new).unwrap().write(REGISTRY, &given(90_000), None, noon().plus_seconds(1000));
    assert_eq!(std::fs::read_dir(home.path().join(".cache/landfall/ecr")).unwrap().count(), 1);
}
