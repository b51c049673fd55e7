//! A job: its keywords with the defaults that it inherits, and what jobs have to be to each other.

use std::collections::BTreeSet;

use landfall_types::{Node, Span, Spanned, Tree};

use super::model::{
    Artifacts, Body, Config, Environment, IdToken, Inherits, Job, MatrixItem, Need, Parallel, Retry, Script,
    When,
};
use super::read::{Findings, allow_failure, lines, policy, rules_of, spanned, texts, variables, when_of};

/// What `default` may hold.
const DEFAULTS: &[&str] = &[
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "hooks",
    "id_tokens",
    "identity",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
    "timeout",
];
/// What of it may stand at the root as well.
const GLOBALS: &[&str] = &["after_script", "before_script", "cache", "image", "services"];
/// Keywords of jobs.
const KEYS: &[&str] = &[
    "after_script",
    "allow_failure",
    "artifacts",
    "before_script",
    "cache",
    "coverage",
    "dast_configuration",
    "dependencies",
    "environment",
    "except",
    "extends",
    "hooks",
    "id_tokens",
    "identity",
    "image",
    "inherit",
    "inputs",
    "interruptible",
    "manual_confirmation",
    "needs",
    "only",
    "pages",
    "parallel",
    "publish",
    "release",
    "resource_group",
    "retry",
    "rules",
    "run",
    "script",
    "secrets",
    "services",
    "stage",
    "start_in",
    "tags",
    "timeout",
    "trigger",
    "variables",
    "when",
];
/// What a job may ask for that changes what it does, and that is not modelled.
const UNMODELLED: &[&str] = &["hooks", "identity", "release", "secrets", "services"];
/// `parallel`, GitLab's own limit.
const PARALLEL_MAX: u32 = 200;

/// A job's own keyword, or the default that it inherits.
struct Keywords<'t> {
    job: &'t Tree,
    root: &'t Tree,
    inherits: Inherits,
}

impl<'t> Keywords<'t> {
    fn get(&self, key: &str) -> Option<&'t Tree> {
        self.job.field(key).or_else(|| {
            if !DEFAULTS.contains(&key) || !self.inherits.takes(key) {
                return None;
            }
            let default = self.root.field("default").and_then(|default| default.field(key));
            default.or_else(|| self.root.field(key).filter(|_| GLOBALS.contains(&key)))
        })
    }
}

/// Reads a job; none when it is none.
pub(super) fn read(
    name: Spanned<String>,
    tree: &Tree,
    root: &Tree,
    config: &Config,
    findings: &mut Findings,
) -> Option<Job> {
    let path = format!("jobs:{}", name.value);
    if let Node::Unknown(why) = &tree.node {
        findings.add(format!("{path} is not known: {why}"), tree.span);
        return None;
    }
    let is_job = ["script", "run", "trigger"].iter().any(|key| tree.field(key).is_some());
    let bridges = tree.field("needs").is_some_and(|needs| needs.field("pipeline").is_some());
    if !is_job && !bridges {
        findings
            .add(format!("{path} config should implement the script:, run:, or trigger: keyword"), name.span);
        return None;
    }
    check_keys(&path, tree, findings);
    let inherit = tree.field("inherit");
    let keys =
        Keywords { job: tree, root, inherits: inherits(inherit.and_then(|tree| tree.field("default"))) };
    let stage = tree.field("stage").and_then(spanned);
    let stage_name = stage.as_ref().map_or("test", |stage| &stage.value).to_owned();
    let stage_span = stage.map_or(name.span, |stage| stage.span);
    if !config.stages.contains(&stage_name) {
        let available = config.stages.join(", ");
        findings.add(
            format!(
                "{} job: chosen stage {stage_name} does not exist; available stages are {available}",
                name.value
            ),
            stage_span,
        );
    }
    let when = tree.field("when").and_then(|when| when_of(&path, when, findings));
    Some(Job {
        body: body(&path, &keys, findings)?,
        rules: tree.field("rules").map(|rules| rules_of(&path, rules, findings)),
        only: tree.field("only").and_then(|only| policy(&format!("{path}:only"), only, findings)),
        except: tree.field("except").and_then(|except| policy(&format!("{path}:except"), except, findings)),
        when,
        allow_failure: tree.field("allow_failure").and_then(|tree| allow_failure(&path, tree, findings)),
        needs: tree.field("needs").map(|tree| needs(&path, tree, findings)),
        dependencies: tree.field("dependencies").and_then(texts),
        variables: variables(&format!("{path}:variables"), tree.field("variables"), findings),
        inherits: inherits(inherit.and_then(|tree| tree.field("variables"))),
        id_tokens: id_tokens(&path, keys.get("id_tokens"), findings),
        environment: tree.field("environment").and_then(|tree| environment(&path, tree, findings)),
        artifacts: artifacts(&path, keys.get("artifacts"), findings),
        image: keys.get("image").and_then(|image| spanned(image.field("name").unwrap_or(image))),
        docker: services(&keys).into_iter().find(|service| is_docker(&service.value)),
        parallel: tree.field("parallel").and_then(|tree| parallel(&path, tree, findings)),
        retry: keys.get("retry").map(retry).unwrap_or_default(),
        timeout_seconds: keys.get("timeout").and_then(|tree| timeout(&path, tree, findings)),
        unmodelled: unmodelled(&keys),
        stage: stage_name,
        stage_span,
        name,
    })
}

