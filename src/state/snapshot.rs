//! The state that a request is judged by.
//!
//! The driver publishes snapshots. A request loads one snapshot and uses no other state for its
//! judgement.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::jwks::KeySet;

use crate::state::health::{CLOCK_TOLERANCE, Report, Verdict};
use crate::state::revocation::{Denied, Revocations};
use crate::state::status_page::StatusReport;

/// Maximum age of a snapshot whose verdict counts. An older snapshot comes from a driver that has
/// stopped or is starved, and its verdict is `Unknown`.
pub const MAX_SILENCE: Duration = Duration::from_secs(45);

/// The complete state for the judgement of a request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The verification keys.
    pub keys: KeyState,
    /// Clerk's health.
    pub health: Report,
    /// The last report of Clerk's status page.
    pub page: Option<Arc<StatusReport>>,
    /// Denials by this application, and by webhooks that no durable store holds.
    pub revocations: Revocations,
    /// Denials by webhooks that a store holds durably, beyond the life of this process.
    pub kept: Revocations,
    /// How completely this instance receives denials from elsewhere.
    pub feeds: SyncStatus,
    /// When the driver started. From then on, the monotonic clock limits how far the wall clock can
    /// be set back.
    pub started: Option<Moment>,
    /// When the wall clock was last trustworthy: Clerk was healthy, and its clock agreed.
    pub trusted: Option<Moment>,
    /// When the driver last published; `None` before its first publication.
    pub renewed: Option<Moment>,
    /// The number of publications.
    pub generation: u64,
}

/// The verification keys, and their freshness.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyState {
    /// The key set.
    pub set: KeySet,
    /// When Clerk last confirmed the published keys. `None` if Clerk never did: the set is then
    /// empty or comes from the configuration only.
    pub confirmed: Option<Timestamp>,
    /// The time on the monotonic clock after which an unknown key may cause another refresh.
    pub refresh_after: Option<Duration>,
    /// A refresh for an unknown key is running; other requests may wait for it.
    pub refreshing: bool,
    /// The set includes a key from the configuration, which never expires.
    pub pinned: bool,
}

/// How completely this instance receives denials from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SyncStatus {
    /// Whether this instance has every denial.
    pub deny_list: DenyList,
    /// When the application last received a webhook, or when the last complete reconciliation
    /// began, whichever is later.
    pub webhook: Option<Timestamp>,
    /// The last webhook whose delay this process measured. Duplicates do not count.
    pub delivery: Option<WebhookDelivery>,
    /// The state of the store.
    pub store: StoreHealth,
}

/// A received webhook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WebhookDelivery {
    /// When the webhook arrived.
    pub at: Timestamp,
    /// The delay between the event and its arrival.
    pub lag: Duration,
}

/// The state of the store.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// The instances of the application share the store.
    pub shared: bool,
    /// When the store became unreadable; `None` while it can be read. [`DenyList::External`] has
    /// the time of the last complete read.
    pub unread_since: Option<Moment>,
    /// When the store stopped accepting denials from this instance, so that other instances miss
    /// them. This field also applies to a store of this process alone.
    pub unwritten_since: Option<Moment>,
    /// The number of instances with the same secret key, this one included; 0 before the first
    /// look-up.
    pub members: u32,
}

/// No session is in grace for this long, whatever the policy.
const LOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether this instance has every denial.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum DenyList {
    /// Only this process makes denials, so it has all of them.
    #[default]
    Local,
    /// Only this process makes denials, and its store was lost at this moment with all earlier
    /// denials.
    ///
    /// A denied session or user got no new token since then. Grace ends within a day, so the loss
    /// has no effect after that.
    LostAt(Moment),
    /// Other processes make denials too, and this instance reads them from a store of the
    /// application.
    External {
        /// When the last complete read began; `None` before the first.
        complete: Option<Moment>,
    },
}

impl DenyList {
    /// True when no denial older than `within` can be missing.
    ///
    /// A lost store counts as complete after 24 hours, because no grace lasts longer.
    #[must_use]
    pub fn is_complete(&self, now: Moment, within: Duration) -> bool {
        match self {
            Self::Local => true,
            Self::LostAt(at) => now.since(*at) > LOST,
            Self::External { complete } => complete.is_some_and(|at| now.since(at) <= within),
        }
    }
}

