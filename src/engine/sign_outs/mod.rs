//! Pending sign-outs: sessions revoked in this application and not yet ended at Clerk.
//!
//! A sign-out takes effect here at once. The driver sends it to Clerk when the Backend API answers: ten
//! calls a second, in the order of the [queue](SignOutQueue). Pending sign-outs are in the state directory, or in
//! a store of the process's own.

mod queue;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;
use clerk_verify::id::SessionId;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use self::queue::SignOutQueue;
use crate::probe::{Ended, Prober};
use crate::state::health::{Health, Status, Surface, Verdict};
use crate::store::PendingSignOut;

/// Between two calls: ten a second. Clerk allows a production instance a hundred.
const SPACING: Duration = Duration::from_millis(100);
/// The spacing doubles with each call that fails, up to this, and returns with one that succeeds.
const LONGEST_SPACING: Duration = Duration::from_secs(60);
/// A session whose call failed is not sent again before this time has passed.
const REST: Duration = Duration::from_secs(60);
/// Calls under way at one time.
const AT_ONCE: usize = 10;
/// Every fifth call is for the oldest session, so that newer ones never keep it waiting for good.
const OLDEST_EVERY: u64 = 5;
/// Sessions that wait. A session beyond that is dropped, counted and warned of; it stays revoked here.
const CAPACITY: usize = 50_000;
/// Sessions that wait no more. A record of another process does not bring them back.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(crate) struct PendingSignOuts {
    queue: SignOutQueue,
    calls: JoinSet<Ended>,
    under_way: HashMap<Id, PendingSignOut>,
    /// Sessions whose call failed, and when each is sent again.
    resting: VecDeque<(Instant, PendingSignOut)>,
    /// Sessions that Clerk ended lately, or that found no room.
    over: VecDeque<SessionId>,
    started: u64,
    dropped: u64,
    spacing: Duration,
    not_before: Option<Instant>,
    /// The pending sign-outs are not those that were published last.
    changed: bool,
}

impl Default for PendingSignOuts {
    fn default() -> Self {
        Self {
            queue: SignOutQueue::new(CAPACITY),
            calls: JoinSet::new(),
            under_way: HashMap::new(),
            resting: VecDeque::new(),
            over: VecDeque::new(),
            started: 0,
            dropped: 0,
            spacing: SPACING,
            not_before: None,
            changed: false,
        }
    }
}

impl PendingSignOuts {
    /// Adds a sign-out.
    pub(crate) fn add(&mut self, sign_out: PendingSignOut) {
        if !self.queue.contains(&sign_out.session) {
            self.changed = true;
            let dropped = self.queue.push_newest(sign_out);
            self.forget(dropped);
        }
    }

    /// How many sessions were dropped, because too many wait, since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Takes over what another process was to end.
    pub(crate) fn take_over(&mut self, theirs: Vec<PendingSignOut>) {
        if theirs.is_empty() {
            return;
        }
        let mut known: HashSet<_> = self.waiting().map(|ours| ours.session.clone()).collect();
        known.extend(self.over.iter().cloned());
        for sign_out in theirs.into_iter().rev() {
            if known.insert(sign_out.session.clone()) {
                self.changed = true;
                let dropped = self.queue.push_oldest(sign_out);
                self.forget(dropped);
            }
        }
    }

    /// Publishes the pending sign-outs if they changed.
    pub(crate) fn publish(&mut self, to: &watch::Sender<Arc<[PendingSignOut]>>) {
        if std::mem::take(&mut self.changed) {
            to.send_replace(self.waiting().cloned().collect());
        }
    }

    /// Those that Clerk does not know of yet, about from the oldest to the newest.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &PendingSignOut> {
        let resting = self.resting.iter().map(|(_, sign_out)| sign_out);
        resting.chain(self.queue.iter()).chain(self.under_way.values())
    }

    /// Those that wait no more.
    pub(crate) fn over(&self) -> impl Iterator<Item = &SessionId> {
        self.over.iter()
    }

    /// How many more may wait.
    pub(crate) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.waiting().count())
    }

    fn forget(&mut self, dropped: Option<PendingSignOut>) {
        if let Some(dropped) = dropped {
            self.dropped += 1;
            self.remember(dropped.session);
        }
    }

    fn remember(&mut self, session: SessionId) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(session);
    }

    /// When the next call is due, seen at `at`; `None` while Clerk cannot receive it or nothing waits.
    pub(crate) fn next_due(&self, health: &Health, now: Moment, at: Instant) -> Option<Instant> {
        if self.calls.len() >= AT_ONCE || !can_receive(health, now) {
            return None;
        }
        let rested = self.resting.front().map(|(at, _)| *at);
        let first = if self.queue.is_empty() { rested? } else { at };
        Some(self.not_before.map_or(first, |earliest| earliest.max(first)))
    }

    /// Starts the next call if it is due at `at`.
    pub(crate) fn launch(&mut self, prober: &Prober, health: &Health, now: Moment, at: Instant) {
        if self.next_due(health, now, at).is_none_or(|due| at < due) {
            return;
        }
        while self.resting.front().is_some_and(|(rested, _)| *rested <= at) {
            let Some((_, rested)) = self.resting.pop_front() else { break };
            let dropped = self.queue.push_oldest(rested);
            self.forget(dropped);
        }
        self.started += 1;
        let oldest = self.started.is_multiple_of(OLDEST_EVERY);
        let next = if oldest { self.queue.pop_oldest() } else { self.queue.pop_next() };
        let Some(sign_out) = next else { return };
        self.not_before = Some(at + self.spacing);
        let (prober, id) = (prober.clone(), sign_out.session.clone());
        let call = self.calls.spawn(async move { prober.end_session(&id).await });
        self.under_way.insert(call.id(), sign_out);
    }

    /// The next call that ended, however it did; `None` when none is under way.
    pub(crate) async fn next_ended(&mut self) -> Option<(Id, Ended)> {
        let ended = self.calls.join_next_with_id().await?;
        Some(ended.unwrap_or_else(|error: JoinError| (error.id(), Ended::Unanswered)))
    }

    /// Takes in the result of a call.
    pub(crate) fn conclude(&mut self, (id, ended): (Id, Ended)) {
        let Some(sign_out) = self.under_way.remove(&id) else { return };
        match ended {
            Ended::Yes => {
                self.remember(sign_out.session);
                (self.spacing, self.changed) = (SPACING, true);
            }
            Ended::Unanswered => {
                let now = Instant::now();
                self.resting.push_back((now + REST, sign_out));
                self.spacing = (self.spacing * 2).min(LONGEST_SPACING);
                self.not_before = Some(now + self.spacing);
            }
        }
    }
}

fn can_receive(health: &Health, now: Moment) -> bool {
    let well = matches!(health.verdict(now), Verdict::Healthy | Verdict::Recovering);
    well && health.tracker(Surface::BackendApi).status() != Status::Down
}
