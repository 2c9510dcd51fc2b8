//! A client that sends whatever the standard lets it encode, in any order.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::proto::codec::tests::strategies::from_client;

proptest! {
    #[test]
    fn any_sequence_of_packets(
        packets in vec(from_client(Version::V5), 0..30),
        deliveries in vec(0u8..3, 0..30),
    ) {
        let link = Link { window: 4, receive_maximum: 8, alias_maximum: 10, session_expiry: 9, ..Link::new(Version::V5, 3) };
        let mut machine = machine(link);
        let mut tally = Tally::default();
        let mut deliveries = deliveries.into_iter();
        for packet in packets {
            let mut out = Vec::new();
            if let Some(qos) = deliveries.next() {
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos)];
                machine.deliver(item(Note::new("some/topic", "x"), qos), at(0), true, &mut out, &mut tally);
            }
            match machine.receive(packet, &mut out) {
                Ok(Event::Publish(publish)) => {
                    prop_assert!(!publish.topic.is_empty());
                    machine.published(publish.qos, publish.packet_id, ReasonCode::SUCCESS, &mut out);
                }
                Ok(_) => {}
                Err(fault) => prop_assert!(fault.reason().is_failure()),
            }
            machine.pump(at(0), u64::MAX, &mut out, &mut tally);
            read(Version::V5, &out);
            let (_, in_flight) = machine.depth();
            prop_assert!(in_flight <= 4 + 8);
        }
    }
}
