//! The gateway's own events on a stream. They have a type, so `onmessage` never sees them, and (but for the cursor they may
//! carry on purpose) no id, so they never move the reader's place.

use super::encoder::{encode_head, put_number};
use super::json::put_string;
use bytes::{BufMut, BytesMut};

/// What became of a request to go on after a position: the data of the `resume` event.
///
/// ```text
/// event: resume
/// data: {"requested":"01jf.17","recovered":true,"replayed":25,"oldest":"01jf.3"}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume<'a> {
    /// The cursor as the client sent it, or none (`null`).
    pub requested: Option<&'a str>,
    /// Nothing that the stream's filters match is missing between the requested position and the live messages.
    pub recovered: bool,
    /// How many messages follow from history.
    pub replayed: u64,
    /// The oldest position that history still covers.
    pub oldest: Option<&'a str>,
    /// How many messages are known to be missing; written only when given.
    pub missing: Option<u64>,
}

impl Resume<'_> {
    /// Appends the event. `cursor`, when given, becomes the block's id: a reader that is cut off before its first message then
    /// comes back with this place instead of none.
    pub fn encode(&self, out: &mut BytesMut, cursor: Option<&str>) {
        encode_head(out, cursor, Some("resume"));
        out.put_slice(b"data: {\"requested\":");
        put_text_or_null(out, self.requested);
        out.put_slice(b",\"recovered\":");
        out.put_slice(if self.recovered { b"true" } else { b"false" });
        out.put_slice(b",\"replayed\":");
        put_number(out, self.replayed);
        out.put_slice(b",\"oldest\":");
        put_text_or_null(out, self.oldest);
        if let Some(missing) = self.missing {
            out.put_slice(b",\"missing\":");
            put_number(out, missing);
        }
        out.put_slice(b"}\n\n");
    }
}

/// Appends `event: lost` with `{"lost":N}`: the stream was too slow and N messages were dropped for it since the last one it got.
pub fn encode_lost(out: &mut BytesMut, lost: u64) {
    out.put_slice(b"event: lost\ndata: {\"lost\":");
    put_number(out, lost);
    out.put_slice(b"}\n\n");
}

/// Appends `event: token-expiring` with `{"seconds":N,"stream":ID}`: what opened the stream ends it in N seconds. The id is
/// what a new token can be given to the stream by.
pub fn encode_token_expiring(out: &mut BytesMut, seconds: u64, stream: &str) {
    out.put_slice(b"event: token-expiring\ndata: {\"seconds\":");
    put_number(out, seconds);
    out.put_slice(b",\"stream\":");
    put_string(out, stream);
    out.put_slice(b"}\n\n");
}

fn put_text_or_null(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_reports_exactly_what_is_known() {
        let mut out = BytesMut::new();
        let mut resume = Resume { requested: None, recovered: true, replayed: 0, oldest: None, missing: None };
        resume.encode(&mut out, None);
        resume.requested = Some("x\n\"y");
        resume.recovered = false;
        resume.replayed = 3;
        resume.oldest = Some("e.9");
        resume.missing = Some(8);
        resume.encode(&mut out, Some("e.12"));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "event: resume\ndata: {\"requested\":null,\"recovered\":true,\"replayed\":0,\"oldest\":null}\n\n\
             id: e.12\nevent: resume\ndata: {\"requested\":\"x\\n\\\"y\",\"recovered\":false,\"replayed\":3,\"oldest\":\"e.9\",\"missing\":8}\n\n"
        );
    }

    #[test]
    fn notices_carry_a_type_and_no_id() {
        let mut out = BytesMut::new();
        encode_lost(&mut out, 12);
        encode_token_expiring(&mut out, 60, "sse-1");
        assert_eq!(&out[..], b"event: lost\ndata: {\"lost\":12}\n\nevent: token-expiring\ndata: {\"seconds\":60,\"stream\":\"sse-1\"}\n\n");
    }
}
