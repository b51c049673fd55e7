//! From a tree to a [`Workflow`], with GitHub's own messages.
//!
//! The texts are those of GitHub's parser (the open-source runner's `WorkflowParser` resources, and the
//! test data of actions/languageservices). Unknown keys are errors, as on GitHub.

use std::collections::{BTreeSet, HashSet};

use landfall_types::tree::Key;
use landfall_types::{Finding, Node, SourceId, Span, Spanned, Tree};

use super::model::{Concurrency, Defaults, Pairs, Strategy, Workflow};
use super::permissions::Permissions;
use super::read_job;
use super::read_on;
use super::slot::Slot;
use super::template::{Template, unexpected};

const RULE: &str = "workflow-syntax";

/// Reads a workflow. The workflow is absent when `on` or `jobs` cannot be made out; whenever a finding is
/// an error, GitHub would refuse the file.
pub fn read(source: SourceId, path: &str, tree: &Tree) -> (Option<Workflow>, Vec<Finding>) {
    let mut reader = Reader::default();
    reader.keys_once(tree);
    let workflow = reader.workflow(source, path, tree);
    (workflow, reader.findings)
}

#[derive(Default)]
pub(super) struct Reader {
    /// Whether the steps of a composite action are read.
    pub in_action: bool,
    pub findings: Vec<Finding>,
    /// What the part that is being read holds beyond the model.
    pub unmodelled: Vec<Spanned<&'static str>>,
}

impl Reader {
    pub fn error(&mut self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.findings.push(Finding::error(RULE, message).at(span, label));
    }

    fn workflow(&mut self, source: SourceId, path: &str, tree: &Tree) -> Option<Workflow> {
        const KEYS: &[&str] = &[
            "on",
            "name",
            "description",
            "run-name",
            "permissions",
            "env",
            "defaults",
            "concurrency",
            "jobs",
        ];
        self.map(tree)?;
        self.only(tree, KEYS, "a workflow");
        let on = match tree.field("on") {
            Some(on) => read_on::triggers(self, on),
            None => self.missing(tree, "on"),
        };
        let name = tree.field("name").and_then(|tree| self.plain_text(tree));
        tree.field("description").and_then(|tree| self.plain_text(tree));
        let permissions = tree.field("permissions").and_then(|tree| self.permissions(tree));
        let run_name = self.field_template(tree, "run-name", Slot::Run);
        let env = self.field_pairs(tree, "env", Slot::WorkflowEnv);
        let defaults = self.defaults(tree, Slot::None);
        let concurrency = tree.field("concurrency").and_then(|tree| self.concurrency(tree, Slot::Run));
        let unmodelled = self.take_unmodelled();
        let jobs = match tree.field("jobs") {
            Some(jobs) => read_job::jobs(self, jobs),
            None => self.missing(tree, "jobs"),
        };
        Some(Workflow {
            source,
            path: path.to_owned(),
            name,
            run_name,
            on: on?,
            permissions,
            env,
            defaults,
            concurrency,
            jobs: jobs?,
            unmodelled,
            span: tree.span,
            lines: None,
            regions: BTreeSet::new(),
        })
    }

