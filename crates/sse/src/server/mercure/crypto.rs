//! Signature checks for tokens, on `ring`, which TLS brings anyway. Nothing here signs.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

/// Makes tokens verifiable in this process, once.
pub(super) fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error means that a provider is installed already.
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != family(*algorithm) {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

fn family(algorithm: Algorithm) -> AlgorithmFamily {
    use Algorithm as A;
    match algorithm {
        A::HS256 | A::HS384 | A::HS512 => AlgorithmFamily::Hmac,
        A::ES256 | A::ES384 => AlgorithmFamily::Ec,
        A::EdDSA => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Rsa,
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        use Algorithm as A;
        match self.algorithm {
            A::HS256 => self.mac(hmac::HMAC_SHA256, message, signature),
            A::HS384 => self.mac(hmac::HMAC_SHA384, message, signature),
            A::HS512 => self.mac(hmac::HMAC_SHA512, message, signature),
            A::RS256 => self.rsa(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
            A::RS384 => self.rsa(&signature::RSA_PKCS1_2048_8192_SHA384, message, signature),
            A::RS512 => self.rsa(&signature::RSA_PKCS1_2048_8192_SHA512, message, signature),
            A::PS256 => self.rsa(&signature::RSA_PSS_2048_8192_SHA256, message, signature),
            A::PS384 => self.rsa(&signature::RSA_PSS_2048_8192_SHA384, message, signature),
            A::PS512 => self.rsa(&signature::RSA_PSS_2048_8192_SHA512, message, signature),
            A::ES256 => self.curve(&signature::ECDSA_P256_SHA256_FIXED, message, signature),
            A::ES384 => self.curve(&signature::ECDSA_P384_SHA384_FIXED, message, signature),
            A::EdDSA => self.curve(&signature::ED25519, message, signature),
            _ => Err(Error::new()),
        }
    }
}

impl RingVerifier {
    fn bytes(&self) -> std::result::Result<&[u8], Error> {
        self.key.try_get_as_bytes().map_err(|_| Error::new())
    }

    fn mac(&self, algorithm: hmac::Algorithm, message: &[u8], tag: &[u8]) -> std::result::Result<(), Error> {
        hmac::verify(&hmac::Key::new(algorithm, self.bytes()?), message, tag).map_err(|_| Error::new())
    }

    fn rsa(
        &self,
        algorithm: &'static signature::RsaParameters,
        message: &[u8],
        proof: &[u8],
    ) -> std::result::Result<(), Error> {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(der) => UnparsedPublicKey::new(algorithm, der).verify(message, proof),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, proof)
            }
        }
        .map_err(|_| Error::new())
    }

    fn curve(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        proof: &[u8],
    ) -> std::result::Result<(), Error> {
        UnparsedPublicKey::new(algorithm, self.bytes()?).verify(message, proof).map_err(|_| Error::new())
    }
}
