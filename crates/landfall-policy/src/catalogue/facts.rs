//! AWS's tables of actions, resource types and condition keys, as far as they are in `data/catalogue`.
//! They are read on first use, one service at a time; `tools/catalogue.py` writes them.

use std::cmp::Ordering;
use std::sync::OnceLock;

use crate::pattern;

/// What AWS documents of an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionFacts {
    /// `ecs:RunTask`.
    pub name: &'static str,
    /// `ecs`.
    pub service: &'static str,
    /// What it does to what it works on.
    pub access: AccessLevel,
    /// The types of resource that it is decided on; empty when it is decided on `*`.
    pub resource_types: Vec<ActionResource>,
    /// The keys that its requests carry whatever the resource; the global ones aside.
    pub condition_keys: Vec<&'static str>,
    /// Further actions that its caller needs, as AWS lists them. The list is not complete:
    /// [`further_needs`](super::further_needs) has what Landfall decides by.
    pub depends_on: Vec<&'static str>,
}

impl ActionFacts {
    /// The type under this name, when the action is decided on it.
    pub fn resource_type(&self, name: &str) -> Option<&ActionResource> {
        self.resource_types.iter().find(|kind| kind.name == name)
    }
}

/// A type of resource that an action is decided on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionResource {
    /// `task-definition`.
    pub name: &'static str,
    /// Whether every request names one; else the request names one of several, or none.
    pub required: bool,
    /// The keys that a request for such a resource carries.
    pub condition_keys: Vec<&'static str>,
}

/// What an action does.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_understand-policy-summary-access-level-summaries.html>
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessLevel {
    /// Names resources.
    List,
    /// Reads what is in them.
    Read,
    /// Makes, changes or removes them.
    Write,
    /// Says who may do what.
    Permissions,
    /// Changes nothing but tags.
    Tagging,
}

/// What AWS documents of a type of resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResourceTypeFacts {
    /// `task-definition`.
    pub name: &'static str,
    /// `arn:${Partition}:ecs:${Region}:${Account}:task-definition/${TaskDefinitionFamilyName}:${TaskDefinitionRevisionNumber}`.
    pub arn: &'static str,
    /// The keys that say something of such a resource.
    pub condition_keys: Vec<&'static str>,
}

/// What AWS documents of a condition key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyFacts {
    /// As AWS writes it, `aws:RequestTag/${TagKey}`.
    pub name: &'static str,
    /// Which operators suit its values.
    pub kind: KeyType,
    /// Whether it has a list of values, so that a condition needs `ForAllValues` or `ForAnyValue`.
    pub multivalued: bool,
}

/// The type of a condition key's values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyType {
    /// For the string operators.
    String,
    /// For the numeric operators.
    Numeric,
    /// For `Bool`.
    Bool,
    /// For the date operators.
    Date,
    /// For the ARN operators.
    Arn,
    /// For `IpAddress` and `NotIpAddress`.
    IpAddress,
    /// For `BinaryEquals`.
    Binary,
}

/// The facts of an action, whatever the case of its name; none for a service that is not in the
/// catalogue and for an action that the service does not have.
pub fn action(name: &str) -> Option<&'static ActionFacts> {
    let (service, _) = name.split_once(':')?;
    let actions = actions_of(service);
    let at = actions.binary_search_by(|known| ignoring_case(known.name, name)).ok()?;
    actions.get(at)
}

/// All actions of a service by name; empty for a service that is not in the catalogue.
pub fn actions_of(service: &str) -> &'static [ActionFacts] {
    facts(service).map_or(&[], |facts| &facts.actions)
}

/// The actions of the catalogue that a pattern of `Action` covers, by service and name.
pub fn matching(pattern: &str) -> Vec<&'static ActionFacts> {
    // AWS takes wildcards in the service's prefix from `*` alone, but a reader may meet more.
    let prefix = pattern.split_once(':').map_or("*", |(service, _)| service);
    SERVICES
        .iter()
        .filter(|source| pattern::glob_ignore_case(prefix, source.service))
        .flat_map(|source| &source.facts().actions)
        .filter(|action| pattern::action(pattern, action.name))
        .collect()
}

/// The services of the catalogue by prefix.
pub fn services() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|source| source.service)
}

/// The facts of a type of resource: `resource_type("ecs", "task-definition")`.
pub fn resource_type(service: &str, name: &str) -> Option<&'static ResourceTypeFacts> {
    resource_types_of(service).iter().find(|known| known.name == name)
}

/// All types of resource of a service; empty for a service that is not in the catalogue.
pub fn resource_types_of(service: &str) -> &'static [ResourceTypeFacts] {
    facts(service).map_or(&[], |facts| &facts.types)
}

