//! `landfall issuer`: what STS will find when it asks a token issuer for its keys, and what it would not like.
//!
//! It asks as the local AWS side asks, and goes on where that would give up, so that one run tells everything.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use landfall_check::render;
use landfall_deliver::{Failure, FailureKind};
use landfall_serve::discovery::{
    DISCOVERY_BYTES_MAX, Fault, Fetcher, ISSUER_MS_MAX, Settings, Timing, Trust, Visit,
};
use landfall_types::{Finding, Issuer, Severity, SourceMap, Timestamp};
use landfall_wire::certificate::check_order;
use landfall_wire::jwt::{self, JWKS_BYTES_MAX, Jwks, Token};
use serde_json::{Value, json};

use super::serve::{self, Format};
use super::usage;
use crate::{edge, files, ui};

/// Look at a token issuer as STS looks at it: discovery, keys, certificates, and how long it all takes.
///
/// STS asks for https://ISSUER/.well-known/openid-configuration and for the keys that it names, over the public
/// internet, and gives up after five seconds. What it doesn't like comes back as "Couldn't retrieve verification
/// key from your identity provider", whatever it was.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct IssuerArgs {
    /// The issuer: the token's `iss`, letter for letter
    #[arg(value_name = "URL")]
    issuer: String,
    /// An ID token in a file, or `-` for standard input: are its issuer and its key those that are found?
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust beside the public ones. AWS won't trust them: it needs the thumbprint
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Where the issuer's host is, in place of what DNS says; may be repeated
    #[arg(long = "issuer-address", value_name = "HOST=IP:PORT", value_parser = serve::issuer_address)]
    issuer_addresses: Vec<(String, SocketAddr)>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall issuer https://token.actions.githubusercontent.com

  Is the token's key published there?
    landfall issuer https://gitlab.example.com --token token

  By an address that AWS would not use:
    landfall issuer https://gitlab.example.com \\
      --issuer-address gitlab.example.com=10.0.0.7:443

Exit codes: 0 STS can verify its tokens; 1 it can't, or not this one; 2 wrong
usage or unreadable input; 3 the issuer could not be reached.";

/// Everything that was seen.
struct Seen {
    issuer: Issuer,
    visits: Vec<Visit>,
    /// The bytes of each visit that was answered.
    sizes: Vec<usize>,
    took: Duration,
    /// Members of the key set, as they stand there.
    members: Vec<Value>,
    keys: Jwks,
    findings: Vec<Finding>,
    is_reached: bool,
}

/// Asks and tells; whether STS could verify the issuer's tokens.
///
/// # Errors
/// Wrong usage, unreadable input, an issuer that can't be reached.
pub async fn run(args: IssuerArgs) -> Result<bool, Failure> {
    let text =
        if args.issuer.contains("://") { args.issuer.clone() } else { format!("https://{}", args.issuer) };
    check(&text)?;
    let issuer = Issuer::parse(&text).map_err(usage)?;
    let token = args.token.as_deref().map(read_token).transpose()?;
    let authorities = args.ca_bundle.as_deref().map(serve::certificates).transpose()?.unwrap_or_default();
    let addresses = args.issuer_addresses.iter().cloned().collect();
    let fetcher = Fetcher::new(Settings { is_on: true, authorities, addresses }).map_err(usage)?;
    let now = edge::now();
    let mut seen = ask(&fetcher, issuer, now).await;
    judge(&mut seen, &args, now);
    if let Some(token) = &token {
        judge_token(&mut seen, token);
    }
    let is_fine = !seen.findings.iter().any(|finding| finding.severity == Severity::Error);
    match args.format {
        Format::Text => show(&seen, is_fine, token.is_some()),
        Format::Json => ui::json(json(&seen, is_fine)),
    }
    if !seen.is_reached {
        return Err(Failure::new(FailureKind::Outside, format!("{} could not be reached", seen.issuer)));
    }
    Ok(is_fine)
}

/// What IAM would not take for a provider's URL, and what must not be repeated.
fn check(url: &str) -> Result<(), Failure> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(usage(
            "an issuer's URL has no user and no password in it: https://HOST[/PATH] is expected",
        ));
    }
    if url.chars().count() > URL_CHARS_MAX {
        return Err(usage(format!(
            "an issuer's URL has at most {URL_CHARS_MAX} characters, and this has {}",
            url.chars().count()
        )));
    }
    Ok(())
}

/// IAM's limit of a provider's URL, in characters.
const URL_CHARS_MAX: usize = 255;

