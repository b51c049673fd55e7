//! `landfall explain --workflow`: the token that a job would get, and what a role says to it. The job is
//! planned as `rehearse` plans it, and nothing runs.

mod gitlab;

use std::path::{Path, PathBuf};

use clap::Args;
use landfall_check::github::{self, JobToken, Known, PlannedJob, RunFacts, Workflow};
use landfall_deliver::Failure;
use landfall_policy::region::SubjectTemplate;
use landfall_rehearse::library::Folders;
use landfall_types::{Claims, Finding, Severity, SourceMap, Span};

use super::rehearse::{self, RunWords};
use super::{key_value, role, token, usage};
use crate::config::{self, Found};
use crate::{edge, files, ui};

/// What login asks for when it says nothing.
const AUDIENCE_DEFAULT: &str = "sts.amazonaws.com";

/// The job that a question is about.
#[derive(Args, Debug)]
pub struct JobArgs {
    /// A workflow, or a .gitlab-ci.yml: the question is about the token of one of its jobs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "claims"])]
    pub workflow: Option<PathBuf>,
    /// The job, `deploy` or `call-shared/deploy`; may be left out where there is one
    #[arg(long, value_name = "JOB", requires = "workflow")]
    job: Option<String>,
    /// The event that starts the run [default: push]
    #[arg(long, value_name = "EVENT", requires = "workflow")]
    event: Option<String>,
    /// The ref that the run is for; for a pull request its base branch [default: refs/heads/main]
    #[arg(long = "ref", value_name = "REF", requires = "workflow")]
    git_ref: Option<String>,
    /// The pull request comes from a fork
    #[arg(long, requires = "workflow")]
    fork: bool,
    /// The repository [default: from landfall.toml, or the git remote `origin`]
    #[arg(long, value_name = "OWNER/NAME", requires = "workflow")]
    repo: Option<String>,
    /// Owner id and repository id; the token's subject carries them, as in repositories made after 2026-07-15
    #[arg(long, value_name = "OWNER_ID/REPO_ID", value_parser = token::ids, requires = "workflow")]
    ids: Option<(u64, u64)>,
    /// The token's subject carries the ids (of landfall.toml, or made-up ones)
    #[arg(long, requires = "workflow")]
    immutable_subject: bool,
    /// Where another repository is on this machine; may be repeated
    #[arg(long, value_name = "OWNER/NAME[@REF]=DIR", value_parser = key_value, requires = "workflow")]
    remote: Vec<(String, String)>,
    /// An input of workflow_dispatch, or of a GitLab pipeline; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value, requires = "workflow")]
    input: Vec<(String, String)>,
    /// The GitLab that a pipeline is in [default: the one that the Terraform has a provider for, or gitlab.com]
    #[arg(long, value_name = "URL", requires = "workflow")]
    issuer: Option<String>,
    /// The subject template (`include_claim_keys`) of a repository, or of those of an owner; may be repeated
    #[arg(long, value_name = "OWNER[/NAME]=KEY,KEY", requires = "workflow")]
    sub_template: Vec<String>,
}

/// The tokens of a job: one for each leg of its matrix that gets another.
pub struct Asked {
    /// `call-shared/deploy`, `push on refs/heads/main`.
    pub about: String,
    /// What came of each.
    pub legs: Vec<Leg>,
}

/// One leg of a job, or several whose tokens are the same.
pub struct Leg {
    /// `prod, eu`; none without a matrix.
    pub label: Option<String>,
    /// The role that its login asks for.
    pub role: Option<String>,
    /// Its token, or why it gets none.
    pub token: Result<Box<Token>, NoToken>,
}

/// A job's token, and which lines made it what it is.
pub struct Token {
    /// Its claims.
    pub claims: Claims,
    /// The line that decides the subject, and how.
    maker: (Span, String),
    audience: Option<Span>,
    login: Option<Span>,
    role: Option<Span>,
}

/// Why a job gets no token.
pub struct NoToken {
    /// The answer.
    pub finding: Finding,
    /// Whether it isn't known what token it gets.
    pub is_unknown: bool,
}

