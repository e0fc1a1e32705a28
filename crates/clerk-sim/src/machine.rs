//! Opaque machine tokens: API keys, machine-to-machine tokens and OAuth access tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use clerk_verify::clock::Timestamp;
use clerk_verify::token::TokenKind;

use super::answer::SimAnswer;
use super::ask::Ask;
use super::state::{SimState, random_text};

/// Describes an opaque machine token for [`SimClerk::issue`](super::SimClerk::issue).
#[derive(Clone, Debug)]
#[must_use = "nothing is made before SimClerk::issue()"]
pub struct SimMachine {
    kind: TokenKind,
    subject: String,
    name: Option<String>,
    client_id: Option<String>,
    scopes: Vec<String>,
    claims: Option<Map<String, Value>>,
    lifetime: Option<Duration>,
}

impl SimMachine {
    /// Creates an API key, `ak_…`, of a user or an organization. `subject` is the owner's id.
    pub fn api_key(subject: impl Into<String>) -> Self {
        Self::new(TokenKind::ApiKey, subject)
    }

    /// Creates a machine-to-machine token, `mt_…`. `subject` is the machine's id, `mch_…`.
    pub fn machine_to_machine(subject: impl Into<String>) -> Self {
        Self::new(TokenKind::MachineToMachine, subject)
    }

    /// Creates an OAuth access token, `oat_…`, of a user. `subject` is the user's id.
    pub fn oauth(subject: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self { client_id: Some(client_id.into()), ..Self::new(TokenKind::OAuth, subject) }
    }

    fn new(kind: TokenKind, subject: impl Into<String>) -> Self {
        Self {
            kind,
            subject: subject.into(),
            name: None,
            client_id: None,
            scopes: Vec::new(),
            claims: None,
            lifetime: None,
        }
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds a custom claim.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    /// Sets the lifetime. Default: unlimited.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

/// The issued tokens, by their secret text.
#[derive(Debug, Default)]
pub(super) struct SimMachines(BTreeMap<String, Issued>);

#[derive(Debug)]
struct Issued {
    machine: SimMachine,
    id: String,
    at: Timestamp,
    revoked: bool,
}

impl SimMachines {
    pub(super) fn issue(&mut self, machine: SimMachine, at: Timestamp) -> String {
        let (prefix, id) = match machine.kind {
            TokenKind::ApiKey => ("ak_", "key_"),
            TokenKind::OAuth => ("oat_", "oat_id_"),
            TokenKind::MachineToMachine | TokenKind::Session => ("mt_", "mt_id_"),
        };
        let (secret, id) = (random_text(prefix, 32), random_text(id, 16));
        self.0.insert(secret.clone(), Issued { machine, id, at, revoked: false });
        secret
    }

    pub(super) fn revoke(&mut self, secret: &str) {
        if let Some(issued) = self.0.get_mut(secret) {
            issued.revoked = true;
        }
    }
}

/// Answers a request to verify a token. `member` names the member of the request's body that
/// contains the token.
pub(super) fn verify(state: &SimState, ask: &Ask, kind: TokenKind, member: &str) -> SimAnswer {
    let Some(secret) = ask.member(member) else {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return SimAnswer::error(status, "form_param_missing", &format!("{member} is missing"));
    };
    match state.machines().0.get(&secret) {
        Some(issued) if issued.machine.kind == kind => {
            SimAnswer::ok(&issued.describe(state.now().wall))
        }
        _ => SimAnswer::not_found(),
    }
}

impl Issued {
    fn describe(&self, now: Timestamp) -> Value {
        let machine = &self.machine;
        let expires = machine.lifetime.map(|lifetime| self.at.plus(lifetime));
        json!({
            "object": machine.kind.name(),
            "id": self.id,
            "subject": machine.subject,
            "name": machine.name,
            "client_id": machine.client_id,
            "scopes": machine.scopes,
            "claims": machine.claims,
            "revoked": self.revoked,
            "expired": expires.is_some_and(|at| at <= now),
            "expiration": expires.map(Timestamp::as_millis),
            "created_at": self.at.as_millis(),
        })
    }
}
