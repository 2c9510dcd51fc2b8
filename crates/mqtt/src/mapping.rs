//! Where MQTT's names and messages meet the gateway's.
//!
//! Topics are the gateway's own names (see [`names`]), but for the few that MQTT cannot say.
//! MQTT 5 carries all that a message holds. What MQTT 3 cannot carry is counted as mapping loss, once per message.

pub mod names;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use bytestring::ByteString;
use ratatosk_connector::upstream::hops;
use ratatosk_core::{
    Channel, Connector, Fields, Form, Message, Origin, Publication, Qos, message::Extras, stats::Stats,
};

use crate::proto::{
    codec::{self, Publish, PublishProperties, Template, TemplateKind, UserProperty, Will},
    session::Outgoing,
};

/// The user property that stands for a message's event name, which MQTT itself lacks.
pub const EVENT_PROPERTY: &str = "event";

/// The connector as origin and in metrics.
pub static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::register("mqtt"));

struct Forms {
    v3_qos0: Form,
    v3_acked: Form,
    v5_qos0: Form,
    v5_acked: Form,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms {
    v3_qos0: Form::register("mqtt.3.qos0"),
    v3_acked: Form::register("mqtt.3.acked"),
    v5_qos0: Form::register("mqtt.5.qos0"),
    v5_acked: Form::register("mqtt.5.acked"),
});

/// The wire form of a kind of PUBLISH.
#[must_use]
pub fn form(kind: TemplateKind) -> Form {
    match kind {
        TemplateKind::V3Qos0 => FORMS.v3_qos0,
        TemplateKind::V3Acked => FORMS.v3_acked,
        TemplateKind::V5Qos0 => FORMS.v5_qos0,
        TemplateKind::V5Acked => FORMS.v5_acked,
    }
}

/// A message encoded as a kind of PUBLISH; empty if MQTT cannot express it.
#[must_use]
pub fn encode(kind: TemplateKind, message: &Message) -> Bytes {
    Template::encode(kind, &to_publish(message)).unwrap_or_default()
}

/// The PUBLISH that says the same as a message; flags and identifiers are for each delivery to set.
#[must_use]
pub fn to_publish(message: &Message) -> Publish {
    let mut properties = PublishProperties {
        message_expiry: message.remaining(message.arrived).map(seconds),
        ..PublishProperties::default()
    };
    if let Some(extras) = message.extras() {
        to_properties(extras, is_own(message), &mut properties);
    }
    let (topic, payload) = (ByteString::from(&*names::topic(&message.channel)), message.payload.clone());
    Publish { topic, payload, properties, ..Publish::default() }
}

fn to_properties(extras: &Extras, own: bool, properties: &mut PublishProperties) {
    let sayable = |text: &&str| is_sayable(text, own);
    properties.payload_format = extras.utf8.then_some(true);
    properties.content_type = extras.content_type.as_deref().filter(sayable).map(ByteString::from);
    let reply_to = extras.reply_to.as_ref().map(names::topic);
    properties.response_topic = reply_to.as_deref().filter(sayable).map(ByteString::from);
    properties.correlation_data = extras.correlation.clone().filter(|data| data.len() <= usize::from(u16::MAX));
    let user = extras.properties.iter().filter(|(name, value)| is_sayable(name, own) && is_sayable(value, own));
    properties.user_properties =
        user.map(|(name, value)| (ByteString::from(&**name), ByteString::from(&**value))).collect();
    if let Some(event) = extras.event.as_deref().filter(sayable)
        && !extras.properties.iter().any(|(name, _)| &**name == EVENT_PROPERTY)
    {
        properties.user_properties.push((EVENT_PROPERTY.into(), ByteString::from(event)));
    }
}

/// What a PUBLISH tells of every message, by version: before MQTT 5, topic and payload alone.
#[must_use]
pub fn carries(v5: bool) -> Fields {
    if v5 { Fields::ALL } else { Fields::PAYLOAD }
}

/// Counts what a message loses on its way in a PUBLISH: before MQTT 5 all it says of itself, in MQTT 5 what no string of
/// the protocol can hold.
pub fn count_loss(message: &Message, v5: bool, stats: &Stats) {
    let carried = if v5 {
        message.extras().map_or(Fields::ALL, |extras| carries_of(extras, is_own(message)))
    } else {
        carries(false)
    };
    message.count_losses(*CONNECTOR, carried, stats);
}

fn carries_of(extras: &Extras, own: bool) -> Fields {
    let unsaid = |text: Option<&str>, field: Fields| match text {
        Some(text) if !is_sayable(text, own) => field,
        _ => Fields::NONE,
    };
    let properties = extras.properties.iter().all(|(name, value)| is_sayable(name, own) && is_sayable(value, own));
    let correlation = extras.correlation.as_ref().is_none_or(|data| data.len() <= usize::from(u16::MAX));
    Fields::ALL
        .without(unsaid(extras.event.as_deref(), Fields::EVENT))
        .without(unsaid(extras.content_type.as_deref(), Fields::CONTENT_TYPE))
        .without(unsaid(extras.reply_to.as_ref().map(names::topic).as_deref(), Fields::REPLY_TO))
        .without(if properties { Fields::NONE } else { Fields::PROPERTIES })
        .without(if correlation { Fields::NONE } else { Fields::CORRELATION })
}

