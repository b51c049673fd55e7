//! `landfall diff`: what a change of a trust or permission policy newly admits, and what it no longer
//! admits, each with a token or call that shows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use landfall_deliver::Failure;
use landfall_policy::ast::Effect;
use landfall_policy::decide::Named;
use landfall_policy::prove::{self, Change, Grant, TooLarge, Use};
use landfall_policy::region::{ProviderFacts, Region};
use landfall_policy::set::Language;
use landfall_policy::{Layers, Policy, PolicyKind, Principal, Request, catalogue, decide};
use landfall_serve::authz;
use landfall_types::{Arn, SourceMap};

use super::role::{self, RoleSource};
use super::serve::Format;
use super::{usage, who};
use crate::files::{self, Variables};
use crate::ui::{self, plain_text};

/// Arguments of `landfall diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DiffArgs {
    /// Before: a policy document (JSON), or a folder with Terraform
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// After, of the same kind
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The role, for folders; and for documents the one that they are about
    #[arg(long, value_name = "ROLE", default_value = "role")]
    role: String,
    /// An audience of the provider, for trust documents; may be repeated [default: sts.amazonaws.com]
    #[arg(long = "aud", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    #[command(flatten)]
    variables: Variables,
    /// The account, where the role's ARN doesn't say it
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  landfall diff old-trust.json new-trust.json
  landfall diff main/infra branch/infra --role deploy

Exit codes: 0 nothing is newly admitted; 1 something is, or it can't be proved
that nothing is; 2 wrong usage or unreadable input.";

/// One of the two sides.
struct Side {
    trust: Option<Arc<Policy>>,
    /// Permissions by name.
    identity: Vec<(String, Arc<Policy>)>,
    role: Arn,
    /// The providers that its trust policy names, and whether the account has them.
    providers: Vec<(ProviderFacts, bool)>,
    /// The permissions boundary's ARN.
    boundary: Option<String>,
    /// Policies that can't be worked out.
    unknown: Vec<String>,
    /// Why the trust policy isn't known whole.
    unknown_trust: Vec<String>,
}

/// One comparison.
struct Compared {
    what: String,
    change: Change,
    /// Whom each admits, in words, where that differs.
    before: Vec<String>,
    after: Vec<String>,
    /// What only the new one admits, in words.
    gained: Vec<String>,
    /// What only the old one admits.
    lost: Vec<String>,
}

impl Compared {
    fn is_same(&self) -> bool {
        self.change.is_none() && self.gained.is_empty() && self.lost.is_empty()
    }

    fn is_wider(&self) -> bool {
        self.change.gained.is_some() || !self.gained.is_empty() || !self.change.unknown.is_empty()
    }
}

/// Compares; tells whether nothing is newly admitted.
///
/// # Errors
/// Wrong usage, unreadable input, policies that pass a limit.
pub fn run(args: DiffArgs) -> Result<bool, Failure> {
    let sources = SourceMap::new();
    let old = side(&sources, &args.old, &args)?;
    let new = side(&sources, &args.new, &args)?;
    if old.trust.is_some() != new.trust.is_some()
        || old.identity.is_empty() != new.identity.is_empty() && old.trust.is_none()
    {
        return Err(usage(
            "OLD and NEW are of different kinds: two trust policies, two permission policies, or two folders are expected",
        ));
    }
    let mut compared = Vec::new();
    if let (Some(before), Some(after)) = (&old.trust, &new.trust) {
        for provider in providers(&old, &new) {
            let role = new.role.to_string();
            let mut change = prove::diff_trust(before, after, &provider, &role).map_err(too_large)?;
            change.unknown.extend(provider_change(&old, &new, &provider.arn));
            let strata = |trust: &Policy| -> Result<Vec<String>, TooLarge> {
                let who = prove::who(trust, &provider, &role, &[])?;
                Ok(who.strata.into_iter().map(|stratum| stratum.words).collect())
            };
            let (mut old, mut new) = (strata(before).map_err(too_large)?, strata(after).map_err(too_large)?);
            only_there(&mut old, &mut new);
            let what = format!("tokens of https://{}", provider.host);
            let (gained, lost) = (Vec::new(), Vec::new());
            compared.push(Compared { what, change, before: old, after: new, gained, lost });
        }
        compared.extend(principals(before, after, &new.role.to_string()));
        compared.extend(unknown_trust(&old, &new));
    }
    if !old.identity.is_empty() || !new.identity.is_empty() {
        let mut change = permissions(&old, &new).map_err(too_large)?;
        change.unknown.extend(old.unknown.iter().chain(&new.unknown).cloned());
        if old.boundary != new.boundary {
            change.unknown.push("the permissions boundary changes too, and is not compared".to_owned());
        }
        let gained = change.gained.is_some().then(|| grants_beyond(&new, &old));
        let lost = change.lost.is_some().then(|| grants_beyond(&old, &new));
        let what = "calls of the role's sessions".to_owned();
        let (gained, lost) = (gained.unwrap_or_default(), lost.unwrap_or_default());
        let (before, after) = (Vec::new(), Vec::new());
        compared.push(Compared { what, change, before, after, gained, lost });
    }
    match args.format {
        Format::Text => compared.iter().for_each(show),
        Format::Json => ui::json(json(&compared)),
    }
    Ok(!compared.iter().any(Compared::is_wider))
}