fn read_token(path: &Path) -> Result<Token, Failure> {
    jwt::parse(files::text(path, TOKEN_BYTES_MAX)?.trim())
        .map_err(|error| usage(format!("{} is not a JWT", files::shown(path))).caused_by(error))
}

/// Asks for both documents. The second is asked for also when the first is another issuer's.
async fn ask(fetcher: &Fetcher, issuer: Issuer, now: Timestamp) -> Seen {
    let began = tokio::time::Instant::now();
    let deadline = began + Duration::from_millis(ISSUER_MS_MAX);
    let mut seen = Seen {
        issuer,
        visits: Vec::new(),
        sizes: Vec::new(),
        took: Duration::ZERO,
        members: Vec::new(),
        keys: Jwks::default(),
        findings: Vec::new(),
        is_reached: true,
    };
    let url = format!("{}/.well-known/openid-configuration", seen.issuer.as_str().trim_end_matches('/'));
    let visit = fetcher.get(&url, DISCOVERY_BYTES_MAX, now, deadline).await;
    if let Some(jwks_uri) = read_discovery(&mut seen, visit) {
        let visit = fetcher.get(&jwks_uri, JWKS_BYTES_MAX, now, deadline).await;
        read_keys(&mut seen, visit);
    }
    seen.took = began.elapsed();
    seen
}

/// The document of a visit, if it came; what kept it is among the findings.
fn body_of(seen: &mut Seen, visit: Visit) -> Option<Vec<u8>> {
    let (body, url) = (visit.body.clone(), visit.url.clone());
    let last = visit.chain.last().filter(|last| !last.is_self_issued());
    let early = last.map(|last| {
        format!(
            "the chain ends early: `{}` was issued by `{}`; have the server send that one's certificate too",
            last.subject, last.issuer
        )
    });
    seen.sizes.push(body.as_ref().map_or(0, Vec::len));
    seen.visits.push(visit);
    match body {
        Ok(body) if serde_json::from_slice::<Value>(&body).is_ok() => Some(body),
        Ok(_) => {
            seen.findings.push(Fault::NotJson { url }.finding());
            None
        }
        Err(fault) => {
            seen.is_reached &= !matches!(fault, Fault::Name { .. } | Fault::Connect { .. });
            let mut finding = fault.finding();
            // That flag is of the server, and of this command too.
            finding.help.iter_mut().for_each(|help| *help = help.replace("for this server an", "here an"));
            if let (Fault::Tls { .. }, Some(early)) = (&fault, early) {
                finding.help = vec![early];
            }
            seen.findings.push(finding);
            None
        }
    }
}

/// Judges the discovery document; gives where the keys are.
fn read_discovery(seen: &mut Seen, visit: Visit) -> Option<String> {
    let url = visit.url.clone();
    let body = body_of(seen, visit)?;
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = document["issuer"].as_str().unwrap_or_default();
    if said != seen.issuer.as_str() {
        let fault = Fault::OtherIssuer { wanted: seen.issuer.to_string(), said: said.to_owned() };
        let mut finding = fault.finding();
        if said.trim_end_matches('/') == seen.issuer.as_str().trim_end_matches('/') {
            finding = finding.note("the slash at the end is all that differs, and it counts");
        }
        seen.findings.push(finding);
    }
    let missing: Vec<&str> = REQUIRED.iter().copied().filter(|name| document.get(name).is_none()).collect();
    if !missing.is_empty() {
        seen.findings.push(
            Finding::warning("issuer-document", format!("{url} lacks {}", missing.join(", ")))
                .help("OpenID Connect Discovery requires them, and IAM's documentation asks for them"),
        );
    }
    let Some(jwks_uri) = document["jwks_uri"].as_str() else {
        seen.findings.push(Fault::NoKeys { url }.finding());
        return None;
    };
    Some(jwks_uri.to_owned())
}

