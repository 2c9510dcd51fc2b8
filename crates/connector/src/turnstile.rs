//! Letting few through at a time, so that a crowd's work does not stand before a live message.
//!
//! The scheduler's queue is first come, first served: when a thousand clients connect or catch up at once, what they
//! have to do comes before a message that is published a moment later. Behind a turnstile only few of them are in that
//! queue at a time, and new input is looked at between them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Lets so many pass in a row before all others have had their turn.
#[derive(Debug)]
pub struct Turnstile {
    in_a_row: usize,
    passed: AtomicUsize,
    /// Who waits does so here and not in the scheduler's queue.
    gate: Semaphore,
}

impl Turnstile {
    /// A turnstile that lets `in_a_row` pass between two looks at new input.
    #[must_use]
    pub const fn new(in_a_row: usize) -> Self {
        Self { in_a_row, passed: AtomicUsize::new(0), gate: Semaphore::const_new(1) }
    }

    /// Waits for its turn, in order of arrival. What follows, up to the next `await`, is the turn.
    pub async fn pass(&self) {
        if self.takes_one_more() {
            return;
        }
        // The semaphore is never closed.
        let _front = self.gate.acquire().await.ok();
        if !self.takes_one_more() {
            // The runtime comes back to this task only after it has run what is ready and has looked for new input.
            tokio::task::yield_now().await;
            self.passed.store(1, Ordering::Relaxed);
        }
    }

    fn takes_one_more(&self) -> bool {
        self.passed.fetch_add(1, Ordering::Relaxed) < self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[tokio::test]
    async fn a_crowd_is_interrupted_by_what_comes_later() {
        let turnstile = Arc::new(Turnstile::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |what, order: &Mutex<Vec<&'static str>>| {
            order.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (turnstile, order) = (turnstile.clone(), order.clone());
            tasks.spawn(async move {
                turnstile.pass().await;
                note("crowd", &order);
            });
        }
        let late = order.clone();
        tasks.spawn(async move { note("late", &late) });
        tasks.join_all().await;
        let order = order.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(order.len(), 101);
        let before = order.iter().take_while(|what| **what != "late").count();
        assert!(before <= 4, "{before} of the crowd came first");
    }
}
