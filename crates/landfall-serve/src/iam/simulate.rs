//! The policy simulator: what policies would say of calls that nobody makes. It asks the engine that
//! decides the real ones.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html>

use std::sync::Arc;

use landfall_policy::ast::{Effect, PatternClause};
use landfall_policy::decide::{Named, is_decided_by_trust};
use landfall_policy::request::ContextKey;
use landfall_policy::trace::trace;
use landfall_policy::{
    Context, Decision, Denial, Layer, Layers, Outcome, Policy, PolicyKind, Principal, Problem, Request,
    decide, parse, pattern,
};
use landfall_types::{AccountId, Arn, Span};
use landfall_wire::error::AwsError;

use super::entity::find;
use super::holders::Holder;
use super::{account_of, error};
use crate::authz::{Permit, calls};
use crate::policies::NOT_KEPT;
use crate::store::{Document, Group, Role, User, principals};
use crate::world::World;

/// Calls that one simulation answers: actions times resources.
const QUESTIONS_MAX: usize = 10_000;

/// What is said of a resource's policy that names resources.
const RESOURCE_NAMED: &str = "Has prohibited field Resource";

/// A policy text with the name under which statements of it are told.
#[derive(Clone, Debug)]
struct Source {
    /// `role_NAME_POLICY`, a managed policy's name, or `PolicyInputList.1` (captured).
    id: String,
    kind: SourceKind,
    /// The ARN of a managed policy.
    arn: Option<String>,
    text: Arc<str>,
    policy: Policy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SourceKind {
    Given,
    Inline,
    Managed,
    Boundary,
    Organization,
    Resource,
}

impl SourceKind {
    /// `SourcePolicyType` (captured for identity policies; the model's enumeration is not what is sent).
    fn name(self) -> &'static str {
        match self {
            Self::Given | Self::Inline | Self::Managed => "IAM Policy",
            Self::Boundary => "IAM Permissions Boundary Policy",
            Self::Organization => "AWS Organizations Policy",
            Self::Resource => "Resource Policy",
        }
    }
}

/// What is to be simulated, beside the policies of a principal.
#[derive(Clone, Default, Debug)]
pub struct Simulate {
    /// `PolicyInputList`.
    pub policies: Vec<String>,
    /// `PermissionsBoundaryPolicyInputList`.
    pub boundaries: Vec<String>,
    /// `OrderedOrganizationPolicyInputList`, from the root down.
    pub organization: Vec<Vec<String>>,
    /// `PolicyExclusionList`.
    pub excluded: Vec<Excluded>,
    /// `ActionNames`.
    pub actions: Vec<String>,
    /// `ResourceArns`.
    pub resources: Vec<String>,
    /// `ResourcePolicy`.
    pub resource_policy: Option<String>,
    /// `ResourceOwner`.
    pub resource_owner: Option<String>,
    /// `CallerArn`.
    pub caller: Option<String>,
    /// `ContextEntries`: keys with their types and values.
    pub context: Vec<ContextKey>,
}

/// Policies that are left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Excluded {
    /// All of a type: `inline`, `aws-managed`, `user-managed`, `permission-boundary`, `scp`, `rcp`.
    Type(String),
    /// Managed policies whose ARN fits a pattern.
    Arn(String),
    /// An inline policy by its source id, `role_NAME_POLICY`; the name may be a pattern.
    Inline(String),
}

impl Excluded {
    fn covers(&self, source: &Source) -> bool {
        match self {
            Self::Type(kind) => source.type_name() == Some(kind.as_str()),
            Self::Arn(wanted) => source.arn.as_ref().is_some_and(|arn| pattern::glob(wanted, arn)),
            Self::Inline(wanted) => source.kind == SourceKind::Inline && pattern::glob(wanted, &source.id),
        }
    }
}

impl Source {
    fn new(id: String, kind: SourceKind, text: &str) -> Self {
        let (policy, _) = parse::document(NOT_KEPT, text, PolicyKind::Identity);
        Self { id, kind, arn: None, text: text.into(), policy }
    }

