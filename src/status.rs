//! [`ClerkStatus`]: what the layer knows about Clerk at one instant.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clerk_verify::clock::Moment;

use crate::state::health::{Status, Surface, Verdict};
use crate::state::snapshot::Snapshot;

/// What the layer knows about Clerk at one instant, from
/// [`ClerkResilience::status`](crate::ClerkResilience::status).
///
/// The value does not change: take a new one for a newer state. `/auth/health` shows the same facts
/// and more as JSON.
///
/// ```
/// use clerk_resilience::{ClerkResilience, Surface, SurfaceStatus, Verdict};
///
/// fn banner(clerk: &ClerkResilience) -> Option<&'static str> {
///     let status = clerk.status();
///     let slow = status.surface(Surface::SessionMint) == SurfaceStatus::Degraded;
///     match status.verdict() {
///         Verdict::Outage => Some("Sign-in is unavailable. You stay signed in."),
///         _ if slow => Some("Sign-in is slow at the moment."),
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ClerkStatus {
    snapshot: Arc<Snapshot>,
    at: Moment,
}

impl ClerkStatus {
    pub(crate) fn new(snapshot: Arc<Snapshot>, at: Moment) -> Self {
        Self { snapshot, at }
    }

    /// Returns the verdict on Clerk.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.snapshot.verdict(self.at)
    }

    /// Returns the status of one of Clerk's surfaces.
    #[must_use]
    pub fn surface(&self, surface: Surface) -> Status {
        self.snapshot.health.surface(surface).status()
    }

    /// Returns the start of the current outage: the last time that Clerk was seen to mint a token.
    /// `None` without a proven outage.
    #[must_use]
    pub fn outage_began(&self) -> Option<SystemTime> {
        let proven = self.verdict() == Verdict::Outage;
        let began = self.snapshot.health.alive.filter(|_| proven)?;
        let millis = u64::try_from(began.as_millis()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    }
}
