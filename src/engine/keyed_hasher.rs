//! Names for what must not be written down: tokens, nonces, sessions.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use aws_lc_rs::rand::SystemRandom;

/// HMAC-SHA256 of a thing, by a key that nobody else has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Where it is filed.
    pub(super) fn index(self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("32 bytes");
        u64::from_be_bytes(*first)
    }
}

/// Gives names. Equal things get equal names from the same namer.
#[derive(Clone, Debug)]
pub(super) struct KeyedHasher(Key);

impl KeyedHasher {
    #[cfg(test)]
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// One whose names mean nothing outside this process.
    pub(super) fn random() -> Self {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        Self(key.expect("the system has random numbers"))
    }

    /// The name of a thing of this sort, which may have several parts.
    pub(super) fn name(&self, sort: &str, parts: &[&str]) -> Digest {
        Digest(self.sign(sort, parts).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn sign(&self, sort: &str, parts: &[&str]) -> Tag {
        let mut context = Context::with_key(&self.0);
        for part in [sort].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_different_sorts_or_parts_have_different_names() {
        let namer = KeyedHasher::random();
        let name = namer.name("a", &["b", "c"]);
        assert_eq!(name, namer.name("a", &["b", "c"]));
        for other in [
            namer.name("a", &["bc"]),
            namer.name("ab", &["c"]),
            namer.name("a", &["b", "c", ""]),
            namer.name("a", &["c", "b"]),
            KeyedHasher::random().name("a", &["b", "c"]),
        ] {
            assert_ne!(name, other);
        }
    }
}
