//! Alerts report each change of the verdict to the application's transition hook.
//!
//! Instances that share a store call the hook once per change, as long as the store answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use tokio::sync::mpsc;

use super::supervise::Parts;
use crate::state::health::Verdict;
use crate::store::Store;

/// Among instances that reach the same verdict within this time, one calls the hook.
const ONCE_IN: Duration = Duration::from_secs(60);
/// Deadline for the store to decide which instance calls the hook.
const PATIENCE: Duration = Duration::from_secs(2);
/// Deadline for one call of the hook.
const HOOK_DEADLINE: Duration = Duration::from_secs(25);
/// Capacity of the queue of changes that wait for the hook.
const WAITING: usize = 64;

/// A change of this instance's verdict on Clerk.
///
/// [`Builder::on_transition`](crate::Builder::on_transition) receives it. A verdict can change back
/// within seconds, so an alert of its own for [`Verdict::Suspect`] is noise. Alert on
/// [`Verdict::Outage`] and [`Verdict::Isolated`], and on the return to [`Verdict::Healthy`].
///
/// ```
/// use clerk_resilience::{Builder, Transition, Verdict};
///
/// async fn page_the_operator(text: String) {
///     eprintln!("{text}"); // or a POST to the pager's own service
/// }
///
/// fn with_alerts(builder: Builder) -> Builder {
///     builder.on_transition(async |change: Transition| match change.to {
///         Verdict::Outage => page_the_operator(format!("Clerk is down: {}", change.at)).await,
///         Verdict::Isolated => page_the_operator("our network is cut off".into()).await,
///         _ => {}
///     })
/// }
/// # let _ = with_alerts;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The verdict before the change.
    pub from: Verdict,
    /// The verdict after the change. It is also what `clerk.verdict()` returns, until the next
    /// change.
    pub to: Verdict,
    /// The wall-clock time at which this instance changed its verdict.
    pub at: Timestamp,
}

impl Transition {
    pub(super) fn new(from: Verdict, to: Verdict, at: Timestamp) -> Self {
        Self { from, to, at }
    }
}

type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The application's hook for changes of the verdict.
#[derive(Clone)]
pub(crate) struct TransitionHook(pub(crate) Arc<dyn Fn(Transition) -> HookFuture + Send + Sync>);

impl fmt::Debug for TransitionHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitionHook").finish_non_exhaustive()
    }
}

/// The channel on which the driver sends changes without waiting.
pub(crate) type Changes = mpsc::Sender<Transition>;

/// Receives changes from the driver and calls the hook.
#[derive(Debug)]
pub(crate) struct Alerts {
    hook: TransitionHook,
    store: Option<Arc<dyn Store>>,
    changes: mpsc::Receiver<Transition>,
    /// Changes of the last minute.
    recent: Vec<Transition>,
}

impl Alerts {
    /// Creates the channel, and the alerts if the application has a hook.
    pub(crate) fn new(
        hook: Option<TransitionHook>,
        store: Option<&Arc<dyn Store>>,
    ) -> (Changes, Option<Self>) {
        let (sender, changes) = mpsc::channel(WAITING);
        let alerts =
            hook.map(|hook| Self { hook, store: store.cloned(), changes, recent: Vec::new() });
        (sender, alerts)
    }

    /// Calls the hook for each change, until the driver drops its end of the channel.
    ///
    /// Each call runs in its own task, so that a panic ends that call only.
    pub(crate) async fn work(mut self, parts: &Parts) {
        let mut part = parts.part("alerts");
        while !part.survives(self.tell()).await {}
    }

    async fn tell(&mut self) {
        while let Some(change) = self.changes.recv().await {
            if self.is_first(change).await {
                let call = Arc::clone(&self.hook.0);
                let told = async move { tokio::time::timeout(HOOK_DEADLINE, call(change)).await };
                if !matches!(tokio::spawn(told).await, Ok(Ok(()))) {
                    tracing::warn!(
                        event = "clerk.transition.hook_failed",
                        to = change.to.name(),
                        "the transition hook panicked or ran longer than 25 s; check the hook's code"
                    );
                }
            }
        }
    }

    /// Returns true if this instance calls the hook for the change.
    ///
    /// If the store fails or exceeds its deadline, the answer is true: a duplicate alert is better
    /// than a lost one.
    async fn is_first(&mut self, change: Transition) -> bool {
        let time = self.count(change);
        let Some(fleet) = self.store.as_ref().and_then(|store| store.fleet()) else { return true };
        let asking = fleet.first(&format!("transition-{}-{time}", change.to.name()), ONCE_IN);
        !matches!(tokio::time::timeout(PATIENCE, asking).await, Ok(Ok(false)))
    }

    /// Counts how often this instance reached that verdict within the last minute.
    ///
    /// The count is part of the store key, so that a second change within a minute calls the hook
    /// again.
    fn count(&mut self, change: Transition) -> usize {
        self.recent.retain(|earlier| change.at.since(earlier.at) < ONCE_IN);
        self.recent.push(change);
        self.recent.iter().filter(|earlier| earlier.to == change.to).count()
    }
}
