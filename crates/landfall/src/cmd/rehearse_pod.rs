//! `landfall rehearse` of a Kubernetes manifest: each container's command runs as a pod of the cluster that the
//! Terraform beside it describes. Images are not used: what is rehearsed is whose credentials a pod has, and
//! what they are good for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use landfall_check::kubernetes::{self, Container, Pod};
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_rehearse::home::{self, Folders};
use landfall_rehearse::process::{self, Ended, Leftovers, Process};
use landfall_rehearse::scratch::Scratch;
use landfall_rehearse::snapshot;
use landfall_serve::log::{self, Record, Verdict};
use landfall_types::{Finding, SourceMap};

use super::pod_network;
use super::rehearse::RehearseArgs;
use super::serve::{self, Format};
use super::token_eks::new_uid;
use super::usage;
use crate::files::{self, shown};
use crate::ui::{self, BAD, BOLD, DIM, GOOD, styled};

/// Longest time that a container may take.
const CONTAINER_SECONDS_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long a container that is not meant to end is watched.
const LASTING_SECONDS: Duration = Duration::from_secs(30);
/// Column in which the reason of a decision stands.
const DECISION_WIDTH: usize = 62;

/// The manifest that a path means: a file with pods, or a folder without workflows that has one such file.
pub fn manifest(path: &Path) -> Option<PathBuf> {
    let is = |file: &Path, what: fn(&str) -> bool| {
        files::text(file, files::FILE_BYTES_MAX).is_ok_and(|text| what(&text))
    };
    if path.is_file() {
        return is(path, kubernetes::is_manifest).then(|| path.to_owned());
    }
    let is_repository = path.join(".github/workflows").is_dir()
        || path.join(".gitlab-ci.yml").is_file()
        || path.join(crate::config::FILE_NAME).is_file();
    if is_repository {
        return None;
    }
    let files = files::in_folder(path, &[".yaml", ".yml"]).ok()?;
    let mut found = files.into_iter().filter(|file| is(file, kubernetes::has_pods));
    found.next().filter(|_| found.next().is_none())
}

/// Rehearses; tells whether every container ended well.
///
/// # Errors
/// Wrong usage, unreadable input, a port that is taken.
pub async fn run(args: &RehearseArgs, manifest: &Path, environment: &Environment) -> Result<bool, Failure> {
    check_flags(args)?;
    let sources = SourceMap::new();
    let id = files::read(&sources, manifest)?;
    let text = sources.text(id);
    let pods = kubernetes::pods(id, &text).map_err(|findings| unreadable(&findings, &sources))?;
    let folder = manifest.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut stop = pin!(serve::stop_signal());
    let infra = if args.infra.is_empty() { vec![folder.join("infra")] } else { args.infra.clone() };
    let served = serve::start(&sources, setup(args, &infra)?).await?;
    let cluster = the_cluster(&served)?;
    let scratch = Scratch::make("rehearsal").map_err(outside("cannot make a temporary folder"))?;
    let landfall = std::env::current_exe().map_err(outside("cannot find this program's own file"))?;
    let folders = Folders::make(scratch.path(), "pods", &landfall)
        .map_err(outside("cannot make a temporary folder"))?;
    home::trust_registries(&folders.home, std::iter::once(served.server.addr.to_string().as_str()))
        .map_err(outside("cannot write a file for the pods"))?;
    let workspace = scratch.path().join("files");
    snapshot::take(folder, &workspace, &AtomicBool::new(false))
        .map_err(|error| usage(error.to_string()).causes_of(&error))?;
    let stage = Stage {
        served: &served,
        sources: &sources,
        cluster,
        workspace,
        folders,
        has_networks: pod_network::is_possible().await,
        landfall,
        path: environment.get("PATH").unwrap_or("/usr/bin:/bin").to_owned(),
        format: args.format,
    };
    stage.title(manifest, pods.len());
    tokio::select! {
        success = stage.all(&pods) => Ok(success),
        () = stop.as_mut() => Err(Failure::new(FailureKind::Refused, "stopped before the end")),
    }
}

fn outside(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(FailureKind::Outside, format!("{what}: {error}"))
}

