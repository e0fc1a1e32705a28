//! What becomes of webhooks: denials and profiles at once, hooks from the inbox.
//!
//! What a delivery denies is in the snapshot, and the delivery in the store, before it is answered. Hooks
//! hear of it afterwards, one event at a time, from a task beside the driver.

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
use crate::state::snapshot::{Delivery, SyncStatus};
use crate::state::webhook_event::{EventRules, WebhookEvent};
use crate::store::{
    Accepted, DeadLetter, FollowUp, InboxEvent, Outcome, Pending, Store, StoreError, Task,
};

/// A store that does not answer within this time has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A hook that is not over by then has failed.
const HOOK_DEADLINE: Duration = Duration::from_secs(25);
/// A task whose worker vanished is due again so long after all its hooks should be over.
const MARGIN: Duration = Duration::from_secs(5);
/// After the first failure; twice as long after each further one.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(60 * 60);
/// After so many attempts, about two hours and a half, an event is a dead letter.
const ATTEMPTS: u32 = 12;
/// What is due is looked for at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Forgetting what is old may take so long: a busy hour leaves a million events.
const PRUNE_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// After it failed.
const PRUNE_RETRY: Duration = Duration::from_secs(60);
/// Clerk tries a delivery for so long. What comes later somebody sent again by hand.
const RETRIES: Duration = Duration::from_secs(28 * 60 * 60);

/// An event as a hook hears of it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The message's id: the same when a hook hears of the event again.
    pub id: String,
    /// What happened, as `user.created`.
    pub kind: String,
    /// When it happened.
    pub happened: Timestamp,
    /// To what: the session, the user, the organisation. Without any `private_metadata`.
    pub data: Value,
    /// Counts the times that hooks heard of it, this one included.
    pub attempts: u32,
}

impl fmt::Debug for Event {
    /// Without the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        event.field("id", &self.id).field("kind", &self.kind);
        event.field("happened", &self.happened).finish_non_exhaustive()
    }
}

type Heard = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What an application does about some kinds of events.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) kinds: Vec<String>,
    pub(crate) call: Arc<dyn Fn(Event) -> Heard + Send + Sync>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// What webhooks need: who signs them, and where they are kept.
#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(crate) verifier: WebhookVerifier,
    store: Arc<dyn Store>,
    hooks: Vec<Hook>,
    rules: EventRules,
    keep_private: bool,
    /// Denials that are to be published.
    fresh: Mutex<Vec<Denial>>,
    /// Held by whoever publishes.
    turn: Mutex<()>,
    arrived: Notify,
    /// The store failed at what it was asked for last.
    ailing: AtomicBool,
}

/// What came of a task, by its id and its claim.
type Settled = (String, u64, Outcome);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivered {
    /// It is kept, or was kept before.
    Kept,
    /// It makes no sense; that is noted.
    Nonsense,
    /// It cannot be kept. What it denies is denied all the same.
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

    /// True when the store failed at what a webhook asked of it last.
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
        // The parser's own words may quote the body.
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

    /// The data is kept for those kinds alone that a hook names.
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

    /// Publishes denials, in one step with those of others who wait for their turn. When it is over
    /// the next request sees them.
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

    /// Works the inbox off, for good.
    pub(crate) async fn work(self: Arc<Self>, core: Arc<Core>) {
        let mut done = None;
        loop {
            match self.next(done.take(), &core).await {
                Some(task) => done = Some(self.attempt(task, &core).await),
                None => drop(tokio::time::timeout(LOOK_EVERY, self.arrived.notified()).await),
            }
        }
    }

    /// Says what came of the last task and takes the next, in one step where the store can do that.
    async fn next(&self, done: Option<Settled>, core: &Core) -> Option<Task> {
        // What waits is for processes that have hooks.
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

    /// No other worker takes a task while its hooks, one after the other, may still be at it.
    fn lease(&self) -> Duration {
        let hooks = u32::try_from(self.hooks.len()).unwrap_or(u32::MAX);
        HOOK_DEADLINE.saturating_mul(hooks.max(1)).saturating_add(MARGIN)
    }

    async fn attempt(&self, task: Task, core: &Core) -> Settled {
        let (id, claim, attempts) = (task.id.clone(), task.claim, task.attempts);
        if attempts > ATTEMPTS {
            let why = "the process ended whenever a hook was at it".to_owned();
            return (id, claim, Outcome::Dead { why });
        }
        let outcome = match self.call(task).await {
            Ok(()) => Outcome::Done,
            Err(why) => {
                core.counters.hook_failed();
                tracing::warn!(event = "clerk.webhook.hook_failed", %id, attempts, %why, "a hook failed");
                after_failure(why, attempts, core.clock.now().wall)
            }
        };
        (id, claim, outcome)
    }

    fn report<T>(&self, core: &Core, result: Result<T, StoreError>) -> Option<T> {
        self.remark(&result);
        result.inspect_err(|_| core.counters.store_failed()).ok()
    }

    /// Says that the store fails, and that it is well again, each once: a full disk is not helped by a
    /// log that grows.
    fn remark<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Err(error) if !self.ailing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(event = "clerk.store.failed", %error, "the store does not do its work; webhooks act here, and Clerk is told to send them again");
            }
            Ok(_) if self.ailing.swap(false, Ordering::Relaxed) => {
                tracing::info!(event = "clerk.store.well", "the store does its work again");
            }
            _ => {}
        }
    }

    /// Each hook in a task of its own, so that a panic is a failure like any other.
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

/// Forgets what is old in a store, for good: by a clock that can be trusted, because nothing brings back a
/// denial that was forgotten too early.
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
            tracing::debug!(event = "clerk.store.unpruned", "what is old was not forgotten");
            tokio::time::sleep(PRUNE_RETRY).await;
        }
    }
}

impl Shared {
    /// Takes in a delivery whose signature is good. What it denies does not wait for the store.
    pub(crate) async fn deliver(&self, webhooks: &Webhooks, id: &str, body: &[u8]) -> Delivered {
        let received = self.now().wall;
        let entry = webhooks.entry(id, body, received);
        let delivery = Delivery { at: received, lag: received.since(entry.happened) };
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
        // What comes again, or was sent again by hand, is no sign of how late Clerk is.
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

    /// A webhook of Clerk's was verified just now.
    pub(crate) fn heard_webhook(&self) {
        let now = self.now().wall;
        self.feed(|feeds| SyncStatus { webhook: Some(now), ..feeds });
    }
}

async fn within<T>(pending: Pending<T>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, pending).await.unwrap_or(Err(StoreError::Busy))
}

fn after_failure(why: String, attempts: u32, now: Timestamp) -> Outcome {
    if attempts >= ATTEMPTS {
        return Outcome::Dead { why };
    }
    let doublings = attempts.saturating_sub(1).min(16);
    let wait = (RETRY_FIRST * 2_u32.pow(doublings)).min(RETRY_LAST);
    Outcome::Retry { at: now.plus(wait), why }
}

/// Takes `private_metadata` out, wherever it is: hooks that need it ask Clerk.
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
