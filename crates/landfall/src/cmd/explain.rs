//! `landfall explain`: why one token, job or call is allowed or refused, clause by clause. The question
//! is put to the same AWS side that `serve` is, without a port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use landfall_check::github::Known;
use landfall_check::render;
use landfall_deliver::{Failure, FailureKind};
use landfall_policy::ast::Effect;
use landfall_policy::trace::{StatementTrace, trace};
use landfall_policy::{Clause, PolicyKind, catalogue};
use landfall_serve::authz::{self, Asked};
use landfall_serve::caller::{Caller, Session};
use landfall_serve::log::{Record, Verdict};
use landfall_serve::store::Role;
use landfall_serve::{World, sts};
use landfall_types::{AccountId, Arn, Claims, Finding, Issuer, Severity, SourceMap, Span};
use landfall_wire::jwt;
use landfall_wire::query::Params;

use super::explain_job::{self, How, JobArgs, Leg, NoToken, Token};
use super::role::{self, Offline, RoleSource, Standing};
use super::serve::Format;
use super::{key_value, usage};
use crate::{config, files, ui};

/// Largest file with a token or claims, in bytes.
const CLAIMS_BYTES_MAX: u64 = 256 * 1024;

/// Arguments of `landfall explain`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The role: an ARN, or its name where the Terraform has it [default with --workflow: the job's own]
    #[arg(long = "role", value_name = "ROLE")]
    role: Option<String>,
    /// An ID token in a file, or `-` for standard input; it is read, not verified
    #[arg(long, value_name = "FILE", conflicts_with = "claims")]
    token: Option<PathBuf>,
    /// The claims of a token as JSON in a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    #[command(flatten)]
    job: JobArgs,
    /// A call that the role's session makes, `ecr:PutImage`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// What the call is made on
    #[arg(long, value_name = "ARN", default_value = "*", requires = "action")]
    resource: String,
    /// A condition key of the call, or else of the exchange; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    context: Vec<(String, String)>,
    #[command(flatten)]
    source: RoleSource,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall explain --role deploy --infra infra --token token
  landfall explain --role arn:aws:iam::123456789012:role/deploy \\
    --policy trust.json --claims claims.json
  landfall explain --workflow .github/workflows/deploy.yml --job deploy \\
    --event pull_request --infra infra
  landfall explain --role deploy --infra infra --action ecr:PutImage \\
    --resource arn:aws:ecr:eu-west-1:123456789012:repository/web
  landfall explain --role deploy --infra infra --action iam:PassRole \\
    --resource arn:aws:iam::123456789012:role/task \\
    --context iam:PassedToService=ecs-tasks.amazonaws.com

docs/json.md says what --format json holds.

Exit codes: 0 allowed; 1 refused, or not known; 2 wrong usage or unreadable
input.";

/// What was found out.
struct Explained {
    allowed: bool,
    /// What it is about, where that isn't plain: a leg of a job.
    about: Option<String>,
    /// The token's subject, where the question made the token.
    subject: Option<String>,
    /// What AWS would say.
    answer: String,
    finding: Option<Finding>,
    traces: Vec<StatementTrace>,
    notes: Vec<String>,
}

impl Explained {
    /// What isn't known may change the answer, whatever that is. The reasons of a refusal would be none then.
    fn not_known(self, because: &str) -> Self {
        self.open(format!("not known: what isn't known of the Terraform may change the answer: {because}"))
    }

    /// No answer but this one.
    fn open(mut self, answer: String) -> Self {
        self.allowed = false;
        self.answer = answer;
        self.finding = None;
        self.notes.push("what follows is what the policies say that are known".to_owned());
        self
    }
}

/// Explains; tells whether it is allowed.
///
/// # Errors
/// Wrong usage, unreadable input.
pub fn run(args: ExplainArgs) -> Result<bool, Failure> {
    check_question(&args)?;
    let sources = SourceMap::new();
    let explained = match &args.job.workflow {
        Some(path) => of_job(&args, path, &sources)?,
        None => vec![of_token_or_call(&args, &sources)?],
    };
    match args.format {
        Format::Text => {
            for (index, one) in explained.iter().enumerate() {
                if index > 0 {
                    ui::line("");
                }
                show(one, &sources);
            }
        }
        Format::Json => explained.iter().for_each(|one| ui::json(json(one, &sources))),
    }
    Ok(explained.iter().all(|one| one.allowed))
}

