//! A workflow file is read; every finding can be shown.

#![no_main]

use landfall_check::github;
use landfall_check::render;
use landfall_types::SourceMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = SourceMap::new();
    let source = sources.add(".github/workflows/deploy.yml", text);
    let (workflow, findings) = github::load(source, ".github/workflows/deploy.yml", text);
    // What could not be read is said.
    assert!(workflow.is_some() || !findings.is_empty());
    for finding in &findings {
        let _ = render::terminal(finding, &sources, render::Style::Plain, 100);
        let _ = render::json(finding, &sources);
    }
});
