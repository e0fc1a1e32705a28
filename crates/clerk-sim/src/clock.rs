//! A clock that follows tokio's time, so that a paused runtime also pauses the simulated Clerk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use clerk_verify::clock::{Clock, ClockId, Moment, SystemClock, Timestamp};

/// A [`Clock`] whose wall and monotonic time follow [`tokio::time::Instant`]. A test can also make
/// the wall clock [jump](Self::jump).
///
/// Under `tokio::time::pause` the clock stops until tokio's time advances. Clones share the same
/// clock. Monotonic time starts at zero.
#[derive(Clone, Debug)]
pub struct SimClock {
    base: Timestamp,
    started: Instant,
    jumped: Arc<AtomicI64>,
    skew: i64,
}

impl SimClock {
    /// Creates a clock whose wall time is `base` now.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, started: Instant::now(), jumped: Arc::default(), skew: 0 }
    }

    /// Creates a clock that starts at the operating system's wall time and then follows tokio.
    #[must_use]
    pub fn starting_now() -> Self {
        Self::starting_at(SystemClock::new().now().wall)
    }

    /// Moves the wall clock by this many milliseconds, backwards if negative. Monotonic time is
    /// unaffected. Jumps add up.
    pub fn jump(&self, millis: i64) {
        self.jumped.fetch_add(millis, Ordering::Relaxed);
    }

    /// Returns the same clock as a host with a wrong wall clock reads it, for tests of clock skew.
    /// `millis` is the error, negative if the host is behind.
    #[must_use]
    pub fn skewed(&self, millis: i64) -> Self {
        Self { skew: self.skew.saturating_add(millis), ..self.clone() }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        let mono = self.started.elapsed();
        let wall = self.base.plus(mono);
        let shift = self.jumped.load(Ordering::Relaxed).saturating_add(self.skew);
        Moment { wall: shifted(wall, shift), mono }
    }

    fn id(&self) -> Option<ClockId> {
        Some(ClockId::of(&self.jumped))
    }
}

/// Adds milliseconds to a timestamp, or subtracts them if negative; saturates.
pub(super) fn shifted(at: Timestamp, millis: i64) -> Timestamp {
    let span = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { at.minus(span) } else { at.plus(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_tokio_time_and_the_wall_jumps_alone() {
        let clock = SimClock::starting_at(Timestamp::from_secs(1_000));
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now().wall, Timestamp::from_secs(1_060));
        clock.clone().jump(-3_600_000);
        let after = clock.now();
        assert_eq!(after.wall, Timestamp::from_millis(1_060_000 - 3_600_000));
        assert_eq!(after.since(before), Duration::from_secs(60));
        assert_eq!(after.jump_since(before), Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_skewed_clock_is_off_by_a_constant() {
        let clock = SimClock::starting_at(Timestamp::from_secs(1_000));
        let behind = clock.skewed(-30_000);
        clock.jump(5_000);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(behind.now().wall, Timestamp::from_secs(1_035));
        assert_eq!(behind.now().mono, clock.now().mono);
        assert_eq!(behind.id(), clock.id());
        assert_ne!(behind.id(), SimClock::starting_at(Timestamp::from_secs(1_000)).id());
    }
}