/// A question is about a job, or about a role and something that it is asked for.
fn check_question(args: &ExplainArgs) -> Result<(), Failure> {
    if args.job.workflow.is_some() {
        return Ok(());
    }
    if args.token.is_none() && args.claims.is_none() && args.action.is_none() {
        return Err(usage("say what to explain: a token, a job or a call").help(
            "--role ROLE --token FILE or --claims FILE; --workflow FILE; --role ROLE --action ACTION. `landfall explain --help` has examples",
        ));
    }
    match args.role {
        Some(_) => Ok(()),
        None => {
            Err(usage("which role is meant?")
                .help("say --role ROLE, an ARN or the name that the Terraform has"))
        }
    }
}

fn of_token_or_call(args: &ExplainArgs, sources: &SourceMap) -> Result<Explained, Failure> {
    let claims = read_claims(args)?;
    let kind = if args.action.is_some() { PolicyKind::Identity } else { PolicyKind::Trust };
    let source = args.source.clone().or(&config::find(Path::new("."))?)?;
    let said = args.role.as_deref().unwrap_or_default();
    let standing = role::find(sources, said, &source, kind, claims.as_ref())?;
    match (&claims, &args.action) {
        (Some(claims), None) => {
            let how = how_of_token();
            exchange(&standing, Ok(&standing.role), claims, (&how, &args.context), sources)
        }
        (_, Some(action)) => call(&standing, claims.as_ref(), action, args, sources),
        (None, None) => Err(usage("say what to explain: --token, --claims, --workflow or --action")),
    }
}

/// Of an exchange with a token at hand nothing else is known.
fn how_of_token() -> How {
    let because = |key: &str| format!("only the caller knows it: give it with --context {key}=VALUE");
    let unknown = ["sts:RoleSessionName", "aws:RequestedRegion", "sts:DurationSeconds"];
    How { unknown: unknown.iter().map(|key| ((*key).to_owned(), because(key))).collect(), ..How::default() }
}

/// The token of a job, login by login and leg by leg; with --action the call that it makes with its session.
fn of_job(args: &ExplainArgs, path: &Path, sources: &SourceMap) -> Result<Vec<Explained>, Failure> {
    let source = args.source.clone().or(&config::find(path)?)?;
    let asked = explain_job::ask(&args.job, path, sources, &source)?;
    let mut sides = Sides { source: &source, sources, made: Vec::new() };
    let mut all = Vec::new();
    for leg in &asked.legs {
        let about = match &leg.label {
            Some(label) => format!("{} ({label})", asked.about),
            None => asked.about.clone(),
        };
        let explained = match &leg.token {
            Err(none) => without_token(none),
            Ok(token) => of_leg(args, leg, token, &mut sides)?,
        };
        all.push(Explained { about: Some(about), ..explained });
    }
    Ok(all)
}

