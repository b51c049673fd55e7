#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn process(script: &str, limit: Duration) -> Process {
    Process {
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        dir: std::env::temp_dir(),
        limit,
    }
}

/// Leftovers whose id nobody else has.
fn leftovers(test: &str) -> Leftovers {
    Leftovers::of(format!("test-{}-{test}", std::process::id()))
}

async fn shell(leftovers: &mut Leftovers, script: &str, limit: Duration) -> (Ended, Vec<String>) {
    let mut lines = Vec::new();
    let ended = run(&process(script, limit), leftovers, &mut |line| lines.push(line)).await;
    (ended, lines)
}

const LONG: Duration = Duration::from_secs(20);
/// Passes in full; long enough for a shell to say its first word on a busy machine.
const SHORT: Duration = Duration::from_secs(4);

/// Waits until no process of this number is there; fails after a while.
async fn gone(pid: &str) {
    let is_there = || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        state.is_ok_and(|state| !state.contains(") Z "))
    };
    for _ in 0..1_000 {
        if !is_there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("process {pid} is still there");
}

#[tokio::test]
async fn lines_of_both_streams_arrive_and_the_code_is_kept() {
    let (ended, mut lines) =
        shell(&mut leftovers("lines"), "echo out; echo err >&2; printf last; exit 7", LONG).await;
    lines.sort();
    assert_eq!(ended, Ended::Code(7));
    assert_eq!(lines, ["err", "last", "out"]);
}

#[tokio::test]
async fn what_is_no_utf8_is_shown_as_far_as_it_is() {
    let (_, lines) = shell(&mut leftovers("utf8"), r"printf 'a\377b\r\n\000c\n'", LONG).await;
    assert_eq!(lines, ["a\u{fffd}b", "\0c"]);
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_what_follows_it_is_not() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after";
    let (ended, lines) = shell(&mut leftovers("long"), script, LONG).await;
    let lengths: Vec<usize> = lines.iter().map(String::len).collect();
    assert_eq!((ended, lengths), (Ended::Code(0), vec![LINE_BYTES_MAX, 5]));
}

#[tokio::test]
async fn a_process_that_takes_too_long_ends_with_all_that_it_started() {
    let script = "sh -c 'trap \"\" INT; echo $$; sleep 77; sleep 77' & wait";
    let (ended, lines) = shell(&mut leftovers("timeout"), script, SHORT).await;
    assert_eq!(ended, Ended::TimedOut);
    gone(&lines[0]).await;
}

#[tokio::test]
async fn a_process_that_is_asked_to_stop_may_say_something_first() {
    // As `landfall rehearse` does. Whoever starts this in the background may have SIGINT ignored, which a process inherits
    // and no shell can trap; what is caught here is not inherited.
    let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
    let script = "trap 'echo bye; exit 1' INT; echo hello; sleep 77 & wait";
    let (ended, lines) = shell(&mut leftovers("trap"), script, SHORT).await;
    assert_eq!((ended, lines), (Ended::TimedOut, vec!["hello".to_owned(), "bye".to_owned()]));
}

#[tokio::test]
async fn a_rehearsal_that_is_given_up_leaves_no_process_behind() {
    let (send, receive) = std::sync::mpsc::channel();
    let running = async {
        let mut leftovers = leftovers("given-up");
        let process = process("sleep 77 & echo $!; wait", LONG);
        run(&process, &mut leftovers, &mut |line| send.send(line).unwrap()).await
    };
    let mut running = Box::pin(running);
    let pid = loop {
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut running).await.is_err());
        if let Ok(line) = receive.try_recv() {
            break line;
        }
    };
    drop(running);
    gone(&pid).await;
}

#[tokio::test]
async fn a_server_lives_on_from_step_to_step_and_ends_with_the_job() {
    let mut leftovers = leftovers("server");
    let (ended, lines) = shell(&mut leftovers, "sleep 77 & echo $!", LONG).await;
    assert_eq!(ended, Ended::Code(0));
    let (ended, _) = shell(&mut leftovers, &format!("kill -0 {}", lines[0]), LONG).await;
    assert_eq!(ended, Ended::Code(0), "it is there in the next step");
    drop(leftovers);
    gone(&lines[0]).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_left_its_group_ends_with_the_job_too() {
    let mut leftovers = leftovers("setsid");
    let (_, lines) = shell(&mut leftovers, "setsid sh -c 'echo $$; exec sleep 77' &", LONG).await;
    drop(leftovers);
    gone(&lines[0]).await;
}

#[tokio::test]
async fn something_that_never_stops_writing_does_not_keep_the_step_open() {
    let began = std::time::Instant::now();
    let script = "(while :; do echo x; sleep 0.1; done) & echo done";
    let (ended, _) = shell(&mut leftovers("noisy"), script, LONG).await;
    assert_eq!(ended, Ended::Code(0));
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said() {
    let process = Process { program: PathBuf::from("/nonexistent/program"), ..process("", LONG) };
    let ended = run(&process, &mut leftovers("none"), &mut |_| {}).await;
    assert!(matches!(ended, Ended::NotStarted(why) if why.contains("/nonexistent/program")));
}
