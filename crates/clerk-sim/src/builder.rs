//! Options of a simulated Clerk.

use std::io;
use std::sync::Arc;

use clerk_verify::clock::Clock;
use clerk_verify::key::{InstanceKind, PublishableKey, SecretKey};

use super::SimClerk;
use super::clock::SimClock;
use super::socket::Sockets;
use super::state::SimState;

/// Builds a [`SimClerk`].
#[derive(Debug)]
#[must_use = "nothing is made before build() or start()"]
pub struct SimBuilder {
    publishable: PublishableKey,
    secret: Option<SecretKey>,
    clock: Option<Arc<dyn Clock>>,
    seed: u64,
    ports: [u16; 3],
    satellites: Vec<String>,
}

impl SimBuilder {
    pub(super) fn new() -> Self {
        let publishable = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production)
            .expect("the host is plain");
        Self {
            publishable,
            secret: None,
            clock: None,
            seed: 0,
            ports: [0; 3],
            satellites: Vec::new(),
        }
    }

    /// Sets the publishable key. It decides the instance's kind and, in memory, the host of the
    /// Frontend API. Default: a `pk_live_` key of `clerk.sim.example`.
    pub fn publishable_key(mut self, key: PublishableKey) -> Self {
        self.publishable = key;
        self
    }

    /// Sets the secret key that the Backend API requires. Default: a fixed key of the publishable
    /// key's kind.
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret = Some(key);
        self
    }

    /// Sets the clock that dates tokens and responses. Default: a [`SimClock`] that starts at the
    /// present time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets the seed that decides which requests a fault with a share hits. Default: 0. Keys and
    /// ids are random with any seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the ports of the Frontend API, the Backend API and the status page. Default: 0, any
    /// free port.
    pub fn ports(mut self, frontend_api: u16, backend_api: u16, status_page: u16) -> Self {
        self.ports = [frontend_api, backend_api, status_page];
        self
    }

    /// Adds a satellite domain, such as `app.example.org`. In memory, the Frontend API is also at
    /// `clerk.` followed by the domain, and tokens from there have that issuer.
    pub fn satellite(mut self, domain: impl Into<String>) -> Self {
        self.satellites.push(domain.into());
        self
    }

    /// Creates the instance without sockets.
    #[must_use]
    pub fn build(self) -> SimClerk {
        SimClerk { state: Arc::new(self.into_state()), sockets: None }
    }

    /// Creates the instance and opens its listeners on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if a port cannot be opened.
    pub async fn start(self) -> io::Result<SimClerk> {
        let ports = self.ports;
        let state = Arc::new(self.into_state());
        let sockets = Sockets::open(&state, ports).await?;
        Ok(SimClerk { state, sockets: Some(Arc::new(sockets)) })
    }

    fn into_state(self) -> SimState {
        let secret = self.secret.unwrap_or_else(|| default_secret(self.publishable.kind()));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SimClock::starting_now()));
        SimState::new(self.publishable, secret, self.satellites, clock, self.seed)
    }
}

fn default_secret(kind: InstanceKind) -> SecretKey {
    let text = match kind {
        InstanceKind::Development => "sk_test_simulated",
        InstanceKind::Production => "sk_live_simulated",
    };
    SecretKey::parse(text).expect("the key is well-formed")
}
