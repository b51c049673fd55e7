//! Which crate may use which, read from the manifests. Dependencies of tests are free.

use super::Message;

/// A crate of the workspace, and the crates of the workspace that it may use.
struct Crate {
    name: &'static str,
    may_use: &'static [&'static str],
}

/// The arrows of ARCHITECTURE.md. They only point down.
const CRATES: &[Crate] = &[
    Crate { name: "landfall-types", may_use: &[] },
    Crate { name: "landfall-policy", may_use: &["landfall-types"] },
    Crate { name: "landfall-wire", may_use: &["landfall-types"] },
    Crate { name: "landfall-check", may_use: &["landfall-types", "landfall-policy"] },
    Crate { name: "landfall-serve", may_use: &["landfall-types", "landfall-policy", "landfall-wire"] },
    Crate { name: "landfall-deliver", may_use: &["landfall-types", "landfall-wire"] },
    Crate {
        name: "landfall-rehearse",
        may_use: &["landfall-types", "landfall-policy", "landfall-check", "landfall-serve", "landfall-wire"],
    },
    Crate {
        name: "landfall",
        may_use: &[
            "landfall-types",
            "landfall-policy",
            "landfall-wire",
            "landfall-check",
            "landfall-serve",
            "landfall-deliver",
            "landfall-rehearse",
        ],
    },
    Crate { name: "xtask", may_use: &[] },
];

/// A library from outside, and the crates that may use it. `*` at the end stands for any rest.
struct Confined {
    library: &'static str,
    to: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined { library: "aws-sdk-*", to: &["landfall-deliver"], why: AWS },
    Confined { library: "aws-config", to: &["landfall-deliver"], why: AWS },
    Confined { library: "aws-credential-types", to: &["landfall-deliver"], why: AWS },
    Confined { library: "aws-sigv4", to: &["landfall-deliver"], why: AWS },
    Confined { library: "aws-smithy-*", to: &["landfall-deliver"], why: AWS },
    Confined {
        library: "reqwest",
        to: &["landfall-deliver", "landfall"],
        why: "the server side calls out to issuers alone, and looks at their certificates while it does",
    },
    Confined { library: "rustls", to: &["landfall-serve"], why: TLS },
    Confined { library: "tokio-rustls", to: &["landfall-serve"], why: TLS },
    Confined { library: "webpki-roots", to: &["landfall-serve"], why: TLS },
    Confined { library: "axum", to: &["landfall-serve"], why: "the HTTP edge is one crate's business" },
    Confined { library: "hcl-edit", to: &["landfall-check"], why: "Terraform is read in one place" },
    Confined {
        library: "granit-parser",
        to: &["landfall-check", "landfall-serve"],
        why: "YAML of a repository is read in one place, and AppSpecs that come over the wire in another",
    },
    Confined { library: "clap", to: &["landfall"], why: "only the binary reads a command line" },
    Confined {
        library: "tokio",
        to: &["landfall-serve", "landfall-deliver", "landfall-rehearse", "landfall"],
        why: "types, policy, wire and check are pure: text in, report out",
    },
];

const TLS: &str = "issuers are asked by `discovery` alone, which has to see their certificates";

const AWS: &str = "AWS's SDK is the client's; the local AWS side must not share code with what it judges";

/// Crates that depend on nothing from outside, and why.
const BARE: &[(&str, &str)] = &[
    ("landfall-types", "everything depends on it, and it has to build in a second"),
    ("landfall-policy", "the engine runs in a server, a linter and a browser: it brings nothing with it"),
];

/// Checks one manifest.
pub fn check(path: &str, text: &str) -> Vec<Message> {
    // The fuzz targets are a workspace of their own, which nothing is built from.
    if path.starts_with("fuzz/") {
        return Vec::new();
    }
    let Ok(manifest) = text.parse::<toml::Table>() else {
        return vec![Message::new(path, 1, "this manifest is not TOML; cargo will say where")];
    };
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    let name = name.unwrap_or("");
    let Some(known) = CRATES.iter().find(|known| known.name == name) else {
        let text = format!(
            "the crate `{name}` has no place in the order of crates; add it to CRATES in xtask/src/tidy/edges.rs and to ARCHITECTURE.md"
        );
        return vec![Message::new(path, 1, text)];
    };
    let mut messages = Vec::new();
    for dependency in dependencies(&manifest) {
        if let Some(why) = refusal(known, &dependency) {
            messages.push(Message::new(path, line_of(text, &dependency), why));
        }
    }
    messages
}

fn refusal(user: &Crate, dependency: &str) -> Option<String> {
    let name = user.name;
    if CRATES.iter().any(|known| known.name == dependency) {
        let free = user.may_use.contains(&dependency);
        let may = if user.may_use.is_empty() { "none".to_owned() } else { user.may_use.join(", ") };
        return (!free).then(|| {
            format!("`{name}` uses `{dependency}`, and arrows only point down (it may use: {may}); move the code to where both can see it")
        });
    }
    if let Some((_, why)) = BARE.iter().find(|(bare, _)| *bare == name) {
        return Some(format!(
            "`{name}` uses `{dependency}`: {why}; do without, or do it in the crate that calls this one"
        ));
    }
    let confined = CONFINED.iter().find(|confined| matches(confined.library, dependency))?;
    let users = confined.to.join(", ");
    (!confined.to.contains(&name)).then(|| {
        format!(
            "`{name}` uses `{dependency}`, which belongs to {users}: {}; go through that crate",
            confined.why
        )
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// The names of what is built into the crate, tests aside.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut tables: Vec<&toml::Table> = ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|key| manifest.get(*key).and_then(toml::Value::as_table))
        .collect();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    for target in targets.into_iter().flat_map(toml::Table::values) {
        tables.extend(target.get("dependencies").and_then(toml::Value::as_table));
    }
    // `alias = { package = "name" }` is the crate `name`.
    let name = |(key, value): (&String, &toml::Value)| {
        value.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned()
    };
    tables.into_iter().flatten().map(name).collect()
}

fn line_of(text: &str, dependency: &str) -> usize {
    let starts = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            || line.contains(&format!("package = \"{dependency}\""))
    };
    text.lines().position(starts).map_or(1, |index| index + 1)
}
