//! Kubernetes manifests, as far as a rehearsal runs them: the pods of `Pod`s and `Job`s with their service
//! account, and what their containers run. Images are not looked at.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use landfall_types::{Finding, SourceId, Span, Tree};

use crate::yaml;

/// Pods of one manifest.
const PODS_MAX: usize = 100;
/// The annotation of a service account with the role that its pods take by IRSA.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// A pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// The role that its service account is annotated with, in the same manifest.
    pub role: Option<String>,
    /// Its init containers, and then its containers.
    pub containers: Vec<Container>,
    /// Where it is written.
    pub span: Span,
}

/// A container.
#[derive(Clone, PartialEq, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `command` and `args`.
    pub command: Vec<String>,
    /// `env`.
    pub env: Vec<(String, String)>,
    /// Where it is written.
    pub span: Span,
}

/// Whether a text may be a manifest with pods: a file of another tool is none of ours.
pub fn is_manifest(text: &str) -> bool {
    text.lines().any(|line| matches!(line.trim_end(), "kind: Pod" | "kind: Job"))
}

/// Reads a manifest: its pods, in the order in which they stand there.
///
/// # Errors
/// What of a pod can't be understood or not be run, with its place: nothing is run by half.
pub fn pods(source: SourceId, text: &str) -> Result<Vec<Pod>, Vec<Finding>> {
    let documents = yaml::parse_all(source, text).map_err(|finding| vec![finding])?;
    let (mut pods, mut findings) = (Vec::new(), Vec::new());
    for document in &documents {
        match kind(document) {
            "Pod" => pod(document, document, &mut pods, &mut findings),
            "Job" => match document.field("spec").and_then(|spec| spec.field("template")) {
                Some(template) => pod(document, template, &mut pods, &mut findings),
                None => findings.push(missing("spec.template", document.span)),
            },
            _ => {}
        }
    }
    for pod in &mut pods {
        pod.role = role_of(&documents, pod);
    }
    if pods.len() > PODS_MAX {
        let message = format!("{} pods are in this manifest; at most {PODS_MAX} are run", pods.len());
        findings.push(Finding::error("kubernetes-limit", message).at(Span::new(source, 0, 0), "this file"));
    }
    if findings.is_empty() { Ok(pods) } else { Err(findings) }
}

fn kind(document: &Tree) -> &str {
    document.field("kind").and_then(Tree::as_text).unwrap_or_default()
}

fn text(of: Option<&Tree>, name: &str) -> Option<String> {
    of.and_then(|of| of.field(name)).and_then(Tree::scalar)
}

fn missing(what: &str, span: Span) -> Finding {
    Finding::error("kubernetes-pod", format!("`{what}` is expected")).at(span, "here")
}

/// A pod by its own name, or by that of the job that makes it.
fn pod(named: &Tree, template: &Tree, pods: &mut Vec<Pod>, findings: &mut Vec<Finding>) {
    let (metadata, spec) = (named.field("metadata"), template.field("spec"));
    let Some(spec) = spec else {
        findings.push(missing("spec", template.span));
        return;
    };
    let mut containers = Vec::new();
    for list in ["initContainers", "containers"] {
        for container in spec.field(list).map(Tree::items).unwrap_or_default() {
            match self::container(container) {
                Ok(container) => containers.push(container),
                Err(finding) => findings.push(*finding),
            }
        }
    }
    let account = text(Some(spec), "serviceAccountName").or_else(|| text(Some(spec), "serviceAccount"));
    pods.push(Pod {
        name: text(metadata, "name").unwrap_or_else(|| "pod".to_owned()),
        namespace: text(metadata, "namespace").unwrap_or_else(|| "default".to_owned()),
        service_account: account.unwrap_or_else(|| "default".to_owned()),
        role: None,
        containers,
        span: named.span,
    });
}

