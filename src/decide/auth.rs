//! The outcome of a request that passed.

use std::sync::Arc;

use super::rejection::Rejection;
use crate::access::Access;
use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::token::{Organization, Session};
use crate::verify::Verified;

/// Who sends a request: a session that was verified, perhaps in grace.
///
/// As an axum extractor it is the session of a request that passed the layer. A handler that must
/// not serve a session in grace takes [`FreshAuth`](crate::FreshAuth) instead.
#[derive(Clone, Debug)]
pub struct Auth {
    token: Verified,
    grace: Option<Arc<Grace>>,
}

impl Auth {
    pub(super) fn fresh(token: Verified) -> Self {
        Self { token, grace: None }
    }

    pub(super) fn in_grace(token: Verified, grace: Grace) -> Self {
        Self { token, grace: Some(Arc::new(grace)) }
    }

    /// The user.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.session().user_id
    }

    /// The session; tokens from JWT templates have none.
    #[must_use]
    pub fn session_id(&self) -> Option<&SessionId> {
        self.session().session_id.as_ref()
    }

    /// The active organisation.
    #[must_use]
    pub fn organization(&self) -> Option<&Organization> {
        self.session().organization.as_ref()
    }

    /// True when the user has this role in the active organisation.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.session().has_role(role)
    }

    /// True when the user has this permission in the active organisation.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.session().has_permission(permission)
    }

    /// True when the session meets the whole demand: Clerk's `has()`. In grace, verified factors have
    /// aged since the token was made; they are then as old as they were when the request was judged,
    /// in minutes that have begun.
    #[must_use]
    pub fn has(&self, demand: &Access) -> bool {
        let session = self.session();
        let Some(grace) = self.grace() else { return session.has(demand) };
        let made = session.issued_at.unwrap_or(grace.judged_at);
        let age = grace.judged_at.since(made);
        let minutes = u32::try_from(age.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        session.has_after(demand, minutes)
    }

    /// As [`has`](Self::has), and tells why not. This is how routes and guards judge.
    ///
    /// # Errors
    ///
    /// When nothing but a recent verification is missing: [`Rejection::Reverify`], or
    /// [`Rejection::FreshRequired`] in grace, since only Clerk could verify. Else
    /// [`Rejection::Forbidden`].
    pub fn check(&self, demand: &Access) -> Result<(), Rejection> {
        if self.has(demand) {
            return Ok(());
        }
        let rest = Access { reverification: None, ..demand.clone() };
        let admitted = rest == Access::default() || self.has(&rest);
        Err(match demand.reverification.filter(|level| admitted && level.within_minutes > 0) {
            None => Rejection::Forbidden,
            Some(_) if self.grace().is_some() => Rejection::FreshRequired,
            Some(level) => Rejection::Reverify(level),
        })
    }

    /// Everything that Clerk signed about the session.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.token.session()
    }

    /// Set when the session's token has expired and was honoured because Clerk is down. What it says
    /// of roles and organisations is then as old as the token.
    #[must_use]
    pub fn grace(&self) -> Option<&Grace> {
        self.grace.as_deref()
    }
}

/// Under what circumstances an expired token was honoured.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Grace {
    /// Why.
    pub reason: GraceReason,
    /// The start of the outage; the token's `exp` in the bridge.
    pub since: Timestamp,
    /// After this the token is not honoured any more, whatever happens to Clerk.
    pub until: Timestamp,
    /// When the request was judged.
    pub judged_at: Timestamp,
    /// When Clerk last vouched for the claims: `oiat`, or else `iat`.
    pub claims_as_of: Timestamp,
}

/// Why an expired token was honoured.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GraceReason {
    /// Clerk is down, proven.
    Outage,
    /// Clerk is back, and sessions renew themselves one by one.
    Recovery,
    /// Clerk fails since a moment ago; it is not proven yet.
    Bridge,
}

impl GraceReason {
    /// A stable name, as `outage`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Recovery => "recovery",
            Self::Bridge => "bridge",
        }
    }
}
