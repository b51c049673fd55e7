//! `landfall explain`: why one token, job or call is allowed or refused, clause by clause. The question
//! is put to the same AWS side that `serve` is, without a port.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use landfall_check::render;
use landfall_deliver::{Failure, FailureKind};
use landfall_policy::ast::Effect;
use landfall_policy::trace::{StatementTrace, trace};
use landfall_policy::{Clause, PolicyKind};
use landfall_serve::authz::{self, Asked};
use landfall_serve::caller::{Caller, Session};
use landfall_serve::log::{Record, Verdict};
use landfall_serve::store::Role;
use landfall_serve::{World, sts};
use landfall_types::{Arn, Claims, Finding, Issuer, SourceMap, Span};
use landfall_wire::jwt;
use landfall_wire::query::Params;

use super::role::{self, RoleSource};
use super::serve::Format;
use super::{key_value, usage};
use crate::{files, ui};

/// Largest file with a token or claims, in bytes.
const CLAIMS_BYTES_MAX: u64 = 256 * 1024;

/// Arguments of `landfall explain`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The role: an ARN, or its name where the Terraform has it
    #[arg(long = "role", value_name = "ROLE")]
    role: String,
    /// An ID token in a file, or `-` for standard input; it is read, not verified
    #[arg(long, value_name = "FILE", conflicts_with = "claims")]
    token: Option<PathBuf>,
    /// The claims of a token as JSON in a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// A call that the role's session makes, `ecr:PutImage`
    #[arg(long, value_name = "ACTION", required_unless_present_any = ["token", "claims"])]
    action: Option<String>,
    /// What the call is made on
    #[arg(long, value_name = "ARN", default_value = "*", requires = "action")]
    resource: String,
    /// A condition key of the call; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, requires = "action")]
    context: Vec<(String, String)>,
    #[command(flatten)]
    source: RoleSource,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall explain --role deploy --infra infra --token token
  landfall explain --role arn:aws:iam::123456789012:role/deploy --policy trust.json --claims claims.json
  landfall explain --role deploy --infra infra --action ecr:PutImage \\
    --resource arn:aws:ecr:eu-west-1:123456789012:repository/web

Exit codes: 0 allowed; 1 refused; 2 wrong usage or unreadable input.";

/// What was found out.
struct Explained {
    allowed: bool,
    /// What AWS would say.
    answer: String,
    finding: Option<Finding>,
    traces: Vec<StatementTrace>,
    notes: Vec<String>,
}

