//! What a route demands, and what may be granted while Clerk is down.

mod grace;
mod span;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use grace::{GraceMode, GracePolicy, MAX_GRACE, PolicyError, SessionEvidence};
pub use span::{Span, SpanError};

use crate::access::{Access, Reverification};
use crate::token::{TokenKind, TokenKinds};

/// What one route, or a router of them, demands of a request.
///
/// An inner layer can only tighten what an outer one decided: the outer one answers first. To loosen,
/// merge a sibling router with a policy of its own.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    pub(crate) optional: bool,
    pub(crate) accepts_pending: bool,
    pub(crate) grace: GraceAccess,
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) kinds: TokenKinds,
    pub(crate) max_claims_age: Option<Duration>,
}

impl RoutePolicy {
    /// A session is required; grace is open to safe methods. This is the default.
    #[must_use]
    pub fn required() -> Self {
        Self {
            optional: false,
            accepts_pending: false,
            grace: GraceAccess::SafeMethods,
            access: None,
            kinds: TokenKinds::of([TokenKind::Session]),
            max_claims_age: None,
        }
    }

    /// A session is welcome but not required: the handler sees `None` without one, whatever the
    /// reason.
    #[must_use]
    pub fn optional() -> Self {
        Self { optional: true, ..Self::required() }
    }

    /// Which requests to this route grace may let pass. Default: [`GraceAccess::SafeMethods`].
    #[must_use]
    pub fn grace(mut self, access: GraceAccess) -> Self {
        self.grace = access;
        self
    }

    /// Requires a role in the active organisation, as `org:admin`; 403 without it.
    #[must_use]
    pub fn role(self, role: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_role(role);
        self.access(access)
    }

    /// Requires a permission in the active organisation, as `org:billing:manage`; 403 without it.
    #[must_use]
    pub fn permission(self, permission: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_permission(permission);
        self.access(access)
    }

    /// Requires a feature of the user's or the organisation's plan, as `teams`; 403 without it.
    #[must_use]
    pub fn feature(self, feature: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_feature(feature);
        self.access(access)
    }

    /// Requires a plan of the user or the organisation, as `pro`; 403 without it.
    #[must_use]
    pub fn plan(self, plan: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_plan(plan);
        self.access(access)
    }

    /// Requires a recent verification. When it was too long ago the answer is a 403 that Clerk's
    /// front-end `useReverification` understands, and 503 in grace, when nobody can verify.
    #[must_use]
    pub fn reverification(self, demand: Reverification) -> Self {
        let access = self.demanded().and_reverification(demand);
        self.access(access)
    }

    /// Requires that Clerk read the session's claims no longer ago than this: a bound on
    /// [`Auth::claims_age`](crate::Auth::claims_age), in whole seconds of the token's `oiat` and `iat`.
    /// Default: no bound beyond those of the token and of grace. Machines' tokens have no such bound.
    ///
    /// An ordinary session token is up to 60 s old, plus the leeway for clocks of 5 s. Choose more than
    /// that. A session beyond the bound is answered 503 with `Retry-After`, in grace with the code
    /// `step_up_unavailable`. While Clerk is well, a page is sent to Clerk once for newer claims.
    ///
    /// ```
    /// use std::time::Duration;
    /// use clerk_resilience::RoutePolicy;
    ///
    /// let payments = RoutePolicy::required().max_claims_age(Duration::from_secs(120));
    /// # let _ = payments;
    /// ```
    #[must_use]
    pub fn max_claims_age(mut self, max: Duration) -> Self {
        self.max_claims_age = Some(max);
        self
    }

    /// Requires all that the demand names, and nothing that was required before; 403 without it.
    #[must_use]
    pub fn access(mut self, demand: Access) -> Self {
        self.access = Some(Arc::new(demand));
        self
    }

    /// The kinds of tokens that may come here, and no others; 401 with the reason
    /// `token-type-mismatch` for those. Default: sessions alone.
    ///
    /// A machine's token is looked for in `Authorization: Bearer …` and nowhere else, and never has a
    /// role or permission. What an opaque one stands for, as every API key is, only Clerk's Backend
    /// API can tell, so that such a route needs `CLERK_SECRET_KEY`; without it these are answered 503.
    /// A good answer is kept for 30 s, which is how long a token that was revoked at Clerk may still
    /// pass. Its handlers take a [`Machine`](crate::Machine), or a
    /// [`Caller`](crate::Caller) where sessions may come too; an [`Auth`](crate::Auth) stays a session.
    ///
    /// ```
    /// use clerk_resilience::RoutePolicy;
    /// use clerk_resilience::token::TokenKind;
    ///
    /// let machines = RoutePolicy::required().accepts(TokenKind::MACHINES);
    /// let both = RoutePolicy::required().accepts([TokenKind::Session, TokenKind::ApiKey]);
    /// # let _ = (machines, both);
    /// ```
    #[must_use]
    pub fn accepts(mut self, kinds: impl IntoIterator<Item = TokenKind>) -> Self {
        self.kinds = TokenKinds::of(kinds);
        self
    }

    /// True when API keys may come here, which only Clerk can tell about.
    pub(crate) fn accepts_api_keys(&self) -> bool {
        self.kinds.accepts(TokenKind::ApiKey)
    }

    fn demanded(&self) -> Access {
        self.access.as_deref().cloned().unwrap_or_default()
    }

    /// Lets sessions pass that still have tasks to do (`sts: pending`), for the pages on which these
    /// are done. By default they count as signed out, as in Clerk's SDKs.
    #[must_use]
    pub fn accept_pending(mut self) -> Self {
        self.accepts_pending = true;
        self
    }
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self::required()
    }
}

/// What `__client_uat` means for a session cookie. Clerk sets it beside the session, for all
/// subdomains: when the client last changed, or zero when nobody is signed in any more.
///
/// The cookie is not signed. It keeps nobody out who wants in; it ends a session on one subdomain
/// soon after a sign-out on another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientUat {
    /// As in Clerk's SDK: a session cookie counts only with a `__client_uat` that is not zero and not
    /// later than the token.
    Required,
    /// The same for pages. Other requests may lack the cookie altogether, as those of programs that
    /// present a session cookie do; one that is there must agree.
    #[default]
    RequiredForPages,
    /// A session cookie counts by itself.
    Ignored,
}

/// Which requests to a route grace may let pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum GraceAccess {
    /// None: administration, billing, credentials.
    Never,
    /// `GET`, `HEAD` and `OPTIONS`, but no upgrades. The default: reading goes on, changing waits.
    #[default]
    SafeMethods,
    /// All methods, and upgrades such as `WebSocket`. For unsafe methods and upgrades the request
    /// must come from the same origin.
    Full,
}
