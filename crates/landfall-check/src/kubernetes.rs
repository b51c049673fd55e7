//! Kubernetes manifests, as far as a rehearsal runs them: the pods of every workload with their service account, and
//! what their containers run. Images are not looked at.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

mod variables;

use landfall_types::{Finding, SourceId, SourceMap, Span, Tree};

use crate::yaml;

/// Pods of one manifest.
const PODS_MAX: usize = 100;
/// Lists within lists.
const LISTS_MAX: usize = 10;
/// The annotation of a service account with the role that its pods take by IRSA.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// A pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    /// Its name: its own, or that of the workload that makes it.
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
    /// `command` and `args`, with their variables.
    pub command: Vec<String>,
    /// `envFrom` and `env`.
    pub env: Vec<(String, String)>,
    /// `workingDir`
    pub working_dir: Option<String>,
    /// Whether it is not meant to end: one of a Deployment, or a sidecar.
    pub is_lasting: bool,
    /// Where it is written.
    pub span: Span,
}

/// Where the pods of a kind of objects are described, and whether they go on until somebody stops them.
struct Workload {
    kind: &'static str,
    template: &'static [&'static str],
    is_lasting: bool,
}

/// <https://kubernetes.io/docs/concepts/workloads/controllers/>
const WORKLOADS: [Workload; 8] = [
    Workload { kind: "Pod", template: &[], is_lasting: false },
    Workload { kind: "Job", template: &["spec", "template"], is_lasting: false },
    Workload { kind: "CronJob", template: &["spec", "jobTemplate", "spec", "template"], is_lasting: false },
    Workload { kind: "Deployment", template: &["spec", "template"], is_lasting: true },
    Workload { kind: "StatefulSet", template: &["spec", "template"], is_lasting: true },
    Workload { kind: "DaemonSet", template: &["spec", "template"], is_lasting: true },
    Workload { kind: "ReplicaSet", template: &["spec", "template"], is_lasting: true },
    Workload { kind: "ReplicationController", template: &["spec", "template"], is_lasting: true },
];

/// Whether a text is a manifest: a file of another tool is none of ours.
pub fn is_manifest(text: &str) -> bool {
    match documents(text) {
        Some(documents) => documents.iter().any(is_object),
        // What isn't YAML is read again, to tell where.
        None => {
            let begins = |word: &str| text.lines().any(|line| line.starts_with(word));
            begins("apiVersion:") && begins("kind:")
        }
    }
}

/// Whether a text is a manifest with pods.
pub fn has_pods(text: &str) -> bool {
    let documents = documents(text).unwrap_or_default();
    objects(&documents).iter().any(|object| workload(object).is_some())
}

fn documents(text: &str) -> Option<Vec<Tree>> {
    yaml::parse_all(SourceMap::new().add("manifest", text), text).ok()
}

fn is_object(document: &Tree) -> bool {
    let is_workload = workload(document).is_some() && document.field("spec").is_some();
    is_workload || (document.field("apiVersion").is_some() && document.field("kind").is_some())
}

/// The objects of a manifest, those of lists too.
fn objects(documents: &[Tree]) -> Vec<&Tree> {
    fn add<'t>(found: &mut Vec<&'t Tree>, document: &'t Tree, depth: usize) {
        match document.field("items") {
            Some(items) if kind(document).ends_with("List") && depth < LISTS_MAX => {
                items.items().iter().for_each(|item| add(found, item, depth + 1));
            }
            _ => found.push(document),
        }
    }
    let mut found = Vec::new();
    documents.iter().for_each(|document| add(&mut found, document, 0));
    found
}

/// Reads a manifest: its pods, in the order in which they stand there.
///
/// # Errors
/// What of a pod can't be understood or not be run, with its place: nothing is run by half.
pub fn pods(source: SourceId, text: &str) -> Result<Vec<Pod>, Vec<Finding>> {
    let documents = yaml::parse_all(source, text).map_err(|finding| vec![finding])?;
    let objects = objects(&documents);
    let (mut pods, mut findings) = (Vec::new(), Vec::new());
    for object in &objects {
        match workload(object) {
            Some(workload) => {
                let template = workload.template.iter().try_fold(*object, |tree, name| tree.field(name));
                match template {
                    Some(template) => {
                        let reader = Reader { objects: &objects, is_lasting: workload.is_lasting };
                        pods.extend(reader.pod(object, template, &mut findings));
                    }
                    None => findings.push(missing(&workload.template.join("."), object.span)),
                }
            }
            None => findings.extend(unknown_pods(object)),
        }
    }
    for pod in &mut pods {
        pod.role = role_of(&objects, pod);
    }
    let file = Span::new(source, 0, 0);
    if pods.len() > PODS_MAX {
        let message = format!("{} pods are in this manifest; at most {PODS_MAX} are run", pods.len());
        findings.push(Finding::error("kubernetes-limit", message).at(file, "this file"));
    }
    if pods.is_empty() && findings.is_empty() {
        let kinds: Vec<&str> = WORKLOADS.iter().map(|workload| workload.kind).collect();
        findings.push(
            Finding::error("kubernetes-pod", "no pods are in this manifest")
                .at(file, "this file")
                .help(format!("a rehearsal runs those of {}", kinds.join(", "))),
        );
    }
    if findings.is_empty() { Ok(pods) } else { Err(findings) }
}

