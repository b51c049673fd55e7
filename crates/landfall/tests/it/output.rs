//! Standard output that takes nothing: a full disk, a reader that went away. Nothing panics, and what a command
//! answers does not depend on it.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bench::Bench;

fn command(bench: &Bench, args: &[&str]) -> Command {
    bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", args)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}]}"#;

#[test]
fn a_full_disk_behind_standard_output_is_told_at_the_end() {
    let bench = Bench::new().file("trust.json", TRUST);
    for args in [
        &["who", "r", "--policy", "trust.json"][..],
        &["diff", "trust.json", "trust.json"],
        &["completions", "bash"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(&bench, args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", said(&output));
        assert_eq!(
            said(&output),
            "error: cannot write to standard output: No space left on device (os error 28)\n",
            "{args:?}"
        );
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(command(&bench, &["--help"]).stdout(full).output().unwrap().status.code(), Some(3));
}

#[test]
fn a_reader_that_went_away_changes_no_answer() {
    let bench = Bench::new().file("trust.json", TRUST);
    for args in [&["who", "r", "--policy", "trust.json"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&bench, args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", said(&output));
        assert_eq!(said(&output), "", "{args:?}");
    }
}
