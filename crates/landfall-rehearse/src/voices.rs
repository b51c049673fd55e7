//! Jobs run beside each other and are told of one after the other: each has a voice, and what it says waits
//! until it is that voice's turn. The order is the one in which the jobs would run one after the other, so
//! that the same pipeline is always told in the same order. The voice whose turn it is is heard at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use landfall_types::Finding;

use crate::event::{Event, JobStarted, Observer, Outcome, StepEnded};

/// The place of a voice: a job's number in its file, behind that of the job that calls the file.
pub(crate) type Place = Vec<usize>;

/// Everybody who has something to say.
#[derive(Clone)]
pub(crate) struct Voices<'o>(Rc<RefCell<Inner<'o>>>);

struct Inner<'o> {
    observer: &'o mut dyn Observer,
    places: BTreeMap<Place, Waiting>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Told>,
    ended: bool,
}

/// One voice. Dropping it ends it.
pub(crate) struct Voice<'o> {
    voices: Voices<'o>,
    place: Place,
}

/// An [`Event`] that can wait.
enum Told {
    RunRefused { file: String, findings: Vec<Finding> },
    JobStarted(JobStarted),
    JobSkipped { name: String, why: String },
    StepStarted { name: String },
    Output { line: String },
    StepEnded(Box<StepEnded>),
    JobEnded { name: String, outcome: Outcome },
}

impl Told {
    /// What of a job's events waits; all others are about the run, and are told when no job runs.
    fn of(event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::RunRefused { file, findings } => {
                Self::RunRefused { file: (*file).to_owned(), findings: findings.to_vec() }
            }
            Event::JobStarted(job) => Self::JobStarted((*job).clone()),
            Event::JobSkipped { name, why } => {
                Self::JobSkipped { name: (*name).to_owned(), why: (*why).to_owned() }
            }
            Event::StepStarted { name } => Self::StepStarted { name: (*name).to_owned() },
            Event::Output { line } => Self::Output { line: (*line).to_owned() },
            Event::StepEnded(step) => Self::StepEnded(Box::new((*step).clone())),
            Event::JobEnded { name, outcome } => {
                Self::JobEnded { name: (*name).to_owned(), outcome: *outcome }
            }
            Event::Ready(_)
            | Event::RunStarted { .. }
            | Event::NotTriggered { .. }
            | Event::Remark { .. }
            | Event::Ended(_) => return None,
        })
    }

    fn tell(&self, observer: &mut dyn Observer) {
        observer.event(match self {
            Self::RunRefused { file, findings } => Event::RunRefused { file, findings },
            Self::JobStarted(job) => Event::JobStarted(job),
            Self::JobSkipped { name, why } => Event::JobSkipped { name, why },
            Self::StepStarted { name } => Event::StepStarted { name },
            Self::Output { line } => Event::Output { line },
            Self::StepEnded(step) => Event::StepEnded(step),
            Self::JobEnded { name, outcome } => Event::JobEnded { name, outcome: *outcome },
        });
    }
}

impl<'o> Voices<'o> {
    /// Nobody yet.
    pub(crate) fn new(observer: &'o mut dyn Observer) -> Self {
        Self(Rc::new(RefCell::new(Inner { observer, places: BTreeMap::new() })))
    }

    /// Tells of the run itself.
    pub(crate) fn event(&self, event: Event<'_>) {
        self.0.borrow_mut().observer.event(event);
    }

    /// A voice at a place. Whoever comes before others has to be made before they are heard.
    pub(crate) fn voice(&self, place: Place) -> Voice<'o> {
        self.0.borrow_mut().places.insert(place.clone(), Waiting::default());
        Voice { voices: self.clone(), place }
    }
}

impl Voice<'_> {
    /// Where it stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Says something, now or when it is this voice's turn.
    pub(crate) fn event(&self, event: Event<'_>) {
        let mut inner = self.voices.0.borrow_mut();
        match (Told::of(&event), inner.places.get_mut(&self.place)) {
            (Some(told), Some(waiting)) => waiting.events.push_back(told),
            _ => inner.observer.event(event),
        }
        inner.go_on();
    }
}

impl Drop for Voice<'_> {
    fn drop(&mut self) {
        let mut inner = self.voices.0.borrow_mut();
        if let Some(waiting) = inner.places.get_mut(&self.place) {
            waiting.ended = true;
        }
        inner.go_on();
    }
}

impl Inner<'_> {
    /// Tells what may be told: of each voice in order, up to the first that has not ended. A job that calls
    /// a file is not in the way of the jobs of that file.
    fn go_on(&mut self) {
        let mut speaking: Option<&Place> = None;
        for (place, waiting) in &mut self.places {
            if speaking.is_some_and(|open| !place.starts_with(open)) {
                break;
            }
            for told in waiting.events.drain(..) {
                told.tell(self.observer);
            }
            if !waiting.ended {
                speaking = Some(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(Vec<String>);

    impl Observer for Lines {
        fn event(&mut self, event: Event<'_>) {
            if let Event::Output { line } = event {
                self.0.push(line.to_owned());
            }
        }
    }

    #[test]
    fn what_is_said_at_the_same_time_is_told_one_after_the_other() {
        let mut lines = Lines(Vec::new());
        let voices = Voices::new(&mut lines);
        let say = |voice: &Voice<'_>, line: &str| voice.event(Event::Output { line });
        let (first, call, last) = (voices.voice(vec![0]), voices.voice(vec![1]), voices.voice(vec![2]));
        let (inner, sibling) = (voices.voice(vec![1, 0]), voices.voice(vec![1, 1]));
        say(&last, "last");
        say(&sibling, "sibling");
        say(&inner, "inner");
        say(&first, "first");
        drop(first);
        say(&inner, "inner, heard at once");
        drop(sibling);
        drop(inner);
        say(&call, "what is left to say of the call");
        drop(call);
        drop(last);
        drop(voices);
        let wanted =
            ["first", "inner", "inner, heard at once", "sibling", "what is left to say of the call", "last"];
        assert_eq!(lines.0, wanted);
    }
}
