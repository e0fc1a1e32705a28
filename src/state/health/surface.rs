//! The parts of Clerk that fail independently.

use std::fmt;

/// One part of Clerk. Each surface fails and recovers independently, so each has its own health.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Surface {
    /// The Frontend API's path that mints session tokens. Every session depends on it.
    SessionMint,
    /// The Frontend API's path that renews a session on a page navigation.
    Handshake,
    /// The Backend API, called with the secret key.
    BackendApi,
    /// The published signing keys (JWKS). A cache often serves them while the rest of Clerk is
    /// down.
    Jwks,
    /// Clerk's status page. Its reports are late and understated, so they are a hint and never
    /// sufficient evidence.
    StatusPage,
}

impl Surface {
    /// All surfaces, in a fixed order.
    pub const ALL: [Self; 5] =
        [Self::SessionMint, Self::Handshake, Self::BackendApi, Self::Jwks, Self::StatusPage];

    /// A stable name, such as `session-mint`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionMint => "session-mint",
            Self::Handshake => "handshake",
            Self::BackendApi => "backend-api",
            Self::Jwks => "jwks",
            Self::StatusPage => "status-page",
        }
    }
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The status of one surface.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// The surface was not observed yet, or a local fault hides its state.
    #[default]
    Unknown,
    /// The surface answers, and the last answer took less than 1 s.
    Up,
    /// The surface answers slowly, failed once, or has fewer than three good answers since a
    /// failure.
    Degraded,
    /// The surface failed at least twice in a row.
    Down,
}

impl Status {
    /// A stable name, such as `degraded`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}
