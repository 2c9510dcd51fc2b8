//! The clock that the state machines are given.

use std::time::{Duration, Instant, SystemTime};

/// Milliseconds since the server was made, and Unix time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant of a number of milliseconds; far away where it cannot be told.
    pub(super) fn instant(self, at: u64) -> tokio::time::Instant {
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let at = self.0.checked_add(Duration::from_millis(at)).unwrap_or_else(|| Instant::now() + FAR);
        at.into()
    }

    pub(super) fn unix_ms() -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