/// Whether it came by MQTT.
fn is_own(message: &Message) -> bool {
    message.origin.connector == *CONNECTOR
}

/// Whether a string of MQTT can hold it (MQTT 5.0 section 1.5.4). What other protocols say may be longer, have U+0000, or have
/// characters on which stock clients close their connection. What came by MQTT goes on unaltered.
fn is_sayable(text: &str, own: bool) -> bool {
    let welcome =
        |text: &str| own && memchr::memchr(0, text.as_bytes()).is_none() || !text.contains(names::is_unwelcome);
    text.len() <= usize::from(u16::MAX) && welcome(text)
}

/// The publication that a client's PUBLISH asks for. `origin` gets the gateways named by the hop mark.
#[must_use]
pub fn to_publication(publish: Publish, channel: Channel, mut origin: Origin) -> Publication {
    let properties = publish.properties;
    take_hops(&properties.user_properties, &mut origin);
    let expiry = properties.message_expiry.map(|seconds| Duration::from_secs(seconds.into()));
    let (payload, qos) = (publish.payload, to_core(publish.qos));
    let mut publication = Publication { channel, payload, qos, retain: publish.retain, expiry, origin, extras: None };
    publication.extras = to_extras(properties).map(Box::new);
    publication
}

/// The publication that a will asks for.
#[must_use]
pub fn of_will(will: Will, channel: Channel, origin: Origin) -> Publication {
    let Will { topic, payload, qos, retain, properties, delay: _ } = will;
    to_publication(Publish { topic, payload, qos, retain, properties, ..Publish::default() }, channel, origin)
}

/// Makes a will say what became of the publication that it asked for. False if no will can.
#[must_use]
pub fn change_will(will: &mut Will, made: &Publication, became: &Publication) -> bool {
    if became.payload.len() > usize::from(u16::MAX) {
        return false;
    }
    if became.channel != made.channel {
        will.topic = ByteString::from(&*names::topic(&became.channel));
    }
    (will.payload, will.retain) = (became.payload.clone(), became.retain);
    let none = Extras::default();
    let [before, after] = [made, became].map(|it| it.extras.as_deref().unwrap_or(&none));
    let properties = &mut will.properties;
    if after.content_type.is_none() {
        properties.content_type = None;
    }
    properties.payload_format = properties.payload_format.filter(|_| after.utf8);
    if after.event != before.event {
        properties.user_properties.retain(|(name, _)| name != EVENT_PROPERTY);
        let event = after.event.as_deref().filter(|event| is_sayable(event, false));
        properties.user_properties.extend(event.map(|event| (EVENT_PROPERTY.into(), ByteString::from(event))));
    }
    true
}

fn to_extras(properties: PublishProperties) -> Option<Extras> {
    let shared = |text: ByteString| Arc::<str>::from(&*text);
    let event = properties.user_properties.iter().find(|(name, _)| name == EVENT_PROPERTY).map(|(_, value)| value);
    let extras = Extras {
        event: event.map(|event| Arc::from(&**event)),
        content_type: properties.content_type.map(shared),
        reply_to: properties.response_topic.and_then(|topic| names::channel(&topic)),
        correlation: properties.correlation_data.map(|data| Bytes::copy_from_slice(&data)),
        utf8: properties.payload_format == Some(true),
        properties: properties
            .user_properties
            .into_iter()
            .filter(|(name, _)| name != hops::NAME)
            .map(|(name, value)| (shared(name), shared(value)))
            .collect(),
    };
    (extras != Extras::default()).then_some(extras)
}

fn take_hops(user: &[UserProperty], origin: &mut Origin) {
    if let Some((_, mark)) = user.iter().find(|(name, _)| name == hops::NAME) {
        origin.hops = hops::parse(mark).into();
    }
}

/// The gateway's word for a QoS.
#[must_use]
pub fn to_core(qos: codec::Qos) -> Qos {
    match qos {
        codec::Qos::AtMostOnce => Qos::AtMostOnce,
        codec::Qos::AtLeastOnce => Qos::AtLeastOnce,
        codec::Qos::ExactlyOnce => Qos::ExactlyOnce,
    }
}

/// MQTT's word for a QoS.
#[must_use]
pub fn from_core(qos: Qos) -> codec::Qos {
    match qos {
        Qos::AtMostOnce => codec::Qos::AtMostOnce,
        Qos::AtLeastOnce => codec::Qos::AtLeastOnce,
        Qos::ExactlyOnce => codec::Qos::ExactlyOnce,
    }
}

