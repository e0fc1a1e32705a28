//! The webhook inbox: applies denials and profile changes at once, and runs hooks later.
//!
//! Before the receiver answers, the snapshot has the denials and the store has the event. A task
//! beside the driver then runs the hooks, one event at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::webhook_signature::WebhookVerifier;
use serde_json::Value;
use tokio::sync::Notify;

use super::shared::{Core, Shared};
use crate::state::revocation::Denial;
use crate::state::snapshot::{SyncStatus, WebhookDelivery};
use crate::state::webhook_event::{EventRules, WebhookEvent};
use crate::store::{
    Accepted, DeadLetter, FollowUp, InboxEvent, Pending, Store, StoreError, Task, TaskOutcome,
};

/// Deadline for one call of the store.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Deadline for one call of a hook. A hook that exceeds this time has failed.
const HOOK_DEADLINE: Duration = Duration::from_secs(25);
/// Time between the deadline of a task's last hook and the expiry of the worker's claim.
const MARGIN: Duration = Duration::from_secs(5);
/// Delay before the second attempt. The delay doubles with each failure, up to [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(60 * 60);
/// Maximum number of attempts, over about two and a half hours. After the last failed attempt, the
/// event becomes a dead letter.
const ATTEMPTS: u32 = 12;
/// The worker polls the store for due tasks at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Deadline for one pruning of the store: a busy hour can store a million events.
const PRUNE_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Delay after a failed pruning.
const PRUNE_RETRY: Duration = Duration::from_secs(60);
/// Clerk retries a delivery for this long. A later delivery was resent manually.
const RETRIES: Duration = Duration::from_secs(28 * 60 * 60);

/// A webhook event as passed to a hook.
///
/// Hooks run after the receiver has answered Clerk. Events can arrive more than once and out of
/// order, so a hook must be idempotent by [`id`](Self::id).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The webhook message id. Retries of the event have the same id.
    pub id: String,
    /// The event type, for example `user.created`.
    pub kind: String,
    /// The time of the event at Clerk, or the time of receipt if the event has none.
    ///
    /// The time is at most 300 s after receipt.
    pub happened: Timestamp,
    /// The event's `data` member, without any `private_metadata`.
    pub data: Value,
    /// The number of attempts to run the event's hooks, including the present one. Starts at 1.
    pub attempts: u32,
}

impl fmt::Debug for Event {
    /// Formats the event without its data, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        event.field("id", &self.id).field("kind", &self.kind);
        event.field("happened", &self.happened).finish_non_exhaustive()
    }
}

type EventHookFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The application's hook for some types of events.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) kinds: Vec<String>,
    pub(crate) call: Arc<dyn Fn(Event) -> EventHookFuture + Send + Sync>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// The parts that receive webhooks: signature verifier, store and hooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(crate) verifier: WebhookVerifier,
    store: Arc<dyn Store>,
    hooks: Vec<Hook>,
    rules: EventRules,
    keep_private: bool,
    /// Denials to publish in the next batch.
    fresh: Mutex<Vec<Denial>>,
    /// Held while a batch is published.
    turn: Mutex<()>,
    arrived: Notify,
    /// True if the last call of the store failed.
    ailing: AtomicBool,
}

/// The outcome of a task, with the task's id and claim.
type Settled = (String, u64, TaskOutcome);

/// The result of a delivery with a good signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivered {
    /// The store accepted the event, or had accepted the event before.
    Kept,
    /// The event is malformed, and the store recorded a dead letter.
    Nonsense,
    /// The store failed to accept the event. The event's denials still apply in memory.
    NotKept,
}

impl Webhooks {
    pub(crate) fn new(
        verifier: WebhookVerifier,
        store: Arc<dyn Store>,
        hooks: Vec<Hook>,
        rules: EventRules,
        keep_private: bool,
    ) -> Self {
        let (fresh, turn, arrived, ailing) = Default::default();
        Self { verifier, store, hooks, rules, keep_private, fresh, turn, arrived, ailing }
    }

    /// Returns true if the inbox's last call of the store failed.
    pub(crate) fn store_fails(&self) -> bool {
        self.ailing.load(Ordering::Relaxed)
    }

    pub(crate) async fn dead(&self) -> Result<Vec<DeadLetter>, StoreError> {
        within(self.store.dead_letters()).await
    }

    pub(crate) async fn requeue(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let revived = within(self.store.requeue(id, now)).await?;
        self.arrived.notify_one();
        Ok(revived)
    }

