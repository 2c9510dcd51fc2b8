//! A session as the session store keeps it: bytes that a later process, or another gateway, can go on from.

use std::{
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ratatosk_core::{Filter, Message, Qos, SubscribeOptions, peer::Share};

use super::parcel::Parcel;
use crate::{
    mapping,
    proto::{
        codec::{Connect, Decoder, MAX_PACKET, Packet, Version, Will, encode},
        session::{Item, Past},
    },
};

/// The form that is written; another is not read.
const VERSION: u8 = 1;
const NO_LOCAL: u8 = 1 << 2;
const AS_PUBLISHED: u8 = 1 << 3;
const RETAIN: u8 = 1 << 2;

/// The bytes are not a session's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the record of an MQTT session")]
pub(super) struct RecordError;

/// A session at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Who it belongs to.
    pub(super) user: Option<Arc<str>>,
    /// When it ends if its client stays away; `None` is never.
    pub(super) ends: Option<SystemTime>,
    /// What is to be published if its client stays away, and when.
    pub(super) will: Option<(Will, SystemTime)>,
    /// Messages dropped that its client was not told of.
    pub(super) lost: u64,
    pub(super) subscriptions: Vec<(Filter, SubscribeOptions)>,
    pub(super) past: Past<Parcel>,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Bytes {
        let now = (SystemTime::now(), Instant::now());
        let mut out = vec![VERSION];
        put_maybe(&mut out, self.user.as_deref());
        out.put_u64(self.ends.map_or(u64::MAX, millis));
        out.put_u64(self.lost);
        put_will(&mut out, self.will.as_ref());
        put_count(&mut out, self.subscriptions.len());
        for (filter, options) in &self.subscriptions {
            put(&mut out, filter.as_str().as_bytes());
            put_maybe(&mut out, options.group.as_deref());
            let no_local = if options.no_local { NO_LOCAL } else { 0 };
            let as_published = if options.retain_as_published { AS_PUBLISHED } else { 0 };
            out.put_u8(options.qos as u8 | no_local | as_published);
            out.put_u32(options.id.unwrap_or(0));
        }
        put_count(&mut out, self.past.received.len());
        self.past.received.iter().for_each(|id| out.put_u16(*id));
        put_count(&mut out, self.past.flights.len());
        for (id, item) in &self.past.flights {
            out.put_u16(id.get());
            out.put_u8(u8::from(item.is_some()));
            if let Some(item) = item {
                put_item(&mut out, item, now);
            }
        }
        put_count(&mut out, self.past.waiting.len());
        self.past.waiting.iter().for_each(|item| put_item(&mut out, item, now));
        out.into()
    }

    pub(super) fn decode(mut record: Bytes) -> Result<Self, RecordError> {
        let r = &mut record;
        let now = (SystemTime::now(), Instant::now());
        if byte(r)? != VERSION {
            return Err(RecordError);
        }
        let user = maybe(r)?;
        let ends = Some(r.try_get_u64()?).filter(|ends| *ends < u64::MAX).map(moment);
        let lost = r.try_get_u64()?;
        let will = read_will(r)?;
        let subscriptions = list(r, read_subscription)?;
        let received = list(r, |r| Ok(r.try_get_u16()?))?;
        let flights = list(r, |r| {
            let id = NonZeroU16::new(r.try_get_u16()?).ok_or(RecordError)?;
            let item = if byte(r)? == 0 { None } else { Some(read_item(r, now)?) };
            Ok((id, item))
        })?;
        let waiting = list(r, |r| read_item(r, now))?;
        Ok(Self { user, ends, will, lost, subscriptions, past: Past { flights, waiting, received } })
    }
}

