//! `landfall who`: exactly which tokens can take a role, proved, each answer with a token that shows it;
//! and who can take it without a token.

use clap::Args;
use landfall_deliver::Failure;
use landfall_policy::ast::{Effect, PrincipalPattern, Statement};
use landfall_policy::prove::{
    self, Breadth, Dead, Forms, Grant, Meant, Only, Stratum, TooLarge, Use, Who, Witness,
};
use landfall_policy::region::{ProviderFacts, SubjectTemplate};
use landfall_policy::{Policy, PolicyKind, pattern};
use landfall_serve::World;
use landfall_types::{AccountId, Arn, SourceMap};
use landfall_wire::jwt;

use super::role::{self, RoleSource, Standing};
use super::serve::Format;
use super::usage;
use crate::ui::plain_text;
use crate::{config, ui};

/// Arguments of `landfall who`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WhoArgs {
    /// The role: an ARN, or its name where the Terraform has it
    #[arg(value_name = "ROLE")]
    role: String,
    #[command(flatten)]
    source: RoleSource,
    /// Be a gate: exit 1 when anybody gets in who is not meant. A pattern for subjects (`*` is any text, `?`
    /// one character), or the ARN, account or service of an AWS principal; may be repeated
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// With --only: the patterns stand for subjects with names alone, not also for those with ids
    #[arg(long, requires = "only")]
    names_only: bool,
    /// The subject template (`include_claim_keys`) of a repository, or of those of an owner; may be repeated
    #[arg(long, value_name = "OWNER[/NAME]=KEY,KEY")]
    sub_template: Vec<String>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall who deploy --infra infra
  landfall who arn:aws:iam::123456789012:role/deploy --policy trust.json
  landfall who deploy --policy trust.json \\
    --sub-template acme=repo,context,job_workflow_ref

  In CI: nobody else may get in.
    landfall who deploy --infra infra --only 'repo:acme/api:*'
    landfall who deploy --policy trust.json --only 'repo:acme/api:*' \\
      --only arn:aws:iam::123456789012:role/admin

Whatever owner the trust policy doesn't name may use any subject template; those
that it names are taken to use GitHub's default subject, unless --sub-template
says otherwise or the policy itself asks for another one. docs/json.md says what
--format json holds.

Exit codes: 0 told, and with --only proved; 1 somebody else gets in, or it can't
be proved; 2 wrong usage or unreadable input.";

/// What is known of one provider's tokens.
struct Answer {
    provider: ProviderFacts,
    /// Whether the account has the provider.
    exists: bool,
    /// Why it isn't known whether the account has it, where it isn't.
    unknown: Option<String>,
    who: Who,
    only: Option<Only>,
}

/// What is known of those who come without a token.
struct Principal {
    grant: Grant,
    /// Whether the gate's patterns mean it; none without a gate.
    is_meant: Option<bool>,
}

/// All that is told of a role.
struct Told {
    arn: String,
    answers: Vec<Answer>,
    principals: Vec<Principal>,
    /// Why the trust policy isn't known whole: then nothing is proved.
    unknown: Vec<String>,
    notes: Vec<String>,
    /// The claims that the trust policy looks at.
    asked: Vec<String>,
    meant: Option<Meant>,
}

impl Told {
    /// Whether the gate is passed, where there is one. A provider that the account doesn't have admits
    /// nobody, until somebody makes it.
    fn is_passed(&self) -> bool {
        let is_known = self.meant.is_none() || self.unknown.is_empty();
        is_known
            && self.answers.iter().all(|answer| matches!(answer.only, None | Some(Only::Proved)))
            && self.principals.iter().all(|one| one.is_meant != Some(false))
    }
}

