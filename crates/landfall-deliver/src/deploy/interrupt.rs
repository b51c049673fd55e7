//! Ctrl-C, and what a CI system sends when a job is cancelled. While something is watched, the first one ends the
//! watching, and what is known is told; whatever is on its way then, the next one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the process was asked to end. Clones hear of the same.
#[derive(Clone, Debug)]
pub struct Interrupt {
    count: watch::Receiver<u32>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// So many end everything at once.
    limit: AtomicU32,
    watchers: AtomicU32,
}

/// While it lives, the first one is left to whoever watches.
#[derive(Debug)]
pub struct Watching {
    interrupt: Interrupt,
}

impl Interrupt {
    /// Listens for signals, from now to the end of the process. Where that isn't possible the process simply ends, as
    /// it would without us.
    pub fn listen() -> Self {
        let (count, interrupt) = Self::counted();
        let both = signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok());
        if let Some((mut interrupts, mut terminations)) = both {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = interrupts.recv() => {}
                        _ = terminations.recv() => {}
                    }
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        interrupt
    }

    /// One that hears of nothing but of what is counted here.
    pub fn counted() -> (watch::Sender<u32>, Self) {
        let (sender, count) = watch::channel(0);
        let state = State { limit: AtomicU32::new(1), watchers: AtomicU32::new(0) };
        (sender, Self { count, state: Arc::new(state) })
    }

    /// Until the process was asked to end.
    pub async fn asked(&self) {
        self.reached(|count| count > 0).await;
    }

    /// Until it has to end at once, whatever is on its way.
    pub async fn insisted(&self) {
        self.reached(|count| count >= self.state.limit.load(Ordering::SeqCst)).await;
    }

    /// Leaves the next one to whoever watches.
    pub fn watching(&self) -> Watching {
        if self.state.watchers.fetch_add(1, Ordering::SeqCst) == 0 {
            self.state.limit.store(*self.count.borrow() + 2, Ordering::SeqCst);
        }
        Watching { interrupt: self.clone() }
    }

    async fn reached(&self, is_enough: impl Fn(u32) -> bool) {
        let mut count = self.count.clone();
        let heard = count.wait_for(|count| is_enough(*count)).await.is_ok();
        if !heard {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let Interrupt { count, state } = &self.interrupt;
        if state.watchers.fetch_sub(1, Ordering::SeqCst) == 1 {
            state.limit.store(*count.borrow() + 1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_is_left_to_whoever_watches_and_the_next_ends_everything() {
        let (sender, interrupt) = Interrupt::counted();
        let ends = || async {
            tokio::select! {
                biased;
                () = interrupt.insisted() => true,
                () = std::future::ready(()) => false,
            }
        };
        {
            let _watching = interrupt.watching();
            sender.send_modify(|count| *count += 1);
            interrupt.asked().await;
            assert!(!ends().await);
        }
        // What comes after the watching goes on, a task that is told to stop for instance.
        assert!(!ends().await);
        sender.send_modify(|count| *count += 1);
        assert!(ends().await);
    }

    #[tokio::test]
    async fn where_nobody_watches_the_first_ends_everything() {
        let (sender, interrupt) = Interrupt::counted();
        sender.send_modify(|count| *count += 1);
        interrupt.insisted().await;
    }
}
