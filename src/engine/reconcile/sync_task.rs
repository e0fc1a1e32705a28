//! When a walk begins, how it goes on, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use tokio::sync::watch;

use super::page::Page;
use super::questions::Questions;
use super::sync_error::{SyncError, within};
use super::{Progress, Reconciler, ReconcilerConfig};
use crate::engine::shared::Core;
use crate::state::health::Verdict;
use crate::state::reconcile::{Step, SyncCursor, SyncScope};
use crate::state::snapshot::SyncStatus;

/// The course's name in the store.
const RECORD: &str = "reconciliation";
/// Whoever of a fleet read nothing for so long is not at it any more.
const TURN: Duration = Duration::from_secs(10 * 60);
const EVERY: Duration = Duration::from_secs(60 * 60);
/// After a failure, when Clerk does not say how long to wait; twice as long after each further one.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(5 * 60);
/// A walk that fails so often in a row is left, and begins again at its next occasion.
const FAILURES: u32 = 10;
/// Clerk is believed that it wants to be left alone for so long, and no longer.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Why a walk is due that nobody wished for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trigger {
    Start,
    Outage,
    Time,
}

/// What reads back, one walk after the other.
pub(super) struct SyncTask {
    own: Arc<Reconciler>,
    pub(super) core: Arc<Core>,
    pub(super) ask: Questions,
}

impl SyncTask {
    pub(super) fn new(own: Arc<Reconciler>, core: Arc<Core>) -> Self {
        let counters = Arc::clone(&core.counters);
        let ask = Questions::new(own.with.access.clone(), own.with.kind, counters);
        Self { own, core, ask }
    }

    pub(super) fn with(&self) -> &ReconcilerConfig {
        &self.own.with
    }

    pub(super) fn now(&self) -> Timestamp {
        self.core.clock.now().wall
    }

    pub(super) fn show(&self, change: impl FnOnce(&mut Progress)) {
        self.own.progress.send_modify(change);
    }

    pub(super) async fn work(self) {
        let mut verdicts = self.core.verdicts.subscribe();
        let mut pause = EVERY;
        if self.with().by_itself {
            pause = self.walk_for_all(Trigger::Start, &mut verdicts).await;
        }
        loop {
            tokio::select! {
                () = self.own.wished.notified() => self.walk(SyncScope::Whole, &mut verdicts).await,
                occasion = self.occasion(pause) => {
                    pause = self.walk_for_all(occasion, &mut verdicts).await;
                }
            }
        }
    }

    /// Clerk was down, and will be well again; or so much time is over.
    async fn occasion(&self, pause: Duration) -> Trigger {
        let mut verdicts = self.core.verdicts.subscribe();
        let down = |verdict: &Verdict| matches!(verdict, Verdict::Outage | Verdict::Isolated);
        if !self.with().by_itself {
            std::future::pending::<()>().await;
        }
        let outage = async {
            drop(verdicts.wait_for(|verdict| *verdict == Verdict::Healthy).await);
            drop(verdicts.wait_for(down).await);
        };
        let outage = tokio::time::timeout(pause, outage).await;
        outage.map_or(Trigger::Time, |()| Trigger::Outage)
    }

    /// One member of a fleet does it for all. Returns after how long to see whether it is due again.
    async fn walk_for_all(
        &self,
        occasion: Trigger,
        verdicts: &mut watch::Receiver<Verdict>,
    ) -> Duration {
        // Who waits for a Clerk that is down has not begun.
        let was_down = until_healthy(verdicts).await;
        let course = self.course().await.unwrap_or_default();
        let done = !was_down && occasion == Trigger::Time && course.is_fresh(self.now(), EVERY);
        if done || !self.is_mine(&course).await {
            return TURN;
        }
        let whole = was_down || occasion == Trigger::Outage;
        let reach = if whole { SyncScope::Whole } else { SyncScope::Changes };
        self.walk(reach, verdicts).await;
        EVERY
    }

    /// Who says so first, unless another's pages still come in. The course is kept after each, so that a
    /// member that ends in the middle of a walk is followed by another.
    async fn is_mine(&self, course: &SyncCursor) -> bool {
        let Some(fleet) = self.with().store.fleet() else { return true };
        !course.is_busy(self.now(), TURN)
            && within(fleet.first(RECORD, TURN)).await.unwrap_or(false)
    }

