//! `landfall explain --workflow`: the token that a job would get, and what a role says to it. The job is
//! planned as `rehearse` plans it, and nothing runs.

mod gitlab;

use std::path::{Path, PathBuf};

use clap::Args;
use landfall_check::github::{
    self, Action, Beside, JobToken, Known, Login, PlannedJob, RunFacts, Taker, Workflow,
};
use landfall_deliver::Failure;
use landfall_rehearse::library::Folders;
use landfall_types::{ClaimValue, Claims, Finding, Severity, SourceMap, Span};

use super::rehearse::{self, RunWords};
use super::{key_value, role, token, usage};
use crate::config;
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
    /// The ref that the run is for; for a pull request or merge group its base branch, for a release its tag
    /// [default: the default branch]
    #[arg(long = "ref", value_name = "REF", requires = "workflow")]
    git_ref: Option<String>,
    /// The repository's default branch, on which a schedule, an issue or another workflow runs [default: from
    /// landfall.toml, or main]
    #[arg(long, value_name = "NAME", requires = "workflow")]
    default_branch: Option<String>,
    /// The pull request comes from a fork
    #[arg(long, requires = "workflow")]
    fork: bool,
    /// The repository [default: from landfall.toml, or the git remote `origin`]
    #[arg(long, value_name = "OWNER/NAME", requires = "workflow")]
    repo: Option<String>,
    /// Owner id and repository id [default: from landfall.toml]
    #[arg(long, value_name = "OWNER_ID/REPO_ID", value_parser = token::ids, requires = "workflow")]
    ids: Option<(u64, u64)>,
    /// The token's subject carries the ids, as in repositories made after 2026-07-15
    #[arg(long, requires = "workflow")]
    immutable_subject: bool,
    /// Who starts the run
    #[arg(long, value_name = "NAME", value_parser = rehearse::actor, requires = "workflow")]
    actor: Option<String>,
    /// A secret, where the workflow keeps its role in one; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value, requires = "workflow")]
    secret: Vec<(String, String)>,
    /// Of a GitLab job with several `id_tokens`, the one that is meant [default: the one that its script names]
    #[arg(long, value_name = "NAME", requires = "workflow")]
    id_token: Option<String>,
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

/// One login of one leg of a job, or several whose tokens are the same.
pub struct Leg {
    /// `prod, eu`; none without a matrix.
    pub label: Option<String>,
    /// The role that its login asks for.
    pub role: Known,
    /// Its token, or why it gets none.
    pub token: Result<Box<Token>, NoToken>,
    /// How it asks.
    pub how: How,
}

/// How a token is exchanged, apart from token and role.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct How {
    /// The session's name.
    pub session_name: Option<String>,
    /// The region that is called.
    pub region: Option<String>,
    /// How long the session is to live, in seconds.
    pub duration: Option<u32>,
    /// How to find the repository's ids out, where they are not known.
    pub ids: Option<String>,
    /// Condition keys whose values are not known, and what can be done about it.
    pub unknown: Vec<(String, String)>,
}

