//! Running one process of a step: its lines as they come, its end, a limit on its time, and the end of
//! everything that it started.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;

/// Longest line that is looked at, in bytes; the rest of a longer one is read and dropped.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Read at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Lines that may wait to be looked at.
const LINES_WAITING_MAX: usize = 1024;
/// A process has ended and something that it left behind keeps its output open: so long a silence ends
/// the step.
const QUIET: Duration = Duration::from_millis(500);
/// As [`QUIET`], for something that is never silent.
const NEVER_QUIET: Duration = Duration::from_secs(3);
/// What is asked of a process before it is killed, and how long it may take for that.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-cancellation>
const REQUESTS: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_millis(7_500)), (Signal::TERM, Duration::from_millis(2_500))];
/// How often the processes of a job are looked for that are started while others are ended.
const ROUNDS_MAX: usize = 8;
/// The variable by which a job's processes are known, as in GitHub's runner (`JobExtension`).
pub const TRACKING: &str = "RUNNER_TRACKING_ID";

/// A process to run.
#[derive(Clone, Debug)]
pub struct Process {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub dir: PathBuf,
    /// Longest time it may take.
    pub limit: Duration,
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With this exit code (128 and more: a signal).
    Code(i32),
    /// It took too long and was stopped.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

/// What the processes of a job leave behind: servers and the like may live on from step to step, and end
/// when this is dropped. GitHub: "Terminate orphan process" at a job's end.
#[derive(Debug)]
pub struct Leftovers {
    /// The value of [`TRACKING`].
    id: String,
    groups: Vec<Pid>,
}

impl Leftovers {
    /// Nothing yet; `id` is the job's own value of [`TRACKING`].
    pub fn of(id: String) -> Self {
        Self { id, groups: Vec::new() }
    }

    /// The job's value of [`TRACKING`].
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for group in &self.groups {
            // One that ended by itself is what is wanted.
            let _ = kill_process_group(*group, Signal::KILL);
        }
        #[cfg(target_os = "linux")]
        tracked::end(&self.id);
    }
}

/// Processes that left their group, found by their environment.
#[cfg(target_os = "linux")]
mod tracked {
    use rustix::process::{Pid, Signal, kill_process};

    use super::{ROUNDS_MAX, TRACKING};

    pub fn end(id: &str) {
        let mark = format!("{TRACKING}={id}");
        for _ in 0..ROUNDS_MAX {
            let found = find(mark.as_bytes());
            if found.is_empty() {
                return;
            }
            for process in found {
                // It may have ended meanwhile.
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }

    fn find(mark: &[u8]) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pid = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
        let is_marked = |pid: &Pid| {
            // A process that has ended and waits to be asked for its code has an empty environment.
            let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
            environment.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|variable| variable == mark))
        };
        entries.filter_map(Result::ok).filter_map(pid).filter(is_marked).collect()
    }
}

/// A process and what it started: all of it ends when this is dropped before the process ended.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn signal(&self, signal: Signal) {
        // The group is there as long as the process was not asked for its code.
        if let (Some(group), Some(_)) = (self.group, self.child.id()) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Asks, asks again, and insists.
    async fn stop(&mut self) {
        for (signal, patience) in REQUESTS {
            self.signal(signal);
            if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
                break;
            }
        }
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a process; `on_line` is given every line of standard output and error without its newline.
pub async fn run(process: &Process, leftovers: &mut Leftovers, on_line: &mut dyn FnMut(String)) -> Ended {
    let mut command = tokio::process::Command::new(&process.program);
    command
        .args(&process.args)
        .env_clear()
        .envs(&process.env)
        .env(TRACKING, leftovers.id())
        .current_dir(&process.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(format!("{}: {error}", process.program.display())),
    };
    let (lines, mut received) = mpsc::channel(LINES_WAITING_MAX);
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(read_lines(stdout, lines.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(read_lines(stderr, lines.clone()));
    }
    drop(lines);
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut running = Running { child, group };
    let ended = tokio::time::timeout(process.limit, follow(&mut running.child, &mut received, on_line)).await;
    if ended.is_err() {
        running.stop().await;
    }
    drain(&mut received, on_line).await;
    if let Some(group) = group
        && test_kill_process_group(group).is_ok()
    {
        leftovers.groups.push(group);
    }
    match ended {
        Ok(Ok(status)) => Ended::Code(exit_code(status)),
        Ok(Err(error)) => Ended::NotStarted(error.to_string()),
        Err(_) => Ended::TimedOut,
    }
}

async fn follow(
    child: &mut Child,
    received: &mut mpsc::Receiver<String>,
    on_line: &mut dyn FnMut(String),
) -> std::io::Result<std::process::ExitStatus> {
    loop {
        tokio::select! {
            line = received.recv() => match line {
                Some(line) => on_line(line),
                None => return child.wait().await,
            },
            status = child.wait() => return status,
        }
    }
}

/// The lines that are there when a process has ended. Something that it left behind may keep its output
/// open, and may write for ever.
async fn drain(received: &mut mpsc::Receiver<String>, on_line: &mut dyn FnMut(String)) {
    let rest = async {
        while let Ok(Some(line)) = tokio::time::timeout(QUIET, received.recv()).await {
            on_line(line);
        }
    };
    let _ = tokio::time::timeout(NEVER_QUIET, rest).await;
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Reads to the end, even when nobody listens any more: a process that lives on after its step must be
/// able to write.
async fn read_lines(from: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let (used, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(available) => {
                let newline = available.iter().position(|byte| *byte == b'\n');
                let text = available.get(..newline.unwrap_or(available.len())).unwrap_or_default();
                let room = LINE_BYTES_MAX - pending.len();
                pending.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
                (text.len() + usize::from(newline.is_some()), newline.is_some())
            }
        };
        reader.consume(used);
        if ended {
            let _ = lines.send(line(&mut pending)).await;
        }
    }
    if !pending.is_empty() {
        let _ = lines.send(line(&mut pending)).await;
    }
}

fn line(pending: &mut Vec<u8>) -> String {
    let bytes = std::mem::take(pending);
    let text = String::from_utf8_lossy(&bytes);
    text.strip_suffix('\r').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
