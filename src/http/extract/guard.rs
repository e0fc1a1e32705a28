//! Guards: handler arguments that require something of the session.
//!
//! The type of a guard states the requirement, so the signature of a handler shows who may call it.
//! A guard answers as a [`RoutePolicy`](crate::RoutePolicy) with the same requirement does, and
//! passes the session to the handler.
//!
//! ```
//! use clerk_resilience::guard::{Named, Strict};
//! use clerk_resilience::{RequirePermission, RequireReverification, RequireRole};
//!
//! struct Admin;
//! impl Named for Admin {
//!     const NAME: &'static str = "org:admin";
//! }
//!
//! struct ManageBilling;
//! impl Named for ManageBilling {
//!     const NAME: &'static str = "org:billing:manage";
//! }
//!
//! async fn settings(admin: RequireRole<Admin>) -> String {
//!     format!("Hello, {}", admin.user_id())
//! }
//! async fn invoices(_: RequirePermission<ManageBilling>) -> &'static str {
//!     "invoices"
//! }
//! async fn delete_account(_: RequireReverification<Strict>) -> &'static str {
//!     "gone"
//! }
//! # let _: axum::Router = axum::Router::new()
//! #     .route("/settings", axum::routing::get(settings))
//! #     .route("/invoices", axum::routing::get(invoices))
//! #     .route("/account", axum::routing::delete(delete_account));
//! ```
//!
//! A tuple requires all of its demands:
//!
//! ```
//! # use clerk_resilience::guard::{Named, Role, Strict, RecentlyVerified};
//! # use clerk_resilience::Require;
//! # struct Admin;
//! # impl Named for Admin { const NAME: &'static str = "org:admin"; }
//! async fn transfer(_: Require<(Role<Admin>, RecentlyVerified<Strict>)>) -> &'static str {
//!     "transferred"
//! }
//! ```
//!
//! A test signs a user in with the role, and one without it:
//!
//! ```
//! use axum::{Router, routing::get};
//! use clerk_resilience::guard::Named;
//! use clerk_resilience::sim::{SimClerk, SimOrganization};
//! use clerk_resilience::{RequireRole, SimClerkExt};
//!
//! struct Admin;
//! impl Named for Admin {
//!     const NAME: &'static str = "org:admin";
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let sim = SimClerk::in_memory();
//! let clerk = sim.layer(|builder| builder);
//! let app = Router::new().route("/", get(async |_: RequireRole<Admin>| "hello")).layer(clerk);
//! for (role, status) in [("admin", 200), ("member", 403)] {
//!     let session = sim.sign_in("user_1");
//!     let organization = SimOrganization::new("org_1", "acme").role(role);
//!     let _ = sim.member_added(&session, &organization);
//!     assert_eq!(sim.send(&app, &sim.get("/", &session)).await.status(), status);
//! }
//! # }
//! ```
//!
//! | guard | requires | without it |
//! |---|---|---|
//! | [`RequireRole<R>`](RequireRole) | a role in the active organisation | 403 |
//! | [`RequirePermission<P>`](RequirePermission) | a permission in the active organisation | 403 |
//! | [`RequireFeature<F>`](RequireFeature) | a feature of the user's or the organisation's plan | 403 |
//! | [`RequirePlan<P>`](RequirePlan) | a plan of the user or the organisation | 403 |
//! | [`RequireReverification<L>`](RequireReverification) | a recent verification | 403; 503 in grace |
//! | [`Require<Fresh>`](Fresh) | a session that is not in grace | 503 |
//! | [`Require<D>`](Require) | an application's own [`Demand`] | what it returns |
//!
//! Without a session, every guard answers as [`Auth`](crate::Auth) does. In grace, roles and
//! permissions are as old as the token; add [`Fresh`] to a tuple where that matters.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use clerk_verify::access::{Access, Reverification};
use http::request::Parts;

use super::{AuthRejection, required};
use crate::decide::{Auth, Rejection};

/// A requirement on a session. A tuple of up to four demands requires all of them. A role or
/// permission that is missing decides before a verification that is too old, because a new
/// verification would not help. An application can implement its own:
///
/// ```
/// use clerk_resilience::guard::Demand;
/// use clerk_resilience::{Auth, Rejection, Require};
///
/// struct Beta;
/// impl Demand for Beta {
///     fn check(auth: &Auth) -> Result<(), Rejection> {
///         let enrolled = auth.session().claim("beta").unwrap_or(false);
///         if enrolled { Ok(()) } else { Err(Rejection::Forbidden) }
///     }
/// }
///
/// async fn preview(_: Require<Beta>) {}
/// ```
pub trait Demand {
    /// Checks whether the session meets the requirement.
    ///
    /// # Errors
    ///
    /// Returns the rejection to answer with, usually [`Rejection::Forbidden`].
    fn check(auth: &Auth) -> Result<(), Rejection>;
}

/// The name of a role, permission, feature or plan, in the syntax of [`Access`].
///
/// Implement it for an empty type, once for each name. One type can serve as a role and as a
/// permission, because the guard chooses the meaning:
///
/// ```
/// use clerk_resilience::guard::Named;
/// use clerk_resilience::{RequireFeature, RequirePlan};
///
/// struct Pro;
/// impl Named for Pro {
///     const NAME: &'static str = "o:pro"; // a plan of the organisation, not of the user
/// }
///
/// struct Exports;
/// impl Named for Exports {
///     const NAME: &'static str = "exports"; // a feature of either
/// }
///
/// async fn export(plan: RequirePlan<Pro>, _: RequireFeature<Exports>) -> String {
///     format!("export for {}", plan.user_id())
/// }
/// # let _: axum::Router = axum::Router::new().route("/export", axum::routing::get(export));
/// ```
pub trait Named {
    /// The name, such as `org:admin` or `org:billing:manage`.
    const NAME: &'static str;
}

