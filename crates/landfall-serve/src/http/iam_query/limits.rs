//! How long parameters may be, before anything else is asked of a call. Limits: the API's model.

use landfall_wire::error::AwsError;
use landfall_wire::query::Params;

/// A parameter with the shortest and the longest text that it takes, in characters.
const LENGTHS: &[(&str, usize, usize)] = &[
    ("AWSServiceName", 1, 128),
    ("AccessKeyId", 16, 128),
    ("AccountAlias", 3, 63),
    ("CallerArn", 1, 2_048),
    ("ClientID", 1, 255),
    ("CustomSuffix", 1, 64),
    ("DeletionTaskId", 1, 1_000),
    ("GroupName", 1, 128),
    ("InstanceProfileName", 1, 128),
    ("Marker", 1, 320),
    ("NewGroupName", 1, 128),
    ("NewPath", 1, 512),
    ("NewUserName", 1, 64),
    ("OpenIDConnectProviderArn", 20, 2_048),
    ("Path", 1, 512),
    ("PathPrefix", 1, 512),
    ("PermissionsBoundary", 20, 2_048),
    ("PolicyArn", 20, 2_048),
    ("PolicyName", 1, 128),
    ("PolicySourceArn", 20, 2_048),
    ("ResourceOwner", 1, 2_048),
    ("RoleName", 1, 64),
    ("UserName", 1, 128),
];

/// A parameter and the values that it takes.
const CHOICES: &[(&str, &[&str])] = &[
    ("AssignmentStatus", &["Assigned", "Unassigned", "Any"]),
    ("EntityFilter", &["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"]),
    ("PolicyUsageFilter", &["PermissionsPolicy", "PermissionsBoundary"]),
    ("Scope", &["All", "AWS", "Local"]),
    ("Status", &["Active", "Inactive"]),
];

/// Looks at all parameters; what is wrong with them is told at once, as AWS does it.
pub(super) fn check(params: &Params) -> Result<(), AwsError> {
    let lengths = LENGTHS.iter().filter_map(|(name, shortest, longest)| {
        let value = params.get(name)?;
        let constraint = match value.chars().count() {
            count if count < *shortest => format!("greater than or equal to {shortest}"),
            count if count > *longest => format!("less than or equal to {longest}"),
            _ => return None,
        };
        Some(failed(name, value, &format!("Member must have length {constraint}")))
    });
    let choices = CHOICES.iter().filter_map(|(name, choices)| {
        let value = params.get(name).filter(|value| !choices.contains(value))?;
        Some(failed(name, value, &format!("Member must satisfy enum value set: [{}]", choices.join(", "))))
    });
    let all: Vec<String> = lengths.chain(choices).collect();
    let noun = match all.len() {
        0 => return Ok(()),
        1 => "1 validation error".to_owned(),
        count => format!("{count} validation errors"),
    };
    Err(AwsError::validation(format!("{noun} detected: {}", all.join("; "))))
}

fn failed(name: &str, value: &str, constraint: &str) -> String {
    let member = super::super::query::lower_first(name);
    format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}")
}
