//! What is pushed: which source the arguments mean, and the image that it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landfall_deliver::archive::Archive;
use landfall_deliver::assemble::{self, Settings};
use landfall_deliver::choice::Choice;
use landfall_deliver::compress::Format;
use landfall_deliver::layout::{self, Files, Image};
use landfall_deliver::platform::Platform;
use landfall_deliver::{Environment, Failure, docker_archive, engine};
use landfall_types::Timestamp;

use super::PushArgs;

/// Where the image comes from.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// A directory that says that it is an OCI image layout.
    Layout(PathBuf),
    /// A tar archive of either kind.
    Archive(PathBuf),
    /// Standard input.
    Input,
    /// An image of the container engine.
    Engine(String),
    /// Plain directories, each with the platform it is for if that was said.
    Directories(Vec<(Option<Platform>, PathBuf)>),
}

/// The source, and the references that follow it.
pub(super) fn of(args: &PushArgs) -> Result<(Source, &[String]), Failure> {
    if !args.dir.is_empty() {
        let directories = args.dir.iter().map(|text| directory(text)).collect::<Result<_, _>>()?;
        return Ok((Source::Directories(directories), &args.names));
    }
    if let Some(image) = &args.engine {
        return Ok((Source::Engine(image.clone()), &args.names));
    }
    if let Some(path) = args.oci.as_ref().or(args.archive.as_ref()) {
        return Ok((at(path, args.oci.is_some())?, &args.names));
    }
    let (first, rest) =
        args.names.split_first().ok_or_else(|| Failure::usage("nothing to push: SOURCE is expected"))?;
    Ok((at(Path::new(first), false)?, rest))
}

fn at(path: &Path, is_layout: bool) -> Result<Source, Failure> {
    if path == Path::new("-") {
        Ok(Source::Input)
    } else if path.is_dir() {
        if is_layout && !path.join("index.json").is_file() {
            return Err(Failure::usage(format!(
                "`{}` is no OCI image layout: it has no `index.json` (a plain directory: --dir)",
                path.display()
            )));
        }
        let is_layout = is_layout || layout::is_layout(path);
        let plain = || Source::Directories(vec![(None, path.to_owned())]);
        Ok(if is_layout { Source::Layout(path.to_owned()) } else { plain() })
    } else if path.exists() || is_layout {
        Ok(Source::Archive(path.to_owned()))
    } else {
        Err(Failure::usage(format!(
            "`{}` is neither a directory nor a file: an OCI image layout, an archive, a plain directory or `-` \
             is expected (an image of the engine: --engine)",
            path.display()
        )))
    }
}

/// `DIR` or `PLATFORM=DIR`. A directory whose name has a `=` and begins like a platform is written `./…`.
fn directory(text: &str) -> Result<(Option<Platform>, PathBuf), Failure> {
    match text.split_once('=') {
        Some((platform, path)) if platform.contains('/') && !platform.starts_with(['.', '/']) => {
            let platform =
                Platform::parse(platform).map_err(|reason| Failure::usage(format!("--dir: {reason}")))?;
            Ok((Some(platform), PathBuf::from(path)))
        }
        _ => Ok((None, PathBuf::from(text))),
    }
}

/// Reads or makes the image. What takes long runs beside the runtime.
pub(super) async fn image(source: Source, args: &PushArgs, env: &Environment) -> Result<Image, Failure> {
    let choice = Choice { name: args.select.clone(), platform: platform(args)? };
    if !matches!(source, Source::Directories(_)) {
        no_settings(args)?;
    }
    match source {
        Source::Layout(path) => beside(move || Ok(layout::read(&Files::Directory(path), &choice)?)).await,
        Source::Archive(path) => beside(move || archived(&Archive::open(&path)?, &choice)).await,
        Source::Input => {
            beside(move || archived(&Archive::receive(std::io::stdin().lock(), Path::new("-"))?, &choice))
                .await
        }
        Source::Engine(name) => {
            let archive = engine::image(env, &name).await?;
            beside(move || archived(&archive, &choice)).await
        }
        Source::Directories(directories) => {
            let (settings, base) = (settings(args, env)?, args.base.clone());
            beside(move || assembled(&directories, &settings, base.as_deref(), choice.platform)).await
        }
    }
}

async fn beside(work: impl FnOnce() -> Result<Image, Failure> + Send + 'static) -> Result<Image, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Failure::mistake("preparing the image", error)))
}

/// An archive says itself which of the two kinds it is. Docker's own archives are both: its list of images
/// comes first, because only that knows every name.
fn archived(archive: &Archive, choice: &Choice) -> Result<Image, Failure> {
    if docker_archive::is_docker_archive(archive) {
        Ok(docker_archive::read(archive, choice)?)
    } else if archive.contains("index.json") {
        Ok(layout::read(&Files::Archive(archive.clone()), choice)?)
    } else {
        Err(Failure::usage(format!(
            "`{}` holds no image: an archive with `manifest.json` (docker save) or `index.json` (OCI layout) is \
             expected",
            archive.shown().display()
        )))
    }
}