/// Finds out what tokens the job gets.
///
/// # Errors
/// Wrong usage, unreadable input.
pub fn ask(
    args: &JobArgs,
    path: &Path,
    sources: &SourceMap,
    source: &role::RoleSource,
) -> Result<Asked, Failure> {
    if rehearse::gitlab::is_configuration(path) {
        return gitlab::ask(args, path, sources, source);
    }
    let found = config::find(path)?;
    let templates = role::templates(&args.sub_template, &found)?;
    let dir = rehearse::repository_dir(path, &found)?;
    let repo = rehearse::repo_name(args.repo.as_deref(), &found, &dir)?;
    let words = RunWords {
        event: args.event.as_deref(),
        git_ref: args.git_ref.as_deref(),
        fork: args.fork,
        actor: None,
        ids: args.ids,
        immutable_subject: args.immutable_subject,
        input: &args.input,
    };
    let mut run = rehearse::facts(&words, &found, &repo)?;
    run.sha = "0".repeat(40);
    let workflow = load(path, sources)?;
    let about = |job: &str| format!("{job}  {} on {}", run.event.name, run.event.git_ref);
    if let Err(finding) = github::starts(&workflow.on, &run.event) {
        return Ok(Asked {
            about: about(args.job.as_deref().unwrap_or(&repo)),
            legs: vec![refused(finding)],
        });
    }
    let remotes = rehearse::remotes(&args.remote, &found);
    let mut library =
        Folders { sources, repository: &dir, git_ref: &run.event.git_ref, sha: &run.sha, remotes: &remotes };
    let plan = match github::plan(&workflow, &run, &mut library) {
        Ok(plan) => plan,
        Err(findings) => return not_planned(findings, about(args.job.as_deref().unwrap_or(&repo)), sources),
    };
    let job = match &args.job {
        Some(job) => job.clone(),
        None => only_job(&plan)?,
    };
    let vars: Vec<(String, String)> = found.config.vars.clone().into_iter().collect();
    let tokens = github::job_tokens(&plan, &run, &job, &vars).map_err(|finding| {
        let failure = usage(finding.message.clone());
        finding.help.iter().fold(failure, |failure, help| failure.help(help.clone()))
    })?;
    let path = tokens.first().map_or(job.clone(), |token| token.job.path.clone());
    Ok(Asked { about: about(&path), legs: legs(&tokens, &run, &templates, &found) })
}

fn load(path: &Path, sources: &SourceMap) -> Result<Workflow, Failure> {
    let source = files::read(sources, path)?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let place = format!(".github/workflows/{name}");
    let (workflow, findings) = github::load(source, &place, &sources.text(source));
    findings.iter().for_each(|finding| ui::finding_on_stderr(finding, sources));
    let workflow = workflow.filter(|_| findings.is_empty());
    workflow.ok_or_else(|| usage(format!("{} is not a valid workflow", files::shown(path))))
}

/// A run that GitHub would not start; where a file is missing here, that is no answer.
fn not_planned(findings: Vec<Finding>, about: String, sources: &SourceMap) -> Result<Asked, Failure> {
    let is_refusal = |finding: &Finding| {
        matches!(finding.rule, "permissions-exceeded" | "workflow-call" | "dispatch-inputs")
    };
    if findings.iter().all(is_refusal) {
        return Ok(Asked { about, legs: findings.into_iter().map(refused).collect() });
    }
    findings.iter().for_each(|finding| ui::finding_on_stderr(finding, sources));
    Err(usage("the jobs of this workflow can't be told"))
}

fn refused(finding: Finding) -> Leg {
    Leg { label: None, role: None, token: Err(NoToken { finding, is_unknown: false }) }
}

fn only_job(plan: &github::Plan) -> Result<String, Failure> {
    let leaves = plan.leaves();
    match leaves.as_slice() {
        [one] => Ok(one.path.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|job| job.path.as_str()).collect();
            Err(usage("which job is meant?").help(format!("say --job with one of {}", names.join(", "))))
        }
    }
}

