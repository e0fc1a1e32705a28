//! Extractors for axum handlers: the session, the machine, the user's profile.
//!
//! | extractor | handler runs for | else |
//! |---|---|---|
//! | [`Auth`] | a session, fresh or in grace | 401, 503 or a redirect |
//! | `Option<Auth>` | everybody | never |
//! | [`FreshAuth`] | a session whose token has not expired | the same; 503 in grace |
//! | [`Require`](guard::Require) with a [`Demand`](guard::Demand) | a session that meets the demand | the same; 403 |
//! | [`Machine`](crate::Machine) | an accepted machine token | the same |
//! | [`Caller`](crate::Caller) | a session or an accepted machine | the same |
//! | [`UserProfile`] | a session whose profile is known | the same; 503 |
//!
//! All of them read the outcome that the layer has put into the request. None performs I/O except
//! [`UserProfile`].

mod caller;
pub mod guard;
mod profile;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use self::guard::Demand as _;
pub use self::profile::UserProfile;
use crate::decide::{Auth, Rejection};
use crate::http::outcome::RequestOutcome;
use crate::http::response::{Responder, Shape};

/// The rejection of an extractor. It becomes the same response that the layer would send: problem
/// details (RFC 9457) for programs, the page or a redirect for browsers.
///
/// A handler that takes `Result<Auth, AuthRejection>` decides itself about requests without a
/// session:
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use clerk_resilience::{Auth, AuthRejection};
///
/// async fn feed(auth: Result<Auth, AuthRejection>) -> Response {
///     match auth {
///         Ok(auth) => format!("feed of {}", auth.user_id()).into_response(),
///         Err(refused) if refused.rejection().status() == 401 => "public feed".into_response(),
///         Err(refused) => refused.into_response(),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/feed", axum::routing::get(feed));
/// ```
#[derive(Clone, Debug)]
pub struct AuthRejection {
    rejection: Rejection,
    answers: Arc<Responder>,
    shape: Shape,
}

impl AuthRejection {
    fn new(rejection: Rejection, answers: Arc<Responder>, parts: &Parts) -> Self {
        static SAID: AtomicBool = AtomicBool::new(false);
        if rejection == Rejection::LayerMissing && !SAID.swap(true, Ordering::Relaxed) {
            tracing::error!(
                event = "clerk.layer.missing",
                path = parts.uri.path(),
                "a handler takes a session, but its route is not behind the layer: add .route_layer(clerk.clone()) below it"
            );
        }
        let shape = answers.shape_of_parts(parts);
        Self { rejection, answers, shape }
    }

    /// Returns the reason, with its status, its stable code, and the range of `Retry-After`.
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
        self.answers.reject(self.rejection, &self.shape)
    }
}

fn outcome(parts: &Parts) -> Result<&RequestOutcome, AuthRejection> {
    parts
        .extensions
        .get::<RequestOutcome>()
        .ok_or_else(|| AuthRejection::new(Rejection::LayerMissing, Arc::default(), parts))
}

/// Returns the session if the request has one and it meets `demand`.
fn required(
    parts: &Parts,
    demand: impl FnOnce(&Auth) -> Result<(), Rejection>,
) -> Result<Auth, AuthRejection> {
    let outcome = outcome(parts)?;
    let auth = outcome.auth().ok_or(outcome.missing());
    let met = auth.and_then(|auth| demand(auth).map(|()| auth.clone()));
    met.map_err(|rejection| AuthRejection::new(rejection, Arc::clone(&outcome.answers), parts))
}

/// Returns the session of a request. Without one, the handler does not run.
impl<S: Send + Sync> FromRequestParts<S> for Auth {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, |_| Ok(()))
    }
}

/// Returns `None` if an optional session is absent. A missing layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Auth {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        outcome(parts).map(|outcome| outcome.auth().cloned())
    }
}

/// A session that is not in grace, for payments, credentials and deletions. While Clerk is down, a
/// handler with this argument answers 503 with `Retry-After` to sessions whose token has expired.
///
/// The parameter limits [`Auth::claims_age`] in seconds; by default there is no limit. A token that
/// Clerk's edge signs during Clerk's own outage is fresh, but its claims may be hours old. An
/// ordinary token is up to 60 s old, plus 5 s for clocks, so choose more than that:
///
/// ```
/// use clerk_resilience::FreshAuth;
///
/// async fn pay(FreshAuth(auth): FreshAuth<120>) -> String {
///     format!("paid by {}", auth.user_id())
/// }
/// # let _: axum::Router = axum::Router::new().route("/pay", axum::routing::post(pay));
/// ```
///
/// The type is the promise: no policy, variable or override lets a session in grace reach such a
/// handler. Use it where an old role, an ended membership or a stolen token would do lasting harm.
///
/// | session | response |
/// |---|---|
/// | token within its 60 s (plus 5 s of leeway), claims young enough | the handler runs |
/// | in grace, or claims older than the parameter | 503 `step_up_unavailable` |
/// | none | as for [`Auth`] |
#[derive(Clone, Debug)]
pub struct FreshAuth<const MAX_CLAIMS_AGE_SECS: u64 = { u64::MAX }>(pub Auth);

impl<S: Send + Sync, const SECS: u64> FromRequestParts<S> for FreshAuth<SECS> {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        let current = |auth: &Auth| {
            let recent = auth.claims_age() <= Duration::from_secs(SECS);
            if recent { guard::Fresh::check(auth) } else { Err(Rejection::FreshRequired) }
        };
        required(parts, current).map(Self)
    }
}

impl<const SECS: u64> Deref for FreshAuth<SECS> {
    type Target = Auth;

    fn deref(&self) -> &Auth {
        &self.0
    }
}
