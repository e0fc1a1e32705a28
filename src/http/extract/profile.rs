//! The extractor [`UserProfile`].

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{AuthRejection, outcome, required};
use crate::decide::Rejection;
use crate::engine::{KnownUser, Profiles};

/// The profile of the signed-in user, from [`Profiles`], also while Clerk is down.
///
/// A session token names the user's id and organisation, and no name, address or picture. This
/// extractor adds them, without a table of the application's own.
///
/// The layer itself never waits for a profile. A handler with this argument waits for the look-up:
/// not at all for a cached profile, else for the store or for Clerk. [`Profiles::get`] states the
/// maximum.
///
/// | profile | wait | response if it fails |
/// |---|---|---|
/// | in memory | none | |
/// | in the store | at most 2 s | next row |
/// | at Clerk, while it is healthy | two calls, each within the [probe deadline](crate::Builder::probe_deadline) | 503 `profile_unavailable` |
///
/// maximum.
///
/// The handler runs only with a session, as with [`Auth`](crate::Auth). If the user does not exist,
/// the response is 401. If the look-up fails, the response is 503. A look-up also fails for a user
/// unknown to Clerk while the secret key is not proven to belong to this instance.
/// `Option<UserProfile>` is `None` in all these cases.
///
/// ```
/// use clerk_resilience::{Auth, UserProfile};
///
/// async fn hello(user: Option<UserProfile>) -> String {
///     let name = user.as_ref().and_then(|user| user.profile.first_name.as_deref());
///     format!("Hello, {}", name.unwrap_or("whoever you are"))
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(hello));
/// ```
///
/// As a test. The first request asks the simulated Clerk, and the second is answered from memory
/// during an outage:
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
/// use clerk_resilience::{SimClerkExt, UserProfile};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder);
/// let name = async |user: UserProfile| user.profile.first_name.clone().unwrap_or_default();
/// let app = Router::new().route("/name", get(name)).layer(clerk);
/// sim.update_user("user_1", serde_json::json!({ "first_name": "Ada" }));
/// let session = sim.sign_in("user_1");
/// sim.pass(Duration::from_secs(30)).await;
/// assert_eq!(sim.send(&app, &sim.get("/name", &session)).await.status(), 200);
///
/// sim.break_with(SimSurface::CLERK, SimFault::status(503));
/// assert_eq!(sim.send(&app, &sim.get("/name", &session)).await.status(), 200);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UserProfile(pub KnownUser);

impl Deref for UserProfile {
    type Target = KnownUser;

    fn deref(&self) -> &KnownUser {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserProfile {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        let auth = required(parts, |_| Ok(()))?;
        let outcome = outcome(parts)?;
        let rejection = match Profiles::of(&outcome.shared).get(auth.user_id()).await {
            Ok(Some(known)) => return Ok(Self(known)),
            Ok(None) => Rejection::Revoked,
            Err(_) => Rejection::ProfileUnavailable,
        };
        Err(AuthRejection::new(rejection, Arc::clone(&outcome.answers), parts))
    }
}

/// Returns `None` without a session or a known profile. A missing layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for UserProfile {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let outcome = outcome(parts)?;
        let Some(auth) = outcome.auth() else { return Ok(None) };
        let known = Profiles::of(&outcome.shared).get(auth.user_id()).await;
        Ok(known.ok().flatten().map(Self))
    }
}
