//! How the domain's words stand in JSON: as the text that people write them in.

use std::cell::RefCell;

use landfall_types::{AccountId, Arn, Digest, Issuer, RepositoryName, SourceId, SourceMap, Span, Tag};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

use crate::policies::{GivenTexts, NOT_KEPT};

/// Where texts go that reasons point into, while records are read.
#[derive(Clone, Debug)]
struct Texts {
    given: GivenTexts,
    sources: SourceMap,
    label: String,
}

thread_local! {
    // Serde hands nothing down to what it reads, and a policy in the middle of a record has to register its
    // text; so the place where records are read says it to this thread.
    static TEXTS: RefCell<Option<Texts>> = const { RefCell::new(None) };
}

/// Reads records whose policies are shown with their lines: their texts become sources.
pub fn registering<T>(given: &GivenTexts, sources: &SourceMap, read: impl FnOnce() -> T) -> T {
    let texts = Texts { given: given.clone(), sources: sources.clone(), label: String::new() };
    TEXTS.set(Some(texts));
    let answer = read();
    TEXTS.set(None);
    answer
}

/// Reads a record whose policies are called so.
pub fn naming<T>(label: &str, read: impl FnOnce() -> T) -> T {
    TEXTS.with_borrow_mut(|texts| texts.iter_mut().for_each(|texts| texts.label = label.to_owned()));
    read()
}

/// The source of a policy that is being read.
pub(super) fn source(text: &str) -> SourceId {
    let known = |texts: &Texts| texts.given.source_in(&texts.sources, &texts.label, text);
    TEXTS.with_borrow(|texts| texts.as_ref().map_or(NOT_KEPT, known))
}

/// The source of a text that has a name of its own.
pub(super) fn source_named(name: &str, text: &str) -> SourceId {
    let known = |texts: &Texts| texts.given.source_in(&texts.sources, name, text);
    TEXTS.with_borrow(|texts| texts.as_ref().map_or(NOT_KEPT, known))
}

/// A word that is written as text and read back by its own rules.
pub trait Word: Sized {
    /// The text.
    fn text(&self) -> String;
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! words {
    ($($word:ty),+) => {$(
        impl Word for $word {
            fn text(&self) -> String {
                self.to_string()
            }
            fn read(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|error| error.to_string())
            }
        }
    )+};
}

words!(AccountId, Arn, Digest, Issuer, RepositoryName, Tag);

/// `#[serde(with = "text::word")]`.
pub mod word {
    use serde::de::Error as _;

    use super::{Deserializer, Serializer, Word};

    /// Writes a word.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<W: Word, S: Serializer>(word: &W, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&word.text())
    }

    /// Reads a word.
    ///
    /// # Errors
    /// When it is not one.
    pub fn deserialize<'de, W: Word, D: Deserializer<'de>>(deserializer: D) -> Result<W, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        W::read(&text).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "text::optional", default)]`.
pub mod optional {
    use serde::Serialize as _;
    use serde::de::Error as _;

    use super::{Deserializer, Serializer, Word};

    /// Writes a word, or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<W: Word, S: Serializer>(word: &Option<W>, serializer: S) -> Result<S::Ok, S::Error> {
        word.as_ref().map(Word::text).serialize(serializer)
    }

    /// Reads a word, or null.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, W: Word, D: Deserializer<'de>>(deserializer: D) -> Result<Option<W>, D::Error> {
        let text = <Option<String> as serde::Deserialize>::deserialize(deserializer)?;
        text.map(|text| W::read(&text).map_err(D::Error::custom)).transpose()
    }
}

/// `#[serde(with = "text::millis")]`: a time in milliseconds.
pub mod millis {
    use landfall_types::Timestamp;

    use super::{Deserializer, Serializer};

    /// Writes a time.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.0)
    }

    /// Reads a time.
    ///
    /// # Errors
    /// When it is no number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        <i64 as serde::Deserialize>::deserialize(deserializer).map(Timestamp)
    }
}

/// `#[serde(with = "text::optional_millis", default)]`: a time in milliseconds, or null.
pub mod optional_millis {
    use landfall_types::Timestamp;
    use serde::Serialize as _;

    use super::{Deserializer, Serializer};

    /// Writes a time, or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.0).serialize(serializer)
    }

    /// Reads a time, or null.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let millis = <Option<i64> as serde::Deserialize>::deserialize(deserializer)?;
        Ok(millis.map(Timestamp))
    }
}

/// `#[serde(with = "text::bytes")]`: bytes that are to come back to the letter.
pub mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error as _;

    use super::{Deserializer, Serializer};

    /// Writes bytes.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// When they are not base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "text::shared")]`: a record within a record that is handed out by itself.
pub mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Serialize};

    use super::{Deserializer, Serializer};

    /// Writes what is shared.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: Serialize, S: Serializer>(shared: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// Where a record was written is not kept: `#[serde(skip, default = "text::nowhere")]`.
pub fn nowhere() -> Span {
    Span::new(NOT_KEPT, 0, 0)
}

/// Writes a shared text.
///
/// # Errors
/// The serializer's.
pub fn str_to<S: Serializer>(text: &std::sync::Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Writes a policy's kind.
///
/// # Errors
/// The serializer's.
pub fn kind_to<S: Serializer>(kind: &landfall_policy::PolicyKind, serializer: S) -> Result<S::Ok, S::Error> {
    use landfall_policy::PolicyKind;
    match kind {
        PolicyKind::Trust => "trust",
        PolicyKind::Identity => "identity",
        PolicyKind::Resource => "resource",
    }
    .serialize(serializer)
}

/// Reads a policy's kind.
///
/// # Errors
/// When there is none of that name.
pub fn kind_from<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<landfall_policy::PolicyKind, D::Error> {
    use landfall_policy::PolicyKind;
    match String::deserialize(deserializer)?.as_str() {
        "trust" => Ok(PolicyKind::Trust),
        "identity" => Ok(PolicyKind::Identity),
        "resource" => Ok(PolicyKind::Resource),
        other => Err(D::Error::custom(format!("there is no kind of policy `{other}`"))),
    }
}
