//! Which files a command is about, and reading them into the source map.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use landfall_check::terraform::{self, Disk, Infra, Root};
use landfall_deliver::Failure;
use landfall_types::{AccountId, Finding, SourceId, SourceMap};

use crate::cmd::{key_value, usage};
use crate::config::Found;
use crate::edge;

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A path as messages show it: without `./` in front, and `-` in words.
pub fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" {
        return "standard input".to_owned();
    }
    let text = path.display().to_string();
    text.strip_prefix("./").map_or(text.clone(), str::to_owned)
}

/// Reads a text file into the source map; `-` is standard input.
///
/// # Errors
/// When it can't be read, is too large, or isn't UTF-8.
pub fn read(sources: &SourceMap, path: &Path) -> Result<SourceId, Failure> {
    Ok(sources.add(shown(path), text(path, FILE_BYTES_MAX)?))
}

/// Reads a text file; `-` is standard input.
///
/// # Errors
/// As [`bytes`], and when it isn't UTF-8.
pub fn text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let bytes = if path.as_os_str() == "-" {
        whole(std::io::stdin(), path, bytes_max)?
    } else {
        bytes(path, bytes_max)?
    };
    String::from_utf8(bytes).map_err(|_| usage(format!("{} is not UTF-8 text", shown(path))))
}

/// Reads a whole file.
///
/// # Errors
/// When it can't be read, or is longer than so many bytes.
pub fn bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let file = std::fs::File::open(path);
    whole(file.map_err(|error| unreadable(path, &error))?, path, bytes_max)
}

// What has no length, such as a pipe or a device, has an end here all the same.
fn whole(source: impl std::io::Read, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(usage(format!("{} is longer than {bytes_max} bytes", shown(path))));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    usage(format!("cannot read {}: {error}", shown(path)))
}

/// The files of a folder with one of the given endings, by name.
///
/// # Errors
/// When the folder can't be read, or one of them is no regular file or a link that leads nowhere.
pub fn in_folder(dir: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(dir).map_err(|error| usage(format!("cannot read {}: {error}", shown(dir))))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| endings.iter().any(|ending| name.ends_with(ending)))
        })
        .filter(|path| !path.is_dir())
        .collect();
    files.sort();
    for file in &files {
        // A link that leads nowhere is told, not left out; and nobody waits for what a pipe may bring.
        if !std::fs::metadata(file).map_err(|error| unreadable(file, &error))?.is_file() {
            return Err(usage(format!("{} is no regular file", shown(file))));
        }
    }
    Ok(files)
}

/// The region that pipeline files speak of, where they speak of just one.
pub fn region_of_pipeline(mut regions: BTreeSet<String>) -> Option<String> {
    if regions.len() == 1 { regions.pop_first() } else { None }
}

/// Values of Terraform's variables. They have no place of their own: what is said later wins.
#[derive(Args, Clone, Debug, Default)]
pub struct Variables {
    /// A Terraform variable; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = key_value)]
    texts: Vec<(String, String)>,
    /// A file of Terraform variables (*.tfvars, *.tfvars.json), as Terraform's -var-file; may be repeated
    #[arg(long = "var-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Variables {
    /// With those of `landfall.toml` before them.
    pub fn after(self, found: &Found) -> Self {
        let configured = found.config.variables.clone().into_iter();
        let files = found.config.var_files.iter().map(|file| found.path(file));
        Self { texts: configured.chain(self.texts).collect(), files: files.chain(self.files).collect() }
    }
}

/// What the Terraform of one or more root modules describes.
#[derive(Clone, Default, Debug)]
pub struct ReadInfra {
    /// All modules together.
    pub infra: Infra,
    /// What was said of them.
    pub findings: Vec<Finding>,
}

/// What lies around a root module's folder. What can't be read isn't there: the Terraform says where it was named.
struct Around<'a> {
    sources: &'a SourceMap,
    folder: &'a Path,
    /// What was read, so that a file that is named twice is one source.
    read: RefCell<BTreeMap<PathBuf, Option<SourceId>>>,
}

