use super::*;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn manifest(name: &str, dependencies: &[&str]) -> String {
    let dependencies: String = dependencies.iter().map(|name| format!("{name}.workspace = true\n")).collect();
    format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}")
}

#[test]
fn arrows_between_crates_only_point_down() {
    for (name, dependency, allowed) in [
        ("landfall-policy", "landfall-types", true),
        ("landfall-types", "landfall-policy", false),
        ("landfall-check", "landfall-policy", true),
        ("landfall-check", "landfall-wire", false),
        ("landfall-check", "landfall-serve", false),
        ("landfall-serve", "landfall-wire", true),
        ("landfall-serve", "landfall-check", false),
        ("landfall-serve", "landfall-deliver", false),
        ("landfall-deliver", "landfall-wire", true),
        ("landfall-deliver", "landfall-policy", false),
        ("landfall-rehearse", "landfall-check", true),
        ("landfall-rehearse", "landfall-deliver", false),
        ("landfall", "landfall-rehearse", true),
        ("xtask", "landfall-types", false),
    ] {
        let messages = edges::check("crates/x/Cargo.toml", &manifest(name, &[dependency]));
        assert_eq!(messages.is_empty(), allowed, "{name} → {dependency}: {messages:?}");
    }
}

#[test]
fn libraries_stay_in_the_crates_that_they_belong_to() {
    for (name, dependency, allowed) in [
        ("landfall-deliver", "aws-sdk-sts", true),
        ("landfall-serve", "aws-sdk-sts", false),
        ("landfall-serve", "aws-lc-rs", true),
        ("landfall", "aws-config", false),
        ("landfall", "reqwest", true),
        ("landfall-rehearse", "reqwest", false),
        ("landfall-rehearse", "axum", false),
        ("landfall-rehearse", "hcl-edit", false),
        ("landfall-wire", "tokio", false),
        ("landfall-types", "serde", false),
        ("landfall-policy", "serde", false),
    ] {
        let messages = edges::check("crates/x/Cargo.toml", &manifest(name, &[dependency]));
        assert_eq!(messages.is_empty(), allowed, "{name} → {dependency}: {messages:?}");
    }
}

#[test]
fn a_refused_edge_names_its_line_and_a_renamed_one_is_seen() {
    let text = manifest("landfall-serve", &["bytes", "landfall-check"]);
    assert_eq!(edges::check("p", &text)[0].line, 6);
    let renamed = "[package]\nname = \"landfall-wire\"\n[dependencies]\nrt = { package = \"tokio\", version = \"1\" }\n";
    assert_eq!(edges::check("p", renamed)[0].line, 4);
    let build = "[package]\nname = \"landfall-wire\"\n[build-dependencies]\ntokio = \"1\"\n";
    assert_eq!(edges::check("p", build).len(), 1);
    let on_unix = "[package]\nname = \"landfall-wire\"\n[target.'cfg(unix)'.dependencies]\ntokio = \"1\"\n";
    assert_eq!(edges::check("p", on_unix).len(), 1);
}

#[test]
fn tests_may_use_any_library() {
    let text =
        "[package]\nname = \"landfall-wire\"\n[dev-dependencies]\ntokio = \"1\"\nlandfall-serve = \"0\"\n";
    assert_eq!(edges::check("p", text), []);
}

#[test]
fn a_crate_that_nobody_placed_is_refused() {
    assert_eq!(edges::check("p", &manifest("landfall-extra", &[])).len(), 1);
}

#[test]
fn a_module_begins_with_what_it_is_for() {
    assert_eq!(code::check(&file("crates/a/src/b.rs", "//! Reads.\n")), []);
    assert_eq!(code::check(&file("crates/a/src/b.rs", "use std::fmt;\n")).len(), 1);
    assert_eq!(code::check(&file("crates/a/src/b/tests.rs", "use super::*;\n")), []);
}

#[test]
fn unfinished_marks_are_found_in_code_and_comments() {
    for mark in [
        concat!("// TO", "DO: later"),
        concat!("    to", "do!()"),
        concat!("unimplem", "ented!(\"x\")"),
        concat!("/* FIX", "ME */"),
    ] {
        let messages = code::check(&file("crates/a/src/b.rs", &format!("//! A.\n{mark}\n")));
        assert_eq!(messages.iter().map(|message| message.line).collect::<Vec<_>>(), [2], "{mark}");
    }
}