/// Tells who; tells whether the gate is passed.
///
/// # Errors
/// Wrong usage, unreadable input, a policy that passes a limit.
pub fn run(args: WhoArgs) -> Result<bool, Failure> {
    let sources = SourceMap::new();
    let found = config::find(std::path::Path::new("."))?;
    let templates = role::templates(&args.sub_template, &found)?;
    let source = args.source.or(&found)?;
    let standing = role::find(&sources, &args.role, &source, PolicyKind::Trust, None)?;
    let meant =
        (!args.only.is_empty()).then(|| Meant { patterns: args.only.clone(), or_ids: !args.names_only });
    let told = ask(&standing, &sources, &templates, meant)?;
    match args.format {
        Format::Text => show(&told, &sources),
        Format::Json => ui::json(json(&told, &sources)),
    }
    Ok(told.is_passed())
}

fn ask(
    standing: &Standing,
    sources: &SourceMap,
    templates: &[SubjectTemplate],
    meant: Option<Meant>,
) -> Result<Told, Failure> {
    let trust = &standing.role.trust.policy;
    let arn = standing.role.arn.to_string();
    let too_large = |too_large: TooLarge| usage(format!("the trust policy of {arn} is {too_large}"));
    let mut answers = Vec::new();
    for (provider, exists) in providers(standing) {
        let who = prove::who(trust, &provider, &arn, templates).map_err(too_large)?;
        let only = meant.as_ref().map(|meant| prove::only(trust, &provider, &arn, meant, templates));
        let unknown = standing.unknown_providers(sources).filter(|_| !exists);
        answers.push(Answer { only: only.transpose().map_err(too_large)?, provider, exists, unknown, who });
    }
    let principals = prove::grants(trust, &arn).into_iter().map(|grant| {
        let is_meant = meant.as_ref().map(|meant| grant.use_ == Use::Never || is_meant(&grant, meant));
        Principal { grant, is_meant }
    });
    let principals = principals.collect();
    let notes = notes(trust, &answers, templates);
    let unknown = [standing.unknown_trust(sources), standing.refused_trust(sources)].concat();
    Ok(Told { arn, answers, principals, unknown, notes, asked: asked_claims(trust), meant })
}

/// A pattern means a principal by its name; an account also by its number.
fn is_meant(grant: &Grant, meant: &Meant) -> bool {
    let account =
        Arn::parse(&grant.principal).ok().filter(|arn| arn.resource == "root").map(|arn| arn.account);
    let names = [Some(grant.principal.clone()), account];
    // A star alone is a subject of any form, and means nobody without a token but the star itself.
    let mut patterns = meant.patterns.iter().filter(|one| one.as_str() != "*" || grant.principal == "*");
    patterns.any(|one| names.iter().flatten().any(|name| pattern::glob(one, name)))
}

/// The providers whose tokens the trust policy may admit, with what the account has of them.
pub fn providers(standing: &Standing) -> Vec<(ProviderFacts, bool)> {
    let (world, trust) = (&standing.world, &standing.role.trust.policy);
    let mut providers: Vec<(ProviderFacts, bool)> = Vec::new();
    for name in federated(world, trust) {
        let Some(arn) = Arn::parse(&name).ok() else { continue };
        let Some(host) = arn.resource.strip_prefix("oidc-provider/").map(str::to_owned) else { continue };
        let known = arn.account_id().and_then(|account| world.store.provider(account, &host));
        let client_ids =
            known.as_ref().map_or_else(|| vec!["sts.amazonaws.com".to_owned()], |it| it.client_ids.clone());
        if !providers.iter().any(|(known, _)| known.arn == name) {
            // Of a provider that is made elsewhere nobody here knows what audiences it takes.
            let may_have_others = known.is_none() || standing.may_have_other_audiences(&name);
            let facts = ProviderFacts { arn: name, host, client_ids, may_have_others };
            providers.push((facts, known.is_some()));
        }
    }
    providers
}