/// The trust policies as far as they aren't known.
fn unknown_trust(old: &Side, new: &Side) -> Option<Compared> {
    let of = |side: &Side, when: &str| -> Vec<String> {
        side.unknown_trust.iter().map(|because| format!("{when} {because}")).collect()
    };
    let unknown = [of(old, "before:"), of(new, "after:")].concat();
    let change = Change { gained: None, lost: None, unknown };
    let [before, after, gained, lost] = [const { Vec::new() }; 4];
    let what = "the trust policy".to_owned();
    (!change.unknown.is_empty()).then_some(Compared { what, change, before, after, gained, lost })
}

/// Takes out what stands on both sides.
fn only_there(left: &mut Vec<String>, right: &mut Vec<String>) {
    let both: Vec<String> = left.iter().filter(|one| right.contains(one)).cloned().collect();
    left.retain(|one| !both.contains(one));
    right.retain(|one| !both.contains(one));
}

/// Those who need no token; none when neither policy names any.
fn principals(old: &Policy, new: &Policy, role: &str) -> Option<Compared> {
    let grants = |trust: &Policy| -> Vec<String> {
        let of_use = prove::grants(trust, role).into_iter().filter(|grant| grant.use_ != Use::Never);
        let words = |grant: Grant| match grant.conditions.as_slice() {
            [] => format!("{} by {}", grant.words, grant.action),
            some => format!("{} by {}, if {}", grant.words, grant.action, some.join(" and ")),
        };
        of_use.map(words).collect()
    };
    let (mut lost, mut gained) = (grants(old), grants(new));
    if lost.is_empty() && gained.is_empty() {
        return None;
    }
    only_there(&mut lost, &mut gained);
    let change = Change { gained: None, lost: None, unknown: Vec::new() };
    let (before, after) = (Vec::new(), Vec::new());
    Some(Compared { what: "without an ID token".to_owned(), change, before, after, gained, lost })
}

/// The most pairs of action and resource that are asked about one by one.
const PAIRS_MAX: usize = 400;

/// The actions and resources of one side's grants, of which some calls are allowed there and not on the
/// other side, in the policies' own patterns.
fn grants_beyond(side: &Side, other: &Side) -> Vec<String> {
    let mut by_resource: Vec<(String, Vec<String>)> = Vec::new();
    let mut asked = 0;
    let statements = side.identity.iter().flat_map(|(_, policy)| &policy.statements);
    for statement in statements.filter(|statement| statement.effect == Effect::Allow) {
        let resources = statement.resource.as_ref().filter(|clause| !clause.negated);
        let is_plain = !statement.action.negated;
        for resource in resources.iter().flat_map(|clause| &clause.patterns) {
            for action in statement.action.patterns.iter().filter(|_| is_plain) {
                asked += 1;
                let is_known = by_resource
                    .iter()
                    .any(|(known, actions)| *known == resource.value && actions.contains(&action.value));
                if asked > PAIRS_MAX || is_known || !is_beyond(side, other, &action.value, &resource.value) {
                    continue;
                }
                match by_resource.iter_mut().find(|(known, _)| *known == resource.value) {
                    Some((_, actions)) => actions.push(action.value.clone()),
                    None => by_resource.push((resource.value.clone(), vec![action.value.clone()])),
                }
            }
        }
    }
    let words = |(resource, actions): (String, Vec<String>)| format!("{} on {resource}", actions.join(", "));
    by_resource.into_iter().map(words).collect()
}

