//! The session, as an argument of a handler.

mod caller;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::decide::{Auth, Rejection};
use crate::outcome::Outcome;
use crate::respond::{Answers, Shape};

/// Why a handler did not get its session; becomes the same response that the layer would give.
#[derive(Clone, Debug)]
pub struct AuthRejection {
    rejection: Rejection,
    answers: Arc<Answers>,
    shape: Shape,
}

impl AuthRejection {
    fn new(rejection: Rejection, answers: Arc<Answers>, parts: &Parts) -> Self {
        static SAID: AtomicBool = AtomicBool::new(false);
        if rejection == Rejection::LayerMissing && !SAID.swap(true, Ordering::Relaxed) {
            tracing::error!(
                event = "clerk.layer.missing",
                path = parts.uri.path(),
                "a handler takes a session, but its route is not behind the layer: add .route_layer(clerk.clone()) below it"
            );
        }
        Self { rejection, answers, shape: Shape::of(&parts.method, &parts.headers) }
    }

    /// The reason.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        self.rejection
    }
}

impl fmt::Display for AuthRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rejection.sentence())
    }
}

impl std::error::Error for AuthRejection {}

impl IntoResponse for AuthRejection {
    fn into_response(self) -> Response {
        self.answers.reject(self.rejection, self.shape)
    }
}

fn outcome(parts: &Parts) -> Result<&Outcome, AuthRejection> {
    parts
        .extensions
        .get::<Outcome>()
        .ok_or_else(|| AuthRejection::new(Rejection::LayerMissing, Arc::default(), parts))
}

fn required(parts: &Parts) -> Result<(Auth, &Outcome), AuthRejection> {
    let outcome = outcome(parts)?;
    match outcome.auth() {
        Some(auth) => Ok((auth.clone(), outcome)),
        None => Err(AuthRejection::new(outcome.missing(), Arc::clone(&outcome.answers), parts)),
    }
}

/// The session of a request. On a route where it is optional and absent, the handler is not reached.
impl<S: Send + Sync> FromRequestParts<S> for Auth {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts).map(|(auth, _)| auth)
    }
}

/// `None` on a route where the session is optional and absent. A forgotten layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Auth {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        outcome(parts).map(|outcome| outcome.auth().cloned())
    }
}

/// A session that is *not* in grace. While Clerk is down, a handler with this argument answers 503
/// with `Retry-After` to sessions whose token has expired: for payments, credentials, deletions.
#[derive(Clone, Debug)]
pub struct FreshAuth(pub Auth);

impl<S: Send + Sync> FromRequestParts<S> for FreshAuth {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        let (auth, outcome) = required(parts)?;
        if auth.grace().is_none() {
            return Ok(Self(auth));
        }
        Err(AuthRejection::new(Rejection::FreshRequired, Arc::clone(&outcome.answers), parts))
    }
}

impl Deref for FreshAuth {
    type Target = Auth;

    fn deref(&self) -> &Auth {
        &self.0
    }
}

/// Something that a session must have, named by a type.
///
/// ```
/// use clerk_resilience::{Auth, Demand, Require};
///
/// struct Admin;
/// impl Demand for Admin {
///     fn met_by(auth: &Auth) -> bool {
///         auth.has_role("org:admin")
///     }
/// }
///
/// async fn settings(admin: Require<Admin>) -> String {
///     format!("Hello, {}", admin.user_id())
/// }
/// ```
pub trait Demand {
    /// True when the session has it.
    fn met_by(auth: &Auth) -> bool;
}

/// A session that meets a [`Demand`], such as a role or permission; 403 when it does not.
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
        let (auth, outcome) = required(parts)?;
        if D::met_by(&auth) {
            return Ok(Self { auth, demand: PhantomData });
        }
        Err(AuthRejection::new(Rejection::Forbidden, Arc::clone(&outcome.answers), parts))
    }
}
