//! The services of AWS that policies can name. IAM refuses a name that it doesn't know, and nobody has all that it
//! knows: a name that isn't here may be that of a new service.

use landfall_types::Finding;

use crate::ast::{Policy, PrincipalPattern};
use crate::parse::{Problem, invalid_principal};

/// The names, one a line; lines with `#` say where they are from.
const LIST: &str = include_str!("service_principals.txt");

/// Names of services that AWS refuses although they look like others (hashicorp/terraform #35086).
const REFUSED: &[&str] = &["tagging.amazonaws.com"];
/// The most names, divided by dots, that a service has before `.amazonaws.com`, its region counted.
const LABELS_MAX: usize = 3;
/// How many changes of a letter a name may be away from the one that is meant.
const CHANGES_MAX: usize = 3;
/// The longest name that is compared, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// All names, without region, in the order of their letters.
pub fn all() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter(|line| !line.starts_with('#'))
}

/// Whether a service of AWS is known by this name, with its region (`codedeploy.eu-west-1.amazonaws.com`) or without,
/// also as AWS writes it in China.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services>
pub fn is_known(name: &str) -> bool {
    let name = name.strip_suffix(".cn").unwrap_or(name);
    if all().any(|known| known == name) {
        return true;
    }
    let without_region = name.strip_suffix(".amazonaws.com").and_then(|name| name.rsplit_once('.'));
    let Some((service, region)) = without_region else { return false };
    let is_it = |known: &str| known.strip_suffix(".amazonaws.com") == Some(service);
    is_region(region) && all().any(is_it)
}

/// `eu-west-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.as_slice() {
        [words @ .., number] => {
            words.len() >= 2
                && words.iter().all(is_word)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        [] => false,
    }
}

/// The name that is nearest to one that isn't known, if any is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    if wanted.len() > NAME_BYTES_MAX {
        return None;
    }
    let near = all().map(|known| (changes(&wanted, known), known));
    // A short name has little of its own: half of it has to be the same.
    let most = |known: &str| CHANGES_MAX.min(known.find('.').unwrap_or(0) / 2);
    let near = near.filter(|(changes, known)| *changes <= most(known));
    near.min_by_key(|(changes, _)| *changes).map(|(_, known)| known)
}

/// How many letters have to be put in, left out, replaced, or exchanged with their neighbour.
pub(crate) fn changes(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, one) in left.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut fewest = at(&last, column) + usize::from(one != other);
            fewest = fewest.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let is_exchange = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(one);
            if is_exchange {
                fewest = fewest.min(at(&before, column - 1) + 1);
            }
            next.push(fewest);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

/// Whether a name that isn't known may be that of a service nevertheless, a new one: it is of the shape of them, and no
/// known one is near.
fn may_be_new(name: &str) -> bool {
    let labels = name.strip_suffix(".cn").unwrap_or(name).strip_suffix(".amazonaws.com");
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    labels.is_some_and(|labels| labels.split('.').count() <= LABELS_MAX && labels.split('.').all(is_label))
        && name.len() <= NAME_BYTES_MAX
        && !REFUSED.contains(&name)
        && nearest(name).is_none()
}

/// The services that a policy names and that aren't known, in IAM's words, with the one that may be meant. Some of them
/// [may be new](refused).
pub fn unknown(policy: &Policy) -> Vec<Problem> {
    problems(policy, |_| true)
}

/// The [`unknown`] services as warnings, since one of them may be new.
pub fn warnings(policy: &Policy) -> impl Iterator<Item = Finding> {
    unknown(policy).into_iter().map(|problem| {
        let label = problem.detail.unwrap_or_else(|| "this service isn't known".to_owned());
        Finding::warning("unknown-service", problem.message).at(problem.span, label)
    })
}

/// Those of the [`unknown`] services that are none: misspelt, or not of a service's shape. The others may be new.
pub fn refused(policy: &Policy) -> Vec<Problem> {
    problems(policy, |name| !may_be_new(name))
}

fn problems(policy: &Policy, is_meant: impl Fn(&str) -> bool) -> Vec<Problem> {
    let clauses = policy.statements.iter().filter_map(|statement| statement.principal.as_ref());
    let services = clauses.flat_map(|clause| &clause.principals).filter_map(|principal| {
        let PrincipalPattern::Service(name) = &principal.value else { return None };
        (!is_known(name) && is_meant(name)).then_some((name, principal.span))
    });
    let problem = |(name, span): (&String, _)| {
        let detail = match nearest(name) {
            Some(meant) => format!("AWS refuses services that it doesn't know; did you mean `{meant}`?"),
            None => "AWS refuses services that it doesn't know, and this one isn't known here".to_owned(),
        };
        Problem::new(invalid_principal("Service", name), span).detail(detail)
    };
    services.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_has_each_name_once() {
        let names: Vec<&str> = all().collect();
        assert!(names.len() > 400, "{}", names.len());
        assert!(names.is_sorted_by(|one, next| one < next));
        for name in &names {
            assert!(name.ends_with(".amazonaws.com") || name.ends_with(".amazon.com"), "{name}");
        }
    }

    #[test]
    fn services_are_known_with_and_without_their_region() {
        for name in [
            "ecs-tasks.amazonaws.com",
            "pods.eks.amazonaws.com",
            "batchoperations.s3.amazonaws.com",
            "export.rds.amazonaws.com",
            "codedeploy.us-gov-west-1.amazonaws.com",
            "ec2.amazonaws.com.cn",
            "codedeploy.cn-north-1.amazonaws.com.cn",
            "ecs.application-autoscaling.amazonaws.com",
            "alexa-appkit.amazon.com",
        ] {
            assert!(is_known(name), "{name}");
        }
        for name in [
            "ecs-task.amazonaws.com",
            "tagging.amazonaws.com",
            "ECS-TASKS.amazonaws.com",
            "eu-west-1.amazonaws.com",
            "ecs-tasks.nowhere.amazonaws.com",
            "ecs-tasks.eu-west-1.example.com",
            "ecs-tasks.amazonaws.com.",
            "",
        ] {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_near_no_other_may_be_that_of_a_new_service() {
        for name in [
            "something-quite-new.amazonaws.com",
            "something-quite-new.eu-west-1.amazonaws.com",
            "part.something-quite-new.amazonaws.com.cn",
        ] {
            assert!(may_be_new(name), "{name}");
        }
        for name in [
            "ecs-task.amazonaws.com",
            "tagging.amazonaws.com",
            "Something-Quite-New.amazonaws.com",
            "something-quite-new.example.com",
            "something-quite-new.amazonaws.com.",
            "something..quite.amazonaws.com",
            "something-quite-new",
            ".amazonaws.com",
            "amazonaws.com",
            "a.quite.long.one.amazonaws.com",
            "",
        ] {
            assert!(!may_be_new(name), "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_told_when_it_is_near() {
        for (name, meant) in [
            ("ecs-task.amazonaws.com", Some("ecs-tasks.amazonaws.com")),
            ("ecstasks.amazonaws.com", Some("ecs-tasks.amazonaws.com")),
            ("pod.eks.amazonaws.com", Some("pods.eks.amazonaws.com")),
            ("lamdba.amazonaws.com", Some("lambda.amazonaws.com")),
            ("Lambda.amazonaws.com", Some("lambda.amazonaws.com")),
            ("codedeploy.amazonaw.com", Some("codedeploy.amazonaws.com")),
            ("something-quite-new.amazonaws.com", None),
            ("zzzz.example.com", None),
        ] {
            assert_eq!(nearest(name), meant, "{name}");
        }
    }
}