/// Explains; tells whether it is allowed.
///
/// # Errors
/// Wrong usage, unreadable input.
pub fn run(args: &ExplainArgs) -> Result<bool, Failure> {
    let sources = SourceMap::new();
    let claims = read_claims(args)?;
    let kind = if args.action.is_some() { PolicyKind::Identity } else { PolicyKind::Trust };
    let asked = role::find(&sources, &args.role, &args.source, kind, claims.as_ref())?;
    let (world, role) = (&asked.world, &asked.role);
    let explained = match (&claims, &args.action) {
        (Some(claims), None) => exchange(world, role, claims)?,
        (_, Some(action)) => call(world, role, claims.as_ref(), action, args)?,
        (None, None) => return Err(usage("say what to explain: --token, --claims or --action")),
    };
    match args.format {
        Format::Human => show(&explained, &sources),
        Format::Json => ui::line(json(&explained, &sources)),
    }
    Ok(explained.allowed)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(CLAIMS_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(CLAIMS_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| usage(format!("cannot read {}: {error}", files::shown(path))))?;
    Ok(text)
}

fn read_claims(args: &ExplainArgs) -> Result<Option<Claims>, Failure> {
    if let Some(path) = &args.token {
        let token = jwt::parse(read(path)?.trim())
            .map_err(|error| usage(format!("{} is not a JWT", files::shown(path))).caused_by(error))?;
        return Ok(Some(token.claims));
    }
    let Some(path) = &args.claims else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(&read(path)?)
        .map_err(|error| usage(format!("{} is not JSON", files::shown(path))).caused_by(error))?;
    // `landfall token decode` prints them one level down.
    let value = value.get("claims").unwrap_or(&value);
    let claims = jwt::claims_from_json(value);
    claims.map(Some).ok_or_else(|| usage(format!("{} holds no object with claims", files::shown(path))))
}

/// The exchange of a token with these claims, as if it were fresh and rightly signed.
fn exchange(world: &World, role: &Role, claims: &Claims) -> Result<Explained, Failure> {
    let issuer_url =
        claims.text("iss").ok_or_else(|| usage("the token has no issuer: claim `iss` is missing"))?;
    let issuer = Issuer::parse(issuer_url).map_err(usage)?;
    let mut fresh = claims.clone();
    let now = world.clock.now().seconds();
    for (name, value) in [("iat", now), ("nbf", now - 600), ("exp", now + 300)] {
        fresh.set(name, landfall_types::ClaimValue::Number(value.to_string()));
    }
    let outside = |error: String| Failure::new(FailureKind::Outside, error);
    let token =
        world.issuers.play(issuer).mint(&fresh, landfall_serve::issuer::Signer::Issuer).map_err(outside)?;
    let form = format!(
        "RoleArn={}&RoleSessionName=explain&WebIdentityToken={token}&DurationSeconds=900",
        role.arn.to_string().replace('+', "%2B")
    );
    let params = Params::parse(&form).map_err(|error| usage(error.message))?;
    let before = world.log.last();
    let _ = sts::assume_role_with_web_identity(world, "explain", &world.settings.default_region, &params);
    let record = world.log.after(before).into_iter().next().ok_or_else(|| usage("nothing was decided"))?;
    let traces = record.decision.as_ref().map(|(_, request)| trace(&sts::trust_layers(role), request));
    let mut explained = explained(&record, traces.unwrap_or_default());
    explained.notes.push("signature and times of the token were not looked at".to_owned());
    Ok(explained)
}

fn explained(record: &Record, traces: Vec<StatementTrace>) -> Explained {
    let (allowed, answer) = match &record.verdict {
        Verdict::Allowed => (true, "sts:AssumeRoleWithWebIdentity is allowed".to_owned()),
        Verdict::Refused { code, message } => (false, format!("{code}: {message}")),
    };
    Explained { allowed, answer, finding: record.finding.clone(), traces, notes: Vec::new() }
}

/// A call of the role's session.
fn call(
    world: &World,
    role: &Role,
    claims: Option<&Claims>,
    action: &str,
    args: &ExplainArgs,
) -> Result<Explained, Failure> {
    let now = world.clock.now();
    let federated_keys = claims.map(|claims| {
        let host =
            claims.text("iss").and_then(|url| Issuer::parse(url).ok()).map(|issuer| issuer.host_and_path());
        let key =
            |name: &str| Some((format!("{}:{name}", host.as_deref()?), vec![claims.text(name)?.to_owned()]));
        ["aud", "sub"].into_iter().filter_map(key).collect()
    });
    let session = Session {
        access_key_id: String::new(),
        account: role.arn.account.clone(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: "explain".to_owned(),
        issued_at_ms: now.0,
        expires_at_ms: now.plus_seconds(3600).0,
        provider: None,
        federated_keys: federated_keys.unwrap_or_default(),
        tags: Vec::new(),
        source_identity: None,
        policies: None,
    };
    let resource_account = match Arn::parse(&args.resource) {
        Ok(arn) if !arn.account.is_empty() => arn.account,
        Ok(_) => role.arn.account.clone(),
        Err(_) if args.resource == "*" => role.arn.account.clone(),
        Err(error) => return Err(usage(format!("--resource: {error}"))),
    };
    let caller = Caller::Session(Arc::new(session));
    let document = repository_policy(world, &args.resource);
    let asked = Asked {
        caller: &caller,
        region: &world.settings.default_region,
        resource: args.resource.clone(),
        resource_account,
        resource_policy: document.as_ref(),
        keys: args.context.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect(),
        request_id: "explain",
    };
    let (decision, request, traces) = authz::explain_call(world, &asked, action);
    let allowed = decision.is_allowed();
    let answer = if allowed {
        format!("{action} on {} is allowed", args.resource)
    } else {
        landfall_policy::explain::aws_sentence(&decision, &request)
    };
    let finding = (!allowed).then(|| landfall_policy::explain::finding(&decision, &request, &world.sources));
    Ok(Explained { allowed, answer, finding, traces, notes: Vec::new() })
}

fn repository_policy(world: &World, resource: &str) -> Option<landfall_serve::store::Document> {
    let arn = Arn::parse(resource).ok().filter(|arn| arn.service == "ecr")?;
    let name = landfall_types::RepositoryName::parse(arn.resource.strip_prefix("repository/")?).ok()?;
    let registry =
        landfall_serve::store::RegistryId { account: arn.account_id()?, region: arn.region.clone() };
    world.store.repository(&registry, &name)?.policy.clone()
}

fn show(explained: &Explained, sources: &SourceMap) {
    let (sign, style) = if explained.allowed { ("✓", ui::GOOD) } else { ("✗", ui::BAD) };
    ui::line(format!("{} {}", ui::styled(style, sign), explained.answer));
    for note in &explained.notes {
        ui::line(ui::styled(ui::DIM, format!("  {note}")));
    }
    if let Some(finding) = &explained.finding {
        ui::line("");
        ui::finding(finding, sources, 0);
    }
    for statement in &explained.traces {
        ui::line("");
        show_statement(statement, sources);
    }
}

fn show_statement(trace: &StatementTrace, sources: &SourceMap) {
    let effect = match trace.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    };
    let applies = if trace.applies() { "applies" } else { "does not apply" };
    let name = landfall_policy::explain::name_of(&trace.statement);
    ui::line(format!(
        "{}  {}",
        ui::styled(ui::BOLD, &name),
        ui::styled(ui::DIM, sources.place(trace.statement.span))
    ));
    ui::line(format!("  {effect}, {applies}"));
    for (clause, holds) in &trace.clauses {
        let sign = if *holds { ui::styled(ui::GOOD, "✓") } else { ui::styled(ui::BAD, "✗") };
        let (what, wanted, got) = parts(clause);
        ui::line(format!("    {sign} {what}  {}", ui::styled(ui::DIM, place(clause, sources))));
        ui::line(format!("        wanted {wanted}"));
        ui::line(format!("        got    {got}"));
    }
}

fn place(clause: &Clause, sources: &SourceMap) -> String {
    let span: Span = match clause {
        Clause::Condition { value_spans, span, .. } => value_spans.first().copied().unwrap_or(*span),
        Clause::Principal { .. } | Clause::Action { .. } | Clause::Resource { .. } => clause.span(),
    };
    sources.place(span).to_string()
}

/// Name, what was wanted, what there was.
fn parts(clause: &Clause) -> (String, String, String) {
    let negated = |name: &str, negated: bool| if negated { format!("Not{name}") } else { name.to_owned() };
    match clause {
        Clause::Principal { wanted, got, .. } => ("Principal".to_owned(), list(wanted), got.clone()),
        Clause::Action { wanted, got, negated: is_negated, .. } => {
            (negated("Action", *is_negated), list(wanted), got.clone())
        }
        Clause::Resource { wanted, got, negated: is_negated, .. } => {
            (negated("Resource", *is_negated), list(wanted), got.clone())
        }
        Clause::Condition { operator, key, wanted, got, .. } => {
            let got =
                got.as_ref().map_or_else(|| "nothing: the key is absent".to_owned(), |values| list(values));
            (format!("{operator} {key}"), list(wanted), got)
        }
    }
}

fn list(values: &[String]) -> String {
    values.join(", ")
}

fn json(explained: &Explained, sources: &SourceMap) -> serde_json::Value {
    let clause = |(clause, holds): &(Clause, bool)| {
        let (what, wanted, got) = parts(clause);
        serde_json::json!({ "clause": what, "holds": holds, "wanted": wanted, "got": got, "place": place(clause, sources) })
    };
    let statements: Vec<serde_json::Value> = explained
        .traces
        .iter()
        .map(|trace| {
            serde_json::json!({
                "policy": trace.statement.policy,
                "statement": trace.statement.statement_index,
                "sid": trace.statement.sid,
                "effect": if trace.effect == Effect::Allow { "Allow" } else { "Deny" },
                "applies": trace.applies(),
                "place": sources.place(trace.statement.span).to_string(),
                "clauses": trace.clauses.iter().map(clause).collect::<Vec<_>>(),
            })
        })
        .collect();
    serde_json::json!({
        "allowed": explained.allowed,
        "answer": explained.answer,
        "notes": explained.notes,
        "finding": explained.finding.as_ref().map(|finding| render::json(finding, sources)),
        "statements": statements,
    })
}