/// The facts of a condition key, whatever the case of its name. None for keys that AWS does not
/// document (or only for a service that is not in the catalogue): no request carries those.
///
/// Keys of OIDC providers are known as STS makes them: what it takes over for every provider, and
/// further claims of the providers of its list.
pub fn condition_key(name: &str) -> Option<KeyFacts> {
    let (prefix, _) = name.split_once(':')?;
    let documented = |facts: &'static Facts| facts.keys.iter().find(|key| fits_format(key.name, name));
    let known = documented(global()).or_else(|| documented(facts(prefix)?)).or_else(|| {
        SERVICES.iter().filter(|source| source.has_foreign_keys).find_map(|s| documented(s.facts()))
    });
    known.copied().or_else(|| {
        let (provider, claim) = name.rsplit_once(':')?;
        let key = PROVIDER_KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(claim))?;
        // Built-in providers have their own lists; every other is a host name with a dot.
        (is_host(provider) && !is_built_in(provider)).then_some(*key)
    })
}

/// The claims of a provider's tokens that STS makes condition keys of, by name: for
/// `token.actions.githubusercontent.com` among others `repository`, `ref` and `sub`. The provider is
/// its host and path, as in its ARN.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html>
pub fn provider_keys(provider: &str) -> Vec<KeyFacts> {
    let of_sts = facts("sts").map_or(&[][..], |facts| &facts.keys);
    let own = of_sts.iter().filter_map(|key| {
        let (of, claim) = split_provider(key.name)?;
        fits_format(of, provider).then_some(KeyFacts { name: claim, ..*key })
    });
    let mut keys: Vec<KeyFacts> = own.collect();
    if is_host(provider) && !is_built_in(provider) {
        let further: Vec<_> =
            PROVIDER_KEYS.iter().filter(|key| keys.iter().all(|own| own.name != key.name)).collect();
        keys.extend(further);
    }
    keys.sort_by_key(|key| key.name);
    keys
}

/// Whether a name fits a format of AWS's tables, in which `${…}` stands for any text but none; case
/// is ignored. It serves keys (`aws:RequestTag/${TagKey}`) and providers; for ARNs, whose case
/// counts, make a pattern of the format.
pub fn fits_format(format: &str, name: &str) -> bool {
    let Some((literal, _)) = format.split_once('$') else {
        return format.eq_ignore_ascii_case(name);
    };
    if !name.get(..literal.len()).is_some_and(|start| start.eq_ignore_ascii_case(literal)) {
        return false;
    }
    let mut glob = String::with_capacity(format.len());
    let mut rest = format;
    while let Some((before, from)) = rest.split_once("${") {
        glob.push_str(before);
        glob.push_str("?*");
        rest = from.split_once('}').map_or("", |(_, after)| after);
    }
    glob.push_str(rest);
    pattern::glob_ignore_case(&glob, name)
}

/// What STS takes from the token of any OIDC provider.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
const PROVIDER_KEYS: &[KeyFacts] = &[
    KeyFacts { name: "amr", kind: KeyType::String, multivalued: true },
    KeyFacts { name: "aud", kind: KeyType::String, multivalued: false },
    KeyFacts { name: "email", kind: KeyType::String, multivalued: false },
    KeyFacts { name: "oaud", kind: KeyType::String, multivalued: false },
    KeyFacts { name: "sub", kind: KeyType::String, multivalued: false },
];

/// Providers that need no provider in IAM; STS's table lists all of their keys.
const BUILT_IN: &[&str] =
    &["accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com"];

fn is_built_in(provider: &str) -> bool {
    BUILT_IN.iter().any(|known| known.eq_ignore_ascii_case(provider))
}

fn is_host(provider: &str) -> bool {
    provider.split('/').next().is_some_and(|host| host.contains('.'))
}

/// `oidc.circleci.com/org/${OrgId}:oidc.circleci.com/project-id` into provider and claim; none for
/// keys that belong to no provider.
fn split_provider(key: &'static str) -> Option<(&'static str, &'static str)> {
    key.rsplit_once(':').filter(|(provider, _)| is_host(provider))
}

/// One file of `data/catalogue`.
struct Source {
    service: &'static str,
    /// Whether it has keys under other prefixes than its own.
    has_foreign_keys: bool,
    text: &'static str,
    facts: OnceLock<Facts>,
}

impl Source {
    const fn new(service: &'static str, text: &'static str) -> Self {
        // S3 and KMS speak of other services' keys too, but under those services' own names.
        let has_foreign_keys = matches!(service.as_bytes(), b"sts");
        Self { service, has_foreign_keys, text, facts: OnceLock::new() }
    }

    fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts::read(self.service, self.text))
    }
}

macro_rules! sources {
    ($($service:literal),+ $(,)?) => {
        [$(Source::new($service, include_str!(concat!("../../data/catalogue/", $service, ".txt")))),+]
    };
}

