//! `landfall who`: exactly which tokens can take a role, proved, each answer with a token that shows it.

use clap::Args;
use landfall_deliver::Failure;
use landfall_policy::ast::{Effect, PrincipalPattern};
use landfall_policy::prove::{self, Forms, Only, Stratum, TooLarge, Who, Witness};
use landfall_policy::region::ProviderFacts;
use landfall_policy::{Policy, PolicyKind};
use landfall_serve::World;
use landfall_types::{Arn, SourceMap};
use landfall_wire::jwt;

use super::role::{self, RoleSource};
use super::serve::Format;
use super::usage;
use crate::ui;

/// Arguments of `landfall who`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WhoArgs {
    /// The role: an ARN, or its name where the Terraform has it
    #[arg(value_name = "ROLE")]
    role: String,
    #[command(flatten)]
    source: RoleSource,
    /// Be a gate: exit 1 when a token gets in whose subject does not match. `*` is any text, `?` one character
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// With --only: the pattern stands for subjects with names alone, not also for those with ids
    #[arg(long, requires = "only")]
    names_only: bool,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall who deploy --infra infra
  landfall who arn:aws:iam::123456789012:role/deploy --policy trust.json
  landfall who deploy --infra infra --only 'repo:acme/api:*'     in CI: nobody else may get in

Exit codes: 0 told, and with --only proved; 1 somebody else gets in, or it can't be proved; 2 wrong usage or
unreadable input.";

/// What is known of one provider's tokens.
struct Answer {
    provider: ProviderFacts,
    /// Whether the account has the provider.
    exists: bool,
    who: Who,
    only: Option<Only>,
}

/// Tells who; tells whether the gate is passed.
///
/// # Errors
/// Wrong usage, unreadable input, a policy that passes a limit.
pub fn run(args: &WhoArgs) -> Result<bool, Failure> {
    let sources = SourceMap::new();
    let found = role::find(&sources, &args.role, &args.source, PolicyKind::Trust, None)?;
    let (world, role) = (&found.world, &found.role);
    let trust = &role.trust.policy;
    let arn = role.arn.to_string();
    let too_large = |TooLarge { states, limit }: TooLarge| {
        usage(format!(
            "the trust policy of {arn} is too entangled to prove: {states} states, the limit is {limit}"
        ))
    };
    let mut answers = Vec::new();
    for (provider, exists) in providers(world, trust) {
        let who = prove::who(trust, &provider, &arn).map_err(too_large)?;
        let only =
            args.only.as_deref().map(|meant| prove::only(trust, &provider, &arn, meant, !args.names_only));
        answers.push(Answer { only: only.transpose().map_err(too_large)?, provider, exists, who });
    }
    match args.format {
        Format::Human => show(&arn, trust, &answers, &sources, args.only.as_deref()),
        Format::Json => ui::line(json(&arn, &answers, &sources)),
    }
    // A provider that the account doesn't have admits nobody, until somebody makes it.
    Ok(answers.iter().all(|answer| matches!(answer.only, None | Some(Only::Proved))))
}

/// The providers that the policy names, with what the account has of them.
pub fn providers(world: &World, trust: &Policy) -> Vec<(ProviderFacts, bool)> {
    let mut providers: Vec<(ProviderFacts, bool)> = Vec::new();
    for name in federated(trust) {
        let Some(arn) = Arn::parse(&name).ok() else { continue };
        let Some(host) = arn.resource.strip_prefix("oidc-provider/").map(str::to_owned) else { continue };
        let known = arn.account_id().and_then(|account| world.store.provider(account, &host));
        let client_ids =
            known.as_ref().map_or_else(|| vec!["sts.amazonaws.com".to_owned()], |it| it.client_ids.clone());
        if !providers.iter().any(|(known, _)| known.arn == name) {
            providers.push((ProviderFacts { arn: name, host, client_ids }, known.is_some()));
        }
    }
    providers
}

fn federated(trust: &Policy) -> Vec<String> {
    allowed(trust)
        .into_iter()
        .filter_map(|principal| match principal {
            PrincipalPattern::Federated(name) => Some(name),
            _ => None,
        })
        .collect()
}

fn allowed(trust: &Policy) -> Vec<PrincipalPattern> {
    let allows = trust.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    let clauses =
        allows.filter_map(|statement| statement.principal.as_ref()).filter(|clause| !clause.negated);
    clauses.flat_map(|clause| clause.principals.iter().map(|one| one.value.clone())).collect()
}

fn show(arn: &str, trust: &Policy, answers: &[Answer], sources: &SourceMap, meant: Option<&str>) {
    ui::line(ui::styled(ui::BOLD, arn));
    if answers.is_empty() {
        ui::line("  no token can take it: its trust policy names no OIDC provider");
    }
    for answer in answers {
        show_answer(answer, sources, meant);
    }
    let others: Vec<String> = allowed(trust)
        .iter()
        .filter_map(|principal| match principal {
            PrincipalPattern::Any => Some("anyone that its conditions let in".to_owned()),
            PrincipalPattern::Account(id) => Some(format!("account {id}")),
            PrincipalPattern::Aws(name) | PrincipalPattern::Service(name) => Some(name.clone()),
            PrincipalPattern::Federated(_) | PrincipalPattern::CanonicalUser(_) => None,
        })
        .collect();
    if !others.is_empty() {
        ui::line(format!("\nwithout a token, its trust policy also names {}", others.join(", ")));
    }
}

