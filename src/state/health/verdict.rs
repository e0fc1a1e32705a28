//! The verdict on Clerk as a whole: a state machine over the signals of all surfaces.
//!
//! ```text
//! Unknown ──first good──▶ Healthy ──2 failures──▶ Suspect ──O1–O5──▶ Outage ──3 good, 30 s──▶ Recovering
//!    │                      ▲  ▲                   │  │ ▲              ▲                       │   │
//!    └──2 failures──▶ Suspect  └────2 good─────────┘  │ │              └──────any failure──────┘   │
//!                              └──────────────────────┼─┼──────────────────────drained───────────┘
//!                                                     ▼ │
//!                                                  Isolated
//! ```
//!
//! **Outage.** All of these conditions must hold:
//!
//! * O1: minting failed at least three times in a row, over at least 10 s.
//! * O2: a second signal fails too, and at least one failure is authentic: Clerk sent it over valid
//!   TLS. While canaries succeed, a good answer slower than 1.5 s is also authentic evidence. If all
//!   evidence could have a cause on the local side of the network, two other facts must hold instead.
//!   Egress canaries succeed, and the status page or most of at least two other instances agree.
//! * O3: neither newly minted tokens nor other instances prove that Clerk is up.
//! * O4: no response in Clerk's place came from another party within the last 60 s.
//! * O5: the clock did not jump.
//!
//! **First start.** Before the first observation the verdict is `Unknown`, which grants nothing. A
//! process that starts during an outage must prove the outage itself. The exception is an outage
//! that its predecessor proved and that it restores within five minutes.
//!
//! **Isolated.** This process is cut off: minting fails here, but canaries fail too, or Clerk still
//! mints tokens. `Isolated` grants nothing. In a proven outage, newly minted tokens can also mean a
//! recovery, which open tabs notice first. The driver then probes minting at once, and only another
//! failure leads to `Isolated`.
//!
//! **Recovery.** `Recovering` requires three good answers of minting in a row, over at least 30 s.
//! It is the drain: open tabs fetch their next token up to 50 s late. Grace therefore continues for
//! every session until 60 s after the first good answer. Each session's grace then ends at its own
//! moment, at most 90 s after the last failure. Whenever Clerk recovered between the two, grace
//! lasts at least 60 s and at most 90 s. Any failure during the drain returns to the same outage.
//!
//! **Silence.** The verdict is `Unknown` when minting was not observed for 60 s, or when the clock
//! jumped within the last 60 s.

use std::time::Duration;

use clerk_verify::clock::Moment;

use super::ProofOfLife;

const SUSPECT_AFTER: u32 = 2;
const CLEARED_AFTER: u32 = 2;
const OUTAGE_AFTER: u32 = 3;
const OUTAGE_SPAN: Duration = Duration::from_secs(10);
const RECOVERED_AFTER: u32 = 3;
const RECOVERED_SPAN: Duration = Duration::from_secs(30);
const HOSTILE_SHADOW: Duration = Duration::from_secs(60);

const DRAIN_FOR_ALL: Duration = Duration::from_secs(60);
const DRAIN_FOR_ANY: Duration = Duration::from_secs(90);

/// The schedule by which grace ends after an outage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drain {
    /// Grace continues for every session until this moment.
    pub all_until: Moment,
    /// Grace continues for no session after this moment.
    pub none_after: Moment,
}

impl Drain {
    /// The drain after an outage whose last failure began at `failed` and whose first good answer
    /// came at `good`.
    ///
    /// [`all_until`](Self::all_until) is 60 s after `good`. [`none_after`](Self::none_after) is 90
    /// s after `failed`, but never before `all_until`.
    #[must_use]
    pub fn between(failed: Moment, good: Moment) -> Self {
        let all_until = good.plus(DRAIN_FOR_ALL);
        let none_after = failed.plus(DRAIN_FOR_ANY);
        let in_order = none_after.mono >= all_until.mono;
        Self { all_until, none_after: if in_order { none_after } else { all_until } }
    }
}

