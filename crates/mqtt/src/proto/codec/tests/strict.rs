//! What the standard forbids, and codecs in the field let through (or refuse though it is allowed).

use super::*;

const V3: Version = Version::V311;
const V5: Version = Version::V5;

#[track_caller]
fn refused(version: Version, bytes: &[u8], error: DecodeError, reason: u8) {
    assert_eq!(decode(version, bytes), Err(error));
    assert_eq!(error.reason(), ReasonCode(reason));
}

#[track_caller]
fn accepted(version: Version, bytes: &[u8]) -> Packet {
    decode(version, bytes).unwrap().unwrap()
}

#[track_caller]
fn connect_refused(bytes: &[u8], error: DecodeError, reason: u8) {
    assert_eq!(decode_first(bytes), Err(error));
    assert_eq!(error.reason(), ReasonCode(reason));
}

fn connect(level: u8, flags: u8, rest: &[&[u8]]) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    connect_with(level, flags, properties, rest)
}

fn connect_with(level: u8, flags: u8, properties: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let head = [&s("MQTT")[..], &[level, flags, 0, 60], properties].concat();
    packet(0x10, &[&head, &rest.concat()])
}

fn publish(first: u8, topic: &str, rest: &[u8]) -> Vec<u8> {
    packet(first, &[&s(topic), rest])
}

#[test]
fn null_character_in_topic() {
    refused(V5, &publish(0x30, "a\0b", &[0]), DecodeError::NullCharacter, 0x81);
    refused(V3, &publish(0x30, "a\0b", &[]), DecodeError::NullCharacter, 0x81);
}

#[test]
fn strings_are_utf8_without_surrogates() {
    let surrogate = packet(0x30, &[&[0, 3, 0xED, 0xA0, 0x80], &[0]]);
    refused(V5, &surrogate, DecodeError::Utf8, 0x81);
    refused(V5, &packet(0x30, &[&[0, 2, 0xC0, 0x80], &[0]]), DecodeError::Utf8, 0x81);
    let mark = packet(0x30, &[&s("\u{FEFF}a"), &[0]]);
    let Packet::Publish(publish) = accepted(V5, &mark) else { panic!("not PUBLISH") };
    assert_eq!(publish.topic, "\u{FEFF}a");
}

#[test]
fn dup_with_qos_0() {
    refused(V5, &publish(0x38, "a", &[0]), DecodeError::DupQos0, 0x81);
    refused(V3, &publish(0x38, "a", &[]), DecodeError::DupQos0, 0x81);
}

#[test]
fn qos_3() {
    refused(V5, &publish(0x36, "a", &[0, 1, 0]), DecodeError::Qos3, 0x81);
    refused(V5, &packet(0x82, &[&[0, 1, 0], &s("a"), &[3]]), DecodeError::Qos3, 0x81);
}

#[test]
fn wildcard_in_publish_topic() {
    refused(V5, &publish(0x30, "a/+", &[0]), DecodeError::WildcardInTopic, 0x81);
    refused(V3, &publish(0x30, "#", &[]), DecodeError::WildcardInTopic, 0x81);
}

#[test]
fn packet_id_zero() {
    refused(V5, &publish(0x32, "a", &[0, 0, 0]), DecodeError::PacketIdZero, 0x82);
    refused(V5, &packet(0x82, &[&[0, 0, 0], &s("a"), &[0]]), DecodeError::PacketIdZero, 0x82);
    refused(V5, &packet(0xA2, &[&[0, 0, 0], &s("a")]), DecodeError::PacketIdZero, 0x82);
    for first in [0x40, 0x50, 0x62, 0x70] {
        refused(V5, &packet(first, &[&[0, 0]]), DecodeError::PacketIdZero, 0x82);
    }
}

#[test]
fn empty_topic_without_alias() {
    refused(V5, &publish(0x30, "", &[0]), DecodeError::NoTopic, 0x82);
    refused(V3, &publish(0x30, "", &[]), DecodeError::EmptyTopic, 0x81);
    accepted(V5, &publish(0x30, "", &[3, 0x23, 0, 1]));
}

#[test]
fn topic_alias_zero() {
    refused(V5, &publish(0x30, "a", &[3, 0x23, 0, 0]), DecodeError::TopicAliasZero, 0x94);
}

