//! Parameters of the Query protocol.

use landfall_wire::query::Params;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    if let Ok(params) = Params::parse(text) {
        let _ = params.list("Tags.member", "");
        for tag in params.structures("Tags.member") {
            let _ = tag.get("Key");
        }
        let _ = landfall_wire::web_identity::check_assume_role_input(&params);
    }
}
