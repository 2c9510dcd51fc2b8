//! The mark that messages carry from gateway to gateway: the ids of the gateways they passed, and behind the first its name for
//! the message (`GATEWAY;POSITION`), by which copies that come by different ways are known.
//!
//! It travels as text, oldest first, joined by commas: as the value of the MQTT 5 user property, Bayeux `ext`
//! member and HTTP header called [`NAME`].

use std::{borrow::Cow, sync::Arc};

use ratatosk_core::{
    Message, Origin,
    message::{MAX_HOPS, NAMED, gateway_of},
};

/// What the mark is called in every protocol that can carry it. In MQTT 5 a gateway also names itself so, by a user property of
/// CONNECT: it is then sent the mark with what it subscribed to.
pub const NAME: &str = "ratatosk-hops";

/// The longest id that is read; longer ones are cut, which keeps a hostile mark small.
const MAX_ID_BYTES: usize = 64;

/// Reads a mark. Of more than [`MAX_HOPS`] ids the first are kept: the bus takes such a list for a loop anyway.
#[must_use]
pub fn parse(text: &str) -> Vec<Arc<str>> {
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    ids.take(MAX_HOPS).map(|id| Arc::from(&id[..id.floor_char_boundary(MAX_ID_BYTES)])).collect()
}

/// Writes the mark of a message that leaves this gateway.
#[must_use]
pub fn with_this(message: &Message, gateway_id: &str) -> String {
    joined(message.origin.hops.iter().map(|hop| &**hop), &first(&message.origin, gateway_id, message.seq))
}

/// Like [`with_this`], of the gateways alone: the same for all messages that came by one way.
#[must_use]
pub fn path(origin: &Origin, gateway_id: &str) -> String {
    joined(origin.hops.iter().map(|hop| gateway_of(hop)), gateway_id)
}

/// A gateway's hop: one that a message begins at names it by its position there. The id of a gateway is another in each of its
/// lives, and so positions are not used twice with it.
#[must_use]
pub fn named(gateway_id: &str, seq: u64) -> String {
    format!("{gateway_id}{NAMED}{seq}")
}

fn first<'a>(origin: &Origin, gateway_id: &'a str, seq: u64) -> Cow<'a, str> {
    if origin.hops.is_empty() { named(gateway_id, seq).into() } else { gateway_id.into() }
}

fn joined<'a>(hops: impl Iterator<Item = &'a str>, last: &str) -> String {
    let mut text = String::with_capacity(96);
    for hop in hops {
        text.push_str(hop);
        text.push(',');
    }
    text.push_str(last);
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_core::{
        Bus, Channel, Connector, Filter, OutboxLimits, Publication, QueuePeer, SessionConfig, SubscribeOptions,
    };

    use super::*;

    #[tokio::test]
    async fn a_mark_survives_the_way() {
        let (bus, peer) = (Bus::in_memory(), QueuePeer::new(OutboxLimits::default()));
        let session = bus.open_session(SessionConfig::client("c", Connector::GATEWAY), peer.clone());
        session.subscribe(Filter::new("x").unwrap(), SubscribeOptions::default());
        let mut publication = Publication::new(Channel::new("x").unwrap(), "", Origin::gateway());
        let message = async |publication: &Publication| {
            bus.publish(publication.clone()).unwrap();
            peer.recv_many(1).await.unwrap().remove(0).message
        };
        let first = message(&publication).await;
        assert_eq!(with_this(&first, "a"), format!("a;{}", first.seq));
        assert_eq!(path(&publication.origin, "a"), "a");
        publication.origin.hops = parse("a;7, b,,c").into();
        let origin = &publication.origin;
        assert_eq!((origin.named(), origin.neighbour()), (Some("a;7"), Some("c")));
        assert!(origin.has_passed("a") && origin.has_passed("b") && !origin.has_passed("d"));
        assert_eq!(path(origin, "d"), "a,b,c,d");
        let relayed = message(&publication).await;
        assert_eq!(with_this(&relayed, "d"), "a;7,b,c,d");
    }

    #[test]
    fn a_hostile_mark_stays_small() {
        let ids = parse(&format!("{},{}", "x".repeat(70_000), "y,".repeat(10_000)));
        assert_eq!(ids.len(), MAX_HOPS);
        assert!(ids[0].len() <= MAX_ID_BYTES);
        // Byte 64 is in the middle of a character.
        assert_eq!(&*parse(&format!("x{}", "é".repeat(1000)))[0], &format!("x{}", "é".repeat(31)));
    }
}
