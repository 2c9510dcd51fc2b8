//! Keys that tokens are checked with, each bound to the algorithms of its type.

use jsonwebtoken::{Algorithm, DecodingKey, jwk};

/// A key, and what it may be used for.
#[derive(Clone)]
pub struct Key {
    /// Its name, by which tokens refer to it.
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyError {
    /// There is no key at all.
    #[error("there is no key")]
    Missing,
    /// A shared secret that can be guessed (RFC 7518, section 3.2).
    #[error("a shared secret has at least 32 bytes")]
    Short,
    /// Not a public key of a type that signs tokens.
    #[error("this is no public key in PEM form: RSA, EC on P-256 or P-384, or Ed25519")]
    Pem,
    /// The client that fetches key sets cannot be made.
    #[error("the client that fetches keys cannot be made")]
    Client,
}

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
/// The bytes of an uncompressed point on P-256, and on P-384.
const POINTS: [(usize, Algorithm); 2] = [(65, Algorithm::ES256), (97, Algorithm::ES384)];

impl Key {
    /// A shared secret: for HS256, HS384 and HS512.
    ///
    /// # Errors
    /// [`TokenKeyError::Short`].
    pub fn secret(secret: &[u8]) -> Result<Self, TokenKeyError> {
        if secret.len() < 32 {
            return Err(TokenKeyError::Short);
        }
        Ok(Self { id: None, algorithms: HMAC.to_vec(), key: DecodingKey::from_secret(secret) })
    }

    /// A public key in PEM form: RSA, EC (P-256 or P-384) or Ed25519.
    ///
    /// # Errors
    /// [`TokenKeyError::Pem`], also for a private key: what only checks has no need of it.
    pub fn pem(pem: &[u8]) -> Result<Self, TokenKeyError> {
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(TokenKeyError::Pem);
        }
        let none = |_| TokenKeyError::Pem;
        let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| (RSA.to_vec(), key)).map_err(none);
        let ed = || DecodingKey::from_ed_pem(pem).map(|key| (vec![Algorithm::EdDSA], key)).map_err(none);
        let ec = || {
            let key = DecodingKey::from_ec_pem(pem).map_err(none)?;
            let length = key.try_get_as_bytes().map_err(none)?.len();
            let curve = POINTS.iter().find(|(bytes, _)| *bytes == length).ok_or(TokenKeyError::Pem)?;
            Ok((vec![curve.1], key))
        };
        let (algorithms, key) = ec().or_else(|_: TokenKeyError| ed()).or_else(|_| rsa())?;
        Ok(Self { id: None, algorithms, key })
    }

    /// A key of a set (RFC 7517). None for one that does not sign, is of an unknown type, or is a shared secret: a
    /// secret that can be fetched is none.
    pub(super) fn of_set(value: &serde_json::Value) -> Option<Self> {
        let key: jwk::Jwk = serde_json::from_value(value.clone()).ok()?;
        if key.common.public_key_use.as_ref().is_some_and(|named| *named != jwk::PublicKeyUse::Signature) {
            return None;
        }
        let of_type = match &key.algorithm {
            jwk::AlgorithmParameters::RSA(_) => RSA.to_vec(),
            jwk::AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                jwk::EllipticCurve::P256 => vec![Algorithm::ES256],
                jwk::EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            jwk::AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
            _ => return None,
        };
        let algorithms = match value.get("alg").and_then(serde_json::Value::as_str) {
            Some(named) => vec![named.parse().ok().filter(|named| of_type.contains(named))?],
            None => of_type,
        };
        Some(Self { id: key.common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(&key).ok()? })
    }

    /// Whether a token that names this algorithm and key may be checked with it.
    pub(super) fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.algorithms.contains(&algorithm) && (self.id.is_none() || id.is_none() || self.id.as_deref() == id)
    }
}
