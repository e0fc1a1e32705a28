//! The outcome of a request that passed.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::access::Access;
use clerk_verify::clock::Timestamp;
use clerk_verify::id::{SessionId, UserId};
use clerk_verify::token::{Organization, Session};
use clerk_verify::verify::Verified;

use super::rejection::{Rejection, Unavailable};

/// Who sends a request: a session that was verified, perhaps in grace.
///
/// As an axum extractor it is the session of a request that passed the layer. A handler that must
/// not serve a session in grace takes [`FreshAuth`](crate::FreshAuth) instead.
#[derive(Clone, Debug)]
pub struct Auth {
    token: Verified,
    grace: Option<Arc<Grace>>,
    judged_at: Timestamp,
}

impl Auth {
    pub(super) fn fresh(token: Verified, judged_at: Timestamp) -> Self {
        Self { token, grace: None, judged_at }
    }

    pub(super) fn in_grace(token: Verified, grace: Grace) -> Self {
        let judged_at = grace.judged_at;
        Self { token, grace: Some(Arc::new(grace)), judged_at }
    }

    pub(super) fn token(&self) -> &Verified {
        &self.token
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

    /// True when the session meets the whole demand: Clerk's `has()`, with the difference that verified
    /// factors (`fva`) age by [`claims_age`](Self::claims_age).
    ///
    /// Whole minutes count, since a demand of one minute could never be met otherwise. In grace nobody
    /// can verify again, so there a minute that has begun counts as a whole one.
    #[must_use]
    pub fn has(&self, demand: &Access) -> bool {
        let secs = self.claims_age().as_secs();
        let minutes = if self.grace.is_some() { secs.div_ceil(60) } else { secs / 60 };
        self.session().has_after(demand, u32::try_from(minutes).unwrap_or(u32::MAX))
    }

    /// How old the token's claims were when the layer judged the request: the time since the earlier
    /// of `oiat` and `iat`. [`Duration::MAX`] when the token does not say it.
    ///
    /// It is at most the token's lifetime of 60 s as a rule. It is more in grace, and for a token that
    /// Clerk's edge signed while Clerk could not read its database. A role, a membership or a ban may
    /// have changed within that time. [`RoutePolicy::max_claims_age`](crate::RoutePolicy::max_claims_age)
    /// and [`FreshAuth`](crate::FreshAuth) bound it.
    #[must_use]
    pub fn claims_age(&self) -> Duration {
        self.session().claims_as_of().age(self.judged_at)
    }

    /// Why a session whose claims are too old is refused.
    pub(super) fn without_fresh_claims(&self) -> Rejection {
        match self.grace() {
            Some(_) => Rejection::FreshRequired,
            None => Rejection::Unavailable(Unavailable::StaleClaims),
        }
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
    /// When Clerk last read the claims: the earlier of `oiat` and `iat`.
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