static SERVICES: [Source; 14] = sources![
    "cloudwatch",
    "codedeploy",
    "ecr",
    "ecr-public",
    "ecs",
    "eks",
    "eks-auth",
    "iam",
    "kms",
    "logs",
    "s3",
    "secretsmanager",
    "ssm",
    "sts",
];

static GLOBAL: [Source; 1] = sources!["global"];

fn facts(service: &str) -> Option<&'static Facts> {
    SERVICES.iter().find(|source| source.service.eq_ignore_ascii_case(service)).map(Source::facts)
}

fn global() -> &'static Facts {
    let [global] = &GLOBAL;
    global.facts()
}

/// A file, read.
#[derive(Default, Debug)]
struct Facts {
    actions: Vec<ActionFacts>,
    types: Vec<ResourceTypeFacts>,
    keys: Vec<KeyFacts>,
}

impl Facts {
    /// One entry on a line, what belongs to it on the following lines after a space.
    fn read(service: &'static str, text: &'static str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            // None for a comment; a test sees to it that there is no other.
            let _understood = facts.line(service, line);
        }
        facts
    }

    fn line(&mut self, service: &'static str, line: &'static str) -> Option<()> {
        let belongs = line.starts_with(' ');
        let mut words = line.split_ascii_whitespace();
        match (words.next()?, belongs) {
            ("key", false) => {
                let (name, kind) = (words.next()?, words.next()?);
                let (kind, multivalued) = key_type(kind)?;
                self.keys.push(KeyFacts { name, kind, multivalued });
            }
            ("type", false) => {
                let (name, arn) = (words.next()?, words.next()?);
                self.types.push(ResourceTypeFacts { name, arn, condition_keys: Vec::new() });
            }
            ("action", false) => {
                let (name, access) = (words.next()?, access_level(words.next()?)?);
                let (resource_types, condition_keys, depends_on) = Default::default();
                self.actions.push(ActionFacts {
                    name,
                    service,
                    access,
                    resource_types,
                    condition_keys,
                    depends_on,
                });
            }
            ("keys", true) => match self.actions.last_mut() {
                Some(action) => action.condition_keys.extend(words),
                None => self.types.last_mut()?.condition_keys.extend(words),
            },
            ("depends", true) => self.actions.last_mut()?.depends_on.extend(words),
            (need @ ("must" | "may"), true) => {
                let (name, required) = (words.next()?, need == "must");
                let kind = ActionResource { name, required, condition_keys: words.collect() };
                self.actions.last_mut()?.resource_types.push(kind);
            }
            _ => return None,
        }
        Some(())
    }
}

fn key_type(word: &str) -> Option<(KeyType, bool)> {
    let (one, multivalued) = match word.strip_prefix("ArrayOf") {
        Some(one) => (one, true),
        None => (word, false),
    };
    let kind = match one {
        "String" => KeyType::String,
        "Numeric" => KeyType::Numeric,
        "Bool" => KeyType::Bool,
        "Date" => KeyType::Date,
        "ARN" => KeyType::Arn,
        "IPAddress" => KeyType::IpAddress,
        "Binary" => KeyType::Binary,
        _ => return None,
    };
    Some((kind, multivalued))
}

fn access_level(word: &str) -> Option<AccessLevel> {
    Some(match word {
        "List" => AccessLevel::List,
        "Read" => AccessLevel::Read,
        "Write" => AccessLevel::Write,
        "Permissions" => AccessLevel::Permissions,
        "Tagging" => AccessLevel::Tagging,
        _ => return None,
    })
}

/// The order of the files: by name in small letters.
fn ignoring_case(left: &str, right: &str) -> Ordering {
    let small = |byte: u8| byte.to_ascii_lowercase();
    left.bytes().map(small).cmp(right.bytes().map(small))
}

/// The files as they were read, for tests.
#[cfg(test)]
pub(super) mod tests_only {
    use super::{Facts, GLOBAL, SERVICES};

    /// What a test wants to know of a file.
    pub struct Read {
        /// Lines that say nothing.
        pub unread: Vec<&'static str>,
        /// The names of its actions.
        pub names: Vec<&'static str>,
    }

    /// Every file by its service.
    pub fn all() -> impl Iterator<Item = (&'static str, Read)> {
        SERVICES.iter().chain(&GLOBAL).map(|source| {
            let mut facts = Facts::default();
            let mut unread: Vec<&str> = source.text.lines().filter(|line| !line.starts_with('#')).collect();
            unread.retain(|line| facts.line(source.service, line).is_none());
            let names = source.facts().actions.iter().map(|action| action.name).collect();
            (source.service, Read { unread, names })
        })
    }
}
