//! Parameters of the Query protocol, and the CBOR of RPC v2.

use landfall_wire::cbor;
use landfall_wire::query::Params;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    if let Ok(value) = cbor::decode(bytes) {
        assert_eq!(
            cbor::decode(&cbor::encode(&value, &[])).ok(),
            Some(value),
            "what is written is read again"
        );
    }
    let text = super::text(bytes);
    if let Ok(params) = Params::parse(text) {
        let _ = params.list("Tags.member", "");
        for tag in params.structures("Tags.member") {
            let _ = tag.get("Key");
        }
        let _ = landfall_wire::web_identity::check_assume_role_input(&params);
    }
}
