//! docker/build-push-action v6: what a step's inputs ask for, and what of it this machine's engine does.

use super::csv::{Commas, list};
use super::{Inputs, boolean, input};
use crate::home::{Home, bring_registries_home};

/// `action.yml`.
const INPUTS: [&str; 33] = [
    "add-hosts",
    "allow",
    "annotations",
    "attests",
    "build-args",
    "build-contexts",
    "builder",
    "cache-from",
    "cache-to",
    "call",
    "cgroup-parent",
    "context",
    "file",
    "labels",
    "load",
    "network",
    "no-cache",
    "no-cache-filters",
    "outputs",
    "platforms",
    "provenance",
    "pull",
    "push",
    "sbom",
    "secrets",
    "secret-envs",
    "secret-files",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimit",
    "github-token",
];
/// What makes no other image of the same files, or can't be had without a network.
const LEFT_OUT: [&str; 10] = [
    "annotations",
    "attests",
    "builder",
    "cache-from",
    "cache-to",
    "cgroup-parent",
    "no-cache-filters",
    "provenance",
    "pull",
    "sbom",
];
/// What only buildx does.
const OF_BUILDX: [&str; 3] = ["build-contexts", "call", "ssh"];

/// Where a build's files come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Context {
    /// The run's own commit, as Git has it, and a folder of it.
    Commit(String),
    /// A folder, as the step names it.
    Folder(String),
}

/// Where the value of a build's secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// In the input.
    Text(String),
    /// In a variable of the step.
    Variable(String),
    /// In a file of the workspace.
    File(String),
}

/// Makes a place of a secret of its entry.
type MakeFrom = fn(String) -> From;

/// A build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// `context`
    pub context: Context,
    /// `file`
    pub file: Option<String>,
    /// `tags`
    pub tags: Vec<String>,
    /// `push`, or an output that is a registry.
    pub push: bool,
    /// `load`, or an output that is the engine.
    pub load: bool,
    /// `build-args`: names and values; without a value it is that of the variable.
    pub args: Vec<(String, Option<String>)>,
    /// `secrets`, `secret-envs` and `secret-files`.
    pub secrets: Vec<(String, From)>,
    /// `network`
    pub network: Option<String>,
    /// Flags that an engine takes as they are.
    pub flags: Vec<String>,
    /// The one platform of the image.
    pub platform: Option<String>,
    /// What is left out, and inputs that the action doesn't have.
    pub warnings: Vec<String>,
}

fn entries(inputs: &Inputs, name: &str, commas: Commas) -> Vec<String> {
    list(input(inputs, name).unwrap_or_default(), commas, None)
}

/// What only buildx does of a step's inputs; none of an input that holds an expression which isn't known yet.
pub fn of_buildx(inputs: &Inputs) -> Vec<String> {
    let mut found: Vec<String> = OF_BUILDX
        .iter()
        .filter(|name| input(inputs, name).is_some())
        .map(|name| format!("`{name}` is buildx's, which is not rehearsed yet"))
        .collect();
    let platforms = entries(inputs, "platforms", Commas::Split);
    if platforms.len() > 1 {
        found.push(format!(
            "`platforms: {}` is one image for several platforms, which takes buildx: it is not rehearsed yet",
            platforms.join(",")
        ));
    }
    for output in entries(inputs, "outputs", Commas::Keep) {
        if kind_of(&output).is_none() {
            found.push(format!("`outputs: {output}` is buildx's, which is not rehearsed yet"));
        }
    }
    found
}

/// Whether an output pushes or loads: `type=registry`, `type=image,push=true`, `type=docker`.
fn kind_of(output: &str) -> Option<(bool, bool)> {
    let has = |wanted: &str| output.split(',').any(|part| part.trim() == wanted);
    match () {
        () if has("type=registry") => Some((true, false)),
        () if has("type=image") => Some((has("push=true"), false)),
        () if has("type=docker") && !output.contains("dest=") => Some((false, true)),
        () => None,
    }
}

