use super::*;

fn sent_topics(packets: &[Packet]) -> Vec<String> {
    publishes(packets).iter().map(|publish| publish.topic.to_string()).collect()
}

#[test]
fn the_window_holds_back_what_needs_acknowledgement_and_nothing_else() {
    let mut machine = machine(Link { window: 1, ..v5() });
    let (first, _) = deliver(&mut machine, item(Note::new("one", "1"), Qos::AtLeastOnce), 0);
    assert_eq!(publishes(&first)[0].packet_id, Some(id(1)));
    assert!(deliver(&mut machine, item(Note::new("two", "2"), Qos::ExactlyOnce), 0).0.is_empty());
    let (plain, _) = deliver(&mut machine, item(Note::new("plain", "0"), Qos::AtMostOnce), 0);
    assert_eq!(sent_topics(&plain), ["plain"]);
    assert!(!machine.wants_pump());
    receive(&mut machine, Packet::Puback(ok(1))).unwrap();
    assert!(machine.wants_pump());
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["two"]);
    let (_, answers) = receive(&mut machine, Packet::Pubrec(ok(2))).unwrap();
    assert_eq!(answers, [Packet::Pubrel(ok(2))]);
    deliver(&mut machine, item(Note::new("three", "3"), Qos::AtLeastOnce), 0);
    assert!(!machine.wants_pump(), "QoS 2 counts until PUBCOMP");
    receive(&mut machine, Packet::Pubcomp(ok(2))).unwrap();
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["three"]);
}

#[test]
fn a_full_socket_makes_all_wait_in_order() {
    let mut machine = machine(v5());
    for (number, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::AtMostOnce].into_iter().enumerate() {
        let note = Note::new(&format!("t{number}"), "x");
        machine.deliver(item(note, qos), at(0), false, &mut Vec::new(), &mut Tally::default());
    }
    assert_eq!(machine.shares(), None, "what comes later must not overtake");
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["t0", "t1", "t2"]);
    assert!(machine.shares().is_some());
}

#[test]
fn a_new_connection_gets_what_was_in_flight_again_with_dup_and_the_same_identifiers() {
    let mut machine = machine(v5());
    for topic in ["one", "two", "three"] {
        deliver(&mut machine, item(Note::new(topic, "x"), Qos::ExactlyOnce), 0);
    }
    receive(&mut machine, Packet::Pubrec(ok(2))).unwrap();
    machine.disconnect();
    deliver(&mut machine, item(Note::new("four", "x"), Qos::AtLeastOnce), 0);
    machine.connect(Link { window: 3, ..v3() });
    let (packets, _) = pump(&mut machine, 0);
    assert_eq!(packets[1], Packet::Pubrel(ok(2)), "what was received is not published again");
    let sent: Vec<_> = publishes(&packets).iter().map(|p| (p.topic.to_string(), p.dup, p.packet_id)).collect();
    let expected = [("one", true, 1), ("three", true, 3), ("four", false, 4)];
    assert_eq!(sent, expected.map(|(topic, dup, number)| (topic.to_string(), dup, Some(id(number)))));
}

#[test]
fn resending_keeps_to_a_smaller_window() {
    let mut machine = machine(v5());
    for topic in ["one", "two", "three"] {
        deliver(&mut machine, item(Note::new(topic, "x"), Qos::AtLeastOnce), 0);
    }
    machine.disconnect();
    machine.connect(Link { window: 2, ..v5() });
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["one", "two"]);
    receive(&mut machine, Packet::Puback(ok(1))).unwrap();
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["three"]);
}

#[test]
fn nothing_is_resent_on_a_live_connection() {
    let mut machine = machine(v5());
    deliver(&mut machine, item(Note::new("one", "x"), Qos::AtLeastOnce), 0);
    assert!(!machine.wants_pump());
    assert!(pump(&mut machine, 100_000).0.is_empty());
}

#[test]
fn qos_0_does_not_wait_for_an_absent_client() {
    let mut machine = machine(v5());
    machine.disconnect();
    deliver(&mut machine, item(Note::new("plain", "x"), Qos::AtMostOnce), 0);
    deliver(&mut machine, item(Note::new("kept", "x"), Qos::AtLeastOnce), 0);
    machine.connect(v5());
    assert_eq!(sent_topics(&pump(&mut machine, 0).0), ["kept"]);
}

#[test]
fn expiry_counts_down_and_drops() {
    let mut machine = machine(v5());
    machine.disconnect();
    for (topic, expiry) in [("short", 5), ("long", 60)] {
        deliver(&mut machine, item(Note::expiring(topic, "x", Some(expiry)), Qos::AtLeastOnce), 0);
    }
    machine.connect(v5());
    let (packets, tally) = pump(&mut machine, 10);
    assert_eq!((tally.expired, tally.sent), (1, 1));
    assert_eq!(publishes(&packets)[0].properties.message_expiry, Some(50));
}

#[test]
fn what_is_too_large_counts_as_delivered() {
    let mut machine = machine(Link { max_packet: 50, ..v5() });
    let (packets, tally) = deliver(&mut machine, item(Note::new("big", vec![0; 100]), Qos::AtLeastOnce), 0);
    assert_eq!((packets.len(), tally.too_large), (0, 1));
    assert_eq!(machine.depth(), (0, 0));
}

#[test]
fn topics_are_named_by_alias_to_clients_that_take_them() {
    let mut machine = machine(Link::new(Version::V5, 1));
    let mut sent = Vec::new();
    for topic in ["long/topic", "long/topic", "other/topic"] {
        let (packets, _) = deliver(&mut machine, item(Note::new(topic, "x"), Qos::AtMostOnce), 0);
        let publish = publishes(&packets)[0];
        sent.push((publish.topic.to_string(), publish.properties.topic_alias));
    }
    let one = Some(id(1));
    assert_eq!(sent, [("long/topic".into(), one), (String::new(), one), ("other/topic".into(), one)]);
    assert_eq!(machine.shares(), None);
}

