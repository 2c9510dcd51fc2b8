//! Publications to and from the model, towards a broker.

use std::{
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;
use ratatosk_connector::upstream::{Inbound, Outbound, hops};
use ratatosk_core::{Channel, Message, Qos as ModelQos, message::Extras};

use super::names as mapping;
use crate::{
    proto::codec::{Publish, PublishProperties, Qos},
};

/// Payloads up to this size are copied out of the read buffer, so that a small message kept for long does not keep
/// the whole buffer.
const COPIED: usize = 4 << 10;

/// The user property that carries the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// What the broker can take, as CONNACK says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abilities {
    pub(super) v5: bool,
    pub(super) max_qos: Qos,
    pub(super) retain: bool,
}

/// A publication of theirs as the bridge takes it. `None` if its topic has no name in the model.
pub(super) fn inbound(publish: Publish) -> Option<Inbound> {
    let Publish { qos, retain, topic, properties, payload, .. } = publish;
    let payload = if payload.len() <= COPIED { Bytes::copy_from_slice(&payload) } else { payload };
    let mut inbound = Inbound::new(mapping::channel(&topic)?, payload);
    (inbound.qos, inbound.retain) = (model_qos(qos), retain);
    inbound.expiry = properties.message_expiry.map(|seconds| Duration::from_secs(u64::from(seconds)));
    take_properties(&mut inbound, properties);
    Some(inbound)
}

fn take_properties(inbound: &mut Inbound, properties: PublishProperties) {
    let mut extras = Extras {
        content_type: properties.content_type.as_deref().map(Arc::from),
        reply_to: properties.response_topic.as_deref().and_then(mapping::channel),
        correlation: properties.correlation_data.map(|data| Bytes::copy_from_slice(&data)),
        utf8: properties.payload_format == Some(true),
        ..Extras::default()
    };
    for (name, value) in properties.user_properties {
        match &*name {
            hops::NAME => inbound.hops.extend(hops::parse(&value)),
            TRACEPARENT => extras.traceparent = Some(Arc::from(&*value)),
            _ => extras.properties.push((Arc::from(&*name), Arc::from(&*value))),
        }
    }
    if extras != Extras::default() {
        inbound.extras = Some(Box::new(extras));
    }
}

/// A message of ours as a publication, without its packet id. `None` if its channel has no topic.
pub(super) fn outbound(out: &Outbound, gateway_id: &str, can: Abilities, now: Instant) -> Option<Publish> {
    let topic = topic(&out.channel)?;
    let properties = if can.v5 { properties(out, gateway_id, now) } else { PublishProperties::default() };
    Some(Publish {
        dup: false,
        qos: wire_qos(out.qos).min(can.max_qos),
        retain: out.retain && can.retain,
        topic,
        packet_id: None,
        properties,
        payload: out.message.payload.clone(),
    })
}

fn properties(out: &Outbound, gateway_id: &str, now: Instant) -> PublishProperties {
    let message: &Message = &out.message;
    let mut all = PublishProperties { message_expiry: message.remaining(now).map(seconds), ..Default::default() };
    if let Some(extras) = message.extras() {
        all.payload_format = extras.utf8.then_some(true);
        all.content_type = extras.content_type.as_deref().map(ByteString::from);
        all.correlation_data = extras.correlation.clone();
        let pairs = extras.properties.iter().map(|(name, value)| (ByteString::from(&**name), ByteString::from(&**value)));
        all.user_properties.extend(pairs);
        if let Some(traceparent) = &extras.traceparent {
            all.user_properties.push((TRACEPARENT.into(), ByteString::from(&**traceparent)));
        }
    }
    all.response_topic = out.reply_to.as_ref().and_then(topic);
    all.user_properties.push((hops::NAME.into(), hops::with_this(&message.origin, gateway_id).into()));
    all
}

fn topic(channel: &Channel) -> Option<ByteString> {
    mapping::topic(channel)
}

/// Whole seconds, rounded up: a message with half a second left is not expired yet.
fn seconds(left: Duration) -> u32 {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}

pub(super) fn model_qos(qos: Qos) -> ModelQos {
    match qos {
        Qos::AtMostOnce => ModelQos::AtMostOnce,
        Qos::AtLeastOnce => ModelQos::AtLeastOnce,
        Qos::ExactlyOnce => ModelQos::ExactlyOnce,
    }
}

pub(super) fn wire_qos(qos: ModelQos) -> Qos {
    match qos {
        ModelQos::AtMostOnce => Qos::AtMostOnce,
        ModelQos::AtLeastOnce => Qos::AtLeastOnce,
        ModelQos::ExactlyOnce => Qos::ExactlyOnce,
    }
}

/// A repetition of a publication under its packet id.
pub(super) fn again(mut publish: Publish, id: NonZeroU16) -> Publish {
    (publish.dup, publish.packet_id) = (true, Some(id));
    publish
}
