//! A `.gitlab-ci.yml` and the files that it includes (`>>> PATH`, `>>> GROUP/PROJECT:PATH` of another project): the
//! pipelines of a branch, a tag and a merge request are planned, and every finding can be shown.

use landfall_check::gitlab::{
    self, File, Library, MergeRequest, Missing, PipelineFacts, Project, RefType, token_claims,
};
use landfall_check::render;
use landfall_types::{Finding, SourceMap};

const PATH: &str = ".gitlab-ci.yml";

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut included = Included { sources: SourceMap::new(), files: super::files(super::text(bytes), PATH) };
    let sources = included.sources.clone();
    let Some((name, text)) = included.files.first().copied() else { return };
    let file = File::parse(sources.add(name, text), text);
    let paths = included.paths(&Project::Own);
    // GitLab refuses inputs that a file doesn't declare.
    let inputs = [("environment".to_owned(), "production".to_owned())];
    let inputs = if text.starts_with("spec:") { &inputs[..] } else { &[] };
    for facts in pipelines() {
        let planned = gitlab::load(&file, inputs, &facts, &mut included)
            .and_then(|config| gitlab::plan(&config, &facts, &paths));
        match planned {
            Err(findings) => show(&findings, &sources),
            Ok(plan) => {
                for token in plan.jobs.iter().flat_map(|job| &job.id_tokens) {
                    let _ = token_claims(&token.facts, 1_700_000_000, "id");
                }
                for job in &plan.jobs {
                    let _ = job.variables.values();
                }
            }
        }
    }
}

fn show(findings: &[Finding], sources: &SourceMap) {
    // What could not be read is said.
    assert!(!findings.is_empty());
    for finding in findings {
        let _ = render::terminal(finding, sources, render::Style::Plain, 100);
        let _ = render::json(finding, sources);
    }
}

fn pipelines() -> [PipelineFacts; 3] {
    let branch = PipelineFacts::of("mygroup/myproject");
    let mut tag = branch.clone();
    tag.ref_name = "v1.0".to_owned();
    tag.ref_type = RefType::Tag;
    tag.changed = Some(vec!["src/main.rs".to_owned(), "docs/a b.md".to_owned()]);
    let mut request = branch.clone();
    request.source = "merge_request_event".to_owned();
    request.ref_name = "topic".to_owned();
    request.merge_request =
        Some(MergeRequest { iid: 7, target_branch: "main".to_owned(), target_project: None });
    [branch, tag, request]
}

/// The files beside the first.
struct Included<'t> {
    sources: SourceMap,
    files: Vec<(&'t str, &'t str)>,
}

impl Library for Included<'_> {
    fn read(&mut self, project: &Project, path: &str) -> Result<File, Missing> {
        let name = match project {
            Project::Own => path.to_owned(),
            Project::Other { path: project, .. } => format!("{project}:{path}"),
        };
        let found = self.files.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or(Missing::File)?;
        Ok(File::parse(self.sources.add(name, *text), text))
    }

    fn paths(&mut self, project: &Project) -> Vec<String> {
        let prefix = match project {
            Project::Own => String::new(),
            Project::Other { path, .. } => format!("{path}:"),
        };
        let names = self.files.iter().filter_map(|(name, _)| name.strip_prefix(&prefix));
        names.map(str::to_owned).collect()
    }
}