fn is_beyond(side: &Side, other: &Side, action: &str, resource: &str) -> bool {
    let resource = if resource == "*" { Language::all() } else { Language::arn(resource) };
    let region = sessions(side, Language::glob_ignore_case(action), resource);
    prove::diff(&layers(other), &layers(side), &region).is_ok_and(|change| change.gained.is_some())
}

fn too_large(too_large: TooLarge) -> Failure {
    usage(format!("the policies are {too_large}"))
}

fn side(sources: &SourceMap, path: &Path, args: &DiffArgs) -> Result<Side, Failure> {
    let is_folder = path.is_dir();
    let kind = if is_folder { PolicyKind::Trust } else { kind_of(sources, path)? };
    let source = RoleSource {
        infra: if is_folder { vec![path.to_owned()] } else { Vec::new() },
        policy: (!is_folder).then(|| path.to_owned()),
        audiences: args.audiences.clone(),
        variables: args.variables.clone(),
        account: args.account.clone(),
    };
    let found = role::find(sources, &args.role, &source, kind, None)?;
    let trust = Arc::clone(&found.role.trust.policy);
    let providers = who::providers(&found);
    Ok(Side {
        trust: (kind == PolicyKind::Trust).then_some(trust),
        identity: authz::permissions_of(&found.world, &found.role),
        role: found.role.arn.clone(),
        providers,
        boundary: found.role.boundary.clone(),
        unknown: found
            .unknown
            .iter()
            .cloned()
            .chain(found.unknown_permissions(&found.role, sources))
            .collect(),
        unknown_trust: [found.unknown_trust(sources), found.refused_trust(sources)].concat(),
    })
}

/// A document with a principal is a trust policy, one without is about permissions.
fn kind_of(sources: &SourceMap, path: &Path) -> Result<PolicyKind, Failure> {
    let source = files::read(sources, path)?;
    let (tree, _) = landfall_policy::json::parse(source, &sources.text(source));
    let statements = tree.field("Statement");
    let one = statements.filter(|tree| !tree.entries().is_empty());
    let mut all = statements.into_iter().flat_map(|tree| tree.items()).chain(one);
    let has_principal = all.any(|it| it.field("Principal").is_some() || it.field("NotPrincipal").is_some());
    Ok(if has_principal { PolicyKind::Trust } else { PolicyKind::Identity })
}

fn providers(old: &Side, new: &Side) -> Vec<ProviderFacts> {
    let mut all: Vec<ProviderFacts> = Vec::new();
    for (provider, _) in new.providers.iter().chain(&old.providers) {
        if !all.iter().any(|known| known.arn == provider.arn) {
            all.push(provider.clone());
        }
    }
    all
}

/// The policies are compared for one set of audiences: where the provider itself changes, more may get in
/// than the policies tell.
fn provider_change(old: &Side, new: &Side, arn: &str) -> Option<String> {
    let on = |side: &Side| side.providers.iter().find(|(provider, _)| provider.arn == arn).cloned();
    let (Some((before, was_there)), Some((after, is_there))) = (on(old), on(new)) else { return None };
    if was_there != is_there {
        let what = if is_there { "is made" } else { "is removed" };
        return Some(format!("the provider {what} by the same change, and is taken as being there"));
    }
    // Where other audiences are possible on both sides, all of them have been compared.
    let is_whole = before.may_have_others && after.may_have_others;
    (before.client_ids != after.client_ids && !is_whole).then(|| {
        format!(
            "the provider's audiences change too, from {} to {}, and only the latter are compared",
            before.client_ids.join(", "),
            after.client_ids.join(", ")
        )
    })
}

fn permissions(old: &Side, new: &Side) -> Result<Change, TooLarge> {
    let region = sessions(new, Language::glob("?*:?*"), Language::glob("*"));
    let mut change = prove::diff(&layers(old), &layers(new), &region)?;
    change.gained = change.gained.map(|request| with_real_names(request, new, old));
    change.lost = change.lost.map(|request| with_real_names(request, old, new));
    Ok(change)
}

