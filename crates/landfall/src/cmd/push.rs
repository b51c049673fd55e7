//! `landfall push`: an image from disk into registries, without a daemon.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall_deliver::docker_config::{self, DockerConfig};
use landfall_deliver::layout::Image;
use landfall_deliver::push::{self, Options, Planned, Progress, Pushed};
use landfall_deliver::registry::Patience;
use landfall_deliver::{Environment, Failure, github};
use landfall_types::{ImageRef, RepositoryName, Tag};

mod source;

use super::login::{append, random_delimiter, say};
use super::session::with_proxy;
use super::why::InfraArgs;

/// Push an image into registries, without a daemon.
///
/// The source is an OCI image layout (a directory or a tar archive), what `docker save` or `podman save`
/// wrote, an image of the container engine, or plain directories, which become an image of one layer each:
/// the same content gives the same digest on every machine. Blobs that are already there aren't sent; what
/// is sent is hashed on the way, and no tag is moved before everything is there.
///
/// Logins come from Docker's config.json and the credential helpers that it names; for ECR also straight
/// from the environment's AWS credentials.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PushArgs {
    /// SOURCE (unless a flag names it), then REGISTRY/REPOSITORY[:TAG]…
    #[arg(value_name = "SOURCE REF", required = true)]
    names: Vec<String>,

    /// Make an image from this directory; once for each platform, the images become an index
    #[arg(long, value_name = "[PLATFORM=]DIR", group = "from")]
    dir: Vec<String>,

    /// Push this OCI image layout, a directory or a tar archive; an index goes with all its images
    #[arg(long, value_name = "PATH", group = "from")]
    oci: Option<PathBuf>,

    /// Push from this tar archive: `docker save`, `podman save` or an OCI layout; `-` is standard input
    #[arg(long, value_name = "FILE", group = "from")]
    archive: Option<PathBuf>,

    /// Push this image of the container engine (Docker's or Podman's socket)
    #[arg(long, value_name = "IMAGE", group = "from")]
    engine: Option<String>,

    /// Of several images in the source, the one of this name, tag or digest
    #[arg(long, value_name = "NAME", conflicts_with = "dir")]
    select: Option<String>,

    /// Of several images, the one for this machine alone; with a directory, the machine that it is for
    /// [default there: linux/amd64]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// A further tag in every repository named; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// With a directory: the image underneath, an OCI layout or an archive
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,

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

    /// With a directory: a port that it listens on; may be repeated
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,

    /// With a directory: how its layer is compressed, gzip[:1 to 9] or zstd[:1 to 22]; zstd is smaller and faster, for
    /// whoever runs containerd 1.5, Docker 23, Podman 4 or later [default: gzip:6]
    #[arg(long, value_name = "FORMAT[:LEVEL]")]
    compression: Option<String>,

    /// A repository of the same registry that blobs may be mounted from; may be repeated
    #[arg(long, value_name = "REPOSITORY")]
    mount_from: Vec<String>,

    /// Make the ECR repository if it isn't there
    #[arg(long)]
    create_repository: bool,

    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,

    /// Write the image's digest to this file
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,

    /// A proxy for every call, without a password (that belongs into the variable) [env: HTTPS_PROXY, HTTP_PROXY]
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,

    /// Hosts that are asked past the proxy [env: NO_PROXY]
    #[arg(long, value_name = "HOST,…")]
    no_proxy: Option<String>,

    #[command(flatten)]
    infra: InfraArgs,

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
    landfall push --dir dist --entrypoint /server \\
      123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:v1

  The same for two machines:
    landfall push --dir linux/amd64=dist/amd64 --dir linux/arm64=dist/arm64 \\
      --entrypoint /server REF

  An OCI layout, as docker buildx build --output type=oci,dest=image,tar=false
  makes it, under two tags:
    landfall push --oci image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/api \\
      --tag \"$GITHUB_SHA\" --tag latest

  What docker save writes, and an image straight from Docker or Podman:
    docker save app | landfall push - REF
    landfall push --engine app:v1 REF

SOURCE_DATE_EPOCH sets the time that files and image carry; without it that is
1970. In GitHub Actions the step gets the outputs `digest` and `image`
(REGISTRY/REPOSITORY@DIGEST).

Exit codes: 0 pushed; 1 refused; 2 wrong usage or unreadable input; 3 a registry
could not be reached.";

