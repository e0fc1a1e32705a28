//! A token bucket that limits the number of calls per second.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Tolerance for floating-point rounding of fractions of a second.
const ROUNDING: f64 = 1e-6;

/// A rate limiter. After a pause, a burst of one second's worth of calls, but at least one, may
/// start.
#[derive(Debug)]
pub(super) struct RateLimiter {
    per_second: f64,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    amount: f64,
    last: Option<Instant>,
}

impl RateLimiter {
    pub(super) fn new(per_second: f64) -> Self {
        Self { per_second, spent: Mutex::default() }
    }

    /// Returns true and counts a call if one more call may start now.
    pub(super) fn take(&self) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = spent.last.map_or(0.0, |last| (now - last).as_secs_f64());
        spent.last = Some(now);
        spent.amount = (spent.amount - passed * self.per_second).max(0.0);
        let may = spent.amount + 1.0 <= self.per_second.max(1.0) + ROUNDING;
        spent.amount += f64::from(u8::from(may));
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(bucket: &RateLimiter, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(bucket.take())).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn starts_follow_the_rate_after_one_burst() {
        let bucket = RateLimiter::new(20.0);
        assert_eq!(taken(&bucket, 100), 20);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(taken(&bucket, 100), 10);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&bucket, 100), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_one_a_second_starts_one_at_a_time() {
        let bucket = RateLimiter::new(1.0 / 60.0);
        assert_eq!(taken(&bucket, 10), 1);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(taken(&bucket, 10), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(taken(&bucket, 10), 1);
    }
}
