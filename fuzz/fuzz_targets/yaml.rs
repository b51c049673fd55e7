//! YAML, one document and many.

#![no_main]

use landfall_check::yaml;
use landfall_types::SourceId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = yaml::parse(SourceId(0), text);
    let _ = yaml::parse_all(SourceId(0), text);
});