#[test]
fn wildcard_in_response_topic() {
    let bad = publish(0x30, "a", &[5, 0x08, 0, 2, b'a', b'#']);
    refused(V5, &bad, DecodeError::WildcardInResponseTopic, 0x82);
}

#[test]
fn subscription_id_from_a_client() {
    let bad = publish(0x30, "a", &[2, 0x0B, 1]);
    refused(V5, &bad, DecodeError::SubscriptionIdFromClient, 0x82);
}

#[test]
fn remaining_length_is_minimal() {
    refused(V5, &[0xC0, 0x80, 0x00], DecodeError::VarInt, 0x81);
    refused(V5, &[0x30, 0x84, 0x80, 0x00, 0, 1, b'a', 0], DecodeError::VarInt, 0x81);
    refused(V5, &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], DecodeError::VarInt, 0x81);
}

#[test]
fn property_length_is_minimal_and_present() {
    refused(V5, &publish(0x30, "a", &[0x80, 0x00]), DecodeError::VarInt, 0x81);
    refused(V5, &publish(0x30, "a", &[]), DecodeError::Truncated, 0x81);
    refused(V5, &publish(0x30, "a", &[9, 0x01, 1]), DecodeError::Truncated, 0x81);
    refused(V5, &packet(0x82, &[&[0, 1], &s("a"), &[0]]), DecodeError::Truncated, 0x81);
}

#[test]
fn properties_in_their_place_only_and_once() {
    refused(V5, &publish(0x30, "a", &[5, 0x11, 0, 0, 0, 1]), DecodeError::PropertyNotAllowed, 0x81);
    refused(V5, &publish(0x30, "a", &[2, 0x7F, 0]), DecodeError::PropertyNotAllowed, 0x81);
    refused(V5, &publish(0x30, "a", &[3, 0x81, 0x01, 0]), DecodeError::PropertyNotAllowed, 0x81);
    refused(V5, &publish(0x30, "a", &[4, 1, 1, 1, 1]), DecodeError::DuplicateProperty, 0x82);
    refused(V5, &publish(0x30, "a", &[2, 1, 2]), DecodeError::PropertyValue, 0x82);
    refused(V5, &publish(0x30, "a", &[1, 1]), DecodeError::Truncated, 0x81);
    let twice = [&[14u8][..], &[0x26], &s("k"), &s("v"), &[0x26], &s("k"), &s("v")].concat();
    let Packet::Publish(publish) = accepted(V5, &publish(0x30, "a", &twice)) else { panic!("not PUBLISH") };
    assert_eq!(publish.properties.user_properties.len(), 2);
}

#[test]
fn message_expiry_zero_is_allowed() {
    let Packet::Publish(publish) = accepted(V5, &publish(0x30, "a", &[5, 2, 0, 0, 0, 0])) else {
        panic!("not PUBLISH")
    };
    assert_eq!(publish.properties.message_expiry, Some(0));
}

#[test]
fn filters() {
    for filter in ["a#", "a/#/b", "#/a", "a+", "+a/b", "a/b+", "##", "++", "a/##"] {
        assert_eq!(parse_filter(filter), Err(FilterFault::Wildcard), "{filter}");
    }
    assert_eq!(parse_filter(""), Err(FilterFault::Empty));
    for filter in ["$share", "$share/", "$share//a", "$share/a", "$share/a/", "$share/a+/b", "$share/#/b"] {
        assert_eq!(parse_filter(filter), Err(FilterFault::Share), "{filter}");
    }
    assert_eq!(parse_filter("$share/g/a#"), Err(FilterFault::Wildcard));
    for filter in ["#", "+", "/", "a/#", "+/+", "/#", "a//b", "$SYS/#", "+/a/#", "$shared/a", " "] {
        assert_eq!(parse_filter(filter), Ok(SharedFilter { group: None, filter }), "{filter}");
    }
    let shared = SharedFilter { group: Some("g"), filter: "a/#" };
    assert_eq!(parse_filter("$share/g/a/#"), Ok(shared));
    assert_eq!(parse_filter("$share/g//").unwrap().filter, "/");
    assert_eq!(FilterFault::Share.reason(), ReasonCode(0x8F));
}