/// The names of providers that grants mean: those that they name, and where they mean everybody those of
/// the account and those whose keys they ask about.
fn federated(world: &World, trust: &Policy) -> Vec<String> {
    let account = world.settings.default_account;
    let mut names = Vec::new();
    for statement in trust.statements.iter().filter(|statement| statement.effect == Effect::Allow) {
        let Some(clause) = &statement.principal else { continue };
        let is_anyone = |pattern: &PrincipalPattern| *pattern == PrincipalPattern::Any;
        if clause.negated || clause.principals.iter().any(|one| is_anyone(&one.value)) {
            let known = world.store.providers(account);
            names.extend(known.iter().map(|provider| provider.arn.to_string()));
            names.extend(asked_hosts(statement).map(|host| Arn::oidc_provider(account, host).to_string()));
        }
        names.extend(clause.principals.iter().filter(|_| !clause.negated).filter_map(
            |one| match &one.value {
                PrincipalPattern::Federated(name) => Some(name.clone()),
                _ => None,
            },
        ));
    }
    names
}

/// The issuers whose subjects or audiences a statement asks about.
fn asked_hosts(statement: &Statement) -> impl Iterator<Item = &str> {
    statement.conditions.iter().filter_map(|condition| {
        let (host, claim) = condition.key.value.rsplit_once(':')?;
        (matches!(claim, "sub" | "aud") && host.contains('.')).then_some(host)
    })
}

/// What is worth knowing beside the answer.
fn notes(trust: &Policy, answers: &[Answer], templates: &[SubjectTemplate]) -> Vec<String> {
    let github: Vec<&Answer> =
        answers.iter().filter(|answer| answer.provider.host.contains("actions.")).collect();
    let strata = || github.iter().flat_map(|answer| &answer.who.strata);
    let by_default = || strata().filter(|stratum| stratum.forms != Forms::Customised);
    let mut notes = Vec::new();
    let is_proved = |answer: &&&Answer| matches!(answer.only, Some(Only::Proved));
    if templates.is_empty() && github.iter().any(|one| is_proved(&one)) && by_default().next().is_some() {
        notes.push(
            "this assumes that the repositories which the policy names use GitHub's default subject; --sub-template says otherwise"
                .to_owned(),
        );
    }
    let takes_workflow = strata().any(|stratum| {
        stratum.forms == Forms::Customised
            && stratum.breadth >= Breadth::OtherOwners
            && stratum.patterns.iter().any(|one| one.value.contains("job_workflow_ref:"))
    });
    if takes_workflow {
        notes.push(
            "whoever may call that workflow can make such a subject: anybody, where its repository is public; a condition on `repository_owner_id` holds it to one owner"
                .to_owned(),
        );
    }
    let is_by_name = |stratum: &Stratum| {
        stratum.forms == Forms::Names && stratum.breadth <= Breadth::Owner && !stratum.patterns.is_empty()
    };
    let asks_for_ids = trust.statements.iter().flat_map(|one| &one.conditions).any(|condition| {
        let key = condition.key.value.to_ascii_lowercase();
        key.ends_with(":repository_id") || key.ends_with(":repository_owner_id")
    });
    if !asks_for_ids && by_default().any(is_by_name) {
        notes.push(
            "names are free again once their owner is renamed or deleted, ids never: `repository_owner_id` or `repository_id` beside `sub` keeps later owners of the name out"
                .to_owned(),
        );
    }
    let admits_pull_requests = |stratum: &Stratum| {
        stratum.words.starts_with("every job") || stratum.breadth == Breadth::PullRequests
    };
    if by_default().any(admits_pull_requests) {
        notes.push(
            "pull requests of forks get no ID token, but `pull_request_target` runs for them with the subject of the default branch"
                .to_owned(),
        );
    }
    notes
}

