//! Time as a value that callers supply.
//!
//! Code without I/O never reads a clock: it receives a [`Moment`] or a [`Timestamp`].
//! [`SystemClock`] is the only caller of the operating system's clocks in this crate, and a lint
//! enforces this.

mod claims_time;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use claims_time::ClaimsTime;

/// Numbers from this value on are milliseconds. The value means a year after 5000 in seconds, and a
/// year before 1974 in milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Wall-clock time in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Creates a timestamp from seconds since the Unix epoch; saturates instead of overflowing.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Creates a timestamp from seconds or milliseconds since the Unix epoch. Clerk's documents use
    /// both units; the size of the number determines the unit.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        if number >= MILLISECONDS_FROM {
            Self::from_millis(number)
        } else {
            Self::from_secs(number)
        }
    }

    /// Returns milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns this time plus `span`; saturates instead of overflowing.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// Returns this time minus `span`; saturates instead of overflowing.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Returns the time that passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// Formats as RFC 3339 in UTC with whole seconds, such as `2026-03-10T15:57:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = time::OffsetDateTime::from_unix_timestamp(self.as_secs())
            .ok()
            .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}ms", self.0),
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// One instant on two clocks: the wall clock, which tokens use and which may jump, and the
/// monotonic clock, which never jumps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moment {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Monotonic time since an arbitrary fixed point of this process.
    pub mono: Duration,
}

impl Moment {
    /// Returns the instant that is `span` later on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { wall: self.wall.plus(span), mono: self.mono.saturating_add(span) }
    }

    /// Returns the instant that is `span` earlier on both clocks.
    #[must_use]
    pub fn back(self, span: Duration) -> Self {
        Self { wall: self.wall.minus(span), mono: self.mono.saturating_sub(span) }
    }

    /// Returns the monotonic time that passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// Returns the difference between the wall-clock time and the monotonic time that passed since
    /// `earlier`, without sign.
    #[must_use]
    pub fn jump_since(self, earlier: Self) -> Duration {
        let wall = self.wall.as_millis().saturating_sub(earlier.wall.as_millis());
        let mono = millis(self.mono).saturating_sub(millis(earlier.mono));
        Duration::from_millis(wall.abs_diff(mono))
    }
}

/// A source of [`Moment`]s. Every request reads it, so an implementation must not block. Tests can
/// supply their own clock.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Moment;

    /// Returns the identity of this clock's time source. Default: `None`, an anonymous source. A
    /// clock that wraps another one forwards its id.
    fn id(&self) -> Option<ClockId> {
        None
    }
}

/// The identity of a time source. The same time passes on all clocks with the same id.
///
/// A simulated Clerk and the layer must use the same source; otherwise an outage test passes
/// without testing anything. `Builder::build` of `clerk-resilience` therefore compares the ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockId(usize);

impl ClockId {
    /// The time source of the operating system's clocks.
    pub const SYSTEM: Self = Self(0);

    /// Returns the id of a clock whose clones share this allocation. The id is unique while the
    /// clock exists.
    #[must_use]
    pub fn of<T>(shared: &Arc<T>) -> Self {
        Self(Arc::as_ptr(shared).addr())
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }

    fn id(&self) -> Option<ClockId> {
        (**self).id()
    }
}

/// A [`Clock`] that reads the operating system's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "this module is where the clocks are read")]
impl SystemClock {
    /// Creates a clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is where the clocks are read")]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Timestamp::default(), |since| Timestamp::default().plus(since));
        Moment { wall, mono: self.started.elapsed() }
    }

    fn id(&self) -> Option<ClockId> {
        Some(ClockId::SYSTEM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_is_seen_in_either_direction() {
        let start = Moment { wall: Timestamp::from_secs(1_000), mono: Duration::from_secs(5) };
        let later = start.plus(Duration::from_secs(10));
        assert_eq!(later.jump_since(start), Duration::ZERO);
        let forward = Moment { wall: later.wall.plus(Duration::from_secs(3600)), ..later };
        assert_eq!(forward.jump_since(start), Duration::from_secs(3600));
        let back = Moment { wall: later.wall.minus(Duration::from_secs(3600)), ..later };
        assert_eq!(back.jump_since(start), Duration::from_secs(3600));
    }

    #[test]
    fn arithmetic_saturates_at_the_ends_of_time() {
        assert_eq!(Timestamp::from_secs(i64::MAX).plus(Duration::MAX).as_millis(), i64::MAX);
        assert_eq!(Timestamp::from_secs(i64::MIN).minus(Duration::MAX).as_millis(), i64::MIN);
        assert_eq!(Timestamp::from_secs(1).since(Timestamp::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_773_158_220_500).to_string(), "2026-03-10T15:57:00Z");
    }
}
