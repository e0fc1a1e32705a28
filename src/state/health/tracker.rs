//! Tracks one surface over time.

use std::collections::VecDeque;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};

use super::observation::{EvidenceClass, FailureKind, LocalFault, Observation, Outcome, SLOW};
use super::surface::Status;

/// Consecutive failures that make a surface `Down`.
const FALL: u32 = 2;
/// Consecutive good answers that make a failed surface `Up` again.
const RISE: u32 = 3;
/// Number of latencies that are stored.
const WINDOW: usize = 32;

/// The history of one surface.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    status: Status,
    since: Option<Timestamp>,
    checked: Option<Timestamp>,
    latencies: VecDeque<Duration>,
    trouble: Option<FailureKind>,
    own_fault: Option<LocalFault>,
    failures: u32,
    failing_since: Option<Moment>,
    /// The last authentic failure of the current run.
    authentic: Option<Moment>,
    /// The last good answer was very slow, and only authentic failures followed.
    very_slow: bool,
    good: u32,
    good_since: Option<Moment>,
    last_good: Option<Moment>,
    last_failure: Option<TrackedFailure>,
    last_hostile: Option<Moment>,
}

/// When a failing call began, and when its failure was certain.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackedFailure {
    pub(super) began: Moment,
    pub(super) at: Moment,
}

impl Tracker {
    /// Records an observation of this surface.
    pub fn observe(&mut self, seen: &Observation) {
        self.checked = Some(seen.at.wall);
        match seen.outcome {
            Outcome::Good => self.succeed(seen),
            Outcome::Failed(evidence, trouble) => self.fail(seen, evidence, trouble),
            Outcome::LocalFault(fault) => self.excuse(seen, fault),
        }
    }

    fn succeed(&mut self, seen: &Observation) {
        if self.latencies.len() == WINDOW {
            self.latencies.pop_front();
        }
        self.latencies.push_back(seen.latency);
        self.good = self.good.saturating_add(1);
        self.good_since.get_or_insert(seen.at);
        self.last_good = Some(seen.at);
        self.failures = 0;
        self.failing_since = None;
        self.authentic = None;
        self.very_slow = seen.is_authentic_evidence();
        self.own_fault = None;
        let settling =
            matches!(self.status, Status::Down | Status::Degraded) && self.trouble.is_some();
        if settling && self.good < RISE {
            self.become_status(Status::Degraded, seen.at);
        } else {
            self.trouble = None;
            let slow = seen.latency >= SLOW;
            self.become_status(if slow { Status::Degraded } else { Status::Up }, seen.at);
        }
    }

    fn fail(&mut self, seen: &Observation, evidence: EvidenceClass, trouble: FailureKind) {
        self.good = 0;
        self.good_since = None;
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(seen.at);
        if evidence == EvidenceClass::Authentic {
            self.authentic = Some(seen.at);
        }
        self.very_slow &= evidence == EvidenceClass::Authentic;
        self.own_fault = None;
        self.trouble = Some(trouble);
        self.last_failure = Some(TrackedFailure { began: seen.at.back(seen.latency), at: seen.at });
        if evidence == EvidenceClass::Hostile {
            self.last_hostile = Some(seen.at);
        }
        let down = self.failures >= FALL;
        self.become_status(if down { Status::Down } else { Status::Degraded }, seen.at);
    }

    /// Records a local fault.
    ///
    /// A starved process learned nothing about the surface. A rejected key or an exhausted quota is
    /// an answer, so it ends the current run of failures.
    fn excuse(&mut self, seen: &Observation, fault: LocalFault) {
        self.own_fault = Some(fault);
        if fault == LocalFault::Local {
            return;
        }
        self.failures = 0;
        self.failing_since = None;
        self.authentic = None;
        self.very_slow = false;
        self.trouble = None;
        self.become_status(Status::Unknown, seen.at);
    }

    fn become_status(&mut self, status: Status, at: Moment) {
        if self.status != status || self.since.is_none() {
            self.status = status;
            self.since = Some(at.wall);
        }
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// When the current status began; `None` before the first observation.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// When the surface was last observed.
    #[must_use]
    pub fn checked(&self) -> Option<Timestamp> {
        self.checked
    }

    /// The last failure, until the surface is up again.
    #[must_use]
    pub fn trouble(&self) -> Option<FailureKind> {
        self.trouble
    }

    /// The local fault that hides the state of the surface, if there is one.
    #[must_use]
    pub fn own_fault(&self) -> Option<LocalFault> {
        self.own_fault
    }

    /// The latency of the last good answer.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.latencies.back().copied()
    }

    /// A percentile, 0 to 100, of the latencies of the last 32 good answers, by nearest rank.
    /// `None` if there was no good answer.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent.min(100)).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }

    /// The number of consecutive failures.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The first failure of the current run.
    #[must_use]
    pub fn failing_since(&self) -> Option<Moment> {
        self.failing_since
    }