fn show(told: &Told, sources: &SourceMap) {
    ui::line(ui::styled(ui::BOLD, &told.arn));
    for answer in &told.answers {
        show_answer(answer, &told.asked, sources);
    }
    if !told.principals.is_empty() {
        ui::line("\nwithout an ID token");
        told.principals.iter().for_each(|one| show_principal(one, sources));
    }
    for unknown in &told.unknown {
        ui::line(format!("\n? not known whole: {unknown}"));
    }
    if told.answers.is_empty() && told.principals.is_empty() && told.unknown.is_empty() {
        ui::line("  nobody: its trust policy allows nobody to take it");
    }
    if let Some(meant) = &told.meant {
        show_gate(told, meant);
    }
    if !told.notes.is_empty() {
        ui::line("");
        told.notes.iter().for_each(|note| ui::line(ui::styled(ui::DIM, format!("note: {note}"))));
    }
}

fn show_answer(answer: &Answer, asked: &[String], sources: &SourceMap) {
    let others = if answer.provider.may_have_others { ", and audiences that are not known" } else { "" };
    let audiences = format!("{}{others}", answer.provider.client_ids.join(", "));
    ui::line(format!("\ntokens of https://{} for {audiences}", answer.provider.host));
    if let Some(because) = &answer.unknown {
        ui::line(format!("  whether the account has this provider isn't known: {because}. If it has:"));
    } else if !answer.exists {
        ui::line("  nobody for now: the account has no such provider. Once it has:");
    }
    if answer.who.is_nobody() {
        ui::line("  nobody");
    }
    for stratum in &answer.who.strata {
        show_stratum(stratum, asked, sources);
    }
    for dead in &answer.who.dead {
        show_dead(dead, sources);
    }
    for unknown in &answer.who.unknown {
        ui::line(format!("  ? not known: {unknown}"));
    }
}

fn show_dead(dead: &Dead, sources: &SourceMap) {
    let what = dead
        .value
        .as_ref()
        .map_or_else(|| format!("statement {}", dead.statement_index + 1), |value| format!("`{value}`"));
    let nobody = match dead.by_default {
        true => "admits none of GitHub's default subjects",
        false => "admits nobody",
    };
    let place = ui::styled(ui::DIM, sources.place(dead.span));
    ui::line(format!(
        "  {} {} {nobody}: {}  {place}",
        ui::styled(ui::BAD, "✗"),
        plain_text(&what),
        plain_text(&dead.words)
    ));
}

fn show_principal(principal: &Principal, sources: &SourceMap) {
    let Grant { span, words, conditions, use_, action, .. } = &principal.grant;
    let words = plain_text(words);
    let place = ui::styled(ui::DIM, sources.place(*span));
    let conditions = match conditions.as_slice() {
        [] => String::new(),
        some => format!(", if {}", plain_text(&some.join(" and "))),
    };
    match use_ {
        Use::Never => {
            let what = format!("{words}{conditions}: never, its conditions or a `Deny` keep everybody out");
            ui::line(format!("  {} {what}  {place}", ui::styled(ui::BAD, "✗")));
        }
        Use::Unknown(because) => {
            ui::line(format!("  ? {words}{conditions}: not known, {}  {place}", because.join("; ")));
        }
        Use::Always | Use::Sometimes => {
            let denied = if *use_ == Use::Sometimes && conditions.is_empty() {
                ", but for what a `Deny` takes back"
            } else {
                ""
            };
            let by = ui::styled(ui::DIM, format!("by {action}"));
            ui::line(format!("  {} {words}{conditions}{denied}  {by}  {place}", ui::styled(ui::BOLD, "●")));
        }
    }
}

/// Whether a pattern could mean anybody: subjects and ARNs have colons, and an account is its number.
fn is_of_anyone(pattern: &str) -> bool {
    pattern.contains([':', '*', '?']) || AccountId::parse(pattern).is_ok()
}

