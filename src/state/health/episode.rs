//! The outages of the last day: their intervals, the episodes they form, and their total duration.

use std::time::Duration;

use clerk_verify::clock::Timestamp;

/// Outages with less than this much time between them belong to one episode.
const EPISODE_GAP: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of stored outages. Beyond it, the two oldest outages become one longer outage.
const MAX_INTERVALS: usize = 128;

/// The outages of the last 24 hours, and those of the current episode.
///
/// All times are wall-clock times, because they are compared with tokens and survive restarts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outages {
    intervals: Vec<Interval>,
    episode_start: Option<Timestamp>,
}

/// One outage. `end` is `None` while the outage lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// The start: usually the last instant at which minting was observed to work.
    pub start: Timestamp,
    /// The end.
    pub end: Option<Timestamp>,
}

impl Outages {
    /// Restores the outages that an earlier process stored. Intervals that end before their start
    /// are dropped.
    #[must_use]
    pub fn restore(intervals: Vec<Interval>, episode_start: Option<Timestamp>) -> Self {
        let sane = |i: &Interval| i.end.is_none_or(|end| end >= i.start);
        Self { intervals: intervals.into_iter().filter(sane).collect(), episode_start }
    }

    /// Begins an outage at `start`. A call during an outage has no effect.
    ///
    /// The outage opens a new episode unless the last outage ended less than 15 minutes before
    /// `start`. Within an episode, the start of the episode never moves.
    pub fn begin(&mut self, start: Timestamp, now: Timestamp) {
        if self.current().is_some() {
            return;
        }
        let last_end = self.intervals.last().and_then(|last| last.end);
        let start = last_end.map_or(start, |end| start.max(end));
        let same_episode = last_end.is_some_and(|end| start.since(end) < EPISODE_GAP);
        if !same_episode || self.episode_start.is_none() {
            self.episode_start = Some(start);
        }
        self.intervals.push(Interval { start, end: None });
        self.forget(now);
    }

    /// Ends the current outage, if there is one.
    pub fn end(&mut self, now: Timestamp) {
        if let Some(last) = self.intervals.last_mut()
            && last.end.is_none()
        {
            last.end = Some(now.max(last.start));
        }
    }

    /// Merges the outages of both sets, and computes the episodes again from the merged intervals.
    #[must_use]
    pub(crate) fn joined_with(&self, other: &Self) -> Self {
        let mut all: Vec<Interval> =
            self.intervals.iter().chain(&other.intervals).copied().collect();
        all.sort_by_key(|interval| interval.start);
        let mut joined = Self::default();
        for interval in all {
            joined.add(interval);
        }
        let stated = self.episode_start.into_iter().chain(other.episode_start).min();
        joined.episode_start = joined.episode_start.max(stated);
        joined
    }

    /// Adds an outage that began no earlier than the last one.
    fn add(&mut self, interval: Interval) {
        let gap =
            |last: &Interval| last.end.map_or(Duration::ZERO, |end| interval.start.since(end));
        let last = self.intervals.last_mut();
        if last.as_ref().is_none_or(|last| gap(last) >= EPISODE_GAP) {
            self.episode_start = Some(interval.start);
        }
        match last.filter(|last| last.end.is_none_or(|end| end >= interval.start)) {
            Some(last) => last.end = last.end.zip(interval.end).map(|(a, b)| a.max(b)),
            None => self.intervals.push(interval),
        }
    }

    /// The start of the current outage; `None` if there is none.
    #[must_use]
    pub fn current(&self) -> Option<Timestamp> {
        self.intervals.last().filter(|last| last.end.is_none()).map(|last| last.start)
    }

    /// True when there is no current outage and the next one would start a new episode.
    #[must_use]
    pub fn are_over(&self, now: Timestamp) -> bool {
        let over = |last: &Interval| last.end.is_some_and(|end| now.since(end) >= EPISODE_GAP);
        self.intervals.last().is_none_or(over)
    }

    /// The start of the first outage of the current or last episode.
    #[must_use]
    pub fn episode_start(&self) -> Option<Timestamp> {
        self.episode_start
    }

    /// The stored outages, oldest first.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Total outage time within the current or last episode.
    #[must_use]
    pub fn spent_in_episode(&self, now: Timestamp) -> Duration {
        self.episode_start.map_or(Duration::ZERO, |start| self.spent_since(start, now))
    }

    /// Total outage time within the last 24 hours.
    #[must_use]
    pub fn spent_in_day(&self, now: Timestamp) -> Duration {
        self.spent_since(now.minus(DAY), now)
    }

