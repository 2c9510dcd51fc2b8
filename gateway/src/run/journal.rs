//! Sessions in the log: one line when each begins, subscribes and ends, by which it can be followed.
//!
//! At `debug`, because a crowd that comes and goes would bury what matters to an operator; the monitor events and the
//! console tell the same. Names that clients chose are recorded as strings, so that no line break in one makes a line.

use ratatosk_core::{Connector, MonitorEvent, MonitorHandler, monitor::Monitored};

/// Writes to the log what happens to sessions.
#[derive(Debug)]
pub(super) struct Journal;

impl MonitorHandler for Journal {
    fn handle(&self, event: &Monitored) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        match &event.event {
            MonitorEvent::CreatedClient { client_id, connector } => {
                tracing::debug!(client = shown(client_id, *connector), connector = connector.name(), "session begins");
            }
            MonitorEvent::ClientSubscribed { client_id, connector, channel } => {
                let (client, connector) = (shown(client_id, *connector), connector.name());
                let filter = channel.as_str();
                tracing::debug!(client, connector, filter, "session subscribes");
            }
            MonitorEvent::ClientUnsubscribed { client_id, connector, channel } => {
                let (client, connector) = (shown(client_id, *connector), connector.name());
                let filter = channel.as_str();
                tracing::debug!(client, connector, filter, "session unsubscribes");
            }
            MonitorEvent::DestroyedClient { client_id, connector, reason } => {
                let (client, connector) = (shown(client_id, *connector), connector.name());
                tracing::debug!(client, connector, reason = reason.label(), "session ends");
            }
            MonitorEvent::Authenticated { connector, allowed: false } => {
                tracing::debug!(connector = connector.name(), "credentials are refused");
            }
            MonitorEvent::ProtocolFault { connector, fault } => {
                tracing::debug!(connector = connector.name(), fault, "a client breaks its protocol");
            }
            MonitorEvent::SubscriptionConnected { upstream, filter } => {
                tracing::debug!(upstream = &**upstream, filter = &**filter, "upstream subscription is live");
            }
            MonitorEvent::SubscriptionDisconnected { upstream, filter, reason } => {
                let (upstream, filter, reason) = (&**upstream, &**filter, &**reason);
                tracing::debug!(upstream, filter, reason, "upstream subscription is lost");
            }
            _ => {}
        }
    }
}

/// Who knows the whole client id of a Bayeux session speaks for it: its beginning is enough to
/// follow it, and to find it in the console.
fn shown(client_id: &str, connector: Connector) -> &str {
    const ENOUGH: usize = 8;
    if connector.name() == "bayeux" { client_id.get(..ENOUGH).unwrap_or_default() } else { client_id }
}