/// Reads a step's inputs.
///
/// # Errors
/// The text that the step fails with.
pub fn build(inputs: &Inputs) -> Result<Build, String> {
    if let Some(first) = of_buildx(inputs).into_iter().next() {
        return Err(first);
    }
    let mut warnings: Vec<String> = super::unexpected(INPUTS.into_iter(), inputs).into_iter().collect();
    let is = |name: &str| input(inputs, name).map_or(Ok(false), |value| boolean(name, value));
    let is_said = |name: &&str| match input(inputs, name) {
        None => false,
        Some(value) => *name != "pull" || boolean(name, value) != Ok(false),
    };
    let left: Vec<String> =
        LEFT_OUT.iter().filter(|name| is_said(name)).map(|name| format!("`{name}`")).collect();
    if !left.is_empty() {
        warnings.push(format!("left out in a rehearsal: {}", left.join(", ")));
    }
    let (mut push, mut load) = (is("push")?, is("load")?);
    for output in entries(inputs, "outputs", Commas::Keep) {
        let (pushes, loads) = kind_of(&output).unwrap_or_default();
        push |= pushes;
        load |= loads;
    }
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: String| flags.push(format!("--{name}={value}"));
    for label in entries(inputs, "labels", Commas::Keep) {
        flag("label", label);
    }
    for host in entries(inputs, "add-hosts", Commas::Split) {
        flag("add-host", host);
    }
    for limit in entries(inputs, "ulimit", Commas::Keep) {
        flag("ulimit", limit);
    }
    for name in ["target", "shm-size"] {
        if let Some(value) = input(inputs, name) {
            flag(name, value.to_owned());
        }
    }
    if is("no-cache")? {
        flags.push("--no-cache".to_owned());
    }
    let args = entries(inputs, "build-args", Commas::Keep).into_iter().map(|arg| match arg.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (arg, None),
    });
    Ok(Build {
        context: context(input(inputs, "context"))?,
        file: input(inputs, "file").map(str::to_owned),
        tags: entries(inputs, "tags", Commas::Split),
        push,
        load,
        args: args.collect(),
        secrets: secrets(inputs)?,
        network: input(inputs, "network").map(str::to_owned),
        flags,
        platform: entries(inputs, "platforms", Commas::Split).pop(),
        warnings,
    })
}

fn context(said: Option<&str>) -> Result<Context, String> {
    let Some(said) = said else { return Ok(Context::Commit(String::new())) };
    let of_commit = said.strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
    match of_commit {
        Some((name, rest)) if name.trim() == "defaultContext" => {
            Ok(Context::Commit(rest.strip_prefix(':').unwrap_or(rest).to_owned()))
        }
        _ if said.contains("://") || said.starts_with("git@") => {
            Err(format!("the context `{said}` is not on this machine, and a rehearsal never leaves it"))
        }
        _ => Ok(Context::Folder(said.to_owned())),
    }
}

fn secrets(inputs: &Inputs) -> Result<Vec<(String, From)>, String> {
    let mut secrets = Vec::new();
    let kinds: [(&str, Commas, MakeFrom); 3] = [
        ("secrets", Commas::Keep, From::Text),
        ("secret-envs", Commas::Split, From::Variable),
        ("secret-files", Commas::Keep, From::File),
    ];
    for (input, commas, from) in kinds {
        for entry in entries(inputs, input, commas) {
            let (id, value) = entry
                .split_once('=')
                .filter(|(id, value)| !id.is_empty() && !value.is_empty())
                // The entry may be the secret.
                .ok_or_else(|| {
                    format!("an entry of `{input}` is not a valid secret: ID=VALUE is expected")
                })?;
            secrets.push((id.to_owned(), from(value.to_owned())));
        }
    }
    Ok(secrets)
}

