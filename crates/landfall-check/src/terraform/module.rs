//! What a module declares, before anything is evaluated.

use std::collections::BTreeMap;

use landfall_types::{Finding, SourceId, SourceMap, Span};

use super::syntax::{self, Attribute, Block, Body};
use super::{json_syntax, overrides};

/// A parsed file.
#[derive(Debug)]
pub(super) struct File {
    name: String,
    body: Body,
    role: FileRole,
}

impl File {
    /// The blocks of a configuration file.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let is_read = self.role == FileRole::Configuration;
        self.body.blocks.iter().filter(move |_| is_read)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum FileRole {
    Configuration,
    /// `terraform.tfvars` is read first, `*.auto.tfvars` after it in the order of their names.
    Values,
    AutoValues,
    /// What was named: read last, in the order that it was named in.
    NamedValues(usize),
}

/// Every declaration of a module by its name.
#[derive(Default, Debug)]
pub(super) struct Module<'a> {
    pub variables: BTreeMap<&'a str, &'a Block>,
    /// Values from tfvars files; a later file wins.
    pub values: BTreeMap<&'a str, &'a Attribute>,
    pub locals: BTreeMap<&'a str, &'a Attribute>,
    /// By type and name.
    pub resources: BTreeMap<(&'a str, &'a str), &'a Block>,
    /// Managed resources in written order.
    pub resource_order: Vec<(&'a str, &'a str)>,
    /// Data sources by type and name.
    pub data: BTreeMap<(&'a str, &'a str), &'a Block>,
    pub data_order: Vec<(&'a str, &'a str)>,
    pub modules: BTreeMap<&'a str, &'a Block>,
    /// Where the called modules stand in the library, or why they aren't read.
    pub calls: Option<&'a BTreeMap<String, Result<usize, String>>>,
    /// The module's folder, relative to the root module's; empty for that one.
    pub folder: &'a str,
    pub outputs: Vec<(&'a str, &'a Block)>,
    pub providers: Vec<&'a Block>,
    /// Some file could not be read whole, so what seems undeclared may stand there.
    pub incomplete: bool,
}

/// Parses the module's files, and files of values whatever their names are. Files of other kinds are left to `file()`
/// and `templatefile()`. Override files are merged into the others.
pub(super) fn parse(
    sources: &SourceMap,
    files: &[SourceId],
    values: &[SourceId],
) -> (Vec<File>, Vec<Finding>, bool) {
    let mut parsed = Vec::new();
    let mut findings = Vec::new();
    let mut overriding = Vec::new();
    for &id in files {
        let name = sources.name(id);
        let base = name.rsplit(['/', '\\']).next().unwrap_or("");
        let stem = base.strip_suffix(".json").unwrap_or(base);
        let role = match stem {
            // Editors' own files, which Terraform leaves alone.
            stem if stem.starts_with('.') => continue,
            "terraform.tfvars" => FileRole::Values,
            stem if stem.ends_with(".auto.tfvars") => FileRole::AutoValues,
            stem if stem.ends_with(".tf") => FileRole::Configuration,
            _ => continue,
        };
        let (body, found) = read_file(sources, id, role);
        findings.extend(found);
        let file = File { name: name.to_string(), body, role };
        match stem.strip_suffix(".tf").is_some_and(overrides::is_override) {
            true => overriding.push(file),
            false => parsed.push(file),
        }
    }
    for (position, &id) in values.iter().enumerate() {
        let role = FileRole::NamedValues(position);
        let (body, found) = read_file(sources, id, role);
        findings.extend(found);
        parsed.push(File { name: sources.name(id).to_string(), body, role });
    }
    let by_name = |a: &File, b: &File| (a.role, &a.name).cmp(&(b.role, &b.name));
    parsed.sort_by(by_name);
    overriding.sort_by(by_name);
    let incomplete = !findings.is_empty();
    for file in overriding {
        if !parsed.iter().any(|file| file.role == FileRole::Configuration) {
            let none = File { name: file.name.clone(), body: Body::default(), role: FileRole::Configuration };
            parsed.insert(0, none);
        }
        let configuration = parsed.iter_mut().filter(|file| file.role == FileRole::Configuration);
        let mut bodies: Vec<&mut Body> = configuration.map(|file| &mut file.body).collect();
        findings.extend(overrides::merge(&mut bodies, file.body));
    }
    (parsed, findings, incomplete)
}

/// Reads a file by its syntax: JSON where its name ends so.
fn read_file(sources: &SourceMap, id: SourceId, role: FileRole) -> (Body, Vec<Finding>) {
    let (name, text) = (sources.name(id), sources.text(id));
    match (name.ends_with(".json"), role) {
        (false, _) => syntax::parse_file(id, &name, &text),
        (true, FileRole::Configuration) => json_syntax::parse_file(id, &name, &text),
        (true, _) => json_syntax::parse_values(id, &name, &text),
    }
}

