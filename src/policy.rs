//! What a route demands, and what may be granted while Clerk is down.

mod grace;
mod span;

use std::borrow::Cow;
use std::sync::Arc;

pub use grace::{GraceMode, GracePolicy, MAX_GRACE, PolicyError, SessionEvidence};
pub use span::{Span, SpanError};

use crate::access::Access;

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

    /// Requires all that the demand names, and nothing that was required before; 403 without it.
    #[must_use]
    pub fn access(mut self, demand: Access) -> Self {
        self.access = Some(Arc::new(demand));
        self
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
