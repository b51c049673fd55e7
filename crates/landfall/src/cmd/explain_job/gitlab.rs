//! The token that a job of a GitLab pipeline would get.

use std::path::Path;

use landfall_check::github::Known;
use landfall_check::gitlab::{self, Body, PipelineFacts, Plan, PlannedJob, PlannedToken, token_claims};
use landfall_check::terraform::Infra;
use landfall_deliver::Failure;
use landfall_rehearse::gitlab::paths;
use landfall_types::{AccountId, Finding, SourceMap, Span};

use super::{Asked, How, JobArgs, Leg, NoToken, RunWords, Token, refused};
use crate::cmd::role::RoleSource;
use crate::cmd::{rehearse, serve, usage};
use crate::config::{self, Found};
use crate::{edge, files};

/// Finds out what tokens the job gets.
///
/// # Errors
/// Wrong usage, unreadable input.
pub fn ask(args: &JobArgs, path: &Path, sources: &SourceMap, source: &RoleSource) -> Result<Asked, Failure> {
    let found = config::find(path)?;
    let dir = rehearse::repository_dir(path, &found)?;
    let project = rehearse::gitlab::project(args.repo.as_deref(), &found, &dir)?;
    let infra = infra(source, sources)?;
    let issuer = rehearse::gitlab::issuer(args.issuer.as_deref(), &found, &infra)?;
    let words = RunWords {
        event: args.event.as_deref(),
        git_ref: args.git_ref.as_deref(),
        default_branch: None,
        fork: args.fork,
        actor: args.actor.as_deref(),
        ids: args.ids,
        immutable_subject: args.immutable_subject,
        input: &args.input,
        sub_template: &args.sub_template,
    };
    let facts = rehearse::gitlab::facts(&words, &found, &project, &issuer)?;
    let remotes = rehearse::remotes(&args.remote, &found);
    let file = rehearse::gitlab::read(sources, path)?;
    let config = rehearse::gitlab::load(sources, (path, &file), &dir, &facts, &args.input, &remotes)?;
    let about = |job: &str| format!("{job}  {} on {}", facts.source, facts.ref_path());
    let plan = match gitlab::plan(&config, &facts, &paths(&dir)) {
        Ok(plan) => plan,
        Err(findings) => {
            let name = args.job.as_deref().unwrap_or(&project);
            return Ok(Asked { about: about(name), legs: findings.into_iter().map(refused).collect() });
        }
    };
    let (name, jobs) = match meant(&plan, args.job.as_deref())? {
        Ok(meant) => meant,
        Err((name, finding)) => return Ok(Asked { about: about(&name), legs: vec![refused(finding)] }),
    };
    let mut all = Vec::new();
    for job in jobs {
        all.extend(legs(job, &facts, &found, args, jobs_are_many(&plan, job))?);
    }
    Ok(Asked { about: about(&name), legs: all })
}

/// What the Terraform has providers for: that tells which GitLab is meant.
fn infra(source: &RoleSource, sources: &SourceMap) -> Result<Infra, Failure> {
    if source.policy.is_some() {
        return Ok(Infra::default());
    }
    let account = source.account.as_deref().unwrap_or(serve::ACCOUNT_DEFAULT);
    let account = AccountId::parse(account).map_err(|error| usage(format!("--account: {error}")))?;
    let region = serve::REGION_DEFAULT.to_owned();
    files::terraform(sources, &source.infra, account, region, &source.variables).map(|read| read.infra)
}

type Meant<'p> = Result<(String, Vec<&'p PlannedJob>), (String, Finding)>;

/// The job that is meant, with all its instances; or why it is not a part of the pipeline.
fn meant<'p>(plan: &'p Plan, said: Option<&str>) -> Result<Meant<'p>, Failure> {
    let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    let Some(said) = said else {
        let with_tokens: Vec<&PlannedJob> =
            plan.jobs.iter().filter(|job| !job.id_tokens.is_empty()).collect();
        return match with_tokens.as_slice() {
            [one] => Ok(Ok((one.name.clone(), vec![*one]))),
            _ => {
                Err(usage("which job is meant?").help(format!("say --job with one of {}", names.join(", "))))
            }
        };
    };
    let jobs: Vec<&PlannedJob> =
        plan.jobs.iter().filter(|job| job.name == said || job.job.name.value == said).collect();
    if !jobs.is_empty() {
        return Ok(Ok((said.to_owned(), jobs)));
    }
    match plan.left_out.iter().find(|out| out.name == said) {
        Some(out) => {
            let message = format!("the job `{said}` is not a part of this pipeline");
            Ok(Err((
                said.to_owned(),
                Finding::error("gitlab-no-pipeline", message).at(out.span, out.why.clone()),
            )))
        }
        None => Err(usage(format!("there is no job `{said}` in this pipeline"))
            .help(format!("its jobs are: {}", names.join(", ")))),
    }
}

fn jobs_are_many(plan: &Plan, job: &PlannedJob) -> bool {
    plan.jobs.iter().filter(|other| other.job.name.value == job.job.name.value).count() > 1
}

