//! Ctrl-C and its like: the steps' processes end with `landfall`, and nothing is left.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::Bench;

/// A step that starts one process in its group and one outside of it, and says when both are there.
const WORKFLOW: &str = "\
on: push
jobs:
  wait:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir -p \"$HOME/read-only/folder\" && chmod -R a-w \"$HOME/read-only\"
          sleep 77 &
          setsid sleep 77 &
          echo both are there
          wait
";

#[test]
fn each_signal_that_ends_a_rehearsal_ends_all_that_it_started() {
    for signal in ["INT", "TERM", "HUP"] {
        let bench =
            Bench::new().file("repo/.github/workflows/a.yml", WORKFLOW).file("infra/main.tf", "locals {}\n");
        let args = ["rehearse", "repo", "--infra", "infra", "--repo", "acme/web", "--format", "json"];
        let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("both are there") && line.contains("output")), "{signal}");
        let pid = running.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: stopped before the end\n", "{signal}");
        bench.nothing_is_left();
    }
}

/// A step that says that it is there, and ends with the rehearsal, whatever ends that.
const WAITS: &str = "\
on: push
jobs:
  wait:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir -p \"$HOME/read-only/folder\" && chmod -R a-w \"$HOME/read-only\"
          echo it is there
          while kill -0 $PPID 2>/dev/null; do sleep 0.05; done
";

#[test]
fn what_a_killed_rehearsal_leaves_is_removed_by_the_next_one_and_nothing_of_one_that_lives() {
    let bench = Bench::new()
        .file("waits/.github/workflows/a.yml", WAITS)
        .file("done/.github/workflows/a.yml", "on: push\njobs: {a: {runs-on: x, steps: [{run: 'true'}]}}\n")
        .file("infra/main.tf", "locals {}\n");
    let args =
        |repository| ["rehearse", repository, "--infra", "infra", "--repo", "acme/web", "--format", "json"];
    let start = || {
        let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args("waits"));
        let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("it is there") && line.contains("output")));
        (running, lines)
    };
    let folders = || {
        let entries = std::fs::read_dir(bench.work().with_file_name("tmp")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let (mut alive, _lines) = start();
    let of_alive = folders();
    let (mut killed, _) = start();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(folders().len(), 2 * of_alive.len(), "files and images of two: {:?}", folders());
    let mut next = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args("done"));
    assert!(next.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(folders(), of_alive);
    assert!(Command::new("kill").arg(alive.id().to_string()).status().unwrap().success());
    alive.wait().unwrap();
    assert!(folders().is_empty(), "{:?}", folders());
}

#[test]
fn a_server_takes_its_images_along() {
    let bench = Bench::new();
    let args = ["serve", "--addr", "127.0.0.1:0", "--format", "json"];
    let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"ready\""));
    assert!(Command::new("kill").arg(running.id().to_string()).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0));
    bench.nothing_is_left();
}