impl<'a> Module<'a> {
    /// Whether a name is an attribute of a data source: `data.TYPE.NAME.ATTRIBUTE`.
    pub fn looks_up(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        let (Some("data"), Some(kind), Some(name), Some(_)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let name = name.split('[').next().unwrap_or(name);
        self.data.contains_key(&(kind, name))
    }

    /// Collects the declarations; what is declared twice keeps its first place.
    pub fn collect(files: &'a [File], incomplete: bool, findings: &mut Vec<Finding>) -> Self {
        let mut module = Module { incomplete, ..Module::default() };
        for block in files.iter().flat_map(File::blocks) {
            module.declare(block, findings);
        }
        let is_named = |file: &&File| matches!(file.role, FileRole::NamedValues(_));
        let own = files.iter().filter(|file| file.role != FileRole::Configuration && !is_named(file));
        for attribute in own.flat_map(|file| &file.body.attributes) {
            module.values.insert(&attribute.name, attribute);
        }
        // What was named is for all root modules, and may have values for another one.
        module.report_undeclared_values(findings);
        for attribute in files.iter().filter(is_named).flat_map(|file| &file.body.attributes) {
            module.values.insert(&attribute.name, attribute);
        }
        module
    }

    fn declare(&mut self, block: &'a Block, findings: &mut Vec<Finding>) {
        let labels: Vec<&str> = block.labels.iter().map(String::as_str).collect();
        let first = match (block.kind.as_str(), labels.as_slice()) {
            ("resource", [kind, name]) => {
                let first = declare_once(&mut self.resources, (kind, name), block);
                if first.is_none() {
                    self.resource_order.push((kind, name));
                }
                first.map(|first| (format!("a {kind} resource named \"{name}\""), first))
            }
            ("data", [kind, name]) => {
                let first = declare_once(&mut self.data, (kind, name), block);
                if first.is_none() {
                    self.data_order.push((kind, name));
                }
                first.map(|first| (format!("a {kind} data resource named \"{name}\""), first))
            }
            ("variable", [name]) => declare_once(&mut self.variables, name, block)
                .map(|first| (format!("a variable named \"{name}\""), first)),
            ("module", [name]) => declare_once(&mut self.modules, name, block)
                .map(|first| (format!("a module call named \"{name}\""), first)),
            ("output", [name]) => {
                let first = self.outputs.iter().find(|(other, _)| other == name).map(|(_, first)| *first);
                if first.is_none() {
                    self.outputs.push((name, block));
                }
                first.map(|first| (format!("an output named \"{name}\""), first))
            }
            ("locals", []) => return self.declare_locals(block, findings),
            ("provider", [_]) => {
                self.providers.push(block);
                None
            }
            ("resource" | "data", _) => return findings.push(wrong_labels(block, "a type and a name")),
            ("variable" | "module" | "output" | "provider", _) => {
                return findings.push(wrong_labels(block, "a name"));
            }
            _ => None,
        };
        if let Some((what, first)) = first {
            findings.push(duplicate(&what, first.header, block.header));
        }
    }

    fn declare_locals(&mut self, block: &'a Block, findings: &mut Vec<Finding>) {
        for attribute in &block.body.attributes {
            if let Some(first) = declare_once(&mut self.locals, attribute.name.as_str(), attribute) {
                let what = format!("a local value named \"{}\"", attribute.name);
                findings.push(duplicate(&what, first.name_span, attribute.name_span));
            }
        }
    }

    fn report_undeclared_values(&self, findings: &mut Vec<Finding>) {
        let undeclared = self.values.iter().filter(|(name, _)| !self.variables.contains_key(*name));
        for (name, attribute) in undeclared.filter(|_| !self.incomplete) {
            let message = format!(
                "Value for undeclared variable: the root module does not declare a variable named \"{name}\""
            );
            findings.push(
                Finding::warning("terraform-reference", message)
                    .at(attribute.name_span, "this value is not used")
                    .help(format!("declare it with `variable \"{name}\" {{}}` or remove the line")),
            );
        }
    }
}

/// Keeps the first declaration of a name and gives it back when there is one already.
fn declare_once<K: Ord, T: Copy>(all: &mut BTreeMap<K, T>, name: K, declared: T) -> Option<T> {
    match all.entry(name) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(declared);
            None
        }
        std::collections::btree_map::Entry::Occupied(entry) => Some(*entry.get()),
    }
}

fn duplicate(what: &str, first: Span, second: Span) -> Finding {
    Finding::error("terraform-duplicate", format!("Duplicate declaration: {what} was already declared"))
        .at(second, "declared again here; this one is left out")
        .at(first, "first declared here")
}

fn wrong_labels(block: &Block, wanted: &str) -> Finding {
    let message = format!(
        "Wrong labels: a `{}` block has {wanted} before its brace, found {} labels",
        block.kind,
        block.labels.len()
    );
    Finding::error("terraform-syntax", message).at(block.header, "this block is left out")
}
