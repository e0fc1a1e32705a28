//! Changes of the verdict, told to the application: once for each, however many instances see it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use tokio::sync::mpsc;

use crate::state::health::Verdict;
use crate::store::Store;

/// Of several instances that come to the same verdict within this time, one tells.
const ONCE_IN: Duration = Duration::from_secs(60);
/// A store that does not say by then who is the first is not asked further.
const PATIENCE: Duration = Duration::from_secs(2);
/// A hook that is not over by then is left.
const HOOK_DEADLINE: Duration = Duration::from_secs(25);
/// So many changes wait for the hook.
const WAITING: usize = 64;

/// A change of the verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// What it was.
    pub from: Verdict,
    /// What it is.
    pub to: Verdict,
    /// When this instance saw it.
    pub at: Timestamp,
}

impl Transition {
    pub(super) fn new(from: Verdict, to: Verdict, at: Timestamp) -> Self {
        Self { from, to, at }
    }
}

type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an application does about a change.
#[derive(Clone)]
pub(crate) struct TransitionHook(pub(crate) Arc<dyn Fn(Transition) -> Told + Send + Sync>);

impl fmt::Debug for TransitionHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitionHook").finish_non_exhaustive()
    }
}

/// Where the driver puts changes; it does not wait.
pub(crate) type Changes = mpsc::Sender<Transition>;

/// Tells them.
#[derive(Debug)]
pub(crate) struct Alerts {
    hook: TransitionHook,
    store: Option<Arc<dyn Store>>,
    changes: mpsc::Receiver<Transition>,
    /// What came within the last minute.
    recent: Vec<Transition>,
}

impl Alerts {
    /// Without a hook nobody takes the changes.
    pub(crate) fn new(
        hook: Option<TransitionHook>,
        store: Option<&Arc<dyn Store>>,
    ) -> (Changes, Option<Self>) {
        let (sender, changes) = mpsc::channel(WAITING);
        let alerts =
            hook.map(|hook| Self { hook, store: store.cloned(), changes, recent: Vec::new() });
        (sender, alerts)
    }

    /// Works as long as the driver. Each call in a task of its own, so that a panic ends nothing else.
    pub(crate) async fn work(mut self) {
        while let Some(change) = self.changes.recv().await {
            if self.is_first(change).await {
                let call = Arc::clone(&self.hook.0);
                let told = async move { tokio::time::timeout(HOOK_DEADLINE, call(change)).await };
                if !matches!(tokio::spawn(told).await, Ok(Ok(()))) {
                    tracing::warn!(
                        event = "clerk.transition.hook_failed",
                        to = change.to.name(),
                        "the hook for transitions panicked, or was not over within 25 s"
                    );
                }
            }
        }
    }

    /// In doubt it is: an alert twice is better than none.
    async fn is_first(&mut self, change: Transition) -> bool {
        let time = self.count(change);
        let Some(fleet) = self.store.as_ref().and_then(|store| store.fleet()) else { return true };
        let asking = fleet.first(&format!("transition-{}-{time}", change.to.name()), ONCE_IN);
        !matches!(tokio::time::timeout(PATIENCE, asking).await, Ok(Ok(false)))
    }

    /// How often this instance came to that verdict within a minute: the second time is another transition.
    fn count(&mut self, change: Transition) -> usize {
        self.recent.retain(|earlier| change.at.since(earlier.at) < ONCE_IN);
        self.recent.push(change);
        self.recent.iter().filter(|earlier| earlier.to == change.to).count()
    }
}
