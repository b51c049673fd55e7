//! The needs against the facts, and the facts against what AWS's pages show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

use landfall_types::{Node, SourceId};

use super::*;

/// Actions of the needs that AWS's table does not have, and why.
const UNLISTED: &[(&str, &[&str])] = &[(
    "newer than the tables: botocore has the operation, AWS's reference of 2026-09-26 has no action for it",
    &[
        "cloudwatch:AssociateDatasetKmsKey",
        "cloudwatch:CreateResourceMetricsConfiguration",
        "cloudwatch:DeleteMetricDataQueryDefinition",
        "cloudwatch:DeleteResourceMetricsConfiguration",
        "cloudwatch:DescribeAlarmContributors",
        "cloudwatch:DisassociateDatasetKmsKey",
        "cloudwatch:GetMetricDataQueryDefinition",
        "cloudwatch:GetResourceMetricsConfiguration",
        "cloudwatch:ListMetricDataQueryDefinitions",
        "cloudwatch:PutMetricDataQueryDefinition",
        "cloudwatch:UpdateOTelEnrichment",
        "cloudwatch:UpdateResourceMetricsConfiguration",
        "ecr:DescribeReplicationBackfillResults",
        "ecr:ListReplicationBackfills",
        "ecr:StartReplicationBackfill",
        "ecr:StopReplicationBackfill",
        "ecs:AssociateGatewayWithCluster",
        "ecs:CreateGateway",
        "ecs:DeleteGateway",
        "ecs:DescribeGateway",
        "ecs:DescribeGatewayResources",
        "ecs:DescribeGatewayRoute",
        "ecs:DisassociateGatewayFromCluster",
        "ecs:ListGatewayClusterAssociations",
        "ecs:ListGatewayRoutes",
        "ecs:ListGateways",
        "ecs:UpdateGateway",
        "iam:AcquireRole",
        "iam:UpdateDelegationRequest",
        "iam:UpdateOpenIDConnectProvider",
        "logs:GetLogObject",
        "sts:GetScopedCredentials",
    ],
)];

fn is_unlisted(action: &str) -> bool {
    UNLISTED.iter().any(|(_, actions)| actions.contains(&action))
}

/// Every operation that AWS's own client knows of these services is in the table, and no other.
#[test]
fn no_operation_of_a_service_is_left_out() {
    let mut known = std::collections::BTreeSet::new();
    let mut service = "";
    for line in include_str!("../../data/catalogue/operations.txt").lines() {
        match line.split_once(' ') {
            Some(("#", _)) => {}
            Some(("service", name)) => service = name,
            _ => assert!(known.insert((service, line.trim())), "{line}"),
        }
    }
    let table: std::collections::BTreeSet<_> =
        operations().iter().map(|one| (one.service, one.name)).collect();
    assert_eq!(known.difference(&table).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "no need is known");
    assert_eq!(
        table.difference(&known).collect::<Vec<_>>(),
        Vec::<&(&str, &str)>::new(),
        "no such operation"
    );
}

/// Operations that are authorised under another action's name, and why.
const UNDER_ANOTHER_NAME: &[(&str, &str)] =
    &[("ListImageReferrers", "AWS's table has no action for it; it is authorised by ecr:BatchGetImage")];

fn all_needs() -> Vec<Need> {
    let mut needs: Vec<Need> = operations().iter().filter_map(|operation| operation.need).collect();
    needs.extend(RegistryCall::ALL.iter().map(|call| registry_need(*call)));
    needs.extend(RegistryCall::ALL.iter().filter_map(|call| public_registry_need(*call)));
    needs.extend(further::all().iter().map(|further| further.need));
    needs
}

#[test]
fn every_action_that_is_needed_is_one_that_aws_documents() {
    for need in all_needs() {
        let is_excused = is_unlisted(need.action);
        let listed = action(need.action).is_some_and(|facts| facts.name == need.action);
        assert!(listed != is_excused, "{need:?}");
    }
}