    fn given(id: String, kind: SourceKind, text: &str) -> Result<Self, AwsError> {
        let is_resource = kind == SourceKind::Resource;
        let policy_kind = if is_resource { PolicyKind::Resource } else { PolicyKind::Identity };
        let (policy, problems) = parse::document(NOT_KEPT, text, policy_kind);
        // Policies of repositories name no resource, and those of buckets do: a simulation takes either.
        let is_one = |problem: &&Problem| !is_resource || problem.message != RESOURCE_NAMED;
        match problems.iter().find(is_one) {
            None => Ok(Self { id, kind, arn: None, text: text.into(), policy }),
            Some(problem) => Err(error("InvalidInput", format!("{id}: {}", problem.message), 400)),
        }
    }

    fn type_name(&self) -> Option<&'static str> {
        let is_aws = || self.arn.as_deref().is_some_and(|arn| arn.contains(":iam::aws:"));
        match self.kind {
            SourceKind::Inline => Some("inline"),
            SourceKind::Managed if is_aws() => Some("aws-managed"),
            SourceKind::Managed => Some("user-managed"),
            SourceKind::Boundary => Some("permission-boundary"),
            SourceKind::Organization => Some("scp"),
            SourceKind::Given | SourceKind::Resource => None,
        }
    }

    fn named(&self) -> Named<'_> {
        Named { name: self.id.as_str().into(), policy: &self.policy }
    }

    /// Where a statement stands: from behind what stands before it to behind its own end (captured).
    fn place(&self, span: Span) -> ((usize, usize), (usize, usize)) {
        let (start, end) = (span.start as usize, span.end as usize);
        let before = self.text.get(..start).unwrap_or_default().trim_end().len();
        (position(&self.text, before), position(&self.text, end))
    }
}

/// Line and column, from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// A statement that decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// `SourcePolicyId`.
    pub id: String,
    /// `SourcePolicyType`.
    pub kind: &'static str,
    /// Line and column of its start.
    pub start: (usize, usize),
    /// Line and column of its end.
    pub end: (usize, usize),
}

/// The answer to one action on one resource.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The action.
    pub action: String,
    /// The resource, or `*`.
    pub resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub verdict: &'static str,
    /// The statements that decided.
    pub matched: Vec<Matched>,
    /// Context keys that the policies ask for and that were not given.
    pub missing: Vec<String>,
    /// Whether the boundary allows it; none without one.
    pub boundary_allows: Option<bool>,
    /// Whether the organization's policies allow it; none without them.
    pub organization_allows: Option<bool>,
    /// For calls between accounts: what each side says.
    pub sides: Vec<(&'static str, &'static str)>,
}

/// `SimulateCustomPolicy`.
///
/// # Errors
/// `InvalidInput`.
pub fn simulate_custom(
    world: &World,
    permit: &Permit<calls::SimulateCustomPolicy>,
    input: Simulate,
) -> Result<Vec<Evaluated>, AwsError> {
    if input.resource_policy.is_some() && input.caller.is_none() {
        return Err(error("InvalidInput", "CallerArn is required when a ResourcePolicy is given.", 400));
    }
    let account = account_of(permit, world);
    let nobody = Arn::user(account, "/", "simulated");
    let principal = Principal::User { arn: nobody, id: None };
    Simulation::new(world, input, Vec::new(), None, (principal, Vec::new()))?.run()
}

/// `SimulatePrincipalPolicy`.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub fn simulate_principal(
    world: &World,
    permit: &Permit<calls::SimulatePrincipalPolicy>,
    input: Simulate,
) -> Result<Vec<Evaluated>, AwsError> {
    let of = Policies::of(world, permit)?;
    Simulation::new(world, input, of.identity, of.boundary, (of.principal, of.keys))?.run()
}

/// `GetContextKeysForCustomPolicy`.
///
/// # Errors
/// `InvalidInput`.
pub fn keys_for_custom(
    _permit: &Permit<calls::GetContextKeysForCustomPolicy>,
    policies: &[String],
) -> Result<Vec<String>, AwsError> {
    Ok(context_keys(given(policies, "PolicyInputList", SourceKind::Given)?.iter()))
}

