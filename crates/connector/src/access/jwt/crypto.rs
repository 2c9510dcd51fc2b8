//! Signatures of tokens, on `ring`, which TLS brings anyway.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// Makes tokens verifiable in this process, once.
pub fn install() {
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    // An error means that a provider is installed already.
    let _ = PROVIDER.install_default();
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != family(*algorithm) {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(RingSigner { algorithm: *algorithm, key: key.clone() }))
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

struct RingSigner {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        use Algorithm as A;
        match self.algorithm {
            A::HS256 => Ok(self.mac(hmac::HMAC_SHA256, message)),
            A::HS384 => Ok(self.mac(hmac::HMAC_SHA384, message)),
            A::HS512 => Ok(self.mac(hmac::HMAC_SHA512, message)),
            A::RS256 => self.rsa(&signature::RSA_PKCS1_SHA256, message),
            A::RS384 => self.rsa(&signature::RSA_PKCS1_SHA384, message),
            A::RS512 => self.rsa(&signature::RSA_PKCS1_SHA512, message),
            A::PS256 => self.rsa(&signature::RSA_PSS_SHA256, message),
            A::PS384 => self.rsa(&signature::RSA_PSS_SHA384, message),
            A::PS512 => self.rsa(&signature::RSA_PSS_SHA512, message),
            A::ES256 => self.curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, message),
            A::ES384 => self.curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, message),
            A::EdDSA => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.key.as_bytes());
                Ok(pair.map_err(|_| Error::new())?.sign(message).as_ref().to_vec())
            }
            _ => Err(Error::new()),
        }
    }
}

impl RingSigner {
    fn mac(&self, algorithm: hmac::Algorithm, message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(algorithm, self.key.as_bytes()), message).as_ref().to_vec()
    }

    fn rsa(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let pair = RsaKeyPair::from_der(self.key.as_bytes()).map_err(|_| Error::new())?;
        let mut out = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &SystemRandom::new(), message, &mut out).map_err(|_| Error::new())?;
        Ok(out)
    }

    fn curve(&self, algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, self.key.as_bytes(), &random).map_err(|_| Error::new())?;
        Ok(pair.sign(&random, message).map_err(|_| Error::new())?.as_ref().to_vec())
    }
}