fn of_leg(args: &ExplainArgs, leg: &Leg, token: &Token, sides: &mut Sides<'_>) -> Result<Explained, Failure> {
    let subject = token.claims.text("sub").map(|subject| token.without_stand_ins(subject));
    let said = match (&args.role, &leg.role) {
        (Some(said), _) => said.clone(),
        (None, Known::Yes(own, _)) if own.starts_with("arn:aws") => own.clone(),
        (None, Known::Yes(own, span)) => {
            let answer = "the login stops before it asks for the role".to_owned();
            return Ok(Explained { subject, answer, ..without_token(&name_alone(own, *span)) });
        }
        (None, Known::Unknown { because, span }) => {
            let finding = unknown_role(because, *span);
            let none = NoToken { finding: Box::new(finding), is_unknown: true };
            let answer = "not known: which role the job asks for".to_owned();
            return Ok(Explained { subject, answer, ..without_token(&none) });
        }
        (None, Known::No) => {
            return Err(usage("which role is meant? The job's login does not say one that can be known")
                .help("say --role ROLE"));
        }
    };
    let sources = sides.sources;
    let standing = sides.standing(&said, &token.claims)?;
    let (side, role) = (&standing.0, standing.1.as_ref());
    let mut explained = exchange(
        side,
        role.map_err(Clone::clone),
        &token.claims,
        (&leg.how, exchange_context(args)),
        sources,
    )?;
    explained.notes.retain(|note| note != UNVERIFIED);
    explained.subject = subject;
    explained.finding = explained.finding.map(|finding| {
        let finding = if args.role.is_some() && finding.rule == "role-missing" {
            finding
        } else {
            token.blame(finding)
        };
        let shown = finding.clone().in_words(|text| token.without_stand_ins(text));
        match &leg.how.ids {
            Some(how) if shown != finding => shown.help(how.clone()),
            _ => shown,
        }
    });
    explained.answer = token.without_stand_ins(&explained.answer);
    conceal(&mut explained.traces, token);
    if let (Some(own), Some(said)) = (leg.role.text(), &args.role)
        && own.rsplit('/').next() != said.rsplit('/').next()
    {
        explained.notes.push(format!("the job itself asks for the role {own}"));
    }
    match (&args.action, role) {
        (Some(action), Ok(role)) if explained.allowed => {
            let standing = Standing { side: side.clone(), role: Arc::clone(role) };
            Ok(Explained {
                subject: explained.subject,
                ..call(&standing, Some(&token.claims), action, args, sources)?
            })
        }
        _ => Ok(explained),
    }
}

/// Takes the ids that stand in for others out of what the request had.
fn conceal(traces: &mut [StatementTrace], token: &Token) {
    for (clause, _) in traces.iter_mut().flat_map(|statement| &mut statement.clauses) {
        if let Clause::Condition { got: Some(values), .. } = clause {
            values.iter_mut().for_each(|value| *value = token.without_stand_ins(value));
        }
    }
}

/// With --action the context is that of the call.
fn exchange_context(args: &ExplainArgs) -> &[(String, String)] {
    if args.action.is_some() { &[] } else { &args.context }
}

/// The AWS sides that a job's logins speak to: one for each account.
struct Sides<'a> {
    source: &'a RoleSource,
    sources: &'a SourceMap,
    made: Vec<(AccountId, Offline)>,
}

impl Sides<'_> {
    /// The side of a role, and the role; or the ARN of one that isn't there.
    fn standing(
        &mut self,
        said: &str,
        claims: &Claims,
    ) -> Result<(Offline, Result<Arc<Role>, Arn>), Failure> {
        let Some(arn) = Arn::parse(said).ok().filter(|_| self.source.policy.is_none()) else {
            let standing = role::find(self.sources, said, self.source, PolicyKind::Trust, Some(claims))?;
            return Ok((standing.side, Ok(standing.role)));
        };
        let account = role::account_of(Some(&arn), self.source)?;
        if !self.made.iter().any(|(known, _)| *known == account) {
            self.made.push((account, role::offline(self.sources, account, self.source)?));
        }
        let made = self.made.iter().find(|(known, _)| *known == account);
        let Some((_, side)) = made else { return Err(usage("there is no AWS side")) };
        Ok((side.clone(), side.role(&arn, self.sources).ok_or(arn)))
    }
}

/// configure-aws-credentials has no account for a role that is named without one.
fn name_alone(name: &str, span: Span) -> NoToken {
    let message = format!(
        "Source Account ID is needed if the Role Name is provided and not the Role Arn. (`{name}` is a name)"
    );
    let finding = Finding::error("role-arn", message)
        .at(span, "the job asks for this role")
        .help(format!("write its whole ARN, arn:aws:iam::ACCOUNT:role/{name}"));
    NoToken { finding: Box::new(finding), is_unknown: false }
}