/// `GetContextKeysForPrincipalPolicy`.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub fn keys_for_principal(
    world: &World,
    permit: &Permit<calls::GetContextKeysForPrincipalPolicy>,
    policies: &[String],
) -> Result<Vec<String>, AwsError> {
    let more = given(policies, "PolicyInputList", SourceKind::Given)?;
    Ok(context_keys(Policies::of(world, permit)?.identity.iter().chain(&more)))
}

fn given(texts: &[String], list: &str, kind: SourceKind) -> Result<Vec<Source>, AwsError> {
    let one = |(index, text): (usize, &String)| Source::given(format!("{list}.{}", index + 1), kind, text);
    texts.iter().enumerate().map(one).collect()
}

/// The policies of a principal that stands in an account, and what is known of it.
struct Policies {
    identity: Vec<Source>,
    boundary: Option<Source>,
    principal: Principal,
    keys: Vec<(String, Vec<String>)>,
}

impl Policies {
    fn of<C>(world: &World, permit: &Permit<C>) -> Result<Self, AwsError> {
        let text = permit.resource();
        let unclear = || {
            let message = format!("Invalid Entity Arn: {text} does not clearly define entity type and name.");
            error("InvalidInput", message, 400)
        };
        let arn = Arn::parse(text).map_err(|_| unclear())?;
        let account = arn.account_id().ok_or_else(unclear)?;
        let name = arn.resource.rsplit('/').next().unwrap_or_default();
        match arn.resource.split('/').next() {
            Some("role") => {
                let role = find::<Role, C>(world, permit, name)?;
                Ok(Self::of_role(world, account, &role))
            }
            Some("user") => {
                let user = find::<User, C>(world, permit, name)?;
                Ok(Self::of_user(world, account, &user))
            }
            Some("group") => {
                let group = find::<Group, C>(world, permit, name)?;
                let nobody = Arn::user(account, "/", "simulated");
                Ok(Self {
                    identity: held(world, &group.name, &*group),
                    boundary: None,
                    principal: Principal::User { arn: nobody, id: None },
                    keys: Vec::new(),
                })
            }
            _ => Err(unclear()),
        }
    }

    fn of_role(world: &World, account: AccountId, role: &Role) -> Self {
        let session = Arn::assumed_role(account, &role.name, "simulated");
        let keys = [
            ("aws:PrincipalArn", role.arn.to_string()),
            ("aws:PrincipalAccount", account.to_string()),
            ("aws:PrincipalType", "AssumedRole".to_owned()),
        ];
        Self {
            identity: held(world, &role.name, role),
            boundary: boundary(world, role),
            principal: Principal::Session { session, role: role.arn.clone(), role_id: Some(role.id.clone()) },
            keys: with_tags(&keys, &role.tags),
        }
    }

    fn of_user(world: &World, account: AccountId, user: &User) -> Self {
        let mut identity = held(world, &user.name, user);
        for group in world.store.groups_of(user) {
            identity.extend(held(world, &group.name, &*group));
        }
        let keys = [
            ("aws:PrincipalArn", user.arn.to_string()),
            ("aws:PrincipalAccount", account.to_string()),
            ("aws:PrincipalType", "User".to_owned()),
            ("aws:username", user.name.clone()),
            ("aws:userid", user.id.clone()),
        ];
        Self {
            identity,
            boundary: boundary(world, user),
            principal: Principal::User { arn: user.arn.clone(), id: Some(user.id.clone()) },
            keys: with_tags(&keys, &user.tags),
        }
    }
}

fn with_tags(keys: &[(&str, String)], tags: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let keys = keys.iter().map(|(name, value)| ((*name).to_owned(), vec![value.clone()]));
    let tags = tags.iter().map(|(key, value)| (format!("aws:PrincipalTag/{key}"), vec![value.clone()]));
    keys.chain(tags).collect()
}

