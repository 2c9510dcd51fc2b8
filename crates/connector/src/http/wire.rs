//! Pieces of what is read from and written to a bare connection.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes};
use parking_lot::Mutex;

/// Appends a header.
pub fn put_header(out: &mut impl BufMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Appends the `date` header. The date is written out once in a second: answers come by the thousand.
pub fn put_date(out: &mut impl BufMut) {
    static WRITTEN: Mutex<(u64, Bytes)> = Mutex::new((0, Bytes::new()));
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut written = WRITTEN.lock();
    if written.0 != second {
        *written = (second, httpdate::fmt_http_date(now).into());
    }
    put_header(out, "date", &written.1);
}

/// Whether a `connection` header says that the connection ends with this message (RFC 9112, section 9.6).
#[must_use]
pub fn says_close(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Appends two pieces of what is read, without a copy where there is only one.
pub(super) fn joined(read: Bytes, more: Bytes) -> Bytes {
    if read.is_empty() { more } else { [read, more].concat().into() }
}
