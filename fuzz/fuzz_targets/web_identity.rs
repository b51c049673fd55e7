//! See `src/web_identity.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| landfall_fuzz::web_identity::run(bytes));
