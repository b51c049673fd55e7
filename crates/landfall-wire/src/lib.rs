//! Bytes and their meaning on the AWS side of a delivery: request signatures, ID tokens, the Query,
//! JSON and REST protocols of AWS, and the registry protocol of OCI.
//!
//! Nothing here opens a socket, reads a clock or draws random numbers of its own: time and random bytes
//! are arguments, so a server and a test see the same behaviour. The one exception is making a signing
//! key, whose randomness comes from the cryptographic library.

pub mod cbor;
pub mod certificate;
pub mod constraints;
pub mod error;
pub mod hash;
pub mod ids;
pub mod json;
pub mod jwt;
pub mod oci;
pub mod query;
pub mod sigv4;
pub mod sts;
pub mod web_identity;
pub mod xml;

pub use error::{AwsError, Protocol, Reply};
