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
        fill(root, &target)?;
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

/// Puts into a target's corpus what `fuzz/cases.txt` says that it begins with, beside its seeds.
fn fill(root: &Path, target: &str) -> Result<(), String> {
    let cannot = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let corpus = root.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(cannot(&corpus))?;
    let list = root.join("fuzz/cases.txt");
    let text = std::fs::read_to_string(&list).map_err(cannot(&list))?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [of, folder, ending] = words.as_slice() else {
            return Err(format!("{}: `{line}` is not TARGET FOLDER ENDING", list.display()));
        };
        if *of != target {
            continue;
        }
        let folder = root.join(folder);
        for entry in std::fs::read_dir(&folder).map_err(cannot(&folder))? {
            let path = entry.map_err(cannot(&folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(ending) {
                let copy = corpus.join(format!("case-{name}"));
                std::fs::copy(&path, &copy).map_err(cannot(&copy))?;
            }
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