    fn entry(&self, id: &str, body: &[u8], received: Timestamp) -> InboxEvent {
        let nonsense = |why: String, kind, happened| InboxEvent {
            id: id.to_owned(),
            kind,
            happened,
            received,
            denials: Vec::new(),
            changes: Vec::new(),
            rest: FollowUp::Malformed(why),
        };
        // The parser's error message may quote the body, so the reason is a fixed text.
        let Ok(event) = WebhookEvent::parse(body) else {
            let why = "the body is not JSON with a type".to_owned();
            return nonsense(why, String::new(), received);
        };
        let happened = event.happened(received);
        let denials = match event.denials(received, self.rules) {
            Ok(denials) => denials,
            Err(why) => return nonsense(why.to_string(), event.kind, happened),
        };
        match event.changes(received, self.keep_private) {
            Ok(changes) => {
                let rest = self.rest(&event);
                let (id, kind) = (id.to_owned(), event.kind);
                InboxEvent { id, kind, happened, received, denials, changes, rest }
            }
            Err(why) => InboxEvent { denials, ..nonsense(why.to_string(), event.kind, happened) },
        }
    }

    /// Returns the follow-up of an event. The store receives data only for events that have a hook.
    fn rest(&self, event: &WebhookEvent) -> FollowUp {
        if self.hooks_for(&event.kind).next().is_none() {
            return FollowUp::Nothing;
        }
        let mut data = event.data.clone();
        strip(&mut data);
        FollowUp::Hooks(data.to_string())
    }

    fn hooks_for<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Hook> {
        self.hooks.iter().filter(move |hook| hook.kinds.iter().any(|named| named == kind))
    }

    /// Publishes denials, in one batch with those of concurrent deliveries.
    ///
    /// On return, the snapshot has the denials.
    fn publish(&self, denials: &[Denial], shared: &Shared) {
        if denials.is_empty() {
            return;
        }
        held(&self.fresh).extend_from_slice(denials);
        let _turn = held(&self.turn);
        let batch = std::mem::take(&mut *held(&self.fresh));
        if !batch.is_empty() {
            shared.deny(&batch, self.store.is_durable());
        }
    }

    /// Runs the hooks of stored events, forever.
    pub(crate) async fn work(self: Arc<Self>, core: Arc<Core>) {
        let mut done = None;
        loop {
            match self.next(done.take(), &core).await {
                Some(task) => done = Some(self.attempt(task, &core).await),
                None => drop(tokio::time::timeout(LOOK_EVERY, self.arrived.notified()).await),
            }
        }
    }

    /// Settles the last task and claims the next one, with both store calls in flight together.
    async fn next(&self, done: Option<Settled>, core: &Core) -> Option<Task> {
        // A process without hooks leaves the tasks to other processes.
        if self.hooks.is_empty() {
            return None;
        }
        let settle = async {
            let (id, claim, outcome) = done?;
            let settled = within(self.store.settle(&id, claim, outcome)).await;
            if matches!(settled, Ok(false)) {
                tracing::debug!(event = "clerk.webhook.claim_lost", %id, "another worker claimed the event; its outcome counts");
            }
            Some(settled)
        };
        let claim = within(self.store.claim(core.clock.now().wall, self.lease()));
        let (settled, claimed) = tokio::join!(settle, claim);
        if let Some(settled) = settled {
            self.report(core, settled);
        }
        self.report(core, claimed).flatten()
    }

    /// Returns the duration of a claim, which covers the deadlines of all hooks in sequence.
    fn lease(&self) -> Duration {
        let hooks = u32::try_from(self.hooks.len()).unwrap_or(u32::MAX);
        HOOK_DEADLINE.saturating_mul(hooks.max(1)).saturating_add(MARGIN)
    }

    async fn attempt(&self, task: Task, core: &Core) -> Settled {
        let (id, claim, attempts) = (task.id.clone(), task.claim, task.attempts);
        if attempts > ATTEMPTS {
            let why = "the process ended whenever a hook was at it".to_owned();
            return (id, claim, TaskOutcome::Dead { why });
        }
        let outcome = match self.call(task).await {
            Ok(()) => TaskOutcome::Done,
            Err(why) => {
                core.counters.hook_failed();
                tracing::warn!(event = "clerk.webhook.hook_failed", %id, attempts, %why, "a hook failed; the inbox retries the event, and after 12 failed attempts stores a dead letter");
                after_failure(why, attempts, core.clock.now().wall)
            }
        };
        (id, claim, outcome)
    }

    fn report<T>(&self, core: &Core, result: Result<T, StoreError>) -> Option<T> {
        self.remark(&result);
        result.inspect_err(|_| core.counters.store_failed()).ok()
    }

