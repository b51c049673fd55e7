//! What a command has done so far: whatever ends it tells that, and under `--format json` in one report.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::{Failure, FailureKind};

use super::show::Screen;
use super::{DeployFormat, PlaceArgs, report};
use crate::ui;

/// What a command has done so far. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    inner: Rc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sentences, in order.
    done: RefCell<Vec<String>>,
    /// The ARNs of revisions that were registered.
    registered: RefCell<Vec<String>>,
    /// The ARNs of tasks that were started.
    tasks: RefCell<Vec<String>>,
    /// A call that changes something and whose answer isn't there yet.
    doing: RefCell<Option<String>>,
    is_reported: Cell<bool>,
}

impl Progress {
    /// A call begins that changes something.
    pub fn begins(&self, doing: String) {
        *self.inner.doing.borrow_mut() = Some(doing);
    }

    /// It was answered.
    pub fn answered(&self) {
        *self.inner.doing.borrow_mut() = None;
    }

    /// Something was done.
    pub fn has(&self, done: String) {
        self.answered();
        self.inner.done.borrow_mut().push(done);
    }

    /// A revision was registered.
    pub fn has_registered(&self, arn: &str) {
        self.has(format!("registered {}", short(arn)));
        self.inner.registered.borrow_mut().push(arn.to_owned());
    }

    /// Tasks were started.
    pub fn has_started(&self, arns: &[String]) {
        arns.iter().for_each(|arn| self.has(format!("started task {arn}")));
        self.inner.tasks.borrow_mut().extend_from_slice(arns);
    }

    /// The report was made.
    pub fn is_told(&self) {
        self.inner.is_reported.set(true);
    }

    /// The ARNs of revisions that were registered.
    pub fn registered(&self) -> Vec<String> {
        self.inner.registered.borrow().clone()
    }

    /// The ARNs of tasks that were started.
    pub fn tasks(&self) -> Vec<String> {
        self.inner.tasks.borrow().clone()
    }

    fn interrupted(&self) -> Failure {
        let doing = self.inner.doing.borrow().clone();
        let has_done = !self.inner.done.borrow().is_empty();
        let text = match doing {
            Some(doing) => format!("interrupted while {doing}: whether AWS has done it is not known"),
            None if has_done => "interrupted".to_owned(),
            None => "interrupted: nothing was changed".to_owned(),
        };
        self.told(Failure::new(FailureKind::Refused, text))
    }

    /// A failure, with what was done before it.
    fn told(&self, failure: Failure) -> Failure {
        let mut failure = failure;
        let done = self.inner.done.borrow();
        failure.details.extend(done.iter().map(|done| format!("done before: {done}")));
        failure
    }
}

/// Does a command's work to its end, or until it is interrupted for good. Whatever ended it is told with what was done
/// before, and under `--format json` there is one report.
///
/// # Errors
/// Whatever the work ended with, explained by the policies at hand.
pub async fn attended(
    place: &PlaceArgs,
    work: impl AsyncFnOnce(&mut Screen, &Interrupt) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let interrupt = Interrupt::listen();
    let mut screen = Screen::new(place.format);
    let progress = screen.progress.clone();
    let ended = tokio::select! {
        ended = work(&mut screen, &interrupt) => ended.map_err(|failure| progress.told(failure)),
        () = interrupt.insisted() => Err(progress.interrupted()),
    };
    let Err(failure) = ended else { return ended };
    if place.format == DeployFormat::Json && !progress.inner.is_reported.get() {
        ui::line(report::failed(&failure, &progress, &place.infra));
    }
    Err(place.infra.explained(failure))
}