/// How recently, and with which factors, users must have verified. [`StrictMfa`], [`Strict`],
/// [`Moderate`] and [`Lax`] are Clerk's own levels. An application can define others:
///
/// ```
/// use clerk_resilience::guard::Recent;
/// use clerk_resilience::{Factor, RequireReverification, Reverification};
///
/// struct Payroll;
/// impl Recent for Payroll {
///     const LEVEL: Reverification = Reverification { level: Factor::Multi, within_minutes: 5 };
/// }
///
/// async fn run_payroll(auth: RequireReverification<Payroll>) -> String {
///     format!("started by {}", auth.user_id())
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(run_payroll));
/// ```
pub trait Recent {
    /// The required level.
    const LEVEL: Reverification;
}

macro_rules! named {
    ($($(#[$doc:meta])* $demand:ident, $guard:ident, $access:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $demand<N>(PhantomData<fn() -> N>);

        impl<N: Named> Demand for $demand<N> {
            fn check(auth: &Auth) -> Result<(), Rejection> {
                auth.check(&$access(N::NAME))
            }
        }

        #[doc = concat!("A session with this [`", stringify!($demand), "`]; 403 without it.")]
        pub type $guard<N> = Require<$demand<N>>;
    )*};
}

named! {
    /// Requires a role in the active organisation.
    ///
    /// `org:admin` and `admin` name the same role. A user without an active organisation has none.
    Role, RequireRole, Access::role;
    /// Requires a permission in the active organisation.
    ///
    /// Only custom permissions work. Clerk never puts system permissions (`org:sys_…`) into session
    /// tokens.
    Permission, RequirePermission, Access::permission;
    /// Requires a feature of the user's or the organisation's plan.
    ///
    /// `o:teams` asks the organisation's plan alone, `u:teams` the user's, `teams` either.
    Feature, RequireFeature, Access::feature;
    /// Requires a plan of the user or the organisation.
    ///
    /// `o:pro` asks for the organisation's plan alone, `u:pro` for the user's, `pro` for either.
    Plan, RequirePlan, Access::plan;
}

/// Requires a recent verification of a factor. If it is too old, the response is a 403 that Clerk's
/// front-end hook `useReverification` understands; in grace 503, because no user can verify.
#[derive(Debug)]
pub struct RecentlyVerified<L>(PhantomData<fn() -> L>);

impl<L: Recent> Demand for RecentlyVerified<L> {
    fn check(auth: &Auth) -> Result<(), Rejection> {
        auth.check(&Access::reverification(L::LEVEL))
    }
}

/// A session of a user who [`RecentlyVerified`] a factor recently.
///
/// Clerk's `useReverification` shows its dialog on the 403 and repeats the request. See Clerk's
/// page on [reverification](https://clerk.com/docs/guides/secure/reverification).
pub type RequireReverification<L> = Require<RecentlyVerified<L>>;

macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident, $constant:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $level;

        impl Recent for $level {
            const LEVEL: Reverification = Reverification::$constant;
        }
    )*};
}

levels! {
    /// Both factors within 10 minutes.
    StrictMfa, STRICT_MFA;
    /// The second factor within 10 minutes.
    Strict, STRICT;
    /// The second factor within an hour.
    Moderate, MODERATE;
    /// The second factor within a day.
    Lax, LAX;
}

/// Requires a session that is not in grace, as [`FreshAuth`](crate::FreshAuth) does; 503 otherwise.
/// Use it in a tuple with other demands:
///
/// ```
/// use clerk_resilience::Require;
/// use clerk_resilience::guard::{Fresh, Named, Role};
///
/// struct Admin;
/// impl Named for Admin {
///     const NAME: &'static str = "org:admin";
/// }
///
/// async fn remove_member(_: Require<(Fresh, Role<Admin>)>) {}
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::delete(remove_member));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fresh;

impl Demand for Fresh {
    fn check(auth: &Auth) -> Result<(), Rejection> {
        if auth.grace().is_none() { Ok(()) } else { Err(Rejection::FreshRequired) }
    }
}

macro_rules! all_of {
    ($($demand:ident),*) => {
        impl<$($demand: Demand),*> Demand for ($($demand,)*) {
            fn check(auth: &Auth) -> Result<(), Rejection> {
                first([$($demand::check(auth)),*])
            }
        }
    };
}

all_of!(A);
all_of!(A, B);
all_of!(A, B, C);
all_of!(A, B, C, D);

/// Returns the first failure. `Forbidden` precedes all others, because a verification cannot fix
/// it.
fn first<const N: usize>(checks: [Result<(), Rejection>; N]) -> Result<(), Rejection> {
    let refusals = checks.into_iter().filter_map(Result::err);
    refusals.min_by_key(|refusal| *refusal != Rejection::Forbidden).map_or(Ok(()), Err)
}

/// A session that meets a [`Demand`]. It dereferences to [`Auth`](crate::Auth), so the handler
/// reads the user's id from it directly.
pub struct Require<D> {
    auth: Auth,
    demand: PhantomData<fn() -> D>,
}

impl<D> Require<D> {
    /// Returns the session, for code that takes an [`Auth`](crate::Auth) by value.
    #[must_use]
    pub fn into_inner(self) -> Auth {
        self.auth
    }
}

impl<D> Deref for Require<D> {
    type Target = Auth;

    fn deref(&self) -> &Auth {
        &self.auth
    }
}

impl<D> fmt::Debug for Require<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require").field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl<S: Send + Sync, D: Demand> FromRequestParts<S> for Require<D> {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, D::check).map(|auth| Self { auth, demand: PhantomData })
    }
}
