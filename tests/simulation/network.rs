//! The transport to Clerk: a simulated instance behind faults and a log.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clerk_resilience::clock::{Clock, Moment};
use clerk_resilience::sim::{
    SimBoard, SimClerk, SimClock, SimComponentState, SimFault, SimSurface,
};
use clerk_resilience::transport::{ApiRequest, ApiResponse, Calling, Transport, TransportError};
use fastrand::Rng;
use http::{HeaderMap, StatusCode};
use test_support::token::{START, jwks};
use tokio::time::Instant;
use url::Url;

use crate::faults::Faults;

pub(crate) const CANARY: &str = "https://canary.sim.example/";
/// A good answer that takes longer than a probe waits is none.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// The network of one world: its faults, and a log of the calls.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) faults: Faults,
    pub(crate) keys: (bool, bool),
    pub(crate) red: bool,
    /// From now on every call gets a good answer, whatever the faults.
    pub(crate) forced_fair: bool,
    rng: Rng,
    log: Vec<Asked>,
}

/// A question to Clerk that was answered, or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) instance: usize,
    /// `None` for a canary.
    pub(crate) surface: Option<SimSurface>,
    pub(crate) good: bool,
    /// Keys that came, if these were asked for.
    pub(crate) keys: Option<(bool, bool)>,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            faults: Faults::fair(),
            keys: (true, false),
            red: false,
            forced_fair: false,
            rng: Rng::with_seed(seed ^ 0x5eed),
            log: Vec::new(),
        }
    }

    /// What was asked and answered since the last time.
    pub(crate) fn take_log(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.log)
    }

    fn fault(&mut self, surface: SimSurface) -> Option<SimFault> {
        let (draw, faults) = (self.rng.f64(), &self.faults);
        let hit = !self.forced_fair && faults.surfaces.contains(&surface) && draw < faults.share;
        hit.then(|| faults.fault.clone()).flatten()
    }
}

/// The transport of one instance.
#[derive(Clone, Debug)]
pub(crate) struct ClerkTransport {
    pub(crate) network: Arc<Mutex<Network>>,
    pub(crate) instance: usize,
}

pub(crate) fn lock(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport for ClerkTransport {
    fn call(&self, call: ApiRequest) -> Calling {
        let transport = self.clone();
        Box::pin(async move {
            match surface(&call.url) {
                Some(surface) => transport.ask_clerk(surface, call).await,
                None => transport.ask_canary(),
            }
        })
    }
}

impl ClerkTransport {
    async fn ask_clerk(
        self,
        surface: SimSurface,
        call: ApiRequest,
    ) -> Result<ApiResponse, TransportError> {
        let (fault, keys) = {
            let mut network = lock(&self.network);
            (network.fault(surface), network.keys)
        };
        let late = |fault: &SimFault| !matches!(fault, SimFault::Latency(span) if *span < PATIENCE);
        let good = !fault.as_ref().is_some_and(late);
        let right = fault.as_ref().is_none_or(|fault| matches!(fault, SimFault::Latency(_)));
        let calling = clerk(|sim| {
            sim.set_board(board(lock(&self.network).red));
            sim.transport().call(call)
        });
        // Whatever Clerk publishes in its own voice are its keys.
        let foreign = fault == Some(SimFault::ForeignKeys) && surface == SimSurface::Jwks;
        clerk(|sim| sim.set_faults(surface, fault.map(|fault| (1.0, fault)).as_slice()));
        let mut reply = calling.await;
        let asked_keys = matches!(surface, SimSurface::Jwks | SimSurface::BackendJwks);
        if let Ok(reply) = &mut reply
            && asked_keys
            && right
        {
            reply.body = Bytes::from(jwks(keys.0, keys.1).to_string());
        }
        let keys = match (asked_keys && right && good, foreign) {
            (true, _) => Some(keys),
            (false, foreign) => foreign.then_some((false, false)),
        };
        self.note(Asked {
            at: Instant::now(),
            instance: self.instance,
            surface: Some(surface),
            good,
            keys,
        });
        reply
    }

    fn ask_canary(&self) -> Result<ApiResponse, TransportError> {
        let good = {
            let network = lock(&self.network);
            network.faults.canary || network.forced_fair
        };
        self.note(Asked {
            at: Instant::now(),
            instance: self.instance,
            surface: None,
            good,
            keys: None,
        });
        let (headers, body, latency) = (HeaderMap::new(), Bytes::new(), Duration::ZERO);
        let reply = ApiResponse { status: StatusCode::NO_CONTENT, headers, body, latency };
        if good { Ok(reply) } else { Err(TransportError::Refused) }
    }

    fn note(&self, asked: Asked) {
        lock(&self.network).log.push(asked);
    }
}

fn surface(url: &Url) -> Option<SimSurface> {
    let path = url.path();
    match url.host_str() {
        Some("api.sim.example") if path == "/v1/jwks" => Some(SimSurface::BackendJwks),
        Some("api.sim.example") => Some(SimSurface::BackendApi),
        Some("status.sim.example") => Some(SimSurface::StatusPage),
        Some("canary.sim.example") => None,
        _ if path.ends_with("jwks.json") => Some(SimSurface::Jwks),
        _ if path.ends_with("/tokens") => Some(SimSurface::SessionMint),
        _ if path.ends_with("/handshake") => Some(SimSurface::Handshake),
        _ => Some(SimSurface::Client),
    }
}

fn board(red: bool) -> SimBoard {
    if red { SimBoard::everything(&SimComponentState::MajorOutage) } else { SimBoard::default() }
}

/// The Clerk that answers on this thread. Its keys are not used, so that making it once will do.
fn clerk<T>(with: impl FnOnce(&SimClerk) -> T) -> T {
    thread_local!(static CLERK: SimClerk = SimClerk::builder().clock(Follow).build());
    CLERK.with(with)
}

thread_local!(static TRUE_TIME: RefCell<Option<SimClock>> = const { RefCell::new(None) });

/// Makes the Clerk of this thread, and its random keys.
pub(crate) fn make_clerk() {
    clerk(|_| ());
}

/// Begins another world on this thread.
pub(crate) fn begin_time() {
    TRUE_TIME.set(Some(SimClock::starting_at(START)));
}

/// The true time of the world that this thread plays.
#[derive(Debug)]
struct Follow;

impl Clock for Follow {
    fn now(&self) -> Moment {
        let stopped = Moment { wall: START, mono: Duration::ZERO };
        TRUE_TIME.with_borrow(|clock| clock.as_ref().map_or(stopped, Clock::now))
    }
}
