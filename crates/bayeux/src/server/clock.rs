//! The clocks that the session machine is given.

use std::time::{Duration, Instant, SystemTime};

use crate::proto::Millis;

/// Counts from the start of the mount.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Millis {
        millis(self.0.elapsed())
    }

    /// When that many milliseconds will have passed.
    pub(crate) fn at(self, millis: Millis) -> Instant {
        self.0 + Duration::from_millis(millis)
    }

    pub(crate) fn wall() -> Millis {
        millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

pub(crate) fn millis(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}