fn container(tree: &Tree) -> Result<Container, Box<Finding>> {
    let name = text(Some(tree), "name").unwrap_or_else(|| "container".to_owned());
    let image = text(Some(tree), "image").unwrap_or_default();
    let words = |field: &str| -> Result<Vec<String>, Box<Finding>> {
        let items = tree.field(field).map(Tree::items).unwrap_or_default();
        let word = |item: &Tree| {
            item.scalar().ok_or_else(|| {
                let message = format!("`{field}` of container `{name}` has an item that is no text");
                Box::new(Finding::error("kubernetes-pod", message).at(item.span, "this"))
            })
        };
        items.iter().map(word).collect()
    };
    let mut command = words("command")?;
    if command.is_empty() {
        let message = format!("container `{name}` has no `command`: what its image runs is not known here");
        let finding = Finding::error("kubernetes-pod", message).at(tree.span, "this container");
        return Err(Box::new(finding.help("say what it runs with `command:`")));
    }
    command.extend(words("args")?);
    let mut env = Vec::new();
    for variable in tree.field("env").map(Tree::items).unwrap_or_default() {
        let key = text(Some(variable), "name").unwrap_or_default();
        let Some(value) = text(Some(variable), "value") else {
            let message = format!("the value of `{key}` is not in the manifest");
            let finding = Finding::error("kubernetes-pod", message).at(variable.span, "this variable");
            return Err(Box::new(
                finding.help("ConfigMaps, Secrets and fields of the pod are not read: give a value"),
            ));
        };
        env.push((key, value));
    }
    Ok(Container { name, image, command, env, span: tree.span })
}

/// What the manifest's service account of a pod is annotated with.
fn role_of(documents: &[Tree], pod: &Pod) -> Option<String> {
    let account =
        documents.iter().filter(|document| kind(document) == "ServiceAccount").find(|document| {
            let metadata = document.field("metadata");
            text(metadata, "name").as_deref() == Some(&pod.service_account)
                && text(metadata, "namespace").unwrap_or_else(|| "default".to_owned()) == pod.namespace
        })?;
    text(account.field("metadata").and_then(|metadata| metadata.field("annotations")), ROLE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use landfall_types::SourceMap;

    const MANIFEST: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: pusher
  namespace: build
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/pusher
---
apiVersion: batch/v1
kind: Job
metadata: {name: push, namespace: build}
spec:
  template:
    spec:
      serviceAccountName: pusher
      initContainers:
        - {name: first, image: busybox, command: [\"true\"]}
      containers:
        - name: push
          image: ci/tools:1
          command: [sh, -c]
          args: [./push.sh]
          env:
            - {name: TAG, value: v1}
---
kind: ConfigMap
";

    fn read(text: &str) -> Result<Vec<Pod>, Vec<String>> {
        let source = SourceMap::new().add("pod.yaml", text);
        pods(source, text).map_err(|all| all.into_iter().map(|finding| finding.message).collect())
    }

    #[test]
    fn a_jobs_pod_has_its_service_accounts_role() {
        assert!(is_manifest(MANIFEST));
        let pods = read(MANIFEST).unwrap();
        let pod = pods.first().unwrap();
        assert_eq!(pods.len(), 1);
        assert_eq!(
            (pod.name.as_str(), pod.namespace.as_str(), pod.service_account.as_str()),
            ("push", "build", "pusher")
        );
        assert_eq!(pod.role.as_deref(), Some("arn:aws:iam::123456789012:role/pusher"));
        let commands: Vec<_> = pod.containers.iter().map(|container| container.command.join(" ")).collect();
        assert_eq!(commands, ["true", "sh -c ./push.sh"]);
        assert_eq!(pod.containers[1].env, [("TAG".to_owned(), "v1".to_owned())]);
    }

    #[test]
    fn what_can_not_be_run_is_told() {
        for (text, message) in [
            (
                "kind: Pod\nspec: {containers: [{name: a, image: x}]}",
                "container `a` has no `command`: what its image runs is not known here",
            ),
            (
                "kind: Pod\nspec: {containers: [{name: a, command: [x], env: [{name: T, valueFrom: {}}]}]}",
                "the value of `T` is not in the manifest",
            ),
            ("kind: Pod\n", "`spec` is expected"),
            ("kind: Job\n", "`spec.template` is expected"),
        ] {
            assert_eq!(read(text), Err(vec![message.to_owned()]), "{text}");
        }
        assert!(!is_manifest("on: push\njobs: {}\n"));
    }
}