#[test]
fn every_need_is_decided_on_a_type_of_resource_that_its_action_has() {
    for need in all_needs().into_iter().filter(|need| !is_unlisted(need.action)) {
        let facts = action(need.action).unwrap();
        match need.resource.type_name() {
            Some(name) => {
                assert!(facts.resource_type(name).is_some(), "{need:?} {facts:?}");
                assert!(
                    resource_type(facts.service, name).unwrap().arn.starts_with("arn:${Partition}:"),
                    "{need:?}"
                );
            }
            None if need.resource == ResourceKind::ByArn => {
                assert!(facts.resource_types.len() > 1, "{need:?}")
            }
            None => assert!(facts.resource_types.is_empty(), "{need:?} {facts:?}"),
        }
    }
}

/// Actions that are decided on two resources have both among their needs.
#[test]
fn every_required_resource_of_an_operation_is_needed() {
    for operation in operations() {
        let Some(need) = operation.need else { continue };
        let same =
            further_needs(need.action).map(|further| further.need).filter(|more| more.action == need.action);
        let mut types: Vec<_> = same.chain([need]).filter_map(|need| need.resource.type_name()).collect();
        types.sort_unstable();
        // One of several types, of which the ARN says which it is.
        if need.resource == ResourceKind::ByArn || is_unlisted(need.action) {
            continue;
        }
        let facts = action(need.action).unwrap();
        let required: Vec<_> =
            facts.resource_types.iter().filter(|kind| kind.required).map(|kind| kind.name).collect();
        assert!(required.iter().all(|name| types.contains(name)), "{need:?}: {types:?} but {required:?}");
    }
}

#[test]
fn an_operation_needs_the_action_of_its_own_name_but_for_the_few_that_say_why() {
    for operation in operations() {
        let Some(need) = operation.need else { continue };
        let own = need.action == format!("{}:{}", operation.service, operation.name);
        assert_eq!(own, UNDER_ANOTHER_NAME.iter().all(|(name, _)| *name != operation.name), "{operation:?}");
    }
}

#[test]
fn further_needs_belong_to_operations_of_the_table() {
    let actions: Vec<_> =
        operations().iter().filter_map(|operation| operation.need).map(|need| need.action).collect();
    for further in further::all() {
        assert!(actions.contains(&further.with), "{further:?}");
        assert_eq!(further.when == When::RoleGiven, further.need.action == "iam:PassRole", "{further:?}");
        assert!(further.passed_to.is_none() || further.when == When::RoleGiven, "{further:?}");
    }
    let of = |action| further_needs(action).map(|further| further.need.action).collect::<Vec<_>>();
    assert_eq!(of("ecs:registertaskdefinition"), ["iam:PassRole", "ecs:TagResource"]);
    assert!(of("ecr:PutImage").is_empty());
}

/// What AWS lists as dependent actions is among the further needs, for the services of the table.
#[test]
fn what_aws_lists_as_dependent_is_needed_further() {
    // Made on the caller's behalf once in an account's life, or only for options that no CI role uses.
    let left_out = |action: &str, depends: &str| {
        depends == "iam:CreateServiceLinkedRole"
            || depends.starts_with("organizations:")
            || (action, depends) == ("ecs:CreateExpressGatewayService", "ecs:RegisterTaskDefinition")
    };
    for need in operations().iter().filter_map(|operation| operation.need) {
        for depends in action(need.action).into_iter().flat_map(|facts| &facts.depends_on) {
            let known = further_needs(need.action).any(|further| further.need.action == *depends);
            assert!(known != left_out(need.action, depends), "{} {depends}", need.action);
        }
    }
}

#[test]
fn every_line_of_the_data_is_understood_and_in_order() {
    for (service, facts) in facts::tests_only::all() {
        assert_eq!(facts.unread, Vec::<&str>::new(), "{service}");
        assert!(facts.names.is_sorted_by_key(|name| name.to_ascii_lowercase()), "{service}");
    }
    assert!(services().eq(services().collect::<std::collections::BTreeSet<_>>()));
    let count = |service| actions_of(service).len();
    assert_eq!(services().map(count).sum::<usize>(), 1199);
}

