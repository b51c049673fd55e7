//! Whose containers are whose: each has labels with the server that made it, so that what a server leaves
//! behind when it is killed is removed by the next one, and never what belongs to one that lives.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::engine::{Engine, Kept};
use crate::world::World;

/// The label with the task's id. Everything of ours has it.
pub(super) const TASK: &str = "landfall.task";
/// The label with the server: process id, when it started, its namespace of processes, the machine's
/// start, its user.
pub const SERVER: &str = "landfall.server";
/// The label with the server's address: of several servers in one process, the one that it was.
const ADDRESS: &str = "landfall.address";
/// The label with the data directory, where there is one. It is one server's alone.
const DATA: &str = "landfall.data";
/// The label with an image that was pulled for the container, and that nobody needs after it.
pub const IMAGE: &str = "landfall.image";

/// A process, told apart from all that have or had its number.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Process {
    id: u32,
    /// Clock ticks between the machine's start and its own; `-` where the system doesn't say.
    started: String,
    /// The namespace that the number belongs to.
    namespace: String,
    /// The machine's start.
    boot: String,
    /// Whose it is.
    user: String,
}

impl Process {
    fn own() -> Self {
        let id = std::process::id();
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
        let namespace = namespace.and_then(|link| link.to_str().map(str::to_owned));
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            id,
            started: started(id).unwrap_or_else(|| "-".to_owned()),
            namespace: namespace.unwrap_or_else(|| "-".to_owned()),
            boot: boot.map_or_else(|| "-".to_owned(), |text| text.trim().to_owned()),
            user: std::fs::metadata("/proc/self")
                .map_or_else(|_| "-".to_owned(), |own| own.uid().to_string()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(str::to_owned);
        let id = words.next()?.parse().ok()?;
        let process = Self {
            id,
            started: words.next()?,
            namespace: words.next()?,
            boot: words.next()?,
            user: words.next()?,
        };
        words.next().is_none().then_some(process)
    }

    fn text(&self) -> String {
        format!("{} {} {} {} {}", self.id, self.started, self.namespace, self.boot, self.user)
    }

    /// Whether it surely doesn't live any more, as far as `own` can see.
    fn has_ended(&self, own: &Self, is_running: bool, started: impl Fn(u32) -> Option<String>) -> bool {
        // Without /proc nothing is sure.
        if own.boot == "-" || self.boot == "-" {
            return false;
        }
        // Of another machine, or from before this one started again: there, no container runs on by itself.
        if self.boot != own.boot {
            return !is_running;
        }
        // A system may hide the processes of others from all but root.
        let can_see = self.namespace == own.namespace && (self.user == own.user || own.user == "0");
        can_see && started(self.id).as_ref() != Some(&self.started)
    }
}

/// When a process started, in the system's ticks: the 22nd field, counted behind the name, which may hold
/// anything. <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn started(id: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(19).map(str::to_owned)
}

/// The label, with its value, of what this process makes in an engine: when it is killed, the next one that
/// starts removes it.
pub fn process_label() -> String {
    format!("{SERVER}={}", Process::own().text())
}

/// Whether the process of a label's value surely doesn't live any more, as far as this one can see. `is_running` says
/// so of what has the label.
pub fn is_left(value: &str, is_running: bool) -> bool {
    Process::parse(value).is_some_and(|process| process.has_ended(&Process::own(), is_running, started))
}

/// The labels of what a server makes for a task.
pub(super) fn labels(world: &World, task: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut labels =
        vec![pair(TASK, task), pair(SERVER, &Process::own().text()), pair(ADDRESS, world.base_url())];
    labels.extend(world.data.as_ref().map(|data| pair(DATA, &whole(data.path()))));
    labels
}

/// The label that only this server's have.
pub(super) fn address(world: &World) -> String {
    format!("{ADDRESS}={}", world.base_url())
}

/// A directory's one name.
fn whole(dir: &Path) -> String {
    let whole = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    whole.display().to_string()
}

/// Removes what servers that were killed have left behind; how many containers that were. `world` is a server
/// that has just started and has made none yet.
pub(super) async fn clean_up(world: &World, engine: &Engine) -> usize {
    let own = Process::own();
    let data = world.data.as_ref().map(|data| whole(data.path()));
    let is_left = |one: &Kept| {
        // The directory is this server's now, so nobody else's.
        let is_ours = data.is_some() && one.labels.get(DATA) == data.as_ref();
        let server = one.labels.get(SERVER).and_then(|text| Process::parse(text));
        is_ours || server.is_some_and(|server| server.has_ended(&own, one.is_running, started))
    };
    let containers = engine.containers(SERVER).await.unwrap_or_default();
    let mut removed = 0;
    for left in containers.iter().filter(|one| is_left(one)) {
        engine.remove(&left.id).await;
        if let Some(image) = left.labels.get(IMAGE) {
            engine.remove_image(image).await;
        }
        removed += 1;
    }
    for left in engine.volumes(SERVER).await.unwrap_or_default().iter().filter(|one| is_left(one)) {
        engine.remove_volume(&left.id).await;
    }
    removed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_is_surely_dead_counts_as_ended() {
        let own = Process::parse("10 500 pid:[1] boot 1000").unwrap();
        let lives = |id: u32| (id == 7).then(|| "300".to_owned());
        let rows = [
            ("7 300 pid:[1] boot 1000", true, false, "it lives"),
            ("7 299 pid:[1] boot 1000", true, true, "another process has its number now"),
            ("8 300 pid:[1] boot 1000", true, true, "there is no such process"),
            ("8 300 pid:[2] boot 1000", true, false, "its numbers can't be seen from here"),
            ("8 300 pid:[1] before 1000", true, false, "another machine's, perhaps"),
            ("8 300 pid:[1] before 1000", false, true, "the machine has started again"),
            ("8 300 pid:[1] boot 1001", true, false, "another user's, and may be hidden"),
            ("8 - - - -", true, false, "nothing is known of it"),
        ];
        for (text, is_running, wanted, why) in rows {
            let process = Process::parse(text).unwrap();
            assert_eq!(process.text(), text);
            assert_eq!(process.has_ended(&own, is_running, lives), wanted, "{why}");
        }
        assert_eq!(Process::parse("8 300"), None);
    }

    #[test]
    fn what_this_process_makes_is_not_left() {
        let label = process_label();
        let value = label.strip_prefix("landfall.server=").unwrap();
        assert!(!is_left(value, true) && !is_left(value, false));
        // The same process with another start: its number was somebody else's.
        let mut words: Vec<&str> = value.split(' ').collect();
        words[1] = "0";
        assert_eq!(is_left(&words.join(" "), true), cfg!(target_os = "linux"));
    }

    #[test]
    fn this_process_lives() {
        let own = Process::own();
        assert_eq!(Process::parse(&own.text()), Some(own.clone()));
        assert!(!own.has_ended(&own, true, started));
    }
}
