//! The token that a job of a GitLab pipeline would get.

use std::path::Path;

use landfall_check::gitlab::{self, Body, PipelineFacts, Plan, PlannedJob, PlannedToken, token_claims};
use landfall_check::terraform::Infra;
use landfall_deliver::Failure;
use landfall_rehearse::gitlab::paths;
use landfall_types::{AccountId, Finding, SourceMap, Span};

use super::{Asked, JobArgs, Leg, NoToken, RunWords, Token, refused};
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
        fork: args.fork,
        actor: None,
        ids: args.ids,
        immutable_subject: args.immutable_subject,
        input: &args.input,
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
    let legs =
        jobs.into_iter().flat_map(|job| legs(job, &facts, &found, args, jobs_are_many(&plan, job))).collect();
    Ok(Asked { about: about(&name), legs })
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

fn legs(job: &PlannedJob, facts: &PipelineFacts, found: &Found, args: &JobArgs, many: bool) -> Vec<Leg> {
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
        return vec![Leg { label: None, role: None, token: Err(NoToken { finding, is_unknown: false }) }];
    }
    let label = |token: &PlannedToken| match (many, job.id_tokens.len()) {
        (false, 1) => None,
        (true, 1) => Some(job.name.clone()),
        (false, _) => Some(token.name.clone()),
        (true, _) => Some(format!("{}, {}", job.name, token.name)),
    };
    let leg = |token: &PlannedToken| {
        let mut claims = token_claims(&token.facts, edge::now().seconds(), "explained");
        if found.config.ids.is_none() && args.ids.is_none() {
            // Made-up ids would be taken for the project's own.
            for name in ["project_id", "namespace_id", "job_project_id", "job_namespace_id"] {
                claims.remove(name);
            }
        }
        let maker = maker(job, facts);
        let token_or_not = Token { claims, maker, audience: Some(token.span), login: None, role: None };
        Leg { label: label(token), role: role.clone(), token: Ok(Box::new(token_or_not)) }
    };
    job.id_tokens.iter().map(leg).collect()
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
fn role(job: &PlannedJob) -> Option<String> {
    let Body::Script(script) = &job.job.body else { return None };
    let mut roles: Vec<String> = Vec::new();
    let values = job.variables.values().into_iter().map(|(_, value)| value);
    let lines = script.before.iter().chain(&script.script).map(|line| job.variables.replace(&line.value));
    for text in lines.chain(values) {
        for (at, _) in text.match_indices("arn:aws") {
            let is_end = |c: char| !(c.is_ascii_alphanumeric() || ":/-_+=,.@".contains(c));
            let arn = text[at..].split(is_end).next().unwrap_or_default();
            if arn.contains(":role/") && !roles.iter().any(|known| known == arn) {
                roles.push(arn.to_owned());
            }
        }
    }
    match roles.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}