#[test]
fn no_local_on_a_shared_subscription() {
    let bad = packet(0x82, &[&[0, 1, 0], &s("$share/g/a"), &[4]]);
    refused(V5, &bad, DecodeError::NoLocalShared, 0x82);
    accepted(V5, &packet(0x82, &[&[0, 1, 0], &s("$shared/g/a"), &[4]]));
}

#[test]
fn fixed_header_flags() {
    for first in [0x80, 0x83, 0x60, 0x63, 0xA0, 0x41, 0x52, 0x71] {
        refused(V5, &packet(first, &[&[0, 1]]), DecodeError::Flags, 0x81);
    }
    for first in [0xC1, 0xE8, 0xF2] {
        refused(V5, &packet(first, &[]), DecodeError::Flags, 0x81);
    }
    connect_refused(&packet(0x11, &[]), DecodeError::Flags, 0x81);
}

#[test]
fn mqtt_31_may_repeat_with_dup() {
    let subscribe = packet(0x8A, &[&[0, 1], &s("a"), &[0]]);
    assert!(matches!(decode(Version::V31, &subscribe), Ok(Some(Packet::Subscribe(_)))));
    refused(V3, &subscribe, DecodeError::Flags, 0x81);
}

#[test]
fn packet_types() {
    refused(V5, &[0x00, 0], DecodeError::PacketType, 0x81);
    refused(V3, &[0xF0, 0], DecodeError::PacketType, 0x81);
    for first in [0x20, 0x90, 0xB0, 0xD0] {
        refused(V5, &[first, 0], DecodeError::WrongSide, 0x82);
    }
}

#[test]
fn ping_with_a_body() {
    refused(V5, &[0xC0, 1, 0], DecodeError::TrailingBytes, 0x81);
    accepted(V5, &[0xC0, 0]);
}

#[test]
fn the_first_packet_is_connect() {
    for first in [0x30, 0x82, 0xC0, 0xE0, 0xF0] {
        connect_refused(&[first, 0], DecodeError::NotConnected, 0x82);
    }
}

#[test]
fn connect_reserved_flag() {
    connect_refused(&connect(5, 0x03, &[&s("c")]), DecodeError::ReservedBit, 0x81);
    connect_refused(&connect(4, 0x01, &[&s("c")]), DecodeError::ReservedBit, 0x81);
}

#[test]
fn connect_will_flags() {
    let body: [&[u8]; 4] = [&s("c"), &[0], &s("t"), &s("m")];
    connect_refused(&connect(5, 0x1E, &body), DecodeError::Qos3, 0x81);
    connect_refused(&connect(5, 0x0A, &[&s("c")]), DecodeError::ConnectFlags, 0x81);
    connect_refused(&connect(5, 0x22, &[&s("c")]), DecodeError::ConnectFlags, 0x81);
    let wild: [&[u8]; 4] = [&s("c"), &[0], &s("t/#"), &s("m")];
    connect_refused(&connect(5, 0x06, &wild), DecodeError::WildcardInTopic, 0x81);
    assert!(decode_first(&connect(5, 0x06, &body)).unwrap().is_some());
}

#[test]
fn connect_trailing_and_missing_bytes() {
    connect_refused(&connect(5, 0x02, &[&s("c"), &[0]]), DecodeError::TrailingBytes, 0x81);
    connect_refused(&connect(4, 0x02, &[&s("c"), &s("x")]), DecodeError::TrailingBytes, 0x81);
    connect_refused(&connect(5, 0x82, &[&s("c")]), DecodeError::Truncated, 0x81);
    connect_refused(&connect(5, 0x02, &[]), DecodeError::Truncated, 0x81);
}

#[test]
fn connect_properties() {
    let with = |properties: &[u8]| connect_with(5, 0x02, properties, &[&s("c")]);
    connect_refused(&with(&[4, 0x16, 0, 1, b'x']), DecodeError::AuthDataWithoutMethod, 0x82);
    connect_refused(&with(&[3, 0x21, 0, 0]), DecodeError::PropertyValue, 0x82);
    connect_refused(&with(&[5, 0x27, 0, 0, 0, 0]), DecodeError::PropertyValue, 0x82);
    connect_refused(&with(&[2, 0x17, 2]), DecodeError::PropertyValue, 0x82);
    connect_refused(&with(&[6, 0x22, 0, 1, 0x22, 0, 2]), DecodeError::DuplicateProperty, 0x82);
    connect_refused(&with(&[3, 0x23, 0, 1]), DecodeError::PropertyNotAllowed, 0x81);
    assert!(decode_first(&with(&[4, 0x15, 0, 1, b'x'])).unwrap().is_some());
}

