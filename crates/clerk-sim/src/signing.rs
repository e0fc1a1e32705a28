//! Signing keys of a simulated Clerk: RSA-2048.
//!
//! The generation of a key takes tens of milliseconds, longer in a debug build, and a test suite
//! builds many simulators. New simulators therefore reuse the key pairs of dropped ones, under new
//! ids.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use clerk_verify::id::KeyId;

/// Key pairs of dropped simulators, ready for reuse.
static SPARE: Mutex<Vec<KeyPair>> = Mutex::new(Vec::new());

fn spare() -> MutexGuard<'static, Vec<KeyPair>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A signing key and the id under which it is published.
pub(super) struct SigningKey {
    kid: KeyId,
    pair: KeyPair,
}

impl SigningKey {
    /// Creates a signing key with this id, whose key pair no other simulator uses at present.
    pub(super) fn new(kid: KeyId) -> Self {
        let spare = spare().pop();
        let pair = spare.unwrap_or_else(|| {
            KeyPair::generate(KeySize::Rsa2048)
                .expect("the operating system supplies randomness and memory")
        });
        Self { kid, pair }
    }

    /// Releases the key pair for later simulators.
    pub(super) fn recycle(self) {
        spare().push(self.pair);
    }

    pub(super) fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the two parts as a signed compact JWT. The signature is RS256, regardless of the
    /// header.
    pub(super) fn sign(&self, header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("a 2048-bit key signs a SHA-256 digest, and the buffer has its length");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the payload of a JWT that this key signed, without a check of its times.
    pub(super) fn open(&self, jwt: &str) -> Option<Value> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &signature)
            .ok()?;
        let payload = URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// Returns the public half as a JSON Web Key, with the members that Clerk publishes.
    pub(super) fn jwk(&self) -> Value {
        let (n, e) = modulus_and_exponent(self.pair.public_key().as_ref());
        json!({
            "use": "sig",
            "kty": "RSA",
            "kid": self.kid.as_str(),
            "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(n),
            "e": URL_SAFE_NO_PAD.encode(e),
        })
    }

    /// Returns the public half as PEM (`SubjectPublicKeyInfo`) with 64 columns, as in Clerk's
    /// dashboard.
    pub(super) fn pem(&self) -> String {
        let der = self.pair.public_key().as_der().expect("the public half of a valid key encodes");
        let encoded = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (place, letter) in encoded.chars().enumerate() {
            if place > 0 && place % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        pem
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Returns `n` and `e` of a DER `RSAPublicKey`, big-endian without leading zeros.
fn modulus_and_exponent(der: &[u8]) -> (&[u8], &[u8]) {
    clerk_verify::jwks::modulus_and_exponent(der)
        .expect("an RSAPublicKey is a sequence of two integers")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::RsaPublicKeyComponents;

    use super::*;

    #[test]
    fn signatures_verify_with_the_published_key() {
        let key = SigningKey::new("ins_a".into());
        let jwt = key.sign(&json!({"alg": "RS256"}), &json!({"sub": "user_a"}));
        let jwk = key.jwk();
        let number = |name: &str| {
            URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a text")).expect("base64url")
        };
        let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
        let (message, signature) = jwt.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
            .expect("the signature is good");
        assert_eq!(jwk["e"], "AQAB");
        assert_eq!(key.open(&jwt).expect("our own")["sub"], "user_a");
        assert_eq!(SigningKey::new("ins_a".into()).open(&jwt), None);
    }

    #[test]
    fn the_pem_has_the_format_of_the_dashboard() {
        let pem = SigningKey::new("ins_a".into()).pem();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
        assert!(pem.ends_with("IDAQAB\n-----END PUBLIC KEY-----\n"));
        assert!(pem.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn text_that_is_no_token_opens_to_nothing() {
        let key = SigningKey::new("ins_a".into());
        for text in ["", ".", "..", "a.b.c", "ü.ü.ü"] {
            assert_eq!(key.open(text), None, "{text}");
        }
    }
}
