//! A message as bytes that another process can read: for whatever keeps messages longer than this one lives.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes};

use super::{Connector, Extras, Message, Origin, Publication, Qos};
use crate::channel::Channel;

/// The form that is written; another is not read.
const VERSION: u8 = 1;

/// The bytes are not a message's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the record of a message")]
pub struct RecordError;

impl Message {
    /// Writes the message. `now` is the same moment on both clocks: what is left of its life is written as a date.
    pub fn to_record(&self, out: &mut Vec<u8>, now: (SystemTime, Instant)) {
        out.put_u8(VERSION);
        out.put_u64(self.seq);
        out.put_u64(self.time_ms);
        out.put_u8(self.qos as u8 | u8::from(self.retain) << 2);
        out.put_u64(self.remaining(now.1).map_or(u64::MAX, |left| millis(now.0).saturating_add(whole_millis(left))));
        put(out, self.channel.as_str().as_bytes());
        put(out, &self.payload);
        put_origin(out, &self.origin);
        match self.extras() {
            Some(extras) => put_extras(out, extras),
            None => out.put_u8(0),
        }
    }

    /// Reads what [`Message::to_record`] wrote, and takes it off `record`. The session that sent it is not known any more.
    ///
    /// # Errors
    /// The bytes are no record, or one of another form.
    pub fn from_record(record: &mut Bytes, now: (SystemTime, Instant)) -> Result<Self, RecordError> {
        if byte(record)? != VERSION {
            return Err(RecordError);
        }
        let (seq, time_ms) = (long(record)?, long(record)?);
        let flags = byte(record)?;
        let ends = long(record)?;
        let channel = Channel::new(text(record)?.as_ref()).map_err(|_| RecordError)?;
        let payload = Bytes::copy_from_slice(&part(record)?); // a slice would keep all that was read with it
        let origin = origin(record)?;
        let extras = extras(record)?.map(Box::new);
        let expiry = (ends < u64::MAX).then(|| Duration::from_millis(ends.saturating_sub(millis(now.0))));
        let qos = Qos::try_from(flags & 3).map_err(|_| RecordError)?;
        let publication = Publication { channel, payload, qos, retain: flags & 4 != 0, expiry, origin, extras };
        Ok(Self { seq, time_ms, ..Self::new(publication, now) })
    }
}

