//! Packets that are valid and otherwise arbitrary.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V31), Just(Version::V311), Just(Version::V5)]
}

fn text() -> impl Strategy<Value = ByteString> {
    "[^\\x00]{0,12}".prop_map(ByteString::from)
}

fn topic() -> impl Strategy<Value = ByteString> {
    "[^\\x00+#]{1,24}".prop_map(ByteString::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn secret() -> impl Strategy<Value = Secret> {
    bytes().prop_map(Secret)
}

fn user() -> impl Strategy<Value = Vec<UserProperty>> {
    vec((text(), text()), 0..3)
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)]
}

fn id() -> impl Strategy<Value = NonZeroU16> {
    any::<NonZeroU16>()
}

fn subscription_id() -> impl Strategy<Value = NonZeroU32> {
    (1u32..=MAX_REMAINING).prop_map(|id| NonZeroU32::new(id).unwrap())
}

fn publish_properties(will: bool) -> impl Strategy<Value = PublishProperties> {
    (of(any::<bool>()), of(any::<u32>()), of(id()), of(topic()), of(bytes()), of(text()), user()).prop_map(
        move |(format, expiry, alias, response, correlation, content, user)| PublishProperties {
            payload_format: format,
            message_expiry: expiry,
            topic_alias: alias.filter(|_| !will),
            response_topic: response,
            correlation_data: correlation,
            content_type: content,
            user_properties: user,
            subscription_ids: Vec::new(),
        },
    )
}

pub(crate) fn publish(version: Version, from_server: bool) -> impl Strategy<Value = Publish> {
    let ids = vec(subscription_id(), 0..4);
    let parts = (any::<bool>(), qos(), any::<bool>(), topic(), id(), publish_properties(false), ids);
    (parts, bytes()).prop_map(move |((dup, qos, retain, topic, id, mut properties, ids), payload)| {
        if from_server {
            properties.subscription_ids = ids;
        }
        if !version.is_v5() {
            properties = PublishProperties::default();
        }
        let acked = qos != Qos::AtMostOnce;
        Publish { dup: dup && acked, qos, retain, topic, packet_id: acked.then_some(id), properties, payload }
    })
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (topic(), bytes(), qos(), any::<bool>(), any::<u32>(), publish_properties(true)).prop_map(
        move |(topic, payload, qos, retain, delay, properties)| {
            let v5 = version.is_v5();
            let properties = if v5 { properties } else { PublishProperties::default() };
            Will { topic, payload, qos, retain, delay: if v5 { delay } else { 0 }, properties }
        },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    (
        of(any::<u32>()),
        of(id()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
        of(any::<bool>()),
        of(any::<bool>()),
        of((text(), of(secret()))),
        user(),
    )
        .prop_map(|(expiry, receive, size, alias, response, problem, auth, user)| {
            let (auth_method, auth_data) = auth.map_or((None, None), |(m, d)| (Some(m), d));
            ConnectProperties {
                session_expiry: expiry,
                receive_maximum: receive,
                max_packet_size: size,
                topic_alias_maximum: alias,
                request_response_info: response,
                request_problem_info: problem,
                auth_method,
                auth_data,
                user_properties: user,
            }
        })
}

pub(crate) fn connect(version: Version) -> impl Strategy<Value = Connect> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<u16>(),
        text(),
        of(text()),
        of(secret()),
        of(will(version)),
        connect_properties(),
    )
        .prop_map(move |(bridge, clean, keep_alive, client_id, username, password, will, all)| {
            let v5 = version.is_v5();
            Connect {
                version,
                bridge: bridge && !v5,
                clean_start: clean,
                keep_alive,
                client_id,
                password: password.filter(|_| v5 || username.is_some()),
                username,
                will,
                properties: if v5 { all } else { ConnectProperties::default() },
            }
        })
}

fn ack_properties(version: Version) -> impl Strategy<Value = Option<Box<AckProperties>>> {
    (of(text()), user()).prop_map(move |(reason_string, user_properties)| {
        let all = AckProperties { reason_string, user_properties };
        (version.is_v5() && all != AckProperties::default()).then(|| Box::new(all))
    })
}

fn ack(version: Version, codes: &'static [u8]) -> impl Strategy<Value = Ack> {
    (id(), proptest::sample::select(codes), ack_properties(version)).prop_map(move |(packet_id, code, properties)| {
        let reason = ReasonCode(if version.is_v5() { code } else { 0 });
        Ack { packet_id, reason, properties }
    })
}

const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

fn acks(version: Version) -> impl Strategy<Value = Packet> {
    prop_oneof![
        ack(version, PUBACK).prop_map(Packet::Puback),
        ack(version, PUBACK).prop_map(Packet::Pubrec),
        ack(version, &[0, 0x92]).prop_map(Packet::Pubrel),
        ack(version, &[0, 0x92]).prop_map(Packet::Pubcomp),
    ]
}

