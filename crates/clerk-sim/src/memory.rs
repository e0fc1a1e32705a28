//! The front end inside the process, without sockets.

use std::sync::Arc;

use http::Method;
use tokio::time::{Instant, timeout};
use url::Url;

use clerk_verify::clock::Clock;
use clerk_verify::transport::{ApiRequest, ApiResponse, Calling, Transport, TransportError};

use super::answer::SimAnswer;
use super::ask::Ask;
use super::fault::Break;
use super::respond::respond;
use super::socket::Sockets;
use super::state::SimState;
use super::surface::Host;

/// A [`Transport`] to an instance in the same process.
#[derive(Clone, Debug)]
pub(super) struct InMemory {
    state: Arc<SimState>,
    hosts: Hosts,
}

impl InMemory {
    pub(super) fn new(state: Arc<SimState>, hosts: Hosts) -> Self {
        Self { state, hosts }
    }
}

impl Transport for InMemory {
    fn call(&self, call: ApiRequest) -> Calling {
        let (state, host) = (self.state.clone(), self.hosts.find(&call.url));
        let satellite = state.satellite_of(&call.url);
        Box::pin(async move {
            let host =
                satellite.as_ref().map(|_| Host::Frontend).or(host).ok_or(TransportError::Dns)?;
            let (deadline, max_bytes) = (call.deadline, call.max_bytes);
            timeout(deadline, exchange(&state, ask(host, satellite, call), max_bytes))
                .await
                .map_err(|_| TransportError::Timeout)?
        })
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(self.state.clock())
    }
}

async fn exchange(state: &SimState, ask: Ask, cap: usize) -> Result<ApiResponse, TransportError> {
    let sent = Instant::now();
    match respond(state, &ask).await {
        Ok(answer) if ask.method == Method::HEAD => Ok(reply(answer.without_body(), sent)),
        Ok(answer) if answer.body.len() > cap => Err(TransportError::TooLarge),
        Ok(answer) => Ok(reply(answer, sent)),
        Err(broken) => Err(fault(broken).await),
    }
}

fn ask(host: Host, satellite: Option<String>, call: ApiRequest) -> Ask {
    Ask {
        host,
        satellite,
        method: call.method,
        path: call.url.path().to_owned(),
        query: call.url.query().unwrap_or_default().to_owned(),
        headers: call.headers,
        body: call.body,
    }
}

fn reply(answer: SimAnswer, sent: Instant) -> ApiResponse {
    let SimAnswer { status, headers, body } = answer;
    ApiResponse { status, headers, body, latency: sent.elapsed() }
}

/// Returns the transport error that a client reports for a broken request. Endless ones pend until
/// the deadline.
async fn fault(broken: Break) -> TransportError {
    match broken {
        Break::Hang | Break::SlowDrip => std::future::pending().await,
        Break::Refused => TransportError::Refused,
        Break::Reset => TransportError::Reset,
        Break::Garbage | Break::Truncated => TransportError::Protocol,
        Break::Huge => TransportError::TooLarge,
        Break::Dns => TransportError::Dns,
        Break::Tls => TransportError::Tls,
    }
}

/// The URLs of one instance.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    named: [Url; 3],
    listening: Option<[Url; 3]>,
}

impl Hosts {
    pub(super) fn new(state: &SimState, sockets: Option<&Sockets>) -> Self {
        let url = |text: String| Url::parse(&text).expect("a plain host makes an address");
        let frontend = state.publishable_key().issuer();
        let named = [
            url(frontend),
            url("https://api.sim.example/".to_owned()),
            url("https://status.sim.example/".to_owned()),
        ];
        let listening =
            sockets.map(|sockets| sockets.addresses().map(|at| url(format!("http://{at}/"))));
        Self { named, listening }
    }

    pub(super) fn address(&self, host: Host) -> Url {
        self.listening.as_ref().unwrap_or(&self.named)[host as usize].clone()
    }

    /// Returns the host of a URL, regardless of its path.
    fn find(&self, url: &Url) -> Option<Host> {
        let known = |host: &Host| {
            let place = *host as usize;
            let listening = self.listening.as_ref().map(|urls| &urls[place]);
            std::iter::once(&self.named[place]).chain(listening).any(|known| same(known, url))
        };
        Host::ALL.into_iter().find(known)
    }
}

fn same(known: &Url, url: &Url) -> bool {
    known.host() == url.host() && known.port_or_known_default() == url.port_or_known_default()
}
