//! Single denials, and their representation in stores.

use std::borrow::Cow;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{KeyId, OrgId, SessionId, TokenId, UserId, bare};

use super::kind::Kind;

/// One denial. Of two denials of the same subject, the later time counts, so neither order nor
/// repetition matters.
///
/// A token is *issued* at the time of its claims: the earlier of its `oiat` and `iat`.
///
/// `Outdated`, `Role` and `Permission` do not affect unexpired tokens. Clerk puts the change into
/// the next token, at most a minute later. In grace there is no next token.
///
/// The text of a denial is an id or a name, so treat a list of denials as personal data.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Denial {
    /// A session, until this time.
    Session(SessionId, Timestamp),
    /// A token, until this time.
    Token(TokenId, Timestamp),
    /// Signatures by a key, identified by ID or fingerprint, until this time.
    Key(KeyId, Timestamp),
    /// A user's tokens issued up to this time.
    User(UserId, Timestamp),
    /// A user's tokens issued up to this time with this active organization, because the membership
    /// has ended.
    Member(UserId, OrgId, Timestamp),
    /// All users' tokens issued up to this time with this active organization.
    Organization(OrgId, Timestamp),
    /// Grace for a user's tokens issued up to this time with this active organization, because the
    /// role may have changed.
    Outdated(UserId, OrgId, Timestamp),
    /// Grace for tokens issued up to this time with this role, with or without `org:`. `None` means
    /// any role.
    Role(Option<String>, Timestamp),
    /// Grace for tokens issued up to this time that grant this permission, with or without `org:`.
    /// `None` means any permission.
    Permission(Option<String>, Timestamp),
}

impl Denial {
    /// The kind, the subject and the time.
    pub(crate) fn parts(&self) -> (Kind, Cow<'_, str>, Timestamp) {
        let name = |key: &'_ Option<String>| key.as_deref().map_or("", bare).to_owned().into();
        match self {
            Self::Session(id, until) => (Kind::Session, id.as_str().into(), *until),
            Self::Token(id, until) => (Kind::Token, id.as_str().into(), *until),
            Self::Key(id, until) => (Kind::Key, id.as_str().into(), *until),
            Self::User(id, up_to) => (Kind::User, id.as_str().into(), *up_to),
            Self::Member(user, id, up_to) => (Kind::Member, pair(user, id).into(), *up_to),
            Self::Organization(id, up_to) => (Kind::Organization, id.as_str().into(), *up_to),
            Self::Outdated(user, id, up_to) => (Kind::Outdated, pair(user, id).into(), *up_to),
            Self::Role(key, up_to) => (Kind::Role, name(key), *up_to),
            Self::Permission(key, up_to) => (Kind::Permission, name(key), *up_to),
        }
    }

    /// The inverse of [`parts`](Self::parts). Returns `None` if a member's `id` has no slash.
    pub(crate) fn of(kind: Kind, id: &str, at: Timestamp) -> Option<Self> {
        let name = || (!id.is_empty()).then(|| id.to_owned());
        let member = || id.split_once('/').map(|(user, id)| (UserId::from(user), OrgId::from(id)));
        Some(match kind {
            Kind::Session => Self::Session(id.into(), at),
            Kind::Token => Self::Token(id.into(), at),
            Kind::Key => Self::Key(id.into(), at),
            Kind::User => Self::User(id.into(), at),
            Kind::Member => member().map(|(user, id)| Self::Member(user, id, at))?,
            Kind::Organization => Self::Organization(id.into(), at),
            Kind::Outdated => member().map(|(user, id)| Self::Outdated(user, id, at))?,
            Kind::Role => Self::Role(name(), at),
            Kind::Permission => Self::Permission(name(), at),
        })
    }
}

/// A member of an organization as one text. Clerk's IDs never contain a slash.
pub(super) fn pair(user: &UserId, organization: &OrgId) -> String {
    format!("{user}/{organization}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_that_is_written_down_reads_as_the_same() {
        let (at, user, org) = (Timestamp::from_secs(5), UserId::new("user_1"), OrgId::new("org_1"));
        for denial in [
            Denial::Session(SessionId::new("sess_1"), at),
            Denial::Token(TokenId::new("jti_1"), at),
            Denial::Key(KeyId::new("sha256/1"), at),
            Denial::User(user.clone(), at),
            Denial::Member(user.clone(), org.clone(), at),
            Denial::Organization(org.clone(), at),
            Denial::Outdated(user, org, at),
            Denial::Role(Some("admin".to_owned()), at),
            Denial::Role(None, at),
            Denial::Permission(Some("invoices:read".to_owned()), at),
            Denial::Permission(None, at),
        ] {
            let (kind, id, at) = denial.parts();
            let kind = Kind::parse(kind.name()).expect("a name that is known");
            assert_eq!(Denial::of(kind, &id, at), Some(denial));
        }
    }

    #[test]
    fn role_and_permission_prefixes_are_optional() {
        let at = Timestamp::from_secs(5);
        for (with, without) in [("org:admin", "admin"), ("org:invoices:read", "invoices:read")] {
            let of = |key: &str| Denial::Role(Some(key.to_owned()), at).parts().1.into_owned();
            assert_eq!(of(with), of(without));
        }
    }
}