fn unknown_role(because: &str, span: Span) -> Finding {
    let message = "which role the job asks for is not known before it runs";
    let mut finding = Finding::error("unknown-role", message)
        .at(span, because)
        .help("or say with --role which one is meant");
    finding.severity = Severity::Warning;
    finding
}

fn without_token(none: &explain_job::NoToken) -> Explained {
    let answer = if none.is_unknown {
        "not known: what token the job gets".to_owned()
    } else {
        "no token, so no role".to_owned()
    };
    Explained {
        allowed: false,
        about: None,
        subject: None,
        answer,
        finding: Some((*none.finding).clone()),
        traces: Vec::new(),
        notes: Vec::new(),
    }
}

fn read_claims(args: &ExplainArgs) -> Result<Option<Claims>, Failure> {
    if let Some(path) = &args.token {
        let token = jwt::parse(files::text(path, CLAIMS_BYTES_MAX)?.trim())
            .map_err(|error| usage(format!("{} is not a JWT", files::shown(path))).caused_by(error))?;
        return Ok(Some(token.claims));
    }
    let Some(path) = &args.claims else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(&files::text(path, CLAIMS_BYTES_MAX)?)
        .map_err(|error| usage(format!("{} is not JSON", files::shown(path))).caused_by(error))?;
    // `landfall token decode` prints them one level down.
    let value = value.get("claims").unwrap_or(&value);
    let claims = jwt::claims_from_json(value);
    claims.map(Some).ok_or_else(|| usage(format!("{} holds no object with claims", files::shown(path))))
}

/// Said of a token that was handed in.
const UNVERIFIED: &str = "signature and times of the token were not looked at";

/// The exchange of a token with these claims, as if it were fresh and rightly signed, for a role or for an ARN that no
/// role has.
fn exchange(
    side: &Offline,
    role: Result<&Arc<Role>, Arn>,
    claims: &Claims,
    (how, context): (&How, &[(String, String)]),
    sources: &SourceMap,
) -> Result<Explained, Failure> {
    let world = &side.world;
    let issuer_url =
        claims.text("iss").ok_or_else(|| usage("the token has no issuer: claim `iss` is missing"))?;
    let issuer = Issuer::parse(issuer_url).map_err(usage)?;
    let mut fresh = claims.clone();
    let now = world.clock.now().seconds();
    for (name, value) in [("iat", now), ("nbf", now - 600), ("exp", now + 300)] {
        fresh.set(name, landfall_types::ClaimValue::Number(value.to_string()));
    }
    let outside = |error: String| Failure::new(FailureKind::Outside, error);
    let token = world
        .issuers
        .play(issuer.clone())
        .mint(&fresh, landfall_serve::issuer::Signer::Issuer)
        .map_err(outside)?;
    let arn = role.as_ref().map_or_else(Arn::to_string, |role| role.arn.to_string());
    let form = format!(
        "RoleArn={}&RoleSessionName={}&WebIdentityToken={token}&DurationSeconds={}",
        form_value(&arn),
        form_value(how.session_name.as_deref().unwrap_or("explain")),
        how.duration.unwrap_or(DURATION_DEFAULT)
    );
    let params = Params::parse(&form).map_err(|error| usage(error.message))?;
    let before = world.log.last();
    let keys: Vec<_> = context.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect();
    let region = how.region.as_deref().unwrap_or(&world.settings.default_region);
    let asked = sts::Asked { request_id: "explain", region, keys: &keys, default_regions_only: false };
    let request = sts::ask(world, asked, &params);
    let record = world.log.after(before).into_iter().next().ok_or_else(|| usage("nothing was decided"))?;
    let traces = match (&request, &role) {
        (Some(request), Ok(role)) => trace(&sts::trust_layers(role), request),
        _ => Vec::new(),
    };
    let unknown = unknown_exchange(side, role.as_ref().ok().copied(), &issuer, &record, sources);
    let is_given = |key: &str| context.iter().any(|(known, _)| known.eq_ignore_ascii_case(key));
    let open: Vec<(String, String)> =
        how.unknown.iter().cloned().chain(of_caller()).filter(|(key, _)| !is_given(key)).collect();
    let missing = undecided(&traces, &open);
    let mut explained = explained(&record, traces);
    if let Some(because) = unknown {
        explained = explained.not_known(&because);
    } else if let Some(because) = missing {
        explained = explained.open(format!("not known: {because}"));
    }
    if let Err(missing) = &role
        && missing.account_id().is_some_and(|account| account != world.settings.default_account)
    {
        let account = world.settings.default_account;
        explained.notes.push(format!("the Terraform is taken for that of account {account} (--account)"));
    }
    explained.notes.push(UNVERIFIED.to_owned());
    Ok(explained)
}

