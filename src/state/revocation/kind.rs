//! What can be denied, and for how long a denial is of use.

use std::time::Duration;

/// Longer than any token that may have grace lives, its grace included.
const AFTER_GRACE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// What a denial is about. Of each there is a set, from the text of an id to a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Denied until then.
    Session,
    /// Denied until then.
    Token,
    /// Distrusted until then.
    Key,
    /// Its tokens of up to then are denied.
    User,
    /// `user/organisation`: tokens of up to then are denied, while that is their organisation.
    Member,
    /// Tokens of up to then are denied, while that is their organisation.
    Organization,
    /// `user/organisation`: tokens of up to then get no grace, while that is their organisation.
    Outdated,
    /// Tokens of up to then with that role get no grace. Empty: with any.
    Role,
    /// Tokens of up to then that grant that permission get no grace. Empty: any.
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

    /// The name in files. It never changes.
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

    /// How long after its time a denial can be forgotten. `None`: never, for a token may have been made
    /// to live long.
    pub(crate) const fn afterlife(self) -> Option<Duration> {
        match self {
            Self::Session | Self::Token | Self::Key => Some(Duration::ZERO),
            Self::User | Self::Member | Self::Organization => None,
            Self::Outdated | Self::Role | Self::Permission => Some(AFTER_GRACE),
        }
    }
}
