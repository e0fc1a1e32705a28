//! Policies: what a route requires, and what grace allows while Clerk is down.
//!
//! Two policies are set apart, because two people own them. A [`RoutePolicy`] belongs to a route:
//! who may call it, and how much of it grace opens. A [`GracePolicy`] belongs to the deployment:
//! whether there is grace, and within which limits. Grace applies only where both agree.

mod grace;
mod span;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use grace::{GraceMode, GracePolicy, MAX_GRACE, PolicyError, SessionEvidence};
pub use span::{Span, SpanError};

use clerk_verify::access::{Access, Reverification};
use clerk_verify::token::{TokenKind, TokenKinds};

/// The requirements of one route, or of a router.
///
/// [`ClerkResilience::policy`](crate::ClerkResilience::policy) applies a policy to the routes below
/// it. Routes without their own policy have the one of [`Builder::policy`](crate::Builder::policy),
/// by default [`required`](Self::required). An inner layer can only tighten the policy of an outer
/// one, because the outer layer answers first. To loosen a policy, merge a sibling router with its
/// own policy.
///
/// | requirement | not met |
/// |---|---|
/// | a session or an [accepted](Self::accepts) machine | 401 |
/// | role, permission, feature, plan | 403 |
/// | [recent verification](Self::reverification) | 403 with a hint for Clerk's front end; 503 in grace |
/// | [age of claims](Self::max_claims_age) | 503 |
///
/// Guards such as [`RequireRole`](crate::RequireRole) state the same requirements in the signature
/// of a handler. Use a policy for a whole router, and a guard for one handler.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use clerk_resilience::{ClerkResilience, GraceAccess, Reverification, RoutePolicy};
///
/// fn app(clerk: &ClerkResilience) -> Router {
///     let notes = Router::new()
///         .route("/notes", get(async || "notes").post(async || "saved"))
///         .route_layer(clerk.policy(RoutePolicy::required().grace(GraceAccess::Full)));
///     let admin = Router::new()
///         .route("/members", post(async || "invited"))
///         .route_layer(clerk.policy(
///             RoutePolicy::required()
///                 .role("org:admin")
///                 .reverification(Reverification::STRICT)
///                 .grace(GraceAccess::Never),
///         ));
///     notes.merge(admin)
/// }
/// # let _ = app;
/// ```
///
/// An outer layer answers first, so an inner policy can only add requirements:
///
/// ```
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::SimClerk;
/// use clerk_resilience::{RoutePolicy, SimClerkExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder);
/// let inner = Router::new()
///     .route("/", get(async || "hello"))
///     .route_layer(clerk.policy(RoutePolicy::optional()));
/// let nested = Router::new().nest("/inner", inner.clone()).layer(clerk);
/// assert_ne!(sim.send(&nested, &sim.page("/inner", None)).await.status(), 200);
/// assert_eq!(sim.send(&inner, &sim.page("/", None)).await.status(), 200);
/// # }
/// ```
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
    /// Requires a session; allows grace for safe methods. This is the default. Requests without a
    /// session get 401, a redirect to the sign-in page or to Clerk's handshake, or 503 while Clerk
    /// is down.
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

    /// Accepts requests with and without a session. Without an accepted session the handler
    /// receives `None`, whatever the reason.
    ///
    /// Use it for pages that greet a signed-in visitor and serve everybody. The handler takes
    /// `Option<Auth>`. A requirement such as [`role`](Self::role) then applies only to sessions: a
    /// visitor without one passes, and a session that lacks the role gets 403.
    #[must_use]
    pub fn optional() -> Self {
        Self { optional: true, ..Self::required() }
    }

    /// Sets which requests to this route may pass in grace. Default: [`GraceAccess::SafeMethods`].
    ///
    /// The setting has an effect only if the [`GracePolicy`] enables grace.
    #[must_use]
    pub fn grace(mut self, access: GraceAccess) -> Self {
        self.grace = access;
        self
    }

    /// Requires a role in the active organisation, such as `org:admin`; 403 without it.
    ///
    /// `admin` means the same as `org:admin`, as in Clerk's `has()`. A second call replaces the
    /// first; to accept one of several roles, write a [`Demand`](crate::guard::Demand).
    #[must_use]
    pub fn role(self, role: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_role(role);
        self.access(access)
    }

    /// Requires a permission in the active organisation, such as `org:billing:manage`; 403 without
    /// it.
    ///
    /// Only custom permissions are in the token. Clerk never puts system permissions (`org:sys_…`)
    /// into session claims, so no session has one.
    #[must_use]
    pub fn permission(self, permission: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_permission(permission);
        self.access(access)
    }

    /// Requires a feature of the user's or the organisation's plan, such as `teams`; 403 without
    /// it.
    #[must_use]
    pub fn feature(self, feature: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_feature(feature);
        self.access(access)
    }

    /// Requires a plan of the user or the organisation, such as `pro`; 403 without it.
    #[must_use]
    pub fn plan(self, plan: impl Into<Cow<'static, str>>) -> Self {
        let access = self.demanded().and_plan(plan);
        self.access(access)
    }

    /// Requires a recent verification. If the last one is too old, the layer answers a 403 that
    /// Clerk's front-end hook `useReverification` understands. In grace it answers 503, because no
    /// user can verify.
    ///
    /// The age of a verification is the `fva` claim, plus the age of the claims themselves. Both
    /// count in whole minutes. Clerk describes the levels under
    /// [reverification](https://clerk.com/docs/guides/secure/reverification).
    #[must_use]
    pub fn reverification(self, demand: Reverification) -> Self {
        let access = self.demanded().and_reverification(demand);
        self.access(access)
    }

    /// Sets the maximum age of the session's claims, [`Auth::claims_age`](crate::Auth::claims_age),
    /// which counts in whole seconds of the token's `oiat` and `iat`. Default: no limit beyond
    /// those of the token and of grace.
    ///
    /// An ordinary session token is up to 60 s old, plus 5 s of leeway for clocks. Choose more than
    /// that. The layer answers 503 with `Retry-After` to older claims; in grace the code is
    /// `step_up_unavailable`. While Clerk is healthy, a page is redirected to Clerk once for newer
    /// claims.
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

    /// Requires everything in `demand`, and replaces earlier requirements; 403 if one is missing.
    #[must_use]
    pub fn access(mut self, demand: Access) -> Self {
        self.access = Some(Arc::new(demand));
        self
    }

    /// Sets the accepted kinds of tokens. All other kinds get 401 with the reason
    /// `token-type-mismatch`. Default: sessions only.
    ///
    /// The layer reads a machine token only from `Authorization: Bearer …`. Machines have no roles
    /// or permissions. Only Clerk's Backend API can verify an opaque token, and every API key is
    /// opaque. Such a route therefore needs `CLERK_SECRET_KEY`; without it opaque tokens get 503.
    ///
    /// The layer caches a positive answer for 30 s. A token that was revoked at Clerk may pass for
    /// that time. Handlers take a [`Machine`](crate::Machine), or a [`Caller`](crate::Caller) where
    /// sessions are accepted too. [`Auth`](crate::Auth) is always a session.
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

    /// Returns true if the route accepts API keys, which only Clerk can verify.
    pub(crate) fn accepts_api_keys(&self) -> bool {
        self.kinds.accepts(TokenKind::ApiKey)
    }

    fn demanded(&self) -> Access {
        self.access.as_deref().cloned().unwrap_or_default()
    }

    /// Accepts sessions with open tasks (`sts: pending`), for the pages on which users complete
    /// these tasks. By default pending sessions count as signed out, as in Clerk's SDKs.
    ///
    /// Tasks are, for example, the choice of an organisation. A pending session never gets grace.
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