/// How long a session lives when nobody says it, in seconds.
const DURATION_DEFAULT: u32 = 3600;

fn form_value(text: &str) -> String {
    let escaped = |c: char| match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '~' | ':' | '/' | '@' => c.to_string(),
        other => {
            let mut bytes = [0; 4];
            other.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
        }
    };
    text.chars().map(escaped).collect()
}

/// Condition keys that only the caller's place in the network, or the account's organization, tells.
fn of_caller() -> impl Iterator<Item = (String, String)> {
    const KEYS: [&str; 9] = [
        "aws:SourceIp",
        "aws:VpcSourceIp",
        "aws:SourceVpc",
        "aws:SourceVpce",
        "aws:SourceVpcArn",
        "aws:UserAgent",
        "aws:Referer",
        "aws:ResourceOrgID",
        "aws:ResourceOrgPaths",
    ];
    KEYS.iter().map(|key| ((*key).to_owned(), format!("no file has it: give it with --context {key}=VALUE")))
}

/// Why the statements decide nothing: a condition key whose value isn't known could change the answer.
fn undecided(traces: &[StatementTrace], unknown: &[(String, String)]) -> Option<String> {
    let mut because: Vec<String> = Vec::new();
    let (mut allows, mut may_allow, mut may_deny) = (false, false, false);
    for statement in traces {
        let open: Vec<&(String, String)> = statement
            .clauses
            .iter()
            .filter_map(|(clause, holds)| open_key(clause, *holds, unknown))
            .collect();
        let is_out = statement
            .clauses
            .iter()
            .any(|(clause, holds)| !holds && open_key(clause, *holds, unknown).is_none());
        match (statement.effect, is_out, open.is_empty()) {
            (_, true, _) => continue,
            (Effect::Deny, false, true) => return None,
            (Effect::Allow, false, true) => allows = true,
            (Effect::Deny, false, false) => may_deny = true,
            (Effect::Allow, false, false) => may_allow = true,
        }
        for (key, why) in open {
            let told = format!("`{key}` decides, and {why}");
            if !because.contains(&told) {
                because.push(told);
            }
        }
    }
    let is_open = if allows { may_deny } else { may_allow };
    is_open.then(|| because.join("; "))
}

/// The key of a condition whose value isn't known. Of a subject with ids that stand in for others what fits whatever
/// the ids are is known.
fn open_key<'k>(
    clause: &Clause,
    holds: bool,
    unknown: &'k [(String, String)],
) -> Option<&'k (String, String)> {
    let Clause::Condition { operator, key, wanted, .. } = clause else { return None };
    let found = unknown.iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
    if !found.0.ends_with(":sub") {
        return Some(found);
    }
    // A customised subject may have the ids, or who started the run, as claims of their own.
    if wanted.iter().any(|pattern| pattern.contains("actor:")) {
        return Some(found);
    }
    let is_negated = operator.contains("Not");
    let has_ids = wanted.iter().any(|pattern| pattern.contains(['@', '?']) || pattern.contains("_id:"));
    let is_whatever = holds != is_negated || !has_ids;
    (!is_whatever).then_some(found)
}

