//! The AWS side as the repository's own Terraform describes it: every resource is made by the same
//! operations that an API call would reach, as the account's root user.

mod again;
mod identities;
mod logs;
mod looked_up;
mod registry;
mod services;

use std::cell::RefCell;
use std::sync::Arc;

use landfall_check::terraform::{self, Infra};
use landfall_policy::parse::Problem;
use landfall_policy::{PolicyKind, managed, service_principals};
use landfall_serve::World;
use landfall_serve::authn::Identified;
use landfall_serve::authz::{self, Asked, Call, Permit, calls};
use landfall_serve::caller::Caller;
use landfall_serve::cloudwatch;
use landfall_serve::connection::Connection;
use landfall_serve::ecr;
use landfall_serve::ecs::before;
use landfall_serve::iam::{self, DocumentInput, Way};
use landfall_serve::store::ecs::Place;
use landfall_serve::store::{
    Encryption, ProviderSpans, RegistryId, RepositorySettings, Role, TagMutability, UnknownPart,
};
use landfall_types::{AccountId, Arn, Finding, Issuer, Node, RepositoryName, Secret, Span, Spanned, Tree};
use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

pub use again::Tally;

/// What was made, and what AWS would have refused to make.
#[derive(Clone, Default, Debug)]
pub struct Seeded {
    /// `1 provider`, `2 roles`, …, without the kinds of which there is none.
    pub made: Vec<String>,
    /// The access keys that were made for users.
    pub keys: Vec<Key>,
    /// How many of them are new, and of how many there was something already.
    pub tally: Tally,
    /// What AWS would refuse to create, with the place in the Terraform and AWS's own sentence.
    pub refused: Vec<Finding>,
    /// Policies that could not be worked out: calls that they are consulted for are decided without what is
    /// unknown of them, and say so.
    pub unknown: Vec<Finding>,
}

/// An access key of a user.
#[derive(Clone, Debug)]
pub struct Key {
    /// The user's name.
    pub user: String,
    /// The access key id.
    pub id: String,
    /// Its secret.
    pub secret: Secret<String>,
    /// Where it is written.
    pub written: Span,
}

/// Makes everything that the Terraform describes. What is there already, from the start before, is brought up to
/// date; what the Terraform doesn't speak of stays.
pub fn seed(world: &Arc<World>, infra: &Infra, account: AccountId, region: &str) -> Seeded {
    make_all(infra, account, |account| Seeder::new(world, account, region, false))
}

/// Takes everything that the Terraform describes as it may stand there for years: rules that IAM has made
/// since don't apply.
pub fn adopt(world: &Arc<World>, infra: &Infra, account: AccountId, region: &str) -> Seeded {
    make_all(infra, account, |account| Seeder::new(world, account, region, true))
}

/// What lies in other accounts is made in them.
fn make_all<'a>(infra: &Infra, account: AccountId, seeder: impl Fn(AccountId) -> Seeder<'a>) -> Seeded {
    let mut own = infra.clone();
    let others = own.take_other_accounts(account);
    let mut all = make(&seeder(account), &own);
    for (account, infra) in others {
        let Seeded { made, keys, tally, refused, unknown } = make(&seeder(account), &infra);
        all.made.extend(made.into_iter().map(|made| format!("{made} in {account}")));
        all.keys.extend(keys);
        all.tally = all.tally.with(tally);
        all.refused.extend(refused);
        all.unknown.extend(unknown);
    }
    all
}

fn counted(keys: &[Key]) -> Option<String> {
    let noun = if keys.len() == 1 { "key" } else { "keys" };
    (!keys.is_empty()).then(|| format!("{} access {noun}", keys.len()))
}

