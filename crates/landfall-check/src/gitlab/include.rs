//! `include`: the files that a configuration is put together from.
//!
//! <https://docs.gitlab.com/ci/yaml/includes/>

use std::collections::BTreeSet;

use landfall_types::{Finding, Node, SourceId, Span, Spanned, Tree, tree::Key};

use super::document::Document;
use super::facts::PipelineFacts;
use super::read::{Findings, rules_of, spanned, texts};
use super::rules::{self, Ground};
use super::variables::Variables;
use super::{combine, document, glob, inputs, refused};

/// Files of one configuration, GitLab's own limit.
const FILES_MAX: usize = 150;
/// Includes inside of includes, in levels.
const LEVELS_MAX: usize = 50;
/// Where templates are in the project that they come from.
const TEMPLATES: &str = "lib/gitlab/ci/templates";
/// The project that templates come from.
const TEMPLATES_PROJECT: &str = "gitlab-org/gitlab";

/// The project that a file is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Project {
    /// The one that the pipeline runs in.
    Own,
    /// Another one.
    Other {
        /// Its path with its groups.
        path: String,
        /// The branch, tag, commit or version; none for its default branch.
        reference: Option<String>,
    },
}

/// A file that was found, and parsed.
#[derive(Clone, Debug)]
pub struct File {
    source: SourceId,
    document: Result<Document, Finding>,
}

impl File {
    /// Parses a file's text; that it is none is told by who loads it.
    pub fn parse(source: SourceId, text: &str) -> Self {
        Self { source, document: document::parse(source, text) }
    }

    /// The regions that it speaks of, as values of keys such as `AWS_DEFAULT_REGION`.
    pub fn regions(&self) -> BTreeSet<String> {
        let mut regions = BTreeSet::new();
        self.document.iter().for_each(|document| crate::regions::collect(&document.config, &mut regions));
        regions
    }

    pub(super) fn source(&self) -> SourceId {
        self.source
    }

    pub(super) fn document(&self) -> Result<&Document, Vec<Finding>> {
        self.document.as_ref().map_err(|finding| vec![finding.clone()])
    }
}

/// Why there is no file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// The project is there, and has no such file.
    File,
    /// Nobody said where the project is; what to do.
    Project(String),
    /// It is there and can't be read.
    Unreadable(String),
}

/// Where files come from.
pub trait Library {
    /// A file by its path in a project.
    ///
    /// # Errors
    /// [`Missing`].
    fn read(&mut self, project: &Project, path: &str) -> Result<File, Missing>;

    /// The files of a project, by their paths.
    fn paths(&mut self, project: &Project) -> Vec<String>;
}

/// Puts a configuration together.
pub(super) struct Loader<'l> {
    pub(super) library: &'l mut dyn Library,
    pub(super) facts: &'l PipelineFacts,
    /// Variables that are there before any file is read.
    pub(super) variables: &'l Variables,
    pub(super) files: usize,
}

/// One file to include.
struct Wanted<'t> {
    project: Project,
    path: Spanned<String>,
    kind: Kind,
    inputs: &'t [(Key, Tree)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Project,
    Component,
    Template,
}

