//! What is known at one instant. A request is judged from one snapshot and nothing else.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::jwks::KeySet;

use crate::state::health::{CLOCK_TOLERANCE, Report, Verdict};
use crate::state::revocation::{Denied, Revocations};
use crate::state::status_page::StatusReport;

/// A snapshot that was not renewed for this long comes from a driver that is dead or starved; what
/// it says of Clerk's health is then no longer believed.
pub const MAX_SILENCE: Duration = Duration::from_secs(45);

/// Everything a request is judged by.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The verification keys.
    pub keys: Keys,
    /// Clerk's health.
    pub health: Report,
    /// What Clerk's status page said last.
    pub page: Option<Arc<StatusReport>>,
    /// What was taken back: by this application, and by webhooks that no store keeps for long.
    pub revocations: Revocations,
    /// What webhooks took back, and a store keeps that outlives this process.
    pub kept: Revocations,
    /// How well this application is told what others take back.
    pub feeds: SyncStatus,
    /// When the driver started; from then on the wall clock cannot lie about how late it is.
    pub started: Option<Moment>,
    /// When the wall clock was last to be trusted: Clerk was well, and agreed with it.
    pub trusted: Option<Moment>,
    /// When the driver last gave a sign of life; `None` before its first.
    pub renewed: Option<Moment>,
    /// Counts publications.
    pub generation: u64,
}

/// The verification keys, and how fresh they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Keys {
    /// The set.
    pub set: KeySet,
    /// When Clerk last confirmed the published part of it. `None` when it never did: then the set is
    /// empty or comes from the configuration alone.
    pub confirmed: Option<Timestamp>,
    /// After this, on the monotonic clock, an unknown key may cause another refresh.
    pub refresh_after: Option<Duration>,
    /// A refresh for an unknown key is under way; others may wait for it.
    pub refreshing: bool,
    /// The set includes a key from the configuration, which never grows old.
    pub pinned: bool,
}

/// How well this application is told what others take back.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SyncStatus {
    /// Whether all denials are here.
    pub deny_list: DenyList,
    /// When the last webhook of Clerk's came, or the last reconciliation of everything was complete.
    pub webhook: Option<Timestamp>,
    /// The last webhook that came to this process.
    pub delivery: Option<Delivery>,
    /// The store, when there is one.
    pub store: StoreHealth,
}

/// A webhook that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// So long after what it tells of.
    pub lag: Duration,
}

/// How the store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Instances of the application share it.
    pub shared: bool,
    /// Since when it cannot be read. How long ago it was read is in [`DenyList::External`].
    pub unread_since: Option<Moment>,
    /// Since when it does not take what is denied here, so that the others do not hear of it. Of a store of
    /// this process's own, too.
    pub unwritten_since: Option<Moment>,
    /// How many instances there are, this one included, that have the same secret key; 0 before that was
    /// looked at.
    pub members: u32,
}

/// No grace is as old, whatever the policy.
const LOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether all denials are here.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum DenyList {
    /// Denials are made in this process alone, so that it has them all.
    #[default]
    Local,
    /// The same, since then; those of before were lost with the store that had them. Whoever was denied got
    /// no token since, and grace is over within a day: then it does not matter any more.
    LostAt(Moment),
    /// Others make them too, and they are read from a store of the application's.
    External {
        /// When the last complete reading began.
        complete: Option<Moment>,
    },
}

impl DenyList {
    /// True when no denial made before `within` can be missing.
    #[must_use]
    pub fn is_complete(&self, now: Moment, within: Duration) -> bool {
        match self {
            Self::Local => true,
            Self::LostAt(at) => now.since(*at) > LOST,
            Self::External { complete } => complete.is_some_and(|at| now.since(at) <= within),
        }
    }
}

impl Keys {
    /// How old Clerk's last confirmation is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.confirmed.map(|at| now.since(at))
    }

    /// True when tokens can be verified at all: there are keys, and they were confirmed within
    /// `limit` or come from the configuration.
    #[must_use]
    pub fn usable(&self, now: Timestamp, limit: Duration) -> bool {
        !self.set.is_empty() && (self.pinned || self.age(now).is_some_and(|age| age <= limit))
    }

    /// True when a refresh for an unknown key is due at `now`.
    #[must_use]
    pub fn may_refresh(&self, now: Moment) -> bool {
        self.refresh_after.is_none_or(|after| now.mono >= after)
    }
}

impl Snapshot {
    /// The time as deadlines see it: a wall clock that is set back gives no time back.
    #[must_use]
    pub fn latest(&self, now: Moment) -> Timestamp {
        let lived = self.started.map(|started| started.wall.plus(now.since(started)));
        lived.map_or(now.wall, |lived| lived.max(now.wall))
    }

    /// What the stricter of both sets of denials says.
    #[must_use]
    pub fn denied(&self, says: impl Fn(&Revocations) -> Option<Denied>) -> Option<Denied> {
        says(&self.revocations).max(says(&self.kept))
    }

    /// True when either set of denials says so.
    #[must_use]
    pub fn denies(&self, says: impl Fn(&Revocations) -> bool) -> bool {
        says(&self.revocations) || says(&self.kept)
    }

