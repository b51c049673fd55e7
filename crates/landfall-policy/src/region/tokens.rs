//! Which tokens an issuer can issue, as STS shows them to a trust policy.
//! <https://docs.github.com/en/actions/reference/security/oidc>,
//! <https://docs.gitlab.com/ci/secrets/id_token_authentication/>,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
//!
//! GitHub's subjects are here the default ones; [`Region::customised`] holds the others.

use landfall_types::Arn;

use super::custom::Templates;
use super::{Coordinate, Free, Others, Presence, Product, Region, Slot};
use crate::request::Principal;
use crate::set::{Reader, Segment, Shape, Tape};

/// The action that a token's exchange is decided under.
pub const WEB_IDENTITY: &str = "sts:AssumeRoleWithWebIdentity";

/// An IAM OIDC provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderFacts {
    /// `arn:aws:iam::ACCOUNT:oidc-provider/HOST[/PATH]`.
    pub arn: String,
    /// Host and path: what condition keys begin with.
    pub host: String,
    /// The audiences that STS accepts.
    pub client_ids: Vec<String>,
    /// Whether STS may accept others too: not all of them are known.
    pub may_have_others: bool,
}

/// The kinds of issuer of which more is known than `sub` and `aud`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IssuerKind {
    GitHub,
    GitLab,
    Eks,
    Buildkite,
    CircleCi,
    Other,
}

impl ProviderFacts {
    /// GitHub's provider with the audience that AWS's action asks for.
    pub fn github(account: &str) -> Self {
        Self {
            arn: format!("arn:aws:iam::{account}:oidc-provider/{GITHUB}"),
            host: GITHUB.to_owned(),
            client_ids: vec!["sts.amazonaws.com".to_owned()],
            may_have_others: false,
        }
    }

    pub(crate) fn kind(&self) -> IssuerKind {
        let host = self.host.as_str();
        let is_enterprise = host.strip_prefix(GITHUB).is_some_and(|rest| rest.starts_with('/'));
        let is_resident = host.starts_with("token.actions.") && host.ends_with(".ghe.com");
        match host {
            GITHUB => IssuerKind::GitHub,
            _ if is_enterprise || is_resident => IssuerKind::GitHub,
            "gitlab.com" => IssuerKind::GitLab,
            "agent.buildkite.com" => IssuerKind::Buildkite,
            _ if host.starts_with("oidc.circleci.com/org/") => IssuerKind::CircleCi,
            _ if host.starts_with("oidc.eks.") && host.contains("/id/") => IssuerKind::Eks,
            _ => IssuerKind::Other,
        }
    }

    /// The condition key of a claim.
    pub(crate) fn key(&self, claim: &str) -> String {
        format!("{}:{claim}", self.host)
    }
}

/// A kind of GitHub's tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Family {
    /// Whether the subject carries the ids of owner and repository.
    pub(crate) has_ids: bool,
    pub(crate) context: Context,
}

/// What a subject of GitHub ends in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Context {
    Branch,
    Tag,
    Environment,
    PullRequest,
}

impl Context {
    pub(crate) const ALL: [Self; 4] = [Self::Branch, Self::Tag, Self::Environment, Self::PullRequest];
}

impl Region {
    /// Every token that a provider's issuer can issue, exchanged for a role.
    ///
    /// `sub` and `aud` are always there with one value, `iss` never is, `environment` is where the job
    /// has one, and `repository`, `ref`, `environment` and the ids agree with the subject.
    pub fn tokens(provider: &ProviderFacts, role: &str) -> Self {
        let products = match provider.kind() {
            IssuerKind::GitHub => github(provider, role),
            IssuerKind::GitLab => vec![product(provider, role, None, gitlab(provider))],
            IssuerKind::Eks => vec![product(provider, role, None, vec![eks(provider)])],
            IssuerKind::Buildkite => vec![product(provider, role, None, any_subject(provider, BUILDKITE))],
            IssuerKind::CircleCi => {
                let project = "oidc.circleci.com/project-id";
                vec![product(provider, role, None, any_subject(provider, &[project]))]
            }
            IssuerKind::Other => vec![product(provider, role, None, any_subject(provider, &[]))],
        };
        Self { products }
    }
}