/// Why it isn't known what becomes of an exchange: what isn't known of the trust policy, or of the provider, could
/// change it.
fn unknown_exchange(
    side: &Offline,
    role: Option<&Arc<Role>>,
    issuer: &Issuer,
    record: &Record,
    sources: &SourceMap,
) -> Option<String> {
    let rule = record.finding.as_ref().map_or("", |finding| finding.rule);
    let Some(decision) = &record.decision else {
        let because = || {
            let account = role?.arn.account_id()?;
            let provider = Arn::oidc_provider(account, &issuer.host_and_path());
            side.may_have_other_audiences(&provider.to_string())
                .then(|| format!("not all audiences of the provider {provider} are known"))
        };
        return match rule {
            "audience-not-registered" => because(),
            "provider-missing" => side.unknown_providers(sources),
            "role-missing" => side.unknown_roles(sources),
            _ => None,
        };
    };
    let role = role?;
    let is_explicit = is_explicit(decision);
    if decision.is_allowed()
        && let Some(refused) = side.refused_trust_of(role, sources).pop()
    {
        return Some(refused);
    }
    let unknown = side.unknown_trust_of(role, sources);
    // What denies stays, whatever else the policy says; not so where another policy may be the role's.
    let is_certain = unknown.is_empty() || is_explicit && !side.has_other_trust(role);
    (!is_certain).then(|| unknown.join("; "))
}

/// Which clause of the policies at hand refuses a token, as lines for a person; or why that can't be said.
pub fn refusal(role: &str, claims: &Claims, paths: &[PathBuf]) -> String {
    let sources = SourceMap::new();
    let shown = paths.iter().map(|path| files::shown(path)).collect::<Vec<_>>().join(", ");
    let (documents, folders): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_file());
    let source = RoleSource { infra: folders, policy: documents.first().cloned(), ..RoleSource::default() };
    let account = Arn::parse(role).ok().and_then(|arn| arn.account_id());
    let account = account.map_or_else(|| "the account".to_owned(), |account| format!("account {account}"));
    let explained = config::find(Path::new("."))
        .and_then(|found| source.or(&found))
        .and_then(|source| role::find(&sources, role, &source, PolicyKind::Trust, Some(claims)))
        .and_then(|standing| {
            exchange(&standing, Ok(&standing.role), claims, (&How::default(), &[]), &sources)
        });
    match explained {
        Err(failure) => format!("note: {shown} doesn't say why: {failure}"),
        Ok(Explained { allowed: true, .. }) => format!(
            "note: by {shown} the role takes this token: what is in force in {account} is something else, or the \
             role is of another account"
        ),
        Ok(explained) => match &explained.finding {
            Some(finding) => ui::finding_text(finding, &sources),
            None => format!("note: by {shown} it is refused as well: {}", explained.answer),
        },
    }
}

fn explained(record: &Record, traces: Vec<StatementTrace>) -> Explained {
    let (allowed, answer) = match &record.verdict {
        Verdict::Allowed => (true, "sts:AssumeRoleWithWebIdentity is allowed".to_owned()),
        Verdict::Refused { code, message } => (false, format!("{code}: {message}")),
    };
    let finding = record.finding.clone();
    Explained { allowed, about: None, subject: None, answer, finding, traces, notes: Vec::new() }
}

/// What a session keeps of the token that it was given for.
fn federated_keys(claims: &Claims) -> Vec<(String, Vec<String>)> {
    let issuer = claims.text("iss").and_then(|url| Issuer::parse(url).ok());
    let host = issuer.map(|issuer| issuer.host_and_path());
    let key =
        |name: &str| Some((format!("{}:{name}", host.as_deref()?), vec![claims.text(name)?.to_owned()]));
    ["aud", "sub"].into_iter().filter_map(key).collect()
}

