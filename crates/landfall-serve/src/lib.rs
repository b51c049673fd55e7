//! The local AWS side: IAM, STS, ECR with its registry, and the issuers whose tokens STS exchanges.
//!
//! It verifies: signatures, tokens, trust policies, and the caller's permissions on every call. A
//! handler takes a [`Permit`](authz::Permit), and only [`authz`] makes one, so that no state can
//! change without a decision; every decision, with its reasons, goes to the [`log`].
//!
//! A call goes `http` → [`authn`] (who) → [`authz`] (may they) → one function for the operation
//! ([`iam`], [`sts`], [`ecr`], [`registry`]) → [`store`].

pub mod apart;
pub mod authn;
pub mod authz;
pub mod blobs;
mod called;
pub mod caller;
pub mod clock;
pub mod cloudwatch;
pub mod codedeploy;
pub mod collect;
pub mod connection;
pub mod control;
pub mod data;
pub mod discovery;
pub mod door;
pub mod ecr;
pub mod ecs;
pub mod eks;
mod http;
pub mod iam;
pub mod issuer;
pub mod log;
pub mod logs;
mod models;
mod page;
pub mod policies;
pub mod registry;
mod server;
pub mod store;
pub mod sts;
mod tags;
#[cfg(test)]
mod testing;
pub mod vault;
pub mod world;

pub use http::answer;
pub use server::{Bound, Config, Limits, Place, Running, StartError, bind, start, world};
pub use world::World;
