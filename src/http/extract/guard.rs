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

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use clerk_verify::access::{Access, Reverification};
use http::request::Parts;

use super::{AuthRejection, required};
use crate::decide::{Auth, Rejection};

/// A requirement on a session. A tuple of demands requires all of them. An application can
/// implement its own:
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
pub trait Named {
    /// The name, such as `org:admin` or `org:billing:manage`.
    const NAME: &'static str;
}

/// How recently, and with which factors, users must have verified.
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
    Role, RequireRole, Access::role;
    /// Requires a permission in the active organisation.
    Permission, RequirePermission, Access::permission;
    /// Requires a feature of the user's or the organisation's plan.
    Feature, RequireFeature, Access::feature;
    /// Requires a plan of the user or the organisation.
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

/// A session that meets a [`Demand`].
pub struct Require<D> {
    auth: Auth,
    demand: PhantomData<fn() -> D>,
}

impl<D> Require<D> {
    /// Returns the session.
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
