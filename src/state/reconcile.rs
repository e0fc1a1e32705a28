//! Reconciliation: reads changes back from Clerk, to find what webhooks missed.
//!
//! Clerk lists users by last change, newest first: `GET /v1/users?order_by=-updated_at`. A *run*
//! reads page after page until it reaches users that an earlier run has read. Memberships have no
//! such list, and no list names deleted users. A *whole* run therefore continues with two more
//! steps. It reads all memberships of the instance in order of creation (`GET
//! /v1/organization_memberships?order_by=+created_at`). Then it compares every user in the store.
//! The cursor is stored after each page, and the next run resumes there.
//!
//! Endpoints, orders and limits follow Clerk's `OpenAPI` document `bapi/2026-05-12.yml`
//! (`GetUserList`, `InstanceGetOrganizationMemberships`). Both lists take `limit` up to 500 and
//! `offset`. Memberships can be ordered by `created_at`, but not by last change, and cannot be
//! filtered by user.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use clerk_verify::clock::Timestamp;

/// Users per page.
pub(crate) const USERS: u64 = 100;
/// Memberships per page. Clerk allows 500, but each can have 32 KiB of metadata.
pub(crate) const MEMBERS: u64 = 250;
/// Overlap of consecutive pages. A deletion during a run moves all later entries forward by one,
/// and the overlap covers this number of deletions per page.
const OVERLAP: u64 = 10;
/// Changes this soon before the end of a run are read again by the next run, because the clocks of
/// Clerk's servers differ. Also the tolerance for stored times that are in the future.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// Maximum age of a run. An older run starts again, because too much has changed since.
const LIFETIME: Duration = DAY;
/// Maximum pause of a run. After a longer pause, the run starts again, because its first pages are
/// outdated.
const PAUSE: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The progress of reading from Clerk, stored as JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct SyncCursor {
    /// The issuer of the Clerk instance.
    #[serde(default)]
    instance: Option<String>,
    /// All users that changed up to this time were read.
    synced: Option<Timestamp>,
    /// When the last completed whole run began.
    whole: Option<Timestamp>,
    /// When the last run ended.
    ended: Option<Timestamp>,
    walk: Option<SyncRun>,
}

/// A run in progress.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct SyncRun {
    begun: Timestamp,
    /// When the last page was read.
    touched: Timestamp,
    whole: bool,
    step: Step,
}

/// The next step of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Read users from `offset`, counted from 0. `newest` is the latest change on the first page.
    Users { offset: u64, newest: Option<Timestamp> },
    /// Read memberships from `offset`, counted from 0.
    Members { offset: u64 },
    /// Compare the stored users after this position of the store.
    Kept { after: Option<String> },
}

/// The scope of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SyncScope {
    /// Users that changed, or everything if the last whole run began more than a day ago.
    Changes,
    /// Everything.
    Whole,
}

impl SyncCursor {
    /// All users that changed up to this time were read; `None` before the first time.
    pub(crate) fn synced(&self) -> Option<Timestamp> {
        self.synced
    }

    /// True when a run is in progress and read a page within `within`: some instance is working on
    /// it.
    pub(crate) fn is_busy(&self, now: Timestamp, within: Duration) -> bool {
        let lately = |at| at <= now.plus(MARGIN) && now.since(at) < within;
        self.walk.as_ref().is_some_and(|walk| lately(walk.touched))
    }

    /// True when no run is in progress and the last run ended within `within`.
    pub(crate) fn is_fresh(&self, now: Timestamp, within: Duration) -> bool {
        let lately = |at| at <= now.plus(MARGIN) && now.since(at) < within;
        self.walk.is_none() && self.ended.is_some_and(lately)
    }

    /// Binds the cursor to a Clerk instance. Returns false if it belongs to another instance.
    #[must_use]
    pub(crate) fn claim(&mut self, instance: &str) -> bool {
        self.instance.get_or_insert_with(|| instance.to_owned()) == instance
    }

    /// Begins a run, or resumes the run in progress. Times stored by a clock that was ahead are
    /// dropped.
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

    /// The next step, and when the run began; `None` when the run is over.
    pub(crate) fn next(&self) -> Option<(Step, Timestamp)> {
        self.walk.as_ref().map(|walk| (walk.step.clone(), walk.begun))
    }

    /// Records a page of `count` users, as of `now`. `changed` has the times of last change of the
    /// users that state one.
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

    /// Records a page of `count` memberships.
    pub(crate) fn read_members(&mut self, count: u64, now: Timestamp) {
        let Some(SyncRun { step: Step::Members { offset }, .. }) = self.walk else { return };
        let step = if count < MEMBERS {
            Step::Kept { after: None }
        } else {
            Step::Members { offset: offset + count - OVERLAP }
        };
        self.go_on(Some(step), now);
    }

    /// Records that stored users were compared. The rest follow after position `after`; `None` ends
    /// the run.
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