#[test]
fn libraries_are_named_in_their_own_files_only() {
    let text = concat!("//! A.\nuse ax", "um::body::Body;\n");
    assert_eq!(code::check(&file("crates/landfall-serve/src/http/mod.rs", text)), []);
    assert_eq!(code::check(&file("crates/landfall-serve/src/server.rs", text)), []);
    assert_eq!(code::check(&file("crates/landfall-serve/src/ecr.rs", text)).len(), 1);
    assert_eq!(code::check(&file("crates/landfall-serve/src/server.rs.rs", text)).len(), 1);
    assert_eq!(
        code::check(&file(
            "crates/landfall-serve/src/ecr.rs",
            concat!("//! A.\n// ax", "um::body would do it.\n")
        )),
        []
    );
}

#[test]
fn pure_crates_take_clock_files_and_environment_as_arguments() {
    let text = "//! A.\nlet now = std::time::SystemTime::now();\n";
    assert_eq!(code::check(&file("crates/landfall-policy/src/a.rs", text)).len(), 1);
    assert_eq!(code::check(&file("crates/landfall-check/src/a.rs", "//! A.\nuse std::fs;\n")).len(), 1);
    assert_eq!(code::check(&file("crates/landfall/src/edge.rs", text)), []);
    let tested = "//! A.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    assert_eq!(code::check(&file("crates/landfall-check/src/a.rs", tested)), []);
}

fn function(name: &str, lines: usize) -> String {
    format!("    pub async fn {name}() {{\n{}    }}\n", "        call();\n".repeat(lines - 2))
}

#[test]
fn functions_over_seventy_lines_are_found_outside_of_tests() {
    let text = format!("{}{}", function("short", 70), function("long", 71));
    let long = length::long_functions(&file("crates/a/src/b.rs", &text));
    assert_eq!(
        long.iter().map(|long| (long.name.as_str(), long.lines, long.line)).collect::<Vec<_>>(),
        [("long", 71, 71)]
    );
    let tested = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
    assert_eq!(length::long_functions(&file("crates/a/src/b.rs", &tested)), []);
    assert_eq!(length::long_functions(&file("crates/a/tests/b.rs", &text)), []);
}

#[test]
fn the_list_of_long_functions_may_only_shrink() {
    let entry = |lines| length::Long { file: "a.rs".into(), name: "f".into(), lines, line: 0 };
    let (known, longer, shorter) = ([entry(80)], [entry(81)], [entry(75)]);
    assert_eq!(length::check(&known, &known), []);
    assert!(length::check(&known, &longer)[0].text.contains("may have 80"));
    assert!(length::check(&[], &known)[0].text.contains("may have 70"));
    assert!(length::check(&known, &shorter)[0].text.contains("--shrink"));
    assert!(length::check(&known, &[])[0].text.contains("--shrink"));
    assert_eq!(length::shrink(&known, &longer), known);
    assert_eq!(length::shrink(&known, &shorter), shorter);
    assert_eq!(length::shrink(&[], &known), []);
    assert_eq!(length::read(&length::write(&known)), known);
}

#[test]
fn paths_of_one_machine_are_found_anywhere() {
    for (line, found) in [
        (concat!("see /wo", "rk/notes"), true),
        (concat!("\"/ro", "ot/.cache\""), true),
        (concat!("/ho", "me/jane/x"), true),
        (concat!("PathBuf::from(\"/ho", "me/x\")"), false),
        (concat!("/ho", "me/runner/work/_temp"), false),
        (concat!("https://example.com/wo", "rk/x"), false),
        (concat!("{dir}/ho", "me/.docker"), false),
        ("a/workspace/b", false),
    ] {
        assert_eq!(!prose::machine_paths(&file("README.md", line)).is_empty(), found, "{line}");
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = "[workspace]\n\n[workspace.dependencies]\nours = { path = \"crates/ours\" }\nhttp = \"1\"\nbytes = \"1\"\n\n[profile.dev]\nopt-level = 1\n";
    let lines =
        |text| prose::reasons(manifest, Some(text)).iter().map(|message| message.line).collect::<Vec<_>>();
    assert_eq!(lines("| `http`, `bytes` | words of HTTP |"), []);
    assert_eq!(lines("https and http-body, bytes"), [5]);
    assert_eq!(prose::reasons(manifest, None).len(), 1);
}

#[test]
fn a_dependency_that_no_crate_uses_is_found() {
    let manifest = "[workspace.dependencies]\nhttp = \"1\"\nhttp-body = \"1\"\nbytes = \"1\"\n";
    let crates = [
        "[dependencies]\nhttp-body.workspace = true\n",
        "[dev-dependencies]\nbytes = { workspace = true }\n",
    ];
    let lines: Vec<usize> =
        prose::unused(manifest, crates.iter().copied()).iter().map(|message| message.line).collect();
    assert_eq!(lines, [2]);
}