impl KeyState {
    /// The time since Clerk last confirmed the keys; `None` if Clerk never did.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.confirmed.map(|at| now.since(at))
    }

    /// True when tokens can be verified: there are keys, and either Clerk confirmed them within
    /// `limit` or the configuration provides one.
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
    /// The time for deadlines: the wall clock, but never earlier than the process's own run time
    /// implies. Setting the wall clock back extends no deadline.
    #[must_use]
    pub fn latest(&self, now: Moment) -> Timestamp {
        let lived = self.started.map(|started| started.wall.plus(now.since(started)));
        lived.map_or(now.wall, |lived| lived.max(now.wall))
    }

    /// The stricter result of `says` for the two sets of denials.
    #[must_use]
    pub fn denied(&self, says: impl Fn(&Revocations) -> Option<Denied>) -> Option<Denied> {
        says(&self.revocations).max(says(&self.kept))
    }

    /// True when `says` holds for at least one of the two sets of denials.
    #[must_use]
    pub fn denies(&self, says: impl Fn(&Revocations) -> bool) -> bool {
        says(&self.revocations) || says(&self.kept)
    }

    /// The time up to which data may be deleted permanently.
    ///
    /// It is never later than the monotonic clock implies, so a wall clock that is ahead deletes
    /// nothing. `None` if the wall clock was never trustworthy.
    #[must_use]
    pub fn certain(&self, now: Moment) -> Option<Timestamp> {
        let trusted = self.trusted?;
        Some(trusted.wall.plus(now.since(trusted)).min(now.wall))
    }

    /// The same snapshot without distrusted keys: they verify no session token, machine token or
    /// handshake.
    pub(crate) fn without_distrusted_keys(mut self) -> Self {
        let Self { keys, revocations, .. } = &mut self;
        *revocations = with_fingerprints(revocations, &keys.set);
        keys.set = keys.set.distrusting(|id| revocations.distrust(Some(id)));
        self
    }

    /// The verdict that counts at `now`. It is `Unknown` if the driver has not published for more
    /// than [`MAX_SILENCE`], or if the clock jumped since its last publication.
    #[must_use]
    pub fn verdict(&self, now: Moment) -> Verdict {
        let Some(renewed) = self.renewed else { return Verdict::Unknown };
        let jumped = now.jump_since(renewed) > CLOCK_TOLERANCE;
        if self.is_stale(now) || jumped { Verdict::Unknown } else { self.forced_or_observed(now) }
    }

    /// True if the driver published before, and not for more than [`MAX_SILENCE`].
    #[must_use]
    pub fn is_stale(&self, now: Moment) -> bool {
        self.renewed.is_some_and(|renewed| now.since(renewed) > MAX_SILENCE)
    }

    /// An operator's override expires on time, even between two publications.
    fn forced_or_observed(&self, now: Moment) -> Verdict {
        match self.health.forced {
            Some(forced) if now.mono >= forced.until.mono => self.health.observed,
            _ => self.health.verdict,
        }
    }
}

/// Adds a distrusted key's fingerprint to the denials of its ID.
///
/// The key then stays distrusted after Clerk stops publishing it, and also in `CLERK_JWT_KEY`,
/// where it has no ID.
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
    fn the_verdict_of_a_silent_driver_is_ignored() {
        let start = Moment::default();
        let snapshot = in_outage(start);
        assert_eq!(snapshot.verdict(start.plus(MAX_SILENCE)), Verdict::Outage);
        let late = start.plus(MAX_SILENCE + Duration::from_millis(1));
        assert_eq!(snapshot.verdict(late), Verdict::Unknown);
        assert_eq!(Snapshot::default().verdict(start), Verdict::Unknown);
    }

    #[test]
    fn denials_before_a_store_loss_matter_for_a_day() {
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
        for observed in [Verdict::Unknown, Verdict::Healthy, Verdict::Outage] {
            snapshot.health.observed = observed;
            assert_eq!(snapshot.verdict(until), observed);
        }
    }

    #[test]
    fn keys_grow_old_unless_they_are_pinned() {
        let limit = Duration::from_secs(10);
        let now = Timestamp::from_secs(100);
        let pem = include_str!("../../tests/data/public-key.pem");
        let set = KeySet::from_pem(pem).expect("a public key");
        let keys = |secs, pinned| KeyState {
            set: set.clone(),
            confirmed: Some(Timestamp::from_secs(secs)),
            pinned,
            ..KeyState::default()
        };
        assert!(keys(90, false).usable(now, limit));
        assert!(!keys(89, false).usable(now, limit));
        assert!(keys(0, true).usable(now, limit));
        assert!(!KeyState { pinned: true, ..KeyState::default() }.usable(now, limit));
    }
}