/// Legs with the same token are told of once.
fn legs(tokens: &[JobToken<'_>], run: &RunFacts, templates: &[SubjectTemplate], found: &Found) -> Vec<Leg> {
    let mut legs: Vec<Leg> = Vec::new();
    for token in tokens {
        let leg = leg(token, run, templates, found);
        let is_same = |known: &Leg| match (&known.token, &leg.token) {
            (Ok(left), Ok(right)) => left.claims == right.claims && known.role == leg.role,
            (Err(left), Err(right)) => left.finding.message == right.finding.message,
            _ => false,
        };
        match legs.iter_mut().find(|known| is_same(known)) {
            Some(known) => {
                if let (Some(label), Some(more)) = (&mut known.label, &leg.label) {
                    label.push_str(&format!("; {more}"));
                }
            }
            None => legs.push(leg),
        }
    }
    legs
}

fn leg(token: &JobToken<'_>, run: &RunFacts, templates: &[SubjectTemplate], found: &Found) -> Leg {
    let role = token.role.text().map(str::to_owned);
    let leg = |token_or_not| Leg { label: token.leg.clone(), role: role.clone(), token: token_or_not };
    let none = |finding| leg(Err(NoToken { finding, is_unknown: false }));
    if let Some(finding) = token.not_started.clone().or_else(|| no_permission(token.job, run, token.login)) {
        return none(finding);
    }
    for (what, known) in [("environment", &token.environment), ("audience", &token.audience)] {
        if let Known::Unknown { because, span } = known {
            let mut finding = Finding::error(
                "unknown-token",
                format!("the job's {what} is not known before it runs, and with it its token"),
            )
            .at(*span, because.clone());
            finding.severity = Severity::Warning;
            return leg(Err(NoToken { finding, is_unknown: true }));
        }
    }
    let audience = token.audience.text().unwrap_or(AUDIENCE_DEFAULT);
    let environment = token.environment.text();
    let now = edge::now().seconds();
    let mut claims = github::claims(run, token.job, environment, Some(audience), now, "explained");
    if found.config.ids.is_none() && !run.immutable_subject {
        // Made-up ids would be taken for the repository's own.
        claims.remove("repository_id");
        claims.remove("repository_owner_id");
    }
    if let Some(template) = template_of(templates, &run.repository) {
        claims.set_text("sub", github::customised_subject(&claims, &template.keys));
    }
    let maker = match (&token.environment, environment) {
        (Known::Yes(_, span), Some(name)) => (*span, format!("the job's environment is `{name}`")),
        _ => trigger(token.job, run),
    };
    let (audience, role, login) = (token.audience.span(), token.role.span(), token.login);
    leg(Ok(Box::new(Token { claims, maker, audience, login, role })))
}

/// The template of a repository: its own, or else its owner's.
fn template_of<'t>(templates: &'t [SubjectTemplate], repository: &str) -> Option<&'t SubjectTemplate> {
    let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
    let of_owner = || templates.iter().filter(|one| one.owner == owner);
    let own = of_owner().find(|one| one.name.as_deref() == Some(name));
    own.or_else(|| of_owner().find(|one| one.name.is_none()))
}

fn trigger(job: &PlannedJob, run: &RunFacts) -> (Span, String) {
    let on = &job.run_workflow.on;
    let span = on.event(&run.event.name).map_or(on.span, |trigger| trigger.name.span);
    let why = match run.event.name.as_str() {
        "pull_request" => "the run is started by a pull request".to_owned(),
        name => format!("the run is started by {name} on `{}`", run.event.git_ref),
    };
    (span, why)
}

/// A job that may not ask for tokens.
fn no_permission(job: &PlannedJob, run: &RunFacts, login: Option<Span>) -> Option<Finding> {
    let permissions = &job.permissions;
    if permissions.may_mint() {
        return None;
    }
    let message = format!("the job `{}` gets no ID token: it has `id-token: none`", job.path);
    let mut finding = Finding::error("no-id-token", message);
    if let Some(login) = login {
        finding = finding.at(login, "this step needs one");
    }
    let origin = permissions.origin.span();
    if permissions.read_only_because.is_some() {
        let (span, _) = trigger(job, run);
        let who = if run.from_fork { "a pull request from a fork" } else { "Dependabot" };
        finding = finding.at(span, format!("the run is started by {who}"));
        let finding = origin
            .into_iter()
            .fold(finding, |it, span| it.at(span, "these permissions are cut down to reading"));
        return Some(finding.note(format!("a run that is started by {who} gets a read-only token")));
    }
    finding = match origin {
        Some(span) => finding.at(span, "these permissions have no `id-token: write`"),
        None => {
            finding.note("no file says anything about permissions, and GitHub's default never has id-token")
        }
    };
    Some(finding.help("add `id-token: write` to the job's permissions, or to the workflow's"))
}

impl Token {
    /// Shows the lines of the workflow that made the token what was refused.
    pub fn blame(&self, finding: Finding) -> Finding {
        match finding.rule {
            "audience-not-registered" | "audience-mismatch" => match (self.audience, self.login) {
                (Some(span), _) => finding.at(span, "the job asks for this audience"),
                (None, Some(span)) => finding
                    .at(span, format!("this login asks for its default audience, `{AUDIENCE_DEFAULT}`")),
                (None, None) => finding,
            },
            "role-missing" | "role-arn" => {
                let asked = self.role.or(self.login);
                asked
                    .into_iter()
                    .fold(finding, |finding, span| finding.at(span, "the job asks for this role"))
            }
            "provider-missing" | "signature" | "session-too-long" => finding,
            _ => {
                let subject = self.claims.text("sub").unwrap_or("");
                let (span, why) = &self.maker;
                finding.at(*span, format!("{why}: the token's sub is `{subject}`"))
            }
        }
    }
}
