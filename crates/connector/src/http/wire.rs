//! Pieces of an answer that is written to a bare connection.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;

/// Appends a header.
pub fn put_header(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Appends the `date` header. The date is written out once in a second: answers come by the thousand.
pub fn put_date(out: &mut BytesMut) {
    static WRITTEN: Mutex<(u64, Bytes)> = Mutex::new((0, Bytes::new()));
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut written = WRITTEN.lock();
    if written.0 != second {
        *written = (second, httpdate::fmt_http_date(now).into());
    }
    put_header(out, "date", &written.1);
}
