//! Guards: arguments of a handler that demand something of the session.
//!
//! A type says what is demanded, so that the signature of a handler tells who may call it. A guard
//! answers as a [`RoutePolicy`](crate::RoutePolicy) with the same demand does, and gives the handler
//! the session.
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
//! Several demands are a tuple, and must all be met:
//!
//! ```
//! # use clerk_resilience::guard::{Named, Role, Strict, Verified};
//! # use clerk_resilience::Require;
//! # struct Admin;
//! # impl Named for Admin { const NAME: &'static str = "org:admin"; }
//! async fn transfer(_: Require<(Role<Admin>, Verified<Strict>)>) -> &'static str {
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

/// Something that a session must have. Tuples of demands are demands; a demand of the
/// application's own looks at the session itself:
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
    /// Whether the session has it.
    ///
    /// # Errors
    ///
    /// What the request is answered with instead; [`Rejection::Forbidden`] as a rule.
    fn check(auth: &Auth) -> Result<(), Rejection>;
}

/// The name of a role, permission, feature or plan, in the forms of [`Access`].
pub trait Named {
    /// The name, as `org:admin` or `org:billing:manage`.
    const NAME: &'static str;
}

/// How recently, and with what, users must have proven who they are.
pub trait Recent {
    /// The level.
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
    /// Demands a role in the active organisation.
    Role, RequireRole, Access::role;
    /// Demands a permission in the active organisation.
    Permission, RequirePermission, Access::permission;
    /// Demands a feature of the user's or the organisation's plan.
    Feature, RequireFeature, Access::feature;
    /// Demands a plan of the user or the organisation.
    Plan, RequirePlan, Access::plan;
}

/// Demands that the user verified a factor recently. When that was too long ago the answer is a 403
/// that Clerk's front-end `useReverification` understands, and 503 in grace, when nobody can verify.
#[derive(Debug)]
pub struct Verified<L>(PhantomData<fn() -> L>);

impl<L: Recent> Demand for Verified<L> {
    fn check(auth: &Auth) -> Result<(), Rejection> {
        auth.check(&Access::reverification(L::LEVEL))
    }
}

/// A session of a user who [`Verified`] a factor recently.
pub type RequireReverification<L> = Require<Verified<L>>;

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

/// Demands a session that is not in grace, as [`FreshAuth`](crate::FreshAuth) does; 503 otherwise.
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

/// What is forbidden stays so, however recently somebody verified: it goes before what can change.
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
    /// The session.
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
