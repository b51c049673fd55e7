#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::testing::environment;

#[test]
fn the_audience_is_appended_percent_encoded() {
    for (base, audience, wanted) in [
        (
            "https://h/t?api-version=2.0",
            "sts.amazonaws.com",
            "https://h/t?api-version=2.0&audience=sts.amazonaws.com",
        ),
        ("https://h/t", "sts.amazonaws.com", "https://h/t?audience=sts.amazonaws.com"),
        ("https://h/t?a=1", "https://x/y?z&w", "https://h/t?a=1&audience=https%3A%2F%2Fx%2Fy%3Fz%26w"),
        ("https://h/t?a=1", "a b+c", "https://h/t?a=1&audience=a%20b%2Bc"),
    ] {
        assert_eq!(request_url(base, audience).unwrap().as_str(), wanted);
    }
    for base in ["", "nonsense", "file:///etc/passwd", "/idtoken"] {
        assert!(matches!(request_url(base, "x"), Err(IdTokenError::BadUrl { .. })), "{base}");
    }
}

#[test]
fn a_job_without_the_permission_is_told_which_one() {
    for variables in [&[][..], &[(REQUEST_URL, "https://h/t?x")][..], &[(REQUEST_TOKEN, "t")][..]] {
        let error = Offer::from_environment(&environment(variables)).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.message.contains("is not set"), "{}", failure.message);
        assert!(failure.details.iter().any(|line| line.contains("`permissions: id-token: write`")));
        assert!(failure.details.iter().any(|line| line.contains("reusable workflow")));
    }
}

fn jwt(claims: &str) -> Secret<String> {
    Secret::new(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims)))
}

#[test]
fn claims_are_shown_in_a_fixed_order_and_on_one_line() {
    let token =
        jwt(r#"{"ref":"refs/heads/a\nb","aud":["x","y"],"sub":"s","exp":1,"actor":"me","environment":""}"#);
    let shown = telling(&claims(&token).unwrap());
    let wanted = [("sub", "s"), ("aud", "x, y"), ("ref", "refs/heads/a b")];
    assert_eq!(shown, wanted.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn what_is_no_token_has_no_claims() {
    for text in ["", "notajwt", "a.b.c", "e30.W10.x", "a..b"] {
        assert!(claims(&Secret::new(text.to_owned())).is_none(), "{text}");
    }
}

#[test]
fn a_token_file_is_trimmed_and_what_holds_no_token_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "  abc\n").unwrap();
    assert_eq!(from_file(&file).unwrap().expose(), "abc");
    for content in [" \n", &"x".repeat(TOKEN_BYTES_MAX + 1), "\0\0", "a\0b", "a b", "a\nb", "\u{1b}[31m"] {
        std::fs::write(&file, content).unwrap();
        assert!(from_file(&file).is_err(), "{content:?}");
    }
    let failure = Failure::from(from_file(&directory.path().join("none")).unwrap_err());
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.message.contains("none"), "{}", failure.message);
}

#[cfg(unix)]
#[test]
fn a_link_is_read_where_kubernetes_makes_it_and_nowhere_else() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let (mount, elsewhere) = (directory.path().join("mount"), directory.path().join("elsewhere"));
    std::fs::create_dir_all(mount.join("..2026")).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(mount.join("..2026/token"), "abc").unwrap();
    std::fs::write(elsewhere.join("secret"), "hunter2").unwrap();
    symlink("..2026", mount.join("..data")).unwrap();
    symlink("..data/token", mount.join("token")).unwrap();
    symlink(elsewhere.join("secret"), mount.join("led-away")).unwrap();
    symlink(&elsewhere, mount.join("folder")).unwrap();
    assert_eq!(from_file(&mount.join("token")).unwrap().expose(), "abc");
    for (name, why) in
        [("led-away", "link to another folder"), ("folder/secret", "its folder is a symbolic link")]
    {
        let failure = Failure::from(from_file(&mount.join(name)).unwrap_err());
        assert!(failure.details.join(" ").contains(why), "{failure:?}");
    }
}