fn make(seeder: &Seeder<'_>, infra: &Infra) -> Seeded {
    let (mut refused, mut made, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let turns = identities(seeder, infra, &mut keys)
        .into_iter()
        .chain(containers(seeder, infra))
        .chain(pods(seeder, infra));
    for (one, many, results) in turns {
        let count = results.iter().filter(|result| result.is_ok()).count();
        refused.extend(results.into_iter().filter_map(Result::err));
        made.extend((count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many })));
    }
    if let Err(error) = landfall_serve::ecs::before::settle(seeder.world) {
        refused.push(Finding::error("not-stored", format!("the services can't be written down: {error}")));
    }
    refused.extend(seeder.aside.take());
    refused.extend(infra.ecr_calls.iter().filter_map(|it| seeder.ecr(it).err()));
    if let Err(error) = landfall_serve::store::principals::settle_files(&seeder.world.store) {
        refused.push(Finding::error("not-stored", format!("the policies can't be written down: {error}")));
    }
    made.extend(counted(&keys));
    let mut unknown = seeder.unknown.take();
    unknown.extend(not_made(infra));
    Seeded { made, keys, tally: seeder.tally(), refused, unknown }
}

/// What the Terraform has of the services that are here, and nothing reads.
fn not_made(infra: &Infra) -> Option<Finding> {
    let first = infra.unread.first()?;
    let kinds: std::collections::BTreeSet<&str> =
        infra.unread.iter().filter_map(|it| it.address.split('.').next()).collect();
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let message = format!("resources of these kinds are not made here: {}", kinds.join(", "));
    let finding = Finding::warning("terraform-not-made", message).at(first.span, "such as this one");
    Some(finding.help("make them by API calls, if what runs against this server needs them"))
}

/// What became of all resources of a kind: its name for one and for many of them, and each one's result.
type Turn = (&'static str, &'static str, Vec<Result<(), Finding>>);

/// IAM, and the repositories.
fn identities(seeder: &Seeder<'_>, infra: &Infra, keys: &mut Vec<Key>) -> [Turn; 9] {
    let made = infra.providers.iter().map(|it| seeder.provider(it));
    let looked_up = infra.looked_up_providers.iter().filter_map(|it| seeder.looked_up_provider(it));
    let providers = made.chain(looked_up).collect();
    let policies = infra.policies.iter().map(|it| seeder.policy(it)).collect();
    let roles = infra.roles.iter().map(|it| seeder.role(it)).collect();
    let users = infra.users.iter().map(|it| seeder.user(it, keys)).collect();
    let groups = infra.groups.iter().map(|it| seeder.group(it)).collect();
    let left_out: Vec<Finding> = infra.memberships.iter().filter_map(|it| seeder.membership(it)).collect();
    seeder.aside.borrow_mut().extend(left_out);
    let profiles = infra.instance_profiles.iter().map(|it| seeder.instance_profile(it)).collect();
    let linked = infra.service_linked_roles.iter().map(|it| seeder.service_linked_role(it)).collect();
    let aliases = infra.account_aliases.iter().map(|it| seeder.account_alias(it)).collect();
    let made = infra.repositories.iter().map(|it| seeder.repository(it));
    let looked_up = infra.looked_up_repositories.iter().filter_map(|it| seeder.looked_up_repository(it));
    [
        ("provider", "providers", providers),
        ("policy", "policies", policies),
        ("role", "roles", roles),
        ("user", "users", users),
        ("group", "groups", groups),
        ("instance profile", "instance profiles", profiles),
        ("service-linked role", "service-linked roles", linked),
        ("account alias", "account aliases", aliases),
        ("repository", "repositories", made.chain(looked_up).collect()),
    ]
}

/// EKS.
fn pods(seeder: &Seeder<'_>, infra: &Infra) -> [Turn; 2] {
    let pods = infra.pod_identity_associations.iter();
    [
        (
            "EKS cluster",
            "EKS clusters",
            infra
                .eks_clusters
                .iter()
                .map(|it| seeder.eks("CreateCluster", &it.region, &it.input, it.span))
                .collect(),
        ),
        (
            "Pod Identity association",
            "Pod Identity associations",
            pods.map(|it| seeder.eks("CreatePodIdentityAssociation", &it.region, &it.input, it.span))
                .collect(),
        ),
    ]
}

