//! Keyed hashing of secrets, such as tokens and nonces, so that tables hold digests only.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use aws_lc_rs::rand::SystemRandom;

/// An HMAC-SHA256 digest under a key of this process.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Returns the first eight bytes, for use as a cache index.
    pub(super) fn index(self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("32 bytes");
        u64::from_be_bytes(*first)
    }
}

/// Computes digests. Equal inputs have equal digests under the same key.
#[derive(Clone, Debug)]
pub(super) struct KeyedHasher(Key);

impl KeyedHasher {
    #[cfg(test)]
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// Creates a hasher with a random key.
    pub(super) fn random() -> Self {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        Self(key.expect("the system's random number generator works"))
    }

    /// Returns the digest of `parts`, with `sort` for domain separation.
    ///
    /// Each part is prefixed with its length, so that different splits have different digests.
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
