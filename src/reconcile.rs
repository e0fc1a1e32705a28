//! Reading back what changed at Clerk, so that what webhooks missed is found.
//!
//! Clerk lists users by when they changed last, the newest first. A *walk* reads page after page until it
//! comes to what an earlier walk has read. It is kept after each page, and goes on where it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Users on a page.
pub(crate) const PAGE: u64 = 100;
/// A user who is deleted meanwhile moves all that follow one place forward; so many may be on each page.
const OVERLAP: u64 = 10;
/// What changed so shortly before the end of a walk is read again by the next one: Clerk's machines do not
/// agree on the time to the second.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// An older walk begins anew: too much has moved since.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far users were read. It is kept as JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Course {
    /// All that changed up to then was read.
    synced: Option<Timestamp>,
    walk: Option<Walk>,
}

/// A walk under way.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Walk {
    begun: Timestamp,
    /// When the first user of the first page changed.
    newest: Option<Timestamp>,
    offset: u64,
}

impl Course {
    /// All that changed up to then was read; `None` before the first walk is over.
    #[must_use]
    pub(crate) fn synced(&self) -> Option<Timestamp> {
        self.synced
    }

    /// True when a walk is not over yet.
    #[must_use]
    #[cfg(test)]
    fn is_under_way(&self) -> bool {
        self.walk.is_some()
    }

    /// From which user on the next page is to be read, counted from 0. Begins a walk when none is under way.
    pub(crate) fn next(&mut self, now: Timestamp) -> u64 {
        let fresh = self.walk.take().filter(|walk| now.since(walk.begun) <= LIFETIME);
        let walk = fresh.unwrap_or(Walk { begun: now, newest: None, offset: 0 });
        self.walk.insert(walk).offset
    }

    /// Takes a page in, of so many users, as it was at `now`: when each of them changed, as far as they say so.
    /// True when the walk is over with it.
    pub(crate) fn read(&mut self, changed: &[Timestamp], count: u64, now: Timestamp) -> bool {
        let Some(mut walk) = self.walk.take() else { return true };
        walk.newest = walk.newest.or(changed.iter().max().copied()).map(|newest| newest.min(now));
        let floor = self.synced.map(|synced| synced.minus(MARGIN));
        let known = floor.is_some_and(|floor| changed.iter().any(|at| *at < floor));
        let over = known || count < PAGE;
        if over {
            self.synced = walk.newest.max(self.synced);
        } else {
            walk.offset += count - OVERLAP;
            self.walk = Some(walk);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn ago(secs: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(secs))
    }

    /// Users who changed one second apart, the first one so long ago.
    fn page(first: u64, count: u64) -> Vec<Timestamp> {
        (first..first + count).map(ago).collect()
    }

    fn read(course: &mut Course, page: &[Timestamp]) -> bool {
        course.read(page, page.len() as u64, NOW)
    }

    #[test]
    fn users_who_do_not_say_when_they_changed_end_no_walk_and_none_changed_in_the_future() {
        let mut course = Course::default();
        course.next(NOW);
        let mut dates = page(0, PAGE - 1);
        dates[0] = NOW.plus(LIFETIME);
        assert!(!course.read(&dates, PAGE, NOW));
        course.next(NOW);
        assert!(course.read(&[], 0, NOW));
        assert_eq!(course.synced(), Some(NOW));
    }

    #[test]
    fn the_first_walk_reads_all_pages_and_each_overlaps_the_one_before() {
        let mut course = Course::default();
        let mut offsets = Vec::new();
        loop {
            let offset = course.next(NOW);
            offsets.push(offset);
            assert_eq!(course.synced(), None, "not before it is over");
            if read(&mut course, &page(offset, PAGE.min(250 - offset))) {
                break;
            }
        }
        assert_eq!(offsets, [0, 90, 180]);
        assert_eq!(course.synced(), Some(NOW));
        assert!(!course.is_under_way());
    }

    #[test]
    fn a_later_walk_ends_a_little_behind_what_is_known() {
        let mut course = Course { synced: Some(ago(1000)), walk: None };
        course.next(NOW);
        assert!(!read(&mut course, &page(0, PAGE)));
        course.next(NOW);
        assert!(!read(&mut course, &page(1201, PAGE)), "the margin is read too");
        course.next(NOW);
        assert!(read(&mut course, &page(1202, PAGE)));
        assert_eq!(course.synced(), Some(NOW));
    }

    #[test]
    fn a_walk_goes_on_where_it_was_but_not_after_a_day() {
        let mut course = Course::default();
        course.next(ago(0));
        read(&mut course, &page(0, PAGE));
        let text = serde_json::to_string(&course).expect("JSON");
        let mut course: Course = serde_json::from_str(&text).expect("the same");
        assert_eq!(course.next(NOW.plus(LIFETIME)), 90);
        assert_eq!(course.next(NOW.plus(LIFETIME + Duration::from_secs(1))), 0);
    }

    #[test]
    fn what_changes_during_a_walk_is_left_to_the_next() {
        let mut course = Course::default();
        course.next(NOW);
        read(&mut course, &page(100, PAGE));
        course.next(NOW);
        assert!(read(&mut course, &page(50, 3)));
        assert_eq!(course.synced(), Some(ago(100)));
    }

    #[test]
    fn an_application_without_users_is_in_step_at_once() {
        let mut course = Course::default();
        course.next(NOW);
        assert!(read(&mut course, &[]));
        assert_eq!(course.synced(), None);
        assert!(read(&mut course, &[]), "no walk is under way");
    }
}