fn held<H: Holder>(world: &World, name: &str, holder: &H) -> Vec<Source> {
    let inline = holder.inline().iter().map(|(policy, document)| {
        Source::new(format!("{}_{name}_{policy}", H::NOUN), SourceKind::Inline, &document.text)
    });
    let attached = holder.attached().iter().map(|policy| managed(world, &policy.arn, SourceKind::Managed));
    inline.chain(attached).collect()
}

fn boundary<H: Holder>(world: &World, holder: &H) -> Option<Source> {
    holder.boundary().map(|arn| managed(world, arn, SourceKind::Boundary))
}

fn managed(world: &World, arn: &str, kind: SourceKind) -> Source {
    let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
    let own = world.store.policy(arn);
    let own: Option<&Document> = own.as_ref().and_then(|policy| policy.default_document());
    let text = own.map(|document| Arc::clone(&document.text));
    let aws = || landfall_policy::managed::by_arn(arn).map(|policy| policy.json.into());
    let text = text.or_else(aws).unwrap_or_else(|| r#"{"Version":"2012-10-17","Statement":[]}"#.into());
    Source { arn: Some(arn.to_owned()), ..Source::new(name, kind, &text) }
}

/// A simulation whose texts have been read.
struct Simulation {
    identity: Vec<Source>,
    boundary: Option<Source>,
    organization: Vec<Vec<Source>>,
    resource: Option<Source>,
    actions: Vec<String>,
    resources: Vec<String>,
    owner: String,
    principal: Principal,
    context: Context,
    missing: Vec<String>,
    /// For actions that a role's trust policy decides, when none is given: the account leaves it to the
    /// caller's policies.
    trusting: Policy,
}

impl Simulation {
    fn new(
        world: &World,
        input: Simulate,
        mut identity: Vec<Source>,
        boundary: Option<Source>,
        (principal, known): (Principal, Vec<(String, Vec<String>)>),
    ) -> Result<Self, AwsError> {
        identity.extend(given(&input.policies, "PolicyInputList", SourceKind::Given)?);
        let boundaries =
            given(&input.boundaries, "PermissionsBoundaryPolicyInputList", SourceKind::Boundary)?;
        let mut boundary = boundaries.into_iter().next().or(boundary);
        identity.retain(|source| !input.excluded.iter().any(|excluded| excluded.covers(source)));
        if boundary.as_ref().is_some_and(|source| input.excluded.iter().any(|one| one.covers(source))) {
            boundary = None;
        }
        let level = |(index, texts): (usize, &Vec<String>)| {
            let list = format!("OrderedOrganizationPolicyInputList.{}", index + 1);
            given(texts, &list, SourceKind::Organization)
        };
        let organization =
            input.organization.iter().enumerate().map(level).collect::<Result<Vec<_>, AwsError>>()?;
        let resource = input
            .resource_policy
            .as_ref()
            .map(|text| Source::given("ResourcePolicy".to_owned(), SourceKind::Resource, text));
        let principal = input.caller.as_deref().map_or(Ok(principal), |caller| called(world, caller))?;
        let owner = input.resource_owner.as_deref().map(account_in).transpose()?;
        let mut context = Context::new();
        let now = world.clock.now();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:EpochTime", now.seconds().to_string());
        for (name, values) in known {
            context.set_all(name, values);
        }
        for key in input.context {
            context.set_key(key);
        }
        let mut simulation = Self {
            identity,
            boundary,
            organization,
            resource: resource.transpose()?,
            actions: input.actions.iter().map(|action| check_action(action)).collect::<Result<_, _>>()?,
            resources: input.resources,
            owner: owner.unwrap_or_else(|| principal.account().to_owned()),
            trusting: trusting(principal.account()),
            principal,
            context,
            missing: Vec::new(),
        };
        let all = simulation.identity.iter().chain(&simulation.boundary).chain(&simulation.resource);
        let mut missing = context_keys(all);
        missing.retain(|key| simulation.context.get(key).is_none());
        simulation.missing = missing;
        Ok(simulation)
    }

    fn run(&self) -> Result<Vec<Evaluated>, AwsError> {
        let any = ["*".to_owned()];
        let resources = if self.resources.is_empty() { &any[..] } else { &self.resources };
        if self.actions.len().saturating_mul(resources.len()) > QUESTIONS_MAX {
            let message = format!("at most {QUESTIONS_MAX} pairs of an action and a resource are simulated");
            return Err(error("InvalidInput", message, 400));
        }
        let pairs = self.actions.iter().flat_map(|action| resources.iter().map(move |arn| (action, arn)));
        Ok(pairs.map(|(action, resource)| self.evaluate(action, resource)).collect())
    }

    fn evaluate(&self, action: &str, resource: &str) -> Evaluated {
        let named_owner = Arn::parse(resource).ok().and_then(|arn| arn.account_id());
        let request = Request {
            principal: self.principal.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            resource_account: named_owner.map_or_else(|| self.owner.clone(), |owner| owner.to_string()),
            context: self.context.clone(),
        };
        let layers = self.layers(action);
        let decision = decide(&layers, &request);
        let verdict = verdict(&decision);
        let crosses = request.resource_account != self.principal.account();
        Evaluated {
            action: action.to_owned(),
            resource: resource.to_owned(),
            verdict,
            matched: self.matched(&layers, &request, verdict),
            missing: self.missing.clone(),
            boundary_allows: self.boundary.as_ref().map(|source| self.alone(vec![source.named()], &request)),
            organization_allows: (!self.organization.is_empty()).then(|| {
                self.organization
                    .iter()
                    .all(|level| self.alone(level.iter().map(Source::named).collect(), &request))
            }),
            sides: if crosses { self.sides(&request) } else { Vec::new() },
        }
    }

    fn layers(&self, action: &str) -> Layers<'_> {
        let by_trust = is_decided_by_trust(action);
        let resource = self.resource.as_ref().map(Source::named);
        let account = || Named { name: "the account".into(), policy: &self.trusting };
        Layers {
            trust: by_trust.then(|| resource.clone().unwrap_or_else(account)),
            identity: self.identity.iter().map(Source::named).collect(),
            resource: resource.filter(|_| !by_trust).into_iter().collect(),
            boundary: self.boundary.as_ref().map(Source::named),
            service_control: self
                .organization
                .iter()
                .map(|level| level.iter().map(Source::named).collect())
                .collect(),
            ..Layers::default()
        }
    }

    /// What some policies say when they are a caller's only ones, in its own account.
    fn alone(&self, identity: Vec<Named<'_>>, request: &Request) -> bool {
        decide_alone(Layers { identity, ..Layers::default() }, request, &self.trusting) == "allowed"
    }

    /// For a call between accounts: the caller's side and the resource's.
    fn sides(&self, request: &Request) -> Vec<(&'static str, &'static str)> {
        let identity = self.identity.iter().map(Source::named).collect();
        let ours = decide_alone(Layers { identity, ..Layers::default() }, request, &self.trusting);
        let everything = Source::new(
            String::new(),
            SourceKind::Given,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
        );
        let theirs = Layers {
            identity: vec![everything.named()],
            resource: self.resource.iter().map(Source::named).collect(),
            ..Layers::default()
        };
        vec![("IAM Policy", ours), ("Resource Policy", verdict(&decide(&theirs, request)))]
    }

    /// The statements that decided: all that allow, or all that deny.
    fn matched(&self, layers: &Layers<'_>, request: &Request, verdict: &str) -> Vec<Matched> {
        let effect = match verdict {
            "allowed" => Effect::Allow,
            "explicitDeny" => Effect::Deny,
            _ => return Vec::new(),
        };
        let traces = trace(layers, request).into_iter();
        let decisive = traces.filter(|trace| trace.effect == effect && trace.applies());
        let told = decisive.filter(|trace| {
            effect == Effect::Deny || matches!(trace.statement.layer, Layer::Identity | Layer::Resource)
        });
        told.filter_map(|trace| {
            let source = self.sources().find(|source| source.id == trace.statement.policy)?;
            let (start, end) = source.place(trace.statement.span);
            Some(Matched { id: source.id.clone(), kind: source.kind.name(), start, end })
        })
        .collect()
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        let organization = self.organization.iter().flatten();
        self.identity.iter().chain(&self.boundary).chain(&self.resource).chain(organization)
    }
}

