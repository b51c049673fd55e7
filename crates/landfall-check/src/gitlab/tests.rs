#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use landfall_types::SourceMap;

use super::expression::Expression;
use super::*;

/// The files of one case: `PATH`, or `GROUP/PROJECT@REF:PATH` of another project.
#[derive(Default)]
struct Files {
    sources: SourceMap,
    files: BTreeMap<String, String>,
}

impl Files {
    fn name(project: &Project, path: &str) -> String {
        match project {
            Project::Own => path.to_owned(),
            Project::Other { path: project, reference } => {
                format!("{project}@{}:{path}", reference.as_deref().unwrap_or("HEAD"))
            }
        }
    }
}

impl Library for Files {
    fn read(&mut self, project: &Project, path: &str) -> Result<File, Missing> {
        let name = Self::name(project, path);
        let prefix = Self::name(project, "");
        if *project != Project::Own && !self.files.keys().any(|known| known.starts_with(&prefix)) {
            return Err(Missing::Project("say where it is".to_owned()));
        }
        let text = self.files.get(&name).cloned().ok_or(Missing::File)?;
        Ok(File::parse(self.sources.add(name, text.as_str()), &text))
    }

    fn paths(&mut self, project: &Project) -> Vec<String> {
        let prefix = Self::name(project, "");
        self.files
            .keys()
            .filter(|name| !name.contains(':'))
            .map(|name| name.trim_start_matches(&prefix).to_owned())
            .collect()
    }
}

#[derive(Default)]
struct Settings {
    facts: Option<PipelineFacts>,
    inputs: Vec<(String, String)>,
}

