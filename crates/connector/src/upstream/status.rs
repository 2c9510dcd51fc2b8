//! Whether an upstream is up, told once per change.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ratatosk_core::{Monitor, MonitorEvent};
use tokio::sync::watch;

use super::queue::QueueDepth;

/// Where an upstream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// An attempt is being made.
    Connecting,
    /// The peer has let us in.
    Up,
    /// The last attempt failed or ended; another follows.
    Down,
    /// The peer will not have us; nothing happens until it is resumed.
    Refused,
    /// Paused by an operator.
    Paused,
    /// It is over.
    Stopped,
}

impl State {
    /// The label for operators.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
            Self::Refused => "refused",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What an operator may see of an upstream.
#[derive(Debug, Clone)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Why, in a few words; empty while it is up.
    pub reason: Arc<str>,
    /// Since when.
    pub since: SystemTime,
    /// How often it has been up.
    pub connections: u64,
    /// The last measured round trip.
    pub round_trip: Option<Duration>,
    /// How often the peer stopped acknowledging and the connection was given up for that.
    pub ack_stalls: u64,
    /// Live subscriptions, in the peer's naming.
    pub subscriptions: usize,
    /// What waits to be sent; filled in by [`super::BridgeHandle::status`].
    pub queue: QueueDepth,
}

/// Keeps the status and raises `upstream_status` when it changes between up and down, and when the peer's refusal ends
/// all attempts. Another reason for the same state is logged alone.
#[derive(Debug)]
pub(super) struct Board {
    upstream: Arc<str>,
    monitor: Monitor,
    status: watch::Sender<Status>,
    told: parking_lot::Mutex<Told>,
}

/// What was last told.
#[derive(Debug, Default)]
struct Told {
    state: Option<State>,
    reason: Arc<str>,
}

impl Board {
    pub(super) fn new(upstream: Arc<str>, monitor: Monitor) -> Self {
        let status = Status {
            state: State::Connecting,
            reason: "".into(),
            since: SystemTime::now(),
            connections: 0,
            round_trip: None,
            ack_stalls: 0,
            subscriptions: 0,
            queue: QueueDepth::default(),
        };
        Self { upstream, monitor, status: watch::Sender::new(status), told: parking_lot::Mutex::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Moves on. A new attempt after a failure tells nobody anything: it is still down for the old reason.
    pub(super) fn set(&self, state: State, reason: &Arc<str>) {
        if state != State::Connecting {
            self.tell(state, reason);
        }
        self.status.send_modify(|status| {
            if status.state != state {
                status.since = SystemTime::now();
            }
            status.state = state;
            status.reason = if state == State::Connecting { status.reason.clone() } else { reason.clone() };
            status.connections += u64::from(state == State::Up);
        });
    }

    fn tell(&self, state: State, reason: &Arc<str>) {
        let up = state == State::Up;
        let mut told = self.told.lock();
        let same_side = told.state.is_some_and(|last| (last == State::Up) == up);
        let refused = state == State::Refused && told.state != Some(State::Refused);
        let same = same_side && told.reason == *reason;
        *told = Told { state: Some(state), reason: reason.clone() };
        drop(told);
        let (upstream, reason) = (self.upstream.clone(), reason.clone());
        match up {
            _ if same && !refused => {}
            true => tracing::info!(%upstream, "upstream is up"),
            false if refused => {
                tracing::error!(%upstream, "upstream is refused: permanent, will not retry: {reason}");
            }
            // Somebody wanted it so.
            false if matches!(state, State::Paused | State::Stopped) => {
                tracing::info!(%upstream, "upstream is {}", state.label());
            }
            false => tracing::warn!(%upstream, %reason, "upstream is down"),
        }
        if !same_side || refused {
            self.monitor.emit(MonitorEvent::UpstreamStatus { upstream, up, reason });
        }
    }

    pub(super) fn ping(&self, round_trip: Duration) {
        self.status.send_modify(|status| status.round_trip = Some(round_trip));
        self.monitor.emit(MonitorEvent::UpstreamPing { upstream: self.upstream.clone(), round_trip });
    }

    pub(super) fn stalled(&self) {
        self.status.send_modify(|status| status.ack_stalls += 1);
    }

    pub(super) fn subscriptions(&self, live: usize) {
        self.status.send_modify(|status| status.subscriptions = live);
    }

    pub(super) fn subscription_up(&self, filter: &str) {
        let (upstream, filter) = (self.upstream.clone(), Arc::from(filter));
        self.monitor.emit(MonitorEvent::SubscriptionConnected { upstream, filter });
    }

    pub(super) fn subscription_down(&self, filter: &str, reason: &Arc<str>) {
        let (upstream, filter, reason) = (self.upstream.clone(), Arc::from(filter), reason.clone());
        self.monitor.emit(MonitorEvent::SubscriptionDisconnected { upstream, filter, reason });
    }
}