fn decide_alone<'p>(mut layers: Layers<'p>, request: &Request, trusting: &'p Policy) -> &'static str {
    let request = Request { resource_account: request.principal.account().to_owned(), ..request.clone() };
    if is_decided_by_trust(&request.action) {
        layers.trust = Some(Named { name: "the account".into(), policy: trusting });
        return verdict(&decide(&layers, &request));
    }
    verdict(&decide(&layers, &request))
}

fn verdict(decision: &Decision) -> &'static str {
    match &decision.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Denied(Denial::Explicit { .. }) => "explicitDeny",
        Outcome::Denied(Denial::Implicit { .. }) => "implicitDeny",
    }
}

fn trusting(account: &str) -> Policy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{account}"}},"Action":"sts:*"}}}}"#
    );
    parse::document(NOT_KEPT, &text, PolicyKind::Trust).0
}

fn check_action(action: &str) -> Result<String, AwsError> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match action.split_once(':') {
        Some((service, name)) if is_name(service) && is_name(name) => Ok(action.to_owned()),
        _ => Err(error("InvalidInput", format!("Invalid Action: {action}"), 400)),
    }
}

fn account_in(owner: &str) -> Result<String, AwsError> {
    let arn = Arn::parse(owner).ok().filter(|arn| arn.service == "iam").and_then(|arn| arn.account_id());
    let account = arn.or_else(|| AccountId::parse(owner).ok());
    let invalid = || error("InvalidInput", format!("Invalid ResourceOwner: {owner}"), 400);
    account.map(|account| account.to_string()).ok_or_else(invalid)
}

