//! The client in CI: an ID token becomes a session, a session becomes a registry login, and an image
//! goes into a registry without a daemon.
//!
//! Calls to AWS go through the official SDK, so the same code works against AWS and against any
//! endpoint that `AWS_ENDPOINT_URL` names. Environment, randomness and files to write to are
//! arguments: the binary supplies them.

pub mod archive;
pub mod assemble;
pub mod aws;
pub mod aws_json;
pub mod blob;
pub mod choice;
pub mod compress;
pub mod container;
pub mod deploy;
pub mod docker_archive;
pub mod docker_config;
pub mod ecr;
pub mod engine;
pub mod environment;
pub mod exec;
pub mod failure;
pub mod github;
pub mod helper;
pub mod http;
pub mod id_token;
pub mod keeper;
pub mod layer;
pub mod layout;
pub mod login;
pub mod platform;
pub mod private;
pub mod proxy;
pub mod push;
pub mod read;
pub mod registry;

pub use environment::Environment;
pub use failure::{Failure, FailureKind};

#[cfg(test)]
mod testing;
