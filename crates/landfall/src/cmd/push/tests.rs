#![allow(clippy::unwrap_used, clippy::panic)]
use clap::Parser as _;
use landfall_types::Timestamp;

use super::source::Source;
use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: PushArgs,
}

fn args(words: &[&str]) -> PushArgs {
    Line::try_parse_from([&["push"], words].concat()).unwrap().args
}

async fn failure(words: &[&str]) -> String {
    let args = args(words);
    let made = match source::of(&args) {
        Ok((source, _)) => source::image(source, &args, &Environment::new([], None)).await,
        Err(failure) => Err(failure),
    };
    made.map(|_| ()).unwrap_err().message
}

#[test]
fn the_source_is_named_or_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().to_str().unwrap().to_owned();
    let file = directory.path().join("saved.tar");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let shown = |words: &[&str]| match source::of(&args(words)) {
        Ok((Source::Directories(all), names)) => format!("{} directories, {}", all.len(), names.len()),
        Ok((Source::Layout(_), names)) => format!("layout, {}", names.len()),
        Ok((Source::Archive(_), names)) => format!("archive, {}", names.len()),
        Ok((Source::Input, names)) => format!("input, {}", names.len()),
        Ok((Source::Engine(name), names)) => format!("engine's {name}, {}", names.len()),
        Err(failure) => failure.message,
    };
    assert_eq!(shown(&["--dir", "d", "h/a", "h/b"]), "1 directories, 2");
    assert_eq!(shown(&["--dir", "linux/amd64=a", "--dir", "linux/arm64=b", "h/a"]), "2 directories, 1");
    assert!(shown(&["--oci", &plain, "h/a"]).contains("is no OCI image layout: it has no `index.json`"));
    assert_eq!(shown(&["--oci", file, "h/a"]), "archive, 1");
    assert_eq!(shown(&["--archive", "-", "h/a"]), "input, 1");
    assert_eq!(shown(&["--engine", "app:v1", "h/a"]), "engine's app:v1, 1");
    assert_eq!(shown(&["-", "h/a"]), "input, 1");
    assert_eq!(shown(&[file, "h/a"]), "archive, 1");
    assert_eq!(shown(&[&plain, "h/a"]), "1 directories, 1");
    std::fs::write(directory.path().join("oci-layout"), "{}").unwrap();
    std::fs::write(directory.path().join("index.json"), "{}").unwrap();
    assert_eq!(shown(&[&plain, "h/a", "h/b"]), "layout, 2");
    assert_eq!(shown(&["--oci", &plain, "h/a"]), "layout, 1");
    assert!(shown(&["/nowhere", "h/a"]).contains("is neither a directory nor a file"));
}

#[tokio::test]
async fn images_that_are_there_say_themselves_how_they_run() {
    for flag in [
        "--base",
        "--entrypoint",
        "--cmd",
        "--env",
        "--workdir",
        "--user",
        "--label",
        "--expose",
        "--compression",
    ] {
        let message = failure(&["--oci", "image", "h/a", flag, "x"]).await;
        assert!(message.starts_with(flag), "{message}");
    }
}

#[tokio::test]
async fn directories_have_one_platform_each() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().to_str().unwrap();
    std::fs::write(directory.path().join("app"), "").unwrap();
    let with = |platform: &str| format!("{platform}={plain}");
    for (words, wanted) in [
        (
            vec!["--dir", plain, "--dir", &with("linux/arm64")],
            "with several directories each is for a platform",
        ),
        (
            vec!["--dir", &with("linux/arm64"), "--dir", &with("linux/arm64")],
            "two directories are for linux/arm64",
        ),
        (vec!["--dir", &with("linux/arm64"), "--platform", "linux/amd64"], "--platform is given twice"),
        (vec!["--dir", &with("linux/"), "--tag", "a"], "`linux/` is not a platform"),
        (vec!["--dir", plain, "--platform", "arm"], "--platform: `arm` is not a platform"),
        (vec!["--dir", plain, "--expose", "70000"], "`70000` is not PORT"),
    ] {
        let message = failure(&[words.as_slice(), &["h/a"]].concat()).await;
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn the_moment_of_everything_is_the_source_date() {
    let at = |value: &str| {
        let env = Environment::new([("SOURCE_DATE_EPOCH".to_owned(), value.to_owned())], None);
        source::source_date(&env).map(Timestamp::seconds).ok()
    };
    assert_eq!(
        [at(""), at("0"), at("1700000000"), at("yesterday"), at("-1")],
        [Some(0), Some(0), Some(1_700_000_000), None, None]
    );
}
