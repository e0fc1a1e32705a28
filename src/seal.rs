//! A mark on what instances of one application leave for each other where others may write too.
//!
//! Its key is made from Clerk's secret key, which all of them have, and the issuer: what was left for
//! another instance of Clerk's is of no use here.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

use crate::key::SecretKey;

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