    fn spent_since(&self, from: Timestamp, now: Timestamp) -> Duration {
        let spent = |i: &Interval| i.end.unwrap_or(now).since(i.start.max(from));
        self.intervals.iter().map(spent).sum()
    }

    /// Drops the outages that ended more than 24 hours ago and before the current episode.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let horizon = now.minus(DAY);
        let episode = self.episode_start;
        self.intervals.retain(|i| {
            i.end.is_none_or(|end| end >= horizon || episode.is_some_and(|start| end >= start))
        });
        if self.intervals.len() > MAX_INTERVALS {
            let second = self.intervals.remove(1);
            self.intervals[0].end = second.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_secs(minutes * 60)
    }

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn outages_less_than_fifteen_minutes_apart_are_one_episode() {
        let mut outages = Outages::default();
        outages.begin(at(0), at(0));
        outages.end(at(10));
        outages.begin(at(24), at(24));
        assert_eq!(outages.episode_start(), Some(at(0)));
        assert_eq!(outages.spent_in_episode(at(30)), minutes(16));
        outages.end(at(30));
        outages.begin(at(45), at(45));
        assert_eq!(outages.episode_start(), Some(at(45)));
        assert_eq!(outages.spent_in_episode(at(50)), minutes(5));
        assert_eq!(outages.spent_in_day(at(50)), minutes(21));
    }

    fn calendar(intervals: &[(i64, Option<i64>)]) -> Outages {
        let mut outages = Outages::default();
        for (start, end) in intervals {
            outages.begin(at(*start), at(*start));
            if let Some(end) = end {
                outages.end(at(*end));
            }
        }
        outages
    }

    #[test]
    fn merged_outage_histories_contain_both() {
        let rows: [(&[_], &[_], &[_]); 7] = [
            (&[(0, Some(10))], &[], &[(0, Some(10))]),
            (&[(0, Some(10))], &[(40, Some(50))], &[(0, Some(10)), (40, Some(50))]),
            (&[(0, Some(10))], &[(20, Some(30))], &[(0, Some(10)), (20, Some(30))]),
            (&[(0, Some(10))], &[(5, Some(20))], &[(0, Some(20))]),
            (&[(0, Some(30))], &[(5, Some(20))], &[(0, Some(30))]),
            (&[(0, Some(10))], &[(10, None)], &[(0, None)]),
            (&[(0, Some(10)), (20, Some(30))], &[(5, None)], &[(0, None)]),
        ];
        for (one, other, both) in rows {
            let (one, other) = (calendar(one), calendar(other));
            let expected: Vec<_> = both
                .iter()
                .map(|(start, end)| Interval { start: at(*start), end: end.map(at) })
                .collect();
            for joined in [one.joined_with(&other), other.joined_with(&one)] {
                assert_eq!(joined.intervals(), expected);
                assert_eq!(joined.episode_start(), calendar(both).episode_start());
                assert!(joined.spent_in_day(at(60)) >= one.spent_in_day(at(60)));
                assert!(joined.spent_in_episode(at(60)) >= other.spent_in_episode(at(60)));
            }
        }
    }

    #[test]
    fn an_outage_that_lasts_does_not_begin_again() {
        let mut outages = Outages::default();
        outages.begin(at(0), at(0));
        outages.begin(at(5), at(5));
        assert_eq!(outages.current(), Some(at(0)));
    }

    #[test]
    fn a_back_dated_start_never_reaches_into_the_outage_before() {
        let mut outages = Outages::default();
        outages.begin(at(0), at(0));
        outages.end(at(10));
        outages.begin(at(5), at(12));
        assert_eq!(outages.current(), Some(at(10)));
    }

    #[test]
    fn only_the_last_day_counts_and_memory_is_bounded() {
        let mut outages = Outages::default();
        outages.begin(at(0), at(0));
        outages.end(at(60));
        assert_eq!(outages.spent_in_day(at(24 * 60 + 30)), minutes(30));
        for n in 0..1_000 {
            outages.begin(at(100 + 2 * n), at(100 + 2 * n));
            outages.end(at(101 + 2 * n));
        }
        assert!(outages.intervals().len() <= MAX_INTERVALS + 1);
    }

    #[test]
    fn forgetting_detail_never_gives_time_back() {
        let mut outages = Outages::default();
        for n in 0..200 {
            let before = outages.spent_in_episode(at(2 * n));
            outages.begin(at(2 * n), at(2 * n));
            assert!(outages.spent_in_episode(at(2 * n)) >= before);
            outages.end(at(2 * n + 1));
        }
    }
}