/// Keywords that are none, or that don't go together.
fn check_keys(path: &str, tree: &Tree, findings: &mut Findings) {
    let unknown: Vec<_> =
        tree.entries().iter().filter(|(key, _)| !KEYS.contains(&key.text.as_str())).collect();
    if let Some((key, _)) = unknown.first() {
        let names: Vec<&str> = unknown.iter().map(|(key, _)| key.text.as_str()).collect();
        findings.add(format!("{path} config contains unknown keys: {}", names.join(", ")), key.span);
    }
    if tree.field("rules").is_some()
        && let Some((key, _)) =
            tree.entries().iter().find(|(key, _)| ["only", "except", "start_in"].contains(&key.text.as_str()))
    {
        findings.add(format!("{path} config key may not be used with `rules`: {}", key.text), key.span);
    }
}

/// The images of a job's services.
fn services(keys: &Keywords<'_>) -> Vec<Spanned<String>> {
    let items = keys.get("services").map(Tree::items).unwrap_or_default();
    items.iter().filter_map(|item| spanned(item.field("name").unwrap_or(item))).collect()
}

/// Whether an image is a Docker engine inside of a container.
fn is_docker(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.starts_with("docker:") && name.contains("dind")
}

fn unmodelled(keys: &Keywords<'_>) -> Vec<Spanned<&'static str>> {
    let services = services(keys);
    let only_docker = !services.is_empty() && services.iter().all(|service| is_docker(&service.value));
    let is_said =
        |tree: &&Tree| tree.scalar().is_some() || !tree.items().is_empty() || !tree.entries().is_empty();
    UNMODELLED
        .iter()
        .filter(|key| **key != "services" || !only_docker)
        .filter_map(|key| keys.get(key).filter(is_said).map(|tree| Spanned::new(*key, tree.span)))
        .collect()
}

fn inherits(tree: Option<&Tree>) -> Inherits {
    match tree.map(|tree| &tree.node) {
        Some(Node::Bool(value)) => Inherits::All(*value),
        Some(Node::List(items)) => Inherits::Some(items.iter().filter_map(Tree::scalar).collect()),
        _ => Inherits::All(true),
    }
}

fn body(path: &str, keys: &Keywords<'_>, findings: &mut Findings) -> Option<Body> {
    if let Some(trigger) = keys.job.field("trigger") {
        return Some(child(trigger));
    }
    if let Some(run) = keys.job.field("run") {
        return Some(Body::Elsewhere(Spanned::new("CI steps (`run`) are not modelled".to_owned(), run.span)));
    }
    if keys.job.field("script").is_none() {
        let why = "a job that mirrors another pipeline runs nothing here".to_owned();
        return Some(Body::Elsewhere(Spanned::new(why, keys.job.span)));
    }
    let mut script = Script::default();
    for (key, into) in [
        ("before_script", &mut script.before),
        ("script", &mut script.script),
        ("after_script", &mut script.after),
    ] {
        let Some(tree) = keys.get(key).filter(|tree| tree.node != Node::Null) else { continue };
        match lines(tree) {
            Some(found) => *into = found,
            None => {
                let wanted = "should be a string or a nested array of strings up to 10 levels deep";
                findings.add(format!("{path}:{key} config {wanted}"), tree.span);
                return None;
            }
        }
    }
    if script.script.is_empty() {
        findings.add(
            format!("{path} script can't be blank"),
            keys.job.field("script").map_or(keys.job.span, |it| it.span),
        );
        return None;
    }
    Some(Body::Script(script))
}

fn child(trigger: &Tree) -> Body {
    let elsewhere = |why: &str, span: Span| Body::Elsewhere(Spanned::new(why.to_owned(), span));
    let Some(include) = trigger.field("include") else {
        return elsewhere("a pipeline of another project is started: its files are not here", trigger.span);
    };
    let items: Vec<&Tree> =
        if let Node::List(items) = &include.node { items.iter().collect() } else { vec![include] };
    let mut files = Vec::new();
    for item in items {
        let local = if matches!(item.node, Node::Text(_)) { Some(item) } else { item.field("local") };
        match local.and_then(spanned).filter(|_| item.field("inputs").is_none()) {
            Some(file) => files.push(file),
            None if item.field("artifact").is_some() => {
                return elsewhere("the child pipeline is written by a job", item.span);
            }
            None => {
                return elsewhere(
                    "only child pipelines of local files without inputs are modelled",
                    item.span,
                );
            }
        }
    }
    Body::Child(files)
}

/// `needs`
pub(super) fn needs(path: &str, tree: &Tree, findings: &mut Findings) -> Vec<Need> {
    let items: Vec<&Tree> = match &tree.node {
        Node::List(items) => items.iter().collect(),
        Node::Null => Vec::new(),
        _ => vec![tree],
    };
    let mut needs = Vec::new();
    for item in items {
        let flag = |key: &str, default: bool| match item.field(key).map(|tree| &tree.node) {
            Some(Node::Bool(value)) => *value,
            _ => default,
        };
        let elsewhere = if item.field("pipeline").is_some() {
            Some("it is a job of another pipeline")
        } else if item.field("project").is_some() {
            Some("it is a job of another project")
        } else {
            None
        };
        let job = if matches!(item.node, Node::Map(_)) { item.field("job") } else { Some(item) };
        let job = job.and_then(spanned).or_else(|| {
            // A whole pipeline is waited for.
            elsewhere.map(|_| Spanned::new(String::new(), item.span))
        });
        let Some(job) = job else {
            findings.add(format!("{path}:needs:need has an unsupported type"), item.span);
            continue;
        };
        let matrix = item.field("parallel").and_then(|parallel| parallel.field("matrix")).map(matrix);
        needs.push(Need {
            job,
            artifacts: flag("artifacts", true),
            optional: flag("optional", false),
            matrix,
            elsewhere,
        });
    }
    needs
}

fn id_tokens(path: &str, tree: Option<&Tree>, findings: &mut Findings) -> Vec<IdToken> {
    let mut tokens = Vec::new();
    for (key, value) in tree.map(Tree::entries).unwrap_or_default() {
        let path = format!("{path}:id_tokens:{}", key.text);
        if let Some((unknown, _)) = value.entries().iter().find(|(key, _)| key.text != "aud") {
            findings.add(format!("{path} config contains unknown keys: {}", unknown.text), unknown.span);
            continue;
        }
        let Some(aud) = value.field("aud") else {
            findings.add(format!("{path} config missing required keys: aud"), key.span);
            continue;
        };
        let is_list = matches!(aud.node, Node::List(_));
        match texts(aud).filter(|audiences| !audiences.is_empty()) {
            Some(audiences) => {
                let name = Spanned::new(key.text.clone(), key.span);
                tokens.push(IdToken { name, audiences, is_list, span: aud.span });
            }
            None => {
                findings.add(format!("{path}:aud config should be a string or an array of strings"), aud.span)
            }
        }
    }
    tokens
}

fn environment(path: &str, tree: &Tree, findings: &mut Findings) -> Option<Environment> {
    let name = if matches!(tree.node, Node::Map(_)) { tree.field("name") } else { Some(tree) };
    let Some(name) = name.and_then(spanned) else {
        findings.add(format!("{path}:environment config should be a hash or a string"), tree.span);
        return None;
    };
    let action = tree.field("action").and_then(spanned);
    let known = ["start", "stop", "prepare", "verify", "access"];
    if let Some(action) = action.as_ref().filter(|action| !known.contains(&action.value.as_str())) {
        findings.add(format!("{path}:environment action should be {}", known.join(", ")), action.span);
    }
    let tier = tree.field("deployment_tier").and_then(spanned);
    let tiers = ["production", "staging", "testing", "development", "other"];
    if let Some(tier) = tier.as_ref().filter(|tier| !tiers.contains(&tier.value.as_str())) {
        findings.add(
            format!("{path}:environment deployment tier must be one of {}", tiers.join(", ")),
            tier.span,
        );
    }
    Some(Environment { name, url: tree.field("url").and_then(spanned), action, tier })
}

fn artifacts(path: &str, tree: Option<&Tree>, findings: &mut Findings) -> Artifacts {
    let Some(tree) = tree else { return Artifacts::default() };
    let list = |key: &str| tree.field(key).and_then(texts).unwrap_or_default();
    let dotenv = tree.field("reports").and_then(|reports| reports.field("dotenv"));
    Artifacts {
        paths: list("paths"),
        exclude: list("exclude"),
        untracked: tree.field("untracked").is_some_and(|tree| tree.node == Node::Bool(true)),
        when: tree
            .field("when")
            .and_then(|when| when_of(&format!("{path}:artifacts"), when, findings))
            .map(|it| it.value),
        dotenv: dotenv.and_then(texts).unwrap_or_default(),
    }
}

fn matrix(tree: &Tree) -> Vec<MatrixItem> {
    let values = |tree: &Tree| texts(tree).unwrap_or_default().into_iter().map(|text| text.value).collect();
    let item =
        |item: &Tree| item.entries().iter().map(|(key, value)| (key.text.clone(), values(value))).collect();
    tree.items().iter().map(item).collect()
}

fn parallel(path: &str, tree: &Tree, findings: &mut Findings) -> Option<Parallel> {
    if let Some(said) = tree.field("matrix") {
        let matrix = matrix(said);
        // Saturating: a few dozen variables have more combinations than there are numbers.
        let legs = |item: &MatrixItem| {
            item.iter().fold(1_u64, |legs, (_, values)| legs.saturating_mul(values.len() as u64))
        };
        let count = matrix.iter().map(legs).fold(0_u64, u64::saturating_add);
        if count == 0 || count > u64::from(PARALLEL_MAX) {
            let message =
                format!("{path}:parallel config generates too many jobs (maximum is {PARALLEL_MAX})");
            findings.add(message, said.span);
            return None;
        }
        return Some(Parallel::Matrix(matrix));
    }
    let count = tree.scalar().and_then(|text| text.parse::<u32>().ok());
    match count {
        Some(count @ 1..=PARALLEL_MAX) => Some(Parallel::Count(count)),
        Some(0) => {
            findings.add(format!("{path}:parallel config must be greater than or equal to 1"), tree.span);
            None
        }
        Some(_) => {
            findings.add(
                format!("{path}:parallel config must be less than or equal to {PARALLEL_MAX}"),
                tree.span,
            );
            None
        }
        None => {
            findings.add(format!("{path}:parallel should be an integer or a hash"), tree.span);
            None
        }
    }
}

fn retry(tree: &Tree) -> Retry {
    let number = |tree: &Tree| tree.scalar().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0).min(2);
    let list = |key: &str| tree.field(key).and_then(texts).unwrap_or_default();
    Retry {
        max: tree.field("max").map_or_else(|| number(tree), number),
        when: list("when").into_iter().map(|when| when.value).collect(),
        exit_codes: list("exit_codes").iter().filter_map(|code| code.value.parse().ok()).collect(),
    }
}