    /// Logs the first failure of the store and the recovery, but no failure in between.
    fn remark<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Err(error) if !self.ailing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(event = "clerk.store.failed", %error, "store unavailable: applying webhooks in memory and answering 503 so that Clerk retries; restore the store");
            }
            Ok(_) if self.ailing.swap(false, Ordering::Relaxed) => {
                tracing::info!(event = "clerk.store.well", "store available again");
            }
            _ => {}
        }
    }

    /// Runs the event's hooks in sequence, each in its own task so that a panic counts as a
    /// failure.
    async fn call(&self, task: Task) -> Result<(), String> {
        let data = serde_json::from_str(&task.data).map_err(|error| error.to_string())?;
        let Task { id, kind, happened, attempts, .. } = task;
        let event = Event { id, kind, happened, data, attempts };
        if self.hooks_for(&event.kind).next().is_none() {
            return Err("this process has no hook for it".to_owned());
        }
        for hook in self.hooks_for(&event.kind) {
            let (call, event) = (Arc::clone(&hook.call), event.clone());
            let heard = async move { tokio::time::timeout(HOOK_DEADLINE, call(event)).await };
            match tokio::spawn(heard).await {
                Ok(Ok(result)) => result?,
                Ok(Err(_)) => return Err("it was not over within 25 s".to_owned()),
                Err(_) => return Err("it panicked".to_owned()),
            }
        }
        Ok(())
    }
}

/// Prunes expired data from a store every hour, forever.
///
/// Pruning uses a trusted time only, because a denial that is removed too early cannot be restored.
pub(crate) async fn prune(store: Arc<dyn Store>, core: Arc<Core>) {
    loop {
        let certain = core.load().certain(core.clock.now());
        let Some(certain) = certain else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        let pruned = tokio::time::timeout(PRUNE_PATIENCE, store.prune(certain)).await;
        if let Ok(Ok(())) = pruned {
            tokio::time::sleep(PRUNE_EVERY).await;
        } else {
            core.counters.store_failed();
            tracing::debug!(
                event = "clerk.store.unpruned",
                "pruning of the store failed; the next attempt is in 60 s"
            );
            tokio::time::sleep(PRUNE_RETRY).await;
        }
    }
}

impl Shared {
    /// Applies a delivery with a good signature and stores the event.
    ///
    /// Denials apply before the store answers.
    pub(crate) async fn deliver(&self, webhooks: &Webhooks, id: &str, body: &[u8]) -> Delivered {
        let received = self.now().wall;
        let entry = webhooks.entry(id, body, received);
        let delivery = WebhookDelivery { at: received, lag: received.since(entry.happened) };
        self.feed(|feeds| SyncStatus { webhook: Some(received), ..feeds });
        let nonsense = matches!(entry.rest, FollowUp::Malformed(_));
        let silent = entry.denials.is_empty() && entry.changes.is_empty();
        let unused = entry.rest == FollowUp::Nothing && silent;
        webhooks.publish(&entry.denials, self);
        let denials = entry.denials.clone();
        let task = matches!(entry.rest, FollowUp::Hooks(_));
        let changes = entry.changes.clone();
        self.people.hear(&changes);
        let accepted = within(webhooks.store.accept(entry)).await;
        self.people.hear(&changes);
        if task {
            webhooks.arrived.notify_one();
        }
        webhooks.remark(&accepted);
        // Duplicates and manually resent events do not measure the delivery lag.
        if !matches!(accepted, Ok(Accepted::Duplicate)) && delivery.lag <= RETRIES {
            self.feed(|feeds| SyncStatus { delivery: Some(delivery), ..feeds });
        }
        let counters = &self.core.counters;
        match &accepted {
            Ok(Accepted::Duplicate) => counters.webhook_repeated(),
            Ok(Accepted::New) if nonsense => counters.webhook_made_no_sense(),
            Ok(Accepted::New) if unused => counters.webhook_unused(),
            Ok(Accepted::New) => counters.webhook_accepted(),
            Err(_) => {
                counters.webhook_not_kept();
                counters.store_failed();
                if webhooks.store.is_durable() && !denials.is_empty() {
                    self.deny_meanwhile(&denials);
                }
            }
        }
        match accepted {
            Err(_) => Delivered::NotKept,
            Ok(_) if nonsense => Delivered::Nonsense,
            Ok(_) => Delivered::Kept,
        }
    }

    /// Records that the application received a verified webhook.
    pub(crate) fn heard_webhook(&self) {
        let now = self.now().wall;
        self.feed(|feeds| SyncStatus { webhook: Some(now), ..feeds });
    }
}

async fn within<T>(pending: Pending<T>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, pending).await.unwrap_or(Err(StoreError::Busy))
}

fn after_failure(why: String, attempts: u32, now: Timestamp) -> TaskOutcome {
    if attempts >= ATTEMPTS {
        return TaskOutcome::Dead { why };
    }
    let doublings = attempts.saturating_sub(1).min(16);
    let wait = (RETRY_FIRST * 2_u32.pow(doublings)).min(RETRY_LAST);
    TaskOutcome::Retry { at: now.plus(wait), why }
}

/// Removes `private_metadata` at every depth. Hooks that need this data query Clerk.
fn strip(data: &mut Value) {
    match data {
        Value::Object(members) => {
            members.remove("private_metadata");
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