/// What is for workflows alone is not left out in silence.
fn check_flags(args: &RehearseArgs) -> Result<(), Failure> {
    let given = [
        ("--event", args.event.is_some()),
        ("--ref", args.git_ref.is_some()),
        ("--job", args.job.is_some()),
        ("--stretch", !args.stretch.is_empty()),
        ("--secret", !args.secret.is_empty()),
        ("--input", !args.input.is_empty()),
        ("--variable", !args.variable.is_empty()),
        ("--changed", !args.changed.is_empty()),
        ("--manual", args.manual),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => {
            Err(usage(format!("{flag} is for workflows and pipelines, and this is a Kubernetes manifest")))
        }
        None => Ok(()),
    }
}

fn setup<'a>(args: &RehearseArgs, infra: &'a [PathBuf]) -> Result<serve::Setup<'a>, Failure> {
    Ok(serve::Setup {
        addr: args.addr,
        agent_addr: None,
        public_addr: None,
        account: serve::account(args.account.as_deref().unwrap_or(serve::ACCOUNT_DEFAULT))?,
        region: args.region.clone(),
        spare_region: None,
        infra,
        variables: args.variables.clone(),
        registry: landfall_serve::world::RegistryMode::default(),
        issuers: Vec::new(),
        // A rehearsal never leaves the machine.
        discovery: landfall_serve::discovery::Settings::default(),
        time_lapse: 1,
        data: None,
    })
}

/// Pods don't say whose they are: the Terraform has to have one cluster.
fn the_cluster(served: &serve::Served) -> Result<String, Failure> {
    match served.read.infra.eks_clusters.as_slice() {
        [only] => Ok(only.name.value.clone()),
        clusters => Err(usage(format!(
            "the Terraform describes {} EKS clusters: the pods of a manifest need exactly one",
            clusters.len()
        ))
        .help("describe the cluster with an aws_eks_cluster in the folder `infra`, or name another with --infra")),
    }
}

/// What can't be read ends the command before anything runs.
fn unreadable(findings: &[Finding], sources: &SourceMap) -> Failure {
    for finding in findings {
        ui::finding_on_stderr(finding, sources);
    }
    usage("nothing was started")
}

/// Where pods run.
struct Stage<'a> {
    served: &'a serve::Served,
    sources: &'a SourceMap,
    cluster: String,
    workspace: PathBuf,
    folders: Folders,
    /// Whether each container has a network of its own, with the agent at its real address.
    has_networks: bool,
    landfall: PathBuf,
    path: String,
    format: Format,
}

