//! Which files a command is about, and reading them into the source map.

use std::path::{Path, PathBuf};

use landfall_check::terraform::{self, Infra};
use landfall_deliver::Failure;
use landfall_types::{Finding, SourceId, SourceMap};

use crate::cmd::usage;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A path as messages show it: without `./` in front.
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    text.strip_prefix("./").map_or(text.clone(), str::to_owned)
}

/// Reads a text file into the source map.
///
/// # Errors
/// When it can't be read, is too large, or isn't UTF-8.
pub fn read(sources: &SourceMap, path: &Path) -> Result<SourceId, Failure> {
    let unreadable = |error: std::io::Error| usage(format!("cannot read {}: {error}", shown(path)));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(usage(format!("{} has {length} bytes; at most {FILE_BYTES_MAX} are read", shown(path))));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| usage(format!("{} is not UTF-8 text", shown(path))))?;
    Ok(sources.add(shown(path), text))
}

/// The files of a folder with one of the given endings, by name.
///
/// # Errors
/// When the folder can't be read.
pub fn in_folder(dir: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(dir).map_err(|error| usage(format!("cannot read {}: {error}", shown(dir))))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| endings.iter().any(|ending| name.ends_with(ending)))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// What the Terraform of one or more root modules describes.
#[derive(Clone, Default, Debug)]
pub struct ReadInfra {
    /// All modules together.
    pub infra: Infra,
    /// What was said of them.
    pub findings: Vec<Finding>,
}

/// Reads root modules of Terraform: each path is a folder, or one file of which the folder is meant.
///
/// # Errors
/// When a path isn't there or has no Terraform.
pub fn terraform(
    sources: &SourceMap,
    paths: &[PathBuf],
    settings: &terraform::Settings,
) -> Result<ReadInfra, Failure> {
    let mut all = ReadInfra::default();
    for path in paths {
        let files = if path.is_dir() {
            in_folder(path, &[".tf", ".tf.json", ".tfvars"])?
        } else {
            vec![path.clone()]
        };
        if files.is_empty() {
            return Err(usage(format!("{} has no Terraform files (*.tf)", shown(path))));
        }
        let ids = files.iter().map(|file| read(sources, file)).collect::<Result<Vec<_>, _>>()?;
        let (infra, findings) = terraform::read(sources, &ids, settings);
        all.findings.extend(findings);
        merge(&mut all.infra, infra);
    }
    Ok(all)
}

fn merge(all: &mut Infra, more: Infra) {
    all.providers.extend(more.providers);
    all.looked_up_providers.extend(more.looked_up_providers);
    all.roles.extend(more.roles);
    all.policies.extend(more.policies);
    all.repositories.extend(more.repositories);
    all.ecr_calls.extend(more.ecr_calls);
    all.users.extend(more.users);
    all.ecs_clusters.extend(more.ecs_clusters);
    all.ecs_task_definitions.extend(more.ecs_task_definitions);
    all.ecs_services.extend(more.ecs_services);
    all.eks_clusters.extend(more.eks_clusters);
    all.pod_identity_associations.extend(more.pod_identity_associations);
    all.outputs.extend(more.outputs);
    all.region = all.region.take().or(more.region);
}
