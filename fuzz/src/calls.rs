//! Whole calls of every protocol, one after the other, with `%%` on a line between them. The first input byte `=`
//! stands for ECR's registry, everything else for the one that keeps to the OCI specification.
//!
//! Nothing that a client sends may be the server's own fault.

use landfall_serve::world::RegistryMode;

use super::side::{Kept, Side, folder};

/// Calls that one input makes.
const CALLS_MAX: usize = 100;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let (registry, text) = match text.strip_prefix("=\n") {
        Some(rest) => (RegistryMode::Ecr, rest),
        None => (RegistryMode::StrictOci, text),
    };
    let place = folder();
    let mut side = Side::new(&Kept::Scratch(place.path()), registry).expect("a world");
    for call in text.split("\n%%\n").take(CALLS_MAX) {
        let Some(answer) = side.call(call) else { continue };
        let (status, body) = (answer.status(), String::from_utf8_lossy(answer.body()));
        assert!(!status.is_server_error() || status == 501, "{call}\n\n{status} {body}");
    }
}