/// The images that a Dockerfile builds upon, with their lines (from 1). Stages of its own, `scratch`, and names
/// with arguments that aren't known are none.
pub fn bases(dockerfile: &str, args: &[(String, Option<String>)]) -> Vec<(usize, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    let mut stages: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut has_stage = false;
    for (number, line) in dockerfile.lines().enumerate() {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            // Only arguments before the first stage are for its image.
            Some("ARG") if !has_stage => {
                for word in words {
                    let (name, default) = word.split_once('=').map_or((word, None), |(n, d)| (n, Some(d)));
                    let given =
                        args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
                    let value =
                        given.or_else(|| default.map(|text| text.trim_matches(['"', '\'']).to_owned()));
                    known.extend(value.map(|value| (name.to_owned(), value)));
                }
            }
            Some("FROM") => {
                has_stage = true;
                let words: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
                let image = words.first().and_then(|image| filled(image, &known));
                let is_stage = |image: &String| stages.iter().any(|stage| stage.eq_ignore_ascii_case(image));
                found.extend(image.filter(|it| it != "scratch" && !is_stage(it)).map(|it| (number + 1, it)));
                if let [_, word, name, ..] = words.as_slice()
                    && word.eq_ignore_ascii_case("as")
                {
                    stages.push((*name).to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

/// A Dockerfile with ECR's registries at home: where its lines name them, and where its base images turn out to be in
/// them.
///
/// # Errors
/// The line and the host of a base image that can't be had here.
pub fn at_home(
    dockerfile: &str,
    args: &[(String, Option<String>)],
    home: &Home<'_>,
) -> Result<String, (usize, String)> {
    let bases = bases(dockerfile, args);
    let mut out = String::with_capacity(dockerfile.len());
    for (index, line) in dockerfile.split_inclusive('\n').enumerate() {
        let base = bases.iter().find(|(number, _)| *number == index + 1);
        let brought = base.map(|(number, image)| match bring_registries_home(image, home) {
            Ok(brought) => Ok((brought != *image).then_some(brought)),
            Err(host) => Err((*number, host)),
        });
        let word = line.split_whitespace().skip(1).find(|word| !word.starts_with("--"));
        match (brought.transpose()?.flatten(), word) {
            (Some(image), Some(word)) => out.push_str(&line.replacen(word, &image, 1)),
            // What a line runs is another matter.
            _ => out.push_str(&bring_registries_home(line, home).unwrap_or_else(|_| line.to_owned())),
        }
    }
    Ok(out)
}

/// `$NAME`, `${NAME}` and `${NAME:-default}` replaced; none where a value isn't known.
fn filled(text: &str, known: &[(String, String)]) -> Option<String> {
    let value =
        |name: &str| known.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some((inner, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            let (name, default) = inner.split_once(":-").map_or((inner, None), |(n, d)| (n, Some(d)));
            out.push_str(value(name).or(default)?);
            rest = after;
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            out.push_str(value(&after[..end])?);
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Build, String> {
        let inputs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        build(&inputs)
    }

    #[test]
    fn inputs_become_a_build() {
        let got = read(&[
            ("context", "./app"),
            ("file", "app/Dockerfile.prod"),
            ("push", "true"),
            ("tags", "a:1,a:2\nb:1"),
            ("labels", "one=1,2\ntwo=2"),
            ("build-args", "A=x=y\nB"),
            ("secrets", "token=t=1\n\"key=first\nsecond\""),
            ("secret-envs", "other=OTHER"),
            ("target", "prod"),
            ("no-cache", "true"),
            ("platforms", "linux/amd64"),
            ("cache-from", "type=gha"),
            ("provenance", "false"),
            ("pull", "false"),
        ])
        .unwrap();
        assert_eq!((got.push, got.load, &got.context), (true, false, &Context::Folder("./app".to_owned())));
        assert_eq!(got.tags, ["a:1", "a:2", "b:1"]);
        assert_eq!(got.args, [("A".to_owned(), Some("x=y".to_owned())), ("B".to_owned(), None)]);
        assert_eq!(got.flags, ["--label=one=1,2", "--label=two=2", "--target=prod", "--no-cache"]);
        assert_eq!(got.platform.as_deref(), Some("linux/amd64"));
        assert_eq!(got.warnings, ["left out in a rehearsal: `cache-from`, `provenance`"]);
        let secrets = [
            ("token".to_owned(), From::Text("t=1".to_owned())),
            ("key".to_owned(), From::Text("first\nsecond".to_owned())),
            ("other".to_owned(), From::Variable("OTHER".to_owned())),
        ];
        assert_eq!(got.secrets, secrets);
    }

    #[test]
    fn without_a_context_it_is_the_commit_and_outputs_say_where_the_image_goes() {
        let commit = |folder: &str| Context::Commit(folder.to_owned());
        assert_eq!(read(&[]).unwrap().context, commit(""));
        assert_eq!(read(&[("context", "{{defaultContext}}:app")]).unwrap().context, commit("app"));
        for (output, wanted) in [
            ("type=registry", (true, false)),
            ("type=image,name=x,push=true", (true, false)),
            ("type=image", (false, false)),
            ("type=docker", (false, true)),
        ] {
            let got = read(&[("outputs", output)]).unwrap();
            assert_eq!((got.push, got.load), wanted, "{output}");
        }
    }

    #[test]
    fn what_only_buildx_does_and_what_is_elsewhere_is_refused() {
        for (pair, wanted) in [
            (("platforms", "linux/amd64,linux/arm64"), "several platforms"),
            (("outputs", "type=local,dest=out"), "`outputs: type=local,dest=out`"),
            (("ssh", "default"), "`ssh` is buildx's"),
            (("build-contexts", "a=b"), "`build-contexts` is buildx's"),
            (("context", "https://github.com/a/b.git"), "never leaves it"),
            (("push", "yes"), "Core Schema"),
            (("secrets", "hunter2"), "an entry of `secrets` is not a valid secret"),
        ] {
            let error = read(&[pair]).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_images_below_are_those_of_from() {
        let dockerfile = "ARG BASE=debian:12\nARG TAG\nFROM --platform=linux/amd64 ${BASE} AS build\nARG X=1\nfrom build as test\nFROM scratch\nFROM node:${TAG}\nFROM ${NO}\nFROM r/${NO:-x}:1\n";
        let found = |args: &[(&str, &str)]| {
            let args: Vec<(String, Option<String>)> =
                args.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
            bases(dockerfile, &args)
                .into_iter()
                .map(|(line, image)| format!("{line} {image}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), ["3 debian:12", "9 r/x:1"]);
        assert_eq!(found(&[("TAG", "20"), ("BASE", "b")]), ["3 b", "7 node:20", "9 r/x:1"]);
    }

    #[test]
    fn base_images_in_ecr_are_brought_home_however_their_names_are_put_together() {
        let home = |host: &str| host.starts_with("123456789012").then(|| "127.0.0.1:1".to_owned());
        let args = [("ACCOUNT".to_owned(), Some("123456789012".to_owned()))];
        let whole = "ARG ACCOUNT\nFROM --platform=linux/amd64 $ACCOUNT.dkr.ecr.eu-west-1.amazonaws.com/base AS a\n\
            RUN curl https://s3.amazonaws.com/x\n\
            COPY --from=123456789012.dkr.ecr.eu-west-1.amazonaws.com/tools /t /t\nFROM a";
        let wanted = "ARG ACCOUNT\nFROM --platform=linux/amd64 127.0.0.1:1/base AS a\n\
            RUN curl https://s3.amazonaws.com/x\n\
            COPY --from=127.0.0.1:1/tools /t /t\nFROM a";
        assert_eq!(at_home(whole, &args, &home).as_deref(), Ok(wanted));
        let stranger = "FROM scratch\nFROM 210987654321.dkr.ecr.eu-west-1.amazonaws.com/base";
        let host = "210987654321.dkr.ecr.eu-west-1.amazonaws.com".to_owned();
        assert_eq!(at_home(stranger, &[], &home), Err((2, host)));
    }
}
