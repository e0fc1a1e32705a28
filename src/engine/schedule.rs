//! The probe schedule: decides when each probe is due.
//!
//! Probes run rarely while Clerk is healthy and often while Clerk seems to fail. During a known
//! outage, the intervals grow.

use std::time::Duration;

use tokio::time::Instant;

use crate::probe::Probe;
use crate::state::health::{Peers, Tracker, Verdict};

/// Minimum time between two starts of the same probe.
const SPACING: Duration = Duration::from_secs(2);
/// Intervals vary by this fraction, so that instances do not probe in step.
const JITTER: f64 = 0.2;
/// While Clerk is down, the interval of the minting probe grows from 5 s to 15 s.
const DOWN_FIRST: Duration = Duration::from_secs(5);
const DOWN_LAST: Duration = Duration::from_secs(15);
const DOWN_GROWTH: f64 = 1.25;
/// Minimum time between two polls of the status page.
const PAGE_SPACING: Duration = Duration::from_secs(60);
/// Delay before the first retry of a failed key or handshake probe. The delay doubles per failure.
const KEYS_FIRST: Duration = Duration::from_secs(2);
/// In a healthy fleet, instances that do not watch lengthen their intervals by this factor.
const RELIANCE: u32 = 30;
/// Longest interval of a shared probe.
const SELDOM: Duration = Duration::from_secs(15 * 60);
/// Number of runs of each probe at the full rate before an alerted instance shares the probe.
///
/// Each instance must prove an outage with its own observations.
const OWN_PROOF: u32 = 6;
/// When another instance suspects an outage, each probe but the status page runs within this time
/// of its last start. For the duration of [`ALARM`], this is also the longest minting interval.
const SOON: Duration = Duration::from_secs(3);
const ALARM: Duration = Duration::from_secs(30);

/// The state of Clerk as the schedule sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outlook {
    /// Clerk is healthy, and the last minting probe did not fail.
    Calm,
    /// A probe failed, or the state of Clerk is unknown.
    Alert,
    /// Clerk is down, and minting probes fail.
    Down,
    /// Clerk recovers from an outage.
    Mending,
}

impl Outlook {
    pub(crate) fn of(verdict: Verdict, minting: &Tracker) -> Self {
        match verdict {
            Verdict::Outage if minting.failures() > 0 => Self::Down,
            Verdict::Outage | Verdict::Recovering => Self::Mending,
            Verdict::Healthy if minting.failures() == 0 => Self::Calm,
            _ => Self::Alert,
        }
    }
}

/// The due times of all probes.
#[derive(Debug)]
pub(crate) struct Schedule {
    slots: [Slot; Probe::ALL.len()],
    outlook: Outlook,
    down_interval: Duration,
    /// The factor by which a fleet lengthens this instance's intervals while the outlook is calm.
    calm_share: u32,
    /// The same factor in all other outlooks.
    share: u32,
    /// The end of the alarm that another instance's suspicion raised.
    alarmed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    due: Instant,
    last: Option<Instant>,
    running: bool,
    /// Failures in a row.
    failures: u32,
    /// Starts of the probe in the present outlook.
    asked: u32,
}

impl Schedule {
    /// Creates a schedule in which all probes are due at once.
    pub(crate) fn new(now: Instant) -> Self {
        let slot = Slot { due: now, last: None, running: false, failures: 0, asked: 0 };
        let slots = [slot; Probe::ALL.len()];
        Self {
            slots,
            outlook: Outlook::Alert,
            down_interval: DOWN_FIRST,
            calm_share: 1,
            share: 1,
            alarmed: None,
        }
    }

    /// Returns true while the outlook is [`Outlook::Calm`].
    pub(crate) fn is_calm(&self) -> bool {
        self.outlook == Outlook::Calm
    }

    fn slot(&mut self, probe: Probe) -> &mut Slot {
        &mut self.slots[probe as usize]
    }

