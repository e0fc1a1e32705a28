//! [`SyncTask`]: when a reconciliation run begins, continues and ends.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use tokio::sync::watch;

use super::page::SyncPage;
use super::questions::Questions;
use super::sync_error::{SyncError, within};
use super::{Progress, Reconciler, ReconcilerConfig};
use crate::engine::shared::Core;
use crate::state::health::Verdict;
use crate::state::reconcile::{Step, SyncCursor, SyncScope};
use crate::state::snapshot::SyncStatus;

/// Name of the cursor's document in the store.
const RECORD: &str = "reconciliation";
/// If no page was read for this long, another instance of the fleet continues the run.
const TURN: Duration = Duration::from_secs(10 * 60);
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Pause after a failure if Clerk sends no `Retry-After`. It doubles after each further failure.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(5 * 60);
/// Number of consecutive failures after which a run ends until its next trigger.
const FAILURES: u32 = 10;
/// Maximum pause that a `Retry-After` can cause.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Why a run starts without a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trigger {
    Start,
    Outage,
    Time,
}

/// The task that performs runs, one after the other.
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

    /// Waits until an outage begins or `pause` has passed.
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

    /// Performs a run for the fleet, if no other instance does. Returns the pause before the next
    /// check.
    async fn walk_for_all(
        &self,
        occasion: Trigger,
        verdicts: &mut watch::Receiver<Verdict>,
    ) -> Duration {
        // A run that waits for Clerk to recover has not begun.
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

    /// Whether this instance may run: it claims the run first, and no other instance is reading
    /// pages. The cursor is stored after each page, so another instance can continue an abandoned
    /// run.
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
            // Another instance may continue meanwhile, so the cursor is read again.
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

    /// Reads one page and applies it. The first page of a run starts at the stored cursor,
    /// whichever instance stored it. Returns `true` after the last page.
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
            // A complete run counts as a webhook received when the run began.
            self.core.feed(|feeds| SyncStatus { webhook: feeds.webhook.max(begun), ..feeds });
        }
        Ok(over)
    }

    fn tell(&self, page: SyncPage, course: &SyncCursor) {
        let SyncPage { users, memberships, compared, .. } = page;
        tracing::debug!(event = "clerk.reconcile.page", users, memberships, compared);
        self.show(|now| {
            now.users += users;
            now.memberships += memberships;
            now.memberships_total = page.memberships_total.or(now.memberships_total);
            now.compared += compared;
            (now.trouble, now.synced) = (None, course.synced());
        });
    }

    /// Loads the cursor, which any instance may have stored. A cursor of another version is
    /// discarded.
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
            "reconciliation is complete"
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

/// Waits until Clerk is healthy. Returns whether Clerk was down meanwhile. The sender lives as long
/// as the driver.
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
