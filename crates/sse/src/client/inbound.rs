//! From an event to a message in the far server's naming.

use super::settings::Settings;
use super::template::Template;
use crate::config::SseUpstreamFormat;
use crate::mapping;
use crate::proto::parser::Event;
use base64::Engine as _;
use bytes::Bytes;
use ratatosk_connector::upstream::{Inbound, hops};
use ratatosk_core::Channel;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What an event is for the bus.
#[derive(Debug)]
pub(super) enum Read {
    /// A message.
    Message(Box<Inbound>),
    /// The far gateway's own notice; `true` when it says that messages are missing.
    Notice(bool),
    /// Neither.
    Unusable,
}

/// Reads an event; `passed` names the gateway that sent it, if it said so.
pub(super) fn read(settings: &Settings, event: Event, passed: &[Arc<str>]) -> Read {
    let inbound = match settings.format {
        SseUpstreamFormat::Event => plain(&settings.channel, event, passed),
        SseUpstreamFormat::Envelope => match notice(&event) {
            Some(missing) => return Read::Notice(missing),
            None => envelope(&event.data, passed),
        },
    };
    match inbound {
        Some(inbound) => Read::Message(Box::new(inbound)),
        None => Read::Unusable,
    }
}

fn plain(channel: &Template, event: Event, passed: &[Arc<str>]) -> Option<Inbound> {
    let name = channel.fill(|_, out| out.extend_from_slice(event.event_type().as_bytes()));
    let channel = Channel::new(String::from_utf8(name).ok()?).ok()?;
    let (payload, extras) = mapping::inbound(event);
    Some(Inbound { extras, hops: passed.to_vec(), ..Inbound::new(channel, payload) })
}

/// The far gateway speaks of the stream itself.
fn notice(event: &Event) -> Option<bool> {
    #[derive(Deserialize)]
    struct Resume {
        recovered: bool,
    }
    match event.event.as_deref()? {
        "resume" => Some(serde_json::from_str(&event.data).is_ok_and(|resume: Resume| !resume.recovered)),
        "lost" => Some(true),
        "token-expiring" => Some(false),
        _ => None,
    }
}

/// The envelope as [`crate::proto::envelope`] writes it; fields from the future are ignored.
#[derive(Deserialize)]
struct Envelope<'a> {
    channel: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    event: Option<Arc<str>>,
    #[serde(default)]
    retained: bool,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    time: Option<u64>,
    #[serde(default)]
    expires: Option<u64>,
    #[serde(default)]
    properties: Vec<(Arc<str>, Arc<str>)>,
    #[serde(default)]
    content_type: Option<Arc<str>>,
    #[serde(default)]
    reply_to: Option<String>,
    #[serde(default)]
    correlation: Option<String>,
    #[serde(default)]
    hops: Vec<Arc<str>>,
}

fn envelope(text: &str, passed: &[Arc<str>]) -> Option<Inbound> {
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    let payload = payload(envelope.data.get(), envelope.encoding.as_deref())?;
    let mut inbound = Inbound::new(Channel::new(envelope.channel).ok()?, payload);
    inbound.retain = envelope.retained || envelope.retain;
    inbound.expiry = envelope.expires.map(|at| left(at, envelope.time));
    let position = envelope.id.and_then(|id| id.rsplit_once('.')?.1.parse().ok());
    inbound.hops = envelope.hops;
    match (passed, position) {
        // It began over there: the gateway names it by its position, as its mark would.
        ([far], Some(seq)) if inbound.hops.is_empty() => inbound.hops.push(hops::named(far, seq).into()),
        _ => inbound.hops.extend_from_slice(passed),
    }
    let extras = ratatosk_core::message::Extras {
        content_type: envelope.content_type,
        event: envelope.event,
        properties: envelope.properties,
        reply_to: envelope.reply_to.and_then(|name| Channel::new(name).ok()),
        correlation: envelope.correlation.and_then(|text| unbase64(&text)),
        ..Default::default()
    };
    inbound.extras = (extras != Default::default()).then(|| Box::new(extras));
    Some(inbound)
}

/// What is left of a message's life: what our clock says, but no more than it had when it was published, by theirs.
fn left(expires_ms: u64, published_ms: Option<u64>) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let life = published_ms.map_or(u64::MAX, |from| expires_ms.saturating_sub(from));
    Duration::from_millis(expires_ms).saturating_sub(now).min(Duration::from_millis(life))
}

/// JSON stays the text it is, a string is its bare text (CONTRACT 5), base64 its bytes.
fn payload(json: &str, encoding: Option<&str>) -> Option<Bytes> {
    match encoding {
        Some("base64") => unbase64(&serde_json::from_str::<String>(json).ok()?),
        Some(_) => None,
        None if json.starts_with('"') => Some(serde_json::from_str::<String>(json).ok()?.into()),
        None => Some(Bytes::copy_from_slice(json.as_bytes())),
    }
}

