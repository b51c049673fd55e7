//! The modules that a root module calls: which folder each call means, and what stands there.
//!
//! A folder is found by a source that begins with `./` or `../`, or, for modules from a registry or a repository, by
//! what `terraform init` has written down in `.terraform/modules/modules.json`.

use std::collections::BTreeMap;

use landfall_types::{Finding, SourceId, SourceMap};
use serde_json::Value;

use super::Root;
use super::module::{self, File, Module};
use super::syntax::{Block, ExprKind};

/// Calls inside calls.
const LEVELS_MAX: usize = 20;
/// Calls of one root module, those inside calls included.
const CALLS_MAX: usize = 500;
/// What `terraform init` writes down.
const MANIFEST: &str = ".terraform/modules/modules.json";

/// The files around a root module. Paths are relative to its folder, with `/` between their parts.
pub trait Disk {
    /// The configuration files of a folder: `*.tf` and their like. None when it isn't there.
    fn configuration(&self, folder: &str) -> Option<Vec<SourceId>>;

    /// A file's text. None when it isn't there or is no text.
    fn text(&self, path: &str) -> Option<SourceId>;
}

/// There is nothing around the root module.
#[derive(Clone, Copy, Debug)]
pub struct NoDisk;

impl Disk for NoDisk {
    fn configuration(&self, _folder: &str) -> Option<Vec<SourceId>> {
        None
    }

    fn text(&self, _path: &str) -> Option<SourceId> {
        None
    }
}

/// A module's files, and which module each of its calls means.
#[derive(Debug)]
struct Called {
    /// Relative to the root module's folder; empty for the root module itself.
    folder: String,
    files: Vec<File>,
    incomplete: bool,
    /// By the call's name: where the module stands in the library, or why it isn't read.
    calls: BTreeMap<String, Result<usize, String>>,
}

/// The root module, and every module that is called, once for each way that leads to it.
#[derive(Debug)]
pub(super) struct Library {
    called: Vec<Called>,
}

/// A call whose module is still to be read.
struct Pending {
    /// The module that calls, and the call's name.
    caller: usize,
    name: String,
    /// The names of the calls that lead to it, with dots between them, as `terraform init` writes them.
    key: String,
    level: usize,
    source: String,
}

impl Library {
    /// Reads the root module of these files, and all that it calls.
    pub fn read(sources: &SourceMap, root: &Root<'_>) -> (Self, Vec<Finding>) {
        let disk = root.disk;
        let mut library = Self { called: Vec::new() };
        let mut findings = Vec::new();
        let mut pending = Vec::new();
        library.add(sources, String::new(), (&root.files, &root.values), &mut findings);
        library.plan(0, "", 0, &mut pending);
        let manifest = read_manifest(sources, disk);
        while let Some(call) = pending.pop() {
            let found = if call.level > LEVELS_MAX || library.called.len() > CALLS_MAX {
                Err(format!(
                    "calls are nested deeper than {LEVELS_MAX} levels, or there are more than {CALLS_MAX}"
                ))
            } else {
                let folder = library.called.get(call.caller).map_or("", |caller| caller.folder.as_str());
                locate(folder, &call, &manifest, disk)
            };
            let index = found.map(|(folder, files)| {
                let index = library.add(sources, folder, (&files, &[]), &mut findings);
                library.plan(index, &call.key, call.level, &mut pending);
                index
            });
            if let Some(caller) = library.called.get_mut(call.caller) {
                caller.calls.insert(call.name, index);
            }
        }
        (library, findings)
    }

    fn add(
        &mut self,
        sources: &SourceMap,
        folder: String,
        (files, values): (&[SourceId], &[SourceId]),
        findings: &mut Vec<Finding>,
    ) -> usize {
        let (files, found, incomplete) = module::parse(sources, files, values);
        // A module that is called twice is wrong once.
        let new: Vec<_> = found.into_iter().filter(|finding| !findings.contains(finding)).collect();
        findings.extend(new);
        self.called.push(Called { folder, files, incomplete, calls: BTreeMap::new() });
        self.called.len() - 1
    }

    fn plan(&self, caller: usize, key: &str, level: usize, pending: &mut Vec<Pending>) {
        let Some(called) = self.called.get(caller) else { return };
        for block in called.files.iter().flat_map(File::blocks).filter(|block| block.kind == "module") {
            let [name] = block.labels.as_slice() else { continue };
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            let source = plain_source(block).unwrap_or_default();
            pending.push(Pending { caller, name: name.clone(), key, level: level + 1, source });
        }
    }

    /// The declarations of every module, in the library's order.
    pub fn modules(&self, findings: &mut Vec<Finding>) -> Vec<Module<'_>> {
        let mut modules = Vec::with_capacity(self.called.len());
        for called in &self.called {
            let mut found = Vec::new();
            let mut module = Module::collect(&called.files, called.incomplete, &mut found);
            module.folder = &called.folder;
            module.calls = Some(&called.calls);
            found.retain(|finding| !findings.contains(finding));
            findings.extend(found);
            modules.push(module);
        }
        modules
    }
}

fn plain_source(block: &Block) -> Option<String> {
    match &block.body.attribute("source")?.value.kind {
        ExprKind::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The folder that a call means, and its files.
fn locate(
    caller: &str,
    call: &Pending,
    manifest: &BTreeMap<String, String>,
    disk: &dyn Disk,
) -> Result<(String, Vec<SourceId>), String> {
    let source = &call.source;
    let is_local = source.starts_with("./") || source.starts_with("../");
    let folder = match is_local {
        true => normal_path(&format!("{caller}/{source}")),
        false if source.is_empty() => return Err("its source is not written as a plain text".to_owned()),
        false => manifest.get(&call.key).cloned().ok_or_else(|| {
            format!("its source `{source}` is not on this machine; `terraform init` brings it here")
        })?,
    };
    let files = disk.configuration(&folder).filter(|files| !files.is_empty());
    files
        .map(|files| (folder.clone(), files))
        .ok_or_else(|| format!("there are no Terraform files in `{folder}`"))
}

/// The folders of modules by the names of the calls that lead to them.
fn read_manifest(sources: &SourceMap, disk: &dyn Disk) -> BTreeMap<String, String> {
    let text = disk.text(MANIFEST).map(|id| sources.text(id));
    let manifest: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let modules = manifest["Modules"].as_array().into_iter().flatten();
    modules
        .filter_map(|module| Some((module["Key"].as_str()?.to_owned(), normal_path(module["Dir"].as_str()?))))
        .collect()
}

/// A path without `.` and needless `..` steps, so that two ways to write it compare equal.
pub(super) fn normal_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