#[test]
fn subscription_identifiers_and_retain() {
    let mut machine = machine(v5());
    let item = Item { ids: Some([3, 200].into()), retain: true, ..item(Note::new("a", "x"), Qos::AtMostOnce) };
    let (packets, _) = deliver(&mut machine, item, 0);
    let publish = publishes(&packets)[0];
    assert!(publish.retain);
    assert_eq!(publish.properties.subscription_ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [3, 200]);
}

#[test]
fn a_full_queue() {
    let full = |when_full| {
        let mut machine = Machine::new(Bounds { messages: 2, bytes: 1 << 20, when_full });
        let mut tally = Tally::default();
        for topic in ["one", "two", "three"] {
            machine.deliver(item(Note::new(topic, "x"), Qos::AtLeastOnce), at(0), true, &mut Vec::new(), &mut tally);
        }
        machine.connect(v5());
        (sent_topics(&pump(&mut machine, 0).0), tally.full, tally.overflow)
    };
    assert_eq!(full(WhenFull::DropOldest), (vec!["two".into(), "three".into()], 1, false));
    assert_eq!(full(WhenFull::DropNewest), (vec!["one".into(), "two".into()], 1, false));
    assert_eq!(full(WhenFull::Disconnect), (vec!["one".into(), "two".into()], 1, true));
}

#[test]
fn a_queue_is_bounded_in_bytes() {
    let mut machine = Machine::new(Bounds { messages: 100, bytes: 1000, when_full: WhenFull::DropOldest });
    let mut tally = Tally::default();
    for _ in 0..100 {
        let item = item(Note::new("a", vec![0; 200]), Qos::AtLeastOnce);
        machine.deliver(item, at(0), true, &mut Vec::new(), &mut tally);
        assert!(machine.queued_bytes() <= 1000);
    }
    assert_eq!(tally.full, 97);
}

#[test]
fn acknowledgements_of_the_wrong_kind() {
    let mut machine = machine(v5());
    deliver(&mut machine, item(Note::new("a", "x"), Qos::AtLeastOnce), 0);
    deliver(&mut machine, item(Note::new("a", "x"), Qos::ExactlyOnce), 0);
    assert_eq!(receive(&mut machine, Packet::Pubrec(ok(1))).unwrap_err(), Fault::WrongAck);
    assert_eq!(receive(&mut machine, Packet::Puback(ok(2))).unwrap_err(), Fault::WrongAck);
    assert_eq!(receive(&mut machine, Packet::Pubcomp(ok(2))).unwrap_err(), Fault::WrongAck);
    receive(&mut machine, Packet::Puback(ok(9))).unwrap();
    let (_, answers) = receive(&mut machine, Packet::Pubrec(ok(9))).unwrap();
    assert_eq!(answers, [Packet::Pubrel(Ack::new(id(9), ReasonCode::PACKET_ID_NOT_FOUND))]);
}

#[test]
fn a_refused_qos_2_publication_is_over() {
    let mut machine = machine(Link { window: 1, ..v5() });
    deliver(&mut machine, item(Note::new("a", "x"), Qos::ExactlyOnce), 0);
    let refusal = Ack::new(id(1), ReasonCode::QUOTA_EXCEEDED);
    let (_, answers) = receive(&mut machine, Packet::Pubrec(refusal)).unwrap();
    assert!(answers.is_empty());
    assert_eq!(machine.depth(), (0, 0));
}

#[test]
fn packet_identifiers_go_round_and_skip_those_in_use() {
    let mut machine = machine(v5());
    deliver(&mut machine, item(Note::new("stays", "x"), Qos::AtLeastOnce), 0);
    let mut last = 1;
    for _ in 0..70_000 {
        let (packets, _) = deliver(&mut machine, item(Note::new("a", "x"), Qos::AtLeastOnce), 0);
        let number = publishes(&packets)[0].packet_id.unwrap();
        assert_eq!(number.get(), if last == u16::MAX { 2 } else { last + 1 });
        last = number.get();
        receive(&mut machine, Packet::Puback(ok(last))).unwrap();
        // The first is never acknowledged, so tombstones would pile up behind it.
        if machine.depth().1 > 1 {
            panic!("more in flight than unacknowledged");
        }
    }
}

#[test]
fn plain_acknowledgements_are_taken_from_the_bytes() {
    let mut machine = machine(v5());
    for number in 1..=3 {
        deliver(&mut machine, item(Note::new("t", number.to_string()), Qos::AtLeastOnce), 0);
    }
    // Two known ones, an unknown one, half of one more.
    assert_eq!(machine.acknowledge(b"\x40\x02\x00\x01\x40\x02\x00\x03\x40\x02\x00\x63\x40\x02"), Ok(12));
    assert_eq!(machine.depth(), (0, 1));
    // Identifier 0 and longer forms are the decoder's to judge.
    assert_eq!(machine.acknowledge(b"\x40\x02\x00\x00"), Ok(0));
    assert_eq!(machine.acknowledge(b"\x40\x03\x00\x02\x10"), Ok(0));
    assert_eq!(machine.acknowledge(b"\xC0\x00"), Ok(0));
    deliver(&mut machine, item(Note::new("t", "x"), Qos::ExactlyOnce), 0);
    assert_eq!(machine.acknowledge(b"\x40\x02\x00\x04"), Err(Fault::WrongAck));
}