#[test]
fn an_action_says_what_the_page_of_its_service_says() {
    let run_task = action("ECS:runtask").unwrap();
    assert_eq!(
        (run_task.name, run_task.service, run_task.access),
        ("ecs:RunTask", "ecs", AccessLevel::Write)
    );
    assert!(run_task.resource_type("task-definition").unwrap().required);
    assert!(run_task.condition_keys.contains(&"ecs:cluster"));
    assert_eq!(run_task.depends_on, ["iam:PassRole"]);
    assert_eq!(action("ecr:GetAuthorizationToken").unwrap().resource_types, []);
    assert_eq!(action("iam:CreateRole").unwrap().access, AccessLevel::Write);
    assert_eq!(action("iam:AttachRolePolicy").unwrap().access, AccessLevel::Permissions);
    assert_eq!(action("ecr:TagResource").unwrap().access, AccessLevel::Tagging);
    assert_eq!(action("ecr:ListImageReferrers"), None);
    assert_eq!(action("nothing:Here"), None);
    assert_eq!(action("PutImage"), None);
}

#[test]
fn resource_types_tell_the_format_of_their_arns() {
    let service = resource_type("ecs", "service").unwrap();
    assert_eq!(
        service.arn,
        "arn:${Partition}:ecs:${Region}:${Account}:service/${ClusterName}/${ServiceName}"
    );
    assert_eq!(service.condition_keys, ["aws:ResourceTag/${TagKey}", "ecs:ResourceTag/${TagKey}"]);
    assert_eq!(resource_type("ecs", "nothing"), None);
}