fn options(version: Version) -> impl Strategy<Value = SubscribeOptions> {
    let handling = prop_oneof![Just(RetainHandling::Always), Just(RetainHandling::IfNew), Just(RetainHandling::Never)];
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| {
            if version.is_v5() {
                SubscribeOptions { qos, no_local, retain_as_published, retain_handling }
            } else {
                SubscribeOptions { qos, ..SubscribeOptions::default() }
            }
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    let filter = prop_oneof![text(), topic(), Just("$share/g/a/#".into())];
    let filter = (filter, options(version)).prop_map(|(filter, mut options)| {
        options.no_local &= !filter.starts_with("$share");
        SubscribeFilter { filter, options }
    });
    (id(), of(subscription_id()), vec(filter, 1..4), user()).prop_map(
        move |(packet_id, subscription, filters, user)| {
            let v5 = version.is_v5();
            Packet::Subscribe(Subscribe {
                packet_id,
                subscription_id: subscription.filter(|_| v5),
                filters,
                user_properties: if v5 { user } else { Vec::new() },
            })
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    let filter = prop_oneof![text(), topic()];
    (id(), vec(filter, 1..4), user()).prop_map(move |(packet_id, filters, user)| {
        let user_properties = if version.is_v5() { user } else { Vec::new() };
        Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties })
    })
}

fn disconnect(version: Version, from_client: bool) -> impl Strategy<Value = Packet> {
    let codes: &[u8] = if from_client { &[0, 4, 0x80, 0x82, 0x97] } else { &[0, 0x80, 0x8B, 0x8E, 0xA2] };
    let code = proptest::sample::select(codes);
    (code, of(any::<u32>()), of(text()), of(text()), user()).prop_map(
        move |(code, expiry, reason_string, reference, user_properties)| {
            if !version.is_v5() {
                return Packet::Disconnect(Disconnect::default());
            }
            Packet::Disconnect(Disconnect {
                reason: ReasonCode(code),
                session_expiry: expiry.filter(|_| from_client),
                reason_string,
                server_reference: reference.filter(|_| !from_client),
                user_properties,
            })
        },
    )
}

fn auth() -> impl Strategy<Value = Packet> {
    (text(), of(secret()), of(text()), user()).prop_map(|(method, data, reason_string, user_properties)| {
        let reason = ReasonCode::CONTINUE_AUTHENTICATION;
        Packet::Auth(Auth { reason, method: Some(method), data, reason_string, user_properties })
    })
}

/// What a client may send after CONNECT.
pub(crate) fn from_client(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        4 => publish(version, false).prop_map(|p| Packet::Publish(Box::new(p))),
        2 => acks(version),
        2 => subscribe(version),
        1 => unsubscribe(version),
        1 => Just(Packet::Pingreq),
        1 => disconnect(version, true),
    ];
    if version.is_v5() { prop_oneof![9 => common, 1 => auth()].boxed() } else { common.boxed() }
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    (
        any::<bool>(),
        proptest::sample::select(&[0u8, 0x84, 0x85, 0x86, 0x87, 0x88][..]),
        (of(any::<u32>()), of(id()), of(any::<bool>()), of(any::<bool>()), of(any::<NonZeroU32>())),
        (of(text()), of(any::<u16>()), of(text()), user(), of(any::<bool>()), of(any::<bool>())),
        (of(any::<bool>()), of(any::<u16>()), of(text()), of(text()), of(text()), of(bytes())),
    )
        .prop_map(move |(present, code, a, b, c)| {
            let properties = ConnackProperties {
                session_expiry: a.0,
                receive_maximum: a.1,
                maximum_qos_1: a.2,
                retain_available: a.3,
                max_packet_size: a.4,
                assigned_client_id: b.0,
                topic_alias_maximum: b.1,
                reason_string: b.2,
                user_properties: b.3,
                wildcard_available: b.4,
                subscription_id_available: b.5,
                shared_available: c.0,
                server_keep_alive: c.1,
                response_info: c.2,
                server_reference: c.3,
                auth_method: c.4,
                auth_data: c.5,
            };
            let v5 = version.is_v5();
            Packet::Connack(Box::new(Connack {
                session_present: present && version != Version::V31,
                reason: ReasonCode(code),
                properties: if v5 { properties } else { ConnackProperties::default() },
            }))
        })
}

fn suback(version: Version) -> impl Strategy<Value = Packet> {
    let code = proptest::sample::select(&[0u8, 1, 2, 0x80][..]).prop_map(ReasonCode);
    (id(), vec(code, 1..4), ack_properties(version))
        .prop_map(|(packet_id, reasons, properties)| Packet::Suback(Suback { packet_id, reasons, properties }))
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet> {
    let code = proptest::sample::select(&[0u8, 0x11, 0x87][..]).prop_map(ReasonCode);
    (id(), vec(code, 1..4), ack_properties(version)).prop_map(move |(packet_id, reasons, properties)| {
        let reasons = if version.is_v5() { reasons } else { Vec::new() };
        Packet::Unsuback(Unsuback { packet_id, reasons, properties })
    })
}

/// What a server may send.
pub(crate) fn from_server(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        4 => publish(version, true).prop_map(|p| Packet::Publish(Box::new(p))),
        2 => acks(version),
        2 => connack(version),
        1 => suback(version),
        1 => unsuback(version),
        1 => Just(Packet::Pingresp),
    ];
    if version.is_v5() {
        prop_oneof![9 => common, 1 => auth(), 1 => disconnect(version, false)].boxed()
    } else {
        common.boxed()
    }
}
