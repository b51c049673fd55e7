//! `--help` of every command: the commands are found in the help of the one above them.

use crate::bench::{self, Bench};

#[test]
fn every_command_says_what_it_does() {
    let bench = Bench::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut count = 0;
    while let Some(path) = open.pop() {
        let mut words: Vec<&str> = path.iter().map(String::as_str).collect();
        words.push("--help");
        let done = bench.landfall(&words);
        assert_eq!(done.code, Some(0), "{}", done.shown);
        // The widest that every terminal has, in characters.
        let wide: Vec<&str> = done.stdout.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{words:?}: {wide:#?}");
        let name = ["help".to_owned()].into_iter().chain(path.clone()).collect::<Vec<_>>().join("-");
        bench::snapshot(&name, &done.shown);
        open.extend(below(&done.stdout).into_iter().map(|word| [path.clone(), vec![word]].concat()));
        count += 1;
    }
    assert!(count >= 10, "{count} commands");
}

/// The words under `Commands:`.
fn below(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entries = lines.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    entries
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_version_is_said() {
    let done = Bench::new().landfall(&["--version"]);
    assert_eq!(done.stdout, format!("landfall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shell_gets_completions() {
    let bench = Bench::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = bench.landfall(&["completions", shell]);
        assert_eq!(done.code, Some(0), "{shell}");
        for command in ["rehearse", "serve", "login", "push"] {
            assert!(done.stdout.contains(command), "{shell} does not know {command}");
        }
    }
}