fn legs(
    job: &PlannedJob,
    facts: &PipelineFacts,
    found: &Found,
    args: &JobArgs,
    many: bool,
) -> Result<Vec<Leg>, Failure> {
    let role = role(job);
    if job.id_tokens.is_empty() {
        let finding = Finding::error(
            "no-id-token",
            format!("the job `{}` gets no ID token: it has no `id_tokens`", job.name),
        )
        .at(job.job.name.span, "this job")
        .help(format!(
            "add `id_tokens: {{ GITLAB_OIDC_TOKEN: {{ aud: {} }} }}` to the job",
            facts.server_url
        ));
        let token = Err(NoToken { finding: Box::new(finding), is_unknown: false });
        return Ok(vec![Leg { label: None, role: Known::No, token, how: How::default() }]);
    }
    let meant = meant_tokens(job, args.id_token.as_deref())?;
    let label = |token: &PlannedToken| match (many, job.id_tokens.len()) {
        (false, 1) => None,
        (true, 1) => Some(job.name.clone()),
        (false, _) => Some(token.name.clone()),
        (true, _) => Some(format!("{}, {}", job.name, token.name)),
    };
    let has_ids = found.config.ids.is_some() || args.ids.is_some();
    let leg = |token: &PlannedToken| {
        let mut claims = token_claims(&token.facts, edge::now().seconds(), "explained");
        if !has_ids {
            // Made-up ids would be taken for the project's own.
            for name in ["project_id", "namespace_id", "job_project_id", "job_namespace_id"] {
                claims.remove(name);
            }
        }
        let token_or_not = Token {
            claims,
            stand_ins: Vec::new(),
            maker: maker(job, facts),
            audience: Some(token.span),
            login: None,
            role: role.span(),
            duration: None,
        };
        let how = how(facts, has_ids);
        Leg { label: label(token), role: role.clone(), token: Ok(Box::new(token_or_not)), how }
    };
    Ok(meant.into_iter().map(leg).collect())
}

/// The token that was named, or that the job's script names; all where it names none or several.
fn meant_tokens<'p>(job: &'p PlannedJob, said: Option<&str>) -> Result<Vec<&'p PlannedToken>, Failure> {
    if let Some(said) = said {
        let found: Vec<&PlannedToken> = job.id_tokens.iter().filter(|token| token.name == said).collect();
        let names: Vec<&str> = job.id_tokens.iter().map(|token| token.name.as_str()).collect();
        return match found.is_empty() {
            true => Err(usage(format!("the job `{}` has no ID token `{said}`", job.name))
                .help(format!("its `id_tokens` are {}", names.join(", ")))),
            false => Ok(found),
        };
    }
    let Body::Script(script) = &job.job.body else { return Ok(job.id_tokens.iter().collect()) };
    let is_named = |token: &&PlannedToken| {
        let lines = script.before.iter().chain(&script.script);
        lines.map(|line| line.value.as_str()).any(|line| names_variable(line, &token.name))
    };
    let named: Vec<&PlannedToken> = job.id_tokens.iter().filter(is_named).collect();
    Ok(if named.is_empty() { job.id_tokens.iter().collect() } else { named })
}

/// Whether a line of a script has `$NAME` or `${NAME` in it.
fn names_variable(line: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.split('$').skip(1).any(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.strip_prefix(name).is_some_and(|after| !after.starts_with(is_name))
    })
}

/// What no file tells of an exchange: the script makes it.
fn how(facts: &PipelineFacts, has_ids: bool) -> How {
    let host = facts.server_url.trim_start_matches("https://");
    let because = |key: &str| format!("no file has it: give it with --context {key}=VALUE");
    let users = ["user_id", "user_login", "user_email", "user_access_level"];
    let ids = ["project_id", "namespace_id"].into_iter().filter(|_| !has_ids);
    let claims = users.into_iter().chain(ids).map(|name| format!("{host}:{name}"));
    let of_call = ["sts:RoleSessionName", "aws:RequestedRegion"].map(str::to_owned);
    let unknown = claims.chain(of_call).map(|key| {
        let because = because(&key);
        (key, because)
    });
    How { unknown: unknown.collect(), ..How::default() }
}

fn maker(job: &PlannedJob, facts: &PipelineFacts) -> (Span, String) {
    let (kind, name) = (facts.ref_type.as_str(), &facts.ref_name);
    let why = match &facts.merge_request {
        Some(_) => format!("the pipeline is of a merge request from the branch `{name}`"),
        None => format!("the pipeline is started by {} on the {kind} `{name}`", facts.source),
    };
    (job.because.unwrap_or(job.job.name.span), why)
}

/// The only role that the job's script names, with the variables of the job in place.
fn role(job: &PlannedJob) -> Known {
    let Body::Script(script) = &job.job.body else { return Known::No };
    let mut roles: Vec<(String, Span)> = Vec::new();
    let values = job.variables.values().into_iter().map(|(_, value)| (value, job.job.name.span));
    let lines = script.before.iter().chain(&script.script);
    for (text, span) in lines.map(|line| (job.variables.replace(&line.value), line.span)).chain(values) {
        for (at, _) in text.match_indices("arn:aws") {
            let is_end = |c: char| !(c.is_ascii_alphanumeric() || ":/-_+=,.@".contains(c));
            let arn = text[at..].split(is_end).next().unwrap_or_default();
            if arn.contains(":role/") && !roles.iter().any(|(known, _)| known == arn) {
                roles.push((arn.to_owned(), span));
            }
        }
    }
    match roles.as_slice() {
        [(one, span)] => Known::Yes(one.clone(), *span),
        _ => Known::No,
    }
}