/// Whole seconds, rounded up: what is left of a life must not read as over before it is.
fn seconds(left: Duration) -> u32 {
    u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

impl Outgoing for Arc<Message> {
    fn template(&self, kind: TemplateKind) -> Option<Template> {
        Template::of(kind, self.form(form(kind), |message| encode(kind, message)))
    }

    fn topic(&self) -> &str {
        self.channel.as_str()
    }

    fn expires_in(&self, now: Instant) -> Option<u32> {
        self.remaining(now).map(seconds)
    }

    fn weight(&self) -> usize {
        Message::weight(self)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn properties_go_in_and_the_hop_mark_is_taken_out() {
        let pair = |name: &str, value: &str| (ByteString::from(name), ByteString::from(value));
        let properties = PublishProperties {
            content_type: Some("text/plain".into()),
            response_topic: Some("answers/1".into()),
            correlation_data: Some(Bytes::from_static(b"\x00\x01")),
            payload_format: Some(true),
            message_expiry: Some(30),
            user_properties: vec![pair("b", "1"), pair(hops::NAME, "x,y"), pair("a", "2"), pair("b", "3")],
            ..PublishProperties::default()
        };
        let publish =
            Publish { topic: "t".into(), payload: "p".into(), retain: true, properties, ..Publish::default() };
        let origin = Origin::connector(*CONNECTOR);
        let publication = to_publication(publish, Channel::new("t").unwrap(), origin);
        assert_eq!(publication.expiry, Some(Duration::from_secs(30)));
        assert!(publication.retain && publication.origin.has_passed("y"));
        let extras = publication.extras.unwrap();
        let names: Vec<_> = extras.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["b=1", "a=2", "b=3"]);
        assert_eq!(extras.reply_to.clone().unwrap().as_str(), "answers/1");
        let mut back = PublishProperties::default();
        to_properties(&extras, true, &mut back);
        assert_eq!(back.content_type.as_deref(), Some("text/plain"));
        assert_eq!((back.payload_format, back.user_properties.len()), (Some(true), 3));
        assert_eq!(back.correlation_data.as_deref(), Some(&b"\x00\x01"[..]));
    }

    #[test]
    fn a_will_says_what_became_of_its_publication() {
        let pair = |name: &str, value: &str| (ByteString::from(name), ByteString::from(value));
        let properties = PublishProperties {
            content_type: Some("text/plain".into()),
            payload_format: Some(true),
            response_topic: Some("answers/1".into()),
            user_properties: vec![pair("event", "lost"), pair("a", "1")],
            ..PublishProperties::default()
        };
        let mut will = Will { topic: "w".into(), payload: "rude".into(), delay: 3, properties, ..Will::default() };
        let of = |will: &Will| of_will(will.clone(), Channel::new("w").unwrap(), Origin::connector(*CONNECTOR));
        let (made, before) = (of(&will), will.clone());
        assert!(change_will(&mut will, &made, &made) && will == before, "nothing became of it");
        let mut became = of(&will);
        became.channel = Channel::new("held/w").unwrap();
        (became.payload, became.retain) = ("***".into(), true);
        let extras = became.extras_mut();
        (extras.content_type, extras.utf8, extras.event) = (None, false, Some("held".into()));
        assert!(change_will(&mut will, &made, &became));
        assert_eq!((&*will.topic, &will.payload[..], will.retain, will.delay), ("held/w", &b"***"[..], true, 3));
        assert_eq!((will.properties.content_type, will.properties.payload_format), (None, None));
        assert_eq!(will.properties.user_properties, [pair("a", "1"), pair("event", "held")]);
        assert_eq!(will.properties.response_topic.as_deref(), Some("answers/1"));
        became.payload = vec![0; 70_000].into();
        assert!(!change_will(&mut before.clone(), &made, &became));
    }

    #[test]
    fn an_event_name_travels_as_a_user_property() {
        let extras = Extras { event: Some("alarm".into()), ..Extras::default() };
        let mut properties = PublishProperties::default();
        to_properties(&extras, true, &mut properties);
        let back = to_extras(properties).unwrap();
        assert_eq!(back.event.as_deref(), Some("alarm"));
    }

    #[test]
    fn what_no_string_of_mqtt_holds_is_left_out_and_counted() {
        let long: Arc<str> = "x".repeat(70_000).into();
        let publication = |channel: &str| {
            let mut publication = Publication::new(Channel::new(channel).unwrap(), "p", Origin::gateway());
            *publication.extras_mut() = Extras {
                event: Some("a\0b".into()),
                content_type: Some(long.clone()),
                properties: vec![("k".into(), "v".into()), ("k".into(), long.clone())],
                correlation: Some(vec![0; 70_000].into()),
                ..Extras::default()
            };
            Message::detached(publication)
        };
        let (message, stats) = (publication("t"), Stats::default());
        let said = to_publish(&message).properties;
        assert_eq!(said.user_properties, [(ByteString::from("k"), ByteString::from("v"))]);
        assert_eq!((said.content_type, said.correlation_data), (None, None));
        assert!(!encode(TemplateKind::V5Qos0, &message).is_empty());
        count_loss(&message, true, &stats);
        let fields: Vec<_> = stats.losses().into_iter().map(|(_, _, field, count)| (field, count)).collect();
        assert_eq!(fields, [("content_type", 1), ("correlation", 1), ("event", 1), ("properties", 1)]);
    }

    #[test]
    fn a_plain_publish_has_no_extras() {
        assert_eq!(to_extras(PublishProperties::default()), None);
    }
}
