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
    // Every field by its name: one that is new has to be thought of here.
    let Infra {
        providers,
        looked_up_providers,
        roles,
        users,
        policies,
        repositories,
        ecr_calls,
        ecs_clusters,
        ecs_settings,
        ecs_task_definitions,
        ecs_services,
        eks_clusters,
        pod_identity_associations,
        region,
        outputs,
    } = more;
    all.providers.extend(providers);
    all.looked_up_providers.extend(looked_up_providers);
    all.roles.extend(roles);
    all.users.extend(users);
    all.policies.extend(policies);
    all.repositories.extend(repositories);
    all.ecr_calls.extend(ecr_calls);
    all.ecs_clusters.extend(ecs_clusters);
    all.ecs_settings.extend(ecs_settings);
    all.ecs_task_definitions.extend(ecs_task_definitions);
    all.ecs_services.extend(ecs_services);
    all.eks_clusters.extend(eks_clusters);
    all.pod_identity_associations.extend(pod_identity_associations);
    all.region = all.region.take().or(region);
    all.outputs.extend(outputs);
}
