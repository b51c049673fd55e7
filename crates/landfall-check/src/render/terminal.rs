//! A finding for a person: the message, every line concerned with what is to be seen there, the
//! facts, and what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use landfall_types::{Finding, Severity, SourceId, SourceMap, shortened};

/// Longest message, in characters: GitHub's texts quote what was found, which may be a line of a megabyte.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// How text is dressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// With colours.
    Coloured,
    /// Without.
    Plain,
}

/// Renders a finding over several lines, without a newline at the end.
pub fn terminal(finding: &Finding, sources: &SourceMap, style: Style, width: usize) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let renderer = match style {
        Style::Coloured => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    };
    let message = shortened(&finding.message, MESSAGE_CHARS_MAX);
    let title = level.primary_title(message.as_ref()).id(finding.rule);
    let visible = finding.labels.iter().any(|label| !sources.text(label.span.source).is_empty());
    if !visible {
        return without_places(finding, &renderer.term_width(width).render(&[Group::with_title(title)]));
    }
    // Texts have to live as long as the report that borrows them.
    let texts: Vec<(SourceId, String, String)> = files(finding)
        .into_iter()
        .map(|source| (source, sources.name(source).to_string(), sources.text(source).to_string()))
        .collect();
    let mut group = title.elements(texts.iter().filter(|(_, _, text)| !text.is_empty()).enumerate().map(
        |(index, (source, name, text))| {
            let labels = finding.labels.iter().enumerate().filter(|(_, label)| label.span.source == *source);
            let annotations = labels.map(|(position, label)| {
                // The first place of all is the one to look at; the others explain it.
                let kind = if index == 0 && position == 0 {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                let (start, end) = (label.span.start as usize, label.span.end as usize);
                kind.span(clamp(text, start, end)).label(label.text.as_str())
            });
            Snippet::source(text.as_str()).path(name.as_str()).annotations(annotations)
        },
    ));
    for note in &finding.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.term_width(width).render(&[group])
}

/// A message without a place has no margin to hang its facts on.
fn without_places(finding: &Finding, title: &str) -> String {
    // What others said may have lines: they are indented as a fact's own, and never begin one.
    let fact = |kind: &str, text: &str| format!("\n  = {kind}: {}", text.replace('\n', "\n          "));
    let notes = finding.notes.iter().map(|note| fact("note", note));
    let help = finding.help.iter().map(|help| fact("help", help));
    let facts: String = notes.chain(help).collect();
    format!("{title}{facts}")
}

/// The sources of a finding in the order in which they are first named.
fn files(finding: &Finding) -> Vec<SourceId> {
    let mut files: Vec<SourceId> = Vec::new();
    for label in &finding.labels {
        if !files.contains(&label.span.source) {
            files.push(label.span.source);
        }
    }
    files
}

/// The first line of a range, inside the text and on character boundaries: a block is pointed at
/// where it begins.
fn clamp(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let floor = |offset: usize| {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = floor(start);
    let end = floor(end).max(start);
    let first_line =
        text.get(start..end).and_then(|range| range.find('\n')).map_or(end, |newline| start + newline);
    start..first_line
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_types::Span;

    #[test]
    fn every_file_is_shown_once_with_its_lines() {
        let sources = SourceMap::new();
        let trust = sources.add("infra/main.tf", "resource \"x\" {\n  sub = \"repo:a/b:*\"\n}\n");
        let workflow = sources.add("deploy.yml", "on: push\njobs: {}\n");
        let finding = Finding::error("subject-mismatch", "the trust policy does not admit this token")
            .at(Span::new(trust, 22, 34), "wanted")
            .at(Span::new(workflow, 0, 8), "the job runs on this")
            .note("got `repo:a/b:pull_request`")
            .help("add it");
        let text = terminal(&finding, &sources, Style::Plain, 100);
        for part in [
            "error[subject-mismatch]",
            "infra/main.tf:2:",
            "deploy.yml:1:",
            "wanted",
            "= note: got",
            "= help: add it",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn a_finding_without_places_is_its_message() {
        let finding =
            Finding::error("usage", "no such file").note("it was looked for in `x`").help("make one");
        let text = terminal(&finding, &SourceMap::new(), Style::Plain, 80);
        assert_eq!(
            text,
            "error[usage]: no such file\n  = note: it was looked for in `x`\n  = help: make one"
        );
    }
}
