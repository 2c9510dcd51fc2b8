//! End-to-end encrypted channels (Pusher, "Encrypted channels"): NaCl secretbox with a key for each channel.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The payload of an encrypted event.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    nonce: String,
    ciphertext: String,
}

/// The key of a channel: SHA-256 over its name and the master key.
pub(super) fn channel_key(channel: &str, master: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(channel.as_bytes()).chain_update(master).finalize().into()
}

/// Opens an event's data; `None` if it is not sealed with this key.
pub(super) fn open(key: &[u8; 32], data: &str) -> Option<Vec<u8>> {
    let sealed: Sealed = serde_json::from_str(data).ok()?;
    let nonce: [u8; 24] = BASE64_STANDARD.decode(sealed.nonce).ok()?.try_into().ok()?;
    let ciphertext = BASE64_STANDARD.decode(sealed.ciphertext).ok()?;
    XSalsa20Poly1305::new(key.into()).decrypt(&nonce.into(), ciphertext.as_slice()).ok()
}

/// Seals an event's data with a nonce that was never used before.
pub(super) fn seal(key: &[u8; 32], nonce: [u8; 24], data: &[u8]) -> Option<String> {
    let ciphertext = XSalsa20Poly1305::new(key.into()).encrypt(&nonce.into(), data).ok()?;
    let (nonce, ciphertext) = (BASE64_STANDARD.encode(nonce), BASE64_STANDARD.encode(ciphertext));
    serde_json::to_string(&Sealed { nonce, ciphertext }).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_alone() {
        let key = channel_key("private-encrypted-a", &[7; 32]);
        let sealed = seal(&key, [1; 24], b"hello").unwrap();
        assert_eq!(open(&key, &sealed).as_deref(), Some(&b"hello"[..]));
        assert_eq!(open(&channel_key("private-encrypted-b", &[7; 32]), &sealed), None);
        for bad in [
            "",
            "{}",
            r#"{"nonce":"AA==","ciphertext":"AA=="}"#,
            &sealed.replace("ciphertext\":\"", "ciphertext\":\"A"),
        ] {
            assert_eq!(open(&key, bad), None, "{bad}");
        }
    }
}
