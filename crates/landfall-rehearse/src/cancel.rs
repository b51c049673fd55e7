//! Ending a job before its time: because another leg of its matrix failed, or for its concurrency group.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use tokio::sync::Notify;

/// Tells a job, and what it calls, that it is to end.
#[derive(Clone)]
pub(crate) struct Cancel {
    own: Rc<RefCell<Option<String>>>,
    /// Whoever ends this one too.
    above: Vec<Rc<RefCell<Option<String>>>>,
    told: Rc<Notify>,
}

impl Cancel {
    /// For a whole run.
    pub(crate) fn new() -> Self {
        Self { own: Rc::default(), above: Vec::new(), told: Rc::new(Notify::new()) }
    }

    /// For a part of it, which ends with it.
    pub(crate) fn part(&self) -> Self {
        let mut above = self.above.clone();
        above.push(Rc::clone(&self.own));
        Self { own: Rc::default(), above, told: Rc::clone(&self.told) }
    }

    /// Ends it; the first reason counts.
    pub(crate) fn cancel(&self, reason: &str) {
        self.own.borrow_mut().get_or_insert_with(|| reason.to_owned());
        self.told.notify_waiters();
    }

    /// Why it is to end.
    pub(crate) fn reason(&self) -> Option<String> {
        std::iter::once(&self.own).chain(&self.above).find_map(|reason| reason.borrow().clone())
    }

    /// Waits until it is to end.
    pub(crate) async fn cancelled(&self) -> String {
        loop {
            let mut told = pin!(self.told.notified());
            // Whoever asks after this has begun to listen misses nothing.
            told.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason;
            }
            told.await;
        }
    }
}

/// The concurrency groups of a run. <https://docs.github.com/actions/how-tos/write-workflows/choose-when-workflows-run/control-workflow-concurrency>
#[derive(Clone, Default)]
pub(crate) struct Groups(Rc<GroupsInner>);

#[derive(Default)]
struct GroupsInner {
    groups: RefCell<BTreeMap<String, Group>>,
    left: Notify,
}

#[derive(Default)]
struct Group {
    running: Option<Cancel>,
    waiting: Option<Cancel>,
}

/// A place in a group. Dropping it lets the next one in.
pub(crate) struct Member {
    groups: Groups,
    name: String,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(group) = self.groups.0.groups.borrow_mut().get_mut(&self.name) {
            group.running = None;
        }
        self.groups.0.left.notify_waiters();
    }
}

impl Groups {
    /// Enters a group, whose name knows no case. One is in it and one waits: whoever comes next takes the
    /// place of the one that waits, and with `cancel_in_progress` ends the one that is in.
    ///
    /// # Errors
    /// Why it was cancelled while it waited.
    pub(crate) async fn enter(
        &self,
        name: &str,
        cancel_in_progress: bool,
        cancel: &Cancel,
    ) -> Result<Member, String> {
        let key = name.to_lowercase();
        let mut waits = false;
        loop {
            let mut left = pin!(self.0.left.notified());
            left.as_mut().enable();
            {
                let mut groups = self.0.groups.borrow_mut();
                let group = groups.entry(key.clone()).or_default();
                if let Some(reason) = cancel.reason() {
                    return Err(reason);
                }
                let Some(running) = &group.running else {
                    group.running = Some(cancel.clone());
                    if waits {
                        group.waiting = None;
                    }
                    return Ok(Member { groups: self.clone(), name: key });
                };
                if !waits {
                    // GitHub's words.
                    let reason =
                        format!("Canceling since a higher priority waiting request for {name} exists");
                    if cancel_in_progress {
                        running.cancel(&reason);
                    }
                    if let Some(waiting) = group.waiting.replace(cancel.clone()) {
                        waiting.cancel(&reason);
                    }
                    waits = true;
                }
            }
            tokio::select! {
                () = left => {}
                _ = cancel.cancelled() => {}
            }
        }
    }
}
