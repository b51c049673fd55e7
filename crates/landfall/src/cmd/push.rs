//! `landfall push`: an image from disk into registries, without a daemon.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall_deliver::assemble::{self, Platform, Settings};
use landfall_deliver::docker_config::{self, DockerConfig};
use landfall_deliver::http::Backoff;
use landfall_deliver::layout::{self, Image};
use landfall_deliver::push::{self, Progress, Pushed};
use landfall_deliver::{Environment, Failure, github};
use landfall_types::{ImageRef, Tag, Timestamp};

use super::login::{append, random_delimiter, say};

/// Push an image into registries, without a daemon.
///
/// SOURCE is an OCI image layout or a plain directory, which becomes an image of one layer: the same
/// content gives the same digest on every machine. Blobs that are already there aren't sent; what is
/// sent is hashed on the way, and nothing is published that isn't what its digest says.
///
/// Logins come from Docker's config.json; for ECR also straight from the environment's AWS credentials.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PushArgs {
    /// SOURCE (unless --dir or --oci names it), then REGISTRY/REPOSITORY[:TAG]…
    #[arg(value_name = "SOURCE REF", required = true)]
    names: Vec<String>,

    /// Make an image from this directory
    #[arg(long, value_name = "DIR", conflicts_with = "oci")]
    dir: Option<PathBuf>,

    /// Push this OCI image layout; an index goes with all its images
    #[arg(long, value_name = "DIR")]
    oci: Option<PathBuf>,

    /// A further tag in every repository named; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// With a directory: what the image runs, as a JSON array or as words
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,

    /// With a directory: the default arguments, as a JSON array or as words
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,

    /// With a directory: a variable of the image; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// With a directory: where the command runs
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,

    /// With a directory: who runs the command
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// With a directory: a label; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// With a directory: the machine it is for [default: linux/amd64]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,

    /// How to report what was pushed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = PushFormat::Text)]
    format: PushFormat,
}

/// How a push is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum PushFormat {
    /// A line for each repository
    Text,
    /// One array
    Json,
}

const EXAMPLES: &str = "\
Examples:
  A directory with a static binary:
    landfall push --dir dist --entrypoint /server 123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:v1

  An OCI layout (docker buildx build --output type=oci,dest=image,tar=false), under two tags:
    landfall push --oci image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/api --tag \"$GITHUB_SHA\" --tag latest

SOURCE_DATE_EPOCH sets the time that files and image carry; without it that is 1970.
In GitHub Actions the step gets the outputs `digest` and `image` (REGISTRY/REPOSITORY@DIGEST).

Exit codes: 0 pushed; 1 refused; 2 wrong usage or unreadable input; 3 a registry could not be reached.";

/// Pushes.
///
/// # Errors
/// Unreadable input, a registry's refusal, or a broken connection.
pub async fn run(args: PushArgs, env: &Environment) -> Result<(), Failure> {
    let (source, names) = source(&args)?;
    let references = names.iter().map(|name| ImageRef::parse(name)).collect::<Result<Vec<_>, _>>();
    let references = references.map_err(Failure::usage)?;
    let tags = args.tag.iter().map(|tag| Tag::parse(tag)).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|reason| Failure::usage(format!("--tag: {reason}")))?;
    let config = DockerConfig::read(&docker_config::location(args.docker_config.as_deref(), env)?)?;
    let image = match &source {
        Source::Layout(directory) => {
            no_settings(&args, directory)?;
            layout::read(directory)?
        }
        Source::Directory(directory) => assemble::assemble(directory, &settings(&args, env)?)?,
    };
    let destinations = push::destinations(&references, &tags, &image.root.digest).map_err(Failure::usage)?;
    let progress = Arc::new(Progress::default());
    let display = tokio::spawn(show(Arc::clone(&progress)));
    let pushed = push::push(&image, &destinations, &config, env, Backoff::default(), &progress).await;
    display.abort();
    // An aborted display may have left half a line; waiting for it lets it finish the write.
    let _ = display.await;
    clear_line();
    let pushed = pushed?;
    write_outputs(&pushed, env)?;
    match args.format {
        PushFormat::Text => pushed.iter().for_each(report),
        PushFormat::Json => say(&json(&pushed, &image).to_string()),
    }
    Ok(())
}