fn show_answer(answer: &Answer, sources: &SourceMap, meant: Option<&str>) {
    let audiences = answer.provider.client_ids.join(", ");
    ui::line(format!("\ntokens of https://{} for {audiences}", answer.provider.host));
    if !answer.exists {
        ui::line("  nobody for now: the account has no such provider. Once it has:");
    }
    if answer.who.strata.is_empty() {
        ui::line("  nobody");
    }
    for stratum in &answer.who.strata {
        show_stratum(stratum, sources);
    }
    for dead in &answer.who.dead {
        let what = dead
            .value
            .as_ref()
            .map_or_else(|| format!("statement {}", dead.statement_index + 1), |value| format!("`{value}`"));
        ui::line(format!(
            "  {} {what} admits nobody: {}  {}",
            ui::styled(ui::BAD, "✗"),
            dead.words,
            ui::styled(ui::DIM, sources.place(dead.span))
        ));
    }
    for unknown in &answer.who.unknown {
        ui::line(format!("  ? not known: {unknown}"));
    }
    let (Some(only), Some(meant)) = (&answer.only, meant) else { return };
    match only {
        Only::Proved => {
            ui::line(format!("\n{} nobody but `{meant}` gets in", ui::styled(ui::GOOD, "✓")));
            ui::line(ui::styled(
                ui::DIM,
                "  of tokens whose subject has the issuer's own form; subjects made by a template are not looked at",
            ));
        }
        Only::Outsider(witness) => {
            ui::line(format!(
                "\n{} somebody else than `{meant}` gets in, for instance",
                ui::styled(ui::BAD, "✗")
            ));
            show_witness(witness, "    ");
        }
        Only::Unknown { because } => {
            ui::line(format!(
                "\n{} it can't be proved that only `{meant}` gets in: {}",
                ui::styled(ui::BAD, "?"),
                because.join("; ")
            ));
        }
    }
}

fn show_stratum(stratum: &Stratum, sources: &SourceMap) {
    let forms = match stratum.forms {
        Forms::Names => "  (subjects with names alone)",
        Forms::Ids => "  (subjects with ids)",
        Forms::Both => "",
    };
    ui::line(format!("  {} {}{}", ui::styled(ui::BOLD, "●"), stratum.words, ui::styled(ui::DIM, forms)));
    for pattern in &stratum.patterns {
        let place = sources.place(pattern.span);
        ui::line(format!("      by `{}`  {}", pattern.value, ui::styled(ui::DIM, place)));
    }
    ui::line(ui::styled(ui::DIM, "      for instance"));
    show_witness(&stratum.witness, "        ");
}

/// The claims that a trust policy can look at.
fn show_witness(witness: &Witness, indent: &str) {
    let shown = ["sub", "aud", "repository_id", "repository_owner_id", "environment", "job_workflow_ref"];
    for name in shown {
        if let Some(value) = witness.claims.text(name) {
            ui::line(format!("{indent}{name} {value}"));
        }
    }
}

fn json(arn: &str, answers: &[Answer], sources: &SourceMap) -> serde_json::Value {
    let providers: Vec<serde_json::Value> =
        answers.iter().map(|answer| answer_json(answer, sources)).collect();
    serde_json::json!({ "role": arn, "providers": providers })
}

fn answer_json(answer: &Answer, sources: &SourceMap) -> serde_json::Value {
    let witness = |witness: &Witness| jwt::claims_to_json(&witness.claims);
    let strata: Vec<serde_json::Value> = answer
        .who
        .strata
        .iter()
        .map(|stratum| {
            let pattern = |pattern: &landfall_types::Spanned<String>| {
                serde_json::json!({ "value": pattern.value, "place": sources.place(pattern.span).to_string() })
            };
            serde_json::json!({
                "breadth": format!("{:?}", stratum.breadth),
                "forms": format!("{:?}", stratum.forms),
                "words": stratum.words,
                "patterns": stratum.patterns.iter().map(pattern).collect::<Vec<_>>(),
                "witness": witness(&stratum.witness),
            })
        })
        .collect();
    let dead: Vec<serde_json::Value> = answer
        .who
        .dead
        .iter()
        .map(|dead| {
            serde_json::json!({
                "statement": dead.statement_index, "value": dead.value, "why": dead.words,
                "place": sources.place(dead.span).to_string(),
            })
        })
        .collect();
    let only = answer.only.as_ref().map(|only| match only {
        Only::Proved => serde_json::json!({ "result": "proved" }),
        Only::Outsider(outsider) => serde_json::json!({ "result": "outsider", "witness": witness(outsider) }),
        Only::Unknown { because } => serde_json::json!({ "result": "unknown", "because": because }),
    });
    serde_json::json!({
        "provider": answer.provider.arn, "exists": answer.exists, "audiences": answer.provider.client_ids,
        "strata": strata, "dead": dead, "unknown": answer.who.unknown, "only": only,
    })
}
