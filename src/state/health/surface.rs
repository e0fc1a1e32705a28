//! The parts of Clerk that fail separately.

use std::fmt;

/// One part of Clerk. Health is kept for each: they fail, and come back, one by one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Surface {
    /// The Frontend API's path that mints session tokens. Sessions live and die by it.
    SessionMint,
    /// The Frontend API's path that renews a session on a page navigation.
    Handshake,
    /// The Backend API, as the secret key sees it.
    BackendApi,
    /// The published signing keys. Often served from a cache while the rest is dead.
    Jwks,
    /// Clerk's status page: late and mild, a hint and never a cause.
    StatusPage,
}

impl Surface {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 5] =
        [Self::SessionMint, Self::Handshake, Self::BackendApi, Self::Jwks, Self::StatusPage];

    /// A stable name, as `session-mint`.
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

/// How one surface is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// Not observed yet, or what was observed says nothing about Clerk.
    #[default]
    Unknown,
    /// Answering, and fast enough.
    Up,
    /// Answering slowly or not every time.
    Degraded,
    /// Not answering, twice in a row or more.
    Down,
}

impl Status {
    /// A stable name, as `degraded`.
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