fn show_gate(told: &Told, meant: &Meant) {
    let patterns: Vec<String> = meant.patterns.iter().map(|one| format!("`{one}`")).collect();
    let patterns = patterns.join(", ");
    ui::line("");
    if told.is_passed() {
        return ui::line(format!("{} nobody but {patterns} gets in", ui::styled(ui::GOOD, "✓")));
    }
    let bad = ui::styled(ui::BAD, "✗");
    for pattern in meant.patterns.iter().filter(|one| !is_of_anyone(one)) {
        ui::line(ui::styled(
            ui::DIM,
            format!(
                "`{pattern}` fits no subject, account or ARN: a repository's subjects are `repo:OWNER/NAME:*`"
            ),
        ));
    }
    for answer in &told.answers {
        match &answer.only {
            Some(Only::Outsider(witness)) => {
                let subject = witness.claims.text("sub").unwrap_or("");
                if meant.admits(subject) {
                    ui::line(format!(
                        "{bad} {patterns} names no owner: a repository of anybody can make such a subject, for instance"
                    ));
                } else {
                    ui::line(format!("{bad} somebody else than {patterns} gets in, for instance"));
                }
                show_witness(witness, &told.asked, "    ");
            }
            // Why that is has been told of the whole policy.
            Some(Only::Unknown { .. }) if !told.unknown.is_empty() => {}
            Some(Only::Unknown { because }) => {
                let because = because.join("; ");
                let sign = ui::styled(ui::BAD, "?");
                ui::line(format!("{sign} it can't be proved that only {patterns} gets in: {because}"));
            }
            Some(Only::Proved) | None => {}
        }
    }
    if !told.unknown.is_empty() {
        let because = told.unknown.join("; ");
        let sign = ui::styled(ui::BAD, "?");
        ui::line(format!("{sign} it can't be proved that only {patterns} gets in: {because}"));
    }
    for principal in told.principals.iter().filter(|one| one.is_meant == Some(false)) {
        let grant = &principal.grant;
        ui::line(format!("{bad} somebody else than {patterns} gets in: {}", plain_text(&grant.words)));
        if !grant.is_anyone {
            let name = &grant.principal;
            ui::line(ui::styled(ui::DIM, format!("  --only '{name}' says that this is meant")));
        }
    }
}

fn show_stratum(stratum: &Stratum, asked: &[String], sources: &SourceMap) {
    let forms = match stratum.forms {
        Forms::Names => "  (subjects with names alone)",
        Forms::Ids => "  (subjects with ids)",
        Forms::Both => "",
        Forms::Customised => "  (subjects by a template, `include_claim_keys`)",
    };
    ui::line(format!(
        "  {} {}{}",
        ui::styled(ui::BOLD, "●"),
        plain_text(&stratum.words),
        ui::styled(ui::DIM, forms)
    ));
    for pattern in &stratum.patterns {
        let place = sources.place(pattern.span);
        ui::line(format!("      by `{}`  {}", plain_text(&pattern.value), ui::styled(ui::DIM, place)));
    }
    ui::line(ui::styled(ui::DIM, "      for instance"));
    show_witness(&stratum.witness, asked, "        ");
}

/// The subject, and the claims that the trust policy looks at.
fn show_witness(witness: &Witness, asked: &[String], indent: &str) {
    let is_default = witness.claims.text("sub").is_none_or(|subject| subject.starts_with("repo:"));
    let repository = (!is_default).then_some("repository");
    let asked = asked.iter().map(String::as_str);
    let mut shown: Vec<&str> = Vec::new();
    for name in ["sub"].into_iter().chain(repository).chain(["aud"]).chain(asked) {
        if let Some(value) = witness.claims.text(name).filter(|_| !shown.contains(&name)) {
            ui::line(format!("{indent}{name} {}", plain_text(value)));
            shown.push(name);
        }
    }
}

/// The claims that a policy's conditions look at.
fn asked_claims(trust: &Policy) -> Vec<String> {
    let conditions = trust.statements.iter().flat_map(|statement| &statement.conditions);
    let keys = conditions.filter_map(|condition| condition.key.value.rsplit_once(':'));
    keys.map(|(_, claim)| claim.to_ascii_lowercase()).collect()
}

