//! Paths of the registry.

use landfall_serve::registry::route::Route;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let path = format!("/v2/{text}");
    let _ = Route::parse(&path).noun();
    let _ = Route::parse(text).noun();
}
