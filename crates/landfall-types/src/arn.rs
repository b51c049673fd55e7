//! Amazon Resource Names. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>

use std::fmt;

/// A twelve-digit AWS account number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// Reads twelve digits.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidArn> {
        let digits: Option<[u8; 12]> = text.as_bytes().try_into().ok();
        digits
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .map(Self)
            .ok_or_else(|| InvalidArn { text: text.to_owned(), wanted: "an account id of 12 digits" })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // INVARIANT: `parse` only keeps ASCII digits.
        std::str::from_utf8(&self.0).unwrap_or("000000000000")
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `arn:partition:service:region:account:resource`. Region and account may be empty, and the
/// account of AWS's own managed policies is the word `aws`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// `iam`, `sts`, `ecr`, …
    pub service: String,
    /// Empty for global services.
    pub region: String,
    /// Twelve digits, empty, or `aws`.
    pub account: String,
    /// All after the fifth colon.
    pub resource: String,
}

impl Arn {
    /// The ARN as it is written, in one piece of memory: `to_string` takes a new one for every few characters, which
    /// counts where every call writes some.
    pub fn text(&self) -> String {
        self.pieces().concat()
    }

    fn pieces(&self) -> [&str; 10] {
        let Self { partition, service, region, account, resource } = self;
        ["arn:", partition, ":", service, ":", region, ":", account, ":", resource]
    }

    /// Reads an ARN. Wildcards are not given a meaning here: policies match patterns on their own.
    ///
    /// # Errors
    /// When one of the six parts is missing or the first isn't `arn`.
    pub fn parse(text: &str) -> Result<Self, InvalidArn> {
        let invalid = || InvalidArn {
            text: text.to_owned(),
            wanted: "an ARN: arn:partition:service:region:account:resource",
        };
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().map(str::to_owned).ok_or_else(invalid);
        if next()? != "arn" {
            return Err(invalid());
        }
        let arn = Self {
            partition: next()?,
            service: next()?,
            region: next()?,
            account: next()?,
            resource: next()?,
        };
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(invalid());
        }
        Ok(arn)
    }

    fn of(service: &str, region: &str, account: &str, resource: String) -> Self {
        Self {
            partition: partition_of(region).to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            resource,
        }
    }

    /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`; `path` begins and ends with `/`.
    pub fn role(account: AccountId, path: &str, name: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("role{path}{name}"))
    }

    /// `arn:aws:iam::ACCOUNT:user/PATH/NAME`; `path` begins and ends with `/`.
    pub fn user(account: AccountId, path: &str, name: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("user{path}{name}"))
    }

    /// `arn:aws:iam::ACCOUNT:group/PATH/NAME`; `path` begins and ends with `/`.
    pub fn group(account: AccountId, path: &str, name: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("group{path}{name}"))
    }

    /// `arn:aws:iam::ACCOUNT:instance-profile/PATH/NAME`; `path` begins and ends with `/`.
    pub fn instance_profile(account: AccountId, path: &str, name: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("instance-profile{path}{name}"))
    }

    /// `arn:aws:iam::ACCOUNT:policy/PATH/NAME`; `path` begins and ends with `/`.
    pub fn policy(account: AccountId, path: &str, name: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("policy{path}{name}"))
    }

    /// `arn:aws:iam::ACCOUNT:oidc-provider/HOST/PATH`.
    pub fn oidc_provider(account: AccountId, host_and_path: &str) -> Self {
        Self::of("iam", "", account.as_str(), format!("oidc-provider/{host_and_path}"))
    }

    /// `arn:aws:iam::ACCOUNT:root`.
    pub fn root(account: AccountId) -> Self {
        Self::of("iam", "", account.as_str(), "root".to_owned())
    }

    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`; the role's path is not part of it.
    pub fn assumed_role(account: AccountId, role_name: &str, session_name: &str) -> Self {
        Self::of("sts", "", account.as_str(), format!("assumed-role/{role_name}/{session_name}"))
    }

    /// `arn:aws:sts::ACCOUNT:federated-user/NAME`.
    pub fn federated_user(account: AccountId, name: &str) -> Self {
        Self::of("sts", "", account.as_str(), format!("federated-user/{name}"))
    }

    /// `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`.
    pub fn repository(region: &str, account: AccountId, name: &str) -> Self {
        Self::of("ecr", region, account.as_str(), format!("repository/{name}"))
    }

    /// The name after the last `/` of a `role/…` resource, with the path before it (`/` or `/x/`).
    pub fn role_path_and_name(&self) -> Option<(String, &str)> {
        let rest = (self.service == "iam").then(|| self.resource.strip_prefix("role/")).flatten()?;
        let (path, name) = rest.rsplit_once('/').map_or(("", rest), |(path, name)| (path, name));
        let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        (!name.is_empty()).then_some((path, name))
    }

    /// The account as a number, when it is one.
    pub fn account_id(&self) -> Option<AccountId> {
        AccountId::parse(&self.account).ok()
    }
}

/// The partition of a region, by its name; none for what is no region's name, as the SDKs tell it of one that they
/// don't know.
/// <https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>
pub fn known_partition(region: &str) -> Option<&'static str> {
    const PARTITIONS: &[(&str, &[&str])] = &[
        ("aws", &["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"]),
        ("aws-cn", &["cn"]),
        ("aws-us-gov", &["us-gov"]),
        ("aws-eusc", &["eusc-de"]),
        ("aws-iso", &["us-iso"]),
        ("aws-iso-b", &["us-isob"]),
        ("aws-iso-e", &["eu-isoe"]),
        ("aws-iso-f", &["us-isof"]),
    ];
    let (rest, number) = region.rsplit_once('-')?;
    let (place, direction) = rest.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_direction = !direction.is_empty() && direction.bytes().all(|byte| byte.is_ascii_lowercase());
    let known = PARTITIONS.iter().find(|(_, places)| places.contains(&place))?;
    (is_number && is_direction).then_some(known.0)
}

/// The partition that ARNs of a region have; that of most regions where it isn't known.
pub fn partition_of(region: &str) -> &'static str {
    known_partition(region).unwrap_or("aws")
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces().iter().try_for_each(|piece| f.write_str(piece))
    }
}

/// A text that isn't what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidArn {
    /// What was given.
    pub text: String,
    /// What was expected.
    pub wanted: &'static str,
}

impl fmt::Display for InvalidArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.wanted)
    }
}

impl std::error::Error for InvalidArn {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_reads_back_as_it_was_written() {
        for text in [
            "arn:aws:iam::123456789012:role/ci/deploy",
            "arn:aws:iam::aws:policy/AdministratorAccess",
            "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a/b",
            "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7",
        ] {
            assert_eq!(Arn::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "arn:aws:iam", "arn:aws:iam::1:", "urn:aws:iam::1:x"] {
            assert!(Arn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_role_arn_gives_path_and_name() {
        let arn = Arn::parse("arn:aws:iam::123456789012:role/ci/web/deploy").expect("an ARN");
        assert_eq!(arn.role_path_and_name(), Some(("/ci/web/".to_owned(), "deploy")));
        let arn = Arn::parse("arn:aws:iam::123456789012:role/deploy").expect("an ARN");
        assert_eq!(arn.role_path_and_name(), Some(("/".to_owned(), "deploy")));
    }

    #[test]
    fn an_account_is_twelve_digits() {
        assert!(AccountId::parse("123456789012").is_ok());
        for text in ["12345678901", "1234567890123", "12345678901a", "１２３４"] {
            assert!(AccountId::parse(text).is_err(), "{text}");
        }
    }
}
