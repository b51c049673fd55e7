#![allow(clippy::unwrap_used, clippy::panic, clippy::type_complexity)]
use super::error::helps;
use super::*;
use crate::failure::{Failure, FailureKind};
use crate::testing::environment;

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
const OFFER: [(&str, &str); 2] = [(id_token::REQUEST_URL, "https://h/t?x"), (id_token::REQUEST_TOKEN, "t")];
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s")];
const FILE: [(&str, &str); 1] = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")];
const ROLE_VARIABLE: [(&str, &str); 1] = [("AWS_ROLE_ARN", ROLE)];
const VARIABLE: [(&str, &str); 1] = [("MY_TOKEN", "e.e.e")];
const POD: [(&str, &str); 1] =
    [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];
const ACTIONS: [(&str, &str); 1] = [("GITHUB_ACTIONS", "true")];

fn options() -> Options {
    Options { role: Some(ROLE.to_owned()), region: Some("eu-west-1".to_owned()), ..Options::default() }
}

fn source_name(options: &Options, variables: &[&[(&str, &str)]]) -> &'static str {
    match Plan::new(options, &environment(&variables.concat())) {
        Ok(Plan { source: Source::IdToken { .. }, .. }) => "id token",
        Ok(Plan { source: Source::TokenFile { .. }, .. }) => "file",
        Ok(Plan { source: Source::Token { .. }, .. }) => "variable",
        Ok(Plan { source: Source::Ambient { role: Some(_) }, .. }) => "chained",
        Ok(Plan { source: Source::Ambient { role: None }, .. }) => "ambient",
        Ok(Plan { source: Source::Keys { role: Some(_), .. }, .. }) => "keys with role",
        Ok(Plan { source: Source::Keys { role: None, .. }, .. }) => "keys",
        Err(LoginError::IdToken(_)) => "no permission",
        Err(LoginError::Usage { .. }) => "usage",
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_asked_for_comes_before_what_happens_to_be_there() {
    let flag = Options { token_file: Some("/f".into()), ..options() };
    let chaining = Options { role_chaining: true, ..options() };
    let no_role = Options { role: None, ..options() };
    let unset = Options { ignore_environment_keys: true, ..options() };
    let unset_no_role = Options { ignore_environment_keys: true, ..no_role.clone() };
    let named = Options { role: Some("deploy".to_owned()), ..options() };
    let not_a_role = Options { role: Some("arn:aws:iam::123456789012:user/x".to_owned()), ..options() };
    let variable = Options { token_variable: Some("MY_TOKEN".to_owned()), ..options() };
    let own_keys = Options {
        keys: Some(StaticKeys::parse(r#"{"AccessKeyId":"A","SecretAccessKey":"s"}"#).unwrap()),
        ..options()
    };
    let skip = Options { ignore_offer: true, ..options() };
    let skip_no_role = Options { ignore_offer: true, ..no_role.clone() };
    let cases: [(&Options, &[&[(&str, &str)]], &str); 31] = [
        (&variable, &[&OFFER, &KEYS, &VARIABLE], "variable"),
        (&variable, &[&OFFER, &KEYS], "usage"),
        (&own_keys, &[&OFFER, &FILE], "keys with role"),
        (&skip, &[&OFFER, &FILE], "file"),
        (&skip, &[&OFFER, &KEYS], "keys with role"),
        (&skip, &[&OFFER, &ACTIONS], "usage"),
        (&options(), &[&POD], "chained"),
        (&options(), &[&POD, &ACTIONS], "no permission"),
        (&options(), &[&POD, &FILE], "file"),
        (&no_role, &[&POD], "ambient"),
        (&skip_no_role, &[&OFFER], "ambient"),
        (&options(), &[&OFFER], "id token"),
        (&options(), &[&OFFER, &KEYS, &FILE], "id token"),
        (&flag, &[&OFFER, &KEYS], "file"),
        (&chaining, &[&OFFER, &KEYS], "chained"),
        (&options(), &[&FILE, &KEYS], "file"),
        (&options(), &[&KEYS], "keys with role"),
        (&unset, &[&KEYS], "usage"),
        (&options(), &[&ACTIONS], "no permission"),
        (&options(), &[&ACTIONS, &OFFER[..1]], "no permission"),
        (&options(), &[], "usage"),
        (&no_role, &[&KEYS], "keys"),
        (&no_role, &[&FILE, &ROLE_VARIABLE], "file"),
        (&no_role, &[&FILE, &ROLE_VARIABLE, &KEYS], "file"),
        (&no_role, &[&OFFER], "usage"),
        (&unset_no_role, &[&KEYS], "usage"),
        (&named, &[&KEYS], "keys with role"),
        (&named, &[&OFFER], "usage"),
        (&not_a_role, &[&OFFER], "usage"),
        (&options(), &[&KEYS[..1]], "usage"),
        (&options(), &[&KEYS[1..]], "usage"),
    ];
    for (index, (options, variables, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(source_name(options, variables), wanted, "case {index}: {variables:?}");
    }
}

#[test]
fn impossible_options_are_told_before_anybody_is_asked() {
    let cases = [
        (Options { region: None, ..options() }, "no region"),
        (Options { region: Some("EU".to_owned()), ..options() }, "Region is not valid: EU"),
        (Options { session_name: "x".to_owned(), ..options() }, "is not a session name"),
        (Options { session_name: "a b".to_owned(), ..options() }, "is not a session name"),
        (Options { session_name: "x".repeat(65), ..options() }, "is not a session name"),
        (Options { duration_seconds: 899, ..options() }, "900 to 43200"),
        (Options { duration_seconds: 43_201, ..options() }, "900 to 43200"),
        (Options { allowed_accounts: vec!["1234".to_owned()], ..options() }, "--allowed-account-ids"),
        (Options { role: Some("deploy".to_owned()), ..options() }, "Source Account ID is needed"),
    ];
    for (options, wanted) in cases {
        let failure = Failure::from(Plan::new(&options, &environment(&OFFER)).unwrap_err());
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.message.contains(wanted), "{}", failure.message);
    }
}

#[test]
fn a_token_in_the_place_of_its_variables_name_is_not_repeated() {
    let options = Options { token_variable: Some("eyJhbGciOiJ9.e30.SIGNATURE".to_owned()), ..options() };
    let failure = Failure::from(Plan::new(&options, &environment(&[])).unwrap_err());
    assert!(failure.message.contains("variable's name") && !format!("{failure:?}").contains("SIGNATURE"));
}

#[test]
fn only_the_last_session_of_a_chain_is_narrowed_and_none_is_longer_than_sts_gives() {
    let options = Options {
        role_chain: vec!["a".to_owned()],
        inline_policy: Some("{}".to_owned()),
        managed_policies: vec!["arn:aws:iam::aws:policy/X".to_owned()],
        duration_seconds: 7200,
        ..options()
    };
    let first = first_of_chain(&options);
    assert_eq!((first.inline_policy, first.managed_policies.len(), first.duration_seconds), (None, 0, 900));
    let last = end_of_chain(&options);
    assert_eq!(
        (last.inline_policy.as_deref(), last.managed_policies.len(), last.duration_seconds),
        (Some("{}"), 1, 3600)
    );
}

#[test]
fn the_audience_follows_the_partition() {
    for (region, wanted) in [("eu-west-1", "sts.amazonaws.com"), ("cn-north-1", "sts.amazonaws.com.cn")] {
        let options = Options { region: Some(region.to_owned()), ..options() };
        let Ok(Plan { source: Source::IdToken { audience, .. }, .. }) =
            Plan::new(&options, &environment(&OFFER))
        else {
            panic!("an ID token is expected")
        };
        assert_eq!(audience, wanted);
    }
}

#[test]
fn a_bare_role_name_stays_in_the_callers_partition() {
    let whoami =
        WhoAmI { account: "123456789012".to_owned(), arn: "arn:aws-cn:iam::123456789012:user/ci".to_owned() };
    assert_eq!(role_in_account_of(&whoami, "deploy").unwrap(), "arn:aws-cn:iam::123456789012:role/deploy");
}

fn answer(code: &str, message: &str) -> aws::Answer {
    aws::Answer {
        code: code.to_owned(),
        message: message.to_owned(),
        status: 400,
        request_id: None,
        help: None,
    }
}

#[test]
fn refusals_come_with_what_usually_is_behind_them() {
    let cases = [
        (
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "repo:a/b:ref:x",
            "trust policy has no statement",
        ),
        (
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "repo:a@1/b@2:ref:x",
            "carries ids",
        ),
        (
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for https://x",
            "s",
            "no IAM OIDC provider",
        ),
        (
            "InvalidIdentityToken",
            "The web identity token provided could not be validated. See …",
            "s",
            "--audience",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "s",
            "--role-duration-seconds",
        ),
    ];
    for (code, message, subject, wanted) in cases {
        let helps = helps(&answer(code, message), subject, "sts.amazonaws.com").join("\n");
        assert!(helps.contains(wanted), "{code} {message}: {helps}");
    }
    assert!(helps(&answer("MalformedPolicyDocument", "x"), "s", "a").is_empty());
}

fn session(token: Option<&str>) -> Session {
    Session {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: Secret::new("s/k+".to_owned()),
        session_token: token.map(|token| Secret::new(token.to_owned())),
        expiration: Some(landfall_types::Timestamp::from_seconds(0)),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
        arn: "arn:x".to_owned(),
    }
}

#[test]
fn every_secret_of_a_session_is_masked_and_none_prints() {
    let session = session(Some("token"));
    let masks = |account| session.masks(account).iter().map(|mask| mask.expose().clone()).collect::<Vec<_>>();
    assert_eq!(masks(false), ["ASIAEXAMPLE", "s/k+", "token"]);
    assert_eq!(masks(true), ["ASIAEXAMPLE", "s/k+", "token", "123456789012", "arn:x"]);
    let shown = format!("{session:?}");
    assert!(!shown.contains("s/k+") && !shown.contains("token\""), "{shown}");
}

#[test]
fn a_session_without_token_empties_an_older_one() {
    assert!(session(None).variables().contains(&("AWS_SESSION_TOKEN", "")));
    assert_eq!(
        session(None).env_text().expose(),
        "AWS_ACCESS_KEY_ID=ASIAEXAMPLE\nAWS_SECRET_ACCESS_KEY=s/k+\nAWS_REGION=eu-west-1\nAWS_DEFAULT_REGION=eu-west-1\n"
    );
}

#[test]
fn keys_are_outputs_only_when_asked_for_and_the_expiration_has_no_quotes() {
    let session = session(Some("token"));
    let names =
        |credentials| session.outputs(credentials).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(false), ["aws-account-id", "authenticated-arn"]);
    assert_eq!(
        names(true),
        [
            "aws-account-id",
            "authenticated-arn",
            "aws-access-key-id",
            "aws-secret-access-key",
            "aws-session-token",
            "aws-expiration"
        ]
    );
    assert!(session.outputs(true).contains(&("aws-expiration", "1970-01-01T00:00:00Z".to_owned())));
    assert_eq!(
        session.json().expose(),
        r#"{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"s/k+","SessionToken":"token","Expiration":"1970-01-01T00:00:00Z","AccountId":"123456789012","Region":"eu-west-1","Arn":"arn:x"}"#
    );
}

#[cfg(unix)]
#[test]
fn a_private_file_is_private_also_when_it_was_not_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("env");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    crate::private::write(&file, b"new").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_session_without_a_name_is_called_as_its_ci_system_calls_it() {
    let named = |variables: &[(&str, &str)]| session_name(&environment(variables));
    let gitlab = [("GITLAB_CI", "true"), ("CI_PROJECT_ID", "42"), ("CI_PIPELINE_ID", "7")];
    let long = "9".repeat(99);
    assert_eq!(named(&[]), "GitHubActions");
    assert_eq!(named(&ACTIONS), "GitHubActions");
    assert_eq!(named(&gitlab), "GitLabRunner-42-7");
    assert_eq!(named(&gitlab[..1]), "GitLabRunner");
    assert_eq!(named(&[gitlab[0], ("CI_PROJECT_ID", "a b/c")]), "GitLabRunner-abc");
    assert_eq!(named(&[gitlab[0], ("CI_PROJECT_ID", &long)]).len(), 64);
    assert_eq!(named(&[gitlab[0], ("AWS_ROLE_SESSION_NAME", "me")]), "me");
}
