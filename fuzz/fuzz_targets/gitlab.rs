//! A `.gitlab-ci.yml` is read and planned; every finding can be shown.

#![no_main]

use landfall_check::gitlab::{self, File, Library, Missing, PipelineFacts, Project};
use landfall_check::render;
use landfall_types::{Finding, SourceMap};
use libfuzzer_sys::fuzz_target;

/// A project without further files.
struct Nothing;

impl Library for Nothing {
    fn read(&mut self, _: &Project, _: &str) -> Result<File, Missing> {
        Err(Missing::File)
    }

    fn paths(&mut self, _: &Project) -> Vec<String> {
        Vec::new()
    }
}

fuzz_target!(|text: &str| {
    let sources = SourceMap::new();
    let source = sources.add(".gitlab-ci.yml", text);
    let facts = PipelineFacts::of("mygroup/myproject");
    let file = File { source, text: text.to_owned() };
    let planned = gitlab::load(&file, &[], &facts, &mut Nothing)
        .and_then(|config| gitlab::plan(&config, &facts, &[]));
    let findings: Vec<Finding> = planned.err().unwrap_or_default();
    for finding in &findings {
        let _ = render::terminal(finding, &sources, render::Style::Plain, 100);
        let _ = render::json(finding, &sources);
    }
});