/// A call of the role's session.
fn call(
    standing: &Standing,
    claims: Option<&Claims>,
    action: &str,
    args: &ExplainArgs,
    sources: &SourceMap,
) -> Result<Explained, Failure> {
    check_action(action, &args.resource)?;
    let (world, role) = (&standing.world, &standing.role);
    let caller = session_of(world, role, "explain", claims.map(federated_keys).unwrap_or_default());
    let resource_account = match Arn::parse(&args.resource) {
        Ok(arn) if !arn.account.is_empty() => arn.account,
        Ok(_) => role.arn.account.clone(),
        Err(_) if args.resource == "*" => role.arn.account.clone(),
        Err(error) => return Err(usage(format!("--resource: {error}"))),
    };
    // Where no resource is named, what AWS decides on is.
    let listed = caller.account().filter(|_| args.resource == "*");
    let listed = listed.and_then(|account| catalogue::listing(action, account));
    let resource = listed.map_or_else(|| args.resource.clone(), |arn| arn.to_string());
    let policies = landfall_serve::ecr::policies_of(world, &args.resource);
    let asked = Asked {
        caller: &caller,
        region: &world.settings.default_region,
        resource: resource.clone(),
        resource_account,
        resource_policies: &policies,
        keys: args.context.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect(),
        request_id: "explain",
    };
    let taken = taken_role(world, action, &args.resource);
    let target = taken.as_ref().and_then(|taken| taken.as_deref().ok());
    let (decision, request, traces) = authz::explain_call(world, &asked, target, action);
    let allowed = decision.is_allowed();
    let answer = if allowed {
        format!("{action} on {resource} is allowed")
    } else {
        landfall_policy::explain::aws_sentence(&decision, &request)
    };
    let finding = (!allowed).then(|| {
        let mut finding = authz::explanation(world, &caller, &decision, &request);
        if finding.rule == "condition-key-absent" {
            finding
                .help
                .insert(0, "if the call has the key, give it here with --context KEY=VALUE".to_owned());
        }
        finding
    });
    let explained =
        Explained { allowed, about: None, subject: None, answer, finding, traces, notes: Vec::new() };
    let unknown_target = match &taken {
        Some(_) if is_explicit(&decision) => None,
        Some(Err(because)) => Some(because.clone()),
        Some(Ok(target)) => {
            let mut unknown = standing.unknown_trust_of(target, sources);
            unknown.extend(standing.refused_trust_of(target, sources).into_iter().filter(|_| allowed));
            (!unknown.is_empty()).then(|| unknown.join("; "))
        }
        None => None,
    };
    Ok(match unknown_target.or_else(|| unknown_call(standing, &decision, sources)) {
        Some(because) => explained.not_known(&because),
        None => explained,
    })
}

/// The role that a call takes: its trust policy decides as well. Or why nobody knows that policy.
fn taken_role(world: &World, action: &str, resource: &str) -> Option<Result<Arc<Role>, String>> {
    if !action.eq_ignore_ascii_case("sts:AssumeRole") {
        return None;
    }
    let role = Arn::parse(resource).ok().and_then(|arn| {
        let (_, name) = arn.role_path_and_name()?;
        world.store.role(arn.account_id()?, name).filter(|role| role.arn == arn)
    });
    let missing = || {
        format!(
            "the trust policy of `{resource}` decides as well, and these files have no such role (--infra)"
        )
    };
    Some(role.ok_or_else(missing))
}

fn is_explicit(decision: &landfall_policy::Decision) -> bool {
    matches!(decision.outcome, landfall_policy::Outcome::Denied(landfall_policy::Denial::Explicit { .. }))
}

/// Why it isn't known whether a call is allowed: a policy that can't be worked out, or that the role may have besides,
/// could change the answer.
fn unknown_call(
    standing: &Standing,
    decision: &landfall_policy::Decision,
    sources: &SourceMap,
) -> Option<String> {
    let mut unknown = standing.unknown_permissions(&standing.role, sources);
    unknown.extend(standing.not_applied(sources).filter(|_| decision.is_allowed()));
    // By its name alone, where nothing else was told of it.
    unknown.extend(match (decision.unknown.as_slice(), standing.unknown.as_slice()) {
        ([], _) => Vec::new(),
        (names, []) => names.to_vec(),
        (_, told) => told.to_vec(),
    });
    (!unknown.is_empty()).then(|| unknown.join("; "))
}

