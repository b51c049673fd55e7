//! A Terraform file is read and evaluated.

#![no_main]

use landfall_check::terraform::{self, NoDisk, Root, Settings};
use landfall_types::{AccountId, SourceMap};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = SourceMap::new();
    let main = sources.add("main.tf", text);
    let settings = Settings {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: "eu-west-1".to_owned(),
        variables: Default::default(),
    };
    let (infra, _) = terraform::read(&sources, &[Root { files: vec![main], values: Vec::new(), disk: &NoDisk }], &settings);
    for role in &infra.roles {
        let _ = terraform::to_json(&role.trust);
    }
});
