//! Parts that name their owner, where the owner is not in the same root module: the policy of a role that another
//! root module makes. They find it when all modules of the account are read.

use landfall_types::{Finding, Spanned, Tree};

use super::model::{Attachment, Infra, InlinePolicy, Repository, Role, User};

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
    /// A policy in a role.
    RolePolicy(InlinePolicy),
    /// Managed policies on a role.
    RoleAttached(Vec<Attachment>),
    /// A policy in a user.
    UserPolicy(InlinePolicy),
    /// Managed policies on a user.
    UserAttached(Vec<Attachment>),
    /// An access key of a user: the header of its block.
    UserKey(landfall_types::Span),
    /// A repository's policy.
    RepositoryPolicy(Tree),
}

impl Part {
    fn owner(&self) -> &'static str {
        match self {
            Self::RolePolicy(_) | Self::RoleAttached(_) => "role",
            Self::UserPolicy(_) | Self::UserAttached(_) | Self::UserKey(_) => "user",
            Self::RepositoryPolicy(_) => "repository",
        }
    }
}

impl Role {
    /// Attaches managed policies; one that is attached already stays as it is.
    pub(super) fn attach(&mut self, attachments: impl IntoIterator<Item = Attachment>) {
        for attachment in attachments {
            if !self.attached.iter().any(|it| it.policy_arn.value == attachment.policy_arn.value) {
                self.attached.push(attachment);
            }
        }
    }
}

impl Infra {
    /// Adds what another root module of the same account makes.
    pub(super) fn join(&mut self, more: Self) {
        // Every field by its name: one that is new has to be thought of here.
        let Self {
            providers,
            looked_up_providers,
            roles,
            users,
            policies,
            repositories,
            looked_up_repositories,
            ecr_calls,
            ecs_clusters,
            looked_up_ecs_clusters,
            ecs_settings,
            codedeploy_calls,
            ecs_task_definitions,
            ecs_services,
            eks_clusters,
            pod_identity_associations,
            unread,
            loose,
            region,
            outputs,
        } = more;
        self.providers.extend(providers);
        self.looked_up_providers.extend(looked_up_providers);
        self.roles.extend(roles);
        self.users.extend(users);
        self.policies.extend(policies);
        self.repositories.extend(repositories);
        self.looked_up_repositories.extend(looked_up_repositories);
        self.ecr_calls.extend(ecr_calls);
        self.ecs_clusters.extend(ecs_clusters);
        self.looked_up_ecs_clusters.extend(looked_up_ecs_clusters);
        self.ecs_settings.extend(ecs_settings);
        self.codedeploy_calls.extend(codedeploy_calls);
        self.ecs_task_definitions.extend(ecs_task_definitions);
        self.ecs_services.extend(ecs_services);
        self.eks_clusters.extend(eks_clusters);
        self.pod_identity_associations.extend(pod_identity_associations);
        self.unread.extend(unread);
        self.loose.extend(loose);
        self.region = self.region.take().or(region);
        self.outputs.extend(outputs);
    }

    /// Gives each loose part to its owner. What nobody here owns is told and left out.
    pub(super) fn settle(&mut self) -> Vec<Finding> {
        let loose = std::mem::take(&mut self.loose);
        loose.into_iter().filter_map(|part| self.give(part).err()).collect()
    }

    fn give(&mut self, loose: Loose) -> Result<(), Finding> {
        let Loose { address, owner, part } = loose;
        let kind = part.owner();
        let given = match part {
            Part::RolePolicy(policy) => self.role_named(&owner.value).map(|role| role.inline.push(policy)),
            Part::RoleAttached(attached) => self.role_named(&owner.value).map(|role| role.attach(attached)),
            Part::UserPolicy(policy) => self.user_named(&owner.value).map(|user| user.inline.push(policy)),
            Part::UserAttached(attached) => {
                self.user_named(&owner.value).map(|user| user.attached.extend(attached))
            }
            Part::UserKey(span) => self.user_named(&owner.value).map(|user| user.keys.push(span)),
            Part::RepositoryPolicy(document) => {
                self.repository_named(&owner.value).map(|repository| repository.policy = Some(document))
            }
        };
        given.ok_or_else(|| {
            let message = format!(
                "`{address}` belongs to the {kind} `{}`, which is not among these files; it is left out",
                owner.value
            );
            Finding::warning("terraform-unknown", message)
                .at(owner.span, format!("no {kind} here has this name"))
                .help("where another root module makes it, name that folder with a further --infra")
        })
    }

    fn role_named(&mut self, name: &str) -> Option<&mut Role> {
        self.roles.iter_mut().find(|role| role.name_unknown.is_none() && role.name.value == name)
    }

    fn user_named(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name.value == name)
    }

    fn repository_named(&mut self, name: &str) -> Option<&mut Repository> {
        self.repositories
            .iter_mut()
            .chain(&mut self.looked_up_repositories)
            .find(|repository| repository.name_unknown.is_none() && repository.name.value == name)
    }
}
