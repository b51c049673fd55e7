//! Clients of registries on a job's `PATH`. Names of registries that a script puts together, asks AWS for, or has in a
//! file of its own are known only when a client is started with them: in front of each client stands a file of its
//! name that starts `landfall`, which brings the names home and becomes the client.
//!
//! An engine pulls and pushes by itself and knows no other way to be led; and the containers tools' own mapping of
//! registries (`registries.conf`) is for pulls alone.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::actions::build_push;
use crate::home::{Folders, Home, NEVER, aws_address, bring_registries_home};
use crate::script::find_program;

/// The first word of a command line of `landfall` that becomes a client.
pub const WORD: &str = "__at-home";

/// The clients. `sudo` gives others another `PATH`, and `curl` and `wget` reach whatever they are told.
const CLIENTS: &[&str] = &[
    "docker",
    "docker-compose",
    "podman",
    "buildah",
    "skopeo",
    "crane",
    "oras",
    "helm",
    "regctl",
    "nerdctl",
    "finch",
    "cosign",
    "trivy",
    "grype",
    "syft",
    "curl",
    "wget",
    "sudo",
];
/// Those that build from a Dockerfile.
const BUILDERS: &[&str] = &["docker", "podman", "buildah", "nerdctl", "finch"];
/// Those that reach an address that is a word of theirs.
const FETCHERS: &[&str] = &["curl", "wget"];
/// Words of their command lines behind which files say which images are built, pulled and started.
const PROJECTS: &[&str] = &["compose", "bake", "stack"];
/// The files that they read without being told.
const PROJECT_FILES: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "docker-bake.hcl",
    "docker-bake.json",
];
/// Flags of builds that take no value.
const SWITCHES: &[&str] = &[
    "-q",
    "--quiet",
    "--no-cache",
    "--pull",
    "--pull-always",
    "--push",
    "--load",
    "--rm",
    "--force-rm",
    "--squash",
    "--compress",
    "-D",
    "--debug",
    "--layers",
    "--disable-content-trust",
    "--tls-verify",
    "--squash-all",
];
/// Largest file that is looked into, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Puts the clients that are on this machine in front of the job's `PATH`. `aws_url` is where the local AWS side is.
///
/// # Errors
/// When a file can't be written.
pub fn install(folders: &Folders, path: &str, aws_url: &str) -> std::io::Result<()> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let landfall = folders.bin.join("landfall").display().to_string();
    for name in CLIENTS {
        let Some(client) = find_program(name, path) else { continue };
        let words = [landfall.as_str(), WORD, aws_url, &client.display().to_string()].map(quoted).join(" ");
        let file = folders.bin.join(name);
        let becomes = format!("exec {words} \"$@\"");
        let text = match FETCHERS.contains(name) {
            // Scripts call these often, and seldom with an address of AWS.
            true => {
                let client = quoted(&client.display().to_string());
                let addresses = "http*.amazonaws.* | http*.aws | http*.aws/*";
                format!(
                    "for word; do case \"${{word%%[?]*}}\" in {addresses}) {becomes} ;; esac; done\nexec {client} \"$@\"\n"
                )
            }
            false => format!("{becomes}\n"),
        };
        std::fs::write(&file, format!("#!/bin/sh\n{text}"))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What a client is started with.
#[derive(PartialEq, Eq, Debug)]
pub struct Led {
    /// Its words.
    pub args: Vec<OsString>,
    /// The variables that change.
    pub variables: Vec<(String, String)>,
}

/// Where a client is started.
pub struct Place<'p> {
    /// The working folder.
    pub dir: &'p Path,
    /// A folder for copies of files.
    pub temp: &'p Path,
    /// Where registries of ECR are.
    pub home: &'p Home<'p>,
}

/// Brings the words and variables of a client home.
///
/// # Errors
/// A sentence, when the client would reach AWS.
pub fn lead<'v>(
    client: &Path,
    args: Vec<OsString>,
    variables: impl Iterator<Item = (&'v str, &'v str)>,
    place: &Place<'_>,
) -> Result<Led, String> {
    let name = client.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let reaches = |host: String| format!("{name} would reach {host}: {NEVER}");
    let mut led = Vec::with_capacity(args.len());
    for arg in args {
        // A word that is no text names no registry.
        led.push(match arg.into_string() {
            Ok(text) => {
                let home = bring_registries_home(&text, place.home).map_err(reaches)?;
                // What stands further behind is a part of the request.
                let address = home.match_indices('/').nth(2).and_then(|(end, _)| home.get(..end));
                let address = address.filter(|it| it.starts_with("http")).unwrap_or_default();
                match aws_address(address).filter(|_| FETCHERS.contains(&name.as_str())) {
                    Some(host) => return Err(reaches(host)),
                    None => home.into(),
                }
            }
            Err(arg) => arg,
        });
    }
    let changed = |(name, value): (&str, &str)| {
        let home = bring_registries_home(value, place.home).ok().filter(|home| home != value)?;
        Some((name.to_owned(), home))
    };
    let variables = variables.filter_map(changed).collect();
    let first = if name == "sudo" { led.iter().position(is_builder).map(|at| at + 1) } else { Some(0) };
    if let Some(first) = first.filter(|_| name == "sudo" || BUILDERS.contains(&name.as_str())) {
        lead_build(&mut led, first, place)?;
    }
    look_at_projects(&name, &led, place)?;
    Ok(Led { args: led, variables })
}

