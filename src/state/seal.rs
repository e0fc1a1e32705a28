//! A mark on what instances of one application leave for each other where others may write too.
//!
//! Its key is made from Clerk's secret key, which all of them have, and the issuer: what was left for
//! another instance of Clerk's is of no use here.

use std::fmt;

use aws_lc_rs::constant_time;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use clerk_verify::key::SecretKey;

/// What the MAC is for, and the version of the form.
const LABEL: &[u8] = b"clerk-resilience fleet 1";
const TAG_BYTES: usize = 32;

/// Makes and checks the marks.
#[derive(Clone)]
pub(crate) struct Seal(Key);

impl Seal {
    /// The seal of an application that shares this secret key.
    pub(crate) fn new(secret: &SecretKey, issuer: &str) -> Self {
        let secret = Key::new(HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&secret, &[LABEL, issuer.as_bytes()].join(&0));
        Self(Key::new(HMAC_SHA256, derived.as_ref()))
    }

    /// The body under the mark, good for this use alone.
    pub(crate) fn close(&self, purpose: &str, body: &[u8]) -> Vec<u8> {
        [&self.mark(purpose, body), body].concat()
    }

    /// The mark alone.
    pub(crate) fn mark(&self, purpose: &str, body: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, &message(purpose, body)).as_ref().to_vec()
    }

    pub(crate) fn is_good(&self, purpose: &str, body: &[u8], mark: &[u8]) -> bool {
        hmac::verify(&self.0, &message(purpose, body), mark).is_ok()
    }

    /// The body, if the mark is good.
    pub(crate) fn open<'a>(&self, purpose: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, body) = sealed.split_at_checked(TAG_BYTES)?;
        self.is_good(purpose, body, tag).then_some(body)
    }

    /// The body under no mark, for those who have no secret.
    pub(crate) fn unmarked(body: &[u8]) -> Vec<u8> {
        [&[0; TAG_BYTES], body].concat()
    }

    /// The body of what anybody may have left, whatever its mark.
    pub(crate) fn peek(sealed: &[u8]) -> Option<&[u8]> {
        sealed.split_at_checked(TAG_BYTES).map(|(_, body)| body)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal([redacted])")
    }
}

/// Signs what browsers keep for this application.
///
/// The first key signs, all verify. The keys follow from the secret key; without one, from the ticket
/// keys; without either, the key is random, and no other process can verify what this one signed.
#[derive(Clone, Debug)]
pub(crate) struct CookieSigner(Vec<Seal>);

impl Default for CookieSigner {
    /// A key that no other process has.
    fn default() -> Self {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        Self(vec![Seal(key.expect("the system has random numbers"))])
    }
}

impl CookieSigner {
    /// The signer of every instance that shares the secret key.
    pub(crate) fn of_secret(secret: &SecretKey, issuer: &str) -> Self {
        Self(vec![Seal::new(secret, issuer)])
    }

    /// The signer of every instance that shares these keys. Without a key it is random.
    pub(crate) fn of_keys(keys: &[[u8; 32]]) -> Self {
        let seals: Vec<_> = keys.iter().map(|key| Seal(Key::new(HMAC_SHA256, key))).collect();
        if seals.is_empty() { Self::default() } else { Self(seals) }
    }

    /// The signature of a text for one use.
    pub(crate) fn sign(&self, purpose: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.first().mark(purpose, text.as_bytes()))
    }

    pub(crate) fn is_good(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let Ok(mark) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.0.iter().any(|seal| seal.is_good(purpose, text.as_bytes(), &mark))
    }

    /// Whether this is the short name of a thing.
    pub(crate) fn is_named(&self, purpose: &str, thing: &str, name: &str) -> bool {
        let same = |seal: &Seal| {
            let own = short(&seal.mark(purpose, thing.as_bytes()));
            constant_time::verify_slices_are_equal(own.as_bytes(), name.as_bytes()).is_ok()
        };
        self.0.iter().any(same)
    }

    /// A short name for a thing, which says nothing about it.
    pub(crate) fn name(&self, purpose: &str, thing: &str) -> String {
        short(&self.first().mark(purpose, thing.as_bytes()))
    }

    fn first(&self) -> &Seal {
        self.0.first().expect("a signer has a key")
    }
}

/// The first 96 bits of a mark.
fn short(mark: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&mark[..12])
}

/// The purpose with its length in front, so that no two uses make the same message.
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
    fn what_was_sealed_opens_with_the_same_secret_issuer_and_purpose_alone() {
        let ours = seal("sk_test_one", "https://one");
        let sealed = ours.close("keys", b"body");
        assert_eq!(ours.open("keys", &sealed), Some(&b"body"[..]));
        assert_eq!(ours.open("view", &sealed), None);
        assert_eq!(seal("sk_test_two", "https://one").open("keys", &sealed), None);
        assert_eq!(seal("sk_test_one", "https://two").open("keys", &sealed), None);
    }

    #[test]
    fn what_was_changed_or_cut_short_does_not_open() {
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
