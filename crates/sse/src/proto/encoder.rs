//! Writes event-stream blocks (HTML Standard, section 9.2.5).
//!
//! Every function appends one complete block, blank line included, so blocks from different sources can be joined freely.
//!
//! What cannot be carried as it is:
//! - **Line breaks in data**: CR, LF and CRLF each end a `data:` line, and the reader joins the lines with LF. A payload with CR
//!   or CRLF therefore arrives with LF; the envelope format is the byte-exact one.
//! - **Line breaks and NUL in an id or event name**: written as `%0D`, `%0A`, `%00`. They would break the framing, or (NUL in an
//!   id) make the reader ignore the field. Nothing else is escaped, so an ordinary name is never changed.
//! - **Invalid UTF-8 in data** is passed through; a conforming reader shows U+FFFD.

use bytes::{BufMut, BytesMut};
use std::time::Duration;

/// Appends one event: `id:` and `event:` when given, then at least one `data:` line (even for empty data, which without it
/// would not be dispatched), then the blank line.
pub fn encode_event(out: &mut BytesMut, id: Option<&str>, event: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + id.map_or(0, str::len) + event.map_or(0, str::len) + 32);
    encode_head(out, id, event);
    put_lines(out, b"data: ", data);
    out.put_u8(b'\n');
}

/// Appends the `id:` and `event:` lines of a block that the caller goes on with.
pub(crate) fn encode_head(out: &mut BytesMut, id: Option<&str>, event: Option<&str>) {
    if let Some(id) = id {
        put_field(out, b"id: ", id);
    }
    if let Some(event) = event {
        put_field(out, b"event: ", event);
    }
}

/// Appends a comment, one `:` line per line of `text`. Readers ignore it; proxies and dead sockets do not.
pub fn encode_comment(out: &mut BytesMut, text: &str) {
    put_lines(out, b": ", text.as_bytes());
    out.put_u8(b'\n');
}

/// Appends `retry:`, the time a reader waits before it reconnects, in whole milliseconds.
pub fn encode_retry(out: &mut BytesMut, wait: Duration) {
    out.put_slice(b"retry: ");
    put_number(out, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    out.put_slice(b"\n\n");
}

/// Appends a block with nothing but an id: it moves the reader's cursor and dispatches no event.
pub fn encode_cursor(out: &mut BytesMut, id: &str) {
    put_field(out, b"id: ", id);
    out.put_u8(b'\n');
}

/// Appends a decimal number.
pub(crate) fn put_number(out: &mut BytesMut, number: u64) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &str) {
    out.put_slice(name);
    let mut plain = 0;
    let bytes = value.as_bytes();
    for at in memchr::memchr3_iter(b'\r', b'\n', 0, bytes) {
        out.put_slice(bytes.get(plain..at).unwrap_or_default());
        out.put_slice(match bytes.get(at) {
            Some(b'\r') => b"%0D",
            Some(b'\n') => b"%0A",
            _ => b"%00",
        });
        plain = at + 1;
    }
    out.put_slice(bytes.get(plain..).unwrap_or_default());
    out.put_u8(b'\n');
}

fn put_lines(out: &mut BytesMut, prefix: &[u8], text: &[u8]) {
    let mut rest = text;
    loop {
        let (line, next) = split_line(rest);
        out.put_slice(prefix);
        out.put_slice(line);
        out.put_u8(b'\n');
        match next {
            Some(next) => rest = next,
            None => return,
        }
    }
}

/// The bytes before the first line end, and those after it when there is one. CRLF is one line end.
fn split_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(end) = memchr::memchr2(b'\r', b'\n', text) else {
        return (text, None);
    };
    let (line, tail) = text.split_at(end);
    let next = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..));
    (line, Some(next.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: Option<&str>, data: &[u8]) -> String {
        let mut out = BytesMut::new();
        encode_event(&mut out, id, event, data);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn plain_event_has_its_three_fields() {
        assert_eq!(event(Some("e.1"), Some("tick"), b"hello"), "id: e.1\nevent: tick\ndata: hello\n\n");
    }

    #[test]
    fn empty_data_still_has_a_data_line() {
        assert_eq!(event(None, None, b""), "data: \n\n");
    }

    #[test]
    fn each_kind_of_line_end_starts_a_new_data_line() {
        assert_eq!(event(None, None, b"a\rb\nc\r\nd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(event(None, None, b"\n\n"), "data: \ndata: \ndata: \n\n");
        assert_eq!(event(None, None, b"\r\n\r\n"), "data: \ndata: \ndata: \n\n");
        assert_eq!(event(None, None, b"\n\r"), "data: \ndata: \ndata: \n\n");
        assert_eq!(event(None, None, b"end\r\n"), "data: end\ndata: \n\n");
    }

    #[test]
    fn leading_space_of_data_survives_the_reader() {
        assert_eq!(event(None, None, b"  x"), "data:   x\n\n");
    }

    #[test]
    fn ids_and_event_names_cannot_break_the_framing() {
        assert_eq!(
            event(Some("a\r\nb\0"), Some("x\n\ndata: forged"), b"d"),
            "id: a%0D%0Ab%00\nevent: x%0A%0Adata: forged\ndata: d\n\n"
        );
    }

    #[test]
    fn comments_of_several_lines_stay_comments() {
        let mut out = BytesMut::new();
        encode_comment(&mut out, "one\r\ndata: two");
        encode_comment(&mut out, "");
        assert_eq!(&out[..], b": one\n: data: two\n\n: \n\n");
    }

    #[test]
    fn retry_and_cursor_are_blocks_of_their_own() {
        let mut out = BytesMut::new();
        encode_retry(&mut out, Duration::from_millis(3050));
        encode_retry(&mut out, Duration::ZERO);
        encode_retry(&mut out, Duration::MAX);
        encode_cursor(&mut out, "e.7");
        assert_eq!(&out[..], b"retry: 3050\n\nretry: 0\n\nretry: 18446744073709551615\n\nid: e.7\n\n");
    }
}
