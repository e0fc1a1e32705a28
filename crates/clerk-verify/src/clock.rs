//! Time, as a value that is passed in.
//!
//! Nothing on the pure floors reads a clock: they are given a [`Moment`]. [`SystemClock`] is the only
//! caller of the operating system's clocks in this crate, and a lint keeps it so.

mod claims_time;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use claims_time::ClaimsTime;

/// As seconds, beyond the year 5000; as milliseconds, before 1974.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Wall-clock time in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The timestamp of so many milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The timestamp of so many seconds since the Unix epoch; saturates instead of overflowing.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The timestamp of a number that is milliseconds or seconds since the Unix epoch, told apart by its
    /// size: Clerk's documents know both.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        if number >= MILLISECONDS_FROM {
            Self::from_millis(number)
        } else {
            Self::from_secs(number)
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time, later by `span`; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This time, earlier by `span`; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with whole seconds, as `2026-03-10T15:57:00Z`.
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

/// One instant as two clocks see it: the wall clock, which tokens speak of and which may jump, and
/// the monotonic clock, which cannot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moment {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Time since an arbitrary fixed point of this process.
    pub mono: Duration,
}

impl Moment {
    /// The same instant later by `span` on both clocks.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self { wall: self.wall.plus(span), mono: self.mono.saturating_add(span) }
    }

    /// The same instant earlier by `span` on both clocks.
    #[must_use]
    pub fn back(self, span: Duration) -> Self {
        Self { wall: self.wall.minus(span), mono: self.mono.saturating_sub(span) }
    }

    /// Time that passed since `earlier` on the monotonic clock.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }

    /// By how much the two clocks disagree about the time that passed since `earlier`.
    #[must_use]
    pub fn jump_since(self, earlier: Self) -> Duration {
        let wall = self.wall.as_millis().saturating_sub(earlier.wall.as_millis());
        let mono = millis(self.mono).saturating_sub(millis(earlier.mono));
        Duration::from_millis(wall.abs_diff(mono))
    }
}

/// A source of [`Moment`]s. Give your own in tests; it is read on every request and must not block.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;

    /// Names the source of this clock's time. Default: `None`, a clock without a name. A clock that
    /// wraps another one forwards its id.
    fn id(&self) -> Option<ClockId> {
        None
    }
}

/// Names a source of time: between two clocks of the same id, the same time passes.
///
/// A simulated Clerk and the layer that asks it must follow one source, else an outage test passes
/// and tests nothing. [`Builder::build`](crate::Builder::build) therefore compares the ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockId(usize);

impl ClockId {
    /// The clocks of the operating system.
    pub const SYSTEM: Self = Self(0);

    /// The id of a clock whose clones share this allocation. It is unique while the clock exists.
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

/// The clocks of the operating system.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "this module is where the clocks are read")]
impl SystemClock {
    /// A clock whose monotonic time starts now.
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