/// The verdict on Clerk as a whole.
///
/// | verdict | expired session of a program | page without a session, if a sign-in page is set |
/// |---|---|---|
/// | [`Healthy`](Self::Healthy) | 401 | sign-in page or handshake |
/// | [`Suspect`](Self::Suspect) | accepted until `exp` + 30 s, then 503 | 503 |
/// | [`Outage`](Self::Outage) | grace, if the policy allows it; else 503 | 503 |
/// | [`Recovering`](Self::Recovering) | the drain: grace until 60 to 90 s after Clerk came back | sign-in page or handshake |
/// | [`Isolated`](Self::Isolated), [`Unknown`](Self::Unknown) | 503 | 503 |
///
/// The bridge of `Suspect` needs a policy that enables grace. Tokens that have not expired pass
/// under every verdict.
///
/// ```
/// use clerk_resilience::{ClerkResilience, Verdict};
///
/// /// Whether to show a banner about limited sign-in.
/// fn is_impaired(clerk: &ClerkResilience) -> bool {
///     matches!(clerk.verdict(), Verdict::Outage | Verdict::Isolated)
/// }
/// # let _ = is_impaired;
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing is known yet, or the last observation is too old.
    #[default]
    Unknown,
    /// Clerk mints session tokens.
    Healthy,
    /// Minting fails, and the cause is not known yet.
    Suspect,
    /// Clerk is down, with proof.
    Outage,
    /// Clerk has recovered, and grace drains.
    Recovering,
    /// This process is cut off from Clerk; Clerk itself may be up.
    Isolated,
}

impl Verdict {
    /// A stable name, such as `outage`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Outage => "outage",
            Self::Recovering => "recovering",
            Self::Isolated => "isolated",
        }
    }
}

/// The inputs of the verdict at one moment.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a signal of its own")]
pub struct Signals {
    /// Consecutive failures of minting.
    pub failures: u32,
    /// The first of these failures.
    pub failing_since: Option<Moment>,
    /// Consecutive good answers of minting.
    pub good: u32,
    /// The first of these good answers.
    pub good_since: Option<Moment>,
    /// A signal other than minting fails as well.
    pub second_failing: bool,
    /// There is class A evidence of failure: from a recent probe of some surface, or from reports
    /// of the application.
    pub authentic: bool,
    /// The last good answer of some surface was very slow. An attacker on the local network can
    /// delay answers, so this evidence counts only while canaries succeed.
    pub very_slow: bool,
    /// Whether egress canaries succeed; `None` if there are none.
    pub canaries: Option<bool>,
    /// The status page reports that sessions are affected.
    pub status_page_agrees: bool,
    /// Most of at least two other instances of the application see minting fail.
    pub fleet_agrees: bool,
    /// When a party other than Clerk last answered in Clerk's place.
    pub last_hostile: Option<Moment>,
    /// The wall clock and the monotonic clock agree.
    pub clock_sane: bool,
    /// The evidence of newly minted tokens.
    pub life: ProofOfLife,
    /// The drain after the outage is over.
    pub drained: bool,
    /// Minting was not observed for too long.
    pub silent: bool,
}

impl Signals {
    /// Conditions O1 to O5 of the [module documentation](self).
    fn prove_outage(&self, now: Moment) -> bool {
        let o1 = self.minting_is_dead(now);
        let corroborated =
            self.canaries == Some(true) && (self.status_page_agrees || self.fleet_agrees);
        let authentic = self.authentic || (self.very_slow && self.canaries == Some(true));
        let o2 = if authentic { self.second_failing } else { corroborated };
        let o3 = self.life != ProofOfLife::Proven;
        let o4 = self.last_hostile.is_none_or(|at| now.since(at) > HOSTILE_SHADOW);
        let o5 = self.clock_sane;
        o1 && o2 && o3 && o4 && o5
    }

    fn minting_is_dead(&self, now: Moment) -> bool {
        let long_enough = |since| now.since(since) >= OUTAGE_SPAN;
        self.failures >= OUTAGE_AFTER && self.failing_since.is_some_and(long_enough)
    }

    /// True when this process is cut off.
    fn show_isolation(&self, now: Moment) -> bool {
        let cut_off = !self.authentic && self.canaries == Some(false);
        self.minting_is_dead(now) && (cut_off || self.life == ProofOfLife::Proven)
    }

    fn show_recovery(&self, now: Moment) -> bool {
        let long_enough = |since| now.since(since) >= RECOVERED_SPAN;
        self.good >= RECOVERED_AFTER && self.good_since.is_some_and(long_enough)
    }
}

/// The state of the state machine, and when it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VerdictState {
    /// The verdict.
    pub verdict: Verdict,
    /// When the verdict began.
    pub since: Moment,
}

impl VerdictState {
    /// The state that follows from these signals at `now`.
    #[must_use]
    pub fn after(self, signals: &Signals, now: Moment) -> Self {
        let next = self.next(signals, now);
        if next == self.verdict { self } else { Self { verdict: next, since: now } }
    }