/// Pushes.
///
/// # Errors
/// Unreadable input, a registry's refusal, or a broken connection.
pub async fn run(args: PushArgs, env: &Environment) -> Result<(), Failure> {
    let (source, names) = source::of(&args)?;
    let references = names.iter().map(|name| ImageRef::parse(name)).collect::<Result<Vec<_>, _>>();
    let references = references.map_err(Failure::usage)?;
    let tags = args.tag.iter().map(|tag| Tag::parse(tag)).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|reason| Failure::usage(format!("--tag: {reason}")))?;
    let mount_from = args.mount_from.iter().map(|name| RepositoryName::parse(name));
    let mount_from = mount_from.collect::<Result<Vec<_>, _>>();
    let options = Options {
        mount_from: mount_from.map_err(|reason| Failure::usage(format!("--mount-from: {reason}")))?,
        creates_repository: args.create_repository,
        patience: Patience::default(),
    };
    let calls = with_proxy(env, args.http_proxy.as_deref(), args.no_proxy.as_deref())?;
    let config = DockerConfig::read(&docker_config::location(args.docker_config.as_deref(), env)?)?;
    let image = prepare(source::image(source, &args, env)).await?;
    let destinations = push::destinations(&references, &tags, &image.root.digest).map_err(Failure::usage)?;
    if args.dry_run {
        let planned = push::plan(&image, &destinations, &config, &calls, options.patience).await;
        let planned = planned.map_err(|failure| args.infra.explained(failure))?;
        match args.format {
            PushFormat::Text => planned.iter().for_each(|each| say(&planned_line(each, &image))),
            PushFormat::Json => say(&planned_json(&planned, &image).to_string()),
        }
        return Ok(());
    }
    let progress = Arc::new(Progress::default());
    let display = tokio::spawn(show(Arc::clone(&progress)));
    let pushed = push::push(&image, &destinations, &config, &calls, &options, &progress).await;
    display.abort();
    // An aborted display may have left half a line; waiting for it lets it finish the write.
    let _ = display.await;
    clear_line();
    let pushed = pushed.map_err(|failure| args.infra.explained(failure))?;
    write_outputs(&pushed, &args, env)?;
    match args.format {
        PushFormat::Text => pushed.iter().for_each(report),
        PushFormat::Json => say(&json(&pushed, &image).to_string()),
    }
    Ok(())
}

/// Waits for the image; says so when that takes longer than a moment.
async fn prepare(image: impl Future<Output = Result<Image, Failure>>) -> Result<Image, Failure> {
    let mut image = std::pin::pin!(image);
    if let Ok(image) = tokio::time::timeout(PROGRESS_AFTER, &mut image).await {
        return image;
    }
    if std::io::stderr().is_terminal() {
        // A terminal that went away is no reason to stop.
        let _ = std::io::stderr().write_all(b"\r\x1b[Kpreparing the image");
    }
    let image = image.await;
    clear_line();
    image
}

fn report(pushed: &Pushed) {
    let tags: Vec<_> = pushed.destination.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    let new = if pushed.is_new_repository { ", into a new repository" } else { "" };
    say(&format!("pushed {}{tags}{new}", pushed.pinned()));
}

fn planned_line(planned: &Planned, image: &Image) -> String {
    let Planned { destination, missing_blob_count, missing_bytes, blob_count } = planned;
    let tags: Vec<_> = destination.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    let megabytes = missing_bytes.div_ceil(BYTES_PER_MB);
    format!(
        "would push {}/{}@{}{tags}: {missing_blob_count} of {blob_count} blobs, {megabytes} MB, are missing",
        destination.registry, destination.repository, image.root.digest
    )
}

fn planned_json(planned: &[Planned], image: &Image) -> serde_json::Value {
    let one = |each: &Planned| {
        serde_json::json!({
            "registry": each.destination.registry,
            "repository": each.destination.repository.as_str(),
            "tags": each.destination.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
            "digest": image.root.digest.as_str(),
            "blobs": each.blob_count,
            "blobsMissing": each.missing_blob_count,
            "bytesMissing": each.missing_bytes,
        })
    };
    planned.iter().map(one).collect()
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
            "blobsMounted": each.mounted_blob_count,
            "blobsPresent": each.present_blob_count,
            "sizeBytes": each.size_bytes,
            "repositoryCreated": each.is_new_repository,
        })
    };
    pushed.iter().map(one).collect()
}

fn write_outputs(pushed: &[Pushed], args: &PushArgs, env: &Environment) -> Result<(), Failure> {
    if let (Some(path), Some(first)) = (&args.digest_file, pushed.first()) {
        let written = std::fs::write(path, format!("{}\n", first.digest));
        written.map_err(|cause| {
            Failure::usage(format!("pushed, but `{}` can't be written: {cause}", path.display()))
        })?;
    }
    match (github::output_file(env), pushed.first()) {
        (Some(file), Some(first)) => {
            let image = first.pinned();
            append(&file, &[("digest", first.digest.as_str()), ("image", &image)], &random_delimiter())
                .map(drop)
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
mod tests;
