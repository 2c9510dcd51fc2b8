//! Messages of our subscriptions, on their way to the bus.

use ratatosk_connector::upstream::{Inbound, Port, Taken, hops};
use ratatosk_core::{Filter, stats::DropReason};

use super::memory::Memory;
use crate::{
    mapping::{self, Name},
    proto::{
        answer::Answer,
        details::Details,
        inbound::text,
        payload::{BINARY_PROPERTY, Payload},
    },
    server::clock::Clock,
};

/// Hands a message to the bus, and returns once the engine has it. Its place is remembered for the subscriptions
/// that it belongs to.
pub(super) async fn message<'f>(
    answer: &Answer<'_>,
    port: &Port,
    memory: &mut Memory,
    filters: impl Iterator<Item = &'f Filter>,
) {
    let Some(inbound) = read(answer) else { return port.lost(DropReason::Unmappable) };
    let channel = inbound.channel.clone();
    if let Taken::Pending(stored) = port.deliver(inbound)
        && stored.await.is_err()
    {
        return; // not kept, so its place is not passed: it is asked for again
    }
    if let Some(place) = answer.place() {
        filters.filter(|filter| filter.matches(&channel)).for_each(|filter| memory.passed(filter, place));
    }
}

fn read(answer: &Answer<'_>) -> Option<Inbound> {
    let Ok(Name::Channel(channel)) = mapping::read(&answer.channel()?) else { return None };
    let ext = answer.ext();
    let data = answer.data()?;
    // A message that only claims to be binary is shown as the JSON that it is.
    let payload = Payload::read(data, ext.binary.is_some()).or_else(|| Payload::read(data, false))?;
    let mut inbound = Inbound::new(channel, payload.bytes);
    inbound.hops = ext.hops.and_then(text).map(|mark| hops::parse(&mark)).unwrap_or_default();
    if payload.content_type.is_some() || payload.binary.is_some() {
        let extras = inbound.extras.get_or_insert_default();
        extras.content_type = payload.content_type.map(Into::into);
        extras.properties =
            payload.binary.iter().map(|meta| (BINARY_PROPERTY.into(), meta.to_property().into())).collect();
    }
    if let Some(details) = ext.ratatosk.and_then(Details::read) {
        (inbound.retain, inbound.expiry) = (details.retain, details.life(Clock::wall()));
        details.enter(inbound.extras.get_or_insert_default());
    }
    Some(inbound)
}