    async fn walk(&self, mut reach: SyncScope, verdicts: &mut watch::Receiver<Verdict>) {
        let ended = self.own.progress.borrow().ended;
        self.show(|now| *now = Progress { under_way: true, ended, ..Progress::default() });
        let (mut course, mut wait, mut failures) = (None, RETRY_FIRST, 0);
        loop {
            if until_healthy(verdicts).await {
                (course, reach) = (None, SyncScope::Whole);
            }
            let trouble = match self.step(&mut course, reach).await {
                Ok(true) => return self.over(),
                Ok(false) => {
                    (wait, failures) = (RETRY_FIRST, 0);
                    continue;
                }
                Err(trouble) => trouble,
            };
            tracing::warn!(event = "clerk.reconcile.trouble", %trouble, "what webhooks missed could not be read back from Clerk");
            self.show(|now| now.trouble = Some(trouble.to_string()));
            failures += 1;
            if trouble.is_final() || failures >= FAILURES {
                return self.end();
            }
            // Another member may go on meanwhile.
            course = None;
            if let SyncError::Store(_) = trouble {
                self.core.counters.store_failed();
            }
            if let SyncError::Busy(Some(asked)) = trouble {
                failures = 0;
                tokio::time::sleep(asked.max(RETRY_FIRST).min(PATIENCE)).await;
            } else {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_LAST);
            }
        }
    }

    /// Reads a page and takes it in; the first one of a walk from where the last one ended, whoever of a
    /// fleet made it. True when it was the last.
    async fn step(
        &self,
        known: &mut Option<SyncCursor>,
        reach: SyncScope,
    ) -> Result<bool, SyncError> {
        if known.is_none() {
            let mut course = self.course().await?;
            if !course.claim(&self.with().issuer) {
                return Err(SyncError::Foreign);
            }
            course.begin(reach, self.now());
            *known = Some(course);
        }
        let mut course = known.clone().unwrap_or_default();
        let begun = course.next().map(|(_, at)| at);
        self.show(|now| now.synced = course.synced());
        let (page, compared) = match course.next() {
            None => return Ok(true),
            Some((Step::Users { offset, .. }, _)) => {
                (self.users(offset, &mut course).await?, false)
            }
            Some((Step::Members { offset }, _)) => {
                (self.members(offset, &mut course).await?, false)
            }
            Some((Step::Kept { after }, at)) => (self.kept(after, at, &mut course).await?, true),
        };
        let record = serde_json::to_vec(&course).unwrap_or_default();
        within(self.with().store.put_document(RECORD, record)).await?;
        self.tell(page, &course);
        let over = known.insert(course).next().is_none();
        if over && compared {
            // No less than webhooks would have told up to when it began.
            self.core.feed(|feeds| SyncStatus { webhook: feeds.webhook.max(begun), ..feeds });
        }
        Ok(over)
    }

    fn tell(&self, page: Page, course: &SyncCursor) {
        let Page { users, memberships, compared, .. } = page;
        tracing::debug!(event = "clerk.reconcile.page", users, memberships, compared);
        self.show(|now| {
            now.users += users;
            now.memberships += memberships;
            now.memberships_total = page.memberships_total.or(now.memberships_total);
            now.compared += compared;
            (now.trouble, now.synced) = (None, course.synced());
        });
    }

    /// Where the last page was read, by whomever. One of another version is begun anew.
    async fn course(&self) -> Result<SyncCursor, SyncError> {
        let record = within(self.with().store.record(RECORD)).await?;
        let course = record.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(course.unwrap_or_default())
    }

    fn over(&self) {
        let Progress { users, memberships, gone, synced, .. } = self.own.progress.borrow().clone();
        let synced = synced.map(|at| at.to_string());
        tracing::info!(
            event = "clerk.reconcile.done",
            users,
            memberships,
            gone,
            ?synced,
            "what changed at Clerk is known here"
        );
        self.end();
    }

    fn end(&self) {
        self.show(|now| {
            now.under_way = false;
            now.ended += 1;
        });
    }
}

/// True when Clerk was down meanwhile. The sender lives as long as the driver.
async fn until_healthy(verdicts: &mut watch::Receiver<Verdict>) -> bool {
    let mut was_down = false;
    loop {
        match *verdicts.borrow_and_update() {
            Verdict::Healthy => return was_down,
            Verdict::Outage | Verdict::Isolated => was_down = true,
            _ => {}
        }
        if verdicts.changed().await.is_err() {
            return was_down;
        }
    }
}