fn json(told: &Told, sources: &SourceMap) -> serde_json::Value {
    let providers: Vec<serde_json::Value> =
        told.answers.iter().map(|answer| answer_json(answer, sources)).collect();
    let principals: Vec<serde_json::Value> =
        told.principals.iter().map(|one| principal_json(one, sources)).collect();
    serde_json::json!({
        "role": told.arn,
        "providers": providers,
        "principals": principals,
        "unknown": told.unknown,
        "only": told.meant.as_ref().map(|meant| serde_json::json!({
            "patterns": meant.patterns, "passed": told.is_passed(),
        })),
        "notes": told.notes,
    })
}

fn principal_json(principal: &Principal, sources: &SourceMap) -> serde_json::Value {
    let grant = &principal.grant;
    let (use_, unknown) = match &grant.use_ {
        Use::Always => ("always", None),
        Use::Sometimes => ("sometimes", None),
        Use::Never => ("never", None),
        Use::Unknown(because) => ("unknown", Some(because)),
    };
    serde_json::json!({
        "principal": grant.principal, "action": grant.action, "words": grant.words,
        "conditions": grant.conditions, "use": use_, "unknown": unknown, "anyone": grant.is_anyone,
        "statement": grant.statement_index, "place": sources.place(grant.span).to_string(),
        "meant": principal.is_meant,
    })
}

/// The word for a breadth; part of the stable output.
fn breadth(breadth: Breadth) -> &'static str {
    match breadth {
        Breadth::Context => "context",
        Breadth::Repository => "repository",
        Breadth::PullRequests => "pull-requests",
        Breadth::Owner => "owner",
        Breadth::OtherOwners => "other-owners",
        Breadth::Anyone => "anyone",
    }
}

/// The word for the forms of subjects; part of the stable output.
fn forms(forms: Forms) -> &'static str {
    match forms {
        Forms::Names => "names",
        Forms::Ids => "ids",
        Forms::Both => "both",
        Forms::Customised => "customised",
    }
}

fn stratum_json(stratum: &Stratum, sources: &SourceMap) -> serde_json::Value {
    let pattern = |pattern: &landfall_types::Spanned<String>| serde_json::json!({ "value": pattern.value, "place": sources.place(pattern.span).to_string() });
    serde_json::json!({
        "breadth": breadth(stratum.breadth),
        "forms": forms(stratum.forms),
        "words": stratum.words,
        "patterns": stratum.patterns.iter().map(pattern).collect::<Vec<_>>(),
        "witness": jwt::claims_to_json(&stratum.witness.claims),
    })
}

fn answer_json(answer: &Answer, sources: &SourceMap) -> serde_json::Value {
    let strata: Vec<serde_json::Value> =
        answer.who.strata.iter().map(|stratum| stratum_json(stratum, sources)).collect();
    let dead = |dead: &Dead| {
        serde_json::json!({
            "statement": dead.statement_index, "value": dead.value, "why": dead.words,
            "by_default": dead.by_default, "place": sources.place(dead.span).to_string(),
        })
    };
    let only = answer.only.as_ref().map(|only| match only {
        Only::Proved => serde_json::json!({ "result": "proved" }),
        Only::Outsider(outsider) => {
            serde_json::json!({ "result": "outsider", "witness": jwt::claims_to_json(&outsider.claims) })
        }
        Only::Unknown { because } => serde_json::json!({ "result": "unknown", "because": because }),
    });
    serde_json::json!({
        "provider": answer.provider.arn, "exists": answer.unknown.is_none().then_some(answer.exists), "audiences": answer.provider.client_ids,
        "may_have_other_audiences": answer.provider.may_have_others,
        "strata": strata, "dead": answer.who.dead.iter().map(dead).collect::<Vec<_>>(),
        "unknown": answer.who.unknown, "only": only,
    })
}
