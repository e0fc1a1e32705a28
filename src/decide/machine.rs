//! [`Machine`] and [`Caller`], and the decision about machine tokens.

use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use clerk_verify::machine::MachineToken;
use clerk_verify::token::{InvalidToken, TokenKind};
use serde_json::{Map, Value};

use super::auth::Auth;
use super::{Judge, Obstacle, Rejection, Unavailable, machine_revocation};
use crate::state::health::{Status, Surface};

/// A verified machine: an API key, a machine-to-machine token or an OAuth access token.
///
/// As an axum extractor, `Machine` returns the machine of a request that passed the layer, on a
/// route that [accepts](crate::RoutePolicy::accepts) its kind. A session is never a machine. A
/// request with a session to a handler with this argument gets 401 `token-type-mismatch`.
///
/// ```
/// use axum::http::StatusCode;
/// use clerk_resilience::Machine;
///
/// async fn export(machine: Machine) -> Result<String, StatusCode> {
///     if !machine.has_scope("reports:read") {
///         return Err(StatusCode::FORBIDDEN);
///     }
///     Ok(format!("reports for {}", machine.subject()))
/// }
/// ```
#[derive(Clone)]
pub struct Machine(Arc<MachineToken>);

impl Machine {
    pub(super) fn new(token: Arc<MachineToken>) -> Self {
        Self(token)
    }

    pub(super) fn token(&self) -> &MachineToken {
        &self.0
    }

    /// Returns the kind of the token; never [`TokenKind::Session`]. A route that accepts several
    /// kinds can distinguish them by it.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.0.kind
    }

    /// Returns the token's id, which is not secret. The id is empty for a JWT without `jti`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Returns the subject that the token represents: `user_…`, `org_…` or `mch_…`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns the token's scopes. Scopes are not permissions: a machine has no role and no
    /// permission, and a route that requires one answers 403.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Returns true if the token has exactly this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|held| held == scope)
    }

    /// Returns the custom claims of the token's issuer.
    #[must_use]
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        self.0.claims.as_ref()
    }

    /// Returns the name of an API key, as its owner wrote it. Other kinds have none. Do not decide
    /// by it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Returns the OAuth client to which Clerk issued the token.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    /// Returns the time of expiry; `None` if the token does not expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// Returns the time of creation, if the token states it.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.0.created_at
    }
}

impl std::fmt::Debug for Machine {
    /// Shows kind, id and subject, and no claims.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("kind", &self.kind())
            .field("id", &self.id())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

/// The sender of a request: a user's session or a machine. Handlers on routes that accept both
/// kinds take this extractor.
///
/// ```
/// use axum::{Router, routing::get};
/// use clerk_resilience::token::TokenKind;
/// use clerk_resilience::{Caller, ClerkResilience, RoutePolicy};
///
/// async fn report(caller: Caller) -> String {
///     match caller {
///         Caller::User(auth) => format!("for user {}", auth.user_id()),
///         Caller::Machine(machine) => format!("for {}", machine.subject()),
///         _ => "for nobody".into(),
///     }
/// }
///
/// fn app(clerk: &ClerkResilience) -> Router {
///     let both = RoutePolicy::required().accepts([TokenKind::Session, TokenKind::ApiKey]);
///     Router::new().route("/report", get(report)).route_layer(clerk.policy(both))
/// }
/// # let _ = app;
/// ```
///
/// As a test, with an API key that the simulated Clerk issues:
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::{SimClerk, SimMachine};
/// use clerk_resilience::token::TokenKind;
/// use clerk_resilience::{Machine, RoutePolicy, SimClerkExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let keys = RoutePolicy::required().accepts([TokenKind::ApiKey]);
/// let clerk = sim.layer(|builder| builder.policy(keys));
/// let subject = async |machine: Machine| machine.subject().to_owned();
/// let app = Router::new().route("/", get(subject)).layer(clerk);
/// let mut request = sim.get("/", &sim.sign_in("user_1"));
/// assert_eq!(sim.send(&app, &request).await.status(), 401, "a session is no machine");
///
/// let secret = sim.issue(SimMachine::api_key("user_1").scope("reports:read"));
/// let bearer = format!("Bearer {secret}").parse().expect("plain ASCII");
/// request.headers_mut().insert("authorization", bearer);
/// sim.pass(Duration::from_secs(10)).await;
/// assert_eq!(sim.send(&app, &request).await.status(), 200);
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Caller {
    /// A user's session.
    User(Auth),
    /// A machine.
    Machine(Machine),
}

impl Caller {
    /// Returns the session; `None` for a machine.
    #[must_use]
    pub fn user(&self) -> Option<&Auth> {
        match self {
            Self::User(auth) => Some(auth),
            Self::Machine(_) => None,
        }
    }

    /// Returns the machine; `None` for a session.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Machine(machine) => Some(machine),
            Self::User(_) => None,
        }
    }
}

impl Judge<'_> {
    /// Decides about a verified machine token. Machines get no grace, because they can retry. The
    /// Backend API checked the times of an opaque token when it answered.
    pub(super) fn with_machine(
        &self,
        token: &Arc<MachineToken>,
        signed: bool,
    ) -> Result<Machine, Rejection> {
        if signed && !self.keys_usable() {
            return Err(Rejection::Unavailable(Unavailable::NoKeys));
        }
        if token.revoked {
            return Err(Rejection::Revoked);
        }
        if let Some(rejection) = machine_revocation(token, self.known) {
            return Err(rejection);
        }
        let over = !signed && token.expires_at.is_some_and(|at| at <= self.now.wall);
        if token.expired || over {
            return Err(Rejection::Invalid(InvalidToken::Expired));
        }
        if self.route.access.is_some() {
            return Err(Rejection::Forbidden);
        }
        Ok(Machine::new(Arc::clone(token)))
    }

    pub(super) fn with_opaque(&self, untold: Option<Unavailable>) -> Obstacle {
        let down = self.known.health.surface(Surface::BackendApi).status() == Status::Down;
        match untold {
            Some(reason) => Rejection::Unavailable(reason).into(),
            None if down => Rejection::Unavailable(Unavailable::BackendApi).into(),
            None => Obstacle::Untold,
        }
    }
}