/// Any subject, and these claims, which the issuer's tokens have.
fn any_subject(provider: &ProviderFacts, claims: &[&str]) -> Vec<Coordinate> {
    let shaped = |claim: &str| Coordinate::shaped(provider.key(claim), Shape::Printable, Presence::SINGLE);
    let mut all = vec![shaped("sub"), Coordinate::of(Slot::Key(provider.key("amr")), None, Presence::ANY)];
    all.extend(claims.iter().map(|claim| shaped(claim)));
    all
}

fn product(provider: &ProviderFacts, role: &str, family: Option<Family>, claims: Vec<Coordinate>) -> Product {
    let audiences = || {
        let known = provider.client_ids.iter().map(|id| Shape::Text(id.clone()));
        let others = provider.may_have_others.then_some(Shape::Printable);
        known.chain(others).map(Tape::single).collect()
    };
    let mut coordinates = vec![
        Coordinate::Fixed { slot: Slot::Action, values: vec![WEB_IDENTITY.to_owned()] },
        Coordinate::Fixed { slot: Slot::Resource, values: vec![role.to_owned()] },
    ];
    coordinates.extend(claims);
    coordinates.push(Coordinate::tapes(provider.key("aud"), audiences(), Presence::SINGLE));
    coordinates.push(Coordinate::tapes(provider.key("oaud"), audiences(), Presence::ANY));
    Product {
        family,
        templates: None,
        principal: Principal::Federated { provider: provider.arn.clone() },
        resource_account: Arn::parse(role).map_or_else(|_| String::new(), |arn| arn.account),
        coordinates,
        others: Others::OfRequest,
    }
}

fn github(provider: &ProviderFacts, role: &str) -> Vec<Product> {
    let forms = [false, true].into_iter();
    let families =
        forms.flat_map(|has_ids| Context::ALL.into_iter().map(move |context| Family { has_ids, context }));
    families.map(|family| product(provider, role, Some(family), github_claims(provider, family))).collect()
}

fn github_claims(provider: &ProviderFacts, family: Family) -> Vec<Coordinate> {
    let mut claims = vec![subject(provider, family)];
    let pull = "refs/pull/%/merge";
    let ref_shapes = match family.context {
        Context::Branch | Context::Tag => Vec::new(),
        Context::PullRequest => vec![pull],
        Context::Environment => vec!["refs/heads/*", "refs/tags/*", pull],
    };
    if !ref_shapes.is_empty() {
        let tapes = ref_shapes.into_iter().map(text_with).collect();
        claims.push(Coordinate::tapes(provider.key("ref"), tapes, Presence::SINGLE));
    }
    let environment = Slot::Key(provider.key("environment"));
    for other in github_others(provider) {
        let is_there = claims.iter().any(|claim| match &other {
            Coordinate::Free(free) => free.slots.iter().any(|slot| claim.covers(slot)),
            Coordinate::Fixed { slot, .. } => claim.covers(slot),
        });
        // A subject that doesn't say the environment is of a job that has none.
        if !is_there && !other.covers(&environment) {
            claims.push(other);
        }
    }
    claims
}

/// Every claim that is a condition key but the subject and the repository, each by itself.
pub(super) fn github_others(provider: &ProviderFacts) -> Vec<Coordinate> {
    let single = |claim: &str, shape| Coordinate::shaped(provider.key(claim), shape, Presence::SINGLE);
    let refs = ["refs/heads/*", "refs/tags/*", "refs/pull/%/merge"].into_iter().map(text_with).collect();
    let actors = vec![Tape::single(Shape::Owner), plain(vec![Shape::Owner, text("[bot]")])];
    vec![
        single("repository_id", Shape::Id),
        single("repository_owner_id", Shape::Id),
        Coordinate::tapes(provider.key("ref"), refs, Presence::SINGLE),
        Coordinate::shaped(provider.key("environment"), Shape::Environment, Presence::OPTIONAL),
        Coordinate::tapes(provider.key("actor"), actors, Presence::SINGLE),
        single("actor_id", Shape::Id),
        single("workflow", Shape::Printable),
        Coordinate::tapes(provider.key("job_workflow_ref"), workflow_files(), Presence::SINGLE),
        Coordinate::shaped(provider.key("enterprise_id"), Shape::Id, Presence::OPTIONAL),
    ]
}