enum Source {
    Layout(PathBuf),
    Directory(PathBuf),
}

fn source(args: &PushArgs) -> Result<(Source, &[String]), Failure> {
    if let Some(directory) = &args.oci {
        return Ok((Source::Layout(directory.clone()), &args.names));
    }
    if let Some(directory) = &args.dir {
        return Ok((Source::Directory(directory.clone()), &args.names));
    }
    let (first, rest) =
        args.names.split_first().ok_or_else(|| Failure::usage("nothing to push: SOURCE is expected"))?;
    let path = Path::new(first);
    if !path.is_dir() {
        return Err(Failure::usage(format!(
            "`{first}` is not a directory: an OCI image layout or a plain directory is expected"
        )));
    }
    if layout::is_layout(path) {
        Ok((Source::Layout(path.to_owned()), rest))
    } else {
        Ok((Source::Directory(path.to_owned()), rest))
    }
}

/// A layout's images have their configuration already.
fn no_settings(args: &PushArgs, directory: &Path) -> Result<(), Failure> {
    let given = [
        ("--entrypoint", args.entrypoint.is_some()),
        ("--cmd", args.cmd.is_some()),
        ("--env", !args.env.is_empty()),
        ("--workdir", args.workdir.is_some()),
        ("--user", args.user.is_some()),
        ("--label", !args.label.is_empty()),
        ("--platform", args.platform.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(Failure::usage(format!(
            "{flag} is for plain directories: `{}` is an OCI image layout, whose images say that themselves",
            directory.display()
        ))),
        None => Ok(()),
    }
}

fn settings(args: &PushArgs, env: &Environment) -> Result<Settings, Failure> {
    let command = |flag: &str, text: &Option<String>| match text {
        Some(text) => assemble::command(text).map_err(|reason| Failure::usage(format!("{flag}: {reason}"))),
        None => Ok(Vec::new()),
    };
    for pair in &args.env {
        pair_of("--env", pair)?;
    }
    let labels =
        args.label.iter().map(|pair| pair_of("--label", pair)).collect::<Result<BTreeMap<_, _>, _>>()?;
    let platform = match &args.platform {
        Some(text) => {
            Platform::parse(text).map_err(|reason| Failure::usage(format!("--platform: {reason}")))?
        }
        None => Settings::default().platform,
    };
    Ok(Settings {
        entrypoint: command("--entrypoint", &args.entrypoint)?,
        cmd: command("--cmd", &args.cmd)?,
        environment: args.env.clone(),
        working_directory: args.workdir.clone(),
        user: args.user.clone(),
        labels,
        platform,
        created: source_date(env)?,
    })
}

fn pair_of(flag: &str, pair: &str) -> Result<(String, String), Failure> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("{flag}: `{pair}` is not NAME=VALUE"))),
    }
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>
fn source_date(env: &Environment) -> Result<Timestamp, Failure> {
    let Some(text) = env.get("SOURCE_DATE_EPOCH") else { return Ok(Timestamp(0)) };
    let seconds: u32 = text.parse().map_err(|_| {
        Failure::usage(format!("SOURCE_DATE_EPOCH is `{text}`: seconds since 1970 are expected"))
    })?;
    Ok(Timestamp::from_seconds(i64::from(seconds)))
}

fn report(pushed: &Pushed) {
    let tags: Vec<_> = pushed.destination.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    say(&format!("pushed {}{tags}", pushed.pinned()));
}

