//! Signatures (Pusher, "Auth signatures"): HMAC-SHA256 in lower-case hex, over the exact bytes.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Signs the parts, joined by colons: `socket_id:channel[:channel_data]`.
#[must_use]
pub fn sign_parts(secret: &str, parts: &[&str]) -> String {
    hex::encode(mac_of(secret, parts.iter().map(|part| part.as_bytes())))
}

/// Signs one message: the body of a webhook, the string of an HTTP request.
#[must_use]
pub fn sign(secret: &str, message: &[u8]) -> String {
    hex::encode(mac_of(secret, std::iter::once(message)))
}

/// Checks a hex signature over parts joined by colons, in constant time.
#[must_use]
pub fn verify_parts(secret: &str, parts: &[&str], signature: &str) -> bool {
    same(&mac_of(secret, parts.iter().map(|part| part.as_bytes())), signature)
}

/// Checks a hex signature over one message, in constant time.
#[must_use]
pub fn verify(secret: &str, message: &[u8], signature: &str) -> bool {
    same(&mac_of(secret, std::iter::once(message)), signature)
}

/// The md5 of a request body in lower-case hex, as `body_md5` carries it.
#[must_use]
pub fn body_md5(body: &[u8]) -> String {
    use md5::Digest;
    hex::encode(md5::Md5::digest(body))
}

fn same(expected: &[u8], signature: &str) -> bool {
    let mut given = [0u8; 32];
    hex::decode_to_slice(signature, &mut given).is_ok() & bool::from(expected.ct_eq(&given))
}

fn mac_of<'a>(secret: &str, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return [0; 32] };
    for (index, part) in parts.enumerate() {
        if index > 0 {
            mac.update(b":");
        }
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "7ad3773142a6692b25b8";

    #[test]
    fn the_examples_of_the_documentation() {
        let private = ["1234.1234", "private-foobar"];
        let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert_eq!(sign_parts(SECRET, &private), signature);
        assert!(verify_parts(SECRET, &private, signature));
        assert!(verify_parts(SECRET, &private, &signature.to_uppercase()));
        let presence = ["1234.1234", "presence-foobar", r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#];
        let signature = "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80";
        assert_eq!(sign_parts(SECRET, &presence), signature);
        assert_eq!(body_md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "58", "zz", &"0".repeat(64), &"58df8b0c".repeat(9)] {
            assert!(!verify_parts(SECRET, &["1234.1234", "private-foobar"], bad), "{bad}");
        }
    }
}