    /// Returns the next due time of any idle probe.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| !slot.running).map(|slot| slot.due).min()
    }

    /// Returns true and marks the probe as running if the probe is due and idle.
    pub(crate) fn take(&mut self, probe: Probe, now: Instant) -> bool {
        let slot = self.slot(probe);
        if slot.running || now < slot.due {
            return false;
        }
        slot.running = true;
        slot.last = Some(now);
        slot.asked += 1;
        true
    }

    /// Records the end of a probe and computes its next due time.
    pub(crate) fn finish(&mut self, probe: Probe, failed: bool, now: Instant) {
        let slot = self.slot(probe);
        slot.failures = if failed { slot.failures.saturating_add(1) } else { 0 };
        let alarmed = probe == Probe::SessionMint && self.alarmed.is_some_and(|until| now < until);
        let interval = self.interval(probe);
        let interval = if alarmed { interval.min(SOON) } else { interval };
        let slot = self.slot(probe);
        slot.running = false;
        slot.due = (now + jittered(interval)).max(slot.last.unwrap_or(now) + SPACING);
    }

    /// Removes a probe from the schedule.
    pub(crate) fn strike(&mut self, probe: Probe) {
        self.slot(probe).running = true;
    }

    /// Makes a probe due as soon as its minimum spacing allows.
    pub(crate) fn hasten(&mut self, probe: Probe, now: Instant) {
        let spacing = if probe == Probe::StatusPage { PAGE_SPACING } else { SPACING };
        self.ask_after(probe, spacing, now);
    }

    /// Makes a probe due at the latest `spacing` after its last start.
    fn ask_after(&mut self, probe: Probe, spacing: Duration, now: Instant) {
        let slot = self.slot(probe);
        let soonest = slot.last.map_or(now, |last| last + spacing);
        slot.due = slot.due.min(soonest.max(now));
    }

    /// Adapts to the number of instances, so that a fleet sends hardly more probes than one
    /// instance.
    pub(crate) fn share(&mut self, peers: &Peers, now: Instant) {
        let calm = peers.watchers().unwrap_or(RELIANCE);
        let more = calm < self.calm_share || peers.members() < self.share;
        (self.calm_share, self.share) = (calm, peers.members());
        if more {
            for probe in Probe::ALL {
                let interval = self.stretched(probe, self.own_interval(probe));
                self.ask_after(probe, jittered(interval), now);
            }
        }
    }

    /// Makes all probes but the status page due soon, because another instance suspects an outage.
    pub(crate) fn ask_all_soon(&mut self, now: Instant) {
        self.alarmed = Some(now + ALARM);
        for probe in Probe::ALL.into_iter().filter(|probe| *probe != Probe::StatusPage) {
            self.ask_after(probe, SOON, now);
        }
    }

    /// Returns true if a probe is running or due within its minimum spacing.
    pub(crate) fn is_under_way(&self, probe: Probe, now: Instant) -> bool {
        let slot = &self.slots[probe as usize];
        slot.running || slot.due <= now + SPACING
    }

    /// Adapts to a new outlook.
    ///
    /// A change to alert or mending makes probes due early, but never more often than the alert
    /// spacing allows, because the outlook may change many times a minute.
    pub(crate) fn adapt(&mut self, outlook: Outlook, now: Instant) {
        if outlook == self.outlook {
            return;
        }
        self.outlook = outlook;
        self.down_interval = DOWN_FIRST;
        for slot in &mut self.slots {
            slot.asked = 0;
        }
        if matches!(outlook, Outlook::Alert | Outlook::Mending) {
            for probe in Probe::ALL {
                self.ask_after(probe, alert_spacing(probe), now);
            }
        }
    }

    fn interval(&mut self, probe: Probe) -> Duration {
        let interval = self.own_interval(probe);
        if (probe, self.outlook) == (Probe::SessionMint, Outlook::Down) {
            self.down_interval = interval.mul_f64(DOWN_GROWTH).min(DOWN_LAST);
        }
        self.stretched(probe, interval)
    }

    /// Returns the interval of a probe, lengthened by the share of the fleet.
    fn stretched(&self, probe: Probe, interval: Duration) -> Duration {
        let (secs, slot) = (Duration::from_secs, self.slots[probe as usize]);
        let (share, longest) = match (probe, self.outlook) {
            // The egress probe does not call Clerk.
            (Probe::Egress, _) => return interval,
            (_, Outlook::Calm) if slot.failures > 0 => return interval,
            (_, Outlook::Calm) => (self.calm_share, SELDOM),
            (_, Outlook::Alert) if slot.asked < OWN_PROOF => return interval,
            (Probe::StatusPage, _) => (self.share, SELDOM),
            (Probe::SessionMint, Outlook::Alert | Outlook::Mending) => (self.share, secs(10)),
            // The health model drops an outage verdict without an observation for a minute.
            (Probe::SessionMint, Outlook::Down) => (self.share, secs(40)),
            _ => (self.share, secs(60)),
        };
        (interval * share).min(longest.max(interval))
    }

    /// Returns the interval of a probe for an instance without peers.
    fn own_interval(&self, probe: Probe) -> Duration {
        let (secs, failures) = (Duration::from_secs, self.slots[probe as usize].failures);
        match (probe, self.outlook) {
            (Probe::StatusPage, _) => secs(75),
            (Probe::Egress, Outlook::Calm | Outlook::Mending) => secs(300),
            (Probe::SessionMint, Outlook::Calm) => secs(10),
            (Probe::SessionMint, Outlook::Mending) => DOWN_FIRST,
            (Probe::SessionMint, Outlook::Down) => self.down_interval,
            (Probe::BackendApi, Outlook::Calm) => secs(30),
            (Probe::Jwks | Probe::Handshake, Outlook::Calm) if failures > 0 => {
                let doublings = failures.min(6) - 1;
                (KEYS_FIRST * 2_u32.pow(doublings)).min(secs(60))
            }
            (_, Outlook::Calm) => secs(60),
            (_, Outlook::Alert) => alert_spacing(probe),
            (_, Outlook::Down | Outlook::Mending) => secs(20),
        }
    }
}