fn is_builder(word: &OsString) -> bool {
    let name = Path::new(word).file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| BUILDERS.contains(&name))
}

/// A build reads names from its Dockerfile: it is given a copy with those that are here.
fn lead_build(args: &mut Vec<OsString>, first: usize, place: &Place<'_>) -> Result<(), String> {
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_build = |word: &String| matches!(word.as_str(), "build" | "bud" | "build-using-dockerfile");
    let Some(build) = words.iter().skip(first).position(is_build).map(|at| at + first) else { return Ok(()) };
    let Some((at, file)) = dockerfile(&words, build, place.dir) else { return Ok(()) };
    let Some(text) = read(&file) else { return Ok(()) };
    let shown = file.strip_prefix(place.dir).unwrap_or(&file).display().to_string();
    let home = build_push::at_home(&text, &build_args(&words), place.home)
        .map_err(|(line, host)| format!("{shown}:{line}: the image is at {host}: {NEVER}"))?;
    if home == text {
        return Ok(());
    }
    let name = landfall_wire::hash::sha256_hex(home.as_bytes());
    let copy = place.temp.join(format!("Dockerfile-{}", name.get(..16).unwrap_or(&name)));
    std::fs::write(&copy, home).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
    let flag = OsString::from(format!("--file={}", copy.display()));
    match at {
        Some((at, length)) => drop(args.splice(at..at + length, [flag])),
        None => args.insert(build + 1, flag),
    }
    Ok(())
}

/// The file of a build, and the words by which it is said, if it is.
fn dockerfile(words: &[String], build: usize, dir: &Path) -> Option<(Option<(usize, usize)>, PathBuf)> {
    let mut folder = None;
    let mut at = build + 1;
    while let Some(word) = words.get(at) {
        let value = words.get(at + 1);
        if let ("-f" | "--file", Some(value)) = (word.as_str(), value) {
            return Some((Some((at, 2)), dir.join(value)));
        }
        let joined = word.strip_prefix("--file=").or_else(|| word.strip_prefix("-f"));
        if let Some(value) = joined {
            return Some((Some((at, 1)), dir.join(value.trim_start_matches('='))));
        }
        let takes_value = word.starts_with('-') && !word.contains('=') && !SWITCHES.contains(&word.as_str());
        if !word.starts_with('-') && dir.join(word).is_dir() {
            folder = Some(dir.join(word));
        }
        at += if takes_value { 2 } else { 1 };
    }
    let files = ["Dockerfile", "Containerfile"].map(|name| folder.as_ref().map(|folder| folder.join(name)));
    files.into_iter().flatten().find(|file| file.is_file()).map(|file| (None, file))
}

/// The values that a build is given for the `ARG`s of its Dockerfile.
fn build_args(words: &[String]) -> Vec<(String, Option<String>)> {
    let behind = words.iter().zip(words.iter().skip(1)).filter(|(flag, _)| *flag == "--build-arg");
    let joined = words.iter().filter_map(|word| word.strip_prefix("--build-arg="));
    let all = behind.map(|(_, value)| value.as_str()).chain(joined);
    let pair = |text: &str| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    };
    all.map(pair).collect()
}

/// What starts many containers reads their images' names from a file, with paths from where the file is: it can't be
/// given a copy.
fn look_at_projects(name: &str, args: &[OsString], place: &Place<'_>) -> Result<(), String> {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    if name != "docker-compose" && !words.iter().any(|word| PROJECTS.contains(word)) {
        return Ok(());
    }
    let said = words.iter().map(|word| word.split_once('=').map_or(*word, |(_, value)| value));
    for file in said.chain(PROJECT_FILES.iter().copied()) {
        let Some(text) = read(&place.dir.join(file)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if bring_registries_home(line, place.home).is_ok_and(|home| home != line) {
                let number = index + 1;
                return Err(format!(
                    "{file}:{number} names a registry of ECR, which {name} would reach: {NEVER}; \
                     take the registry from a variable: `image: $REGISTRY/…`"
                ));
            }
        }
    }
    Ok(())
}

