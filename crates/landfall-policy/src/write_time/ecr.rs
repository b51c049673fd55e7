//! Which actions a policy of ECR may name when it is written: those of its service, and on a repository those that are
//! decided on a repository.
//!
//! Seen of `ecr:GetAuthorizationToken`, which was taken until October 2020, and of what registries don't have:
//! <https://github.com/cloudposse/terraform-aws-ecr/pull/67>, <https://github.com/pulumi/pulumi-aws/issues/2326>. That
//! other services' actions and names that nobody knows go the same way is inferred. What has wildcards stands for
//! whatever there is, and is taken.

use landfall_types::{Span, Spanned};

use crate::ast::{Policy, Statement};
use crate::catalogue;
use crate::parse::Problem;

/// What a policy of ECR or of ECR Public belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EcrOwner {
    /// A repository of ECR.
    Repository,
    /// A repository of ECR Public.
    PublicRepository,
    /// A registry of ECR.
    Registry,
}

impl EcrOwner {
    /// ECR's sentence of a policy that it doesn't take; it says no more (observed).
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Repository | Self::PublicRepository => "Invalid repository policy provided",
            Self::Registry => "Invalid registry policy provided",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Repository => "the policy of a repository",
            Self::PublicRepository => "the policy of a public repository",
            Self::Registry => "the policy of a registry",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Repository | Self::Registry => "ecr",
            Self::PublicRepository => "ecr-public",
        }
    }
}

/// What ECR would refuse of the actions and resources of a policy.
pub fn ecr_problems(policy: &Policy, owner: EcrOwner) -> Vec<Problem> {
    policy.statements.iter().flat_map(|statement| of_statement(statement, owner)).collect()
}

fn of_statement(statement: &Statement, owner: EcrOwner) -> Vec<Problem> {
    let problem = |detail: String, span: Span| Problem::new(owner.refusal(), span).detail(detail);
    let actions = statement.action.patterns.iter();
    let actions =
        actions.filter_map(|action| Some(problem(action_problem(&action.value, owner)?, action.span)));
    let resources = statement.resource.iter().filter(|_| owner == EcrOwner::Registry);
    let foreign = |resource: &&Spanned<String>| is_of_other_service(&resource.value, owner.service());
    let resources = resources.flat_map(|clause| &clause.patterns).filter(foreign).map(|resource| {
        let detail =
            format!("{} is about repositories of ECR, and `{}` is none", owner.noun(), resource.value);
        problem(detail, resource.span)
    });
    actions.chain(resources).collect()
}

/// Why an action has no place in a policy of ECR.
fn action_problem(text: &str, owner: EcrOwner) -> Option<String> {
    let has_wildcards = |text: &str| text.contains(['*', '?']);
    let (service, name) = text.split_once(':')?;
    let own = owner.service();
    if has_wildcards(service) {
        return None;
    }
    if !service.eq_ignore_ascii_case(own) {
        return Some(format!("{} names actions of {own}, found `{text}`", owner.noun()));
    }
    if has_wildcards(name) {
        return None;
    }
    let Some(facts) = catalogue::action(text) else {
        // An operation may be newer than AWS's table of actions.
        let is_operation = catalogue::operations()
            .iter()
            .any(|known| known.service == own && known.name.eq_ignore_ascii_case(name));
        return (!is_operation).then(|| format!("{own} has no action `{text}`"));
    };
    let is_decided_here = owner == EcrOwner::Registry || facts.resource_type("repository").is_some();
    (!is_decided_here).then(|| {
        format!("`{}` is not decided on a repository: say it in a policy of the role or user", facts.name)
    })
}

fn is_of_other_service(resource: &str, own: &str) -> bool {
    let service = resource.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1));
    service.is_some_and(|service| service != own && !service.contains(['*', '?', '$']))
}