fn timeout(path: &str, tree: &Tree, findings: &mut Findings) -> Option<u64> {
    let seconds = tree.scalar().and_then(|text| seconds(&text));
    if seconds.is_none() {
        findings.add(format!("{path}:timeout config should be a duration"), tree.span);
    }
    seconds
}

/// `3h 30m`, `90 minutes`, `1 hour and 5 seconds`, `3600`.
fn seconds(text: &str) -> Option<u64> {
    let spaced: String = text.chars().fold(String::new(), |mut spaced, next| {
        if spaced.ends_with(|c: char| c.is_ascii_digit()) != next.is_ascii_digit() {
            spaced.push(' ');
        }
        spaced.push(next);
        spaced
    });
    let mut words = spaced.split_whitespace().filter(|word| !matches!(*word, "and" | ",")).peekable();
    let mut total = 0_u64;
    while let Some(number) = words.next() {
        let number: u64 = number.parse().ok()?;
        let unit = words.next().unwrap_or("s").trim_end_matches(',');
        let factor = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
    }
    (total > 0).then_some(total)
}

/// What jobs name of each other: `needs` and `dependencies` lead to jobs of the same or an earlier stage, and never in
/// a circle.
pub(super) fn check_together(config: &Config, findings: &mut Findings) {
    let stage = |name: &str| config.stages.iter().position(|stage| stage == name);
    for job in &config.jobs {
        let needs = job.needs.iter().flatten().filter(|need| need.elsewhere.is_none());
        let named = needs.clone().map(|need| ("need", &need.job, need.optional));
        let dependencies = job.dependencies.iter().flatten().map(|name| ("dependency", name, false));
        for (kind, name, optional) in named.chain(dependencies) {
            match config.jobs.iter().find(|other| other.name.value == name.value) {
                None if optional || is_instance(config, &name.value) => {}
                None => findings
                    .add(format!("{} job: undefined {kind}: {}", job.name.value, name.value), name.span),
                Some(other) if stage(&other.stage) > stage(&job.stage) => {
                    let (job, name_) = (&job.name.value, &name.value);
                    let message =
                        format!("{job} job: {kind} {name_} is not defined in current or prior stages");
                    findings.0.push(
                        super::refused(message, name.span)
                            .at(other.stage_span, format!("its stage is `{}`", other.stage)),
                    );
                }
                Some(_) => {}
            }
        }
        if let (Some(needs), Some(dependencies)) = (&job.needs, &job.dependencies) {
            let missing = |name: &&Spanned<String>| !needs.iter().any(|need| need.job.value == name.value);
            if let Some(name) = dependencies.iter().find(missing).filter(|_| !needs.is_empty()) {
                let message = format!(
                    "jobs:{} dependencies the {} should be part of needs",
                    job.name.value, name.value
                );
                findings.add(message, name.span);
            }
        }
    }
    circles(config, findings);
}

