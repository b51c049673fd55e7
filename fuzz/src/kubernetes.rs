//! A Kubernetes manifest is read for its pods; every finding can be shown.

use landfall_check::{kubernetes, render};
use landfall_types::SourceMap;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let sources = SourceMap::new();
    let source = sources.add("pod.yaml", text);
    let _ = kubernetes::is_manifest(text);
    for finding in kubernetes::pods(source, text).err().unwrap_or_default() {
        let _ = render::terminal(&finding, &sources, render::Style::Plain, 100);
        let _ = render::json(&finding, &sources);
    }
}
