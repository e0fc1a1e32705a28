//! The kinds of denials, and how long each has an effect.

use std::time::Duration;

/// Longer than any token that may be in grace lives, its grace included.
const AFTER_GRACE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The kind of a denial. Each kind has its own set, from the text of an ID to a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A session, denied until the time.
    Session,
    /// A token, denied until the time.
    Token,
    /// A key, distrusted until the time.
    Key,
    /// A user, whose tokens issued up to the time are denied.
    User,
    /// `user/organization`: the user's tokens issued up to the time with that active organization
    /// are denied.
    Member,
    /// An organization: tokens issued up to the time with that active organization are denied.
    Organization,
    /// `user/organization`: the user's tokens issued up to the time with that active organization
    /// get no grace.
    Outdated,
    /// A role: tokens issued up to the time with that role get no grace. Empty means any role.
    Role,
    /// A permission: tokens issued up to the time that grant it get no grace. Empty means any
    /// permission.
    Permission,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Session,
        Self::Token,
        Self::Key,
        Self::User,
        Self::Member,
        Self::Organization,
        Self::Outdated,
        Self::Role,
        Self::Permission,
    ];

    /// The stable name in stored data. It must never change.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token => "token",
            Self::Key => "key",
            Self::User => "user",
            Self::Member => "member",
            Self::Organization => "organization",
            Self::Outdated => "outdated",
            Self::Role => "role",
            Self::Permission => "permission",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How long after its time a denial has an effect. `None` means forever, because a token may
    /// have a long lifetime.
    pub(crate) const fn afterlife(self) -> Option<Duration> {
        match self {
            Self::Session | Self::Token | Self::Key => Some(Duration::ZERO),
            Self::User | Self::Member | Self::Organization => None,
            Self::Outdated | Self::Role | Self::Permission => Some(AFTER_GRACE),
        }
    }
}
