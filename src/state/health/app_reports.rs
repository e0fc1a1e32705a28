//! Reports of the application about the results of its own calls to Clerk.
//!
//! Reports trigger an early probe, and repeated failures can be the second signal beside minting.
//! The application cannot report on minting: only this crate's own probes observe it.

use std::time::Duration;

use clerk_verify::clock::Moment;
use http::StatusCode;

use super::{Surface, Tracker};

/// Failures less than this far apart count as one, because a burst proves no more than a single
/// call.
const APART: Duration = Duration::from_secs(2);
/// Number of consecutive failures that make a signal.
const ENOUGH: u32 = 2;
/// How long a signal counts after the last failure.
const LIFE: Duration = Duration::from_secs(60);
/// While Clerk has trouble, this crate probes every surface at least this often.
const OWN: Duration = Duration::from_secs(25);

/// The result of one call that the application made to Clerk. Report it with
/// [`ClerkResilience::report`](crate::ClerkResilience::report):
///
/// ```
/// use axum::http::StatusCode;
/// use clerk_resilience::{CallOutcome, ClerkResilience, Surface};
///
/// /// After each call of the application's own client.
/// fn report(clerk: &ClerkResilience, status: Option<StatusCode>) {
///     let outcome = status.map_or(CallOutcome::Unanswered, CallOutcome::Answered);
///     clerk.report(Surface::BackendApi, outcome);
/// }
/// # let _ = report;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// Clerk's host answered with this status, over valid TLS.
    Answered(StatusCode),
    /// No valid answer arrived: a timeout, a connection reset, or a certificate that is not
    /// Clerk's.
    Unanswered,
}

/// The classification of a reported call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReportKind {
    /// Clerk answered and is not down.
    Good,
    /// The result proves nothing, but justifies a probe.
    Unclear,
    /// Clerk itself reported a failure: a 5xx status, or 429 from any surface but the Backend API.
    Failure,
}

impl ReportKind {
    pub(crate) const KINDS: usize = 3;

    /// Classifies the outcome of a call to `surface`.
    ///
    /// A 429 from the Backend API is unclear, because the application may have exhausted its own
    /// quota.
    pub(crate) fn of(surface: Surface, outcome: CallOutcome) -> Self {
        let CallOutcome::Answered(status) = outcome else { return Self::Unclear };
        match status {
            StatusCode::TOO_MANY_REQUESTS if surface == Surface::BackendApi => Self::Unclear,
            StatusCode::TOO_MANY_REQUESTS => Self::Failure,
            status if status.is_server_error() => Self::Failure,
            _ => Self::Good,
        }
    }
}

/// The reports about one surface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hearsay {
    /// Consecutive failures.
    failures: u32,
    last: Option<Moment>,
}

impl Hearsay {
    /// Records a report. A good answer ends a run of failures and has no other effect.
    pub(super) fn note(&mut self, word: ReportKind, now: Moment) {
        let apart = self.last.is_none_or(|last| now.since(last) >= APART);
        match word {
            ReportKind::Good => *self = Self::default(),
            ReportKind::Failure if apart => {
                let run = self.last.is_some_and(|last| now.since(last) <= LIFE);
                self.failures = if run { self.failures.saturating_add(1) } else { 1 };
                self.last = Some(now);
            }
            ReportKind::Failure | ReportKind::Unclear => {}
        }
    }

    /// Returns whether the reports are a failure signal.
    ///
    /// A good probe of the same surface since the last reported failure, or within the last 25 s,
    /// overrides the reports. The application's own requests may then be the cause of the failures.
    pub(super) fn is_failing(self, own: &Tracker, now: Moment) -> bool {
        let Some(last) = self.last else { return false };
        let refuted = |good: Moment| good.mono >= last.mono || now.since(good) <= OWN;
        self.failures >= ENOUGH && now.since(last) <= LIFE && !own.last_good().is_some_and(refuted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::health::{Observation, Outcome};

    fn at(secs: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(secs))
    }

    fn told(words: &[(ReportKind, u64)]) -> Hearsay {
        let mut hearsay = Hearsay::default();
        for (word, secs) in words {
            hearsay.note(*word, at(*secs));
        }
        hearsay
    }

    #[test]
    fn only_an_answer_from_clerk_is_a_failure() {
        let answered = |surface, status| {
            let status = StatusCode::from_u16(status).expect("a status");
            ReportKind::of(surface, CallOutcome::Answered(status))
        };
        for surface in Surface::ALL {
            assert_eq!(answered(surface, 503), ReportKind::Failure);
            for status in [200, 304, 401, 404, 422] {
                assert_eq!(answered(surface, status), ReportKind::Good, "{status}");
            }
            assert_eq!(ReportKind::of(surface, CallOutcome::Unanswered), ReportKind::Unclear);
        }
        assert_eq!(answered(Surface::Jwks, 429), ReportKind::Failure);
        assert_eq!(
            answered(Surface::BackendApi, 429),
            ReportKind::Unclear,
            "perhaps our own quota"
        );
    }

    #[test]
    fn two_separate_failures_are_a_signal_for_a_minute() {
        use ReportKind::{Failure, Good, Unclear};
        let none = Tracker::default();
        for (words, is_failing) in [
            (&[(Failure, 0), (Failure, 2)][..], true),
            (&[(Failure, 0), (Unclear, 1), (Failure, 2)], true),
            (&[(Failure, 0)], false),
            (&[(Failure, 0), (Failure, 1)], false),
            (&[(Unclear, 0), (Unclear, 2), (Unclear, 4)], false),
            (&[(Failure, 0), (Good, 1), (Failure, 2)], false),
        ] {
            assert_eq!(told(words).is_failing(&none, at(5)), is_failing, "{words:?}");
        }
        let failing = told(&[(Failure, 0), (Failure, 2)]);
        assert!(failing.is_failing(&none, at(62)) && !failing.is_failing(&none, at(63)));
        for (second, is_failing) in [(60, true), (61, false)] {
            let far = told(&[(Failure, 0), (Failure, second)]);
            assert_eq!(far.is_failing(&none, at(62)), is_failing, "{second} s apart");
        }
    }

    #[test]
    fn an_own_probe_that_was_answered_since_or_lately_knows_better() {
        let failing = told(&[(ReportKind::Failure, 30), (ReportKind::Failure, 40)]);
        let row = [(20, 45, false), (20, 46, true), (39, 65, true), (40, 66, false)];
        for (good, now, is_failing) in row {
            let mut own = Tracker::default();
            own.observe(&Observation {
                surface: Surface::BackendApi,
                at: at(good),
                latency: Duration::ZERO,
                outcome: Outcome::Good,
                clock_skew_millis: None,
            });
            assert_eq!(failing.is_failing(&own, at(now)), is_failing, "{good} {now}");
        }
    }
}
