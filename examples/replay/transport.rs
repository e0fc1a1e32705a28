//! A transport to Clerk that keeps count of what goes over it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clerk_resilience::transport::{ApiRequest, ApiResponse, Calling, Transport};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use url::Url;

/// Something outside that always answers, to tell an outage from a cut cable.
const CANARY: &str = "https://canary.example/";
const EXCHANGE: &str = "/v1/clients/handshake_payload";

/// Counts one application's questions to Clerk; its status page and canaries are not Clerk.
#[derive(Clone, Debug)]
pub(crate) struct CountingTransport {
    inner: Arc<dyn Transport>,
    began: Instant,
    log: Arc<Mutex<Log>>,
}

/// What went over a transport.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Questions in each second, but for the exchanges of nonces.
    asked: Vec<u32>,
    /// Nonces of browsers that came back from Clerk, in each second.
    exchanges: Vec<u32>,
    /// When a probe of minting failed, in seconds.
    pub(crate) failures: Vec<f64>,
}

impl CountingTransport {
    pub(crate) fn new(inner: impl Transport) -> Self {
        Self { inner: Arc::new(inner), began: Instant::now(), log: Arc::default() }
    }

    pub(crate) fn canary() -> Url {
        Url::parse(CANARY).expect("a good address")
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &str) {
        let second = usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX);
        let mut log = self.log();
        let is_clerk = path.starts_with("/v1/") || path.starts_with("/.well-known/");
        if path == EXCHANGE {
            count(&mut log.exchanges, second);
        } else if is_clerk {
            count(&mut log.asked, second);
        }
    }
}

fn count(counts: &mut Vec<u32>, second: usize) {
    if counts.len() <= second {
        counts.resize(second + 1, 0);
    }
    counts[second] += 1;
}

impl Log {
    /// All exchanges of nonces.
    pub(crate) fn exchanges(&self) -> u64 {
        self.exchanges.iter().copied().map(u64::from).sum()
    }

    /// The most questions in a second, exchanges included.
    pub(crate) fn busiest(&self, seconds: std::ops::Range<u64>) -> u64 {
        let of = |counts: &[u32], second: usize| counts.get(second).copied().unwrap_or(0);
        let all = |second| u64::from(of(&self.asked, second) + of(&self.exchanges, second));
        let seconds = seconds.filter_map(|second| usize::try_from(second).ok());
        seconds.map(all).max().unwrap_or(0)
    }

    /// Questions per second, on average, in these seconds.
    pub(crate) fn rate(&self, seconds: impl Iterator<Item = usize>) -> Option<f64> {
        let (mut count, mut asked) = (0_u32, 0_u32);
        for second in seconds {
            count += 1;
            asked += self.asked.get(second).copied().unwrap_or(0);
        }
        (count > 0).then(|| f64::from(asked) / f64::from(count))
    }

    /// The most in any minute that ends in these seconds, per second.
    pub(crate) fn peak(&self, seconds: impl Iterator<Item = usize>) -> Option<f64> {
        let minute = |end: usize| self.rate(end.saturating_sub(59)..=end);
        seconds.filter_map(minute).max_by(f64::total_cmp)
    }
}

impl Transport for CountingTransport {
    fn call(&self, call: ApiRequest) -> Calling {
        if call.url.as_str() == CANARY {
            return Box::pin(async { Ok(fine()) });
        }
        self.note(call.url.path());
        let probe = call.url.path().ends_with("/tokens");
        let (calling, transport) = (self.inner.call(call), self.clone());
        Box::pin(async move {
            let result = calling.await;
            if probe && !matches!(&result, Ok(reply) if is_answer(reply)) {
                transport.log().failures.push(transport.began.elapsed().as_secs_f64());
            }
            result
        })
    }
}

fn is_answer(reply: &ApiResponse) -> bool {
    !reply.status.is_server_error() && reply.status != StatusCode::TOO_MANY_REQUESTS
}

fn fine() -> ApiResponse {
    ApiResponse {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        latency: std::time::Duration::ZERO,
    }
}
