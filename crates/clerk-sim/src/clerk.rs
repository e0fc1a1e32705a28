//! The handle to a simulated Clerk: addresses, keys, sessions and tokens.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use url::Url;

use clerk_verify::clock::Clock;
use clerk_verify::id::{KeyId, UserId};
use clerk_verify::key::{PublishableKey, SecretKey};
use clerk_verify::transport::Transport;

use super::builder::SimBuilder;
use super::machine::SimMachine;
use super::memory::{Hosts, InMemory};
use super::session::{SimOrganization, SimSession};
use super::socket::Sockets;
use super::state::SimState;
use super::surface::Host;
use super::token::TokenBuilder;
use super::{handshake, mint};

/// Handle to a simulated Clerk instance. Clones refer to the same instance. The listeners stop when
/// the last clone is dropped.
#[derive(Clone)]
pub struct SimClerk {
    pub(super) state: Arc<SimState>,
    pub(super) sockets: Option<Arc<Sockets>>,
}

impl SimClerk {
    /// Creates an instance without sockets, with every default.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().build()
    }

    /// Creates an instance with listeners on three free ports of 127.0.0.1, with every default. The
    /// ports serve the Frontend API, the Backend API and the status page over plain HTTP.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if a port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder with options for the instance.
    pub fn builder() -> SimBuilder {
        SimBuilder::new()
    }

    /// Returns a transport that calls this instance inside the process, with sockets or without.
    /// The transport resolves the hosts of the addresses below and of satellites. For other hosts
    /// it reports a DNS error.
    #[must_use]
    pub fn transport(&self) -> impl Transport + Clone + use<> {
        InMemory::new(self.state.clone(), self.hosts())
    }

    /// Waits until every listener matches the faults that are set: closed, or open on its port.
    /// Without sockets the future completes at once.
    pub async fn settled(&self) {
        if let Some(sockets) = &self.sockets {
            sockets.settled(&self.state).await;
        }
    }
}

/// Addresses, keys and time.
impl SimClerk {
    /// Returns the Frontend API's URL: the listener's address, or the publishable key's host
    /// without sockets. Default in memory: `https://clerk.sim.example/`.
    #[must_use]
    pub fn frontend_api_url(&self) -> Url {
        self.address(Host::Frontend)
    }

    /// Returns the Backend API's URL: the listener's address, or `https://api.sim.example/` without
    /// sockets.
    #[must_use]
    pub fn backend_api_url(&self) -> Url {
        self.address(Host::Backend)
    }

    /// Returns the status page's URL: the listener's address, or `https://status.sim.example/`
    /// without sockets.
    #[must_use]
    pub fn status_page_url(&self) -> Url {
        self.address(Host::Status)
    }

    /// Returns the publishable key. The key names the issuer of the tokens, not the listener.
    #[must_use]
    pub fn publishable_key(&self) -> &PublishableKey {
        self.state.publishable_key()
    }

    /// Returns the secret key that the Backend API requires.
    #[must_use]
    pub fn secret_key(&self) -> &SecretKey {
        self.state.secret_key()
    }

    /// Returns the eight characters at the end of this instance's suffixed cookie names, as in
    /// `__session_QvfNY2dr`.
    #[must_use]
    pub fn cookie_suffix(&self) -> String {
        handshake::cookie_suffix(self.publishable_key())
    }

