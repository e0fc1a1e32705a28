//! Fingerprints of the denials that a store returned: eight bytes each, so 8 MB for a million.

use std::hash::{BuildHasher as _, RandomState};

use clerk_verify::clock::Timestamp;

use crate::state::revocation::{Denial, Revocations};

/// Fingerprints under a key of this process. A collision among a million denials is negligible.
#[derive(Default)]
pub(super) struct SeenDenials {
    prints: Vec<u64>,
    hasher: RandomState,
}

impl SeenDenials {
    pub(super) fn add(&mut self, denials: &[Denial]) {
        let Self { prints, hasher } = self;
        prints.extend(denials.iter().map(|denial| print(hasher, denial)));
    }

    /// Returns the known denials that were not seen in the store, or only with another time, and
    /// that have not ended before `now`.
    pub(super) fn missing(mut self, known: &Revocations, now: Timestamp) -> Revocations {
        self.prints.sort_unstable();
        let unseen =
            |denial: &Denial| self.prints.binary_search(&print(&self.hasher, denial)).is_err();
        let missing: Vec<_> = known.denials().filter(unseen).collect();
        let none = Revocations::default();
        none.clone().with_all(&missing).beyond(&none, now)
    }
}

fn print(hasher: &RandomState, denial: &Denial) -> u64 {
    let (kind, id, at) = denial.parts();
    hasher.hash_one((kind as u8, &*id, at.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, secs: i64) -> Denial {
        Denial::Session(id.into(), Timestamp::from_secs(secs))
    }

    fn missing(seen: &[Denial], known: &[Denial], now: i64) -> Vec<Denial> {
        let mut all = SeenDenials::default();
        seen.chunks(2).for_each(|page| all.add(page));
        let known = Revocations::default().with_all(known);
        all.missing(&known, Timestamp::from_secs(now)).denials().collect()
    }

    #[test]
    fn unseen_or_shorter_denials_are_missing() {
        let known = [session("a", 5), session("b", 5), session("c", 5), session("d", 5)];
        let seen = [session("a", 5), session("b", 4), session("d", 5)];
        let mut found = missing(&seen, &known, 0);
        found.sort_by_key(|denial| format!("{denial:?}"));
        assert_eq!(found, [session("b", 5), session("c", 5)]);
    }

    #[test]
    fn the_same_id_of_another_kind_is_another() {
        let user = Denial::User("a".into(), Timestamp::from_secs(5));
        assert_eq!(missing(&[session("a", 5)], std::slice::from_ref(&user), 0), [user]);
    }

    #[test]
    fn expired_denials_are_not_missing() {
        assert!(missing(&[], &[session("a", 5)], 6).is_empty());
    }
}