/// The same call with an action that AWS has, and a resource that has a name, where such a one is allowed by
/// the same side alone as well.
fn with_real_names(request: Request, by: &Side, not_by: &Side) -> Request {
    let is_so = |request: &Request| {
        decide(&layers(by), request).is_allowed() && !decide(&layers(not_by), request).is_allowed()
    };
    let Some((service, name)) = request.action.split_once(':') else { return request };
    let known = catalogue::actions_of(service);
    let is_same = |facts: &&catalogue::ActionFacts| facts.name.eq_ignore_ascii_case(&request.action);
    let begins = |facts: &&catalogue::ActionFacts| {
        let own = facts.name.split_once(':').map_or("", |(_, own)| own);
        own.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let names = known.iter().filter(is_same).chain(known.iter().filter(begins)).chain(known);
    let actions = names.map(|facts| facts.name.to_owned()).chain([request.action.clone()]);
    let resources: Vec<String> = match request.resource.ends_with('/') {
        true => vec![format!("{}any", request.resource), request.resource.clone()],
        false => vec![request.resource.clone()],
    };
    let mut calls = actions.flat_map(|action| {
        let named = |resource: &String| Request {
            action: action.clone(),
            resource: resource.clone(),
            ..request.clone()
        };
        resources.iter().map(named).collect::<Vec<_>>()
    });
    calls.find(is_so).unwrap_or_else(|| request.clone())
}

/// Calls of sessions of a role.
fn sessions(side: &Side, actions: Language, resources: Language) -> Region {
    let account = side.role.account_id();
    let session = account.map(|account| Arn::assumed_role(account, role_name(&side.role), "session"));
    let principal = match session {
        Some(session) => Principal::Session { session, role: side.role.clone(), role_id: None },
        None => Principal::Anonymous,
    };
    Region::product(principal, actions, resources, &side.role.account, Vec::new())
}

fn role_name(arn: &Arn) -> &str {
    arn.role_path_and_name().map_or("role", |(_, name)| name)
}

fn layers(side: &Side) -> Layers<'_> {
    Layers {
        identity: side
            .identity
            .iter()
            .map(|(name, policy)| Named { name: name.as_str().into(), policy })
            .collect(),
        ..Layers::default()
    }
}

fn show(compared: &Compared) {
    ui::line(ui::styled(ui::BOLD, &compared.what));
    let change = &compared.change;
    if compared.is_same() {
        ui::line(format!("  {} the same are admitted as before", ui::styled(ui::GOOD, "=")));
    }
    for (request, words, sign, what) in [
        (&change.gained, &compared.gained, ui::styled(ui::BAD, "+"), "newly admitted"),
        (&change.lost, &compared.lost, ui::styled(ui::DIM, "-"), "no longer admitted"),
    ] {
        if request.is_none() && words.is_empty() {
            continue;
        }
        ui::line(format!("  {sign} {what}"));
        words.iter().for_each(|one| ui::line(format!("      {}", plain_text(one))));
        if let Some(request) = request {
            ui::line(ui::styled(ui::DIM, "      for instance"));
            for (name, value) in telling(request) {
                ui::line(format!("        {name} {}", plain_text(&value)));
            }
        }
    }
    for (side, words) in [("before", &compared.before), ("after ", &compared.after)] {
        if compared.is_same() {
            break;
        }
        words.iter().for_each(|one| ui::line(format!("    {side} {}", plain_text(one))));
        if words.is_empty() && !(compared.before.is_empty() && compared.after.is_empty()) {
            ui::line(format!("    {side} nobody else"));
        }
    }
    for unknown in &change.unknown {
        ui::line(format!("  ? not known: {}", plain_text(unknown)));
    }
}

/// What tells a request from others: the token's keys, or action, resource and keys.
fn telling(request: &Request) -> Vec<(String, String)> {
    let mut told = Vec::new();
    if request.action != landfall_policy::region::WEB_IDENTITY {
        told.push(("action".to_owned(), request.action.clone()));
        told.push(("resource".to_owned(), request.resource.clone()));
    }
    let is_token = matches!(request.principal, Principal::Federated { .. });
    // Of a token its subject, its audience and whose it is.
    let shown = [":sub", ":aud", ":repository", ":environment", ":ref"];
    let keys =
        request.context.iter().filter(|key| !is_token || shown.iter().any(|end| key.name.ends_with(end)));
    told.extend(keys.map(|key| (key.name.clone(), key.values.join(", "))));
    told
}

fn json(compared: &[Compared]) -> serde_json::Value {
    let request =
        |request: &Request| telling(request).into_iter().collect::<std::collections::BTreeMap<_, _>>();
    compared
        .iter()
        .map(|one| {
            serde_json::json!({
                "what": one.what,
                "same": one.is_same(),
                "gained": one.change.gained.as_ref().map(request),
                "lost": one.change.lost.as_ref().map(request),
                "words": {
                    "before": one.before, "after": one.after, "gained": one.gained, "lost": one.lost,
                },
                "unknown": one.change.unknown,
            })
        })
        .collect()
}
