use std::num::NonZeroU16;

use proptest::prelude::*;

use super::strategies::{publish, version};
use super::*;

/// What a plain encoder makes of the same delivery.
fn expected(publish: &Publish, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&Packet::Publish(Box::new(publish.clone())), version, &mut out).unwrap();
    let mut bytes = BytesMut::from(&out[..]);
    Decoder::client(version, MAX_PACKET).decode(&mut bytes).unwrap().unwrap();
    out
}

fn read(bytes: &[u8], version: Version) -> Packet {
    let mut bytes = BytesMut::from(bytes);
    Decoder::client(version, MAX_PACKET).decode(&mut bytes).unwrap().unwrap()
}

proptest! {
    #[test]
    fn a_copy_is_what_an_encoder_would_write(
        (version, mut publish) in version().prop_flat_map(|v| (Just(v), publish(v, true))),
        expiry in any::<u32>(),
        omit in any::<bool>(),
    ) {
        let kind = TemplateKind::of(version, publish.qos);
        let template = Template::of(kind, Template::encode(kind, &publish).unwrap()).unwrap();
        if let Some(own) = &mut publish.properties.message_expiry {
            prop_assert_eq!(template.expiry(), Some(*own));
            *own = expiry;
        }
        if omit && publish.properties.topic_alias.is_some() {
            publish.topic = "".into();
        }
        let ids: Vec<u32> = publish.properties.subscription_ids.iter().map(|id| id.get()).collect();
        let copy = Copy {
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id,
            expiry: publish.properties.message_expiry,
            alias: publish.properties.topic_alias,
            omit_topic: publish.topic.is_empty(),
            subscription_ids: &ids,
        };
        let mut out = Vec::new();
        template.write(&copy, &mut out);
        prop_assert_eq!(out.len(), template.len_of(&copy));
        // The order of properties is free, but for user properties.
        prop_assert_eq!(out.len(), expected(&publish, version).len());
        prop_assert_eq!(read(&out, version), Packet::Publish(Box::new(publish)));
        if template.is_shared(&copy) {
            prop_assert_eq!(&out[..], &template.bytes()[..]);
        }
    }
}

#[test]
fn a_template_ignores_what_is_particular_to_the_publisher() {
    let mut publish = Publish { topic: "a".into(), payload: "x".into(), ..Publish::default() };
    let plain = Template::encode(TemplateKind::V5Qos0, &publish).unwrap();
    publish.dup = true;
    publish.retain = true;
    publish.qos = Qos::ExactlyOnce;
    publish.packet_id = NonZeroU16::new(9);
    publish.properties.topic_alias = NonZeroU16::new(3);
    assert_eq!(Template::encode(TemplateKind::V5Qos0, &publish).unwrap(), plain);
}

#[test]
fn bytes_that_are_no_template() {
    for bytes in [&[][..], &[0x30], &[0x30, 2, 0, 9], &[0x30, 3, 0, 0, 9]] {
        assert!(Template::of(TemplateKind::V5Qos0, bytes::Bytes::copy_from_slice(bytes)).is_none());
    }
}
