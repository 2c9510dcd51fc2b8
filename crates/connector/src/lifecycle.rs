//! Starting, tracking and stopping: every task is known, ends on drain, and its panic is reported.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

#[derive(Debug, Default)]
struct Inner {
    tasks: TaskTracker,
    draining: CancellationToken,
    closing: CancellationToken,
}

/// The life of the gateway, shared by all its parts.
///
/// It stops in two steps: *draining* (`/readyz` says 503, listeners stay open so that load balancers can move on),
/// then *closing* (each protocol tells its clients to go, and connections end).
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<Inner>);

impl Lifecycle {
    /// Runs a task that is waited for on shutdown and whose panic is reported under its name.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Combinators, because an async block would hold the task twice: as its capture and as what it awaits.
        self.0.tasks.spawn(AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if ended.is_err() {
                tracing::error!(task = name, "a task panicked");
            }
        }))
    }

    /// Begins draining.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Whether the gateway is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Tells every connection to end.
    pub fn close(&self) {
        self.0.draining.cancel();
        self.0.closing.cancel();
        self.0.tasks.close();
    }

    /// Whether connections are to end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Completes when connections are to end.
    pub fn closing(&self) -> WaitForCancellationFutureOwned {
        self.0.closing.clone().cancelled_owned()
    }

    /// Waits, no longer than given, until every task has ended. Answers how many have not.
    pub async fn wait(&self, at_most: Duration) -> usize {
        let _ = tokio::time::timeout(at_most, self.0.tasks.wait()).await;
        self.0.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_waited_for_and_panics_are_contained() {
        let life = Lifecycle::default();
        let closing = life.closing();
        life.spawn("waits", closing);
        #[expect(clippy::panic, reason = "the test is about a panic")]
        life.spawn("panics", async { panic!("on purpose") });
        assert!(!life.is_draining());
        life.close();
        assert!(life.is_draining() && life.is_closing());
        assert_eq!(life.wait(Duration::from_secs(30)).await, 0);
    }
}