/// A simulated caller: a user, a group or a role.
fn called(world: &World, text: &str) -> Result<Principal, AwsError> {
    let invalid = || {
        let message = format!("Invalid Entity Arn: {text} does not clearly define entity type and name.");
        error("InvalidInput", message, 400)
    };
    let arn = Arn::parse(text).map_err(|_| invalid())?;
    let account = arn.account_id().ok_or_else(invalid)?;
    let name = arn.resource.rsplit('/').next().unwrap_or_default().to_owned();
    let id = principals::holder_of(&world.store, text);
    match arn.resource.split_once('/') {
        Some(("user" | "group", _)) => Ok(Principal::User { arn, id }),
        Some(("role", _)) => Ok(Principal::Session {
            session: Arn::assumed_role(account, &name, "simulated"),
            role: arn,
            role_id: id,
        }),
        _ if arn.resource == "root" => Ok(Principal::Root { arn }),
        _ => Err(invalid()),
    }
}

/// The keys of conditions and variables, each once, in order of appearance.
fn context_keys<'s>(sources: impl Iterator<Item = &'s Source>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut add = |key: &str| {
        if !keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            keys.push(key.to_owned());
        }
    };
    for statement in sources.flat_map(|source| &source.policy.statements) {
        for condition in &statement.conditions {
            add(&condition.key.value);
            condition.values.iter().for_each(|value| variables(&value.value, &mut add));
        }
        let patterns = |clause: &PatternClause| clause.patterns.clone();
        for resource in statement.resource.as_ref().map(patterns).unwrap_or_default() {
            variables(&resource.value, &mut add);
        }
    }
    keys
}

fn variables(text: &str, add: &mut impl FnMut(&str)) {
    let mut rest = text;
    while let Some((_, variable, after)) = pattern::next_variable(rest) {
        let (key, _) = pattern::key_and_default(variable);
        // `${*}`, `${?}` and `${$}` are characters.
        if key.contains(':') {
            add(key);
        }
        rest = after;
    }
}
