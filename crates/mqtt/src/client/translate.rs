//! Publications to and from the model, towards a broker.

use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;
use ratatosk_connector::upstream::{Inbound, Outbound, hops};
use ratatosk_core::Origin;

use crate::{
    mapping::{self, names},
    proto::codec::{Publish, PublishProperties, Qos},
};

/// Payloads up to this size are copied out of the read buffer, so that a small message kept for long does not keep
/// the whole buffer.
const COPIED: usize = 4 << 10;

/// What the broker can take, as CONNACK says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abilities {
    pub(super) v5: bool,
    pub(super) max_qos: Qos,
    pub(super) retain: bool,
}

/// A publication of theirs as the bridge takes it. `None` if its topic has no name in the model.
pub(super) fn inbound(mut publish: Publish) -> Option<Inbound> {
    let channel = names::channel(&publish.topic)?;
    if publish.payload.len() <= COPIED {
        publish.payload = Bytes::copy_from_slice(&publish.payload);
    }
    let publication = mapping::to_publication(publish, channel, Origin::connector(*mapping::CONNECTOR));
    Some(Inbound {
        channel: publication.channel,
        payload: publication.payload,
        qos: publication.qos,
        retain: publication.retain,
        expiry: publication.expiry,
        hops: publication.origin.hops.to_vec(),
        extras: publication.extras,
    })
}

/// A message of ours as a publication, without its packet id.
pub(super) fn outbound(out: &Outbound, gateway_id: &str, can: Abilities, now: Instant) -> Publish {
    let mut publish = mapping::to_publish(&out.message);
    publish.topic = ByteString::from(&*names::topic(&out.channel));
    publish.qos = mapping::from_core(out.qos).min(can.max_qos);
    publish.retain = out.retain && can.retain;
    if can.v5 {
        add_properties(&mut publish.properties, out, gateway_id, now);
    } else {
        publish.properties = PublishProperties::default();
    }
    publish
}

/// What depends on the way and on the time.
fn add_properties(properties: &mut PublishProperties, out: &Outbound, gateway_id: &str, now: Instant) {
    properties.message_expiry = out.message.remaining(now).map(seconds);
    properties.response_topic = out.reply_to.as_ref().map(|channel| ByteString::from(&*names::topic(channel)));
    properties.user_properties.push((hops::NAME.into(), hops::with_this(&out.message, gateway_id).into()));
}

/// Whole seconds, rounded up: a message with half a second left is not expired yet.
fn seconds(left: Duration) -> u32 {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}

/// A repetition of a publication under its packet id.
pub(super) fn again(mut publish: Publish, id: NonZeroU16) -> Publish {
    (publish.dup, publish.packet_id) = (true, Some(id));
    publish
}