fn kind(document: &Tree) -> &str {
    document.field("kind").and_then(Tree::as_text).unwrap_or_default()
}

fn workload(document: &Tree) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.kind == kind(document))
}

/// An object of a kind that isn't known here, with containers in it: a rehearsal without them would say too much.
fn unknown_pods(object: &Tree) -> Option<Finding> {
    fn containers(tree: &Tree) -> Option<Span> {
        let own = tree.field("containers").filter(|list| !list.items().is_empty());
        let below =
            || tree.items().iter().chain(tree.entries().iter().map(|(_, value)| value)).find_map(containers);
        own.map(|list| list.span).or_else(below)
    }
    let span = containers(object)?;
    let message = format!("the pods of a `{}` are not run", kind(object));
    let finding = Finding::error("kubernetes-pod", message).at(span, "these containers");
    Some(finding.help("rehearse a manifest without it, or describe its pods as a Job or a Pod"))
}

fn text(of: Option<&Tree>, name: &str) -> Option<String> {
    of.and_then(|of| of.field(name)).and_then(Tree::scalar)
}

fn namespace(metadata: Option<&Tree>) -> String {
    text(metadata, "namespace").unwrap_or_else(|| "default".to_owned())
}

fn missing(what: &str, span: Span) -> Finding {
    Finding::error("kubernetes-pod", format!("`{what}` is expected")).at(span, "here")
}

/// An object of the manifest by its kind, namespace and name.
fn find<'t>(objects: &[&'t Tree], what: &str, place: &str, name: &str) -> Option<&'t Tree> {
    let is_meant = |object: &&&Tree| {
        let metadata = object.field("metadata");
        kind(object) == what
            && text(metadata, "name").as_deref() == Some(name)
            && namespace(metadata) == place
    };
    objects.iter().find(is_meant).copied()
}

/// What the manifest's service account of a pod is annotated with.
fn role_of(objects: &[&Tree], pod: &Pod) -> Option<String> {
    let account = find(objects, "ServiceAccount", &pod.namespace, &pod.service_account)?;
    text(account.field("metadata").and_then(|metadata| metadata.field("annotations")), ROLE)
}

/// Reads the pods of one workload.
struct Reader<'t> {
    objects: &'t [&'t Tree],
    is_lasting: bool,
}