impl Loader<'_> {
    /// A file with all that it includes under it.
    pub(super) fn load(
        &mut self,
        project: &Project,
        file: &File,
        given: &[(Key, Tree)],
        by: Option<Span>,
        level: usize,
    ) -> Result<Tree, Vec<Finding>> {
        let document = file.document()?;
        let expand = |text: &str| self.variables.replace(text);
        let config = inputs::fill(document, given, by, &expand)?;
        if !matches!(config.node, Node::Map(_) | Node::Null) {
            return Err(vec![refused("Invalid configuration format", config.span)]);
        }
        let Some(include) = config.field("include") else { return Ok(config) };
        if level >= LEVELS_MAX {
            let message = format!("includes may nest {LEVELS_MAX} levels deep");
            return Err(vec![Finding::error("gitlab-limit", message).at(include.span, "one level too many")]);
        }
        let items: Vec<&Tree> =
            if let Node::List(items) = &include.node { items.iter().collect() } else { vec![include] };
        let mut under = Tree::new(Node::Map(Vec::new()), config.span);
        for item in items {
            for wanted in self.wanted(project, item)? {
                let file = self.find(&wanted)?;
                let span = wanted.path.span;
                let tree = self.load(&wanted.project, &file, wanted.inputs, Some(span), level + 1)?;
                under = combine::on_top(&under, &tree);
            }
        }
        let own: Vec<_> = config.entries().iter().filter(|(key, _)| key.text != "include").cloned().collect();
        Ok(combine::on_top(&under, &Tree::new(Node::Map(own), config.span)))
    }

    /// The files that one item means.
    fn wanted<'t>(&mut self, project: &Project, item: &'t Tree) -> Result<Vec<Wanted<'t>>, Vec<Finding>> {
        if let Some(text) = item.as_text() {
            if text.starts_with("http://") || text.starts_with("https://") {
                return Err(vec![remote(item.span)]);
            }
            return Ok(self.local(project, Spanned::new(text.to_owned(), item.span), &[]));
        }
        let mut findings = Findings::default();
        if let Some(rules) = item.field("rules") {
            let rules = rules_of("include", rules, &mut findings);
            if !findings.0.is_empty() {
                return Err(findings.0);
            }
            let paths = self.library.paths(&Project::Own);
            let ground =
                Ground { variables: self.variables, changed: self.facts.changed.as_deref(), paths: &paths };
            let fits = rules::first(&rules, ground).map_err(|(rule, why)| vec![refused(why, rule.span)])?;
            if fits.is_none_or(|rule| {
                rule.when.as_ref().is_some_and(|when| when.value == super::model::When::Never)
            }) {
                return Ok(Vec::new());
            }
        }
        let inputs = item.field("inputs").map(Tree::entries).unwrap_or_default();
        let text = |key: &str| item.field(key).and_then(spanned);
        if let Some(path) = text("local") {
            return Ok(self.local(project, path, inputs));
        }
        if let Some(component) = text("component") {
            return self.component(component, inputs).map(|wanted| vec![wanted]);
        }
        if let Some(template) = text("template") {
            let path = Spanned::new(format!("{TEMPLATES}/{}", template.value), template.span);
            let project = Project::Other { path: TEMPLATES_PROJECT.to_owned(), reference: None };
            return Ok(vec![Wanted { project, path, kind: Kind::Template, inputs }]);
        }
        if let Some(url) = text("remote") {
            return Err(vec![remote(url.span)]);
        }
        match (text("project"), item.field("file").and_then(texts)) {
            (Some(path), Some(files)) => {
                let reference = text("ref").map(|reference| self.variables.replace(&reference.value));
                let project = Project::Other { path: self.variables.replace(&path.value), reference };
                let wanted = |file: Spanned<String>| {
                    let path = Spanned::new(self.variables.replace(&file.value), file.span);
                    Wanted { project: project.clone(), path, kind: Kind::Project, inputs }
                };
                Ok(files.into_iter().map(wanted).collect())
            }
            (Some(path), None) => Err(vec![refused(
                "include config must specify the file where to fetch the config from",
                path.span,
            )]),
            _ => Err(vec![refused(
                "include config should be an array of hashes with one of local, project, remote, template, component",
                item.span,
            )]),
        }
    }

    fn local<'t>(
        &mut self,
        project: &Project,
        path: Spanned<String>,
        inputs: &'t [(Key, Tree)],
    ) -> Vec<Wanted<'t>> {
        let pattern = self.variables.replace(&path.value).trim_start_matches('/').to_owned();
        let one = |found: String| Wanted {
            project: project.clone(),
            path: Spanned::new(found, path.span),
            kind: Kind::Local,
            inputs,
        };
        if glob::is_plain(&pattern) {
            return vec![one(pattern)];
        }
        let fits = |found: &String| {
            (found.ends_with(".yml") || found.ends_with(".yaml")) && glob::fits(&pattern, found)
        };
        self.library.paths(project).into_iter().filter(fits).map(one).collect()
    }

    /// `HOST/GROUP/PROJECT/NAME@VERSION`
    fn component<'t>(
        &mut self,
        address: Spanned<String>,
        inputs: &'t [(Key, Tree)],
    ) -> Result<Wanted<'t>, Vec<Finding>> {
        let text = self.variables.replace(&address.value);
        let wrong = || {
            vec![refused(
                format!("Component '{text}' - the address should be HOST/PROJECT/NAME@VERSION"),
                address.span,
            )]
        };
        let (path, version) = text.rsplit_once('@').ok_or_else(wrong)?;
        let path = path.split_once('/').map(|(_, path)| path).ok_or_else(wrong)?;
        let (project, name) = path.rsplit_once('/').ok_or_else(wrong)?;
        let is_own = project == self.facts.project && version == self.facts.sha;
        let project = match is_own {
            true => Project::Own,
            false => Project::Other { path: project.to_owned(), reference: Some(version.to_owned()) },
        };
        Ok(Wanted {
            project,
            path: Spanned::new(name.to_owned(), address.span),
            kind: Kind::Component,
            inputs,
        })
    }

    fn find(&mut self, wanted: &Wanted<'_>) -> Result<File, Vec<Finding>> {
        self.files += 1;
        let span = wanted.path.span;
        if self.files > FILES_MAX {
            return Err(vec![refused(format!("Maximum of {FILES_MAX} nested includes are allowed!"), span)]);
        }
        let path = wanted.path.value.trim_start_matches('/');
        if wanted.kind != Kind::Component && !path.ends_with(".yml") && !path.ends_with(".yaml") {
            return Err(vec![refused(format!("Included file `{path}` does not have YAML extension!"), span)]);
        }
        let tried = match wanted.kind {
            Kind::Component => {
                let one = self.library.read(&wanted.project, &format!("templates/{path}.yml"));
                match one {
                    Err(Missing::File) => {
                        self.library.read(&wanted.project, &format!("templates/{path}/template.yml"))
                    }
                    other => other,
                }
            }
            _ => self.library.read(&wanted.project, path),
        };
        tried.map_err(|missing| vec![not_found(wanted, path, missing)])
    }
}

