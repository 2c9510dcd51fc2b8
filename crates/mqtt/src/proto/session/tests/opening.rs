use super::*;
use crate::proto::codec::{Connect, ConnectProperties, DecodeError};

const OFFER: Offer = Offer {
    max_packet: 1 << 20,
    receive_maximum: NonZeroU16::new(100).unwrap(),
    topic_alias_maximum: 16,
    max_inflight: NonZeroU16::new(50).unwrap(),
    session_expiry_max: 3600,
    keep_alive_max: 0,
};

fn connect(version: Version, client_id: &str, clean_start: bool) -> Connect {
    Connect {
        version,
        bridge: false,
        clean_start,
        keep_alive: 60,
        client_id: client_id.into(),
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

fn open(connect: Connect, offer: &Offer) -> Result<Opening, Refusal> {
    Opening::new(connect, offer, || "made".into())
}

#[test]
fn a_client_without_an_identifier_gets_one_where_the_version_allows() {
    let opening = open(connect(Version::V5, "", false), &OFFER).unwrap();
    let connack = opening.connack(&OFFER, false);
    assert_eq!(connack.properties.assigned_client_id.as_deref(), Some("made"));
    assert_eq!(open(connect(Version::V311, "", true), &OFFER).unwrap().client_id, "made");
    for refused in [connect(Version::V311, "", false), connect(Version::V31, "", true)] {
        assert_eq!(open(refused, &OFFER).unwrap_err().reason, ReasonCode::CLIENT_ID_INVALID);
    }
}

#[test]
fn how_long_sessions_live() {
    let expiry = |version, clean, asked| {
        let mut connect = connect(version, "c", clean);
        connect.properties.session_expiry = asked;
        let opening = open(connect, &OFFER).unwrap();
        (opening.link.session_expiry, opening.connack(&OFFER, false).properties.session_expiry)
    };
    assert_eq!(expiry(Version::V5, true, None), (0, None));
    assert_eq!(expiry(Version::V5, true, Some(30)), (30, None));
    assert_eq!(expiry(Version::V5, false, Some(u32::MAX)), (3600, Some(3600)));
    assert_eq!(expiry(Version::V311, true, None), (0, None));
    assert_eq!(expiry(Version::V311, false, None), (3600, None));
}

#[test]
fn keep_alive_is_limited_openly_in_mqtt_5_and_silently_before() {
    let offer = Offer { keep_alive_max: 30, ..OFFER };
    let five = open(connect(Version::V5, "c", true), &offer).unwrap();
    assert_eq!((five.keep_alive, five.connack(&offer, false).properties.server_keep_alive), (30, Some(30)));
    let old = open(connect(Version::V311, "c", true), &offer).unwrap();
    assert_eq!((old.keep_alive, old.connack(&offer, false).properties.server_keep_alive), (30, None));
    let mut none = connect(Version::V5, "c", true);
    none.keep_alive = 0;
    assert_eq!(open(none.clone(), &offer).unwrap().keep_alive, 30);
    assert_eq!(open(none, &OFFER).unwrap().keep_alive, 0);
}

#[test]
fn the_window_is_the_lower_of_both_limits() {
    let window = |asked| {
        let mut connect = connect(Version::V5, "c", true);
        connect.properties.receive_maximum = NonZeroU16::new(asked);
        open(connect, &OFFER).unwrap().link.window
    };
    assert_eq!((window(10), window(60_000), window(0)), (10, 50, 50));
}

#[test]
fn limits_are_told_and_only_where_they_differ() {
    let told = open(connect(Version::V5, "c", true), &OFFER).unwrap().connack(&OFFER, true);
    assert!(told.session_present);
    assert_eq!(told.properties.receive_maximum, NonZeroU16::new(100));
    assert_eq!(told.properties.topic_alias_maximum, Some(16));
    assert_eq!(told.properties.max_packet_size.map(|max| max.get()), Some(1 << 20));
    assert_eq!(told.properties.assigned_client_id, None);
    let wide = Offer { max_packet: MAX_PACKET, receive_maximum: NonZeroU16::MAX, topic_alias_maximum: 0, ..OFFER };
    let untold = open(connect(Version::V5, "c", true), &wide).unwrap().connack(&wide, false);
    assert_eq!(untold.properties, Default::default());
}

#[test]
fn an_unknown_level_is_answered_in_the_form_of_mqtt_5() {
    let refusal = Refusal::of_fault(DecodeError::ProtocolLevel(6), None).unwrap();
    assert_eq!((refusal.version, refusal.reason), (Version::V5, ReasonCode::UNSUPPORTED_VERSION));
    assert_eq!(Refusal::of_fault(DecodeError::Truncated, None), None);
    assert_eq!(Refusal::of_fault(DecodeError::Truncated, Some(Version::V311)), None);
    let refusal = Refusal::of_fault(DecodeError::Truncated, Some(Version::V5)).unwrap();
    assert_eq!((refusal.version, refusal.reason), (Version::V5, ReasonCode::MALFORMED));
}