#[test]
fn password_without_user_name() {
    assert!(decode_first(&connect(5, 0x42, &[&s("c"), &s("p")])).unwrap().is_some());
    connect_refused(&connect(4, 0x42, &[&s("c"), &s("p")]), DecodeError::ConnectFlags, 0x81);
}

#[test]
fn protocol_names_and_levels() {
    let named = |name: &str, level: u8| packet(0x10, &[&s(name), &[level, 2, 0, 0], &s("c")]);
    connect_refused(&named("MQTX", 4), DecodeError::ProtocolName, 0x84);
    connect_refused(&named("mqtt", 4), DecodeError::ProtocolName, 0x84);
    connect_refused(&named("MQTT", 6), DecodeError::ProtocolLevel(6), 0x84);
    connect_refused(&named("MQTT", 3), DecodeError::ProtocolLevel(3), 0x84);
    connect_refused(&named("MQIsdp", 4), DecodeError::ProtocolLevel(4), 0x84);
    assert!(decode_first(&named("MQIsdp", 3)).unwrap().is_some());
    let Packet::Connect(connect) = decode_first(&named("MQTT", 0x84)).unwrap().unwrap() else { panic!("not CONNECT") };
    assert!(connect.bridge && connect.version == V3);
}

#[test]
fn subscribe_options() {
    let with = |options: u8| packet(0x82, &[&[0, 1, 0], &s("a"), &[options]]);
    refused(V5, &with(0x40), DecodeError::ReservedBit, 0x81);
    refused(V5, &with(0x30), DecodeError::PropertyValue, 0x82);
    refused(V3, &packet(0x82, &[&[0, 1], &s("a"), &[4]]), DecodeError::ReservedBit, 0x81);
    refused(V5, &packet(0x82, &[&[0, 1, 0]]), DecodeError::NoFilters, 0x82);
    refused(V5, &packet(0xA2, &[&[0, 1, 0]]), DecodeError::NoFilters, 0x82);
    let id_zero = packet(0x82, &[&[0, 1, 2, 0x0B, 0], &s("a"), &[0]]);
    refused(V5, &id_zero, DecodeError::PropertyValue, 0x82);
}

#[test]
fn reason_codes() {
    refused(V5, &packet(0x40, &[&[0, 1, 0x7F]]), DecodeError::Reason, 0x82);
    refused(V5, &packet(0x62, &[&[0, 1, 0x10]]), DecodeError::Reason, 0x82);
    refused(V5, &packet(0xE0, &[&[0x8E]]), DecodeError::Reason, 0x82);
    refused(V5, &packet(0xF0, &[&[0x00]]), DecodeError::Reason, 0x82);
    refused(V3, &packet(0x40, &[&[0, 1, 0]]), DecodeError::TrailingBytes, 0x81);
    refused(V3, &packet(0xE0, &[&[0]]), DecodeError::TrailingBytes, 0x81);
    accepted(V5, &packet(0xE0, &[&[0x04]]));
    let server_reference = packet(0xE0, &[&[0, 4, 0x1C, 0, 1, b'x']]);
    refused(V5, &server_reference, DecodeError::PropertyNotAllowed, 0x81);
}

#[test]
fn auth_names_its_method() {
    let without = packet(0xF0, &[&[0x18, 4, 0x16, 0, 1, b'x']]);
    refused(V5, &without, DecodeError::AuthDataWithoutMethod, 0x82);
}

#[test]
fn too_large_before_anything_is_reserved() {
    let mut decoder = Decoder::server(100);
    let mut buffer = BytesMut::from(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F][..]);
    let capacity = buffer.capacity();
    let error = DecodeError::TooLarge { size: 268_435_460, limit: 100 };
    assert_eq!(decoder.decode(&mut buffer), Err(error));
    assert_eq!(buffer.capacity(), capacity);
    assert_eq!(error.reason(), ReasonCode(0x95));
}
