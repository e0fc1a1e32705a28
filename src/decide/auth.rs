//! [`Auth`], the verified session of a request, and [`Grace`], the details of an expired one.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::access::Access;
use clerk_verify::clock::Timestamp;
use clerk_verify::id::{SessionId, UserId};
use clerk_verify::token::{Organization, Session};
use clerk_verify::verify::Verified;

use super::rejection::{Rejection, Unavailable};

/// The verified session of a request, possibly in grace.
///
/// As an axum extractor, `Auth` returns the session of a request that passed the layer. A handler
/// that must not serve sessions in grace takes [`FreshAuth`](crate::FreshAuth) instead.
/// `Option<Auth>` is for [public](crate::Builder::public) and
/// [optional](crate::RoutePolicy::optional) routes: `None` means that no accepted session came with
/// the request, whatever the reason.
///
/// The extractor performs no I/O and does no cryptography: the layer has already verified the
/// token. Cloning is cheap. Behind no layer the response is 500 with the code
/// `authentication_layer_missing`, and the log names the route.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use clerk_resilience::{Access, Auth};
///
/// async fn me(auth: Auth) -> String {
///     let organization = auth.organization().map_or("none", |organization| organization.id.as_str());
///     format!("user {}, organization {organization}", auth.user_id())
/// }
///
/// async fn home(auth: Option<Auth>) -> &'static str {
///     match auth {
///         Some(auth) if auth.has_role("org:admin") => "hello, admin",
///         Some(_) => "hello",
///         None => "please sign in",
///     }
/// }
///
/// async fn invoices(auth: Auth) -> String {
///     let editable = auth.has(&Access::permission("org:invoices:edit"));
///     match auth.grace() {
///         Some(grace) => format!("read only, sign-in service down since {}", grace.since),
///         None => format!("invoices, editable: {editable}"),
///     }
/// }
/// # let _: Router = Router::new()
/// #     .route("/", get(home)).route("/me", get(me)).route("/invoices", get(invoices));
/// ```
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

    /// Returns the user's id (`sub`), such as `user_2abc`. Use it as the key of the application's
    /// own records: Clerk never reuses an id, while email addresses change.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.session().user_id
    }

    /// Returns the session's id (`sid`). Tokens from JWT templates have none.
    ///
    /// Clerk describes every claim under [session
    /// tokens](https://clerk.com/docs/guides/sessions/session-tokens). A token without a session id
    /// never gets grace, because the layer could neither revoke nor count it.
    #[must_use]
    pub fn session_id(&self) -> Option<&SessionId> {
        self.session().session_id.as_ref()
    }

    /// Returns the active organisation with the user's role and permissions in it. `None` while the
    /// user works in the personal account.
    #[must_use]
    pub fn organization(&self) -> Option<&Organization> {
        self.session().organization.as_ref()
    }

    /// Returns true if the user has this role in the active organisation. `org:admin` and `admin`
    /// mean the same. Without an active organisation the result is false. The role is that of the
    /// token's claims, see [`claims_age`](Self::claims_age).
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.session().has_role(role)
    }

    /// Returns true if the user has this permission in the active organisation, such as
    /// `org:invoices:edit`. Clerk puts no system permission (`org:sys_…`) into tokens.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        self.session().has_permission(permission)
    }

    /// Returns true if the session meets all requirements, by the rules of Clerk's `has()`. In
    /// addition, verified factors (`fva`) age by [`claims_age`](Self::claims_age).
    ///
    /// Age counts in whole minutes: otherwise no session could meet a requirement of one minute. In
    /// grace no user can verify again, so a started minute counts as a whole one.
    ///
    /// ```
    /// use clerk_resilience::{Access, Auth, Reverification};
    ///
    /// /// A handler that decides itself, for example to hide a button.
    /// fn may_refund(auth: &Auth) -> bool {
    ///     let demand = Access::permission("org:billing:manage")
    ///         .and_plan("o:pro")
    ///         .and_reverification(Reverification::MODERATE);
    ///     auth.has(&demand)
    /// }
    /// # let _ = may_refund;
    /// ```
    #[must_use]
    pub fn has(&self, demand: &Access) -> bool {
        let secs = self.claims_age().as_secs();
        let minutes = if self.grace.is_some() { secs.div_ceil(60) } else { secs / 60 };
        self.session().has_after(demand, u32::try_from(minutes).unwrap_or(u32::MAX))
    }

    /// Returns the age of the token's claims when the layer decided about the request. The age
    /// counts from the earlier of `oiat` and `iat`. It is [`Duration::MAX`] if the token has no
    /// `iat`, or an `oiat` that is no date.
    ///
    /// The age is usually at most 60 s, the lifetime of a session token. It is higher in grace, and
    /// for a token that Clerk's edge signed while Clerk could not read its database. A role, a
    /// membership or a ban may have changed in that time.
    /// [`RoutePolicy::max_claims_age`](crate::RoutePolicy::max_claims_age) and
    /// [`FreshAuth`](crate::FreshAuth) limit the age.
    ///
    /// ```
    /// use std::time::Duration;
    /// use clerk_resilience::Auth;
    ///
    /// /// Asks for a confirmation by mail where the role may be out of date.
    /// fn is_recent(auth: &Auth) -> bool {
    ///     auth.claims_age() <= Duration::from_secs(300)
    /// }
    /// # let _ = is_recent;
    /// ```
    #[must_use]
    pub fn claims_age(&self) -> Duration {
        self.session().claims_as_of().age(self.judged_at)
    }

    /// Returns the rejection for a session whose claims are too old.
    pub(super) fn without_fresh_claims(&self) -> Rejection {
        match self.grace() {
            Some(_) => Rejection::FreshRequired,
            None => Rejection::Unavailable(Unavailable::StaleClaims),
        }
    }

    /// Checks the requirements as [`has`](Self::has) does, and returns the reason if they are not
    /// met. Routes and guards use this method.
    ///
    /// ```
    /// use clerk_resilience::{Access, Auth, Rejection};
    ///
    /// fn may_edit(auth: &Auth, owner: &str) -> Result<(), Rejection> {
    ///     if auth.user_id().as_str() == owner {
    ///         return Ok(());
    ///     }
    ///     auth.check(&Access::permission("org:notes:edit_all"))
    /// }
    /// # let _ = may_edit;
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Rejection::Forbidden`] if a role, permission, feature or plan is missing. If only
    /// a recent verification is missing, returns [`Rejection::Reverify`]. In grace that becomes
    /// [`Rejection::FreshRequired`], because only Clerk can verify a user.
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

    /// Returns all claims that Clerk signed about the session, custom claims included.
    ///
    /// ```
    /// use clerk_resilience::Auth;
    ///
    /// /// A claim that the session token's template in the Clerk dashboard adds.
    /// fn is_enrolled(auth: &Auth) -> bool {
    ///     auth.session().claim("beta").unwrap_or(false)
    /// }
    /// # let _ = is_enrolled;
    /// ```
    #[must_use]
    pub fn session(&self) -> &Session {
        self.token.session()
    }

    /// Returns the details of grace if the session's token has expired and the layer accepted it
    /// because Clerk is down. Roles and organisations are then as old as the token.
    ///
    /// `None` for a session whose token has not expired. Use it to show a notice, or to leave out
    /// an action; to refuse grace altogether, take [`FreshAuth`](crate::FreshAuth).
    #[must_use]
    pub fn grace(&self) -> Option<&Grace> {
        self.grace.as_deref()
    }
}

