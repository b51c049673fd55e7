//! The words of Landfall. Every noun that two crates share is defined here, once.
//!
//! Nothing here does IO, reads a clock, or depends on another crate: the other crates can be
//! reasoned about because the words they exchange carry no behaviour of their own.

pub mod agent;
pub mod arn;
pub mod claims;
pub mod finding;
pub mod image;
pub mod secret;
pub mod span;
pub mod time;
pub mod tree;

pub use arn::{AccountId, Arn};
pub use claims::{ClaimValue, Claims, Issuer};
pub use finding::{Finding, Label, Severity, shortened};
pub use image::{Digest, ImageRef, RepositoryName, Tag};
pub use secret::Secret;
pub use span::{SourceId, SourceMap, Span, Spanned};
pub use time::Timestamp;
pub use tree::{Node, Tree};