    /// What was noted since the last call, in the order of the file.
    pub fn take_unmodelled(&mut self) -> Vec<Spanned<&'static str>> {
        let mut unmodelled = std::mem::take(&mut self.unmodelled);
        unmodelled.sort_by_key(|item| item.span.start);
        unmodelled
    }

    pub fn missing<T>(&mut self, tree: &Tree, key: &str) -> Option<T> {
        let start = Span { end: tree.span.start, ..tree.span };
        let at = tree.entries().first().map_or(start, |(key, _)| key.span);
        self.error(at, format!("Required property is missing: {key}"), format!("`{key}` is expected here"));
        None
    }

    /// The places of a step and of its `if`.
    pub fn step_slots(&self) -> (Slot, Slot) {
        if self.in_action { (Slot::Action, Slot::ActionIf) } else { (Slot::Step, Slot::StepIf) }
    }

    /// Reports keys that stand twice (GitHub compares without case) and merge keys, everywhere.
    pub fn keys_once(&mut self, tree: &Tree) {
        let mut pending = vec![tree];
        while let Some(tree) = pending.pop() {
            match &tree.node {
                Node::List(items) => pending.extend(items.iter().rev()),
                Node::Map(entries) => {
                    let mut seen = HashSet::new();
                    for (key, _) in entries {
                        if key.text == "<<" {
                            let finding = Finding::error(RULE, unexpected("<<"))
                                .at(key.span, "GitHub does not take merge keys")
                                .help("use an alias for the whole value, or write the keys out");
                            self.findings.push(finding);
                        } else if !seen.insert(key.text.to_ascii_lowercase()) {
                            let message = format!("'{}' is already defined", key.text);
                            self.error(key.span, message, "the second time");
                        }
                    }
                    pending.extend(entries.iter().rev().map(|(_, value)| value));
                }
                _ => {}
            }
        }
    }

    /// The entries of a mapping; anything else is reported.
    pub fn map<'t>(&mut self, tree: &'t Tree) -> Option<&'t [(Key, Tree)]> {
        match &tree.node {
            Node::Map(entries) => Some(entries),
            Node::List(_) => {
                self.error(tree.span, "A sequence was not expected", "a mapping is expected here");
                None
            }
            Node::Unknown(why) => {
                self.error(tree.span, why.clone(), "here");
                None
            }
            _ => {
                let text = tree.scalar().unwrap_or_default();
                self.error(tree.span, unexpected(&text), "a mapping is expected here");
                None
            }
        }
    }

    /// Reports keys that are not among the known ones.
    pub fn only(&mut self, tree: &Tree, keys: &[&str], what: &str) {
        for (key, _) in tree.entries() {
            if key.text != "<<" && !keys.contains(&key.text.as_str()) {
                self.findings.push(
                    Finding::error(RULE, unexpected(&key.text))
                        .at(key.span, format!("{what} has no such key"))
                        .help(format!("the keys are {}", keys.join(", "))),
                );
            }
        }
    }

    pub fn template(&mut self, tree: &Tree, slot: Slot) -> Option<Template> {
        Template::read(tree, slot, &mut self.findings)
    }

    pub fn field_template(&mut self, tree: &Tree, key: &str, slot: Slot) -> Option<Template> {
        tree.field(key).and_then(|tree| self.template(tree, slot))
    }

    /// A template that must not be empty.
    pub fn filled(&mut self, tree: &Tree, slot: Slot) -> Option<Template> {
        let template = self.template(tree, slot)?;
        if template.text.is_empty() {
            self.error(tree.span, unexpected(""), "a value is expected here");
            return None;
        }
        Some(template)
    }

    /// A scalar without expressions.
    pub fn plain_text(&mut self, tree: &Tree) -> Option<Spanned<String>> {
        let template = self.template(tree, Slot::None)?;
        Some(Spanned::new(template.text, template.span))
    }

    /// A scalar without expressions that is not empty.
    pub fn plain_filled(&mut self, tree: &Tree) -> Option<Spanned<String>> {
        let template = self.filled(tree, Slot::None)?;
        Some(Spanned::new(template.text, template.span))
    }

    /// One string or a list of strings, none of them empty.
    pub fn plain_list(&mut self, tree: &Tree) -> Vec<Spanned<String>> {
        match &tree.node {
            Node::List(items) => items.iter().filter_map(|item| self.plain_filled(item)).collect(),
            _ => self.plain_filled(tree).into_iter().collect(),
        }
    }

    /// A boolean without expressions.
    pub fn plain_bool(&mut self, tree: &Tree) -> Option<bool> {
        if let Node::Bool(value) = tree.node {
            return Some(value);
        }
        let template = self.template(tree, Slot::None)?;
        match template.text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            text => {
                self.error(tree.span, unexpected(text), "`true` or `false` is expected here");
                None
            }
        }
    }

    /// A boolean or one expression.
    pub fn bool_template(&mut self, tree: &Tree, key: &str, slot: Slot) -> Option<Template> {
        let template = self.field_template(tree, key, slot)?;
        let is_bool = matches!(template.text.to_ascii_lowercase().as_str(), "true" | "false");
        if template.is_literal() && !is_bool && !template.text.contains("${{") {
            self.error(template.span, unexpected(&template.text), "`true` or `false` is expected here");
            return None;
        }
        Some(template)
    }

    /// A number or one expression.
    pub fn number_template(&mut self, tree: &Tree, key: &str, slot: Slot) -> Option<Template> {
        let template = self.field_template(tree, key, slot)?;
        let number = template.as_literal().map(|value| (value.to_number(), value.to_text()));
        let is_number = number.is_none_or(|(number, text)| !number.is_nan() && !text.is_empty());
        if !is_number && !template.text.contains("${{") {
            self.error(template.span, unexpected(&template.text), "a number is expected here");
            return None;
        }
        Some(template)
    }

    pub fn permissions(&mut self, tree: &Tree) -> Option<Permissions> {
        Permissions::read(tree, &mut self.findings)
    }

    pub fn field_pairs(&mut self, tree: &Tree, key: &str, slot: Slot) -> Pairs {
        tree.field(key).map_or_else(Vec::new, |tree| self.pairs(tree, slot))
    }

    /// A mapping of names to templates.
    pub fn pairs(&mut self, tree: &Tree, slot: Slot) -> Pairs {
        if self.is_expression(tree, slot) {
            self.unmodelled.push(Spanned::new("a whole mapping from one expression", tree.span));
            return Vec::new();
        }
        if tree.node == Node::Null {
            self.error(tree.span, unexpected(""), "a mapping is expected here");
            return Vec::new();
        }
        let mut pairs = Vec::new();
        for (key, value) in self.map(tree).unwrap_or(&[]) {
            if key.text.contains("${{") {
                self.unmodelled.push(Spanned::new("a key that is an expression", key.span));
            } else if let Some(template) = self.template(value, slot) {
                pairs.push((Spanned::new(key.text.clone(), key.span), template));
            }
        }
        pairs
    }

    /// Whether a scalar stands where a mapping or list would, as one expression. Its insides are checked.
    pub fn is_expression(&mut self, tree: &Tree, slot: Slot) -> bool {
        let is_expression = tree.as_text().is_some_and(|text| text.trim_start().starts_with("${{"));
        if is_expression {
            self.template(tree, slot);
        }
        is_expression
    }

    pub fn defaults(&mut self, tree: &Tree, slot: Slot) -> Defaults {
        let Some(defaults) = tree.field("defaults") else { return Defaults::default() };
        self.map(defaults);
        self.only(defaults, &["run"], "`defaults`");
        let Some(run) = defaults.field("run") else { return Defaults::default() };
        self.map(run);
        self.only(run, &["shell", "working-directory"], "`defaults.run`");
        Defaults {
            shell: self.field_template(run, "shell", slot),
            working_directory: self.field_template(run, "working-directory", slot),
        }
    }

    pub fn concurrency(&mut self, tree: &Tree, slot: Slot) -> Option<Concurrency> {
        self.unmodelled.push(Spanned::new("concurrency", tree.span));
        let span = tree.span;
        if !matches!(tree.node, Node::Map(_)) {
            let group = self.filled(tree, slot);
            return Some(Concurrency { group, cancel_in_progress: None, span });
        }
        self.only(tree, &["group", "cancel-in-progress", "queue"], "`concurrency`");
        let group = match tree.field("group") {
            Some(group) => self.filled(group, slot),
            None => self.missing(tree, "group"),
        };
        self.field_template(tree, "queue", slot);
        let cancel_in_progress = self.bool_template(tree, "cancel-in-progress", slot);
        Some(Concurrency { group, cancel_in_progress, span })
    }

    pub fn strategy(&mut self, tree: &Tree) -> Option<Strategy> {
        let slot = Slot::Strategy;
        self.unmodelled.push(Spanned::new("strategy", tree.span));
        self.map(tree)?;
        self.only(tree, &["matrix", "fail-fast", "max-parallel"], "`strategy`");
        if let Some(matrix) = tree.field("matrix") {
            self.check_inside(matrix, slot);
            self.matrix(matrix, slot);
        }
        Some(Strategy {
            matrix: tree.field("matrix").cloned(),
            fail_fast: self.bool_template(tree, "fail-fast", slot),
            max_parallel: self.number_template(tree, "max-parallel", slot),
            span: tree.span,
        })
    }

    fn matrix(&mut self, tree: &Tree, slot: Slot) {
        if tree.as_text().is_some_and(|text| text.contains("${{")) {
            return;
        }
        let entries = self.map(tree).unwrap_or(&[]);
        if entries.is_empty() && matches!(tree.node, Node::Map(_)) {
            self.error(tree.span, "Matrix must define at least one vector", "this matrix is empty");
        }
        for (key, value) in entries {
            match &value.node {
                Node::List(items)
                    if items.is_empty() && !matches!(key.text.as_str(), "include" | "exclude") =>
                {
                    let message = format!("Matrix vector '{}' does not contain any values", key.text);
                    self.error(value.span, message, "an empty list");
                }
                Node::List(_) => {}
                Node::Map(_) => {
                    self.error(value.span, "A mapping was not expected", "a list is expected here")
                }
                Node::Text(text) if text.contains("${{") && slot != Slot::None => {}
                _ => {
                    let text = value.scalar().unwrap_or_default();
                    self.error(value.span, unexpected(&text), "a list is expected here");
                }
            }
        }
    }

    /// Checks the expressions of every scalar inside of a part that is kept as it is written.
    pub fn check_inside(&mut self, tree: &Tree, slot: Slot) {
        let mut pending = vec![tree];
        while let Some(tree) = pending.pop() {
            match &tree.node {
                Node::List(items) => pending.extend(items.iter().rev()),
                Node::Map(entries) => pending.extend(entries.iter().rev().map(|(_, value)| value)),
                _ => drop(self.template(tree, slot)),
            }
        }
    }
}

/// Whether a text may be the id of a job or step ("Workflow syntax", `jobs.<job_id>`).
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() < 100
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Checks an id, and that it is the first of its name among `seen`.
pub(super) fn check_identifier(reader: &mut Reader, id: &Spanned<String>, seen: &mut HashSet<String>) {
    let name = &id.value;
    if !is_identifier(name) {
        let message = format!(
            "The identifier '{name}' is invalid. IDs may only contain alphanumeric characters, '_', and '-'. \
             IDs must start with a letter or '_' and must be less than 100 characters."
        );
        reader.error(id.span, message, "this id");
    } else if name.starts_with("__") {
        let message = format!("The identifier '{name}' is invalid. IDs starting with '__' are reserved.");
        reader.error(id.span, message, "this id");
    } else if !seen.insert(name.to_ascii_lowercase()) {
        let message =
            format!("The identifier '{name}' may not be used more than once within the same scope.");
        reader.error(id.span, message, "the second time");
    }
}
