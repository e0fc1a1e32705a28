//! Supervision of the background parts: a part that panics is logged and restarted.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Delay before the first restart. The delay doubles with each further panic.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay, within which a snapshot stays valid. A part that ran this long before its
/// panic starts again at [`FIRST_DELAY`].
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The background parts that wait for their restart.
#[derive(Debug, Default)]
pub(crate) struct Parts(Mutex<BTreeSet<&'static str>>);

impl Parts {
    /// The names of the parts that do not run now.
    pub(crate) fn down(&self) -> Vec<&'static str> {
        self.names().iter().copied().collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the supervisor of the part with this name.
    pub(crate) fn part(&self, name: &'static str) -> Part<'_> {
        Part { parts: self, name, restarts: 0, delay: FIRST_DELAY }
    }

    /// Runs a part that keeps no state of its own, and starts it again after each panic.
    pub(crate) async fn keep<F>(&self, name: &'static str, mut start: impl FnMut() -> F)
    where
        F: Future<Output = ()>,
    {
        let mut part = self.part(name);
        while !part.survives(async { start().await }).await {}
    }
}

/// One background part, as its supervisor sees it.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    parts: &'a Parts,
    name: &'static str,
    restarts: u64,
    delay: Duration,
}

impl Part<'_> {
    /// Runs the part. Returns false if the part panicked and is now due to start again.
    ///
    /// What must not be lost lies outside of `part`, which a panic drops.
    pub(crate) async fn survives(&mut self, part: impl Future<Output = ()>) -> bool {
        let began = Instant::now();
        if caught(part).await {
            return true;
        }
        if began.elapsed() >= MAX_DELAY {
            self.delay = FIRST_DELAY;
        }
        self.restarts += 1;
        tracing::error!(
            event = "clerk.part.panicked",
            part = self.name,
            restarts = self.restarts,
            delay = ?self.delay,
            "a background part panicked and restarts after the delay. Report this as a defect of the layer"
        );
        let down = Down::new(self);
        tokio::time::sleep(self.delay).await;
        drop(down);
        self.delay = MAX_DELAY.min(self.delay * 2);
        false
    }
}

/// Lists a part as down, until dropped.
struct Down<'a>(&'a Parts, &'static str);

impl<'a> Down<'a> {
    fn new(part: &Part<'a>) -> Self {
        part.parts.names().insert(part.name);
        Self(part.parts, part.name)
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.names().remove(self.1);
    }
}

/// Runs the last writes of a part before the driver ends.
pub(super) async fn finish(name: &'static str, writes: impl Future<Output = ()>) {
    if !caught(writes).await {
        tracing::error!(
            event = "clerk.part.unfinished",
            part = name,
            "the last writes of a background part panicked; its newest state may be lost. Report this as a defect of the layer"
        );
    }
}

/// Runs a future. Returns false if the future panicked.
async fn caught(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|()| true),
        Err(_) => Poll::Ready(false),
    })
    .await
}
