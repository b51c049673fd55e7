//! Running one process of a step: its lines as they come, its end, and a limit on its time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;

/// Longest line that is looked at, in bytes; what follows of it is a line of its own.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines that may wait to be looked at.
const LINES_WAITING_MAX: usize = 1024;

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

/// Runs a process; `on_line` is given every line of standard output and error without its newline.
pub async fn run(process: &Process, on_line: &mut dyn FnMut(String)) -> Ended {
    let mut command = tokio::process::Command::new(&process.program);
    command
        .args(&process.args)
        .env_clear()
        .envs(&process.env)
        .current_dir(&process.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
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
    let follow = async {
        // A process may leave a child behind that keeps its output open: the step ends with the
        // process, after the lines that are there.
        let status = loop {
            tokio::select! {
                line = received.recv() => match line {
                    Some(line) => on_line(line),
                    None => break child.wait().await,
                },
                status = child.wait() => break status,
            }
        };
        while let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(500), received.recv()).await {
            on_line(line);
        }
        status
    };
    match tokio::time::timeout(process.limit, follow).await {
        Ok(Ok(status)) => Ended::Code(exit_code(status)),
        Ok(Err(error)) => Ended::NotStarted(error.to_string()),
        Err(_) => Ended::TimedOut,
    }
}

#[cfg(unix)]
fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

#[cfg(not(unix))]
fn exit_code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

async fn read_lines(from: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, from);
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let (used, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(available) => match available.iter().position(|byte| *byte == b'\n') {
                Some(newline) => {
                    pending.extend_from_slice(available.get(..newline).unwrap_or_default());
                    (newline + 1, true)
                }
                None => {
                    pending.extend_from_slice(available);
                    (available.len(), pending.len() >= LINE_BYTES_MAX)
                }
            },
        };
        reader.consume(used);
        if ended && lines.send(line(&mut pending)).await.is_err() {
            return;
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
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> (Ended, Vec<String>) {
        let process = Process {
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            dir: std::env::temp_dir(),
            limit,
        };
        let mut lines = Vec::new();
        let ended = run(&process, &mut |line| lines.push(line)).await;
        lines.sort();
        (ended, lines)
    }

    #[tokio::test]
    async fn lines_of_both_streams_arrive_and_the_code_is_kept() {
        let (ended, lines) =
            shell("echo out; echo err >&2; printf last; exit 7", Duration::from_secs(20)).await;
        assert_eq!(ended, Ended::Code(7));
        assert_eq!(lines, ["err", "last", "out"]);
    }

    #[tokio::test]
    async fn a_process_that_takes_too_long_is_stopped() {
        let (ended, _) = shell("exec sleep 30", Duration::from_millis(50)).await;
        assert_eq!(ended, Ended::TimedOut);
    }

    #[tokio::test]
    async fn a_child_left_behind_does_not_keep_the_step_open() {
        let (ended, lines) = shell("sleep 30 & echo done", Duration::from_secs(20)).await;
        assert_eq!((ended, lines), (Ended::Code(0), vec!["done".to_owned()]));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_said() {
        let process = Process {
            program: PathBuf::from("/nonexistent/program"),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: std::env::temp_dir(),
            limit: Duration::from_secs(1),
        };
        let ended = run(&process, &mut |_| {}).await;
        assert!(matches!(ended, Ended::NotStarted(why) if why.contains("/nonexistent/program")));
    }
}
