//! A Clerk to run against: real tokens, the real paths, and every way to fail, on demand.
//!
//! [`SimClerk`] is one Clerk instance with its own signing key. It can be asked in two ways that
//! share one set of rules: in the same process through [`SimClerk::upstream`], where tokio's paused
//! time works, and over loopback sockets after [`SimClerk::start`].
//!
//! ```
//! use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
//!
//! let clerk = SimClerk::in_memory();
//! let session = clerk.sign_in("user_ada");
//! let token = clerk.mint(&session);
//! assert_eq!(token.split('.').count(), 3);
//!
//! clerk.break_with(SimSurface::CLERK, SimFault::status(503));
//! clerk.heal_all();
//! ```
//!
//! # What it answers
//!
//! | host | path |
//! |---|---|
//! | Frontend API | `GET /.well-known/jwks.json`, `/v1/client`, `/v1/environment`, `/v1/health`, `/v1/client/handshake` |
//! | | `POST /v1/client/sessions/{sid}/tokens`, `…/touch`, `…/end`, `…/remove`, `/v1/client/sign_ins?identifier=…` |
//! | Backend API, with the secret key | `GET /v1/jwks`, `/v1/users/count`, `/v1/clients/handshake_payload?nonce=…` |
//! | | `POST /v1/sessions/{sid}/tokens`, `…/revoke` |
//! | Status page | `GET /api/v2/summary.json`, `/api/v2/status.json` |
//!
//! Recorded outages can be [replayed](SimClerk::replay) from a [timeline].
//!
//! A session's id is all the proof a token request needs. A browser without the sign-in's cookie
//! can be given one with [`SimClerk::set_browser_session`].

mod answer;
mod ask;
mod backend;
mod builder;
mod clock;
mod fault;
mod faults;
mod frontend;
mod handshake;
mod memory;
mod mint;
mod permissions;
mod respond;
mod session;
mod signing;
mod socket;
mod state;
mod status_page;
mod surface;
pub mod timeline;
mod token;

use std::fmt;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::id::{KeyId, SessionId, UserId};
use crate::key::{PublishableKey, SecretKey};
use crate::upstream::Upstream;

pub use builder::SimBuilder;
pub use clock::SimClock;
pub use fault::{SimBody, SimFault};
pub use session::{SimOrganization, SimSession};
pub use status_page::{SimBoard, SimComponentState};
pub use surface::SimSurface;
pub use token::TokenBuilder;

use memory::{Hosts, InMemory};
use socket::Sockets;
use state::State;
use surface::Host;

/// A simulated Clerk instance. Clones are handles to the same one; when the last of them is
/// dropped, its listeners stop.
#[derive(Clone)]
pub struct SimClerk {
    state: Arc<State>,
    sockets: Option<Arc<Sockets>>,
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
    pub fn upstream(&self) -> impl Upstream + Clone + use<> {
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

    /// Takes every browser that shows no cookie of its own for the one with this session, or, with
    /// `None`, for one that is signed out. At first there is none.
    pub fn set_browser_session(&self, session: Option<&SimSession>) {
        let id: Option<SessionId> = session.map(|session| session.id.clone());
        self.state.sessions().set_browser(id);
    }

    /// An ordinary session token, issued now.
    #[must_use]
    pub fn mint(&self, session: &SimSession) -> String {
        let live = self.state.sessions().get(session.id.as_str()).cloned();
        match live {
            Some(live) => mint::mint(&self.state, live, None).sign(),
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

/// What is broken.
impl SimClerk {
    /// Gives each fault to its share of the requests, from 0 to 1; the rest is answered rightly.
    /// Replaces what was set there before. Shares are laid end to end, and what goes beyond 1 is
    /// cut off. Which request gets what follows from the seed of the builder.
    ///
    /// A request that is under way keeps the fault it met.
    pub fn set_faults(
        &self,
        surfaces: impl AsRef<[SimSurface]>,
        faults: impl AsRef<[(f64, SimFault)]>,
    ) {
        self.state.set_faults(surfaces.as_ref(), faults.as_ref());
    }

    /// Gives every request there the same fault.
    pub fn break_with(&self, surfaces: impl AsRef<[SimSurface]>, fault: SimFault) {
        self.set_faults(surfaces, [(1.0, fault)]);
    }

    /// Takes the faults away there.
    pub fn heal(&self, surfaces: impl AsRef<[SimSurface]>) {
        self.set_faults(surfaces, []);
    }

    /// Takes every fault away. What the status page says stays.
    pub fn heal_all(&self) {
        self.heal(SimSurface::ALL);
    }

    /// The faults that are set there, with their shares.
    #[must_use]
    pub fn faults(&self, surface: SimSurface) -> Vec<(f64, SimFault)> {
        self.state.faults().get(surface).clone()
    }

    /// Writes on the status page. At first all is operational.
    pub fn set_board(&self, board: SimBoard) {
        *self.state.board() = board;
    }

    /// What stands on the status page.
    #[must_use]
    pub fn board(&self) -> SimBoard {
        self.state.board().clone()
    }

    /// Sets one component of the status page, as `Session management`.
    pub fn set_component(&self, name: impl Into<String>, state: SimComponentState) {
        self.state.board().components.insert(name.into(), state);
    }
}

/// How often it was asked.
impl SimClerk {
    /// Requests to a surface so far. In memory that counts those that were refused too; a port that
    /// is closed counts nothing. Preflights do not count.
    #[must_use]
    pub fn requests(&self, surface: SimSurface) -> u64 {
        self.state.faults().count(surface)
    }

    /// Requests to Clerk so far, those to the status page not among them.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        let faults = self.state.faults();
        SimSurface::CLERK.iter().map(|surface| faults.count(*surface)).sum()
    }

    /// When the latest requests to a surface came, oldest first, by the instance's clock. The last
    /// 16,384 are remembered.
    #[must_use]
    pub fn request_times(&self, surface: SimSurface) -> Vec<Timestamp> {
        self.state.faults().arrivals(surface).iter().map(|moment| moment.wall).collect()
    }

    /// Begins counting anew.
    pub fn forget_requests(&self) {
        self.state.faults().forget_arrivals();
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

#[cfg(test)]
mod tests;
