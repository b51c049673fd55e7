//! The other side of a refusal: the lines of the pipeline that made a token, or a call, what it was.

use std::sync::Arc;

use landfall_check::gitlab::{PipelineFacts, PlannedJob, PlannedToken};
use landfall_serve::log::{Record, Verdict};
use landfall_types::{ClaimValue, Finding, Severity, Span};

use crate::deployed::{self, Origin};
use crate::names;
use crate::teach::of_unknown_providers;

/// What a line of a script asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) facts: &'a PipelineFacts,
    pub(super) job: &'a PlannedJob,
    /// The line.
    pub(super) line: Span,
    /// Its text.
    pub(super) text: &'a str,
    /// The line that took a role last.
    pub(super) login: Option<Span>,
}

/// What is to be said of the refusals among these decisions. A client that tries again is told once.
pub(super) fn findings(
    asked: Asked<'_>,
    origin: &Origin<'_>,
    decisions: &[Arc<Record>],
    failed: bool,
) -> Vec<Finding> {
    let (mut findings, mut beside): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    for record in decisions {
        let (Verdict::Refused { .. }, Some(finding)) = (&record.verdict, &record.finding) else { continue };
        let finding = match finding.rule {
            "session-expired" => of_session(asked, finding.clone()),
            _ if record.operation == "AssumeRoleWithWebIdentity" => {
                let finding = match finding.rule {
                    "provider-missing" => of_unknown_providers(origin.infra, finding.clone()),
                    _ => finding.clone(),
                };
                of_token(asked, record, finding)
            }
            _ => deployed::of_task_session(origin, record, finding.clone())
                .unwrap_or_else(|| of_call(asked, finding.clone())),
        };
        let finding = names::of_repository(origin.infra, record, finding);
        if record.is_optional {
            beside.push(finding);
            continue;
        }
        let is_known = |known: &Finding| known.rule == finding.rule && known.message == finding.message;
        if !findings.iter().any(is_known) {
            findings.push(finding);
        }
    }
    if failed {
        findings.extend(deployed::findings(origin, decisions));
    }
    if findings.is_empty() && failed && decisions.is_empty() {
        findings.extend(without_token(asked));
    }
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    if let Some(last) = findings.last_mut().filter(|last| failed && !is_error(last)) {
        last.severity = Severity::Error;
    }
    deployed::add_beside(&mut findings, beside);
    findings
}

/// A refused exchange: what made the token what it was.
fn of_token(asked: Asked<'_>, record: &Record, finding: Finding) -> Finding {
    let token = token_of(asked.job, record);
    let exchanged = "the token is exchanged here";
    match finding.rule {
        "audience-not-registered" | "audience-mismatch" => match token {
            Some(token) => finding.at(token.span, "the job's token is for this audience"),
            None => finding.at(asked.line, exchanged),
        },
        "token-refused" => match token.filter(|token| token.facts.audiences.len() > 1) {
            Some(token) => Finding { help: Vec::new(), ..finding }
                .at(token.span, "the job's token is for several audiences")
                .at(asked.line, exchanged)
                .help("AWS takes tokens for one audience: name one, or make a second token for the other"),
            None => finding.at(asked.line, exchanged),
        },
        "role-missing" | "role-arn" => finding.at(asked.line, "the job asks for this role"),
        "session-too-long" => finding.at(asked.line, "the job asks for this long a session"),
        "provider-missing" | "signature" => {
            let issuer = &asked.facts.server_url;
            let finding = finding.at(asked.line, exchanged);
            match token {
                Some(token) => {
                    finding.at(token.span, format!("the token is asked for here: its issuer is {issuer}"))
                }
                None => finding,
            }
        }
        _ => match record.claims.as_ref().and_then(|claims| claims.text("sub")) {
            Some(subject) => {
                let (span, why) = maker_of_subject(asked);
                finding.at(span, format!("{why}: the token's sub is `{subject}`")).at(asked.line, exchanged)
            }
            // What was sent is no token that could be read, or has no subject.
            None => finding.at(asked.line, exchanged),
        },
    }
}

/// The token that was exchanged, by its audience.
fn token_of<'a>(job: &'a PlannedJob, record: &Record) -> Option<&'a PlannedToken> {
    let audience = record.claims.as_ref().and_then(|claims| claims.get("aud"));
    let is_for = |token: &&PlannedToken| match audience {
        Some(ClaimValue::Text(text)) => token.facts.audiences.contains(text),
        _ => token.facts.is_list,
    };
    job.id_tokens.iter().find(is_for).or(job.id_tokens.first())
}

/// The line that lets this pipeline have the job, and what the pipeline is for.
fn maker_of_subject(asked: Asked<'_>) -> (Span, String) {
    let facts = asked.facts;
    let (kind, name) = (facts.ref_type.as_str(), &facts.ref_name);
    let why = match &facts.merge_request {
        Some(_) => format!("the pipeline is of a merge request from the branch `{name}`"),
        None => format!("the pipeline was started by {} on the {kind} `{name}`", facts.source),
    };
    (asked.job.because.unwrap_or(asked.job.job.name.span), why)
}

/// A refused call: which line made it.
fn of_call(asked: Asked<'_>, finding: Finding) -> Finding {
    let finding = finding.at(asked.line, "the call is made by this line");
    match asked.login {
        Some(login) if login != asked.line => finding.at(login, "with the session that this line got"),
        _ => finding,
    }
}

fn of_session(asked: Asked<'_>, finding: Finding) -> Finding {
    let finding = finding.at(asked.line, "used here, after it had ended");
    match asked.login {
        Some(login) if login != asked.line => finding.at(login, "the session was made here"),
        _ => finding,
    }
}

/// A login in a job without a token: no call was made at all.
fn without_token(asked: Asked<'_>) -> Option<Finding> {
    let wants = ["web-identity-token", "landfall login", "landfall exec", "landfall credentials"];
    if !asked.job.id_tokens.is_empty() || !wants.iter().any(|word| asked.text.contains(word)) {
        return None;
    }
    let finding = Finding::error("no-id-token", "the job gets no ID token: it has no `id_tokens`");
    Some(
        finding
            .at(asked.line, "this line needs one")
            .at(asked.job.job.name.span, "this job names no variable for it")
            .help(format!(
                "add `id_tokens: {{ GITLAB_OIDC_TOKEN: {{ aud: {} }} }}` to the job",
                asked.facts.server_url
            )),
    )
}
