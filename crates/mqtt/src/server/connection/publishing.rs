//! What a client publishes: whether it may, where it goes, and the answers, in order.

use bytes::Bytes;
use ratatosk_connector::access::Disapproved;
use ratatosk_core::{Channel, Publication, PublishError, engine::Stored, stats::DropReason};
use tokio::time::Instant;

use super::Connection;
use crate::{
    mapping::{self, CONNECTOR},
    proto::codec::{Publish, Qos, ReasonCode},
};

/// A payload that is at least this part of what was read with it is not copied.
const SHARE: usize = 2;

/// What an acknowledgement waits for.
pub(super) enum Waits {
    /// The engine.
    Stored(Stored),
    /// The publish authorizer.
    Approved(Box<Publication>),
}

/// An answer to a publication.
pub(super) struct Acknowledge {
    qos: Qos,
    id: Option<std::num::NonZeroU16>,
    reason: ReasonCode,
}

impl Connection {
    pub(super) fn publish(&mut self, publish: Publish, answers: &mut Vec<u8>) {
        let acknowledge = Acknowledge { qos: publish.qos, id: publish.packet_id, reason: ReasonCode::SUCCESS };
        let (reason, waits) = self.hand_over(publish);
        let acknowledge = Acknowledge { reason, ..acknowledge };
        let stored = match waits {
            Waits::Stored(stored) if acknowledge.qos == Qos::AtMostOnce => return drop(stored),
            Waits::Stored(stored) => stored,
            // It is asked about after what came before, and before what comes next is read.
            asked @ Waits::Approved(_) => return self.rest.unstored.push((acknowledge, asked)),
        };
        // Acknowledgements keep the order of the publications (MQTT 5, 4.6.0-2).
        if self.rest.unstored.is_empty() && matches!(stored, Stored::Done) {
            self.client.published(acknowledge.qos, acknowledge.id, reason, answers);
        } else {
            self.rest.unstored.push((acknowledge, Waits::Stored(stored)));
        }
    }

    /// Publishes on the bus, and tells how that went, or what is to be asked first.
    fn hand_over(&mut self, mut publish: Publish) -> (ReasonCode, Waits) {
        let refused = |reason| (reason, Waits::Stored(Stored::Done));
        if publish.properties.payload_format == Some(true) && std::str::from_utf8(&publish.payload).is_err() {
            return refused(ReasonCode::PAYLOAD_FORMAT_INVALID);
        }
        let Some((channel, allowed)) = self.channel(&publish.topic) else {
            return refused(ReasonCode::NOT_AUTHORIZED);
        };
        if !allowed {
            let stats = self.shared.bus.stats();
            stats.dropped(*CONNECTOR, DropReason::Denied, 1);
            return refused(ReasonCode::NOT_AUTHORIZED);
        }
        if let Err(reason) = self.pace(publish.qos) {
            return refused(reason);
        }
        // A slice keeps all that was read with it alive, for as long as the message is kept.
        if publish.payload.len() * SHARE < self.inbound.read {
            publish.payload = Bytes::copy_from_slice(&publish.payload);
        }
        let asked = self.rights.need_approval(&channel);
        let publication = mapping::to_publication(publish, channel, self.client.origin());
        if asked {
            return (ReasonCode::SUCCESS, Waits::Approved(Box::new(publication)));
        }
        let (reason, stored) = self.place(publication);
        (reason, Waits::Stored(stored))
    }

    fn place(&self, publication: Publication) -> (ReasonCode, Stored) {
        match self.shared.bus.publish(publication) {
            Ok(receipt) if receipt.matched => (ReasonCode::SUCCESS, receipt.stored),
            Ok(receipt) => (ReasonCode::NO_MATCHING_SUBSCRIBERS, receipt.stored),
            // The message is known here: to its sender that is as good as delivered.
            Err(PublishError::Loop) => (ReasonCode::SUCCESS, Stored::Done),
            Err(PublishError::Reserved) => (ReasonCode::NOT_AUTHORIZED, Stored::Done),
        }
    }

    /// Until when the client is not read: it published faster than it may, and could not be told.
    pub(super) fn pause(&self) -> Option<Instant> {
        self.rest.guest.pause().map(Instant::from_std)
    }

    /// Holds the client to its rate. Who can be told is refused what is too much. Before MQTT 5 only QoS 0 can be dropped: for
    /// the rest, the client is not read until its time has come.
    fn pace(&mut self, qos: Qos) -> Result<(), ReasonCode> {
        if qos != Qos::AtMostOnce && !self.version.is_v5() {
            self.rest.guest.publish_owing();
            return Ok(());
        }
        self.rest.guest.publish().map_err(|_| {
            let stats = self.shared.bus.stats();
            stats.dropped(*CONNECTOR, DropReason::RateLimited, 1);
            ReasonCode::QUOTA_EXCEEDED
        })
    }

    /// The channel of a topic, and whether the client may publish to it.
    fn channel(&mut self, topic: &str) -> Option<(Channel, bool)> {
        if let Some(last) = self.rest.last.as_ref().filter(|(last, _)| last.as_str() == topic) {
            return Some(last.clone());
        }
        let channel = mapping::names::published(topic)?;
        let allowed = self.shared.auth.may_publish(&self.rights, &channel);
        self.rest.last = Some((channel.clone(), allowed));
        Some((channel, allowed))
    }

    pub(super) async fn acknowledge_stored(&mut self, answers: &mut Vec<u8>) {
        for (acknowledge, waits) in std::mem::take(&mut self.rest.unstored) {
            let (reason, stored) = match waits {
                Waits::Stored(stored) => (acknowledge.reason, Ok(stored)),
                Waits::Approved(publication) => self.ask(*publication).await,
            };
            let failed = match stored {
                Ok(Stored::Done) => false,
                Ok(Stored::Pending(stored)) => stored.await.is_err(),
                Err(Disapproved::Denied(_)) => false,
                Err(Disapproved::Unavailable) => true,
            };
            if acknowledge.qos == Qos::AtMostOnce {
                continue;
            }
            let reason = if failed { ReasonCode::UNSPECIFIED } else { reason };
            // Before MQTT 5 a failure cannot be told: without an answer the client will send it again.
            if !failed || self.version.is_v5() {
                self.client.published(acknowledge.qos, acknowledge.id, reason, answers);
            }
        }
    }

    /// Asks the publish authorizer, and publishes what it allows.
    async fn ask(&mut self, publication: Publication) -> (ReasonCode, Result<Stored, Disapproved>) {
        let rights = self.rights.clone();
        match Box::pin(async move { rights.approve(publication).await }).await {
            Ok(publication) => {
                let (reason, stored) = self.place(publication);
                (reason, Ok(stored))
            }
            Err(why) => {
                self.shared.bus.stats().dropped(*CONNECTOR, DropReason::Denied, 1);
                (ReasonCode::NOT_AUTHORIZED, Err(why))
            }
        }
    }
}
