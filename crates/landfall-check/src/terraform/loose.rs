//! Parts that name their owner, where the owner is not in the same root module: the policy of a role that another
//! root module makes. They find it when all modules of the account are read.

use landfall_types::{AccountId, Arn, Finding, Spanned, Tree};

use super::holders::{Holder, HolderKind, attach, named};
use super::model::{Attachment, Infra, InlinePolicy, Repository};

/// A part whose owner its own root module doesn't make.
#[derive(Clone, Debug)]
pub struct Loose {
    /// The address of the resource that says it, such as `aws_iam_role_policy.push`.
    pub address: String,
    /// The owner's name, where it is written.
    pub owner: Spanned<String>,
    /// What it is.
    pub part: Part,
}

/// What belongs to an owner of another root module.
#[derive(Clone, Debug)]
pub enum Part {
    /// A policy in a role, a user or a group.
    Policy(HolderKind, InlinePolicy),
    /// Managed policies on a role, a user or a group.
    Attached(HolderKind, Vec<Attachment>),
    /// An access key of a user: the header of its block.
    UserKey(landfall_types::Span),
    /// A repository's policy.
    RepositoryPolicy(Tree),
}

impl Part {
    fn owner(&self) -> &'static str {
        match self {
            Self::Policy(kind, _) | Self::Attached(kind, _) => kind.noun(),
            Self::UserKey(_) => HolderKind::User.noun(),
            Self::RepositoryPolicy(_) => "repository",
        }
    }
}

impl Infra {
    /// Takes out what lies in other accounts than the one that the root modules are applied in: providers with roles of
    /// their own have made it. Of roles, policies, OIDC providers and repositories the ARN tells.
    pub fn take_other_accounts(&mut self, account: AccountId) -> Vec<(AccountId, Self)> {
        let mut others: Vec<(AccountId, Self)> = Vec::new();
        macro_rules! take {
            ($($field:ident),*) => {$(
                let (own, other): (Vec<_>, Vec<_>) = std::mem::take(&mut self.$field)
                    .into_iter()
                    .partition(|it| account_of(&it.arn).is_none_or(|its| its == account));
                self.$field = own;
                for it in other {
                    let Some(its) = account_of(&it.arn) else { continue };
                    let at = others.iter().position(|(known, _)| *known == its).unwrap_or_else(|| {
                        others.push((its, Self::default()));
                        others.len() - 1
                    });
                    if let Some((_, infra)) = others.get_mut(at) {
                        infra.$field.push(it);
                    }
                }
            )*};
        }
        take!(providers, looked_up_providers, roles, policies, repositories, looked_up_repositories);
        others
    }

    /// Adds what another root module of the same account makes.
    pub(super) fn join(&mut self, more: Self) {
        // Every field by its name: one that is new has to be thought of here.
        let Self {
            variables,
            providers,
            looked_up_providers,
            roles,
            users,
            groups,
            memberships,
            instance_profiles,
            account_aliases,
            service_linked_roles,
            policies,
            repositories,
            looked_up_repositories,
            ecr_calls,
            ecs_clusters,
            looked_up_ecs_clusters,
            ecs_calls,
            ecs_settings,
            metric_alarms,
            log_groups,
            looked_up_log_groups,
            codedeploy_calls,
            ecs_task_definitions,
            ecs_services,
            eks_clusters,
            pod_identity_associations,
            unread,
            loose,
            exclusive,
            doubts,
            region,
            outputs,
        } = more;
        self.variables.extend(variables);
        self.providers.extend(providers);
        self.looked_up_providers.extend(looked_up_providers);
        self.roles.extend(roles);
        self.users.extend(users);
        self.groups.extend(groups);
        self.memberships.extend(memberships);
        self.instance_profiles.extend(instance_profiles);
        self.account_aliases.extend(account_aliases);
        self.service_linked_roles.extend(service_linked_roles);
        self.policies.extend(policies);
        self.repositories.extend(repositories);
        self.looked_up_repositories.extend(looked_up_repositories);
        self.ecr_calls.extend(ecr_calls);
        self.ecs_clusters.extend(ecs_clusters);
        self.looked_up_ecs_clusters.extend(looked_up_ecs_clusters);
        self.ecs_calls.extend(ecs_calls);
        self.ecs_settings.extend(ecs_settings);
        self.metric_alarms.extend(metric_alarms);
        self.log_groups.extend(log_groups);
        self.looked_up_log_groups.extend(looked_up_log_groups);
        self.codedeploy_calls.extend(codedeploy_calls);
        self.ecs_task_definitions.extend(ecs_task_definitions);
        self.ecs_services.extend(ecs_services);
        self.eks_clusters.extend(eks_clusters);
        self.pod_identity_associations.extend(pod_identity_associations);
        self.unread.extend(unread);
        self.loose.extend(loose);
        self.exclusive.extend(exclusive);
        self.doubts.extend(doubts);
        self.region = self.region.take().or(region);
        self.outputs.extend(outputs);
    }

    /// Gives each loose part to its owner. What nobody here owns is told and left out.
    pub(super) fn settle(&mut self) -> Vec<Finding> {
        let loose = std::mem::take(&mut self.loose);
        let mut findings: Vec<Finding> = loose.into_iter().filter_map(|part| self.give(part).err()).collect();
        for membership in std::mem::take(&mut self.memberships) {
            match self.missing_of(&membership) {
                Some((kind, name)) => findings.push(left_out(&membership.address, kind, name)),
                None => self.memberships.push(membership),
            }
        }
        findings
    }

    fn give(&mut self, loose: Loose) -> Result<(), Finding> {
        let Loose { address, owner, part } = loose;
        let kind = part.owner();
        let name = owner.value.as_str();
        let given = match part {
            Part::Policy(of, policy) => self.holder(of, name).map(|(inline, _)| inline.push(policy)),
            Part::Attached(of, more) => self.holder(of, name).map(|(_, attached)| attach(attached, more)),
            Part::UserKey(span) => named(&mut self.users, name).map(|user| user.keys.push(span)),
            Part::RepositoryPolicy(document) => {
                self.repository_named(name).map(|repository| repository.policy = Some(document))
            }
        };
        given.ok_or_else(|| left_out(&address, kind, &owner))
    }

    fn holder(
        &mut self,
        kind: HolderKind,
        name: &str,
    ) -> Option<(&mut Vec<InlinePolicy>, &mut Vec<Attachment>)> {
        match kind {
            HolderKind::Role => named(&mut self.roles, name).map(Holder::policies),
            HolderKind::User => named(&mut self.users, name).map(Holder::policies),
            HolderKind::Group => named(&mut self.groups, name).map(Holder::policies),
        }
    }

    fn repository_named(&mut self, name: &str) -> Option<&mut Repository> {
        self.repositories
            .iter_mut()
            .chain(&mut self.looked_up_repositories)
            .find(|repository| repository.name_unknown.is_none() && repository.name.value == name)
    }
}

/// A part whose owner is not among the files.
fn left_out(address: &str, kind: &str, owner: &Spanned<String>) -> Finding {
    let message = format!(
        "`{address}` belongs to the {kind} `{}`, which is not among these files; it is left out",
        owner.value
    );
    Finding::warning("terraform-unknown", message)
        .at(owner.span, format!("no {kind} here has this name"))
        .help("where another root module makes it, name that folder with a further --infra")
}

fn account_of(arn: &str) -> Option<AccountId> {
    Arn::parse(arn).ok()?.account_id()
}
