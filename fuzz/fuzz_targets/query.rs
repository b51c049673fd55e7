//! Parameters of the Query protocol.

#![no_main]

use landfall_wire::query::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(params) = Params::parse(text) {
        let _ = params.list("Tags.member", "");
        let _ = params.structures("Tags.member").iter().map(|tag| tag.get("Key")).count();
        let _ = landfall_wire::web_identity::check_assume_role_input(&params);
    }
});