impl Reader<'_> {
    /// A pod by its own name, or by that of the workload that makes it.
    fn pod(&self, named: &Tree, template: &Tree, findings: &mut Vec<Finding>) -> Option<Pod> {
        let metadata = named.field("metadata");
        let Some(spec) = template.field("spec") else {
            findings.push(missing("spec", template.span));
            return None;
        };
        let name = text(metadata, "name").or_else(|| text(metadata, "generateName"));
        let account = text(Some(spec), "serviceAccountName").or_else(|| text(Some(spec), "serviceAccount"));
        let mut pod = Pod {
            name: name.unwrap_or_else(|| "pod".to_owned()),
            namespace: namespace(metadata),
            service_account: account.unwrap_or_else(|| "default".to_owned()),
            role: None,
            containers: Vec::new(),
            span: named.span,
        };
        for (list, is_lasting) in [("initContainers", false), ("containers", self.is_lasting)] {
            for container in spec.field(list).map(Tree::items).unwrap_or_default() {
                match self.container(container, &pod, is_lasting) {
                    Ok(container) => pod.containers.push(container),
                    Err(finding) => findings.push(*finding),
                }
            }
        }
        Some(pod)
    }

    fn container(&self, tree: &Tree, pod: &Pod, is_lasting: bool) -> Result<Container, Box<Finding>> {
        let name = text(Some(tree), "name").unwrap_or_else(|| "container".to_owned());
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
            let message =
                format!("container `{name}` has no `command`: what its image runs is not known here");
            let finding = Finding::error("kubernetes-pod", message).at(tree.span, "this container");
            return Err(Box::new(finding.help("say what it runs with `command:`")));
        }
        command.extend(words("args")?);
        let env = variables::of(tree, pod, self.objects)?;
        let command = command.iter().map(|word| variables::expand(word, &env)).collect();
        // A sidecar is an init container that goes on.
        let is_sidecar = text(Some(tree), "restartPolicy").as_deref() == Some("Always");
        Ok(Container {
            name,
            image: text(Some(tree), "image").unwrap_or_default(),
            command,
            env,
            working_dir: text(Some(tree), "workingDir"),
            is_lasting: is_lasting || is_sidecar,
            span: tree.span,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
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
    fn each_workloads_pods_are_read() {
        let spec = "{serviceAccountName: sa, containers: [{name: c, command: [x]}]}";
        let metadata = "metadata: {name: w, namespace: n}";
        let template = format!("spec: {{template: {{spec: {spec}}}}}");
        for (text, is_lasting) in [
            (format!("apiVersion: v1\nkind: \"Pod\"  # quoted\n{metadata}\nspec: {spec}\n"), false),
            (format!("{{apiVersion: batch/v1, kind: Job, {metadata}, {template}}}"), false),
            (
                format!(
                    "apiVersion: batch/v1\nkind: CronJob\n{metadata}\nspec: {{jobTemplate: {{{template}}}}}\n"
                ),
                false,
            ),
            (format!("apiVersion: apps/v1\nkind: Deployment\n{metadata}\n{template}\n"), true),
            (format!("apiVersion: apps/v1\nkind: StatefulSet\n{metadata}\n{template}\n"), true),
            (format!("apiVersion: apps/v1\nkind: DaemonSet\n{metadata}\n{template}\n"), true),
            (format!("apiVersion: v1\nkind: List\nitems: [{{kind: Job, {metadata}, {template}}}]\n"), false),
        ] {
            assert!(is_manifest(&text) && has_pods(&text), "{text}");
            let pods = read(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            let [pod] = pods.as_slice() else { panic!("{text}: {pods:?}") };
            let (name, account) = (pod.name.as_str(), pod.service_account.as_str());
            assert_eq!((name, pod.namespace.as_str(), account), ("w", "n", "sa"), "{text}");
            assert_eq!(pod.containers[0].is_lasting, is_lasting, "{text}");
        }
    }

    #[test]
    fn a_containers_variables_are_those_of_the_manifest() {
        let text = "\
kind: ConfigMap
metadata: {name: cfg}
data: {WHO: pods, PORT: 80}
---
kind: Pod
metadata: {name: p}
spec:
  serviceAccountName: sa
  containers:
    - name: c
      command: [echo, $(X), $$(X), $(NONE)]
      args: [$(C_PORT)]
      workingDir: /work
      envFrom: [{prefix: C_, configMapRef: {name: cfg}}, {configMapRef: {name: no, optional: true}}]
      env:
        - {name: A, value: $(C_WHO)}
        - {name: X, value: $(A)-$(LATER)}
        - {name: LATER, value: late}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: KEY, valueFrom: {configMapKeyRef: {name: cfg, key: WHO}}}
        - {name: C_WHO}
";
        let pods = read(text).unwrap();
        let container = &pods[0].containers[0];
        assert_eq!(container.command, ["echo", "pods-$(LATER)", "$(X)", "$(NONE)", "80"]);
        assert_eq!(container.working_dir.as_deref(), Some("/work"));
        let env: Vec<String> = container.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let wanted = ["C_PORT=80", "A=pods", "X=pods-$(LATER)", "LATER=late", "NAME=p", "KEY=pods", "C_WHO="];
        assert_eq!(env, wanted);
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
            ("kind: CronJob\nspec: {template: {}}\n", "`spec.jobTemplate.spec.template` is expected"),
            (
                "kind: Pod\nspec: {containers: [{name: a, command: [x], envFrom: [{configMapRef: {name: m}}]}]}",
                "the ConfigMap `m` of namespace `default` is not in the manifest",
            ),
            (
                "kind: Pod\nspec: {containers: [{name: a, command: [x], envFrom: [{secretRef: {name: s}}]}]}",
                "the variables of this `envFrom` are not in the manifest",
            ),
            (
                "apiVersion: x/v1\nkind: Rollout\nspec: {template: {spec: {containers: [{name: a}]}}}\n",
                "the pods of a `Rollout` are not run",
            ),
            ("apiVersion: v1\nkind: ConfigMap\n", "no pods are in this manifest"),
        ] {
            assert_eq!(read(text), Err(vec![message.to_owned()]), "{text}");
        }
        for other in ["on: push\njobs: {}\n", "kind: x\n", "on: [\njobs: {}\n", "build: {script: [x]}\n"] {
            assert!(!is_manifest(other), "{other}");
        }
        assert!(is_manifest("apiVersion: v1\nkind: Pod\nspec: [\n"));
    }
}