fn read_keys(seen: &mut Seen, visit: Visit) {
    let url = visit.url.clone();
    let Some(body) = body_of(seen, visit) else { return };
    let text = String::from_utf8_lossy(&body);
    match Jwks::parse(&text) {
        Ok(keys) => seen.keys = keys,
        Err(error) => return seen.findings.push(Fault::BadKeys { url, why: error.to_string() }.finding()),
    }
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    seen.members = value["keys"].as_array().cloned().unwrap_or_default();
    if seen.keys.keys().is_empty() {
        let why = "none of them is an RSA key of 2048 bits or more, or one on P-256, P-384 or P-521, for signatures";
        return seen.findings.push(Fault::BadKeys { url, why: why.to_owned() }.finding());
    }
    let mut known = BTreeSet::new();
    for key in &seen.keys.keys().to_vec() {
        match key.kid() {
            None => seen.findings.push(
                Finding::warning(
                    "issuer-document",
                    "a key has no kid: tokens can't say that they are signed with it",
                )
                .help("give every key a kid, and every token its key's kid"),
            ),
            Some(kid) if !known.insert(kid.to_owned()) => seen.findings.push(
                Finding::warning("issuer-document", format!("two keys have the kid `{kid}`"))
                    .help("take the old one out"),
            ),
            Some(_) => {}
        }
    }
    let left_out = seen.members.len().saturating_sub(seen.keys.keys().len());
    if left_out > 0 {
        seen.findings.push(Finding::warning(
            "issuer-document",
            format!("{left_out} of {} keys can't be used for tokens by STS", seen.members.len()),
        ));
    }
}

/// What both visits say together: certificates, addresses, times.
fn judge(seen: &mut Seen, args: &IssuerArgs, now: Timestamp) {
    let mut findings = Vec::new();
    let mut hosts = BTreeSet::new();
    for visit in seen.visits.iter().filter(|visit| hosts.insert(visit.host.clone())) {
        let is_told = args.issuer_addresses.iter().any(|(host, _)| *host == visit.host);
        if let Some(address) = visit.address.filter(|address| !is_told && !is_public(address.ip())) {
            let host = &visit.host;
            findings.push(
                Finding::error("issuer-unreachable", format!("`{host}` is at {}, where AWS can't reach it", address.ip()))
                    .help("STS asks over the public internet: both documents have to be readable from there, at the same URLs"),
            );
        }
        findings.extend(judge_chain(visit, now));
    }
    if seen.took > Duration::from_millis(ISSUER_MS_MAX / 2)
        && !seen.findings.iter().any(|it| it.rule == "issuer-slow")
    {
        let took = seen.took.as_millis();
        findings.push(
            Finding::warning(
                "issuer-slow",
                format!("both documents took {took} ms of the {ISSUER_MS_MAX} ms that AWS waits"),
            )
            .help("from where AWS asks it may take longer: make both quick, or put a cache in front"),
        );
    }
    seen.findings.append(&mut findings);
}

fn judge_chain(visit: &Visit, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A fault of the chain is told already when the visit ended with it.
    if visit.body.is_ok()
        && let Err(fault) = check_order(&visit.chain)
    {
        findings.push(Fault::Chain { host: visit.host.clone(), fault }.finding());
    }
    if let Some(Trust::Thumbprint { thumbprint, why }) = &visit.trust {
        let finding = Finding::warning(
            "issuer-thumbprint",
            format!("no public authority vouches for the certificate of `{}`: {why}", visit.host),
        );
        let is_incomplete = visit.chain.last().is_some_and(|last| !last.is_self_issued());
        let finding = if is_incomplete {
            let last = visit.chain.last().map_or("", |last| last.issuer.as_str());
            finding.help(format!(
                "if `{last}` is an intermediate of a public authority, have the server send its certificate too"
            ))
        } else {
            finding
        };
        findings
            .push(finding.help(format!("else the provider's thumbprint_list has to have `{thumbprint}`")));
    }
    let soon = now.plus_seconds(RENEWAL_SECONDS);
    if let Some(ending) = visit.chain.iter().find(|one| one.holds_at(now) && !one.holds_at(soon)) {
        findings.push(
            Finding::warning(
                "issuer-certificate",
                format!("the certificate of `{}` ends on {}", ending.subject, ending.not_after),
            )
            .help("renew it, and look whether whatever renews it still runs"),
        );
    }
    findings
}

fn judge_token(seen: &mut Seen, token: &Token) {
    let said = token.claims.text("iss").unwrap_or_default();
    if said != seen.issuer.as_str() {
        seen.findings.push(
            Finding::error("token-issuer", format!("the token's issuer is `{said}`, not `{}`", seen.issuer))
                .help("ask for the token's own: the two have to be the same letter for letter"),
        );
    }
    match &token.header.kid {
        Some(kid) if seen.keys.contains(kid) => match jwt::verify_signature(token, &seen.keys) {
            Ok(()) => {}
            Err(error) => seen.findings.push(Finding::error(
                "token-signature",
                format!("the token isn't signed with the key `{kid}` that is published: {error}"),
            )),
        },
        Some(kid) if !seen.keys.keys().is_empty() => seen.findings.push(
            Finding::error("token-key", format!("the token's key `{kid}` is not among those that are published"))
                .help("publish a new key before anything is signed with it, and keep an old one until its tokens have ended"),
        ),
        Some(_) | None => {}
    }
}