/// A file's text; none for what can't be looked into.
fn read(file: &Path) -> Option<String> {
    let meta = std::fs::metadata(file).ok()?;
    let is_read = meta.is_file() && meta.len() <= FILE_BYTES_MAX;
    std::fs::read_to_string(file).ok().filter(|_| is_read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;

    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn led(dir: &Path, line: &str, variables: &[(&str, &str)]) -> Result<(String, String), String> {
        let home = |host: &str| host.starts_with("123456789012").then(|| "127.0.0.1:1".to_owned());
        let mut words = line.split_whitespace();
        let client = PathBuf::from(format!("/usr/bin/{}", words.next().unwrap()));
        let place = Place { dir, temp: dir, home: &home };
        let led = lead(&client, words.map(OsString::from).collect(), variables.iter().copied(), &place)?;
        let words: Vec<String> = led.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let variables = led.variables.iter().map(|(name, value)| format!("{name}={value}"));
        Ok((words.join(" "), variables.collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn names_of_registries_come_home_and_nothing_else_changes() {
        let dir = Scratch::make("a test").unwrap();
        for (line, wanted) in [
            (format!("docker push {ECR}/web:v1"), "push 127.0.0.1:1/web:v1"),
            (
                format!("docker login -u AWS --password-stdin https://{ECR}"),
                "login -u AWS --password-stdin http://127.0.0.1:1",
            ),
            (format!("skopeo copy dir:x docker://{ECR}/web"), "copy dir:x docker://127.0.0.1:1/web"),
            (format!("sudo -E docker pull {ECR}/web"), "-E docker pull 127.0.0.1:1/web"),
            ("docker push ghcr.io/acme/web".to_owned(), "push ghcr.io/acme/web"),
        ] {
            assert_eq!(led(dir.path(), &line, &[]).map(|(words, _)| words).as_deref(), Ok(wanted), "{line}");
        }
        let image = format!("{ECR}/web");
        let (_, variables) = led(dir.path(), "docker ps", &[("IMAGE", &image), ("A", "b")]).unwrap();
        assert_eq!(variables, "IMAGE=127.0.0.1:1/web");
    }

    #[test]
    fn what_would_reach_aws_is_refused() {
        let dir = Scratch::make("a test").unwrap();
        std::fs::write(dir.path().join("compose.yaml"), format!("services:\n  web:\n    image: {ECR}/web\n"))
            .unwrap();
        for (line, wanted) in [
            (
                "docker push 210987654321.dkr.ecr.eu-west-1.amazonaws.com/web",
                "docker would reach 210987654321.dkr.ecr.eu-west-1.amazonaws.com",
            ),
            ("curl -s https://sts.amazonaws.com/", "curl would reach sts.amazonaws.com"),
            ("docker compose up -d", "compose.yaml:3 names a registry of ECR, which docker would reach"),
            ("docker-compose -f compose.yaml pull", "compose.yaml:3 names a registry of ECR"),
        ] {
            assert!(led(dir.path(), line, &[]).is_err_and(|why| why.contains(wanted)), "{line}");
        }
    }

    #[test]
    fn a_build_reads_a_dockerfile_whose_images_are_here() {
        let dir = Scratch::make("a test").unwrap();
        let (root, app) = (dir.path().to_owned(), dir.path().join("app"));
        std::fs::create_dir_all(&app).unwrap();
        let text = format!("ARG FROM_ACCOUNT=1\nFROM {ECR}/base\n");
        std::fs::write(root.join("Dockerfile"), &text).unwrap();
        std::fs::write(app.join("Dockerfile"), "FROM scratch\n").unwrap();
        std::fs::write(app.join("prod"), "ARG A\nFROM $A.dkr.ecr.eu-west-1.amazonaws.com/x\n").unwrap();
        let copy = |text: &str| {
            let name = landfall_wire::hash::sha256_hex(text.as_bytes());
            root.join(format!("Dockerfile-{}", &name[..16])).display().to_string()
        };
        let of_root = copy("ARG FROM_ACCOUNT=1\nFROM 127.0.0.1:1/base\n");
        let of_prod = copy("ARG A\nFROM 127.0.0.1:1/x\n");
        for (line, wanted) in [
            ("docker build -q -t app .", format!("build --file={of_root} -q -t app .")),
            ("sudo docker build . -t x", format!("docker build --file={of_root} . -t x")),
            ("podman build --tag app app", "build --tag app app".to_owned()),
            (
                "docker buildx build --file Dockerfile --push app",
                format!("buildx build --file={of_root} --push app"),
            ),
            (
                "buildah bud --build-arg A=123456789012 -fapp/prod .",
                format!("bud --build-arg A=123456789012 --file={of_prod} ."),
            ),
        ] {
            assert_eq!(led(&root, line, &[]).map(|(words, _)| words), Ok(wanted), "{line}");
        }
        assert_eq!(std::fs::read_to_string(of_root).unwrap(), "ARG FROM_ACCOUNT=1\nFROM 127.0.0.1:1/base\n");
        let stranger = led(&root, "docker build --build-arg=A=210987654321 --file=app/prod app", &[]);
        assert!(stranger.is_err_and(|why| why.starts_with("app/prod:2: the image is at 210987654321.dkr")));
    }
}