fn not_found(wanted: &Wanted<'_>, path: &str, missing: Missing) -> Finding {
    let span = wanted.path.span;
    let project = match &wanted.project {
        Project::Own => String::new(),
        Project::Other { path, .. } => path.clone(),
    };
    match (missing, wanted.kind) {
        (Missing::Unreadable(why), _) => Finding::error("gitlab-include", format!("`{path}` can't be read: {why}")).at(span, "included here"),
        (Missing::Project(help), Kind::Template) => {
            Finding::error("gitlab-include", "GitLab's own templates are not a part of Landfall").at(span, "included here").help(help)
        }
        (Missing::Project(help), Kind::Component) => {
            Finding::error("gitlab-include", format!("nobody said where the component's project `{project}` is"))
                .at(span, "included here")
                .help(help)
        }
        (Missing::Project(help), _) => refused(
            format!("Project `{project}` not found or access denied! Make sure any includes in the pipeline configuration are correctly defined."),
            span,
        )
        .help(help),
        (Missing::File, Kind::Local) => refused(format!("Local file `{path}` does not exist!"), span),
        (Missing::File, Kind::Component) => refused(format!("Component '{path}' - content not found"), span)
            .note(format!("neither templates/{path}.yml nor templates/{path}/template.yml is in `{project}`")),
        (Missing::File, _) => refused(format!("Project `{project}` file `{path}` does not exist!"), span),
    }
}

fn remote(span: Span) -> Finding {
    Finding::error("gitlab-include", "a file from the web is included, and nothing is fetched from the web here")
        .at(span, "included here")
        .help("put a copy of it into the project and include that as `local`, or into another project and say where that is with --remote")
}