fn unbase64(text: &str) -> Option<Bytes> {
    base64::engine::general_purpose::STANDARD.decode(text).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::config::SseUpstreamConfig;

    fn settings(format: SseUpstreamFormat, channel: &str) -> Settings {
        let config = SseUpstreamConfig { format, channel: channel.to_owned(), ..SseUpstreamConfig::default() };
        Settings::new(&"http://h/sse".parse().unwrap(), &config).unwrap()
    }

    fn event(kind: Option<&str>, data: &str) -> Event {
        Event { id: "7".into(), event: kind.map(str::to_owned), data: data.to_owned() }
    }

    fn message(read: Read) -> Inbound {
        match read {
            Read::Message(inbound) => *inbound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn type_id_and_data_become_channel_event_property_and_payload() {
        let inbound = message(read(&settings(SseUpstreamFormat::Event, "x/{event}"), event(Some("tick"), "1"), &[]));
        let extras = inbound.extras.unwrap();
        assert_eq!((inbound.channel.as_str(), &inbound.payload[..]), ("x/tick", &b"1"[..]));
        assert_eq!(extras.event.as_deref(), Some("tick"));
        assert_eq!(extras.properties, [("sse-id".into(), "7".into())]);
        let inbound = message(read(&settings(SseUpstreamFormat::Event, "{event}"), event(None, ""), &[]));
        assert_eq!((inbound.channel.as_str(), inbound.extras.unwrap().event), ("message", None));
    }

    #[test]
    fn a_type_that_is_no_name_is_unusable() {
        let settings = settings(SseUpstreamFormat::Event, "{event}");
        assert!(matches!(read(&settings, event(Some("a\0b"), "1"), &[]), Read::Unusable));
        assert!(matches!(read(&settings, event(Some(&"x".repeat(70_000)), "1"), &[]), Read::Unusable));
    }

    #[test]
    fn an_envelope_is_unpacked() {
        let settings = settings(SseUpstreamFormat::Envelope, "{event}");
        let read_one = |data: &str| message(read(&settings, event(None, data), &["gw".into()]));
        for (data, want) in [
            (r#"{"channel":"a/b","data":{"x": 1.0}}"#, &br#"{"x": 1.0}"#[..]),
            (r#"{"channel":"a/b","data":"te\u0000xt"}"#, b"te\0xt"),
            (r#"{"channel":"a/b","data":"/wAN","encoding":"base64"}"#, b"\xff\x00\x0d"),
            (r#"{"channel":"a/b","data":null}"#, b"null"),
        ] {
            let inbound = read_one(data);
            assert_eq!((inbound.channel.as_str(), &inbound.payload[..]), ("a/b", want), "{data}");
            assert!(inbound.extras.is_none() && inbound.hops == ["gw".into()]);
        }
        assert_eq!(read_one(r#"{"channel":"a","id":"e.17","data":1}"#).hops, ["gw;17".into()]);
        let full = read_one(
            r#"{"channel":"a","id":"e.1","time":1,"data":"x","event":"E","user":"u","content_type":"t/x","reply_to":"r",
               "correlation":"AQI=","retained":true,"properties":[["k","1"],["k","2"]],"hops":["one"],"future":{}}"#,
        );
        let extras = full.extras.unwrap();
        assert!(full.retain && full.hops == ["one".into(), "gw".into()]);
        assert_eq!(
            (extras.event.as_deref(), extras.properties.len(), extras.correlation.as_deref()),
            (Some("E"), 2, Some(&[1, 2][..]))
        );
    }

    #[test]
    fn a_life_is_no_longer_than_it_was() {
        let ms =
            |at: SystemTime| u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let now = ms(SystemTime::now());
        let minute = Duration::from_secs(60);
        assert_eq!(left(now + 120_000, Some(now + 60_000)), minute, "their clock is ahead");
        assert!(left(now + 60_000, Some(now - 60_000)) <= minute, "it is kept for a minute already");
        assert!(left(now + 60_000, None) <= minute);
        assert_eq!(left(now - 1, Some(now - 60_000)), Duration::ZERO);
    }

    #[test]
    fn notices_and_rubbish_are_no_messages() {
        let settings = settings(SseUpstreamFormat::Envelope, "{event}");
        let read_one = |kind: Option<&str>, data: &str| read(&settings, event(kind, data), &[]);
        assert!(matches!(read_one(Some("resume"), r#"{"recovered":true}"#), Read::Notice(false)));
        assert!(matches!(read_one(Some("resume"), r#"{"recovered":false}"#), Read::Notice(true)));
        assert!(matches!(read_one(Some("lost"), r#"{"lost":3}"#), Read::Notice(true)));
        for data in [
            "",
            "x",
            "{}",
            r#"{"channel":"","data":1}"#,
            r#"{"channel":"a","data":"x","encoding":"rot13"}"#,
            r#"{"channel":"a"}"#,
        ] {
            assert!(matches!(read_one(None, data), Read::Unusable), "{data}");
        }
    }
}
