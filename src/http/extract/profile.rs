//! The signed-in user, as an argument of a handler.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{AuthRejection, outcome, required};
use crate::decide::Rejection;
use crate::engine::{KnownUser, Profiles};

/// Who is signed in: what [`Profiles`] tells of the session's user, also while Clerk is down.
///
/// The layer itself never waits for a store. A handler that takes this chooses to: for nothing as a rule,
/// for the store or for Clerk when the user was not seen here lately; [`Profiles::get`] says how long at
/// most.
///
/// The handler is not reached without a session, as with [`Auth`](crate::Auth), nor when it is certain that
/// there is no such user (401), nor when it cannot be told who they are (503), as when Clerk knows no such user
/// but the secret key is not proven to be this instance's. `Option<UserProfile>` is
/// `None` in all these cases, for pages that greet those whom they know.
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

/// `None` where nobody is signed in, or nothing is known of them. A forgotten layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for UserProfile {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let outcome = outcome(parts)?;
        let Some(auth) = outcome.auth() else { return Ok(None) };
        let known = Profiles::of(&outcome.shared).get(auth.user_id()).await;
        Ok(known.ok().flatten().map(Self))
    }
}