/// A job's token, and which lines made it what it is.
pub struct Token {
    /// Its claims.
    pub claims: Claims,
    /// Ids in it that stand in for those that nobody said, and what is shown in their places.
    stand_ins: Vec<(String, &'static str)>,
    /// The line that decides the subject, and how.
    maker: (Span, String),
    audience: Option<Span>,
    login: Option<Span>,
    role: Option<Span>,
    duration: Option<Span>,
}

/// Why a job gets no token.
pub struct NoToken {
    /// The answer.
    pub finding: Box<Finding>,
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
    let dir = rehearse::repository_dir(path, &found)?;
    let repo = rehearse::repo_name(args.repo.as_deref(), &found, &dir)?;
    let words = RunWords {
        event: args.event.as_deref(),
        git_ref: args.git_ref.as_deref(),
        default_branch: args.default_branch.as_deref(),
        fork: args.fork,
        actor: args.actor.as_deref(),
        ids: args.ids,
        immutable_subject: args.immutable_subject,
        input: &args.input,
        sub_template: &args.sub_template,
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
    let action = |uses: &str| read_action(sources, &dir, uses);
    let beside = Beside { vars: &vars, secrets: &args.secret, action: &action };
    let tokens = github::job_tokens(&plan, &run, &job, &beside).map_err(|finding| {
        let failure = usage(finding.message.clone());
        finding.help.iter().fold(failure, |failure, help| failure.help(help.clone()))
    })?;
    let path = tokens.first().map_or(job.clone(), |token| token.job.path.clone());
    let asker = Asker { run: &run, has_actor: args.actor.is_some(), sources };
    Ok(Asked { about: about(&path), legs: asker.legs(&tokens) })
}

/// An action of the repository; one that can't be read is none here.
fn read_action(sources: &SourceMap, dir: &Path, uses: &str) -> Option<Action> {
    let folder = dir.join(uses.strip_prefix("./")?);
    let file =
        ["action.yml", "action.yaml"].into_iter().map(|name| folder.join(name)).find(|it| it.is_file())?;
    let source = files::read(sources, &file).ok()?;
    github::load_action(source, &sources.text(source)).0
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
    let token = Err(NoToken { finding: Box::new(finding), is_unknown: false });
    Leg { label: None, role: Known::No, token, how: How::default() }
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

/// What the tokens of a run are made of.
struct Asker<'a> {
    run: &'a RunFacts,
    /// Whether it was said who starts the run.
    has_actor: bool,
    sources: &'a SourceMap,
}

impl Asker<'_> {
    /// Legs with the same token are told of once.
    fn legs(&self, tokens: &[JobToken<'_>]) -> Vec<Leg> {
        let mut legs: Vec<Leg> = Vec::new();
        for leg in tokens.iter().flat_map(|token| self.legs_of(token)) {
            let is_same = |known: &Leg| match (&known.token, &leg.token) {
                (Ok(left), Ok(right)) => {
                    left.claims == right.claims
                        && left.login == right.login
                        && known.role == leg.role
                        && known.how == leg.how
                }
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

    fn legs_of(&self, token: &JobToken<'_>) -> Vec<Leg> {
        match token.logins.as_slice() {
            [] => vec![self.leg(token, None)],
            [one] => vec![self.leg(token, Some(one))],
            several => several
                .iter()
                .map(|login| {
                    let place = format!("the login at {}", self.sources.place(login.span));
                    let leg = self.leg(token, Some(login));
                    let label = leg.label.iter().cloned().chain([place]).collect::<Vec<_>>().join(", ");
                    Leg { label: Some(label), ..leg }
                })
                .collect(),
        }
    }

    fn leg(&self, token: &JobToken<'_>, login: Option<&Login>) -> Leg {
        let token_or_not = self.token(token, login);
        let role = login.map_or(Known::No, |login| login.role.clone());
        Leg { label: token.leg.clone(), role, token: token_or_not, how: self.how(login) }
    }

    fn token(&self, token: &JobToken<'_>, login: Option<&Login>) -> Result<Box<Token>, NoToken> {
        let run = self.run;
        let login_span = login.map(|login| login.span);
        let refusal = token.not_started.clone().or_else(|| github::no_id_token(token.job, run, login_span));
        if let Some(finding) = refusal {
            return Err(NoToken { finding: Box::new(finding), is_unknown: false });
        }
        if let Some(other) = login.filter(|login| login.with != Taker::Token) {
            return Err(NoToken { finding: Box::new(without_id_token(other)), is_unknown: true });
        }
        let asked = login.map_or(&Known::No, |login| &login.audience);
        for (what, known) in [("environment", &token.environment), ("audience", asked)] {
            if let Known::Unknown { because, span } = known {
                let mut finding = Finding::error(
                    "unknown-token",
                    format!("the job's {what} is not known before it runs, and with it its token"),
                )
                .at(*span, because.clone());
                finding.severity = Severity::Warning;
                return Err(NoToken { finding: Box::new(finding), is_unknown: true });
            }
        }
        let audience = asked.text().unwrap_or(AUDIENCE_DEFAULT);
        let environment = token.environment.text();
        let now = edge::now().seconds();
        let mut claims = github::claims(run, token.job, environment, Some(audience), now, "explained");
        if !run.ids_are_known {
            // Made-up ids would be taken for the repository's own.
            claims.remove("repository_id");
            claims.remove("repository_owner_id");
            claims.remove("actor_id");
        }
        let maker = match (&token.environment, environment) {
            (Known::Yes(_, span), Some(name)) => (*span, format!("the job's environment is `{name}`")),
            _ => trigger(token.job, run),
        };
        let span_of = |known: fn(&Login) -> &Known| login.and_then(|login| known(login).span());
        Ok(Box::new(Token {
            claims,
            stand_ins: run.stand_ins(),
            maker,
            audience: asked.span(),
            login: login_span,
            role: span_of(|login| &login.role),
            duration: span_of(|login| &login.duration),
        }))
    }

    fn how(&self, login: Option<&Login>) -> How {
        let mut how = How::default();
        let of_subject = |claims: &[&str]| {
            let keys = self.run.subject_keys.iter().flatten();
            keys.into_iter().any(|key| claims.contains(&key.as_str()))
        };
        let names_ids = of_subject(&["repository_id", "repository_owner_id"]);
        let host = "token.actions.githubusercontent.com";
        if !self.run.ids_are_known {
            let because = self.run.how_to_know_ids();
            let keys = ["repository_id", "repository_owner_id"].map(|name| format!("{host}:{name}"));
            how.unknown.extend(keys.into_iter().map(|key| (key, because.clone())));
            how.ids = Some(because.clone());
            if self.run.immutable_subject || names_ids {
                how.unknown.push((format!("{host}:sub"), because));
            }
        }
        if !self.has_actor {
            let because = "nobody said who starts the run: give it with --actor NAME".to_owned();
            if of_subject(&["actor"]) {
                how.unknown.push((format!("{host}:sub"), because.clone()));
            }
            how.unknown.push((format!("{host}:actor"), because));
        }
        let because = "no file has it: give it with --context";
        for name in ["actor_id", "enterprise_id"] {
            how.unknown.push((format!("{host}:{name}"), format!("{because} {host}:{name}=VALUE")));
        }
        let mut value = |known: Option<&Known>, key: &str| match known {
            Some(Known::Yes(text, _)) => Some(text.clone()),
            Some(Known::Unknown { because, .. }) => {
                how.unknown.push((key.to_owned(), because.clone()));
                None
            }
            _ => None,
        };
        let name = value(login.map(|login| &login.session_name), "sts:RoleSessionName");
        let region = value(login.map(|login| &login.region), "aws:RequestedRegion");
        let duration = value(login.map(|login| &login.duration), "sts:DurationSeconds");
        if login.is_some() {
            // The action's own default.
            how.session_name = name.or_else(|| {
                let is_known = how.unknown.iter().all(|(key, _)| key != "sts:RoleSessionName");
                is_known.then(|| "GitHubActions".to_owned())
            });
        }
        how.region = region;
        how.duration = duration.and_then(|seconds| seconds.trim().parse().ok());
        how
    }
}

/// A role that is not taken with the job's ID token.
fn without_id_token(login: &Login) -> Finding {
    let (message, help) = match login.with {
        Taker::Session => (
            "the role is taken with the session that an earlier login made",
            "ask with --role FIRST --action sts:AssumeRole --resource SECOND, the ARNs of the two roles",
        ),
        Taker::Token | Taker::Others => (
            "the role is taken with keys, or with a token from a file, and not with the job's ID token",
            "ask for the role with --role and --action",
        ),
    };
    let mut finding = Finding::error("unknown-token", message).at(login.span, "this login").help(help);
    finding.severity = Severity::Warning;
    finding
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

impl Token {
    /// A text without the ids that stand in for others.
    pub fn without_stand_ins(&self, text: &str) -> String {
        let replaced = |text: String, (id, shown): &(String, &str)| text.replace(id, shown);
        self.stand_ins.iter().fold(text.to_owned(), replaced)
    }

    fn has_several_audiences(&self) -> bool {
        matches!(self.claims.get("aud"), Some(ClaimValue::List(audiences)) if audiences.len() > 1)
    }

    /// A finding that names a job's role.
    pub fn at_role(&self, finding: Finding, what: &str) -> Finding {
        let span = self.role.or(self.login);
        span.into_iter().fold(finding, |finding, span| finding.at(span, what))
    }

    /// Shows the lines of the workflow that made the token what was refused.
    pub fn blame(&self, finding: Finding) -> Finding {
        match finding.rule {
            "audience-not-registered" | "audience-mismatch" => match (self.audience, self.login) {
                (Some(span), _) => finding.at(span, "the job asks for this audience"),
                (None, Some(span)) => finding
                    .at(span, format!("this login asks for its default audience, `{AUDIENCE_DEFAULT}`")),
                (None, None) => finding,
            },
            "role-missing" | "role-arn" => self.at_role(finding, "the job asks for this role"),
            "token-refused" if self.has_several_audiences() => {
                let finding = Finding { help: Vec::new(), ..finding };
                let span = self.audience.into_iter();
                span.fold(finding, |finding, span| {
                    finding.at(span, "the job's token is for several audiences")
                })
                .help("AWS takes tokens for one audience: name one, or make a second token for the other")
            }
            "session-too-long" => {
                let asked = self.duration.or(self.login);
                asked
                    .into_iter()
                    .fold(finding, |finding, span| finding.at(span, "the job asks for this long a session"))
            }
            "provider-missing" | "signature" | "token-refused" => {
                let login = self.login;
                login
                    .into_iter()
                    .fold(finding, |finding, span| finding.at(span, "the token is exchanged here"))
            }
            _ => {
                let subject = self.claims.text("sub").unwrap_or("");
                let (span, why) = &self.maker;
                finding.at(*span, format!("{why}: the token's sub is `{subject}`"))
            }
        }
    }
}