#[test]
fn condition_keys_have_the_type_that_aws_gives_them() {
    use KeyType::{Arn, Bool, Date, IpAddress, Numeric, String};
    let known = [
        ("aws:SourceIp", IpAddress, false),
        ("AWS:sourceip", IpAddress, false),
        ("aws:CurrentTime", Date, false),
        ("aws:PrincipalArn", Arn, false),
        ("aws:TagKeys", String, true),
        ("aws:PrincipalTag/team", String, false),
        ("ecs:cluster", Arn, false),
        ("ecs:task-cpu", Numeric, false),
        ("iam:PassedToService", String, false),
        ("sts:ExternalId", String, false),
        ("sts:RoleAuthorizedByIdp", Bool, false),
        ("s3:x-amz-acl", String, false),
        ("kms:ViaService", String, false),
        ("saml:aud", String, false),
        ("token.actions.githubusercontent.com:repository", String, false),
        ("token.actions.githubusercontent.com:sub", String, false),
        ("token.actions.githubusercontent.com/acme:job_workflow_ref", String, false),
        ("token.actions.acme.ghe.com:environment", String, false),
        ("gitlab.com:project_id", String, false),
        ("gitlab.example.com:sub", String, false),
        ("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:aud", String, false),
        ("oidc.circleci.com/org/x:oidc.circleci.com/project-id", String, false),
        ("accounts.google.com:google/organization_number", Numeric, false),
        ("cognito-identity.amazonaws.com:amr", String, false),
        ("gitlab.example.com:amr", String, true),
    ];
    for (name, kind, multivalued) in known {
        let key = condition_key(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((key.kind, key.multivalued), (kind, multivalued), "{name}");
    }
    for name in [
        "token.actions.githubusercontent.com:event_name",
        "token.actions.githubusercontent.com:iss",
        "gitlab.example.com:project_id",
        "accounts.google.com:amr",
        "aws:NoSuchKey",
        "aws:PrincipalTag/",
        "ecs:no-such-key",
        "sub",
        "",
    ] {
        assert_eq!(condition_key(name), None, "{name}");
    }
}

#[test]
fn a_provider_has_the_claims_that_sts_takes_over() {
    let names = |provider| provider_keys(provider).iter().map(|key| key.name).collect::<Vec<_>>();
    let github = [
        "actor",
        "actor_id",
        "amr",
        "aud",
        "email",
        "enterprise_id",
        "environment",
        "job_workflow_ref",
        "oaud",
        "ref",
        "repository",
        "repository_id",
        "repository_owner_id",
        "sub",
        "workflow",
    ];
    assert_eq!(names("token.actions.githubusercontent.com"), github);
    assert_eq!(names("token.actions.githubusercontent.com/acme"), github);
    assert_eq!(names("gitlab.example.com"), ["amr", "aud", "email", "oaud", "sub"]);
    assert_eq!(names("cognito-identity.amazonaws.com"), ["amr", "aud", "sub"]);
    assert_eq!(names("sts"), Vec::<&str>::new());
    for provider in ["token.actions.githubusercontent.com", "gitlab.com", "agent.buildkite.com"] {
        for key in provider_keys(provider) {
            let found = condition_key(&format!("{provider}:{}", key.name)).unwrap();
            assert_eq!(found.kind, key.kind, "{provider} {}", key.name);
        }
    }
}

#[test]
fn a_pattern_covers_the_actions_that_it_matches() {
    let names = |pattern| matching(pattern).iter().map(|action| action.name).collect::<Vec<_>>();
    assert_eq!(
        names("ecr:PutIm*"),
        ["ecr:PutImage", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability"]
    );
    assert_eq!(names("STS:assumeroot"), ["sts:AssumeRoot"]);
    assert_eq!(names("ecr*:PutImage"), ["ecr:PutImage", "ecr-public:PutImage"]);
    assert_eq!(names("ecr:"), Vec::<&str>::new());
    assert_eq!(names("lambda:*"), Vec::<&str>::new());
    assert_eq!(names("").len(), 0);
    assert_eq!(names("*").len(), 1199);
    assert_eq!(names("ecs:*").len(), actions_of("ecs").len());
}

#[test]
fn a_command_line_needs_what_it_calls() {
    let (tree, problems) = crate::json::parse(SourceId(0), include_str!("../../cases/cli.json"));
    assert!(problems.is_empty(), "{problems:?}");
    let rows = tree.field("cases").unwrap().items();
    assert!(rows.len() >= 50);
    for row in rows {
        let [line, needs] = row.items() else { panic!("{row:?}") };
        let line = line.as_text().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(knows_command(&words), needs.node != Node::Null, "{line}");
        let wanted: Vec<&str> = needs.items().iter().map(|need| need.as_text().unwrap()).collect();
        let needed = cli_need(&words);
        let got: Vec<_> = needed.iter().map(|need| format!("{} {:?}", need.action, need.resource)).collect();
        assert_eq!(got, wanted, "{line}");
    }
    assert!(!knows_command(&[]));
}

#[test]
fn a_command_line_names_its_resources() {
    let line =
        "aws ecs describe-services --cluster prod --services web api --output json --task-definition=web:7";
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(cli_names(&words, ResourceKind::Cluster), ["prod"]);
    assert_eq!(cli_names(&words, ResourceKind::Service), ["web", "api"]);
    assert_eq!(cli_names(&words, ResourceKind::TaskDefinition), ["web:7"]);
    assert_eq!(cli_names(&words, ResourceKind::Repository), Vec::<&str>::new());
    let image = "docker://123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/api:v1@sha256:00";
    assert_eq!(cli_names(&["docker", "push", image], ResourceKind::Repository), ["team/api"]);
    assert_eq!(cli_names(&["docker", "push", "ghcr.io/a/b"], ResourceKind::Repository), Vec::<&str>::new());
}

#[test]
fn an_image_lives_where_its_name_says() {
    let ecr = |region| ImageHost::Ecr { account: "123456789012", region };
    for (image, host) in [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/api", ecr("eu-west-1")),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/api", ecr("us-gov-west-1")),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api", ecr("cn-north-1")),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu/api", ecr("eusc-de-east-1")),
        ("docker://123456789012.dkr-ecr.eu-west-1.on.aws/api", ecr("eu-west-1")),
        ("public.ecr.aws/a/b", ImageHost::EcrPublic),
        ("12345678901.dkr.ecr.eu-west-1.amazonaws.com/api", ImageHost::Elsewhere),
        ("123456789012.dkr.ecr.eu-west-1.example.com/api", ImageHost::Elsewhere),
        ("123456789012.dkr.ecr..amazonaws.com/api", ImageHost::Elsewhere),
        ("ghcr.io/public.ecr.aws/x", ImageHost::Elsewhere),
        ("alpine", ImageHost::Elsewhere),
        ("", ImageHost::Elsewhere),
        ("$REGISTRY/api", ImageHost::Unresolved),
        ("${{ steps.login.outputs.registry }}/api", ImageHost::Unresolved),
        ("ghcr.io/$OWNER/api", ImageHost::Elsewhere),
    ] {
        assert_eq!(image_host(image), host, "{image}");
    }
}
