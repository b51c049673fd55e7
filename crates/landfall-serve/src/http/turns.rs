//! The turns of a connection: what it has to do now, one thing after the other on one thread.
//!
//! hyper's connection and the service that it calls are two halves of one task which wake each other, at least once
//! for each request with a body. A task that is woken while it runs is queued again, and for what is queued a second
//! worker is woken, which then finds nothing to do. Here such a connection goes on at once instead.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A connection, and what is done each time when it waits again.
pub(super) struct Turns<'c, C, D> {
    connection: Pin<&'c mut C>,
    turns_max: usize,
    when_waiting: D,
    own: Arc<Own>,
    waker: Waker,
}

/// Who is woken for a connection.
#[derive(Default)]
struct Own {
    task: Mutex<Option<Waker>>,
    is_running: AtomicBool,
    is_woken: AtomicBool,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In one order for all: either the connection still sees that it was woken, or its task is.
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_running.load(Ordering::SeqCst)
            && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

impl<'c, C: Future, D: FnMut()> Turns<'c, C, D> {
    /// A connection that goes on at once up to so many times when it has woken itself; afterwards others have their
    /// turn.
    pub(super) fn new(connection: Pin<&'c mut C>, turns_max: usize, when_waiting: D) -> Self {
        let own = Arc::<Own>::default();
        let waker = Waker::from(Arc::clone(&own));
        Self { connection, turns_max, when_waiting, own, waker }
    }

    /// The connection.
    pub(super) fn inner(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future, D: FnMut() + Unpin> Future for Turns<'_, C, D> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        {
            let mut task = this.own.task.lock().unwrap_or_else(PoisonError::into_inner);
            if !task.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                *task = Some(context.waker().clone());
            }
        }
        for _ in 0..this.turns_max {
            this.own.is_running.store(true, Ordering::SeqCst);
            // Not a store: whoever wakes between two polls and finds the connection running has noted what it woke
            // for before it set this, and reading that here makes it seen by the poll.
            this.own.is_woken.swap(false, Ordering::SeqCst);
            let polled = this.connection.as_mut().poll(&mut Context::from_waker(&this.waker));
            this.own.is_running.store(false, Ordering::SeqCst);
            if polled.is_ready() {
                return polled;
            }
            if !this.own.is_woken.load(Ordering::SeqCst) {
                (this.when_waiting)();
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wakes itself so many times, then keeps its waker and waits.
    struct Restless<'k> {
        wakes_left: usize,
        polls: usize,
        kept: &'k Mutex<Option<Waker>>,
    }

    impl Future for Restless<'_> {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            self.polls += 1;
            if self.wakes_left > 0 {
                self.wakes_left -= 1;
                context.waker().wake_by_ref();
            }
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            Poll::Pending
        }
    }

    /// How often the connection was polled, its task woken by then, the time used, and the task woken in the end,
    /// after a wake from elsewhere.
    fn run(wakes: usize) -> (usize, usize, usize, usize) {
        let (kept, task, waits) = (Mutex::new(None), Arc::<Wakes>::default(), AtomicUsize::new(0));
        let mut restless = pin!(Restless { wakes_left: wakes, polls: 0, kept: &kept });
        let waker = Waker::from(Arc::clone(&task));
        let mut turns = Turns::new(restless.as_mut(), 4, || {
            waits.fetch_add(1, Ordering::SeqCst);
        });
        assert!(Pin::new(&mut turns).poll(&mut Context::from_waker(&waker)).is_pending());
        let woken = task.0.load(Ordering::SeqCst);
        if let Some(waker) = kept.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
        let polls = turns.inner().polls;
        (polls, woken, waits.load(Ordering::SeqCst), task.0.load(Ordering::SeqCst))
    }

    #[test]
    fn a_connection_that_wakes_itself_goes_on_without_its_task() {
        assert_eq!(run(0), (1, 0, 1, 1));
        assert_eq!(run(2), (3, 0, 1, 1));
    }

    #[test]
    fn one_that_never_rests_lets_others_have_their_turn() {
        assert_eq!(run(usize::MAX), (4, 1, 0, 2));
    }
}
