//! Subscribing in process: messages as a queue that the program empties.

use std::{collections::VecDeque, sync::Arc};

use ratatosk_core::{
    Bus, Connector, EndReason, Filter, Message, OutboxLimits, QueuePeer, Session, SessionConfig, SubscribeOptions,
};

/// Messages taken out of the queue at a time.
const BATCH: usize = 64;

/// What a program is subscribed to. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<QueuePeer>,
    /// Last values first, then what came live and was taken out of the queue.
    ready: VecDeque<Arc<Message>>,
    _session: Session,
}

impl Subscription {
    pub(super) async fn open(bus: &Bus, filters: impl IntoIterator<Item = Filter>) -> Self {
        let queue = QueuePeer::new(OutboxLimits::default());
        let config = SessionConfig { is_client: false, ..SessionConfig::client("embedded", Connector::GATEWAY) };
        let session = bus.open_session(config, queue.clone());
        let mut ready = VecDeque::new();
        for filter in filters {
            let options = SubscribeOptions { qos: ratatosk_core::Qos::ExactlyOnce, ..SubscribeOptions::default() };
            let cut = session.subscribe(filter.clone(), options).cut;
            match bus.last_values(&filter).await {
                Ok(last) => ready.extend(last.into_iter().filter(|message| message.seq <= cut)),
                Err(error) => tracing::warn!(%filter, %error, "cannot read last values"),
            }
        }
        Self { queue, ready, _session: session }
    }

    /// The next message.
    ///
    /// # Errors
    /// Why there is none: the program was too slow for its queue of 4096 messages, or an operator ended the session.
    pub async fn next(&mut self) -> Result<Arc<Message>, EndReason> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let taken = self.queue.recv_many(BATCH).await?;
            self.ready.extend(taken.into_iter().map(|waiting| waiting.message));
        }
    }
}