impl From<bytes::TryGetError> for RecordError {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

fn millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn moment(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(0));
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

fn put_maybe(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_u8(u8::from(text.is_some()));
    if let Some(text) = text {
        put(out, text.as_bytes());
    }
}

/// A will is written as the CONNECT that asks for it: a form that has a codec.
fn put_will(out: &mut Vec<u8>, will: Option<&(Will, SystemTime)>) {
    let mut packet = Vec::new();
    if let Some((will, _)) = will {
        let _ = encode(&Packet::Connect(Box::new(asking(will.clone()))), Version::V5, &mut packet); // it came so
    }
    out.put_u64(will.map_or(0, |(_, due)| millis(*due)));
    put(out, &packet);
}

fn asking(will: Will) -> Connect {
    Connect {
        version: Version::V5,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id: "will".into(),
        username: None,
        password: None,
        will: Some(will),
        properties: crate::proto::codec::ConnectProperties::default(),
    }
}

fn read_will(r: &mut Bytes) -> Result<Option<(Will, SystemTime)>, RecordError> {
    let (due, packet) = (moment(r.try_get_u64()?), part(r)?);
    if packet.is_empty() {
        return Ok(None);
    }
    match Decoder::server(MAX_PACKET).decode(&mut BytesMut::from(packet)) {
        Ok(Some(Packet::Connect(connect))) => Ok(connect.will.map(|will| (will, due))),
        _ => Err(RecordError),
    }
}

fn put_item(out: &mut Vec<u8>, item: &Item<Parcel>, now: (SystemTime, Instant)) {
    out.put_u8(item.qos.level() | if item.retain { RETAIN } else { 0 });
    let ids = item.ids.as_deref().unwrap_or_default();
    put_count(out, ids.len());
    ids.iter().for_each(|id| out.put_u32(*id));
    let share = item.message.share.as_deref();
    put_maybe(out, share.map(|share| &*share.name));
    put_maybe(out, share.map(|share| share.filter.as_str()));
    item.message.message.to_record(out, now);
}

fn read_item(r: &mut Bytes, now: (SystemTime, Instant)) -> Result<Item<Parcel>, RecordError> {
    let flags = byte(r)?;
    let ids = list(r, |r| Ok(r.try_get_u32()?))?;
    let share = match (maybe(r)?, maybe(r)?) {
        (Some(name), Some(filter)) => Some(Arc::new(Share { filter: read_filter(&filter)?, name })),
        _ => None,
    };
    let message = Arc::new(Message::from_record(r, now).map_err(|_| RecordError)?);
    let qos = mapping::from_core(Qos::try_from(flags & 3).map_err(|_| RecordError)?);
    let ids = (!ids.is_empty()).then(|| ids.into());
    Ok(Item { message: Parcel { message, share }, qos, retain: flags & RETAIN != 0, ids })
}

fn read_subscription(r: &mut Bytes) -> Result<(Filter, SubscribeOptions), RecordError> {
    let (filter, group, flags) = (read_filter(&text(r)?)?, maybe(r)?, byte(r)?);
    let options = SubscribeOptions {
        qos: Qos::try_from(flags & 3).map_err(|_| RecordError)?,
        no_local: flags & NO_LOCAL != 0,
        retain_as_published: flags & AS_PUBLISHED != 0,
        id: Some(r.try_get_u32()?).filter(|id| *id > 0),
        group,
    };
    Ok((filter, options))
}

fn read_filter(text: &str) -> Result<Filter, RecordError> {
    Filter::new(text).map_err(|_| RecordError)
}

fn list<T>(r: &mut Bytes, read: impl Fn(&mut Bytes) -> Result<T, RecordError>) -> Result<Vec<T>, RecordError> {
    let count = r.try_get_u32()?;
    (0..count).map(|_| read(r)).collect()
}

fn byte(r: &mut Bytes) -> Result<u8, RecordError> {
    Ok(r.try_get_u8()?)
}

fn part(r: &mut Bytes) -> Result<Bytes, RecordError> {
    let len = r.try_get_u32()? as usize;
    if len > r.len() {
        return Err(RecordError);
    }
    Ok(r.split_to(len))
}

fn text(r: &mut Bytes) -> Result<Arc<str>, RecordError> {
    let bytes = part(r)?;
    std::str::from_utf8(&bytes).map(Arc::from).map_err(|_| RecordError)
}

fn maybe(r: &mut Bytes) -> Result<Option<Arc<str>>, RecordError> {
    if byte(r)? == 0 { Ok(None) } else { text(r).map(Some) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_core::{Channel, Origin, Publication};

    use super::*;
    use crate::proto::{codec::Qos as Level, session::Item};

    fn item(payload: &str, qos: Level, share: Option<Arc<Share>>) -> Item<Parcel> {
        let publication = Publication::new(Channel::new("t/x").unwrap(), payload.to_owned(), Origin::gateway());
        let message = Arc::new(Message::detached(publication));
        Item { message: Parcel { message, share }, qos, retain: true, ids: Some([3, 9].into()) }
    }

    fn full() -> Snapshot {
        let will = Will { topic: "w".into(), payload: "gone".into(), delay: 7, retain: true, ..Will::default() };
        let share = Arc::new(Share { filter: Filter::new("t/#").unwrap(), name: "g".into() });
        let options = SubscribeOptions { qos: Qos::ExactlyOnce, no_local: true, id: Some(5), ..Default::default() };
        let shared = SubscribeOptions { group: Some("g".into()), retain_as_published: true, ..Default::default() };
        let id = |id| NonZeroU16::new(id).unwrap();
        Snapshot {
            user: Some("u".into()),
            ends: Some(moment(123_456)),
            will: Some((will, moment(99))),
            lost: 4,
            subscriptions: vec![(Filter::new("a/+").unwrap(), options), (share.filter.clone(), shared)],
            past: Past {
                flights: vec![(id(7), Some(item("1", Level::AtLeastOnce, None))), (id(2), None)],
                waiting: vec![item("2", Level::ExactlyOnce, Some(share))],
                received: vec![1, 500],
            },
        }
    }

    #[test]
    fn a_session_reads_back_as_it_was() {
        let snapshot = full();
        let back = Snapshot::decode(snapshot.encode()).unwrap();
        assert_eq!((&back.user, back.ends, &back.will, back.lost), (&snapshot.user, snapshot.ends, &snapshot.will, 4));
        assert_eq!(back.subscriptions, snapshot.subscriptions);
        assert_eq!(back.past.received, snapshot.past.received);
        let [(first, Some(sent)), (second, None)] = &back.past.flights[..] else { unreachable!() };
        assert_eq!((first.get(), second.get(), sent.qos, sent.retain), (7, 2, Level::AtLeastOnce, true));
        assert_eq!((sent.message.message.payload.as_ref(), sent.ids.as_deref()), (&b"1"[..], Some(&[3, 9][..])));
        let share = back.past.waiting.first().and_then(|item| item.message.share.clone()).unwrap();
        assert_eq!((&*share.name, share.filter.as_str()), ("g", "t/#"));
    }

    #[test]
    fn no_beginning_of_a_record_is_one() {
        let record = full().encode();
        for len in 0..record.len() {
            assert_eq!(Snapshot::decode(record.slice(..len)).err(), Some(RecordError), "{len}");
        }
    }
}
