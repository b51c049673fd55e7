//! What isn't known of an account and can't be seen in the parts of the model that are: answers that lean on those
//! parts are no proof.

use std::collections::BTreeMap;

use landfall_types::{Arn, Span};

use super::model::Infra;

/// Something that isn't known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// What isn't known.
    pub about: About,
    /// Why not, as a phrase.
    pub because: String,
    /// Where that is written.
    pub span: Span,
}

/// What isn't known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum About {
    /// The trust policy of the role with this name.
    Trust(String),
    /// The audiences of the provider with this ARN: it may take others than the model has.
    Audiences(String),
    /// The policies of the role with this name, its boundary included: it may have others than the model has.
    Permissions(String),
    /// The policies of roles, nobody knows of which.
    AllPermissions,
    /// Which roles there are.
    Roles,
    /// Which providers there are.
    Providers,
}

/// What would be made, by which resource, and where its name stands.
type Maker<'i> = (About, &'i str, Span);

impl Infra {
    /// Notes what is made twice: which of the two stands can't be told, and AWS takes only one.
    pub(super) fn doubt_twins(&mut self) {
        let mut made: BTreeMap<(bool, String), Vec<Maker<'_>>> = BTreeMap::new();
        for role in self.roles.iter().filter(|role| role.name_unknown.is_none()) {
            let about = About::Trust(role.name.value.clone());
            // IAM tells names apart but for their case.
            let (account, name) =
                (Arn::parse(&role.arn).map(|arn| arn.account), role.name.value.to_lowercase());
            let made = made.entry((true, format!("{} {name}", account.unwrap_or_default()))).or_default();
            made.push((about, &role.address, role.name.span));
        }
        for provider in &self.providers {
            let about = About::Audiences(provider.arn.clone());
            let made = made.entry((false, provider.arn.clone())).or_default();
            made.push((about, &provider.address, provider.url.span));
        }
        let mut doubts = Vec::new();
        for twins in made.values().filter(|made| made.len() > 1) {
            let addresses: Vec<String> = twins.iter().map(|(_, address, _)| format!("`{address}`")).collect();
            let because =
                format!("{} make the same one, and AWS takes only one of them", addresses.join(" and "));
            let of_each = twins.iter().map(|(about, _, span)| (about.clone(), *span));
            doubts.extend(of_each.map(|(about, span)| Doubt { about, because: because.clone(), span }));
        }
        self.doubts.extend(doubts);
    }
}
