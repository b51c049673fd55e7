//! What IAM refuses of a `Resource` when a policy is written. The sentences and their order were observed.

use super::LEGACY_PARSING;
use crate::pattern;

/// Why a resource is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) detail: Option<String>,
}

/// Parts of an ARN before the resource's own name.
const HEAD_PARTS: usize = 5;

/// Looks at one resource of a policy: `*`, or an ARN.
pub(super) fn check(resource: &str) -> Result<(), Refusal> {
    if resource == "*" {
        return Ok(());
    }
    let refuse = |message: String| Err(Refusal { message, detail: None });
    let Some((_, rest)) = resource.split_once(':') else {
        return refuse(format!("Resource {resource} must be in ARN format or \"*\"."));
    };
    let parts: Vec<&str> = parts_of(rest);
    let part = |index: usize| parts.get(index).copied();
    let partition = part(0).unwrap_or("");
    if !resource.starts_with("arn:") || !PARTITIONS.iter().any(|known| pattern::glob(partition, known)) {
        // What isn't there is told as a wildcard.
        let told = |index: usize| part(index).unwrap_or("*");
        return refuse(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{}:{}:{}:{}\".",
            told(1),
            told(2),
            told(3),
            told(4)
        ));
    }
    let Some(vendor) = part(1).filter(|vendor| !vendor.contains(['*', '?'])) else {
        return refuse("Resource vendor must be fully qualified and cannot contain regexes.".to_owned());
    };
    check_place(resource, vendor, [part(2), part(3), part(4)])?;
    // An ARN may end early, as in `arn:aws:s3`, but not in the middle of the two parts that may be empty.
    if vendor.is_empty() || (parts.len() < HEAD_PARTS && resource.contains("::")) {
        let detail = "expected an ARN of six parts, `arn:partition:service:region:account:resource`";
        return Err(Refusal { message: LEGACY_PARSING.to_owned(), detail: Some(detail.to_owned()) });
    }
    Ok(())
}

/// The parts of an ARN behind `arn:`. A variable, `${aws:PrincipalAccount}`, may have colons of its own.
fn parts_of(rest: &str) -> Vec<&str> {
    let mut is_variable = false;
    let mut colons = 0;
    let cut = |character: char| {
        match character {
            '$' => is_variable = true,
            '}' => is_variable = false,
            ':' if !is_variable && colons < HEAD_PARTS - 1 => {
                colons += 1;
                return true;
            }
            _ => {}
        }
        false
    };
    rest.split(cut).collect()
}

/// What has no region, and how IAM's own resources begin.
fn check_place(resource: &str, vendor: &str, rest: [Option<&str>; 3]) -> Result<(), Refusal> {
    let [region, account, name] = rest;
    let has_region = region.is_some_and(|region| !region.is_empty());
    let message = match vendor {
        "iam" if has_region => format!("IAM resource {resource} cannot contain region information."),
        // Buckets and objects have neither; what S3 has of accounts is in a region.
        "s3" if has_region && account == Some("") => {
            format!("Resource {resource} can not contain region information.")
        }
        "iam" if name.is_some_and(|name| !is_iam_name(name)) => {
            format!("IAM resource path must either be \"*\" or start with {}.", IAM_NAMES.join(", "))
        }
        _ => return Ok(()),
    };
    Err(Refusal { message, detail: None })
}

/// Whether a name of a resource of IAM begins as one, as far as it is written out before its first wildcard or variable.
fn is_iam_name(name: &str) -> bool {
    let end = name.find(['*', '?', '$']).unwrap_or(name.len());
    let written = name.get(..end).unwrap_or(name);
    let mut known = IAM_NAMES.iter().chain(NEWER_IAM_NAMES);
    match end == name.len() {
        true => known.any(|known| written.starts_with(known)),
        false => known.any(|known| written.starts_with(known) || known.starts_with(written)),
    }
}

const IAM_NAMES: &[&str] = &[
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// Resources that IAM has got since its sentence was written down.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
const NEWER_IAM_NAMES: &[&str] = &["assumed-role/", "u2f/", "delegation-request/", "root"];

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
const PARTITIONS: &[&str] =
    &["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];
