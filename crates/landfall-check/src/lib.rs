//! Reads CI files and Terraform into models with spans: text in, model and findings out.
//!
//! Nothing here touches a file system, a network or a clock. A reader returns what it understood and what
//! it did not; what could not be understood is unknown, said with its cause, and never taken for fine.

pub mod aws_document;
pub mod github;
pub mod gitlab;
pub mod kubernetes;
mod regions;
pub mod render;
pub mod terraform;
pub mod yaml;
