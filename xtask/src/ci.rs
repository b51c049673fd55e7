//! `cargo xtask ci`: everything that CI runs, in the order in which it is quick to hear bad news.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The cargo that built this.
const CARGO: &str = env!("CARGO");
/// A crate that has to stay free of anything that only an operating system has.
const WASM: &str = "wasm32-unknown-unknown";

/// A step, and how it is done.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Path) -> Outcome,
}

const STEPS: &[Step] = &[
    Step { name: "format", about: "cargo fmt --all --check", run: format },
    Step { name: "tidy", about: "what the compiler can't check", run: tidy },
    Step {
        name: "clippy",
        about: "cargo clippy --workspace --all-targets, warnings are errors",
        run: clippy,
    },
    Step { name: "wasm", about: "the policy engine builds for the browser", run: wasm },
    Step { name: "deny", about: "licences, duplicates and sources of dependencies", run: deny },
    Step { name: "test", about: "cargo test --workspace", run: test },
    Step { name: "clients", about: "unmodified clients against the binary: tests/clients", run: clients },
];

/// How a step went.
enum Outcome {
    Passed(Counts),
    Failed(Counts),
    Skipped(&'static str),
}

/// Tests that ran.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Names the steps.
pub fn list() {
    for step in STEPS {
        println!("{:<8} {}", step.name, step.about);
    }
}

/// Runs all steps, or one; the later ones run even when one fails.
///
/// # Errors
/// When a step failed, or there is none of that name.
pub fn run(root: &Path, only: Option<&str>) -> Result<(), String> {
    let chosen: Vec<&Step> = STEPS.iter().filter(|step| only.is_none_or(|name| name == step.name)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no step `{}`; `cargo xtask ci --list` names them", only.unwrap_or("")));
    }
    let began = Instant::now();
    let (mut lines, mut failed, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    for step in chosen {
        println!("\n=== {}: {}", step.name, step.about);
        let began = Instant::now();
        let word = match (step.run)(root) {
            Outcome::Passed(counted) => {
                counts.add(counted);
                "ok".to_owned()
            }
            Outcome::Failed(counted) => {
                counts.add(counted);
                failed.push(step.name);
                "FAILED".to_owned()
            }
            Outcome::Skipped(why) => format!("skipped: {why}"),
        };
        let line = format!("{:<8} {:>8}  {word}", step.name, seconds(began.elapsed()));
        println!("=== {line}");
        lines.push(line);
    }
    println!("\n{}\n{:<8} {:>8}", lines.join("\n"), "all", seconds(began.elapsed()));
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if failed.is_empty() { Ok(()) } else { Err("ci: not everything is well".to_owned()) }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn format(root: &Path) -> Outcome {
    plain(cargo(root, &["fmt", "--all", "--check"]))
}

fn tidy(root: &Path) -> Outcome {
    match crate::tidy::run(root, crate::tidy::Ratchet::Hold) {
        Ok(()) => Outcome::Passed(Counts::default()),
        Err(message) => {
            println!("{message}");
            Outcome::Failed(Counts::default())
        }
    }
}

fn clippy(root: &Path) -> Outcome {
    plain(cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn wasm(root: &Path) -> Outcome {
    let mut rustc = Command::new("rustc");
    let libraries = rustc.current_dir(root).args(["--print", "target-libdir", "--target", WASM]).output();
    let installed =
        libraries.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !installed {
        return Outcome::Skipped("the target is not installed; `rustup target add wasm32-unknown-unknown`");
    }
    plain(cargo(root, &["check", "--package", "landfall-policy", "--target", WASM, "--locked"]))
}

fn deny(root: &Path) -> Outcome {
    let found =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Outcome::Skipped("cargo-deny is not installed; `cargo install --locked cargo-deny`");
    }
    // Advisories come from a repository over the network: a nightly job's business, not a change's.
    plain(cargo(
        root,
        &["deny", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"],
    ))
}

fn test(root: &Path) -> Outcome {
    counted(cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"]))
}

fn clients(root: &Path) -> Outcome {
    if !succeeds(cargo(root, &["build", "--package", "landfall", "--locked"])) {
        return Outcome::Failed(Counts::default());
    }
    let Some(landfall) = beside_this("landfall") else {
        println!("the binary is not where this program is");
        return Outcome::Failed(Counts::default());
    };
    let own = root.join(".venv/bin/python3");
    let mut python = Command::new(if own.is_file() { own } else { PathBuf::from("python3") });
    python.current_dir(root).arg("tests/clients/run.py").arg("--landfall").arg(landfall);
    counted(python)
}

/// A program of the same build as this one.
fn beside_this(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    let program = this.with_file_name(name);
    program.is_file().then_some(program)
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(CARGO);
    command.current_dir(root).args(arguments);
    command
}

fn plain(command: Command) -> Outcome {
    if succeeds(command) { Outcome::Passed(Counts::default()) } else { Outcome::Failed(Counts::default()) }
}

fn succeeds(mut command: Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot run {}: {error}", command.get_program().display());
            false
        }
    }
}

/// Runs tests: their output is passed on line by line, and their counts are added up.
fn counted(mut command: Command) -> Outcome {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("cannot run {}: {error}", command.get_program().display());
            return Outcome::Failed(Counts::default());
        }
    };
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            counts.add(counts_in(&line));
            println!("{line}");
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Outcome::Passed(counts),
        Ok(_) | Err(_) => Outcome::Failed(counts),
    }
}

/// The counts in a line that ends a run of tests: `test result: ok. 3 passed; 0 failed; 1 ignored; …`
/// of cargo, `3 passed, 0 failed, 1 skipped` of ours.
fn counts_in(line: &str) -> Counts {
    let rest =
        line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")).map(|(_, rest)| rest);
    let text = match rest {
        Some(rest) => rest,
        None if line.ends_with(" skipped") => line,
        None => return Counts::default(),
    };
    let count = |word: &str| {
        let parts = text.split([',', ';']).filter_map(|part| part.trim().split_once(' '));
        parts
            .filter(|(_, name)| *name == word)
            .filter_map(|(number, _)| number.parse::<usize>().ok())
            .sum::<usize>()
    };
    Counts { passed: count("passed"), failed: count("failed"), skipped: count("ignored") + count("skipped") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_both_kinds_of_tests_are_read() {
        let counts = |passed, failed, skipped| Counts { passed, failed, skipped };
        for (line, expected) in [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
                counts(12, 0, 1),
            ),
            (
                "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
                counts(2, 3, 0),
            ),
            ("81 passed, 2 failed, 1 skipped", counts(81, 2, 1)),
            ("test a_name ... ok", counts(0, 0, 0)),
            ("  expected: passed, got failed", counts(0, 0, 0)),
        ] {
            assert_eq!(counts_in(line), expected, "{line}");
        }
    }
}