fn json(pushed: &[Pushed], image: &Image) -> serde_json::Value {
    let one = |each: &Pushed| {
        serde_json::json!({
            "image": each.pinned(),
            "registry": each.destination.registry,
            "repository": each.destination.repository.as_str(),
            "tags": each.destination.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
            "digest": each.digest.as_str(),
            "mediaType": each.media_type,
            "manifests": image.children.len() + 1,
            "blobsSent": each.sent_blob_count,
            "blobsPresent": each.present_blob_count,
            "sizeBytes": each.size_bytes,
        })
    };
    pushed.iter().map(one).collect()
}

fn write_outputs(pushed: &[Pushed], env: &Environment) -> Result<(), Failure> {
    match (github::output_file(env), pushed.first()) {
        (Some(file), Some(first)) => {
            let image = first.pinned();
            append(&file, &[("digest", first.digest.as_str()), ("image", &image)], &random_delimiter())
        }
        _ => Ok(()),
    }
}

/// Shows how far it is, on a terminal and only when it takes longer than a moment.
async fn show(progress: Arc<Progress>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    tokio::time::sleep(PROGRESS_AFTER).await;
    loop {
        let [total, sent, present] = [&progress.total, &*progress.sent, &progress.present]
            .map(|bytes| bytes.load(Ordering::Relaxed) / BYTES_PER_MB);
        let line = format!("\r\x1b[Kpushing: {sent} MB sent, {present} MB already there, of {total} MB");
        // A terminal that went away is no reason to stop pushing.
        let _ = std::io::stderr().write_all(line.as_bytes());
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

fn clear_line() {
    if std::io::stderr().is_terminal() {
        let _ = std::io::stderr().write_all(b"\r\x1b[K");
    }
}

/// Nothing is shown for pushes that are faster.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
const BYTES_PER_MB: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: PushArgs,
    }

    fn args(words: &[&str]) -> PushArgs {
        Line::try_parse_from([&["push"], words].concat()).unwrap().args
    }

    #[test]
    fn the_source_is_named_or_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().to_str().unwrap().to_owned();
        let shown = |words: &[&str]| match source(&args(words)) {
            Ok((Source::Directory(_), names)) => format!("directory {}", names.len()),
            Ok((Source::Layout(_), names)) => format!("layout {}", names.len()),
            Err(failure) => failure.message,
        };
        assert_eq!(shown(&["--dir", "d", "h/a", "h/b"]), "directory 2");
        assert_eq!(shown(&["--oci", "d", "h/a"]), "layout 1");
        assert_eq!(shown(&[&plain, "h/a"]), "directory 1");
        std::fs::write(directory.path().join("oci-layout"), "{}").unwrap();
        std::fs::write(directory.path().join("index.json"), "{}").unwrap();
        assert_eq!(shown(&[&plain, "h/a", "h/b"]), "layout 2");
        assert!(shown(&["/nowhere", "h/a"]).contains("is not a directory"));
    }

    #[test]
    fn a_layouts_images_say_themselves_how_they_run() {
        let path = Path::new("image");
        assert!(no_settings(&args(&["--oci", "image", "h/a", "--tag", "v1"]), path).is_ok());
        for flag in ["--entrypoint", "--cmd", "--env", "--workdir", "--user", "--label", "--platform"] {
            let failure = no_settings(&args(&["--oci", "image", "h/a", flag, "x"]), path).unwrap_err();
            assert!(failure.message.starts_with(flag), "{}", failure.message);
        }
    }

    #[test]
    fn the_moment_of_everything_is_the_source_date() {
        let at = |value: &str| {
            let env = Environment::new([("SOURCE_DATE_EPOCH".to_owned(), value.to_owned())], None);
            source_date(&env).map(Timestamp::seconds).ok()
        };
        assert_eq!(
            [at(""), at("0"), at("1700000000"), at("yesterday"), at("-1")],
            [Some(0), Some(0), Some(1_700_000_000), None, None]
        );
    }
}