/// A product of tokens with customised subjects.
pub(super) fn github_product(
    provider: &ProviderFacts,
    role: &str,
    templates: Templates,
    claims: Vec<Coordinate>,
) -> Product {
    Product { templates: Some(templates), ..product(provider, role, None, claims) }
}

/// `repo:OWNER[@ID]/NAME[@ID]:CONTEXT` with the claims that stand in it.
fn subject(provider: &ProviderFacts, family: Family) -> Coordinate {
    let mut tape = Builder::default();
    tape.part(text("repo:"), &[SUB]);
    tape.part(Shape::Owner, &[SUB, REPOSITORY]);
    let mut claims = vec!["sub", "repository"];
    if family.has_ids {
        tape.part(text("@"), &[SUB]);
        tape.part(Shape::Id, &[SUB, OWNER_ID]);
    }
    tape.part(text("/"), &[SUB, REPOSITORY]);
    tape.part(Shape::Repository, &[SUB, REPOSITORY]);
    if family.has_ids {
        tape.part(text("@"), &[SUB]);
        tape.part(Shape::Id, &[SUB, REPOSITORY_ID]);
        claims.extend(["repository_owner_id", "repository_id"]);
    }
    let context = claims.len();
    match family.context {
        Context::PullRequest => tape.part(text(":pull_request"), &[SUB]),
        Context::Environment => {
            tape.part(text(":environment:"), &[SUB]);
            tape.escaped_part(Shape::Environment, context);
            claims.push("environment");
        }
        Context::Branch | Context::Tag => {
            let (root, name) = match family.context {
                Context::Branch => ("refs/heads/", Shape::RefName),
                _ => ("refs/tags/", Shape::TagName),
            };
            tape.part(text(":ref:"), &[SUB]);
            tape.part(text(root), &[SUB, context]);
            tape.part(name, &[SUB, context]);
            claims.push("ref");
        }
    }
    Coordinate::Free(Free {
        slots: claims.iter().map(|claim| Slot::Key(provider.key(claim))).collect(),
        languages: vec![None; claims.len()],
        tapes: vec![tape.tape()],
        presence: Presence::SINGLE,
    })
}

/// The files that can define a job: by branch, by tag, by commit, or of a pull request.
fn workflow_files() -> Vec<Tape> {
    let of = |rest: Vec<Shape>| {
        let mut shapes = vec![
            Shape::Owner,
            text("/"),
            Shape::Repository,
            text("/.github/workflows/"),
            Shape::File,
            text("@"),
        ];
        shapes.extend(rest);
        plain(shapes)
    };
    vec![
        of(vec![text("refs/heads/"), Shape::RefName]),
        of(vec![text("refs/tags/"), Shape::TagName]),
        of(vec![text("refs/pull/"), Shape::Id, text("/merge")]),
        of(vec![Shape::Commit]),
    ]
}