impl Stage<'_> {
    fn title(&self, manifest: &Path, pods: usize) {
        let server = &self.served.server;
        let (account, region) = (server.world.settings.default_account, &self.served.region);
        if self.format == Format::Json {
            ui::json(serde_json::json!({
                "event": "ready", "url": server.url(), "account": account.as_str(), "region": region,
                "cluster": self.cluster, "pods": pods, "made": self.served.seeded.made,
            }));
            return;
        }
        let many = if pods == 1 { "1 pod".to_owned() } else { format!("{pods} pods") };
        let title = styled(BOLD, shown(manifest));
        ui::line(format!("{}  {title}  {many} of cluster {}", styled(BOLD, "rehearse"), self.cluster));
        let made = self.served.seeded.made.join(", ");
        let text = format!("local AWS at {}, account {account}, {region}: {made}", server.url());
        ui::line(styled(DIM, text));
        if !self.has_networks {
            let text =
                "pods share this machine's network: one of their own needs Linux with `unshare` and `ip`";
            ui::line(styled(DIM, text));
        }
        for finding in self.served.findings() {
            ui::finding(finding, self.sources, 2);
        }
    }

    async fn all(&self, pods: &[Pod]) -> bool {
        let mut failed = 0;
        for pod in pods {
            let who = format!("{}/{}", pod.namespace, pod.name);
            if self.format == Format::Text {
                let account = styled(DIM, format!("service account {}", pod.service_account));
                ui::line(format!("\n{}  {account}", styled(BOLD, who)));
            }
            for container in &pod.containers {
                // As in Kubernetes, a pod whose container failed is not gone on with.
                if !self.container(pod, container).await {
                    failed += 1;
                    break;
                }
            }
        }
        self.end(pods.len(), failed)
    }

    fn end(&self, pods: usize, failed: usize) -> bool {
        let success = failed == 0 && pods > 0 && self.served.seeded.refused.is_empty();
        match self.format {
            Format::Json => {
                ui::json(serde_json::json!({ "event": "ended", "success": success, "failed": failed }));
            }
            Format::Text if success => ui::line(format!("\n{} the crossing works", styled(GOOD, "✓"))),
            Format::Text => {
                ui::line(format!("\n{} the crossing does not work", styled(BAD, "✗")));
            }
        }
        success
    }

    async fn container(&self, pod: &Pod, container: &Container) -> bool {
        let world = &self.served.server.world;
        let (began, before) = (Instant::now(), world.log.last());
        let process = self.process(pod, container);
        let mut leftovers = Leftovers::of(new_uid());
        let human = self.format == Format::Text;
        let mut lines = Vec::new();
        if let Some(dir) = &container.working_dir {
            lines.push(format!(
                "workingDir {dir} is the image's: this runs in a copy of the manifest's folder"
            ));
        }
        let ended = process::run(&process, &mut leftovers, &mut |line| lines.push(line)).await;
        let (is_good, why) = match ended {
            Ended::Code(0) => (true, String::new()),
            Ended::TimedOut if container.is_lasting => {
                let seconds = LASTING_SECONDS.as_secs();
                lines.push(format!("still running after {seconds} s, as it is meant to: stopped here"));
                (true, String::new())
            }
            Ended::Code(code) => (false, format!("exit code {code}")),
            Ended::TimedOut => (false, "it took too long, and was stopped".to_owned()),
            Ended::NotStarted(why) => (false, why),
        };
        let records = world.log.after(before);
        if human {
            let sign = if is_good { styled(GOOD, "✓") } else { styled(BAD, "✗") };
            let took = styled(DIM, format!("{:.2} s", began.elapsed().as_secs_f64()));
            ui::line(format!("  {sign} {:<42}  {took}", container.name));
            lines.iter().for_each(|line| ui::line(styled(DIM, format!("      │ {line}"))));
            self.decisions(&records);
            if !why.is_empty() {
                ui::line(format!("      {}", styled(BAD, why)));
            }
        } else {
            records.iter().for_each(|record| ui::json(log::json::record(record, self.sources)));
            ui::json(serde_json::json!({
                "event": "container-ended", "pod": pod.name, "namespace": pod.namespace,
                "container": container.name, "success": is_good, "error": why, "output": lines,
            }));
        }
        is_good
    }

    /// `landfall serve pod`, as anybody would call it.
    fn process(&self, pod: &Pod, container: &Container) -> Process {
        let mut args: Vec<String> = ["serve", "pod", "--endpoint"].map(str::to_owned).into();
        args.push(self.served.server.url().to_owned());
        for (flag, value) in [
            ("--cluster", &self.cluster),
            ("--namespace", &pod.namespace),
            ("--service-account", &pod.service_account),
            ("--pod", &pod.name),
        ] {
            args.extend([flag.to_owned(), value.clone()]);
        }
        if self.has_networks {
            args.push("--netns".to_owned());
        }
        if let Some(role) = &pod.role {
            args.extend(["--role".to_owned(), role.clone()]);
        }
        for (name, value) in &container.env {
            args.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        args.push("--".to_owned());
        args.extend(container.command.iter().cloned());
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        // Containers find `landfall` beside their own tools.
        env.insert("PATH".to_owned(), format!("{}:{}", self.folders.bin.display(), self.path));
        env.insert("HOME".to_owned(), self.folders.home.display().to_string());
        env.insert("TMPDIR".to_owned(), self.folders.temp.display().to_string());
        Process {
            program: self.landfall.clone(),
            args,
            env,
            dir: self.workspace.clone(),
            limit: if container.is_lasting { LASTING_SECONDS } else { CONTAINER_SECONDS_MAX },
        }
    }

    fn decisions(&self, records: &[std::sync::Arc<Record>]) {
        let mut told: Vec<(String, usize)> = Vec::new();
        for record in records {
            let what = ui::decided(record);
            let width = anstream::adapter::strip_str(&what).to_string().chars().count();
            let padding = " ".repeat(DECISION_WIDTH.saturating_sub(width).max(2));
            let because = styled(DIM, ui::because(record, self.sources));
            let line = format!("      {} {what}{padding}{because}", ui::sign(&record.verdict));
            match told.iter_mut().find(|(known, _)| *known == line) {
                Some((_, count)) => *count += 1,
                None => told.push((line, 1)),
            }
        }
        for (line, count) in told {
            let times = if count > 1 { styled(DIM, format!("  ×{count}")) } else { String::new() };
            ui::line(format!("{}{times}", line.trim_end()));
        }
        for record in records.iter().filter(|record| matches!(record.verdict, Verdict::Refused { .. })) {
            if let Some(finding) = &record.finding {
                ui::finding(finding, self.sources, 4);
            }
        }
    }
}