fn millis(time: SystemTime) -> u64 {
    whole_millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn put_maybe(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_u8(u8::from(text.is_some()));
    if let Some(text) = text {
        put(out, text.as_bytes());
    }
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    put(out, origin.connector.name().as_bytes());
    put_maybe(out, origin.client_id.as_deref());
    put_maybe(out, origin.user.as_deref());
    put_maybe(out, origin.upstream.as_deref());
    out.put_u32(u32::try_from(origin.hops.len()).unwrap_or(0));
    origin.hops.iter().for_each(|hop| put(out, hop.as_bytes()));
}

fn put_extras(out: &mut Vec<u8>, extras: &Extras) {
    out.put_u8(1 | u8::from(extras.utf8) << 1);
    put_maybe(out, extras.content_type.as_deref());
    put_maybe(out, extras.event.as_deref());
    put_maybe(out, extras.reply_to.as_ref().map(Channel::as_str));
    out.put_u8(u8::from(extras.correlation.is_some()));
    if let Some(correlation) = &extras.correlation {
        put(out, correlation);
    }
    out.put_u32(u32::try_from(extras.properties.len()).unwrap_or(0));
    for (name, value) in &extras.properties {
        put(out, name.as_bytes());
        put(out, value.as_bytes());
    }
}

fn byte(record: &mut Bytes) -> Result<u8, RecordError> {
    record.try_get_u8().map_err(|_| RecordError)
}

fn long(record: &mut Bytes) -> Result<u64, RecordError> {
    record.try_get_u64().map_err(|_| RecordError)
}

fn part(record: &mut Bytes) -> Result<Bytes, RecordError> {
    let len = record.try_get_u32().map_err(|_| RecordError)? as usize;
    if len > record.len() {
        return Err(RecordError);
    }
    Ok(record.split_to(len))
}

fn text(record: &mut Bytes) -> Result<Arc<str>, RecordError> {
    let bytes = part(record)?;
    std::str::from_utf8(&bytes).map(Arc::from).map_err(|_| RecordError)
}

fn maybe(record: &mut Bytes) -> Result<Option<Arc<str>>, RecordError> {
    if byte(record)? == 0 { Ok(None) } else { text(record).map(Some) }
}

fn origin(record: &mut Bytes) -> Result<Origin, RecordError> {
    let name = text(record)?;
    let connector = Connector::all().find(|known| known.name() == &*name).unwrap_or(Connector::GATEWAY);
    let (client_id, user, upstream) = (maybe(record)?, maybe(record)?, maybe(record)?);
    let count = record.try_get_u32().map_err(|_| RecordError)?;
    let hops: Vec<_> = (0..count).map(|_| text(record)).collect::<Result<_, _>>()?;
    Ok(Origin { client_id, user, upstream, hops: hops.into(), ..Origin::connector(connector) })
}

fn extras(record: &mut Bytes) -> Result<Option<Extras>, RecordError> {
    let flags = byte(record)?;
    if flags == 0 {
        return Ok(None);
    }
    let (content_type, event) = (maybe(record)?, maybe(record)?);
    let reply_to = maybe(record)?.map(|name| Channel::new(&*name)).transpose().map_err(|_| RecordError)?;
    let correlation = if byte(record)? == 0 { None } else { Some(Bytes::copy_from_slice(&part(record)?)) };
    let count = record.try_get_u32().map_err(|_| RecordError)?;
    let properties = (0..count).map(|_| Ok((text(record)?, text(record)?))).collect::<Result<_, _>>()?;
    Ok(Some(Extras { content_type, event, properties, reply_to, correlation, utf8: flags & 2 != 0 }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn full() -> Message {
        let origin = Origin {
            client_id: Some("c".into()),
            user: Some("u".into()),
            upstream: None,
            hops: ["a".into(), "b".into()].into(),
            ..Origin::gateway()
        };
        let mut publication = Publication::new(Channel::new("a/b").unwrap(), vec![0u8, 255, 7], origin).retained(true);
        publication.qos = Qos::ExactlyOnce;
        publication.expiry = Some(Duration::from_secs(60));
        *publication.extras_mut() = Extras {
            content_type: Some("text/plain".into()),
            event: Some("e".into()),
            properties: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
            reply_to: Some(Channel::new("answers").unwrap()),
            correlation: Some(Bytes::from_static(b"\x00")),
            utf8: true,
        };
        Message { seq: 9, ..Message::new(publication, (SystemTime::now(), Instant::now())) }
    }

    #[test]
    fn a_message_reads_back_as_it_was() {
        let (message, start) = (full(), (SystemTime::now(), Instant::now()));
        let mut record = Vec::new();
        message.to_record(&mut record, start);
        record.extend(b"next");
        let mut record = Bytes::from(record);
        let later = (start.0 + Duration::from_secs(20), start.1);
        let back = Message::from_record(&mut record, later).unwrap();
        assert_eq!(record, "next");
        assert_eq!((back.seq, back.time_ms, back.qos, back.retain), (9, message.time_ms, message.qos, true));
        assert_eq!((back.channel.as_str(), &back.payload), ("a/b", &message.payload));
        assert_eq!(back.extras(), message.extras());
        assert_eq!((&back.origin.client_id, &back.origin.user), (&Some("c".into()), &Some("u".into())));
        assert_eq!(back.origin.hops, message.origin.hops);
        let left = back.remaining(start.1).unwrap();
        assert!(left > Duration::from_secs(39) && left <= Duration::from_secs(40), "{left:?}");
    }

    #[test]
    fn no_beginning_of_a_record_is_one() {
        let mut record = Vec::new();
        full().to_record(&mut record, (SystemTime::now(), Instant::now()));
        for len in 0..record.len() {
            let mut cut = Bytes::copy_from_slice(record.get(..len).unwrap());
            assert!(Message::from_record(&mut cut, (SystemTime::now(), Instant::now())).is_err(), "{len}");
        }
    }
}
