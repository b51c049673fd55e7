//! Every `cases/terraform/*.tf` is read and its summary compared with the `.expected` file beside it.
//!
//! A case is one file `main.tf`, or several, each after a line `#! file NAME`. `#! var K=V` before
//! the first is a `--var`. `LANDFALL_BLESS=1` writes the summaries instead; read them before
//! they are kept.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use landfall_types::{AccountId, Finding, Node, Severity, SourceId, SourceMap, Span, Tree};

use super::library::normal_path;
use super::{Disk, Infra, Membership, NoDisk, Role, Root, Settings, read, to_json};

#[expect(clippy::disallowed_methods, reason = "cases are rewritten when it is asked for")]
#[test]
fn every_case_reads_as_its_summary_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/terraform");
    let mut cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "tf"));
    cases.sort();
    assert!(cases.len() >= 15, "only {} cases in {}", cases.len(), folder.display());
    let mut wrong = Vec::new();
    for path in cases {
        let summary = summary_of(&fs::read_to_string(&path).unwrap());
        let expected_path = path.with_extension("expected");
        if std::env::var_os("LANDFALL_BLESS").is_some() {
            fs::write(&expected_path, &summary).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != summary {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{summary}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_subject_is_placed_where_it_is_written() {
    for (written, module) in [
        (
            r#""repo:acme/api:ref:refs/heads/main""#,
            r#"jsonencode({Statement = [{Condition = {StringEquals = {"gh:sub" = "repo:acme/api:ref:refs/heads/main"}}}]})"#,
        ),
        (
            r#""repo:${"acme"}/api:*""#,
            r#"jsonencode({Statement = [{Condition = {StringEquals = {"gh:sub" = "repo:${"acme"}/api:*"}}}]})"#,
        ),
        (
            r#""repo:acme/${"api"}:*""#,
            "<<EOF\n{\"Statement\": [{\"Condition\": {\"StringEquals\": {\"gh:sub\": \"repo:acme/${\"api\"}:*\"}}}]}\nEOF",
        ),
        (
            r#""repo:acme/api:*""#,
            "<<-EOF\n    {\n      \"Statement\": [{\"Condition\":\n        {\"StringEquals\": {\"gh:sub\": \"repo:acme/api:*\"}}}]\n    }\n  EOF",
        ),
        (
            r#""${"repo:acme/api"}:*""#,
            "<<EOF\n{\"Statement\": [{\"Condition\": {\"StringEquals\": {\"gh:sub\": \"${\"repo:acme/api\"}:*\"}}}]}\nEOF",
        ),
    ] {
        let (sources, infra, findings) = read_text(&format!(
            "resource \"aws_iam_role\" \"r\" {{\n  name = \"r\"\n  assume_role_policy = {module}\n}}\n"
        ));
        assert!(findings.is_empty(), "{findings:?}");
        let subject = subject(infra.roles.first().unwrap());
        assert_eq!(sources.excerpt(subject.span), written);
    }
}

#[test]
fn text_that_is_not_terraform_is_reported_and_never_breaks_the_reader() {
    let whole = include_str!("../../cases/terraform/textbook_jsonencode.tf");
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        read_text(&whole[..end]);
        read_text(&whole[end..]);
    }
}

#[test]
fn nesting_beyond_the_limits_is_a_finding() {
    let deep = |open: &str, close: &str, levels: usize| {
        format!("output \"o\" {{\n  value = {}1{}\n}}\n", open.repeat(levels), close.repeat(levels))
    };
    let chain: String = (0..5_000).map(|n| format!("  l{} = local.l{n}\n", n + 1)).collect();
    let nest: String = (0..500).map(|n| format!("  l{} = [local.l{n}, local.l{n}]\n", n + 1)).collect();
    let longer: String =
        (0..60).map(|n| format!("  l{} = \"${{local.l{n}}}${{local.l{n}}}\"\n", n + 1)).collect();
    let resources: String = (0..400)
        .map(|n| {
            format!(
                "resource \"aws_sns_topic\" \"t{}\" {{\n  a {{\n    dynamic \"b\" {{\n      for_each = [1]\n      \
                 content {{\n        c = [aws_sns_topic.t{n}.a]\n      }}\n    }}\n  }}\n}}\n",
                n + 1
            )
        })
        .collect();
    let many = "local.big,".repeat(1_000);
    let locals = |lines: &str, last: usize| {
        format!("locals {{\n  l0 = \"x\"\n{lines}}}\noutput \"o\" {{\n  value = local.l{last}\n}}\n")
    };
    for text in [
        deep("(", ")", 100_000),
        deep("[", "]", 100_000),
        deep("!", "", 100_000),
        deep("-", "", 100_000),
        deep("{a = ", "}", 10_000),
        deep("true ? ", " : 2", 10_000),
        deep("1 + ", "", 10_000),
        deep("upper(", ")", 10_000),
        deep("\"${", "}\"", 10_000),
        locals(&chain, 5_000),
        locals(&nest, 60),
        locals(&nest, 500),
        locals(&longer, 60),
        format!(
            "resource \"aws_sns_topic\" \"t0\" {{\n}}\n{resources}output \"o\" {{\n  value = aws_sns_topic.t400.a\n}}\n"
        ),
        format!("locals {{\n  big = range(9999)\n}}\noutput \"o\" {{\n  value = jsonencode([{many}])\n}}\n"),
        format!("locals {{\n  big = range(9999)\n}}\noutput \"o\" {{\n  value = [{many}]\n}}\n"),
        format!("output \"o\" {{\n  value = replace(\"{0}\", \"a\", \"{0}\")\n}}\n", "a".repeat(5_000)),
        format!(
            "output \"o\" {{\n  value = replace(\"{0}\", \"/a/\", \"{1}\")\n}}\n",
            "a".repeat(5_000),
            "$0".repeat(5_000)
        ),
        format!("output \"o\" {{\n  value = join(\"{0}\", range(9999))\n}}\n", "a".repeat(5_000)),
        "output \"o\" {\n  value = [for a in range(10000) : [for b in range(10000) : a]]\n}\n".to_owned(),
    ] {
        let started = std::time::Instant::now();
        let (_, _, findings) = read_text(&text);
        let shown = text.get(..60).unwrap_or(&text);
        assert!(!findings.is_empty(), "{shown}…");
        assert!(started.elapsed().as_secs() < 20, "{shown}… took {:?}", started.elapsed());
    }
}

#[test]
fn a_tree_is_written_as_compact_json() {
    let text = r#"output "o" { value = jsonencode({ b = [1, 1.5, true, null], a = "q\"\\\n\u0001é" }) }"#;
    let (_, infra, findings) = read_text(text);
    assert!(findings.is_empty(), "{findings:?}");
    let value = infra.outputs.first().unwrap().value.clone().unwrap();
    assert_eq!(value, r#"{"a":"q\"\\\n\u0001é","b":[1,1.5,true,null]}"#);
}

fn settings(variables: BTreeMap<String, String>) -> Settings {
    Settings {
        account: AccountId::parse("123456789012").unwrap(),
        region: "eu-west-1".to_owned(),
        variables,
        environment: BTreeMap::new(),
        workspace: None,
    }
}

fn read_text(text: &str) -> (SourceMap, Infra, Vec<Finding>) {
    let sources = SourceMap::new();
    let id = sources.add("main.tf", text);
    let (infra, findings) = read(
        &sources,
        &[Root { files: vec![id], values: Vec::new(), disk: &NoDisk }],
        &settings(BTreeMap::new()),
    );
    (sources, infra, findings)
}

fn subject(role: &Role) -> &Tree {
    fn find(tree: &Tree) -> Option<&Tree> {
        let own = tree.entries().iter().find(|(key, _)| key.text.ends_with(":sub")).map(|(_, value)| value);
        own.or_else(|| {
            tree.items().iter().chain(tree.entries().iter().map(|(_, value)| value)).find_map(find)
        })
    }
    find(&role.trust).unwrap()
}

fn summary_of(case: &str) -> String {
    let sources = SourceMap::new();
    let (mut variables, mut values) = (BTreeMap::new(), Vec::new());
    // Root modules of files; `#! module` begins a further one.
    let mut modules: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for line in case.split_inclusive('\n') {
        if let Some(variable) = line.strip_prefix("#! var ") {
            let (name, value) = variable.trim_end().split_once('=').unwrap();
            variables.insert(name.to_owned(), value.to_owned());
        }
        if let Some(file) = line.strip_prefix("#! var-file ") {
            values.push(file.trim().to_owned());
        }
        if line.trim_end() == "#! module" {
            modules.push(Vec::new());
            continue;
        }
        let files = modules.last_mut().unwrap();
        if let Some(name) = line.strip_prefix("#! file ") {
            // What the case says of itself is no file.
            files.retain(|(_, text)| text.lines().any(|line| !line.is_empty() && !line.starts_with('#')));
            files.push((name.trim().to_owned(), String::new()));
            continue;
        }
        if files.is_empty() {
            files.push(("main.tf".to_owned(), String::new()));
        }
        files.last_mut().unwrap().1.push_str(line);
    }
    let modules: Vec<Files> = modules.into_iter().map(|files| Files::new(&sources, files)).collect();
    let roots: Vec<Root<'_>> = modules
        .iter()
        .map(|files| Root { files: files.of_root(), values: files.named(&values), disk: files })
        .collect();
    let (infra, findings) = read(&sources, &roots, &settings(variables));
    summary(&sources, &infra, &findings)
}

/// The files of a case. The root module's folder is that of the first one.
struct Files {
    root: String,
    files: Vec<(String, SourceId)>,
}

impl Files {
    fn new(sources: &SourceMap, files: Vec<(String, String)>) -> Self {
        let files: Vec<_> =
            files.into_iter().map(|(name, text)| (name.clone(), sources.add(name, text))).collect();
        Self { root: folder_of(&files.first().unwrap().0).to_owned(), files }
    }

    fn of_root(&self) -> Vec<SourceId> {
        let of_root = self.files.iter().filter(|(name, _)| folder_of(name) == self.root);
        of_root.map(|(_, id)| *id).collect()
    }

    fn named(&self, values: &[String]) -> Vec<SourceId> {
        values.iter().filter_map(|path| self.text(path)).collect()
    }

    fn place(&self, path: &str) -> String {
        normal_path(&format!("{}/{path}", self.root))
    }
}

impl Disk for Files {
    fn configuration(&self, folder: &str) -> Option<Vec<SourceId>> {
        let folder = self.place(folder);
        let files = self.files.iter().filter(|(name, _)| {
            folder_of(name) == folder && name.ends_with(".tf") | name.ends_with(".tf.json")
        });
        Some(files.map(|(_, id)| *id).collect())
    }

    fn text(&self, path: &str) -> Option<SourceId> {
        let path = self.place(path);
        self.files.iter().find(|(name, _)| *name == path).map(|(_, id)| *id)
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn summary(sources: &SourceMap, infra: &Infra, findings: &[Finding]) -> String {
    let mut out = String::new();
    let at = |span: Span| sources.place(span).to_string();
    let line = |out: &mut String, text: String| writeln!(out, "{text}").unwrap();
    if let Some(region) = &infra.region {
        line(&mut out, format!("region {} {}", region.value, at(region.span)));
    }
    let looked_up = infra.looked_up_providers.iter();
    for provider in infra.providers.iter().chain(looked_up) {
        let ids: Vec<_> = provider.client_ids.iter().map(|id| id.value.as_str()).collect();
        line(&mut out, format!("provider {} {}", provider.address, at(provider.span)));
        line(&mut out, format!("  {} {}", provider.url.value, provider.arn));
        line(&mut out, format!("  audiences {ids:?} {}", at(provider.client_ids_span)));
        line(&mut out, format!("  thumbprints {:?}", provider.thumbprints));
    }
    for role in &infra.roles {
        role_summary(&mut out, sources, role);
    }
    for user in &infra.users {
        line(&mut out, format!("user {} {} {}", user.address, user.name.value, at(user.span)));
        let keys: Vec<String> = user.keys.iter().map(|key| at(*key)).collect();
        line(&mut out, format!("  path {} tags {:?} keys {keys:?}", user.path, user.tags));
        for policy in &user.inline {
            line(&mut out, format!("  inline {} {}", policy.name, to_json(&policy.document)));
        }
        if let Some(boundary) = &user.boundary {
            line(&mut out, format!("  boundary {}", boundary.value));
        }
        for attached in &user.attached {
            line(&mut out, format!("  attached {}", attached.policy_arn.value));
        }
    }
    identities_summary(&mut out, sources, infra);
    for policy in &infra.policies {
        line(&mut out, format!("policy {} {}", policy.address, at(policy.span)));
        name_line(&mut out, sources, &policy.name, policy.name_unknown.as_deref(), &policy.arn);
        line(&mut out, format!("  document {}", to_json(&policy.document)));
    }
    for repository in infra.repositories.iter().chain(&infra.looked_up_repositories) {
        line(&mut out, format!("repository {} {}", repository.address, at(repository.span)));
        name_line(&mut out, sources, &repository.name, repository.name_unknown.as_deref(), &repository.arn);
        line(&mut out, format!("  immutable {} tags {:?}", repository.immutable_tags, repository.tags));
        if let Some(policy) = &repository.policy {
            line(&mut out, format!("  policy {}", to_json(policy)));
        }
    }
    // What a new repository is like anyway is left out.
    let is_usual = |input: &Tree| to_json(input).ends_with(r#""imageTagMutability":"MUTABLE"}"#);
    for call in infra.ecr_calls.iter().filter(|call| !is_usual(&call.input)) {
        let place = at(call.span);
        line(&mut out, format!("ecr {} {} in {} {place}", call.operation, call.address, call.region));
        line(&mut out, format!("  {}", to_json(&call.input)));
        for (member, document) in &call.documents {
            line(&mut out, format!("  {member} {}", to_json(document)));
        }
    }
    for setting in &infra.ecs_settings {
        line(&mut out, format!("setting {} in {} {}", setting.name.value, setting.region, at(setting.span)));
        line(&mut out, format!("  {}", to_json(&setting.input)));
    }
    for cluster in infra.ecs_clusters.iter().chain(&infra.looked_up_ecs_clusters) {
        line(&mut out, format!("cluster {} in {} {}", cluster.name.value, cluster.region, at(cluster.span)));
        line(&mut out, format!("  {}", to_json(&cluster.input)));
    }
    for call in &infra.ecs_calls {
        line(&mut out, format!("ecs {} in {} {}", call.operation, call.region, at(call.span)));
        line(&mut out, format!("  {}", to_json(&call.input)));
    }
    for definition in &infra.ecs_task_definitions {
        let (family, span) = (&definition.family.value, definition.span);
        line(&mut out, format!("task definition {family} in {} {}", definition.region, at(span)));
        line(&mut out, format!("  {}", to_json(&definition.input)));
    }
    for service in &infra.ecs_services {
        line(&mut out, format!("service {} in {} {}", service.name.value, service.region, at(service.span)));
        line(&mut out, format!("  {}", to_json(&service.input)));
    }
    for group in infra.log_groups.iter().chain(&infra.looked_up_log_groups) {
        let days =
            group.retention_days.as_ref().map_or_else(String::new, |days| format!(" {} days", days.value));
        let input = super::to_json(&group.input);
        line(
            &mut out,
            format!("log group {} in {} {input}{days} {}", group.name.value, group.region, at(group.span)),
        );
    }
    for alarm in &infra.metric_alarms {
        let input = super::to_json(&alarm.input);
        line(&mut out, format!("alarm {} in {} {input} {}", alarm.name.value, alarm.region, at(alarm.span)));
    }
    for call in &infra.codedeploy_calls {
        line(&mut out, format!("codedeploy {} in {} {}", call.operation, call.region, at(call.span)));
        line(&mut out, format!("  {}", to_json(&call.input)));
    }
    for cluster in &infra.eks_clusters {
        let (name, span) = (&cluster.name.value, cluster.span);
        line(&mut out, format!("EKS cluster {name} in {} {}", cluster.region, at(span)));
        line(&mut out, format!("  {}", to_json(&cluster.input)));
    }
    for association in &infra.pod_identity_associations {
        let (region, span) = (&association.region, association.span);
        line(&mut out, format!("Pod Identity association in {region} {}", at(span)));
        line(&mut out, format!("  {}", to_json(&association.input)));
    }
    for output in &infra.outputs {
        line(&mut out, format!("output {} = {:?} {}", output.name, output.value, at(output.span)));
    }
    for doubt in &infra.doubts {
        line(&mut out, format!("doubt {:?}: {} {}", doubt.about, doubt.because, at(doubt.span)));
    }
    for finding in findings {
        finding_summary(&mut out, sources, finding);
    }
    out
}

fn identities_summary(out: &mut String, sources: &SourceMap, infra: &Infra) {
    let at = |span: Span| sources.place(span).to_string();
    let mut line = |text: String| writeln!(out, "{text}").unwrap();
    for group in &infra.groups {
        line(format!("group {} {} in {} {}", group.address, group.name.value, group.path, at(group.span)));
        for policy in &group.inline {
            line(format!("  inline {} {}", policy.name, to_json(&policy.document)));
        }
        for attached in &group.attached {
            line(format!("  attached {}", attached.policy_arn.value));
        }
        let members = infra.memberships.iter().filter(|it| it.group.value == group.name.value);
        for Membership { address, user, group, .. } in members {
            let places = (at(user.span), at(group.span));
            line(format!("  member {} {} by {address} {}", user.value, places.0, places.1));
        }
    }
    for profile in &infra.instance_profiles {
        line(format!("instance profile {} {} {}", profile.address, profile.name.value, at(profile.span)));
        let role = profile.role.as_ref().map(|role| format!("{} {}", role.value, at(role.span)));
        line(format!("  path {} role {role:?} tags {:?}", profile.path, profile.tags));
    }
    for role in &infra.service_linked_roles {
        line(format!("service-linked role {} {:?} {}", role.service.value, role.suffix, at(role.span)));
        line(format!("  description {:?} tags {:?}", role.description, role.tags));
    }
    for alias in &infra.account_aliases {
        line(format!("account alias {} {}", alias.alias.value, at(alias.span)));
    }
}

fn name_line(
    out: &mut String,
    sources: &SourceMap,
    name: &landfall_types::Spanned<String>,
    unknown: Option<&str>,
    arn: &str,
) {
    let unknown = unknown.map(|cause| format!(" (stands in: {cause})")).unwrap_or_default();
    writeln!(out, "  name {}{unknown} `{}` {arn}", name.value, sources.excerpt(name.span)).unwrap();
}

fn role_summary(out: &mut String, sources: &SourceMap, role: &Role) {
    writeln!(out, "role {} {}", role.address, sources.place(role.span)).unwrap();
    name_line(out, sources, &role.name, role.name_unknown.as_deref(), &role.arn);
    if let Some(description) = &role.description {
        writeln!(out, "  description {description}").unwrap();
    }
    if let Some(seconds) = &role.max_session_duration {
        writeln!(out, "  session at most {} s {}", seconds.value, sources.place(seconds.span)).unwrap();
    }
    if let Some(boundary) = &role.boundary {
        writeln!(out, "  boundary {} {}", boundary.value, sources.place(boundary.span)).unwrap();
    }
    if !role.tags.is_empty() {
        writeln!(out, "  tags {:?}", role.tags).unwrap();
    }
    writeln!(out, "  trust {}", to_json(&role.trust)).unwrap();
    leaves(out, sources, &role.trust, "");
    for policy in &role.inline {
        writeln!(out, "  inline {} {}", policy.name, sources.place(policy.span)).unwrap();
        writeln!(out, "    {}", to_json(&policy.document)).unwrap();
    }
    for attachment in &role.attached {
        let written = sources.excerpt(attachment.policy_arn.span);
        writeln!(out, "  attached {} `{written}`", attachment.policy_arn.value).unwrap();
    }
}

/// Where every principal and every condition value stands.
fn leaves(out: &mut String, sources: &SourceMap, tree: &Tree, path: &str) {
    for (index, item) in tree.items().iter().enumerate() {
        leaves(out, sources, item, &format!("{path}[{index}]"));
    }
    for (key, value) in tree.entries() {
        leaves(out, sources, value, &format!("{path}.{}", key.text));
    }
    let is_leaf = !matches!(tree.node, Node::List(_) | Node::Map(_));
    if is_leaf && (path.contains("Principal") || path.contains("Condition")) {
        writeln!(out, "    {path} {} `{}`", sources.place(tree.span), sources.excerpt(tree.span)).unwrap();
    }
}

fn finding_summary(out: &mut String, sources: &SourceMap, finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    writeln!(out, "{severity} {}: {}", finding.rule, finding.message).unwrap();
    for label in &finding.labels {
        let excerpt = sources.excerpt(label.span);
        writeln!(
            out,
            "  {} `{}` {}",
            sources.place(label.span),
            excerpt.lines().next().unwrap_or(""),
            label.text
        )
        .unwrap();
    }
    for text in finding.notes.iter().chain(&finding.help) {
        writeln!(out, "  = {text}").unwrap();
    }
}