/// Why and until when the layer accepts an expired token.
///
/// [`Auth::grace`] returns it, and [`GraceRuling::Passed`](crate::audit::GraceRuling::Passed)
/// records it. All times are wall-clock times of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Grace {
    /// The reason for grace: a proven outage, its drain, or the bridge before the proof.
    pub reason: GraceReason,
    /// The start of the outage; in the bridge the token's `exp`.
    pub since: Timestamp,
    /// The latest time at which the layer accepts the token, whatever Clerk's state: `exp` plus the
    /// policy's limit. Grace usually ends earlier, when Clerk works again.
    pub until: Timestamp,
    /// The time of the decision about the request.
    pub judged_at: Timestamp,
    /// The time at which Clerk read the claims: the earlier of `oiat` and `iat`.
    pub claims_as_of: Timestamp,
}

/// Why the layer accepts an expired token.
///
/// The names are stable; `Clerk-Grace` ([`Builder::grace_header`](crate::Builder::grace_header))
/// and the audit use them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GraceReason {
    /// An outage of Clerk is proven.
    Outage,
    /// Clerk works again, and sessions are renewing their tokens.
    Recovery,
    /// Clerk has just begun to fail, and the outage is not proven yet.
    Bridge,
}

impl GraceReason {
    /// Returns a stable name, such as `outage`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Recovery => "recovery",
            Self::Bridge => "bridge",
        }
    }
}
