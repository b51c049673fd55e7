//! See `src/sigv4.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| landfall_fuzz::sigv4::run(bytes));
