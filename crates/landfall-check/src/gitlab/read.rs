//! The root of a configuration, and what its parts have in common: texts, rules, variables.

use landfall_types::{Finding, Node, Span, Spanned, Tree};

use super::expression::Expression;
use super::model::{AllowFailure, Config, When};
use super::read_job;
use super::refused;
use super::rules::{Policy, Rule};
use super::variables::Variable;

/// Root keywords; every other key is a job.
const ROOT: &[&str] = &[
    "default",
    "include",
    "spec",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
];
/// Stages of a file that names none.
const STAGES_DEFAULT: &[&str] = &["build", "test", "deploy"];
/// Jobs of a configuration.
const JOBS_MAX: usize = 2_000;
/// Lists inside of lists, GitLab's own limit, in levels.
const LISTS_MAX: usize = 10;

/// What was found wrong.
#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// GitLab's sentence, at a place.
    pub(super) fn add(&mut self, message: impl Into<String>, span: Span) {
        self.0.push(refused(message, span));
    }
}

/// Reads a configuration whose includes, `extends` and references are in place.
pub(super) fn read(tree: &Tree) -> Result<Config, Vec<Finding>> {
    let mut findings = Findings::default();
    let empty = Tree::new(Node::Map(Vec::new()), tree.span);
    let workflow = tree.field("workflow").unwrap_or(&empty);
    let rules = workflow.field("rules").map(|rules| {
        let rules = rules_of("workflow", rules, &mut findings);
        for rule in &rules {
            if let Some(when) =
                rule.when.as_ref().filter(|when| !matches!(when.value, When::Always | When::Never))
            {
                findings.add(
                    "workflow:rules:rule when unknown value: ".to_owned() + when.value.as_str(),
                    when.span,
                );
            }
        }
        rules
    });
    let stages = stages(tree, &mut findings);
    let mut config = Config {
        variables: variables("variables", tree.field("variables"), &mut findings),
        name: workflow.field("name").and_then(spanned),
        workflow: rules,
        jobs: Vec::new(),
        stages,
    };
    let is_visible = |name: &str| !name.starts_with('.') && !ROOT.contains(&name);
    for (key, value) in tree.entries().iter().filter(|(key, _)| is_visible(&key.text)) {
        let name = Spanned::new(key.text.clone(), key.span);
        if config.jobs.len() >= JOBS_MAX {
            let message = format!("a configuration may have {JOBS_MAX} jobs");
            return Err(vec![Finding::error("gitlab-limit", message).at(key.span, "this is one too many")]);
        }
        if let Some(job) = read_job::read(name, value, tree, &config, &mut findings) {
            config.jobs.push(job);
        }
    }
    if config.jobs.is_empty() && findings.0.is_empty() {
        let message = "jobs config should contain at least one visible job";
        findings.add(message, tree.entries().first().map_or(tree.span, |(key, _)| key.span));
    }
    read_job::check_together(&config, &mut findings);
    if findings.0.is_empty() { Ok(config) } else { Err(findings.0) }
}

fn stages(tree: &Tree, findings: &mut Findings) -> Vec<String> {
    let said = match tree.field("stages") {
        None => STAGES_DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
        Some(stages) => match texts(stages) {
            Some(stages) => stages.into_iter().map(|stage| stage.value).collect(),
            None => {
                findings.add("stages config should be an array of strings", stages.span);
                Vec::new()
            }
        },
    };
    let mut stages = vec![".pre".to_owned()];
    for stage in said.into_iter().chain([".post".to_owned()]) {
        if stage == ".post" || !stages.contains(&stage) {
            stages.retain(|known| *known != stage);
            stages.push(stage);
        }
    }
    stages
}

/// A scalar with its place.
pub(super) fn spanned(tree: &Tree) -> Option<Spanned<String>> {
    tree.scalar().map(|text| Spanned::new(text, tree.span))
}

/// A text, or a list of them.
pub(super) fn texts(tree: &Tree) -> Option<Vec<Spanned<String>>> {
    match &tree.node {
        Node::List(items) => items.iter().map(spanned).collect(),
        Node::Null => Some(Vec::new()),
        _ => spanned(tree).map(|text| vec![text]),
    }
}

/// The lines of a script: texts, in lists inside of lists.
pub(super) fn lines(tree: &Tree) -> Option<Vec<Spanned<String>>> {
    fn gather(tree: &Tree, level: usize, into: &mut Vec<Spanned<String>>) -> Option<()> {
        match &tree.node {
            Node::Text(text) => into.push(Spanned::new(text.clone(), tree.span)),
            Node::List(items) if level < LISTS_MAX => {
                for item in items {
                    gather(item, level + 1, into)?;
                }
            }
            _ => return None,
        }
        Some(())
    }
    let mut lines = Vec::new();
    gather(tree, 0, &mut lines).map(|()| lines)
}

/// `variables:` of a file, a job or a rule.
pub(super) fn variables(whose: &str, tree: Option<&Tree>, findings: &mut Findings) -> Vec<Variable> {
    let Some(tree) = tree else { return Vec::new() };
    if !matches!(tree.node, Node::Map(_) | Node::Null) {
        findings.add(format!("{whose} config should be a hash"), tree.span);
    }
    let mut variables = Vec::new();
    for (key, value) in tree.entries() {
        let (text, raw) = match &value.node {
            Node::Map(_) => {
                let raw = value.field("expand").is_some_and(|expand| expand.node == Node::Bool(false));
                (value.field("value").map_or(Some(String::new()), Tree::scalar), raw)
            }
            Node::Null => (Some(String::new()), false),
            _ => (value.scalar(), false),
        };
        let Some(text) = text else {
            findings.add(format!("{whose} config should be a hash of key value pairs"), value.span);
            continue;
        };
        variables.push(Variable {
            name: key.text.clone(),
            value: text,
            expand: !raw,
            masked: false,
            span: Some(value.span),
        });
    }
    variables
}

