//! Reading back what changed at Clerk, so that what webhooks missed is found.
//!
//! Clerk lists users by when they changed last, the newest first: `GET /v1/users?order_by=-updated_at`. A *walk*
//! reads page after page until it comes to what an earlier walk has read. Of memberships there is no such list,
//! and no list tells who is gone. So a *whole* walk goes on: through all memberships of the instance in the order
//! in which they began (`GET /v1/organization_memberships?order_by=+created_at`), and through everybody who is
//! kept here. The course is kept after each page, and goes on where it was.
//!
//! Endpoints, orders and limits are those of Clerk's `OpenAPI` document `bapi/2026-05-12.yml` (`GetUserList`,
//! `InstanceGetOrganizationMemberships`): both lists take `limit` up to 500 and `offset`; memberships can be
//! ordered by `created_at`, but not by when they changed, and cannot be asked for by user.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use clerk_verify::clock::Timestamp;

/// Users on a page.
pub(crate) const USERS: u64 = 100;
/// Memberships on a page. Clerk would give 500; each may have 32 KiB of metadata.
pub(crate) const MEMBERS: u64 = 250;
/// Who is deleted meanwhile moves all that follow one place forward; so many may be on each page.
const OVERLAP: u64 = 10;
/// What changed so shortly before the end of a walk is read again by the next one: Clerk's machines do not
/// agree on the time to the second.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// An older walk begins anew: too much has moved since.
const LIFETIME: Duration = DAY;
/// So does one that was not gone on with for so long: what was read first is old by now.
const PAUSE: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far Clerk was read. It is kept as JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct SyncCursor {
    /// Of which instance of Clerk's, by its issuer.
    #[serde(default)]
    instance: Option<String>,
    /// All users who changed up to then were read.
    synced: Option<Timestamp>,
    /// The last whole walk that came to its end began then.
    whole: Option<Timestamp>,
    /// The last walk came to its end then.
    ended: Option<Timestamp>,
    walk: Option<SyncRun>,
}

/// A walk under way.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct SyncRun {
    begun: Timestamp,
    /// When its last page was read.
    touched: Timestamp,
    whole: bool,
    step: Step,
}

/// What is to be read next.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Users, from that one on, counted from 0. `newest` is when the first of the first page changed.
    Users { offset: u64, newest: Option<Timestamp> },
    /// Memberships, from that one on.
    Members { offset: u64 },
    /// Those who are kept here, behind that mark of the store's.
    Kept { after: Option<String> },
}

/// How much is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SyncScope {
    /// Users who changed; everything, when that was not read for a day.
    Changes,
    /// Everything.
    Whole,
}

impl SyncCursor {
    /// All users who changed up to then were read; `None` before they were for the first time.
    pub(crate) fn synced(&self) -> Option<Timestamp> {
        self.synced
    }

    /// True when a page was read within so short a time, and more are to come: somebody is at it.
    pub(crate) fn is_busy(&self, now: Timestamp, within: Duration) -> bool {
        let lately = |at| at <= now.plus(MARGIN) && now.since(at) < within;
        self.walk.as_ref().is_some_and(|walk| lately(walk.touched))
    }

    /// True when a walk came to its end within so short a time, and none is under way.
    pub(crate) fn is_fresh(&self, now: Timestamp, within: Duration) -> bool {
        let lately = |at| at <= now.plus(MARGIN) && now.since(at) < within;
        self.walk.is_none() && self.ended.is_some_and(lately)
    }

    /// Says of which instance it is. False when it was another one's.
    #[must_use]
    pub(crate) fn claim(&mut self, instance: &str) -> bool {
        self.instance.get_or_insert_with(|| instance.to_owned()) == instance
    }

    /// Begins a walk, or goes on with the one under way. What was noted by a clock that was ahead is not believed.
    pub(crate) fn begin(&mut self, reach: SyncScope, now: Timestamp) {
        let latest = now.plus(MARGIN);
        self.synced = self.synced.filter(|synced| *synced <= latest);
        self.whole = self.whole.filter(|whole| *whole <= latest);
        self.walk = self.walk.take().filter(|walk| walk.touched <= latest);
        let old = self.whole.is_none_or(|whole| now.since(whole) >= DAY);
        let fresh = self
            .walk
            .take()
            .filter(|walk| now.since(walk.begun) <= LIFETIME && now.since(walk.touched) <= PAUSE);
        let step = Step::Users { offset: 0, newest: None };
        let mut walk = fresh.unwrap_or(SyncRun { begun: now, touched: now, whole: old, step });
        walk.whole |= reach == SyncScope::Whole;
        self.walk = Some(walk);
    }

    /// What is to be read next, and when the walk began; `None` when it is over.
    pub(crate) fn next(&self) -> Option<(Step, Timestamp)> {
        self.walk.as_ref().map(|walk| (walk.step.clone(), walk.begun))
    }

    /// Takes in a page of so many users, as it was at `now`: when each of them changed, as far as they say so.
    pub(crate) fn read_users(&mut self, changed: &[Timestamp], count: u64, now: Timestamp) {
        let Some(SyncRun { step: Step::Users { offset, newest }, .. }) = self.walk else { return };
        let newest = newest.or(changed.iter().max().copied()).map(|newest| newest.min(now));
        let floor = self.synced.map(|synced| synced.minus(MARGIN));
        let known = floor.is_some_and(|floor| changed.iter().any(|at| *at < floor));
        if known || count < USERS {
            self.synced = newest.max(self.synced);
            let whole = self.walk.as_ref().is_some_and(|walk| walk.whole);
            self.go_on(whole.then_some(Step::Members { offset: 0 }), now);
        } else {
            self.go_on(Some(Step::Users { offset: offset + count - OVERLAP, newest }), now);
        }
    }

    /// Takes in a page of so many memberships.
    pub(crate) fn read_members(&mut self, count: u64, now: Timestamp) {
        let Some(SyncRun { step: Step::Members { offset }, .. }) = self.walk else { return };
        let step = if count < MEMBERS {
            Step::Kept { after: None }
        } else {
            Step::Members { offset: offset + count - OVERLAP }
        };
        self.go_on(Some(step), now);
    }

    /// Takes in that some of those who are kept were compared; the rest is behind that mark.
    pub(crate) fn read_kept(&mut self, after: Option<String>, now: Timestamp) {
        let begun = self.walk.as_ref().map(|walk| walk.begun);
        if after.is_none() {
            self.whole = begun.max(self.whole);
        }
        self.go_on(after.map(|after| Step::Kept { after: Some(after) }), now);
    }

    fn go_on(&mut self, step: Option<Step>, now: Timestamp) {
        if let (Some(step), Some(walk)) = (step, &mut self.walk) {
            (walk.step, walk.touched) = (step, now);
        } else {
            (self.walk, self.ended) = (None, Some(now));
        }
    }
}

#[cfg(test)]
mod tests;
