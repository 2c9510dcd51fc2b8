//! The mark that messages carry from gateway to gateway: the ids of the gateways they passed.
//!
//! It travels as text, oldest first, joined by commas: as the value of the MQTT 5 user property, Bayeux `ext`
//! member and HTTP header called [`NAME`].

use std::sync::Arc;

use ratatosk_core::{Origin, message::MAX_HOPS};

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
pub fn with_this(origin: &Origin, gateway_id: &str) -> String {
    let mut text = String::with_capacity((origin.hops.len() + 1) * 24);
    for hop in &*origin.hops {
        text.push_str(hop);
        text.push(',');
    }
    text.push_str(gateway_id);
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_mark_survives_the_way() {
        let mut origin = Origin::gateway();
        assert_eq!(with_this(&origin, "a"), "a");
        origin.hops = parse("a, b,,c").into();
        assert_eq!(with_this(&origin, "d"), "a,b,c,d");
        assert!(origin.has_passed("b") && !origin.has_passed("d"));
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