impl Around<'_> {
    fn file(&self, path: PathBuf) -> Option<SourceId> {
        *self.read.borrow_mut().entry(path).or_insert_with_key(|path| {
            // Nobody waits for what a pipe may bring.
            if path.is_file() { read(self.sources, path).ok() } else { None }
        })
    }
}

impl Disk for Around<'_> {
    fn configuration(&self, folder: &str) -> Option<Vec<SourceId>> {
        let files = in_folder(&self.folder.join(folder), &[".tf", ".tf.json"]).ok()?;
        files.into_iter().map(|file| self.file(file)).collect()
    }

    fn text(&self, path: &str) -> Option<SourceId> {
        self.file(self.folder.join(path))
    }
}

/// Reads root modules of Terraform: each path is a folder, or one file of which the folder is meant.
///
/// # Errors
/// When a path isn't there or has no Terraform.
pub fn terraform(
    sources: &SourceMap,
    paths: &[PathBuf],
    account: AccountId,
    region: String,
    variables: &Variables,
) -> Result<ReadInfra, Failure> {
    let values = variables.files.iter().map(|file| read(sources, file)).collect::<Result<Vec<_>, _>>()?;
    let settings = terraform::Settings {
        account,
        region,
        variables: variables.texts.iter().cloned().collect(),
        environment: edge::terraform_variables(),
        workspace: edge::terraform_workspace(),
    };
    let mut modules = Vec::new();
    for path in paths {
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        let files = if path.is_dir() {
            in_folder(path, &[".tf", ".tf.json", ".tfvars", ".tfvars.json"])?
        } else {
            vec![path.clone()]
        };
        if files.is_empty() {
            return Err(usage(format!("{} has no Terraform files (*.tf)", shown(path))));
        }
        let files = files.iter().map(|file| read(sources, file)).collect::<Result<Vec<_>, _>>()?;
        modules.push((files, Around { sources, folder, read: RefCell::default() }));
    }
    let roots: Vec<Root<'_>> = modules
        .iter()
        .map(|(files, around)| Root { files: files.clone(), values: values.clone(), disk: around })
        .collect();
    let (infra, findings) = terraform::read(sources, &roots, &settings);
    check_declared(variables, &infra)?;
    Ok(ReadInfra { infra, findings })
}

/// Terraform takes no value for a variable that isn't there: with its name misspelt, the default would stand.
fn check_declared(variables: &Variables, infra: &Infra) -> Result<(), Failure> {
    let declared = &infra.variables;
    let Some((name, _)) = variables.texts.iter().find(|(name, _)| !declared.contains(name)) else {
        return Ok(());
    };
    let failure = usage(format!("--var {name}: the Terraform declares no variable of that name"));
    let known: Vec<&str> = declared.iter().map(String::as_str).collect();
    Err(match known.as_slice() {
        [] => failure.help("it declares none at all"),
        known => failure.help(format!("there is {}", known.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_has_an_end_whatever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.json");
        let refused = |bytes_max| text(&file, bytes_max).unwrap_err().message;
        std::fs::write(&file, "{}\n").unwrap();
        assert_eq!(text(&file, 3).unwrap(), "{}\n");
        assert_eq!(refused(2), format!("{} is longer than 2 bytes", file.display()));
        std::fs::write(&file, b"caf\xe9").unwrap();
        assert_eq!(refused(9), format!("{} is not UTF-8 text", file.display()));
        let endless = Path::new("/dev/zero");
        if endless.exists() {
            assert_eq!(bytes(endless, 9).unwrap_err().message, "/dev/zero is longer than 9 bytes");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_told_and_a_folder_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.tf"), "").unwrap();
        std::fs::create_dir(dir.path().join("folder.tf")).unwrap();
        assert_eq!(in_folder(dir.path(), &[".tf"]).unwrap(), [dir.path().join("main.tf")]);
        let refused = |name: &str, target: &str| {
            let link = dir.path().join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            let message = in_folder(dir.path(), &[".tf"]).unwrap_err().message;
            std::fs::remove_file(&link).unwrap();
            assert!(message.contains(&link.display().to_string()), "{message}");
            message
        };
        assert!(refused("nowhere.tf", "nowhere").contains("No such file"));
        refused("itself.tf", "itself.tf");
        assert!(refused("device.tf", "/dev/null").ends_with("is no regular file"));
    }
}
