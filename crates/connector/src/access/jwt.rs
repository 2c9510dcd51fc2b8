//! JSON Web Tokens (RFC 7519): checked with a secret, a public key or a set of keys; made for tests and scripts.
//!
//! The key's type decides which algorithms it may be used with (RFC 8725, section 3.1): a token cannot choose `none`,
//! nor have a public key taken for a shared secret.

mod crypto;
mod jwks;
mod key;
mod sign;
mod verify;

pub use self::{
    crypto::install as install_crypto,
    jwks::JwksConfig,
    key::{Key, TokenKeyError},
    sign::{SignError, SigningKey, sign},
    verify::{KeySource, TokenConfig, Tokens},
};