    /// The last authentic failure (class A) in the current run of failures.
    #[must_use]
    pub fn last_authentic(&self) -> Option<Moment> {
        self.authentic
    }

    /// True when the last good answer took more than 1.5 s and only authentic failures followed.
    #[must_use]
    pub fn was_very_slow(&self) -> bool {
        self.very_slow
    }

    /// The number of consecutive good answers.
    #[must_use]
    pub fn good(&self) -> u32 {
        self.good
    }

    /// The first good answer of the current run.
    #[must_use]
    pub fn good_since(&self) -> Option<Moment> {
        self.good_since
    }

    /// The last good answer.
    #[must_use]
    pub fn last_good(&self) -> Option<Moment> {
        self.last_good
    }

    pub(super) fn last_failure(&self) -> Option<TrackedFailure> {
        self.last_failure
    }

    /// True when a failure was observed within the last `span`.
    #[must_use]
    pub fn failed_within(&self, span: Duration, now: Moment) -> bool {
        self.last_failure.is_some_and(|last| now.since(last.at) <= span)
    }

    /// The last good answer or failure, whichever is later. Local faults do not count.
    #[must_use]
    pub fn last_told(&self) -> Option<Moment> {
        let failure = self.last_failure.map(|failure| failure.at);
        self.last_good.into_iter().chain(failure).max_by_key(|at| at.mono)
    }

    /// The last answer that did not come from Clerk.
    #[must_use]
    pub fn last_hostile(&self) -> Option<Moment> {
        self.last_hostile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::health::Surface;
    use clerk_verify::transport::TransportError;

    fn seen(outcome: Outcome, latency_millis: u64) -> Observation {
        Observation {
            surface: Surface::SessionMint,
            at: Moment::default(),
            latency: Duration::from_millis(latency_millis),
            outcome,
            clock_skew_millis: None,
        }
    }

    fn statuses(outcomes: &[Observation]) -> Vec<Status> {
        let mut tracker = Tracker::default();
        outcomes
            .iter()
            .map(|o| {
                tracker.observe(o);
                tracker.status()
            })
            .collect()
    }

    #[test]
    fn slow_answers_degrade_a_surface_and_never_bring_it_down() {
        let slow = seen(Outcome::Good, 2_000);
        assert_eq!(statuses(&vec![slow; 50]), vec![Status::Degraded; 50]);
    }

    #[test]
    fn two_failures_are_down_and_three_successes_up() {
        use Status::{Degraded, Down, Up};

        let bad = seen(Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(429)), 0);
        let good = seen(Outcome::Good, 50);
        let run = [&good, &bad, &bad, &good, &good, &good].map(Clone::clone);
        assert_eq!(statuses(&run), [Up, Degraded, Down, Degraded, Degraded, Up]);
    }

    #[test]
    fn our_own_fault_is_shown_and_a_busy_process_interrupts_nothing() {
        let bad = seen(
            Outcome::Failed(EvidenceClass::Unproven, FailureKind::Fault(TransportError::Timeout)),
            0,
        );
        let mut tracker = Tracker::default();
        tracker.observe(&bad);
        tracker.observe(&seen(Outcome::LocalFault(LocalFault::Local), 0));
        tracker.observe(&bad);
        assert_eq!(tracker.failures(), 2);
        let mut tracker = Tracker::default();
        tracker.observe(&seen(Outcome::LocalFault(LocalFault::SecretKey), 0));
        assert_eq!((tracker.status(), tracker.failures()), (Status::Unknown, 0));
        assert_eq!(tracker.own_fault(), Some(LocalFault::SecretKey));
    }

    #[test]
    fn percentiles_are_of_a_bounded_window() {
        let mut tracker = Tracker::default();
        for millis in 1..=132 {
            tracker.observe(&seen(Outcome::Good, millis));
        }
        assert_eq!(tracker.percentile(50), Some(Duration::from_millis(116)));
        assert_eq!(tracker.percentile(95), Some(Duration::from_millis(131)));
        assert_eq!(Tracker::default().percentile(50), None);
    }

    #[test]
    fn a_refusal_of_our_key_ends_a_run_of_failures() {
        let bad = seen(Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(503)), 0);
        let mut tracker = Tracker::default();
        tracker.observe(&bad);
        tracker.observe(&bad);
        tracker.observe(&seen(Outcome::LocalFault(LocalFault::SecretKey), 0));
        assert_eq!((tracker.failures(), tracker.last_authentic().is_some()), (0, false));
    }

    #[test]
    fn one_slow_answer_does_not_make_the_silence_after_it_authentic() {
        let silence = seen(
            Outcome::Failed(EvidenceClass::Unproven, FailureKind::Fault(TransportError::Timeout)),
            0,
        );
        let mut tracker = Tracker::default();
        tracker.observe(&seen(Outcome::Good, 2_000));
        assert!(tracker.was_very_slow());
        tracker.observe(&silence);
        assert!(tracker.last_authentic().is_none() && !tracker.was_very_slow());
    }
}
