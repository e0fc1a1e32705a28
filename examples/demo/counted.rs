//! A wire to Clerk that counts what goes over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clerk_resilience::transport::{ApiRequest, Calling, Transport};

/// Counts the questions to Clerk itself; its status page and canaries are not Clerk.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn Transport>,
    asked: Arc<AtomicU64>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner, asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Transport for Counted {
    fn call(&self, call: ApiRequest) -> Calling {
        let path = call.url.path();
        if path.starts_with("/v1/") || path.starts_with("/.well-known/") {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.call(call)
    }
}
