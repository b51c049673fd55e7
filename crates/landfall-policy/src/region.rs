//! Sets of requests: unions of products over principal, action, resource and condition keys.
//!
//! Keys that hang together (a subject and the repository in it) are one coordinate of a product, written
//! on one tape; all others vary freely. What keys a token has, and what they read like, is a fact of its
//! issuer: see [`Region::tokens`].

mod custom;
mod keys;
mod tokens;

use crate::request::{Principal, Request};
use crate::set::{Language, Shape, Tape};

pub use custom::SubjectTemplate;
pub(crate) use custom::{AskedSubjects, Templates, names_in};
pub(crate) use keys::Others;
pub(crate) use tokens::{Context, Family, IssuerKind};
pub use tokens::{ProviderFacts, WEB_IDENTITY};

/// A set of requests.
#[derive(Clone, Debug, Default)]
pub struct Region {
    pub(crate) products: Vec<Product>,
}

/// How a key may occur in the requests of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Presence {
    /// It may be missing.
    pub absent: bool,
    /// It may have one value.
    pub one: bool,
    /// It may have several values.
    pub many: bool,
}

impl Presence {
    /// Always there, with one value.
    pub const SINGLE: Self = Self { absent: false, one: true, many: false };
    /// Missing, or there with one value.
    pub const OPTIONAL: Self = Self { absent: true, one: true, many: false };
    /// Anything.
    pub const ANY: Self = Self { absent: true, one: true, many: true };
}

/// What is known of one condition key.
#[derive(Clone, Debug)]
pub struct KeyFact {
    /// The key, `aws:SourceVpc`.
    pub name: String,
    /// How it may occur.
    pub presence: Presence,
    /// What each of its values may be.
    pub values: Language,
}

/// Independent coordinates; every combination of their values is a request.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The kind of token, where the issuer is GitHub.
    pub(crate) family: Option<Family>,
    /// Whose templates the subjects are made by; none for default subjects.
    pub(crate) templates: Option<Templates>,
    pub(crate) principal: Principal,
    pub(crate) resource_account: String,
    pub(crate) coordinates: Vec<Coordinate>,
    /// What is known of keys that have no coordinate.
    pub(crate) others: Others,
}

/// A part of a request that a policy looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    Action,
    Resource,
    Key(String),
}

impl Slot {
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Action, Self::Action) | (Self::Resource, Self::Resource) => true,
            (Self::Key(left), Self::Key(right)) => left.eq_ignore_ascii_case(right),
            (Self::Action | Self::Resource | Self::Key(_), _) => false,
        }
    }
}

/// One dimension of a product.
#[derive(Clone, Debug)]
pub(crate) enum Coordinate {
    /// A value, or the list of values of a key, that is known.
    Fixed { slot: Slot, values: Vec<String> },
    /// One or more values that are read from the same tape.
    Free(Free),
}

#[derive(Clone, Debug)]
pub(crate) struct Free {
    pub(crate) slots: Vec<Slot>,
    /// What each slot is held to beyond the shapes of the tape.
    pub(crate) languages: Vec<Option<Language>>,
    /// The tapes to choose from; each is read by every slot.
    pub(crate) tapes: Vec<Tape>,
    pub(crate) presence: Presence,
}

impl Coordinate {
    pub(crate) fn covers(&self, slot: &Slot) -> bool {
        match self {
            Self::Fixed { slot: own, .. } => own.is(slot),
            Self::Free(free) => free.slots.iter().any(|own| own.is(slot)),
        }
    }

    /// Whether it speaks of this key.
    pub(crate) fn covers_key(&self, name: &str) -> bool {
        let is_it = |slot: &Slot| matches!(slot, Slot::Key(own) if own.eq_ignore_ascii_case(name));
        match self {
            Self::Fixed { slot, .. } => is_it(slot),
            Self::Free(free) => free.slots.iter().any(is_it),
        }
    }

    /// A value of any text in a language.
    pub(crate) fn of(slot: Slot, language: Option<Language>, presence: Presence) -> Self {
        Self::Free(Free {
            slots: vec![slot],
            languages: vec![language],
            tapes: vec![Tape::single(Shape::Any)],
            presence,
        })
    }

    /// A key with values of a shape.
    pub(crate) fn shaped(name: String, shape: Shape, presence: Presence) -> Self {
        Self::tapes(name, vec![Tape::single(shape)], presence)
    }

    pub(crate) fn tapes(name: String, tapes: Vec<Tape>, presence: Presence) -> Self {
        Self::Free(Free { slots: vec![Slot::Key(name)], languages: vec![None], tapes, presence })
    }
}

impl Region {
    /// The region of one request.
    pub fn request(request: &Request) -> Self {
        let mut coordinates = vec![
            Coordinate::Fixed { slot: Slot::Action, values: vec![request.action.clone()] },
            Coordinate::Fixed { slot: Slot::Resource, values: vec![request.resource.clone()] },
        ];
        coordinates.extend(
            request.context.iter().map(|key| Coordinate::Fixed {
                slot: Slot::Key(key.name.clone()),
                values: key.values.clone(),
            }),
        );
        let product = Product {
            family: None,
            templates: None,
            principal: request.principal.clone(),
            resource_account: request.resource_account.clone(),
            coordinates,
            others: Others::Absent,
        };
        Self { products: vec![product] }
    }

    /// All requests of one caller for any of these actions on any of these resources. Keys of which
    /// nothing is said may be absent or have any values.
    pub fn product(
        principal: Principal,
        action: Language,
        resource: Language,
        resource_account: &str,
        keys: Vec<KeyFact>,
    ) -> Self {
        let mut coordinates = vec![
            Coordinate::of(Slot::Action, Some(action), Presence::SINGLE),
            Coordinate::of(Slot::Resource, Some(resource), Presence::SINGLE),
        ];
        coordinates.extend(
            keys.into_iter()
                .map(|fact| Coordinate::of(Slot::Key(fact.name), Some(fact.values), fact.presence)),
        );
        let product = Product {
            family: None,
            templates: None,
            principal,
            resource_account: resource_account.to_owned(),
            coordinates,
            others: Others::Free,
        };
        Self { products: vec![product] }
    }

    /// Requests that are in either region.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.products.extend(other.products);
        self
    }
}