/// ECS and CodeDeploy.
fn containers(seeder: &Seeder<'_>, infra: &Infra) -> [Turn; 8] {
    let ecs =
        |operation, region: &str, input: &Tree, span| seeder.ecs(operation, region, input, span).map(|_| ());
    let settings = infra.ecs_settings.iter();
    let made = infra.ecs_clusters.iter();
    let made = made.map(|it| ecs("CreateCluster", &it.region, &it.input, it.span));
    let clusters = made.chain(infra.looked_up_ecs_clusters.iter().map(|it| seeder.looked_up_cluster(it)));
    let services = infra.ecs_services.iter();
    [
        (
            "ECS setting",
            "ECS settings",
            settings.map(|it| ecs("PutAccountSettingDefault", &it.region, &it.input, it.span)).collect(),
        ),
        ("ECS cluster", "ECS clusters", clusters.collect()),
        (
            "ECS capacity provider",
            "ECS capacity providers",
            infra.ecs_calls.iter().map(|it| ecs(it.operation, &it.region, &it.input, it.span)).collect(),
        ),
        (
            "task definition",
            "task definitions",
            infra.ecs_task_definitions.iter().map(|it| seeder.task_definition(it)).collect(),
        ),
        (
            "log group",
            "log groups",
            infra
                .log_groups
                .iter()
                .map(|it| seeder.log_group(it))
                .chain(infra.looked_up_log_groups.iter().filter_map(|it| seeder.looked_up_log_group(it)))
                .collect(),
        ),
        (
            "alarm",
            "alarms",
            infra.metric_alarms.iter().map(|it| seeder.alarm(&it.region, &it.input, it.span)).collect(),
        ),
        (
            "ECS service",
            "ECS services",
            services.map(|it| ecs("CreateService", &it.region, &it.input, it.span)).collect(),
        ),
        (
            "CodeDeploy resource",
            "CodeDeploy resources",
            infra
                .codedeploy_calls
                .iter()
                .map(|it| seeder.codedeploy(it.operation, &it.region, &it.input, it.span))
                .collect(),
        ),
    ]
}

/// Makes a role out of one document: its trust policy, or its permissions with a trust policy that
/// nobody can use; and providers for the issuers that it is about, all with the same audiences.
///
/// # Errors
/// What AWS would refuse.
pub fn make_role(
    world: &Arc<World>,
    arn: &Arn,
    issuer: Option<&str>,
    audiences: &[String],
    kind: PolicyKind,
    tree: &Tree,
) -> Result<(), Finding> {
    let account = arn.account_id().unwrap_or(world.settings.default_account);
    let (path, name) = arn.role_path_and_name().unwrap_or(("/".to_owned(), "role"));
    let seeder = Seeder::new(world, account, &world.settings.default_region, true);
    for host in hosts(issuer, kind, tree) {
        seeder.provider(&terraform::OidcProvider {
            address: String::new(),
            url: Spanned::new(format!("https://{host}"), tree.span),
            client_ids: audiences.iter().map(|audience| Spanned::new(audience.clone(), tree.span)).collect(),
            client_ids_span: tree.span,
            thumbprints: Vec::new(),
            tags: Vec::new(),
            arn: Arn::oidc_provider(account, &host).to_string(),
            span: tree.span,
        })?;
    }
    let source = world.sources.add("no trust policy", NOBODY);
    let nobody = landfall_policy::json::parse(source, NOBODY).0;
    let (trust, inline) = match kind {
        PolicyKind::Trust => (tree.clone(), Vec::new()),
        PolicyKind::Identity | PolicyKind::Resource => {
            let policy = terraform::InlinePolicy {
                name: "policy".to_owned(),
                document: tree.clone(),
                span: tree.span,
            };
            (nobody, vec![policy])
        }
    };
    seeder.role(&terraform::Role {
        address: String::new(),
        name: Spanned::new(name.to_owned(), tree.span),
        name_unknown: None,
        path,
        arn: arn.to_string(),
        description: None,
        trust,
        max_session_duration: None,
        boundary: None,
        inline,
        attached: Vec::new(),
        tags: Vec::new(),
        span: tree.span,
    })
}