/// `project_path:GROUP/PROJECT:ref_type:TYPE:ref:NAME`.
fn gitlab(provider: &ProviderFacts) -> Vec<Coordinate> {
    let subject = |kind: &str| {
        let tail = format!(":ref_type:{kind}:ref:");
        plain(vec![text("project_path:"), Shape::ProjectPath, text(&tail), Shape::RefName])
    };
    let subjects = vec![subject("branch"), subject("tag")];
    let mut claims = vec![Coordinate::tapes(provider.key("sub"), subjects, Presence::SINGLE)];
    let of = |claim: &str, shapes: Vec<Shape>| {
        let tapes = shapes.into_iter().map(Tape::single).collect();
        Coordinate::tapes(provider.key(claim), tapes, Presence::SINGLE)
    };
    for claim in ["namespace_id", "project_id", "user_id"] {
        claims.push(of(claim, vec![Shape::Id]));
    }
    claims.push(of("pipeline_source", GITLAB_SOURCES.iter().map(|source| text(source)).collect()));
    claims.push(of("ref_protected", vec![text("true"), text("false")]));
    claims.push(of("runner_environment", vec![text("gitlab-hosted"), text("self-hosted")]));
    for claim in ["user_access_level", "user_email", "user_login"] {
        claims.push(Coordinate::shaped(provider.key(claim), Shape::Printable, Presence::OPTIONAL));
    }
    claims
}

/// `system:serviceaccount:NAMESPACE:NAME`.
/// <https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>
fn eks(provider: &ProviderFacts) -> Coordinate {
    let tape = plain(vec![text("system:serviceaccount:"), Shape::DnsLabel, text(":"), Shape::DnsName]);
    Coordinate::tapes(provider.key("sub"), vec![tape], Presence::SINGLE)
}

/// `*` is a ref's name and `%` a number.
fn text_with(pattern: &str) -> Tape {
    let hole = if pattern.contains('*') { '*' } else { '%' };
    let shape = if hole == '*' { Shape::RefName } else { Shape::Id };
    let (before, after) = pattern.split_once(hole).unwrap_or((pattern, ""));
    plain(vec![text(before), shape, text(after)])
}

fn text(text: &str) -> Shape {
    plain_text(text)
}

/// This very text.
pub(super) fn plain_text(text: &str) -> Shape {
    Shape::Text(text.to_owned())
}

/// A tape that one value reads from end to end.
fn plain(shapes: Vec<Shape>) -> Tape {
    let mut tape = Builder::default();
    shapes.into_iter().for_each(|shape| tape.part(shape, &[SUB]));
    tape.tape()
}

/// A tape while it is written.
#[derive(Default)]
pub(super) struct Builder(Vec<Segment>);

impl Builder {
    pub(super) fn part(&mut self, shape: Shape, slots: &[usize]) {
        let readers = slots.iter().map(|slot| Reader { slot: *slot, escaped: false }).collect();
        self.0.push(Segment { shape, readers });
    }

    /// Escaped in the subject, plain in the claim.
    pub(super) fn escaped_part(&mut self, shape: Shape, slot: usize) {
        let readers = vec![Reader { slot: SUB, escaped: true }, Reader { slot, escaped: false }];
        self.0.push(Segment { shape, readers });
    }

    /// Escaped in the subject, and read by it alone.
    pub(super) fn escaped(&mut self, shape: Shape) {
        self.0.push(Segment { shape, readers: vec![Reader { slot: SUB, escaped: true }] });
    }

    pub(super) fn tape(self) -> Tape {
        Tape { segments: self.0 }
    }
}

/// Slots of a subject's tape.
pub(super) const SUB: usize = 0;
pub(super) const REPOSITORY: usize = 1;
const OWNER_ID: usize = 2;
const REPOSITORY_ID: usize = 3;

/// Claims of Buildkite's tokens that are condition keys.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
const BUILDKITE: &[&str] = &[
    "build_branch",
    "cluster_id",
    "cluster_name",
    "organization_id",
    "organization_slug",
    "pipeline_id",
    "pipeline_slug",
];

pub(crate) const GITHUB: &str = "token.actions.githubusercontent.com";

/// <https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable>
const GITLAB_SOURCES: &[&str] = &[
    "push",
    "web",
    "trigger",
    "schedule",
    "api",
    "external",
    "pipeline",
    "chat",
    "webide",
    "merge_request_event",
    "external_pull_request_event",
    "parent_pipeline",
    "ondemand_dast_scan",
    "ondemand_dast_validation",
    "security_orchestration_policy",
];
