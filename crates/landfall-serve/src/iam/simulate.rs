//! The policy simulator: what policies would say of calls that nobody makes. It asks the engine that
//! decides the real ones.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html>

mod input;

use std::sync::Arc;

use landfall_policy::ast::{Effect, PatternClause};
use landfall_policy::catalogue;
use landfall_policy::decide::{Named, is_decided_by_trust};
use landfall_policy::trace::trace;
use landfall_policy::{
    Context, Decision, Denial, Layer, Layers, Outcome, Policy, PolicyKind, Principal, Problem, Request,
    decide, parse, pattern,
};
use landfall_types::{AccountId, Arn, Span};
use landfall_wire::error::AwsError;

use self::input::{account_in, check_action, check_resources, entries, invalid, not_an_arn};
use super::entity::find;
use super::holders::Holder;
use super::{account_of, error};
use crate::authz::{Permit, calls};
use crate::policies::NOT_KEPT;
use crate::store::{Document, Group, Role, User, principals};
use crate::world::World;

/// Condition keys with their values.
type Keys = Vec<(String, Vec<String>)>;

/// Calls that one simulation answers: actions times resources.
const QUESTIONS_MAX: usize = 10_000;

/// `aws:userid` of a caller that isn't said (captured).
const NOBODY: &str = "STUB_PRINCIPAL_FOR_POLICY_SIMULATOR";

/// What the answer on several resources is about, by the service of the action: captured, and not what AWS documents
/// as its types of resource, which stand in for services that aren't here.
const TEMPLATES: [(&str, &str); 3] = [
    ("ecr", "arn:aws:ecr:${Region}:${Account}:repository/${RepositoryName}"),
    ("ecs", "arn:aws:ecs:${Region}:${Account}:${ResourceType}/${ResourcePath}"),
    ("s3", "arn:aws:s3:::${BucketName}/${KeyName}"),
];

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
            Self::Boundary => "Permissions Boundary Policy",
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
    /// `ContextEntries`.
    pub context: Vec<ContextEntry>,
}

/// One of `ContextEntries`, as it was given.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ContextEntry {
    /// `ContextKeyName`.
    pub name: Option<String>,
    /// `ContextKeyType`.
    pub kind: Option<String>,
    /// `ContextKeyValues`.
    pub values: Vec<String>,
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

/// The answer to one action on all resources.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Its place among the actions.
    pub index: usize,
    /// The action.
    pub action: String,
    /// The most restrictive of the answers, on the resource, `*`, or the template of what the action is about.
    pub whole: Evaluated,
    /// The answer on each resource that was named; none when none was.
    pub each: Vec<Evaluated>,
}

/// The answer to one action on one resource.
#[derive(Clone, Debug)]
pub struct Evaluated {
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
) -> Result<Vec<Simulated>, AwsError> {
    if input.resource_policy.is_some() && input.caller.is_none() {
        return Err(invalid("Invalid caller - Caller cannot be null or empty."));
    }
    let account = account_of(permit, world);
    let nobody = Arn::user(account, "/", "simulated");
    let principal = Principal::User { arn: nobody, id: None };
    let keys =
        with_tags(&[("aws:PrincipalAccount", account.to_string()), ("aws:userid", NOBODY.to_owned())], &[]);
    Simulation::new(world, input, Vec::new(), None, (principal, keys))?.run()
}

