//! `cargo xtask fuzz`: a fuzz target, or one after the other, with what a run needs so that it ends.

use std::path::Path;
use std::process::Command;

/// Seconds for one target, and for each of all.
const SECONDS_OF_ONE: u32 = 600;
const SECONDS_OF_EACH: u32 = 60;

/// Runs targets until one fails.
///
/// # Errors
/// What is missing, or the target that failed.
pub fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let folder = root.join("fuzz");
    let (targets, seconds) = match words {
        [] => (all(&folder)?, SECONDS_OF_EACH),
        [target] => (vec![(*target).to_owned()], SECONDS_OF_ONE),
        [target, seconds] => {
            let seconds = seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?;
            (vec![(*target).to_owned()], seconds)
        }
        _ => return Err("a target and a number of seconds are expected, or nothing at all".to_owned()),
    };
    for target in targets {
        println!("=== {target}");
        let corpus = folder.join("corpus").join(&target);
        std::fs::create_dir_all(&corpus)
            .map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
        let mut fuzz = Command::new("cargo");
        // Our code has nothing unsafe in it, and without a sanitizer a target runs several times as often.
        fuzz.args(["+nightly", "fuzz", "run", "--sanitizer", "none", &target]);
        fuzz.args([format!("corpus/{target}"), format!("seeds/{target}")]);
        fuzz.args(["--", "-timeout=10", "-rss_limit_mb=2048", &format!("-max_total_time={seconds}")]);
        let status = fuzz.current_dir(&folder).status();
        let status = status.map_err(|error| format!("cargo can't be started: {error}"))?;
        if !status.success() {
            return Err(format!("{target} failed; what it was given is in fuzz/artifacts/{target}"));
        }
    }
    Ok(())
}

/// The names of the targets.
fn all(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder.join("fuzz_targets")).map_err(failed)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    names.sort();
    Ok(names)
}
