//! The handle to a simulated Clerk.

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
use super::state::State;
use super::surface::Host;
use super::token::TokenBuilder;
use super::{handshake, mint};

/// A simulated Clerk instance. Clones are handles to the same one; when the last of them is
/// dropped, its listeners stop.
#[derive(Clone)]
pub struct SimClerk {
    pub(super) state: Arc<State>,
    pub(super) sockets: Option<Arc<Sockets>>,
}

impl SimClerk {
    /// An instance without sockets, with every default.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().build()
    }

    /// An instance with three listeners on free ports of 127.0.0.1, with every default.
    ///
    /// # Errors
    ///
    /// When a port cannot be opened.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// The same with choices.
    pub fn builder() -> SimBuilder {
        SimBuilder::new()
    }

    /// A client of this instance that stays in the process. It knows the hosts of the addresses
    /// below, sockets or not; any other host does not resolve.
    #[must_use]
    pub fn transport(&self) -> impl Transport + Clone + use<> {
        InMemory::new(self.state.clone(), self.hosts())
    }

    /// Waits until every listener has followed the faults that are set: gone, or back on its port.
    /// Without sockets there is nothing to wait for.
    pub async fn settled(&self) {
        if let Some(sockets) = &self.sockets {
            sockets.settled(&self.state).await;
        }
    }
}

/// Addresses, keys and time.
impl SimClerk {
    /// `https://clerk.sim.example/` in memory, else the address of the listener.
    #[must_use]
    pub fn frontend_api_url(&self) -> Url {
        self.address(Host::Frontend)
    }

    /// `https://api.sim.example/` in memory, else the address of the listener.
    #[must_use]
    pub fn backend_api_url(&self) -> Url {
        self.address(Host::Backend)
    }

    /// `https://status.sim.example/` in memory, else the address of the listener.
    #[must_use]
    pub fn status_page_url(&self) -> Url {
        self.address(Host::Status)
    }

    /// The instance's publishable key. It names the issuer of the tokens, not the listener.
    #[must_use]
    pub fn publishable_key(&self) -> &PublishableKey {
        self.state.publishable_key()
    }

    /// The secret key the Backend API asks for.
    #[must_use]
    pub fn secret_key(&self) -> &SecretKey {
        self.state.secret_key()
    }

    /// The eight characters at the end of this instance's suffixed cookie names, as in
    /// `__session_QvfNY2dr`.
    #[must_use]
    pub fn cookie_suffix(&self) -> String {
        handshake::cookie_suffix(self.publishable_key())
    }

    /// The clock by which tokens are issued and answers dated.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.state.clock()
    }

    /// Makes the `Date` header differ from the clock by so many milliseconds, back when negative.
    pub fn skew_date(&self, millis: i64) {
        self.state.skew_date(millis);
    }

    /// The published keys, as the JWKS endpoints answer them.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.state.jwks()
    }

    /// The signing key's name.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.state.signing_key().kid().clone()
    }

    /// The signing key's public half as PEM, the form of `CLERK_JWT_KEY`.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.state.signing_key().pem()
    }

    /// Signs with a new key under a new name from now on; the older keys stay published.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn rotate_key(&self) -> KeyId {
        self.state.rotate_key()
    }

    /// Signs with a new key under the **same** name from now on; the older keys are gone at once.
    pub fn replace_key(&self) {
        self.state.replace_key();
    }

    /// Publishes the signing key alone, so that tokens of older keys do not verify any more.
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

/// Sessions and their tokens. None of it is touched by faults.
impl SimClerk {
    /// Signs a user in.
    pub fn sign_in(&self, user: impl Into<UserId>) -> SimSession {
        self.state.sign_in(user.into())
    }

    /// Ends a session: its token path answers 401 from now on. Tokens that were minted stay as good
    /// as their signature and their time.
    pub fn revoke(&self, session: &SimSession) {
        self.state.sessions().end(session.id.as_str());
    }

    /// The sessions that live, in the order of their ids.
    #[must_use]
    pub fn sessions(&self) -> Vec<SimSession> {
        self.state.sessions().alive().map(|live| live.session.clone()).collect()
    }

    /// Makes an organisation the active one of a session, or none: what is minted over the wire
    /// speaks of it.
    pub fn set_organization(&self, session: &SimSession, organization: Option<SimOrganization>) {
        self.state.sessions().join(session.id.as_str(), organization);
    }

    /// Makes the user of a session a member of one more organisation, which a handshake can make the
    /// active one.
    pub fn add_membership(&self, session: &SimSession, organization: SimOrganization) {
        self.state.sessions().enroll(session.id.as_str(), organization);
    }

    /// Takes every browser that shows no cookie of its own for the one with this session, or, with
    /// `None`, for one that is signed out. At first there is none.
    pub fn set_browser_session(&self, session: Option<&SimSession>) {
        let id = session.map(|session| session.id.clone());
        self.state.sessions().set_browser(id);
    }

    /// The refresh token of a session's browser, for the cookie `__refresh_` and the
    /// [suffix](Self::cookie_suffix); empty when the session has ended.
    #[must_use]
    pub fn refresh_token(&self, session: &SimSession) -> String {
        let live = self.state.sessions().get(session.id.as_str()).cloned();
        live.map(|live| live.refresh_token).unwrap_or_default()
    }

    /// Issues an opaque machine token.
    #[must_use]
    pub fn issue(&self, machine: SimMachine) -> String {
        self.state.machines().issue(machine, self.state.now().wall)
    }

    /// Revokes an opaque machine token: the Backend API describes it as revoked from now on.
    pub fn revoke_machine(&self, secret: &str) {
        self.state.machines().revoke(secret);
    }

    /// An ordinary session token, issued now.
    #[must_use]
    pub fn mint(&self, session: &SimSession) -> String {
        let live = self.state.sessions().get(session.id.as_str()).cloned();
        match live {
            Some(live) => mint::ordinary(&self.state, live).sign(),
            None => self.token(session).sign(),
        }
    }

    /// A session token with choices; for wrong ones too.
    pub fn token(&self, session: &SimSession) -> TokenBuilder<'_> {
        TokenBuilder::new(&self.state, session.clone())
    }

    /// A session token that is right in everything but its signature, which is another key's.
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