    /// Returns the clock that dates tokens and responses.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.state.clock()
    }

    /// Shifts the `Date` header of responses by this many milliseconds against the clock. A
    /// negative value shifts it into the past.
    pub fn skew_date(&self, millis: i64) {
        self.state.skew_date(millis);
    }

    /// Returns the published keys, in the format of the JWKS endpoints (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.state.jwks()
    }

    /// Returns the signing key's id (`kid`).
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.state.signing_key().kid().clone()
    }

    /// Returns the signing key's public half as PEM, the format of `CLERK_JWT_KEY`.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.state.signing_key().pem()
    }

    /// Rotates the signing key: a new key with a new id signs from now on. The older keys stay
    /// published. Returns the new id.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn rotate_key(&self) -> KeyId {
        self.state.rotate_key()
    }

    /// Replaces the signing key by a new one with the **same** id. The older keys are no longer
    /// published.
    pub fn replace_key(&self) {
        self.state.replace_key();
    }

    /// Stops publishing older keys, so that their tokens no longer verify.
    pub fn retire_keys(&self) {
        self.state.retire_keys();
    }

    fn hosts(&self) -> Hosts {
        Hosts::new(&self.state, self.sockets.as_deref())
    }

    fn address(&self, host: Host) -> Url {
        self.hosts().address(host)
    }
}

/// Sessions and their tokens. Faults do not affect these methods.
impl SimClerk {
    /// Starts a session of a user, and creates the user if necessary.
    pub fn sign_in(&self, user: impl Into<UserId>) -> SimSession {
        self.state.sign_in(user.into())
    }

    /// Ends a session: its token endpoint answers 401 from now on. Tokens that were issued before
    /// stay valid until they expire.
    pub fn revoke(&self, session: &SimSession) {
        self.state.sessions().end(session.id.as_str());
    }

    /// Returns the active sessions, in the order of their ids.
    #[must_use]
    pub fn sessions(&self) -> Vec<SimSession> {
        self.state.sessions().alive().map(|live| live.session.clone()).collect()
    }

    /// Sets the active organization of a session, or clears it with `None`. Later tokens of the
    /// session contain it.
    pub fn set_organization(&self, session: &SimSession, organization: Option<SimOrganization>) {
        self.state.sessions().join(session.id.as_str(), organization);
    }

    /// Adds a membership to a session's user, so that a handshake can activate the organization.
    pub fn add_membership(&self, session: &SimSession, organization: SimOrganization) {
        self.state.sessions().enroll(session.id.as_str(), organization);
    }

    /// Sets the session of browsers that send no client cookie. `None` means signed out, which is
    /// the default.
    pub fn set_browser_session(&self, session: Option<&SimSession>) {
        let id = session.map(|session| session.id.clone());
        self.state.sessions().set_browser(id);
    }

    /// Returns the refresh token of a session's browser, for the cookie `__refresh_` and the
    /// [suffix](Self::cookie_suffix). Empty if the session has ended.
    #[must_use]
    pub fn refresh_token(&self, session: &SimSession) -> String {
        let live = self.state.sessions().get(session.id.as_str()).cloned();
        live.map(|live| live.refresh_token).unwrap_or_default()
    }

    /// Issues an opaque machine token, and returns its secret text.
    #[must_use]
    pub fn issue(&self, machine: SimMachine) -> String {
        self.state.machines().issue(machine, self.state.now().wall)
    }

    /// Revokes an opaque machine token: the Backend API reports it as revoked from now on.
    pub fn revoke_machine(&self, secret: &str) {
        self.state.machines().revoke(secret);
    }

    /// Issues an ordinary session token; it expires in 60 s. A session that has ended gets one too,
    /// without its organization.
    #[must_use]
    pub fn mint(&self, session: &SimSession) -> String {
        let live = self.state.sessions().get(session.id.as_str()).cloned();
        match live {
            Some(live) => mint::ordinary(&self.state, live).sign(),
            None => self.token(session).sign(),
        }
    }

    /// Returns a builder of session tokens, valid or deliberately wrong ones.
    pub fn token(&self, session: &SimSession) -> TokenBuilder<'_> {
        TokenBuilder::new(&self.state, session.clone())
    }

    /// Returns a session token that is valid except for its signature, which an unpublished key
    /// made.
    #[must_use]
    pub fn forge(&self, session: &SimSession) -> String {
        self.token(session).forged().sign()
    }
}

impl fmt::Debug for SimClerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimClerk")
            .field("frontend_api", &self.frontend_api_url().as_str())
            .field("key", &self.key_id())
            .finish_non_exhaustive()
    }
}