/// The issuers whose tokens a question is about: the token's own, and those that the policy names.
fn hosts(issuer: Option<&str>, kind: PolicyKind, tree: &Tree) -> Vec<String> {
    use landfall_policy::ast::PrincipalPattern;
    let mut hosts: Vec<String> = issuer
        .and_then(|url| Issuer::parse(url).ok())
        .map(|issuer| issuer.host_and_path())
        .into_iter()
        .collect();
    let (policy, _) = landfall_policy::parse::policy(tree, kind);
    let clauses = policy.statements.iter().filter_map(|statement| statement.principal.as_ref());
    for principal in clauses.flat_map(|clause| &clause.principals) {
        if let PrincipalPattern::Federated(name) = &principal.value
            && let Some((_, host)) = name.split_once(":oidc-provider/")
            && !hosts.iter().any(|known| known == host)
        {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

/// A trust policy for a service that asks for no role here.
const NOBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"none.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// Mistakes of a document from long ago that are shown.
const PROBLEMS_SHOWN: usize = 3;

struct Seeder<'a> {
    world: &'a Arc<World>,
    account: AccountId,
    region: &'a str,
    caller: Caller,
    /// Whether documents were written long ago.
    is_old: bool,
    /// What there was of each resource before its turn, by ARN.
    before: RefCell<Vec<(String, Option<String>)>>,
    /// What was found beside the resources that were made nevertheless.
    aside: RefCell<Vec<Finding>>,
    /// Policies that could not be worked out.
    unknown: RefCell<Vec<Finding>>,
}

impl<'a> Seeder<'a> {
    fn new(world: &'a Arc<World>, account: AccountId, region: &'a str, is_old: bool) -> Self {
        Self {
            world,
            account,
            region,
            caller: Caller::Root { account },
            is_old,
            before: RefCell::default(),
            aside: RefCell::default(),
            unknown: RefCell::default(),
        }
    }
}

impl Seeder<'_> {
    /// A document for the operations; one with a part that could not be worked out is not made up.
    fn document(&self, tree: &Tree) -> Result<DocumentInput, Finding> {
        if let Some((reason, span)) = unknown(tree) {
            return Err(Finding::error(
                "unknown-policy",
                format!("this policy can't be worked out: {reason}"),
            )
            .at(span, "this part is not known")
            .help(authz::how_to_know(&reason)));
        }
        Ok(self.known_document(tree))
    }

    /// A policy for the operations. Statements with a part that could not be worked out are unknown, which is told,
    /// and the others are what they are.
    fn policy_document(&self, what: &str, tree: &Tree) -> DocumentInput {
        let Some((reason, span)) = unknown(tree) else { return self.known_document(tree) };
        let finding = Finding::warning("unknown-policy", format!("{what} can't be worked out: {reason}"))
            .at(span, "this part is not known")
            .note("what is decided by it is decided without this part, and says so")
            .help(authz::how_to_know(&reason));
        self.unknown.borrow_mut().push(finding);
        // IAM has no word to say about what nobody knows.
        let unknown = UnknownPart::all_of(tree, &self.world.sources);
        DocumentInput { is_old: true, unknown, ..self.known_document(tree) }
    }

    /// What stands there for years is not refused; a statement that nobody can read is told all the same.
    fn note_old_problems(&self, tree: &Tree, kind: PolicyKind) {
        // What can't be worked out of a permission is told as that already.
        let is_told = kind == PolicyKind::Identity && unknown(tree).is_some();
        if self.is_old && !is_told {
            let (_, problems) = landfall_policy::parse::policy(tree, kind);
            self.aside.borrow_mut().extend(problems.iter().take(PROBLEMS_SHOWN).map(Problem::finding));
        }
    }

    /// A role that stands there has its boundary, which others may have made: it is told, and the role is made without
    /// it. A role that is new would be refused.
    fn may_be_boundary(&self, boundary: &Spanned<String>) -> bool {
        self.note_not_known(boundary);
        if !self.is_old || iam::policy_exists(self.world, self.account, &boundary.value) {
            return true;
        }
        let message = format!(
            "the boundary `{}` is not among these files, so what it takes away is unknown",
            boundary.value
        );
        let finding =
            Finding::warning("terraform-unknown", message).at(boundary.span, "no policy here has this ARN");
        let help = "where another root module makes it, name that folder with a further --infra";
        self.aside.borrow_mut().push(finding.help(help));
        false
    }

    /// A policy of AWS's that isn't known here is used, and what it grants is not.
    fn note_not_known(&self, policy: &Spanned<String>) {
        if !managed::is_not_known(&policy.value) {
            return;
        }
        let message = format!("what `{}` says isn't known here", policy.value);
        let finding = Finding::warning("unknown-policy", message)
            .at(policy.span, "AWS has managed policies that aren't known here")
            .note("what is decided by it is decided without it, and says so");
        let finding = match managed::nearest(&policy.value) {
            Some(name) => finding.help(format!("is `{name}` meant? It is known here")),
            None => finding.help("where what it grants matters, attach a policy of your own of its document"),
        };
        self.unknown.borrow_mut().push(finding);
    }

    fn known_document(&self, tree: &Tree) -> DocumentInput {
        let text = terraform::to_json(tree);
        DocumentInput { text, tree: tree.clone(), is_old: self.is_old, unknown: Vec::new(), way: Way::File }
    }

    fn permit<C: Call>(&self, resource: String, span: Span) -> Result<Permit<C>, Finding> {
        let request_id = self.world.request_id();
        let asked = Asked {
            caller: &self.caller,
            region: self.region,
            resource,
            resource_account: self.account.to_string(),
            resource_policies: &[],
            keys: Vec::new(),
            request_id: &request_id,
        };
        authz::authorize(self.world, &asked, Protocol::IAM).map_err(|error| refusal(&error, C::NAME, span))
    }

    fn provider(&self, provider: &terraform::OidcProvider) -> Result<(), Finding> {
        let permit = self.permit(provider.arn.clone(), provider.span)?;
        let input = iam::CreateProvider {
            url: provider.url.value.clone(),
            client_ids: provider.client_ids.iter().map(|id| id.value.clone()).collect(),
            thumbprints: provider.thumbprints.clone(),
            tags: provider.tags.clone(),
            written: ProviderSpans {
                provider: provider.span,
                client_ids: provider.client_ids_span,
                url: provider.url.span,
            },
        };
        let done = match self.is_there(&provider.arn) {
            true => iam::restate_provider(self.world, &permit, input),
            false => iam::create_provider(self.world, &permit, input).map(|_| ()),
        };
        done.map_err(|error| refusal(&error, "CreateOpenIDConnectProvider", provider.url.span))
    }

    fn policy(&self, policy: &terraform::CustomerPolicy) -> Result<(), Finding> {
        let permit = self.permit(policy.arn.clone(), policy.span)?;
        let document = self.policy_document(&format!("the policy `{}`", policy.name.value), &policy.document);
        self.note_old_problems(&policy.document, PolicyKind::Identity);
        if self.is_there(&policy.arn) {
            return iam::restate_policy(self.world, &permit, document)
                .map_err(|error| refusal(&error, "CreatePolicyVersion", policy.document.span));
        }
        let input = iam::CreatePolicy {
            path: policy.path.clone(),
            name: policy.name.value.clone(),
            description: policy.description.clone(),
            document,
            tags: policy.tags.clone(),
        };
        let created = iam::create_policy(self.world, &permit, input);
        created.map(|_| ()).map_err(|error| refusal(&error, "CreatePolicy", policy.document.span))
    }

    fn role(&self, role: &terraform::Role) -> Result<(), Finding> {
        let arn = Arn::role(self.account, &role.path, &role.name.value).to_string();
        let permit = self.permit(arn.clone(), role.span)?;
        let boundary = role.boundary.as_ref().filter(|boundary| self.may_be_boundary(boundary));
        let input = iam::CreateRole {
            path: role.path.clone(),
            name: role.name.value.clone(),
            description: role.description.clone(),
            trust: self.policy_document(&format!("the trust policy of `{}`", role.name.value), &role.trust),
            max_session_seconds: role.max_session_duration.as_ref().map(|seconds| seconds.value),
            boundary: boundary.map(|arn| arn.value.clone()),
            tags: role.tags.clone(),
            written: role.span,
            max_session_written: role.max_session_duration.as_ref().map(|seconds| seconds.span),
        };
        let (operation, done) = match self.is_there(&arn) {
            true => ("UpdateRole", iam::restate_role(self.world, &permit, input)),
            false => ("CreateRole", iam::create_role(self.world, &permit, input).map(|_| ())),
        };
        done.map_err(|error| refusal(&error, operation, role.trust.span))?;
        self.note_old_problems(&role.trust, PolicyKind::Trust);
        let (trust, _) = landfall_policy::parse::policy(&role.trust, PolicyKind::Trust);
        self.aside.borrow_mut().extend(service_principals::warnings(&trust).take(PROBLEMS_SHOWN));
        // A policy that can't be read is unknown, which is told; the others are what they are.
        self.policies::<Role>((role.name.value.as_str(), arn.as_str()), &role.inline, &role.attached);
        Ok(())
    }

    fn repository(&self, repository: &terraform::Repository) -> Result<(), Finding> {
        let name = RepositoryName::parse(&repository.name.value)
            .map_err(|error| Finding::error("repository-name", error).at(repository.name.span, "here"))?;
        let permit: Permit<calls::CreateRepository> = self.permit(repository.arn.clone(), repository.span)?;
        let policy = repository.policy.as_ref().map(|tree| {
            self.policy_document(&format!("the policy of the repository `{name}`"), tree)
                .read(PolicyKind::Resource, self.account)
                .map_err(|error| refusal(&error, "SetRepositoryPolicy", tree.span))
        });
        // The repository is there without a policy that is refused: one mistake is told once.
        let (policy, refused) =
            policy.transpose().map_or_else(|refused| (None, Some(refused)), |it| (it, None));
        let input = ecr::CreateRepository {
            registry: RegistryId { account: self.account, region: repository.region.clone() },
            name,
            settings: RepositorySettings {
                tag_mutability: match repository.immutable_tags {
                    true => TagMutability::Immutable,
                    false => TagMutability::Mutable,
                },
                encryption: encryption(repository),
                ..RepositorySettings::default()
            },
            tags: repository.tags.clone(),
            policy,
        };
        let done = match self.is_there(&repository.arn) {
            true => ecr::restate_repository(self.world, &permit, input),
            false => ecr::create_repository(self.world, permit, input).map(|_| ()),
        };
        done.map_err(|error| refusal(&error, "CreateRepository", repository.name.span))?;
        refused.map_or(Ok(()), Err)
    }
}

impl Seeder<'_> {
    /// A call of ECS, as the provider makes it.
    fn ecs(&self, operation: &str, region: &str, input: &Tree, span: Span) -> Result<Value, Finding> {
        self.handle(landfall_serve::ecs::handle, operation, region, (input, span))
    }

    /// A call of CodeDeploy, as the provider makes it. A deployment group that is there from an earlier start is
    /// updated; applications and configurations, of which nothing but tags can be changed, stay as they are.
    fn codedeploy(&self, operation: &str, region: &str, input: &Tree, span: Span) -> Result<(), Finding> {
        self.handle(landfall_serve::codedeploy::handle, operation, region, (input, span)).map(|_| ())
    }

    /// An alarm, as the provider makes it; one that is there keeps its state.
    fn alarm(&self, region: &str, input: &Tree, span: Span) -> Result<(), Finding> {
        let handle: Handle = |world, identified, request_id, operation, input| {
            cloudwatch::handle(world, identified, request_id, operation, input, Protocol::Json10)
        };
        self.handle(handle, "PutMetricAlarm", region, (input, span)).map(|_| ())
    }

    /// A call of EKS, as the provider makes it.
    fn eks(&self, operation: &str, region: &str, input: &Tree, span: Span) -> Result<(), Finding> {
        self.handle(landfall_serve::eks::handle, operation, region, (input, span)).map(|_| ())
    }

    fn handle(
        &self,
        handle: Handle,
        operation: &str,
        region: &str,
        (input, span): (&Tree, Span),
    ) -> Result<Value, Finding> {
        let identified = Identified {
            caller: self.caller.clone(),
            region: region.to_owned(),
            connection: Connection::new(std::net::Ipv4Addr::LOCALHOST.into(), Some("Terraform")),
        };
        let json = terraform::to_json(input);
        let mut input = serde_json::from_str(&json)
            .map_err(|error| Finding::error("terraform-json", error.to_string()).at(span, "here"))?;
        self.with_newest_definition(&identified, &mut input);
        let before = self.world.log.last();
        let answer = match self.made_again(&identified, operation, &input) {
            Some(answer) => answer,
            None => handle(self.world, &identified, "terraform", operation, &input),
        };
        match answer {
            // What EKS has from the start before, and CodeDeploy's applications, stay as they are.
            Err(error) if IS_THERE.contains(&error.code.as_ref()) && self.world.data.is_some() => {
                Ok(Value::Null)
            }
            answer => answer.map_err(|error| self.with_reason(before, refusal(&error, operation, span))),
        }
    }

    /// Adds what AWS keeps to itself, and the log has.
    fn with_reason(&self, before: u64, finding: Finding) -> Finding {
        let records = self.world.log.after(before);
        let Some(reason) = records.iter().rev().find_map(|record| record.finding.as_ref()) else {
            return finding;
        };
        let finding = finding.note(reason.message.clone());
        reason.help.iter().fold(finding, |finding, help| finding.help(help.clone()))
    }

    /// A cluster that is made elsewhere: which capacity providers it has is not known.
    fn looked_up_cluster(&self, cluster: &terraform::EcsCluster) -> Result<(), Finding> {
        let (operation, span) = ("CreateCluster", cluster.span);
        self.ecs(operation, &cluster.region, &cluster.input, span)?;
        let place = Place { account: self.account, region: cluster.region.clone() };
        before::note_cluster(self.world, &place, &cluster.name.value)
            .map_err(|error| refusal(&error, operation, span))
    }

    /// A task definition: what it names was pushed to the real ECR, and may be missing here.
    fn task_definition(&self, definition: &terraform::EcsTaskDefinition) -> Result<(), Finding> {
        let (operation, span) = ("RegisterTaskDefinition", definition.span);
        let answer = self.ecs(operation, &definition.region, &definition.input, span)?;
        let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap_or_default();
        let place = Place { account: self.account, region: definition.region.clone() };
        before::note_definition(self.world, &place, arn).map_err(|error| refusal(&error, operation, span))
    }
}