fn assembled(
    directories: &[(Option<Platform>, PathBuf)],
    settings: &Settings,
    base: Option<&Path>,
    platform: Option<Platform>,
) -> Result<Image, Failure> {
    let is_several = directories.len() > 1;
    if let Some((_, path)) = directories.iter().find(|(platform, _)| platform.is_none() && is_several) {
        return Err(Failure::usage(format!(
            "--dir {}: with several directories each is for a platform: PLATFORM=DIR is expected, such as \
             linux/arm64={}",
            path.display(),
            path.display()
        )));
    }
    let base = base.map(Base::open).transpose()?;
    let mut images: Vec<(Platform, Image)> = Vec::new();
    for (own, directory) in directories {
        if own.is_some() && platform.is_some() {
            return Err(Failure::usage("--platform is given twice: --dir names the platform already"));
        }
        let platform = own.clone().or_else(|| platform.clone()).unwrap_or(settings.platform.clone());
        if images.iter().any(|(known, _)| *known == platform) {
            return Err(Failure::usage(format!("--dir: two directories are for {platform}")));
        }
        let base = base.as_ref().map(|base| base.image(&platform)).transpose()?;
        if base.is_none() {
            has_files(directory)?;
        }
        let settings = Settings { platform: platform.clone(), ..settings.clone() };
        images.push((platform, assemble::assemble(directory, &settings, base.as_ref())?));
    }
    match <[_; 1]>::try_from(images) {
        Ok([(_, image)]) => Ok(image),
        Err(several) => Ok(assemble::index(several)),
    }
}

/// An image of nothing is a slip of the path, unless it adds settings to a base.
fn has_files(directory: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(directory).map_err(|error| {
        Failure::usage(format!(
            "--dir {}: a directory that can be read is expected: {error}",
            directory.display()
        ))
    });
    if entries?.next().is_none() {
        return Err(Failure::usage(format!(
            "--dir {}: the directory is empty, so the image would hold nothing: name the one with the image's files, \
             or --base IMAGE",
            directory.display()
        )));
    }
    Ok(())
}

/// What images are built on: opened once, however many of them there are.
enum Base {
    Layout(Files),
    Archive(Archive),
}

impl Base {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            Ok(Self::Layout(Files::Directory(path.to_owned())))
        } else {
            Ok(Self::Archive(Archive::open(path)?))
        }
    }

    fn image(&self, platform: &Platform) -> Result<Image, Failure> {
        let choice = Choice { name: None, platform: Some(platform.clone()) };
        match self {
            Self::Layout(files) => Ok(layout::read(files, &choice)?),
            Self::Archive(archive) => archived(archive, &choice),
        }
    }
}

fn platform(args: &PushArgs) -> Result<Option<Platform>, Failure> {
    let platform = args.platform.as_deref().map(Platform::parse).transpose();
    platform.map_err(|reason| Failure::usage(format!("--platform: {reason}")))
}

/// Images that are there have their configuration already.
fn no_settings(args: &PushArgs) -> Result<(), Failure> {
    let given = [
        ("--base", args.base.is_some()),
        ("--entrypoint", args.entrypoint.is_some()),
        ("--cmd", args.cmd.is_some()),
        ("--env", !args.env.is_empty()),
        ("--workdir", args.workdir.is_some()),
        ("--user", args.user.is_some()),
        ("--label", !args.label.is_empty()),
        ("--expose", !args.expose.is_empty()),
        ("--compression", args.compression.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(Failure::usage(format!(
            "{flag} is for plain directories: the source holds images, which say that themselves"
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
    let compression = args.compression.as_deref().map(Format::parse).transpose();
    let compression = compression.map_err(|reason| Failure::usage(format!("--compression: {reason}")))?;
    Ok(Settings {
        entrypoint: command("--entrypoint", &args.entrypoint)?,
        cmd: command("--cmd", &args.cmd)?,
        environment: args.env.clone(),
        working_directory: args.workdir.clone(),
        user: args.user.clone(),
        labels,
        exposed_ports: args.expose.iter().map(|text| port(text)).collect::<Result<_, _>>()?,
        compression: compression.unwrap_or_default(),
        platform: Settings::default().platform,
        created: source_date(env)?,
    })
}

fn port(text: &str) -> Result<String, Failure> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match number.parse::<u16>() {
        Ok(number) if number > 0 && ["tcp", "udp", "sctp"].contains(&protocol) => {
            Ok(format!("{number}/{protocol}"))
        }
        _ => Err(Failure::usage(format!("--expose: `{text}` is not PORT[/tcp|udp|sctp]"))),
    }
}

fn pair_of(flag: &str, pair: &str) -> Result<(String, String), Failure> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("{flag}: `{pair}` is not NAME=VALUE"))),
    }
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub(super) fn source_date(env: &Environment) -> Result<Timestamp, Failure> {
    let Some(text) = env.get("SOURCE_DATE_EPOCH") else { return Ok(Timestamp(0)) };
    let seconds: u32 = text.parse().map_err(|_| {
        Failure::usage(format!("SOURCE_DATE_EPOCH is `{text}`: seconds since 1970 are expected"))
    })?;
    Ok(Timestamp::from_seconds(i64::from(seconds)))
}
