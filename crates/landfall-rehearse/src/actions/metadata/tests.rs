//! The rows of `cases/metadata.txt`.

#![allow(clippy::unwrap_used)]
use super::*;

const CASES: &str = include_str!("../../../cases/metadata.txt");

/// 2020-01-10T00:30:00Z.
const NOW_MS: i64 = 1_578_616_200_000;

/// What a row says of the run.
#[derive(Default)]
struct Row {
    event: String,
    git_ref: String,
    inputs: Vec<(String, String)>,
    wanted: Vec<String>,
}

fn run(row: &Row) -> Result<Metadata, String> {
    let variables = |_: &str| None;
    let ahead = |zone: &str, _: i64| (zone == "Asia/Tokyo").then_some(9 * 3600);
    let facts = Facts {
        event: &row.event,
        git_ref: &row.git_ref,
        sha: "860c1904a1ce19322e91ac35af1ab07466440c37",
        base: row.event.starts_with("pull_request").then_some("main"),
        default_branch: "main",
        repository: "Octo/Hello-World",
        now_ms: NOW_MS,
        commit_ms: NOW_MS - 86_400_000,
        ahead: &ahead,
        variable: &variables,
    };
    metadata(&row.inputs, &facts)
}

fn lines(done: Result<Metadata, String>) -> Vec<String> {
    match done {
        Err(error) => vec![format!("error {error}")],
        Ok(done) => {
            let version = &done.outputs.first().unwrap().1;
            let tags = done.outputs.get(1).unwrap().1.replace('\n', " ");
            let mut lines = vec![format!("{version} = {tags}")];
            lines.extend(done.warnings.iter().map(|warning| format!("warning {warning}")));
            lines
        }
    }
}

/// A row begins with `# ` and its title; then come `on EVENT REF`, inputs as `NAME: LINE`, and after `=>` what is
/// wanted: `VERSION = TAGS`, `warning …` or `error …`.
#[test]
fn every_row_makes_its_tags() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for block in CASES.split("\n# ").skip(1) {
        let mut row = Row::default();
        let mut rows = block.lines();
        let title = rows.next().unwrap();
        for line in rows.filter(|line| !line.trim().is_empty()) {
            if let Some(wanted) = line.strip_prefix("=> ") {
                row.wanted.push(wanted.to_owned());
            } else if let Some(on) = line.strip_prefix("on ") {
                let (event, git_ref) = on.split_once(' ').unwrap();
                (row.event, row.git_ref) = (event.to_owned(), git_ref.to_owned());
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                match row.inputs.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known += &format!("\n{value}"),
                    None => row.inputs.push((name.to_owned(), value.to_owned())),
                }
            }
        }
        let got = lines(run(&row));
        if got != row.wanted {
            wrong.push(format!("{title}: {got:#?}"));
        }
        count += 1;
    }
    assert!(count >= 30, "{count} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn labels_are_ocis_and_the_steps_own_and_json_has_all() {
    let row = Row {
        event: "push".to_owned(),
        git_ref: "refs/tags/v1.2.3".to_owned(),
        inputs: [
            ("images", "A.example/Web"),
            ("tags", "type=semver,pattern={{version}}"),
            ("labels", "maintainer=me=you\norg.opencontainers.image.title={{branch}}x"),
            ("sep-labels", ","),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        wanted: Vec::new(),
    };
    let done = run(&row).unwrap();
    let output = |name: &str| done.outputs.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let labels = "maintainer=me=you,org.opencontainers.image.created=2020-01-10T00:30:00.000Z,org.opencontainers.image.description=,org.opencontainers.image.licenses=,org.opencontainers.image.revision=860c1904a1ce19322e91ac35af1ab07466440c37,org.opencontainers.image.source=https://github.com/Octo/Hello-World,org.opencontainers.image.title=x,org.opencontainers.image.url=https://github.com/Octo/Hello-World,org.opencontainers.image.version=1.2.3";
    assert_eq!(output("labels"), labels);
    let all: Value = serde_json::from_str(&output("json")).unwrap();
    assert_eq!(all["tags"], json!(["a.example/web:1.2.3", "a.example/web:latest"]));
    assert_eq!(all["tag-names"], json!(["1.2.3", "latest"]));
    assert_eq!(all["labels"]["org.opencontainers.image.version"], "1.2.3");
    assert!(output("annotations").starts_with("manifest:org.opencontainers.image.created="));
}