fn set(settings: &mut Settings, line: &str) {
    let facts = settings.facts.get_or_insert_with(|| PipelineFacts::of("mygroup/myproject"));
    let (what, value) = line.split_once(' ').unwrap_or((line, ""));
    let pair = || {
        let (name, value) = value.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    match what {
        "branch" => {
            facts.ref_name = value.to_owned();
            facts.ref_protected = value == "main";
        }
        "tag" => {
            facts.ref_name = value.to_owned();
            facts.ref_type = RefType::Tag;
        }
        "source" => facts.source = value.to_owned(),
        "merge-request" => {
            facts.source = "merge_request_event".to_owned();
            facts.ref_name = "feature".to_owned();
            facts.ref_protected = false;
            facts.merge_request =
                Some(MergeRequest { iid: 7, target_branch: "main".to_owned(), target_project: None });
        }
        "server" => facts.server_url = value.to_owned(),
        "changed" => facts.changed = Some(value.split(' ').map(str::to_owned).collect()),
        "variable" => facts.variables.push(pair()),
        "secret" => facts.secrets.push(pair()),
        "input" => settings.inputs.push(pair()),
        _ => panic!("@{line}"),
    }
}

fn job_lines(job: &PlannedJob, sources: &SourceMap, shown: &[&str]) -> String {
    let mut line = format!("{} [{}] {}", job.name, job.job.stage, job.when.as_str());
    if job.allow_failure != AllowFailure::No {
        line.push_str(&format!(" allow_failure {:?}", job.allow_failure));
    }
    if let Some(needs) = &job.needs {
        let names: Vec<&str> = needs.iter().map(|need| need.job.as_str()).collect();
        line.push_str(&format!(" needs ({})", names.join("; ")));
    }
    if let Some(span) = job.because {
        line.push_str(&format!(" by {}", sources.place(span)));
    }
    if let Body::Script(script) = &job.job.body
        && shown.contains(&"script")
    {
        for (what, lines) in
            [("before", &script.before), ("script", &script.script), ("after", &script.after)]
        {
            for text in lines {
                line.push_str(&format!("\n  {what} {:?} at {}", text.value, sources.place(text.span)));
            }
        }
    }
    for name in shown.iter().filter(|name| **name != "script") {
        if let Some(value) = job.variables.value(name) {
            line.push_str(&format!("\n  {name}={value}"));
        }
    }
    for token in &job.id_tokens {
        let audiences = token.facts.audiences.join(" ");
        line.push_str(&format!("\n  {} for {audiences}, {}", token.name, token_subject(&token.facts)));
    }
    if let Some(environment) = &job.environment {
        let TokenEnvironment { name, tier, action, .. } = environment;
        line.push_str(&format!("\n  environment {name}, {tier}, {action}"));
    }
    if let Some(docker) = &job.job.docker {
        line.push_str(&format!("\n  Docker engine by {}", docker.value));
    }
    for what in &job.job.unmodelled {
        line.push_str(&format!("\n  not modelled: {}", what.value));
    }
    line
}

fn finding_lines(finding: &Finding, sources: &SourceMap) -> String {
    let mut lines = vec![format!("{}: {}", finding.rule, finding.message)];
    for label in &finding.labels {
        let place = sources.place(label.span);
        lines.push(format!("  at {}:{}:{} {}", place.name, place.line, place.column, label.text));
    }
    lines.extend(finding.notes.iter().map(|note| format!("  note {note}")));
    lines.extend(finding.help.iter().map(|help| format!("  help {help}")));
    lines.join("\n")
}

fn planned(body: &str) -> String {
    let (settings, files) = body.split_once(">>> ").unwrap();
    let mut given = Settings::default();
    let mut shown = Vec::new();
    for line in settings.lines().filter_map(|line| line.strip_prefix('@')) {
        match line.strip_prefix("show ") {
            Some(names) => shown.extend(names.split(' ')),
            None => set(&mut given, line),
        }
    }
    let facts = given.facts.unwrap_or_else(|| PipelineFacts::of("mygroup/myproject"));
    let mut library = Files::default();
    for file in files.split("\n>>> ") {
        let (name, text) = file.split_once('\n').unwrap();
        library.files.insert(name.to_owned(), format!("{text}\n"));
    }
    let paths = library.paths(&Project::Own);
    let file = library.read(&Project::Own, ".gitlab-ci.yml").unwrap();
    let result =
        load(&file, &given.inputs, &facts, &mut library).and_then(|config| plan(&config, &facts, &paths));
    let sources = &library.sources;
    let lines: Vec<String> = match result {
        Ok(plan) => {
            let out = |out: &LeftOut| format!("- {}: {} ({})", out.name, out.why, sources.place(out.span));
            let name = plan.name.iter().map(|name| format!("pipeline {name}"));
            let jobs = plan.jobs.iter().map(|job| job_lines(job, sources, &shown));
            name.chain(jobs).chain(plan.left_out.iter().map(out)).collect()
        }
        Err(findings) => findings.iter().map(|finding| finding_lines(finding, sources)).collect(),
    };
    lines.join("\n")
}

/// The sections of a case file: name, body, what is wanted.
fn cases(text: &str) -> Vec<(String, String, String)> {
    let sections = text.split("\n=== ").skip(1);
    sections
        .map(|section| {
            let (name, rest) = section.split_once('\n').unwrap();
            let (body, wanted) = rest.split_once("\n=> \n").unwrap_or_else(|| panic!("{name} has no `=> `"));
            (name.to_owned(), format!("{body}\n"), wanted.trim_end().to_owned())
        })
        .collect()
}

#[test]
fn every_pipeline_is_planned_or_refused_as_its_case_says() {
    let cases = cases(include_str!("../../cases/gitlab/plan.txt"));
    assert!(cases.len() > 40);
    let mut wrong = Vec::new();
    for (name, body, wanted) in cases {
        let found = planned(&body);
        if found != wanted {
            wrong.push(format!("=== {name}\n{found}\n--- wanted\n{wanted}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_expression_holds_or_not_as_its_row_says() {
    let mut variables = Variables::default();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in include_str!("../../cases/gitlab/expressions.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.rsplit_once(" => ") {
            None => {
                let (name, value) = line.split_once('=').unwrap();
                variables.set(Variable { expand: true, ..Variable::predefined(name, value) });
            }
            Some((text, wanted)) => {
                rows += 1;
                let found = Expression::parse(text).and_then(|expression| expression.holds(&variables));
                let found = found.map_or_else(|why| why, |holds| holds.to_string());
                if found != wanted {
                    wrong.push(format!("{text} => {found}, wanted {wanted}"));
                }
            }
        }
    }
    assert!(rows > 30);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_tokens_claims_are_those_of_the_documentation() {
    let mut facts = TokenFacts::of(PipelineFacts::of("my-group/sub/my-project"), "https://gitlab.com");
    facts.pipeline.ref_name = "v1".to_owned();
    facts.pipeline.ref_type = RefType::Tag;
    facts.environment = Some(TokenEnvironment::named("review/x"));
    let text: Vec<String> = token_claims(&facts, 1_700_000_000, "id")
        .iter()
        .map(|(name, value)| format!("{name} {value:?}"))
        .collect();
    let wanted = include_str!("../../cases/gitlab/claims.txt");
    assert_eq!(text.join("\n"), wanted.trim_end());
}

#[test]
fn what_grows_without_end_is_told() {
    let refused = |text: String| {
        let facts = PipelineFacts::of("a/b");
        let mut library = Files::default();
        let source = library.sources.add("x", text.as_str());
        let findings = load(&File::parse(source, &text), &[], &facts, &mut library).unwrap_err();
        findings.into_iter().next().unwrap().message
    };
    let list = vec!["x"; 1_000].join(", ");
    let jobs: String =
        (0..1_000).map(|number| format!("j{number}: {{ extends: .base, script: x }}\n")).collect();
    let extended = refused(format!(".base: {{ tags: [{list}] }}\n{jobs}"));
    assert!(extended.contains("more than 200000 nodes"), "{extended}");
    let jobs: String =
        (0..1_000).map(|number| format!("j{number}: {{ script: [!reference [.base, script]] }}\n")).collect();
    let referred = refused(format!(".base: {{ script: [{list}] }}\n{jobs}"));
    assert!(referred.contains("more than 200000 nodes"), "{referred}");
    let jobs: String = (0..2_001).map(|number| format!("j{number}: {{ script: x }}\n")).collect();
    assert_eq!(refused(jobs), "a configuration may have 2000 jobs");
}

#[test]
fn expressions_have_an_end() {
    let refused = |text: String| Expression::parse(&text).unwrap_err();
    assert_eq!(refused("$A||".repeat(1_000)), "the expression has 2000 parts; at most 1000 are read");
    assert_eq!(refused("(".repeat(900)), "parentheses may nest 100 levels deep");
    assert_eq!(refused("x".repeat(20_000)), "the expression has 20000 bytes; at most 10000 are read");
}

#[test]
fn no_text_makes_the_reader_panic() {
    let facts = PipelineFacts::of("a/b");
    let text = include_str!("../../cases/gitlab/plan.txt");
    // Every beginning of every line of all cases is a file that somebody is in the middle of writing.
    for (_, body, _) in cases(text) {
        let Some((_, file)) = body.split_once('\n') else { continue };
        for end in file.char_indices().map(|(at, _)| at).step_by(7) {
            let mut library = Files::default();
            let text = file[..end].to_owned();
            let source = library.sources.add("x", text.as_str());
            if let Ok(config) = load(&File::parse(source, &text), &[], &facts, &mut library) {
                let _ = plan(&config, &facts, &[]);
            }
        }
    }
}
