//! Callers that are no sessions, and the judgement of their tokens.

use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use clerk_verify::machine::MachineToken;
use clerk_verify::token::{InvalidToken, TokenKind};
use serde_json::{Map, Value};

use super::auth::Auth;
use super::{Judge, Obstacle, Rejection, Unavailable, machine_revocation};
use crate::state::health::{Status, Surface};

/// A machine, or another application, that sends a request: an API key, a machine-to-machine token
/// or an OAuth access token that holds.
///
/// As an axum extractor it is the machine of a request that passed the layer, on a route that
/// [accepts](crate::RoutePolicy::accepts) its kind. A session is never a machine: whoever presents
/// one to a handler with this argument gets 401 `token-type-mismatch`.
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

    /// Of which kind its token is; never [`TokenKind::Session`].
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.0.kind
    }

    /// The token's id, which is no secret; empty for a JWT without `jti`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Whom it stands for: `user_…`, `org_…` or `mch_…`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What it may be used for.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// True when this scope is among them, letter by letter.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|held| held == scope)
    }

    /// The claims that are its issuer's own.
    #[must_use]
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        self.0.claims.as_ref()
    }

    /// The name that an API key was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The OAuth client that the token was issued to.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    /// Until when it is good; `None` for ever.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// When it was made, as far as it says.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.0.created_at
    }
}

impl std::fmt::Debug for Machine {
    /// Shows who, and none of the claims.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("kind", &self.kind())
            .field("id", &self.id())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

/// Who sends a request, where both may: a user's session or a machine. The argument of handlers on
/// routes that accept both.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Caller {
    /// A session.
    User(Auth),
    /// A machine.
    Machine(Machine),
}

impl Caller {
    /// The session, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<&Auth> {
        match self {
            Self::User(auth) => Some(auth),
            Self::Machine(_) => None,
        }
    }

    /// The machine, if it is one.
    #[must_use]
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Machine(machine) => Some(machine),
            Self::User(_) => None,
        }
    }
}

impl Judge<'_> {
    /// No grace: a machine can be told to come back. What Clerk told of the token's time was true when
    /// it was told.
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
