//! What contributors run: `cargo xtask tidy` checks what the compiler can't, `cargo xtask ci` runs
//! what CI runs, `cargo xtask fuzz` looks for what nobody thought of.

mod ci;
mod fuzz;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  tidy              check what the compiler can't: crate edges, confined libraries, unfinished marks,
                    long functions, paths of one machine, dependencies without a why
  tidy --shrink     the same, and write shorter functions down in xtask/ratchet.txt
  ci                everything that CI runs, with the time that each step takes
  ci --only STEP    one step; `ci --list` names them
  fuzz TARGET       ten minutes of a fuzz target, or so many seconds: `fuzz TARGET SECONDS`
  fuzz              one minute of each";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root, tidy::Ratchet::Hold),
        ["tidy", "--shrink"] => tidy::run(&root, tidy::Ratchet::Shrink),
        ["ci"] => ci::run(&root, None),
        ["ci", "--list"] => {
            ci::list();
            Ok(())
        }
        ["ci", "--only", step] => ci::run(&root, Some(step)),
        ["fuzz", rest @ ..] => fuzz::run(&root, rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace: the folder above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
