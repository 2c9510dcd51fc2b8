//! Making tokens.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why a token cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not a private key of a type that signs tokens.
    #[error("this is no private key in PEM form: RSA, EC on P-256 or P-384 (PKCS#8), or Ed25519")]
    Key,
    /// The key cannot sign.
    #[error("the key cannot sign")]
    Sign,
}

impl SigningKey {
    /// A shared secret; signs with HS256.
    #[must_use]
    pub fn secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// A private key in PEM form; signs with RS256, ES256, ES384 or EdDSA, by its type.
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn pem(pem: &[u8]) -> Result<Self, SignError> {
        super::crypto::install();
        if !String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(SignError::Key);
        }
        let ec = EncodingKey::from_ec_pem(pem).ok();
        let ed = || EncodingKey::from_ed_pem(pem).ok();
        let rsa = || EncodingKey::from_rsa_pem(pem).ok();
        let tried = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];
        let key = ec.or_else(ed).or_else(rsa).ok_or(SignError::Key)?;
        let works = |algorithm: &Algorithm| jsonwebtoken::crypto::sign(b"", &key, *algorithm).is_ok();
        let algorithm = tried.into_iter().find(works).ok_or(SignError::Key)?;
        Ok(Self { algorithm, key })
    }
}

/// A token with these claims. `id` names the key in its header.
///
/// # Errors
/// [`SignError::Sign`].
pub fn sign(claims: &Map<String, Value>, key: &SigningKey, id: Option<&str>) -> Result<String, SignError> {
    super::crypto::install();
    let header = Header { kid: id.map(str::to_owned), ..Header::new(key.algorithm) };
    jsonwebtoken::encode(&header, claims, &key.key).map_err(|_| SignError::Sign)
}
