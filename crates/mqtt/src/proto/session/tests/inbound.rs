use super::*;
use crate::proto::codec::{Auth, Disconnect};

fn publish(qos: Qos, number: u16, topic: &str) -> Packet {
    let packet_id = (qos != Qos::AtMostOnce).then(|| id(number));
    Packet::Publish(Box::new(Publish { qos, packet_id, topic: topic.into(), ..Publish::default() }))
}

fn aliased(topic: &str, alias: u16) -> Packet {
    let properties = PublishProperties { topic_alias: NonZeroU16::new(alias), ..PublishProperties::default() };
    Packet::Publish(Box::new(Publish { topic: topic.into(), properties, ..Publish::default() }))
}

fn answer(machine: &mut Machine<Note>, qos: Qos, number: u16, reason: ReasonCode) -> Vec<Packet> {
    let mut out = Vec::new();
    machine.published(qos, Some(id(number)), reason, &mut out);
    read(machine.link().unwrap().version, &out)
}

#[test]
fn qos_1_is_acknowledged_after_the_message_was_taken() {
    let mut machine = machine(v5());
    let (event, answers) = receive(&mut machine, publish(Qos::AtLeastOnce, 7, "a")).unwrap();
    assert!(matches!(event, Event::Publish(_)) && answers.is_empty());
    let reason = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    assert_eq!(answer(&mut machine, Qos::AtLeastOnce, 7, reason), [Packet::Puback(Ack::new(id(7), reason))]);
}

#[test]
fn a_refusal_before_mqtt_5_is_an_acknowledgement() {
    let mut machine = machine(v3());
    receive(&mut machine, publish(Qos::AtLeastOnce, 7, "a")).unwrap();
    let answers = answer(&mut machine, Qos::AtLeastOnce, 7, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(answers, [Packet::Puback(ok(7))]);
}

#[test]
fn qos_2_is_published_once_until_it_is_released() {
    let mut machine = machine(v5());
    for round in 0..2 {
        let (event, _) = receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
        assert!(matches!(event, Event::Publish(_)), "round {round}");
        assert_eq!(answer(&mut machine, Qos::ExactlyOnce, 7, ReasonCode::SUCCESS), [Packet::Pubrec(ok(7))]);
        let (event, answers) = receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
        assert_eq!((event, answers), (Event::None, vec![Packet::Pubrec(ok(7))]));
        let (_, answers) = receive(&mut machine, Packet::Pubrel(ok(7))).unwrap();
        assert_eq!(answers, [Packet::Pubcomp(ok(7))]);
    }
    let (_, answers) = receive(&mut machine, Packet::Pubrel(ok(7))).unwrap();
    assert_eq!(answers, [Packet::Pubcomp(Ack::new(id(7), ReasonCode::PACKET_ID_NOT_FOUND))]);
}

#[test]
fn qos_2_identifiers_survive_the_connection() {
    let mut machine = machine(v5());
    receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
    answer(&mut machine, Qos::ExactlyOnce, 7, ReasonCode::SUCCESS);
    machine.disconnect();
    machine.connect(v3());
    let (event, answers) = receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
    assert_eq!((event, answers), (Event::None, vec![Packet::Pubrec(ok(7))]));
}

#[test]
fn a_refused_qos_2_identifier_is_free_again() {
    let mut machine = machine(v5());
    receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
    let reason = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(answer(&mut machine, Qos::ExactlyOnce, 7, reason), [Packet::Pubrec(Ack::new(id(7), reason))]);
    let (event, _) = receive(&mut machine, publish(Qos::ExactlyOnce, 7, "a")).unwrap();
    assert!(matches!(event, Event::Publish(_)));
}

#[test]
fn receive_maximum() {
    let mut machine = machine(Link { receive_maximum: 2, ..v5() });
    for number in 1..=2 {
        receive(&mut machine, publish(Qos::ExactlyOnce, number, "a")).unwrap();
        answer(&mut machine, Qos::ExactlyOnce, number, ReasonCode::SUCCESS);
    }
    let fault = receive(&mut machine, publish(Qos::ExactlyOnce, 3, "a")).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::ReceiveMaximum, ReasonCode(0x93)));
}

#[test]
fn topic_aliases() {
    let mut machine = machine(Link { alias_maximum: 2, ..v5() });
    receive(&mut machine, aliased("a/b", 2)).unwrap();
    let (event, _) = receive(&mut machine, aliased("", 2)).unwrap();
    let Event::Publish(publish) = event else { panic!("not published") };
    assert_eq!(publish.topic, "a/b");
    assert_eq!(receive(&mut machine, aliased("", 1)).unwrap_err(), Fault::UnknownAlias);
    let fault = receive(&mut machine, aliased("a", 3)).unwrap_err();
    assert_eq!((fault, fault.reason()), (Fault::TopicAlias, ReasonCode(0x94)));
    machine.connect(Link { alias_maximum: 2, ..v5() });
    assert_eq!(receive(&mut machine, aliased("", 2)).unwrap_err(), Fault::UnknownAlias);
}

#[test]
fn goodbye() {
    let mut machine = machine(Link { session_expiry: 10, ..v5() });
    let mut say = |reason: u8, session_expiry| {
        let packet = Disconnect { reason: ReasonCode(reason), session_expiry, ..Disconnect::default() };
        receive(&mut machine, Packet::Disconnect(packet)).map(|(event, _)| event)
    };
    assert_eq!(say(0, None), Ok(Event::Disconnect { will: false, reason: ReasonCode(0) }));
    assert_eq!(say(4, Some(0)), Ok(Event::Disconnect { will: true, reason: ReasonCode(4) }));
    assert_eq!(say(0, Some(5)), Err(Fault::ExpiryRaised));
    assert_eq!(machine.link().unwrap().session_expiry, 0);
}

#[test]
fn authentication_steps() {
    let auth = |method: &str| {
        let reason = ReasonCode::REAUTHENTICATE;
        Packet::Auth(Auth { reason, method: Some(method.into()), ..Auth::default() })
    };
    let mut plain = machine(v5());
    assert_eq!(receive(&mut plain, auth("A")).unwrap_err(), Fault::UnexpectedAuth);
    let mut enhanced = machine(Link { auth_method: Some(Box::new("A".into())), ..v5() });
    assert!(matches!(receive(&mut enhanced, auth("A")).unwrap().0, Event::Auth(_)));
    assert_eq!(receive(&mut enhanced, auth("B")).unwrap_err(), Fault::AuthMethod);
}

#[test]
fn pings() {
    let (_, answers) = receive(&mut machine(v3()), Packet::Pingreq).unwrap();
    assert_eq!(answers, [Packet::Pingresp]);
}