/// Whether AWS can reach an address at all.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // RFC 6598: between a provider and its customers.
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments().first().copied().unwrap_or_default();
            let is_local = first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80;
            !(v6.is_loopback() || v6.is_unspecified() || is_local)
        }
    }
}

fn show(seen: &Seen, is_fine: bool, has_token: bool) {
    ui::line(ui::styled(ui::BOLD, &seen.issuer));
    for (index, visit) in seen.visits.iter().enumerate() {
        let what = if index == 0 { "discovery" } else { "keys" };
        let address = visit.address.map_or_else(String::new, |address| format!("  {address}"));
        ui::line(format!(
            "\n  {}  {what:<9}  {}{address}",
            sign(visit.body.is_ok()),
            ui::plain_text(&visit.url)
        ));
        let size = seen.sizes.get(index).copied().unwrap_or_default();
        ui::line(ui::styled(ui::DIM, format!("     {}", in_words(&visit.timing, size, visit.body.is_ok()))));
    }
    for member in &seen.members {
        ui::line(format!("       {}", key_in_words(member)));
    }
    if seen.visits.iter().all(|visit| visit.body.is_ok()) {
        let (took, rest) = (seen.took.as_millis(), seen.took <= Duration::from_millis(ISSUER_MS_MAX));
        ui::line(format!("\n  {}  {took} ms of the {ISSUER_MS_MAX} ms that AWS waits", sign(rest)));
    }
    let mut hosts = BTreeSet::new();
    for visit in seen.visits.iter().filter(|visit| !visit.chain.is_empty() && hosts.insert(&visit.host)) {
        show_chain(visit);
    }
    ui::line(format!("\n  {}", ui::styled(ui::BOLD, "provider")));
    ui::line(format!("     url              {}", seen.issuer));
    ui::line(
        "     client_id_list   the token's aud, letter for letter: sts.amazonaws.com, or what the job asks for",
    );
    ui::line(format!("     thumbprint_list  {}", thumbprints(seen)));
    let sources = SourceMap::new();
    for finding in &seen.findings {
        ui::line("");
        ui::finding(finding, &sources, 0);
    }
    let said = match (is_fine, has_token) {
        (true, false) => "STS can verify tokens of this issuer",
        (true, true) => "STS can verify this token",
        (false, false) => "STS can't verify tokens of this issuer",
        (false, true) => "STS can't verify this token",
    };
    ui::line(format!("\n{} {said}", sign(is_fine)));
}

fn sign(is_fine: bool) -> String {
    if is_fine { ui::styled(ui::GOOD, "✓") } else { ui::styled(ui::BAD, "✗") }
}

fn show_chain(visit: &Visit) {
    let is_trusted = matches!(visit.trust, Some(Trust::Authority));
    let by = match &visit.trust {
        Some(Trust::Authority) => "vouched for by an authority",
        Some(Trust::Thumbprint { .. }) => "vouched for by no authority: a thumbprint has to",
        None => "not trusted",
    };
    ui::line(format!("\n  {}  certificates of {}, {by}", sign(is_trusted), visit.host));
    for (index, one) in visit.chain.iter().enumerate() {
        let (subject, issuer) = (ui::plain_text(&one.subject), ui::plain_text(&one.issuer));
        ui::line(format!("     {}  {subject}  issued by {issuer}", index + 1));
        let dates = format!("        {} to {}  thumbprint {}", one.not_before, one.not_after, one.thumbprint);
        ui::line(ui::styled(ui::DIM, dates));
    }
}

/// What IAM needs for the host of the keys.
fn thumbprints(seen: &Seen) -> String {
    match seen.visits.last().map(|visit| &visit.trust) {
        Some(Some(Trust::Thumbprint { thumbprint, .. })) => thumbprint.clone(),
        Some(Some(Trust::Authority)) => {
            "not needed: IAM trusts the public authorities, and fills it in".to_owned()
        }
        _ => "not known".to_owned(),
    }
}