/// A session of a role, as it would call.
pub fn session_of(
    world: &World,
    role: &Role,
    name: &str,
    federated_keys: Vec<(String, Vec<String>)>,
) -> Caller {
    let now = world.clock.now();
    Caller::Session(Arc::new(Session {
        access_key_id: String::new(),
        account: role.arn.account.clone(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: name.to_owned(),
        issued_at_ms: now.0,
        expires_at_ms: now.plus_seconds(3600).0,
        provider: None,
        federated_keys,
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        policies: None,
        default_regions_only: false,
    }))
}

/// An action that AWS doesn't have, or a resource that it has to name, is a slip of the question.
fn check_action(action: &str, resource: &str) -> Result<(), Failure> {
    let Some((service, name)) = action.split_once(':') else {
        return Err(usage(format!("`{action}` is not an action: SERVICE:Name, such as ecr:PutImage")));
    };
    if !catalogue::services().any(|known| known.eq_ignore_ascii_case(service)) {
        return Ok(());
    }
    let Some(facts) = catalogue::action(action) else {
        let failure = usage(format!("AWS has no action `{action}`"));
        let common = |known: &str| known.chars().zip(name.chars()).take_while(|(l, r)| l == r).count();
        let named =
            |known: &catalogue::ActionFacts| common(known.name.split_once(':').map_or("", |(_, it)| it));
        let near = catalogue::actions_of(service)
            .iter()
            .max_by_key(|known| (named(known), std::cmp::Reverse(known.name.len())));
        return Err(match near.filter(|known| named(known) > 2) {
            Some(near) => failure.help(format!("is {} meant?", near.name)),
            None => failure,
        });
    };
    let needs_one = facts.resource_types.iter().any(|kind| kind.required);
    if resource != "*" || !needs_one {
        return Ok(());
    }
    let formats =
        facts.resource_types.iter().filter_map(|kind| catalogue::resource_type(facts.service, kind.name));
    let formats: Vec<&str> = formats.map(|kind| kind.arn).collect();
    Err(usage(format!("{} is decided on a resource: say which with --resource", facts.name))
        .help(formats.join(", ")))
}

/// Shows an answer to a person: what it is about, the answer, and what decided it.
fn show(explained: &Explained, sources: &SourceMap) {
    if let Some(about) = &explained.about {
        ui::line(ui::styled(ui::BOLD, ui::plain_text(about)));
    }
    if let Some(subject) = &explained.subject {
        ui::line(ui::styled(ui::DIM, format!("  sub {}", ui::plain_text(subject))));
    }
    let (sign, style) = if explained.allowed { ("✓", ui::GOOD) } else { ("✗", ui::BAD) };
    ui::line(format!("{} {}", ui::styled(style, sign), ui::plain_text(&explained.answer)));
    for note in &explained.notes {
        ui::line(ui::styled(ui::DIM, format!("  {}", ui::plain_text(note))));
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
    let name = ui::plain_text(&landfall_policy::explain::name_of(&trace.statement));
    ui::line(format!(
        "{}  {}",
        ui::styled(ui::BOLD, &name),
        ui::styled(ui::DIM, sources.place(trace.statement.span))
    ));
    let is_of_others =
        trace.clauses.iter().any(|(clause, holds)| matches!(clause, Clause::Action { .. }) && !holds);
    if is_of_others {
        return ui::line(format!("  {effect}, for other actions"));
    }
    ui::line(format!("  {effect}, {applies}"));
    for (clause, holds) in &trace.clauses {
        let sign = if *holds { ui::styled(ui::GOOD, "✓") } else { ui::styled(ui::BAD, "✗") };
        let (what, wanted, got) = parts(clause);
        ui::line(format!(
            "    {sign} {}  {}",
            ui::plain_text(&what),
            ui::styled(ui::DIM, place(clause, sources))
        ));
        ui::line(format!("        wanted {}", ui::plain_text(&wanted)));
        ui::line(format!("        got    {}", ui::plain_text(&got)));
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
        "about": explained.about,
        "subject": explained.subject,
        "allowed": explained.allowed,
        "answer": explained.answer,
        "notes": explained.notes,
        "finding": explained.finding.as_ref().map(|finding| render::json(finding, sources)),
        "statements": statements,
    })
}
