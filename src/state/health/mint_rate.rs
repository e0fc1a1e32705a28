//! Proof of life: tokens that were minted after trouble began prove that Clerk is up, whatever the
//! probes see.
//!
//! Tokens are signed by Clerk, so nobody can forge this proof. Cutting this process off from Clerk
//! does not hide it either, because browsers deliver the tokens.

use std::collections::HashMap;
use std::time::Duration;

use clerk_verify::clock::Timestamp;

/// Shortest interval at which browsers refresh their tokens.
const RENEWAL: Duration = Duration::from_secs(40);
/// Maximum age of tokens that count as evidence.
const WINDOW: Duration = Duration::from_secs(60);
/// A token minted this soon after the first failure may have been in flight. Also the tolerance for
/// tokens that are dated in the future.
const HEAD_START: Duration = Duration::from_secs(5);
/// Length of one step of learning the usual rate.
const STEP: Duration = Duration::from_secs(10);
/// With fewer expected users than this, the count proves nothing.
const ENOUGH: f64 = 10.0;
/// Maximum number of users that are counted. New users beyond it are ignored.
const CAPACITY: usize = 16 * 1024;

/// What newly minted tokens prove about Clerk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProofOfLife {
    /// Too few tokens are expected for a conclusion.
    #[default]
    Neutral,
    /// Clerk mints tokens at half the usual rate or more.
    Proven,
    /// Tokens are expected, but fewer than half of them arrive.
    Missing,
}

/// Counts users with newly minted tokens, learns the usual rate, and compares the present rate with
/// it.
#[derive(Clone, Debug, Default)]
pub struct MintRate {
    /// Users with a new token per second, learned while Clerk is healthy.
    usual: f64,
    step: u64,
    step_started: Option<Timestamp>,
    step_count: u32,
    /// The newest token of each user, and the step in which it arrived. A user counts once, however
    /// many sessions the user has.
    users: HashMap<u64, Mint>,
    newest: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Mint {
    issued_at: Timestamp,
    step: u64,
}

impl MintRate {
    /// Records a token that was not seen before: a digest of its user, and its `iat`.
    pub fn note(&mut self, user: u64, issued_at: Timestamp) {
        self.newest = self.newest.max(Some(issued_at));
        if self.users.len() >= CAPACITY && !self.users.contains_key(&user) {
            return;
        }
        let known = self.users.get(&user).copied();
        if known.is_none_or(|known| known.step != self.step) {
            self.step_count = self.step_count.saturating_add(1);
        }
        let issued_at = known.map_or(issued_at, |known| known.issued_at.max(issued_at));
        self.users.insert(user, Mint { issued_at, step: self.step });
    }

    /// The `iat` of the newest token seen.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Learns the usual rate, in steps of 10 s. The driver calls this method regularly.
    ///
    /// Only steps that end while `healthy` is true count towards the rate.
    pub fn tick(&mut self, healthy: bool, now: Timestamp) {
        let started = *self.step_started.get_or_insert(now);
        let passed = now.since(started);
        if passed < STEP {
            return;
        }
        if healthy {
            let rate = f64::from(self.step_count) / passed.as_secs_f64();
            let weight = if self.usual == 0.0 { 1.0 } else { 0.2 };
            self.usual += weight * (rate - self.usual);
        }
        self.step_started = Some(now);
        self.step_count = 0;
        self.step += 1;
        self.users.retain(|_, mint| now.since(mint.issued_at) <= WINDOW);
    }

    /// Evaluates the tokens minted since `suspect_since`, the time of the first failure.
    ///
    /// Tokens minted within 5 s after it do not count.
    #[must_use]
    pub fn life(&self, suspect_since: Timestamp, now: Timestamp) -> ProofOfLife {
        let from = suspect_since.plus(HEAD_START);
        let expected = self.usual * now.since(from).min(RENEWAL).as_secs_f64();
        if expected < ENOUGH {
            return ProofOfLife::Neutral;
        }
        let recent = now.minus(WINDOW);
        let until = now.plus(HEAD_START);
        let fresh = |minted: &Timestamp| *minted > from && *minted > recent && *minted <= until;
        let seen = self.users.values().map(|mint| mint.issued_at).filter(fresh).count();
        let seen = u32::try_from(seen).map_or(f64::MAX, f64::from);
        if seen >= expected / 2.0 { ProofOfLife::Proven } else { ProofOfLife::Missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// One new token per second, of a different user each, for two minutes.
    fn usual_traffic() -> MintRate {
        let mut mints = MintRate::default();
        for second in 0..120 {
            mints.note(u64::try_from(second).expect("positive"), at(second));
            mints.tick(true, at(second));
        }
        mints
    }

    #[test]
    fn tokens_minted_after_trouble_began_prove_life() {
        let mut mints = usual_traffic();
        for second in 126..150 {
            mints.note(1_000 + u64::try_from(second).expect("positive"), at(second));
        }
        assert_eq!(mints.life(at(120), at(150)), ProofOfLife::Proven);
    }

    #[test]
    fn tokens_minted_before_trouble_began_prove_nothing() {
        let mut mints = usual_traffic();
        for second in 60..120 {
            mints.note(2_000 + u64::try_from(second).expect("positive"), at(second));
        }
        assert_eq!(mints.life(at(120), at(150)), ProofOfLife::Missing);
    }

    #[test]
    fn one_user_cannot_prove_life_alone() {
        let mut mints = usual_traffic();
        for second in 126..150 {
            mints.note(7, at(second));
        }
        assert_eq!(mints.life(at(120), at(150)), ProofOfLife::Missing);
    }

    #[test]
    fn an_application_without_traffic_is_neutral() {
        assert_eq!(MintRate::default().life(at(0), at(100)), ProofOfLife::Neutral);
        assert_eq!(
            usual_traffic().life(at(120), at(130)),
            ProofOfLife::Neutral,
            "too soon to tell"
        );
    }

    #[test]
    fn memory_stays_bounded() {
        let mut mints = MintRate::default();
        for user in 0..100_000 {
            mints.note(user, at(0));
        }
        assert_eq!(mints.users.len(), CAPACITY);
    }

    #[test]
    fn a_user_with_three_devices_counts_once_in_learning_too() {
        let mut mints = MintRate::default();
        for second in 0..120 {
            for _device in 0..3 {
                mints.note(u64::try_from(second).expect("positive"), at(second));
            }
            mints.tick(true, at(second));
        }
        for second in 126..150 {
            mints.note(1_000 + u64::try_from(second).expect("positive"), at(second));
        }
        assert_eq!(mints.life(at(120), at(150)), ProofOfLife::Proven);
    }
}