/// `SimulatePrincipalPolicy`.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub fn simulate_principal(
    world: &World,
    permit: &Permit<calls::SimulatePrincipalPolicy>,
    input: Simulate,
) -> Result<Vec<Simulated>, AwsError> {
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
    keys: Keys,
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

fn with_tags(keys: &[(&str, String)], tags: &[(String, String)]) -> Keys {
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
    /// Whose the resources are, whatever their names say.
    owner: Option<String>,
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
        (principal, known): (Principal, Keys),
    ) -> Result<Self, AwsError> {
        identity.extend(given(&input.policies, "PolicyInputList", SourceKind::Given)?);
        if input.boundaries.len() > 1 {
            return Err(invalid("The list of Permissions Boundary policies cannot exceed 1 items."));
        }
        let boundaries =
            given(&input.boundaries, "PermissionsBoundaryPolicyInputList", SourceKind::Boundary)?;
        let mut boundary = boundaries.into_iter().next().or(boundary);
        identity.retain(|source| !input.excluded.iter().any(|excluded| excluded.covers(source)));
        if boundary.as_ref().is_some_and(|source| input.excluded.iter().any(|one| one.covers(source))) {
            boundary = None;
        }
        check_resources(&input.resources)?;
        let level = |(index, texts): (usize, &Vec<String>)| {
            if texts.is_empty() {
                return Err(invalid(format!(
                    "Organization policy at index {} must contain at least one service control policy",
                    index + 1
                )));
            }
            let list = format!("OrderedOrganizationPolicyInputList.{}", index + 1);
            given(texts, &list, SourceKind::Organization)
        };
        let organization =
            input.organization.iter().enumerate().map(level).collect::<Result<Vec<_>, AwsError>>()?;
        let (principal, known) = match input.caller.as_deref() {
            Some(caller) => called(world, caller)?,
            None => (principal, known),
        };
        let owner = input.resource_owner.as_deref().map(account_in).transpose()?;
        let resource = input.resource_policy.as_deref().map(|text| resource_policy(text, &input.resources));
        let resource = resource.transpose()?;
        let given_keys = entries(input.context)?;
        let mut context = Context::new();
        let now = world.clock.now();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:EpochTime", now.seconds().to_string());
        for (name, values) in known {
            context.set_all(name, values);
        }
        for key in &given_keys {
            context.set_key(key.clone());
        }
        let mut simulation = Self {
            identity,
            boundary,
            organization,
            resource,
            actions: input.actions.iter().map(|action| check_action(action)).collect::<Result<_, _>>()?,
            resources: input.resources,
            owner,
            trusting: trusting(principal.account()),
            principal,
            context,
            missing: Vec::new(),
        };
        let all = simulation.identity.iter().chain(&simulation.boundary).chain(&simulation.resource);
        let mut missing = context_keys(all);
        missing.retain(|key| !given_keys.iter().any(|given| given.name.eq_ignore_ascii_case(key)));
        simulation.missing = missing;
        Ok(simulation)
    }

    fn run(&self) -> Result<Vec<Simulated>, AwsError> {
        let any = ["*".to_owned()];
        let resources = if self.resources.is_empty() { &any[..] } else { &self.resources };
        if self.actions.len().saturating_mul(resources.len()) > QUESTIONS_MAX {
            let message = format!("at most {QUESTIONS_MAX} pairs of an action and a resource are simulated");
            return Err(error("InvalidInput", message, 400));
        }
        let simulate = |(index, action): (usize, &String)| {
            let each: Vec<Evaluated> =
                resources.iter().map(|resource| self.evaluate(action, resource)).collect();
            let whole = whole(self.about(action, resources), &each);
            let is_about_all = matches!(resources, [resource] if resource == "*");
            let each = if is_about_all { Vec::new() } else { each };
            Simulated { index, action: action.clone(), whole, each }
        };
        Ok(self.actions.iter().enumerate().map(simulate).collect())
    }

    /// What the answer to an action is about. Captured: one resource as it was named, several as the template of the
    /// service's.
    fn about(&self, action: &str, resources: &[String]) -> String {
        if let [resource] = resources {
            return resource.clone();
        }
        let service = action.split_once(':').map_or("", |(service, _)| service).to_ascii_lowercase();
        let captured = TEMPLATES.iter().find(|(known, _)| *known == service).map(|(_, template)| *template);
        let documented = || {
            let facts = catalogue::action(action)?;
            let kind = facts.resource_types.first()?;
            catalogue::resource_type(facts.service, kind.name).map(|kind| kind.arn)
        };
        let Some(template) = captured.or_else(documented) else { return "*".to_owned() };
        let partition = resources.iter().find_map(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        template.replacen("arn:aws:", &format!("arn:{partition}:"), 1).replace("${Partition}", partition)
    }

    fn evaluate(&self, action: &str, resource: &str) -> Evaluated {
        // Without a policy of the resource there is nothing to ask on another side (captured).
        let owner = self.resource.as_ref().and_then(|_| {
            let named = || Arn::parse(resource).ok()?.account_id().map(|owner| owner.to_string());
            self.owner.clone().or_else(named)
        });
        let request = Request {
            principal: self.principal.clone(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            resource_account: owner.unwrap_or_else(|| self.principal.account().to_owned()),
            context: self.context.clone(),
        };
        let layers = self.layers(action);
        let decision = decide(&layers, &request);
        let verdict = verdict(&decision);
        let crosses = request.resource_account != self.principal.account();
        let organization_allows = (!self.organization.is_empty()).then(|| {
            self.organization
                .iter()
                .all(|level| self.alone(level.iter().map(Source::named).collect(), &request))
        });
        let mut evaluated = Evaluated {
            resource: resource.to_owned(),
            verdict,
            matched: Vec::new(),
            missing: Vec::new(),
            boundary_allows: None,
            organization_allows,
            sides: Vec::new(),
        };
        // What an organization refuses is not looked at further (captured).
        if organization_allows == Some(false) {
            return evaluated;
        }
        evaluated.matched = self.matched(&layers, &request, verdict);
        if verdict == "implicitDeny" {
            evaluated.missing.clone_from(&self.missing);
        }
        evaluated.boundary_allows =
            self.boundary.as_ref().map(|source| self.alone(vec![source.named()], &request));
        if crosses {
            evaluated.sides = self.sides(&request);
        }
        evaluated
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
        let boundary = self.boundary.as_ref().map(|source| {
            let alone = Layers { identity: vec![source.named()], ..Layers::default() };
            (SourceKind::Boundary.name(), decide_alone(alone, request, &self.trusting))
        });
        let sides = [("IAM Policy", ours), ("Resource Policy", verdict(&decide(&theirs, request)))];
        sides.into_iter().chain(boundary).collect()
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

/// The answers on all resources as one: the most restrictive, with everything that decided.
fn whole(about: String, each: &[Evaluated]) -> Evaluated {
    let strictness = |verdict: &str| match verdict {
        "allowed" => 0,
        "implicitDeny" => 1,
        _ => 2,
    };
    let strictest = |verdicts: &mut dyn Iterator<Item = &'static str>| {
        verdicts.max_by_key(|verdict| strictness(verdict)).unwrap_or("implicitDeny")
    };
    let verdict = strictest(&mut each.iter().map(|one| one.verdict));
    // Beside a refusal in words, what allows elsewhere decided nothing.
    let deciding = each.iter().filter(|one| verdict != "explicitDeny" || one.verdict == verdict);
    let mut sides: Vec<(&'static str, &'static str)> = Vec::new();
    for (name, _) in each.iter().flat_map(|one| &one.sides) {
        if sides.iter().all(|(known, _)| known != name) {
            let of = each.iter().flat_map(|one| &one.sides).filter(|(other, _)| other == name);
            sides.push((name, strictest(&mut of.map(|(_, verdict)| *verdict))));
        }
    }
    let all = |allows: fn(&Evaluated) -> Option<bool>| {
        each.iter().filter_map(allows).reduce(|all, allowed| all && allowed)
    };
    Evaluated {
        resource: about,
        verdict,
        matched: once(deciding.flat_map(|one| &one.matched)),
        missing: once(each.iter().flat_map(|one| &one.missing)),
        boundary_allows: all(|one| one.boundary_allows),
        organization_allows: all(|one| one.organization_allows),
        sides,
    }
}

/// Each once, in the order in which they come.
fn once<'e, T: Clone + PartialEq + 'e>(all: impl Iterator<Item = &'e T>) -> Vec<T> {
    let mut seen: Vec<T> = Vec::new();
    for one in all {
        if !seen.contains(one) {
            seen.push(one.clone());
        }
    }
    seen
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

/// The policy of the resources, which have to be named.
fn resource_policy(text: &str, resources: &[String]) -> Result<Source, AwsError> {
    if resources.is_empty() || resources.iter().any(|resource| resource == "*") {
        return Err(invalid("Invalid Entity Arn: * does not clearly define entity type and name."));
    }
    let source = Source::given("ResourcePolicy".to_owned(), SourceKind::Resource, text)?;
    let clauses = source.policy.statements.iter().filter_map(|statement| statement.resource.as_ref());
    match clauses.flat_map(|clause| &clause.patterns).find(|pattern| pattern.value == "*") {
        None => Ok(source),
        Some(_) => Err(not_an_arn("*")),
    }
}

/// A simulated caller, a user, a group or a role, and what follows from its ARN (captured).
fn called(world: &World, text: &str) -> Result<(Principal, Keys), AwsError> {
    let wrong = || invalid("Invalid caller - Caller must be an IAM user, role or group in this context.");
    let arn = Arn::parse(text).map_err(|_| wrong())?;
    let account = arn.account_id().ok_or_else(wrong)?;
    let name = arn.resource.rsplit('/').next().unwrap_or_default().to_owned();
    let id = principals::holder_of(&world.store, text);
    let kind = arn.resource.split('/').next().unwrap_or_default().to_owned();
    let mut keys = vec![
        ("aws:PrincipalArn", text.to_owned()),
        ("aws:PrincipalAccount", account.to_string()),
        ("aws:userid", text.to_owned()),
    ];
    if kind == "user" {
        keys.push(("aws:username", name.clone()));
    }
    let principal = match (kind.as_str(), name.is_empty() || name == kind) {
        ("user" | "group", false) => Principal::User { arn, id },
        ("role", false) => Principal::Session {
            session: Arn::assumed_role(account, &name, "simulated"),
            role: arn,
            role_id: id,
        },
        _ => return Err(wrong()),
    };
    Ok((principal, with_tags(&keys, &[])))
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
