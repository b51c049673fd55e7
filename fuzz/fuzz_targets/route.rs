//! Paths of the registry.

#![no_main]

use landfall_serve::registry::route::Route;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = format!("/v2/{text}");
    let _ = Route::parse(&path).noun();
    let _ = Route::parse(text).noun();
});