/// `rules:` of a job, the workflow or an include; lists inside of lists come from references.
pub(super) fn rules_of(whose: &str, tree: &Tree, findings: &mut Findings) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut open: Vec<(&Tree, usize)> = vec![(tree, 0)];
    while let Some((tree, level)) = open.pop() {
        match &tree.node {
            Node::List(items) if level < LISTS_MAX => {
                open.extend(items.iter().rev().map(|item| (item, level + 1)))
            }
            Node::Map(_) => rules.extend(rule(whose, tree, findings)),
            Node::Null if level == 0 => {}
            _ => findings.add(format!("{whose}:rules config should be an array of hashes"), tree.span),
        }
    }
    rules
}

fn rule(whose: &str, tree: &Tree, findings: &mut Findings) -> Option<Rule> {
    const KEYS: &[&str] = &[
        "if",
        "changes",
        "exists",
        "when",
        "start_in",
        "allow_failure",
        "variables",
        "needs",
        "auto_cancel",
        "interruptible",
    ];
    let path = format!("{whose}:rules:rule");
    if let Some((key, _)) = tree.entries().iter().find(|(key, _)| !KEYS.contains(&key.text.as_str())) {
        findings.add(format!("{path} config contains unknown keys: {}", key.text), key.span);
        return None;
    }
    let condition = match tree.field("if") {
        None => None,
        Some(text) => Some(expression(&path, text, findings)?),
    };
    let when = tree.field("when").and_then(|when| when_of(&path, when, findings));
    Some(Rule {
        span: tree.entries().first().map_or(tree.span, |(key, value)| key.span.to(value.span)),
        condition,
        changes: tree.field("changes").and_then(|changes| paths(&path, "changes", changes, findings)),
        exists: tree.field("exists").and_then(|exists| paths(&path, "exists", exists, findings)),
        when,
        allow_failure: tree.field("allow_failure").and_then(|tree| allow_failure(&path, tree, findings)),
        variables: variables(&format!("{path}:variables"), tree.field("variables"), findings),
        needs: tree.field("needs").map(|needs| read_job::needs(whose, needs, findings)),
    })
}

/// `if`
pub(super) fn expression(
    path: &str,
    tree: &Tree,
    findings: &mut Findings,
) -> Option<(Expression, Spanned<String>)> {
    let text = match &tree.node {
        Node::Text(text) => text,
        _ => {
            findings.add(format!("{path} if should be a string"), tree.span);
            return None;
        }
    };
    match Expression::parse(text) {
        Ok(expression) => Some((expression, Spanned::new(text.clone(), tree.span))),
        Err(why) => {
            findings.0.push(refused(format!("{path} if invalid expression syntax"), tree.span).note(why));
            None
        }
    }
}

/// `when`
pub(super) fn when_of(path: &str, tree: &Tree, findings: &mut Findings) -> Option<Spanned<When>> {
    let when = tree.as_text().and_then(When::parse);
    if when.is_none() {
        let known = "on_success, on_failure, always, manual, delayed";
        findings.add(format!("{path} when should be one of: {known}"), tree.span);
    }
    when.map(|when| Spanned::new(when, tree.span))
}

fn paths(path: &str, key: &str, tree: &Tree, findings: &mut Findings) -> Option<Vec<Spanned<String>>> {
    let list = match &tree.node {
        Node::Map(_) => tree.field("paths"),
        _ => Some(tree),
    };
    let found = list.and_then(texts);
    if found.is_none() {
        findings.add(format!("{path}:{key} config should be an array of strings"), tree.span);
    }
    found
}

/// `allow_failure`
pub(super) fn allow_failure(path: &str, tree: &Tree, findings: &mut Findings) -> Option<AllowFailure> {
    match &tree.node {
        Node::Bool(true) => Some(AllowFailure::Yes),
        Node::Bool(false) => Some(AllowFailure::No),
        Node::Map(_) if tree.field("exit_codes").is_some() => {
            let codes = tree.field("exit_codes").and_then(texts).unwrap_or_default();
            Some(AllowFailure::Codes(codes.iter().filter_map(|code| code.value.parse().ok()).collect()))
        }
        _ => {
            findings.add(format!("{path} allow failure should be a hash or a boolean value"), tree.span);
            None
        }
    }
}

/// `only` or `except`
pub(super) fn policy(path: &str, tree: &Tree, findings: &mut Findings) -> Option<Policy> {
    let mut policy = Policy { span: Some(tree.span), ..Policy::default() };
    if !matches!(tree.node, Node::Map(_)) {
        let refs = texts(tree);
        if refs.is_none() {
            findings.add(
                format!("{path} config should be an array of strings or regular expressions"),
                tree.span,
            );
        }
        policy.refs = refs?;
        return Some(policy);
    }
    for (key, value) in tree.entries() {
        match key.text.as_str() {
            "refs" => policy.refs = texts(value).unwrap_or_default(),
            "changes" => policy.changes = texts(value).unwrap_or_default(),
            "variables" => {
                let items: Vec<&Tree> =
                    if value.items().is_empty() { vec![value] } else { value.items().iter().collect() };
                policy.variables =
                    items.into_iter().filter_map(|item| expression(path, item, findings)).collect();
            }
            "kubernetes" => {}
            other => findings.add(format!("{path} config contains unknown keys: {other}"), key.span),
        }
    }
    Some(policy)
}