/// Whether a name is one of a job's instances: `job 1/3`, `job: [a, b]`.
fn is_instance(config: &Config, name: &str) -> bool {
    let of = |job: &Job| {
        name.strip_prefix(job.name.value.as_str()).is_some_and(|rest| rest.starts_with([' ', ':']))
    };
    config.jobs.iter().any(|job| job.parallel.is_some() && of(job))
}

fn circles(config: &Config, findings: &mut Findings) {
    // A job is out when all that it needs is; who is left has a circle before them.
    let mut left: Vec<&Job> = config.jobs.iter().collect();
    let mut names: BTreeSet<&str> = left.iter().map(|job| job.name.value.as_str()).collect();
    loop {
        let count = left.len();
        left.retain(|job| {
            let waits = job.needs.iter().flatten().any(|need| names.contains(need.job.value.as_str()));
            if !waits {
                names.remove(job.name.value.as_str());
            }
            waits
        });
        if left.len() == count {
            break;
        }
    }
    if let Some(first) = left.first() {
        let names: Vec<String> = left.iter().map(|job| format!("\"{}\"", job.name.value)).collect();
        let message = format!(
            "The pipeline has circular dependencies: topological sort failed: [{}]",
            names.join(", ")
        );
        let span = first.needs.iter().flatten().next().map_or(first.name.span, |need| need.job.span);
        findings.add(message, span);
    }
}

/// `when` of a job that says nothing.
pub(super) const WHEN_DEFAULT: When = When::OnSuccess;