/// Returns the interval of a probe in the alert outlook.
fn alert_spacing(probe: Probe) -> Duration {
    match probe {
        Probe::SessionMint => SPACING,
        Probe::StatusPage => PAGE_SPACING,
        Probe::Egress => Duration::from_secs(5),
        // A failed key probe makes two calls: the Frontend API, then the Backend API.
        Probe::Jwks => Duration::from_secs(15),
        Probe::Handshake | Probe::BackendApi => Duration::from_secs(7),
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks whenever something is due for `span`, and counts the questions by kind.
    fn asked(outlook: Outlook, span: Duration) -> usize {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.outlook = outlook;
        let mut count = 0;
        while let Some(now) = schedule.next_due().filter(|due| *due <= start + span) {
            for probe in Probe::ALL.into_iter().filter(|probe| *probe != Probe::Egress) {
                if schedule.take(probe, now) {
                    let twice = outlook != Outlook::Calm && probe == Probe::Jwks;
                    count += if twice { 2 } else { 1 };
                    schedule.finish(probe, false, now);
                }
            }
            schedule.slots[Probe::Egress as usize].due = start + span * 2;
        }
        count
    }

    #[test]
    fn a_healthy_clerk_is_probed_at_most_every_five_seconds() {
        let hour = Duration::from_secs(3600);
        let count = asked(Outlook::Calm, hour);
        assert!((500..=720 + 5).contains(&count), "{count} questions in an hour");
    }

    #[test]
    fn a_failing_clerk_is_probed_at_most_every_second() {
        let minutes = Duration::from_secs(600);
        for outlook in [Outlook::Alert, Outlook::Down, Outlook::Mending] {
            let count = asked(outlook, minutes);
            assert!(count <= 600, "{outlook:?}: {count} questions in ten minutes");
        }
    }

    #[test]
    fn failed_key_fetches_retry_with_growing_pauses() {
        let mut now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.outlook = Outlook::Calm;
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            assert!(schedule.take(Probe::Jwks, now));
            schedule.finish(Probe::Jwks, true, now);
            let wait = schedule.slots[Probe::Jwks as usize].due - now;
            let range = f64::from(expected) * 0.8..=f64::from(expected) * 1.2;
            assert!(range.contains(&wait.as_secs_f64()), "{expected}: {wait:?}");
            now += wait;
        }
    }

    #[test]
    fn a_probe_never_overlaps_and_keeps_its_distance() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert!(schedule.take(Probe::SessionMint, now));
        assert!(!schedule.take(Probe::SessionMint, now));
        schedule.finish(Probe::SessionMint, false, now);
        schedule.hasten(Probe::SessionMint, now);
        assert!(!schedule.take(Probe::SessionMint, now + SPACING - Duration::from_millis(1)));
        assert!(schedule.take(Probe::SessionMint, now + SPACING));
    }
}