    fn next(&self, signals: &Signals, now: Moment) -> Verdict {
        match self.verdict {
            _ if signals.silent || !signals.clock_sane => Verdict::Unknown,
            Verdict::Unknown | Verdict::Healthy if signals.failures >= SUSPECT_AFTER => {
                Verdict::Suspect
            }
            Verdict::Unknown if signals.good > 0 => Verdict::Healthy,
            Verdict::Unknown => Verdict::Unknown,
            Verdict::Healthy => Verdict::Healthy,
            Verdict::Suspect | Verdict::Isolated => from_trouble(self.verdict, signals, now),
            Verdict::Outage if signals.life == ProofOfLife::Proven && signals.failures > 0 => {
                Verdict::Isolated
            }
            Verdict::Outage if signals.show_recovery(now) => Verdict::Recovering,
            Verdict::Outage => Verdict::Outage,
            Verdict::Recovering if signals.failures > 0 => Verdict::Outage,
            Verdict::Recovering if signals.drained => Verdict::Healthy,
            Verdict::Recovering => Verdict::Recovering,
        }
    }
}

fn from_trouble(verdict: Verdict, signals: &Signals, now: Moment) -> Verdict {
    if signals.good >= CLEARED_AFTER {
        Verdict::Healthy
    } else if signals.show_isolation(now) {
        Verdict::Isolated
    } else if signals.prove_outage(now) {
        Verdict::Outage
    } else if signals.failures > 0 {
        Verdict::Suspect
    } else {
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(secs))
    }

    fn sane() -> Signals {
        Signals { clock_sane: true, ..Signals::default() }
    }

    /// Everything that proves an outage at 12 s.
    fn proof() -> Signals {
        Signals {
            failures: 3,
            failing_since: Some(at(0)),
            second_failing: true,
            authentic: true,
            clock_sane: true,
            ..sane()
        }
    }

    fn suspect() -> VerdictState {
        VerdictState { verdict: Verdict::Suspect, since: at(2) }
    }

    fn verdict(signals: &Signals, now: Moment) -> Verdict {
        suspect().after(signals, now).verdict
    }

    #[test]
    fn all_conditions_together_prove_an_outage() {
        assert_eq!(verdict(&proof(), at(12)), Verdict::Outage);
    }

    #[test]
    fn o1_three_failures_of_minting_over_ten_seconds_are_needed() {
        assert_eq!(verdict(&Signals { failures: 2, ..proof() }, at(12)), Verdict::Suspect);
        assert_eq!(verdict(&proof(), at(9)), Verdict::Suspect);
        assert_eq!(verdict(&proof(), at(10)), Verdict::Outage);
    }

    #[test]
    fn o2_a_second_signal_must_fail_and_some_failure_be_authentic() {
        assert_eq!(
            verdict(&Signals { second_failing: false, ..proof() }, at(12)),
            Verdict::Suspect
        );
        assert_eq!(verdict(&Signals { authentic: false, ..proof() }, at(12)), Verdict::Suspect);
    }

    #[test]
    fn o2_silence_needs_canaries_and_a_status_page() {
        let silence = Signals { authentic: false, ..proof() };
        let with = |canaries, status_page_agrees| {
            verdict(&Signals { canaries, status_page_agrees, ..silence }, at(12))
        };
        assert_eq!(with(Some(true), true), Verdict::Outage);
        assert_eq!(with(Some(true), false), Verdict::Suspect);
        assert_eq!(with(None, true), Verdict::Suspect);
        assert_eq!(with(Some(false), true), Verdict::Isolated);
    }

    #[test]
    fn o3_newly_minted_tokens_refute_the_outage() {
        assert_eq!(
            verdict(&Signals { life: ProofOfLife::Proven, ..proof() }, at(12)),
            Verdict::Isolated
        );
        assert_eq!(
            verdict(&Signals { life: ProofOfLife::Missing, ..proof() }, at(12)),
            Verdict::Outage
        );
        let outage = VerdictState { verdict: Verdict::Outage, since: at(12) };
        let life = Signals { life: ProofOfLife::Proven, ..proof() };
        assert_eq!(outage.after(&life, at(40)).verdict, Verdict::Isolated);
    }

    #[test]
    fn o4_an_untrusted_responder_blocks_an_outage_for_a_minute() {
        let hostile = Signals { last_hostile: Some(at(5)), ..proof() };
        assert_eq!(verdict(&hostile, at(65)), Verdict::Suspect);
        assert_eq!(verdict(&hostile, at(66)), Verdict::Outage);
    }

    #[test]
    fn o5_a_clock_that_jumped_forbids_every_conclusion() {
        assert_eq!(verdict(&Signals { clock_sane: false, ..proof() }, at(12)), Verdict::Unknown);
        let outage = VerdictState { verdict: Verdict::Outage, since: at(0) };
        let jumped = Signals { clock_sane: false, ..proof() };
        assert_eq!(outage.after(&jumped, at(12)).verdict, Verdict::Unknown);
    }

    #[test]
    fn o2_slow_answers_count_only_with_fast_canaries() {
        let slow = Signals { authentic: false, very_slow: true, ..proof() };
        assert_eq!(verdict(&slow, at(12)), Verdict::Suspect);
        let with = |canaries| verdict(&Signals { canaries: Some(canaries), ..slow }, at(12));
        assert_eq!(with(true), Verdict::Outage);
        assert_eq!(with(false), Verdict::Isolated);
    }

    #[test]
    fn peers_corroborate_silence_only_with_canaries() {
        let silence = Signals { authentic: false, ..proof() };
        let with = |canaries, fleet_agrees| {
            verdict(&Signals { canaries, fleet_agrees, ..silence }, at(12))
        };
        assert_eq!(with(Some(true), true), Verdict::Outage);
        assert_eq!(with(Some(true), false), Verdict::Suspect);
        assert_eq!(with(None, true), Verdict::Suspect);
        assert_eq!(with(Some(false), true), Verdict::Isolated);
        let alone = Signals { second_failing: false, fleet_agrees: true, ..proof() };
        assert_eq!(verdict(&alone, at(12)), Verdict::Suspect);
    }

    #[test]
    fn suspicion_takes_two_failures_and_two_good_answers_clear_it() {
        let healthy = VerdictState { verdict: Verdict::Healthy, since: at(0) };
        let failed = |failures| Signals { failures, ..sane() };
        assert_eq!(healthy.after(&failed(1), at(1)).verdict, Verdict::Healthy);
        assert_eq!(healthy.after(&failed(2), at(1)).verdict, Verdict::Suspect);
        let good = |good| Signals { good, ..sane() };
        assert_eq!(verdict(&good(1), at(3)), Verdict::Suspect);
        assert_eq!(verdict(&good(2), at(3)), Verdict::Healthy);
    }

    #[test]
    fn nothing_is_known_before_the_first_observation() {
        let start = VerdictState::default();
        assert_eq!(start.after(&sane(), at(100)).verdict, Verdict::Unknown);
        let failing = Signals { failures: 1, ..sane() };
        assert_eq!(start.after(&failing, at(1)).verdict, Verdict::Unknown);
        let good = Signals { good: 1, ..sane() };
        assert_eq!(start.after(&good, at(1)).verdict, Verdict::Healthy);
    }

    #[test]
    fn recovery_takes_three_good_answers_over_thirty_seconds() {
        let outage = VerdictState { verdict: Verdict::Outage, since: at(0) };
        let good = |good| Signals { good, good_since: Some(at(100)), ..sane() };
        assert_eq!(outage.after(&good(3), at(129)).verdict, Verdict::Outage);
        assert_eq!(outage.after(&good(2), at(130)).verdict, Verdict::Outage);
        assert_eq!(outage.after(&good(3), at(130)).verdict, Verdict::Recovering);
    }

    #[test]
    fn draining_ends_in_health_or_at_the_first_failure() {
        let draining = VerdictState { verdict: Verdict::Recovering, since: at(130) };
        let good = Signals { good: 9, good_since: Some(at(100)), ..sane() };
        assert_eq!(draining.after(&good, at(189)).verdict, Verdict::Recovering);
        let drained = Signals { drained: true, ..good };
        assert_eq!(draining.after(&drained, at(190)).verdict, Verdict::Healthy);
        let failed = Signals { failures: 1, ..sane() };
        assert_eq!(draining.after(&failed, at(140)).verdict, Verdict::Outage);
    }

    #[test]
    fn silence_makes_every_verdict_unknown() {
        let silent = Signals { silent: true, ..proof() };
        for verdict in [Verdict::Healthy, Verdict::Suspect, Verdict::Outage, Verdict::Recovering] {
            let standing = VerdictState { verdict, since: at(0) };
            assert_eq!(standing.after(&silent, at(12)).verdict, Verdict::Unknown);
        }
    }

    #[test]
    fn grace_lasts_60_s_after_a_recovery_at_any_moment() {
        for gap in [0, 5, 18, 29] {
            let drain = Drain::between(at(100), at(100 + gap));
            for really_back in 100..=100 + gap {
                assert!(drain.all_until.mono >= at(really_back + 60).mono);
                assert!(drain.none_after.mono <= at(really_back + 90).mono);
            }
        }
        let late = Drain::between(at(100), at(160));
        assert_eq!(late.all_until, late.none_after, "a long gap shortens nothing for those in it");
    }
}
