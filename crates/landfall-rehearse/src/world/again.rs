//! A start on what an earlier one left: which resources were there, and whether they are as they were.

use landfall_serve::store::RegistryId;
use landfall_serve::store::ecs::Place;
use landfall_serve::store::logs::LogGroup;
use landfall_types::{AccountId, Arn, RepositoryName};
use serde_json::Value;

use super::Seeder;

/// How many resources there are of which sort.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// They weren't there.
    pub new: usize,
    /// They were there, and are different now.
    pub changed: usize,
    /// They were there, and are as they were.
    pub unchanged: usize,
}

impl Tally {
    /// Both together.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            changed: self.changed + other.changed,
            unchanged: self.unchanged + other.unchanged,
        }
    }
}

impl Seeder<'_> {
    /// Whether a resource is there from an earlier start: then it is brought up to date. Two of one name in the
    /// Terraform itself are what AWS refuses.
    pub(super) fn is_there(&self, arn: &str) -> bool {
        let mut before = self.before.borrow_mut();
        if before.iter().any(|(known, _)| known == arn) {
            return false;
        }
        let was = self.snapshot(arn);
        let is_there = was.is_some();
        before.push((arn.to_owned(), was));
        is_there
    }

    /// Whether it is the first time that this run comes to something; it isn't counted.
    pub(super) fn is_first(&self, what: &str) -> bool {
        let mut before = self.before.borrow_mut();
        let is_first = !before.iter().any(|(known, _)| known == what);
        before.push((what.to_owned(), None));
        is_first
    }

    /// How an account's alias is called among the resources that had their turn: it has no ARN.
    pub(super) fn alias_of(account: AccountId) -> String {
        format!("arn:aws:iam::{account}:alias/")
    }

    /// What became of all that had its turn.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (arn, was) in self.before.borrow().iter() {
            match (was, self.snapshot(arn)) {
                (_, None) => {}
                (None, Some(_)) => tally.new += 1,
                (Some(was), Some(is)) if *was == is => tally.unchanged += 1,
                (Some(_), Some(_)) => tally.changed += 1,
            }
        }
        tally
    }

    /// A resource as it is kept, without when it was looked at.
    pub(super) fn snapshot(&self, arn: &str) -> Option<String> {
        let parsed = Arn::parse(arn).ok()?;
        let store = &self.world.store;
        if let Some(name) = parsed.resource.strip_prefix("log-group:") {
            let place = Place { account: self.account, region: parsed.region.clone() };
            let kept = serde_json::to_value(store.get::<LogGroup>(&place.key(&[name]))?.as_ref());
            return kept.ok().map(|kept| kept.to_string());
        }
        let (kind, name) = parsed.resource.split_once('/')?;
        let last = name.rsplit('/').next().unwrap_or_default();
        let kept = match (parsed.service.as_str(), kind) {
            ("iam", "oidc-provider") => serde_json::to_value(store.provider(self.account, name)?.as_ref()),
            ("iam", "policy") => serde_json::to_value(store.policy(arn)?.as_ref()),
            ("iam", "role") => {
                let (_, name) = parsed.role_path_and_name()?;
                serde_json::to_value(store.role(self.account, name)?.as_ref())
            }
            // Whatever its path is by now.
            ("iam", "user") => serde_json::to_value(store.user(self.account, last)?.as_ref()),
            ("iam", "group") => {
                let groups = store.groups(self.account);
                serde_json::to_value(groups.iter().find(|it| it.name.eq_ignore_ascii_case(last))?.as_ref())
            }
            ("iam", "instance-profile") => {
                let profiles = store.instance_profiles(self.account);
                serde_json::to_value(profiles.iter().find(|it| it.name.eq_ignore_ascii_case(last))?.as_ref())
            }
            ("iam", "alias") => serde_json::to_value(store.account_alias(self.account)?.as_ref()),
            ("ecr", "repository") => {
                let registry = RegistryId { account: self.account, region: parsed.region.clone() };
                let name = RepositoryName::parse(name).ok()?;
                serde_json::to_value(store.repository(&registry, &name)?.as_ref())
            }
            _ => return None,
        };
        let mut kept = kept.ok()?;
        if let Some(looked_at) = kept.pointer_mut("/settings/lifecycle/evaluated_at") {
            *looked_at = Value::Null;
        }
        Some(kept.to_string())
    }
}
