//! Message authentication (HMAC-SHA256) for data that instances of one application share in places
//! where others can write.
//!
//! The key derives from Clerk's secret key, which all instances have, and from the issuer. Data of
//! one Clerk instance is therefore invalid for every other.

use std::fmt;

use aws_lc_rs::constant_time;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use clerk_verify::key::SecretKey;

/// The purpose of the MAC, and the version of the format.
const LABEL: &[u8] = b"clerk-resilience fleet 1";
const TAG_BYTES: usize = 32;

/// Creates and verifies MACs.
#[derive(Clone)]
pub(crate) struct Seal(Key);

impl Seal {
    /// Creates the seal of an application that has this secret key and issuer.
    pub(crate) fn new(secret: &SecretKey, issuer: &str) -> Self {
        let secret = Key::new(HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&secret, &[LABEL, issuer.as_bytes()].join(&0));
        Self(Key::new(HMAC_SHA256, derived.as_ref()))
    }

    /// Prefixes `body` with its MAC, which is valid for this `purpose` only.
    pub(crate) fn close(&self, purpose: &str, body: &[u8]) -> Vec<u8> {
        [&self.mark(purpose, body), body].concat()
    }

    /// The MAC of `body` for this `purpose`.
    pub(crate) fn mark(&self, purpose: &str, body: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, &message(purpose, body)).as_ref().to_vec()
    }

    pub(crate) fn is_good(&self, purpose: &str, body: &[u8], mark: &[u8]) -> bool {
        hmac::verify(&self.0, &message(purpose, body), mark).is_ok()
    }

    /// The body, if its MAC is valid for this `purpose`.
    pub(crate) fn open<'a>(&self, purpose: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, body) = sealed.split_at_checked(TAG_BYTES)?;
        self.is_good(purpose, body, tag).then_some(body)
    }

    /// Prefixes `body` with zeros instead of a MAC, for instances without a secret key.
    pub(crate) fn unmarked(body: &[u8]) -> Vec<u8> {
        [&[0; TAG_BYTES], body].concat()
    }

    /// The body, without verification of its MAC. Anyone may have written it.
    pub(crate) fn peek(sealed: &[u8]) -> Option<&[u8]> {
        sealed.split_at_checked(TAG_BYTES).map(|(_, body)| body)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal([redacted])")
    }
}

/// Signs data that browsers store for this application, such as cookies.
///
/// The first key signs; every key verifies. The keys derive from the secret key, or else from the
/// ticket keys. Without either, the key is random, and no other process can verify the signatures.
#[derive(Clone, Debug)]
pub(crate) struct CookieSigner(Vec<Seal>);

impl Default for CookieSigner {
    /// A signer with a random key, which no other process has.
    fn default() -> Self {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        Self(vec![Seal(key.expect("the system provides random numbers"))])
    }
}

impl CookieSigner {
    /// The signer of all instances that share the secret key and issuer.
    pub(crate) fn of_secret(secret: &SecretKey, issuer: &str) -> Self {
        Self(vec![Seal::new(secret, issuer)])
    }

    /// The signer of all instances that share these keys. Without keys, the signer gets a random
    /// key.
    pub(crate) fn of_keys(keys: &[[u8; 32]]) -> Self {
        let seals: Vec<_> = keys.iter().map(|key| Seal(Key::new(HMAC_SHA256, key))).collect();
        if seals.is_empty() { Self::default() } else { Self(seals) }
    }

    /// The signature of `text` for this `purpose`, in URL-safe base64.
    pub(crate) fn sign(&self, purpose: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.first().mark(purpose, text.as_bytes()))
    }

    pub(crate) fn is_good(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let Ok(mark) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.0.iter().any(|seal| seal.is_good(purpose, text.as_bytes(), &mark))
    }

    /// Whether `name` is the short name of `thing` for this `purpose`, under any of the keys.
    pub(crate) fn is_named(&self, purpose: &str, thing: &str, name: &str) -> bool {
        let same = |seal: &Seal| {
            let own = short(&seal.mark(purpose, thing.as_bytes()));
            constant_time::verify_slices_are_equal(own.as_bytes(), name.as_bytes()).is_ok()
        };
        self.0.iter().any(same)
    }

    /// The short name of `thing`: 96 bits of a MAC, which reveal nothing about `thing`.
    pub(crate) fn name(&self, purpose: &str, thing: &str) -> String {
        short(&self.first().mark(purpose, thing.as_bytes()))
    }

    fn first(&self) -> &Seal {
        self.0.first().expect("a signer has at least one key")
    }
}

/// The first 96 bits of a MAC, in URL-safe base64.
fn short(mark: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&mark[..12])
}

/// Prefixes the purpose with its length, so that different purposes never produce the same message.
fn message(purpose: &str, body: &[u8]) -> Vec<u8> {
    [&(purpose.len() as u64).to_be_bytes()[..], purpose.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str, issuer: &str) -> Seal {
        Seal::new(&SecretKey::parse(secret).expect("a key"), issuer)
    }

    #[test]
    fn a_seal_opens_only_with_its_secret_issuer_and_purpose() {
        let ours = seal("sk_test_one", "https://one");
        let sealed = ours.close("keys", b"body");
        assert_eq!(ours.open("keys", &sealed), Some(&b"body"[..]));
        assert_eq!(ours.open("view", &sealed), None);
        assert_eq!(seal("sk_test_two", "https://one").open("keys", &sealed), None);
        assert_eq!(seal("sk_test_one", "https://two").open("keys", &sealed), None);
    }

    #[test]
    fn changed_or_truncated_seals_do_not_open() {
        let ours = seal("sk_test_one", "https://one");
        let sealed = ours.close("keys", b"body");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(ours.open("keys", &changed), None);
            assert_eq!(ours.open("keys", &sealed[..at]), None);
        }
        assert_eq!(Seal::peek(&sealed), Some(&b"body"[..]));
        assert_eq!(Seal::peek(b"short"), None);
    }
}