/// One member of a key set, as it stands there.
fn key_in_words(member: &Value) -> String {
    let text = |name: &str| member[name].as_str();
    let size = match (text("n"), text("crv")) {
        // Four letters of base64 are three bytes.
        (Some(n), _) => format!(" {} bits", n.trim_end_matches('=').len() * 6 / 8 * 8),
        (None, Some(curve)) => format!(" {curve}"),
        (None, None) => String::new(),
    };
    let part =
        |name: &str, value: Option<&str>| value.map_or_else(String::new, |value| format!("  {name} {value}"));
    let (alg, usage) = (part("alg", text("alg")), part("use", text("use")));
    let line = format!("{}{size}{alg}{usage}{}", text("kty").unwrap_or("?"), part("kid", text("kid")));
    ui::plain_text(&line)
}

/// The stages of a visit, each with the time that it took by itself.
fn stages(timing: &Timing) -> Vec<(&'static str, Duration)> {
    let ends = [
        ("name", timing.resolved),
        ("connection", timing.connected),
        ("TLS", timing.secured),
        ("answer", timing.answered),
        ("rest", timing.read),
    ];
    let mut before = Duration::ZERO;
    let mut stages = Vec::new();
    for (name, end) in ends {
        let Some(end) = end else { break };
        stages.push((name, end.saturating_sub(before)));
        before = end;
    }
    stages
}

fn in_words(timing: &Timing, size: usize, is_whole: bool) -> String {
    let parts: Vec<String> =
        stages(timing).iter().map(|(name, took)| format!("{name} {} ms", took.as_millis())).collect();
    let size = if is_whole { format!("{size} bytes, ") } else { String::new() };
    if parts.is_empty() { "nothing was reached".to_owned() } else { format!("{size}{}", parts.join(", ")) }
}

fn json(seen: &Seen, is_fine: bool) -> Value {
    let sources = SourceMap::new();
    let visits: Vec<Value> = seen
        .visits
        .iter()
        .zip(&seen.sizes)
        .map(|(visit, size)| {
            let millis = |took: &Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let timing: serde_json::Map<String, Value> = stages(&visit.timing)
                .iter()
                .map(|(name, took)| ((*name).to_owned(), millis(took).into()))
                .collect();
            let chain: Vec<Value> = visit
                .chain
                .iter()
                .map(|one| {
                    json!({
                        "subject": one.subject,
                        "issuer": one.issuer,
                        "not_before": one.not_before.to_string(),
                        "not_after": one.not_after.to_string(),
                        "thumbprint": one.thumbprint,
                    })
                })
                .collect();
            json!({
                "url": visit.url,
                "address": visit.address.map(|address| address.to_string()),
                "bytes": size,
                "millis": timing,
                "certificates": chain,
                "trusted_by": match &visit.trust {
                    Some(Trust::Authority) => "authority",
                    Some(Trust::Thumbprint { .. }) => "thumbprint",
                    None => "nobody",
                },
            })
        })
        .collect();
    let member = |member: &Value, name: &str| member.get(name).cloned().unwrap_or(Value::Null);
    let keys = seen.members.iter().map(|it| {
        json!({ "kid": member(it, "kid"), "kty": member(it, "kty"), "alg": member(it, "alg"), "use": member(it, "use") })
    });
    json!({
        "issuer": seen.issuer.as_str(),
        "usable": is_fine,
        "reached": seen.is_reached,
        "millis": u64::try_from(seen.took.as_millis()).unwrap_or(u64::MAX),
        "millis_max": ISSUER_MS_MAX,
        "documents": visits,
        "keys": keys.collect::<Vec<_>>(),
        "findings": seen.findings.iter().map(|finding| render::json(finding, &sources)).collect::<Vec<_>>(),
    })
}

/// What IAM's documentation asks of a discovery document, beside the issuer and the keys.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>
const REQUIRED: &[&str] =
    &["response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported"];
/// When a certificate's end is worth a word, in seconds before it.
const RENEWAL_SECONDS: i64 = 14 * 24 * 3600;
/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_aws_can_reach_is_public() {
        for (address, wanted) in [
            ("203.0.113.7", true),
            ("2606:4700::1", true),
            ("10.0.0.7", false),
            ("192.168.1.1", false),
            ("172.31.0.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), wanted, "{address}");
        }
    }

    #[test]
    fn a_key_is_told_as_it_stands_there() {
        let rsa = json!({ "kty": "RSA", "n": "A".repeat(342), "alg": "RS256", "use": "sig", "kid": "a\n1" });
        assert_eq!(key_in_words(&rsa), "RSA 2048 bits  alg RS256  use sig  kid a\u{fffd}1");
        assert_eq!(key_in_words(&json!({ "kty": "EC", "crv": "P-256" })), "EC P-256");
        assert_eq!(key_in_words(&json!(7)), "?");
    }
}