    /// The time by which something may be forgotten for good: a wall clock that is ahead ends nothing.
    /// `None` as long as it was never to be trusted.
    #[must_use]
    pub fn certain(&self, now: Moment) -> Option<Timestamp> {
        let trusted = self.trusted?;
        Some(trusted.wall.plus(now.since(trusted)).min(now.wall))
    }

    /// The same, in which no key that was taken back verifies anything: no session's token, no
    /// machine's and no handshake.
    pub(crate) fn without_distrusted_keys(mut self) -> Self {
        let Self { keys, revocations, .. } = &mut self;
        *revocations = with_fingerprints(revocations, &keys.set);
        keys.set = keys.set.distrusting(|id| revocations.distrust(Some(id)));
        self
    }

    /// The verdict as it can be believed now: `Unknown` when the driver is silent or the clock
    /// jumped since its last sign of life.
    #[must_use]
    pub fn verdict(&self, now: Moment) -> Verdict {
        let Some(renewed) = self.renewed else { return Verdict::Unknown };
        let silent = now.since(renewed) > MAX_SILENCE;
        let jumped = now.jump_since(renewed) > CLOCK_TOLERANCE;
        if silent || jumped { Verdict::Unknown } else { self.forced_or_found(now) }
    }

    /// An operator's word lapses by itself, between two publications too.
    fn forced_or_found(&self, now: Moment) -> Verdict {
        match self.health.forced {
            Some(forced) if now.mono >= forced.until.mono => Verdict::Unknown,
            _ => self.health.verdict,
        }
    }
}

/// A key that is distrusted by its name is so by its numbers as well, also when Clerk has ceased to
/// publish it: it may still come without its name, from `CLERK_JWT_KEY`.
fn with_fingerprints(revocations: &Revocations, set: &KeySet) -> Revocations {
    let distrusted = set.keys().filter_map(|key| {
        let until = revocations.distrusted_until(key.id()?)?;
        Some((key.fingerprint().clone(), until))
    });
    distrusted.fold(revocations.clone(), |set, (key, until)| set.with_key(&key, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::health::Forced;

    fn in_outage(renewed: Moment) -> Snapshot {
        let mut health = Report::default();
        health.verdict = Verdict::Outage;
        Snapshot { health, renewed: Some(renewed), ..Snapshot::default() }
    }

    #[test]
    fn what_a_silent_driver_said_is_not_believed() {
        let start = Moment::default();
        let snapshot = in_outage(start);
        assert_eq!(snapshot.verdict(start.plus(MAX_SILENCE)), Verdict::Outage);
        let late = start.plus(MAX_SILENCE + Duration::from_millis(1));
        assert_eq!(snapshot.verdict(late), Verdict::Unknown);
        assert_eq!(Snapshot::default().verdict(start), Verdict::Unknown);
    }

    #[test]
    fn what_was_denied_before_a_store_was_lost_matters_for_a_day() {
        let (day, minute) = (Duration::from_secs(24 * 60 * 60), Duration::from_secs(60));
        let start = Moment::default();
        let lost = DenyList::LostAt(start);
        assert!(!lost.is_complete(start, minute));
        assert!(!lost.is_complete(start.plus(day), minute));
        assert!(lost.is_complete(start.plus(day + Duration::from_millis(1)), minute));
    }

    #[test]
    fn a_jump_of_the_clock_makes_the_verdict_unknown_at_once() {
        let start = Moment { wall: Timestamp::from_secs(10_000), ..Moment::default() };
        let snapshot = in_outage(start);
        let later = start.plus(Duration::from_secs(1));
        for wall in
            [later.wall.plus(Duration::from_secs(3)), later.wall.minus(Duration::from_secs(3))]
        {
            assert_eq!(snapshot.verdict(Moment { wall, ..later }), Verdict::Unknown);
        }
        assert_eq!(snapshot.verdict(later), Verdict::Outage);
        let tolerated = Moment { wall: later.wall.plus(CLOCK_TOLERANCE), ..later };
        assert_eq!(snapshot.verdict(tolerated), Verdict::Outage);
    }

    #[test]
    fn the_word_of_an_operator_lapses_between_two_publications() {
        let start = Moment::default();
        let mut snapshot = in_outage(start);
        let until = start.plus(Duration::from_secs(10));
        snapshot.health.forced = Some(Forced { verdict: Verdict::Outage, from: start, until });
        let last = start.plus(Duration::from_millis(9_999));
        assert_eq!(snapshot.verdict(last), Verdict::Outage);
        assert_eq!(snapshot.verdict(until), Verdict::Unknown);
    }

    #[test]
    fn keys_grow_old_unless_they_are_pinned() {
        let limit = Duration::from_secs(10);
        let now = Timestamp::from_secs(100);
        let pem = include_str!("../../tests/data/public-key.pem");
        let set = KeySet::from_pem(pem).expect("a public key");
        let keys = |secs, pinned| Keys {
            set: set.clone(),
            confirmed: Some(Timestamp::from_secs(secs)),
            pinned,
            ..Keys::default()
        };
        assert!(keys(90, false).usable(now, limit));
        assert!(!keys(89, false).usable(now, limit));
        assert!(keys(0, true).usable(now, limit));
        assert!(!Keys { pinned: true, ..Keys::default() }.usable(now, limit));
    }
}
