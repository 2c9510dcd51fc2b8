//! What a protocol implements to join far servers.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use ratatosk_core::Fields;

use super::port::Port;

/// The client side of one protocol, for one upstream.
///
/// It makes **one attempt** at a time and never retries: when to try again is the supervisor's business. What must
/// survive a broken connection (MQTT's unacknowledged packets) lives in `self`.
///
/// A well-behaved attempt
///
/// 1. connects within a time of its own, calls [`Port::up`] once the peer has let it in,
/// 2. holds the subscriptions of [`Port::wanted`] and reports each by [`Port::subscribed`] or [`Port::refused`],
/// 3. hands what comes to [`Port::deliver`], and acknowledges it to the peer only after that returned,
/// 4. sends what [`Port::take`] yields and calls [`Port::done`] when the peer has it for good,
/// 5. says goodbye and returns when [`Port::leave`] resolves.
pub trait ClientSide: Send + 'static {
    /// Connects, serves the connection until it ends, and says why it ended.
    fn attempt(&mut self, port: &mut Port) -> impl Future<Output = Ended> + Send;

    /// What the protocol tells the peer of a message beside channel and payload; the rest is counted as lost.
    fn carries(&self) -> Fields {
        Fields::ALL
    }
}

/// Why an attempt is over.
#[derive(Clone, PartialEq, Eq)]
pub struct Ended {
    kind: EndKind,
    reason: Arc<str>,
    not_before: Duration,
}

/// What the supervisor makes of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndKind {
    /// [`Port::leave`] asked for it.
    Asked,
    /// Trying again may help.
    Lost,
    /// Trying again cannot help until somebody changes something (bad credentials, an unknown host key, ...).
    Refused,
}

impl Ended {
    /// The supervisor asked for it.
    #[must_use]
    pub fn asked() -> Self {
        Self { kind: EndKind::Asked, reason: "asked to leave".into(), not_before: Duration::ZERO }
    }

    /// The connection could not be made or did not last; another attempt follows after a pause.
    pub fn lost(reason: impl fmt::Display) -> Self {
        Self { kind: EndKind::Lost, reason: reason.to_string().into(), not_before: Duration::ZERO }
    }

    /// The peer will not have us; no attempt follows until the upstream is resumed.
    pub fn refused(reason: impl fmt::Display) -> Self {
        Self { kind: EndKind::Refused, reason: reason.to_string().into(), not_before: Duration::ZERO }
    }

    /// The peer asked for a pause of at least this long before the next attempt.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self { not_before: pause, ..self }
    }

    /// How long the peer asked us to stay away; zero when it did not.
    #[must_use]
    pub fn not_before(&self) -> Duration {
        self.not_before
    }

    /// What follows.
    #[must_use]
    pub fn kind(&self) -> EndKind {
        self.kind
    }

    /// Why, in a few words for an operator.
    #[must_use]
    pub fn reason(&self) -> &Arc<str> {
        &self.reason
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.reason)
    }
}
