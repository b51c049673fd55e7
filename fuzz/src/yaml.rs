//! YAML, one document and many.

use landfall_check::yaml;
use landfall_types::SourceId;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let _ = yaml::parse(SourceId(0), text);
    let _ = yaml::parse_all(SourceId(0), text);
}