/// How the layer uses the cookie `__client_uat` with session cookies.
///
/// | session cookie with | `Required` | `RequiredForPages` | `Ignored` |
/// |---|---|---|---|
/// | a `__client_uat` not later than the token | counts | counts | counts |
/// | a `__client_uat` that is zero or later | absent | absent | counts |
/// | no `__client_uat`, a page | sent to a handshake | sent to a handshake | counts |
/// | no `__client_uat`, a program | absent | counts | counts |
///
/// Clerk sets this cookie for all subdomains: the time at which the client last changed, or zero if
/// no user is signed in. The cookie is not signed, so it does not stop an attacker who holds a
/// session token. It ends a session on one subdomain soon after a sign-out on another.
///
/// The layer compares the cookie with the token's `iat` in seconds. A cookie that is zero or later
/// than the token makes the session count as absent, for pages and programs alike.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientUat {
    /// A session cookie counts only with a `__client_uat` that is not zero and not later than the
    /// token, as in Clerk's SDK.
    Required,
    /// Pages follow `Required`. Other requests may lack the cookie, because programs often present
    /// a session cookie alone; a cookie that is present must agree with the token.
    #[default]
    RequiredForPages,
    /// A session cookie counts without `__client_uat`.
    Ignored,
}

/// Which requests to a route may pass in grace.
///
/// | request in grace | `Never` | `SafeMethods` | `Full` |
/// |---|---|---|---|
/// | `GET`, `HEAD`, `OPTIONS` | 503 | passes | passes |
/// | `POST`, `PUT`, `PATCH`, `DELETE` from a page of the same origin | 503 | 503 | passes |
/// | the same from another origin | 503 | 503 | 503 |
/// | an event stream of the same origin; a WebSocket, if its handler holds a [`Lease`](crate::Lease) | 503 | 503 | passes |
///
/// Same origin means `Sec-Fetch-Site: same-origin`, or an `Origin` that is the application's own,
/// an authorized party, or a public origin. A handler with [`FreshAuth`](crate::FreshAuth) is never
/// reached in grace, whatever the policy says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum GraceAccess {
    /// No requests. Use this for administration, billing and credentials.
    Never,
    /// `GET`, `HEAD` and `OPTIONS` without upgrades: users can read, but not change. The default.
    #[default]
    SafeMethods,
    /// All methods, and upgrades such as `WebSocket`. Unsafe methods and upgrades must come from
    /// the same origin.
    Full,
}
