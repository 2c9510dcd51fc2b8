//! Waiting for something to become true, with one generous bound for the whole suite.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

/// How long anything may take before the test gives up. Not a measure of speed: it only turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `future`, and fails naming `what` when it does not end in time.
///
/// # Panics
/// When [`PATIENCE`] is over.
pub async fn within<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks `probe` again and again until it has an answer. For conditions that can only be polled (an HTTP endpoint).
///
/// # Panics
/// When [`PATIENCE`] is over.
pub async fn eventually<T>(what: impl Display, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