/// Errors that tell that something is there already.
const IS_THERE: [&str; 3] =
    ["ResourceInUseException", "ApplicationAlreadyExistsException", "DeploymentConfigAlreadyExistsException"];

fn encryption(repository: &terraform::Repository) -> Encryption {
    match repository.encryption.clone() {
        Some((encryption_type, kms_key)) => Encryption { encryption_type, kms_key },
        None => Encryption::default(),
    }
}

/// A service's one function: world, caller, request id, operation, input.
type Handle = fn(&World, &Identified, &str, &str, &Value) -> Result<Value, AwsError>;

fn unknown(tree: &Tree) -> Option<(String, Span)> {
    match &tree.node {
        Node::Unknown(reason) => Some((reason.clone(), tree.span)),
        Node::List(items) => items.iter().find_map(unknown),
        Node::Map(entries) => entries.iter().find_map(|(_, value)| unknown(value)),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => None,
    }
}

/// What AWS would refuse, with the places that its sentence leaves out.
fn refusal(error: &AwsError, operation: &str, span: Span) -> Finding {
    let message = format!("AWS would refuse this: {operation}: {}: {}", error.code, error.message);
    let finding = Finding::error("refused-by-aws", message).at(span, "written here");
    let Some(aside) = &error.aside else { return finding };
    let finding = aside.note.iter().fold(finding, Finding::note);
    aside.places.iter().fold(finding, |finding, place| finding.at(place.span, place.text.clone()))
}
