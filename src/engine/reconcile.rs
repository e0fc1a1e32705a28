//! Repairs what webhooks missed, by reading users back from Clerk.
//!
//! At the start, after each outage, every hour, and when somebody wishes it. Each page is taken in as if each of
//! its users had just been the subject of a `user.updated`. It is slow on purpose: one page at a time, only while
//! Clerk is well.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{DATE, RETRY_AFTER};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::backend::Access;
use super::profiles::People;
use super::shared::Core;
use crate::clock::Timestamp;
use crate::health::Verdict;
use crate::key::InstanceKind;
use crate::profile::{Change, Profile};
use crate::reconcile::{Course, PAGE};
use crate::revocation::Denial;
use crate::snapshot::{Feeds, Snapshot};
use crate::store::{Store, StoreError};
use crate::upstream::{Call, Fault, Reply};
use crate::webhook_event::{EventRules, WebhookEvent};

/// The course's name in the store.
const RECORD: &str = "reconciliation";
/// For so long one member of a fleet does it, and the others do not.
const TURN: Duration = Duration::from_secs(10 * 60);
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two pages: at most four calls a second of the hundred that Clerk grants a production instance, and one
/// of the ten that it grants a development instance.
const PACE: Duration = Duration::from_millis(250);
const PACE_IN_DEVELOPMENT: Duration = Duration::from_secs(1);
/// A page of a hundred users may be large, and Clerk may need its time for it.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(15);
/// After a failure, when Clerk does not say how long to wait; twice as long after each further one.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(5 * 60);
/// Clerk is believed that it wants to be left alone for so long, and no longer.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// How far reading users back has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// It reads, or waits until it may.
    pub under_way: bool,
    /// Users read since it began; some count twice.
    pub users: u64,
    /// So many there are in all, when all are to be read.
    pub total: Option<u64>,
    /// All that changed at Clerk up to then is known.
    pub synced: Option<Timestamp>,
    /// What keeps it waiting, or ended it.
    pub trouble: Option<String>,
    /// How often this process came to the end, well or not.
    pub ended: u64,
}

/// What reading users back takes.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) access: Access,
    pub(crate) kind: InstanceKind,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) people: Arc<People>,
    pub(crate) rules: EventRules,
    pub(crate) keep_private: bool,
    /// It need not be wished for.
    pub(crate) by_itself: bool,
}

/// What reads users back.
#[derive(Debug)]
pub(crate) struct Reconciler {
    with: Reading,
    wished: Notify,
    progress: watch::Sender<Progress>,
}

impl Reconciler {
    pub(crate) fn new(with: Reading) -> Self {
        Self { with, wished: Notify::new(), progress: watch::Sender::default() }
    }

    /// Where an earlier process came to.
    pub(crate) fn course(&self) -> Result<Course, StoreError> {
        let records = self.with.store.records()?;
        let record = records.iter().find(|(name, _)| name == RECORD);
        let course = record.and_then(|(_, text)| serde_json::from_slice(text).ok());
        Ok(course.unwrap_or_default())
    }

    /// Begins as soon as may be, if nothing is under way.
    pub(crate) fn wish(&self) -> watch::Receiver<Progress> {
        self.wished.notify_one();
        self.progress.subscribe()
    }

    /// For good. The course is where an earlier process came to.
    pub(crate) async fn work(self: Arc<Self>, core: Arc<Core>, mut course: Course) {
        let mut verdicts = core.verdicts.subscribe();
        if self.with.by_itself {
            self.walk_for_all(&mut course, &core, &mut verdicts).await;
        }
        loop {
            tokio::select! {
                () = self.wished.notified() => self.walk(&mut course, &core, &mut verdicts).await,
                () = self.occasion(core.verdicts.subscribe()) => {
                    self.walk_for_all(&mut course, &core, &mut verdicts).await;
                }
            }
        }
    }

    /// Clerk was down, and will be well again; or an hour is over.
    async fn occasion(&self, mut verdicts: watch::Receiver<Verdict>) {
        let down = |verdict: &Verdict| matches!(verdict, Verdict::Outage | Verdict::Isolated);
        if !self.with.by_itself {
            std::future::pending::<()>().await;
        }
        let outage = async {
            drop(verdicts.wait_for(|verdict| *verdict == Verdict::Healthy).await);
            drop(verdicts.wait_for(down).await);
        };
        drop(tokio::time::timeout(EVERY, outage).await);
    }

    /// One member of a fleet does it for all.
    async fn walk_for_all(
        &self,
        course: &mut Course,
        core: &Core,
        verdicts: &mut watch::Receiver<Verdict>,
    ) {
        let mine = match self.with.store.fleet() {
            Some(fleet) => within(fleet.first(RECORD, TURN)).await.unwrap_or(false),
            None => true,
        };
        if mine {
            self.walk(course, core, verdicts).await;
        }
    }

    async fn walk(
        &self,
        course: &mut Course,
        core: &Core,
        verdicts: &mut watch::Receiver<Verdict>,
    ) {
        self.progress.send_modify(|now| {
            (now.under_way, now.users, now.total) = (true, 0, None);
            now.synced = course.synced();
        });
        let mut wait = RETRY_FIRST;
        loop {
            // The sender lives as long as the driver.
            drop(verdicts.wait_for(|verdict| *verdict == Verdict::Healthy).await);
            let trouble = match self.page(course, core).await {
                Ok(true) => return self.over(course, core),
                Ok(false) => {
                    wait = RETRY_FIRST;
                    tokio::time::sleep(self.pace()).await;
                    continue;
                }
                Err(trouble) => trouble,
            };
            tracing::warn!(event = "clerk.reconcile.trouble", %trouble, "users could not be read back from Clerk");
            self.progress.send_modify(|now| now.trouble = Some(trouble.to_string()));
            match trouble {
                Trouble::Refused => return self.end(),
                Trouble::Busy(Some(asked)) => {
                    tokio::time::sleep(asked.max(RETRY_FIRST).min(PATIENCE)).await;
                }
                Trouble::Store(_) => {
                    core.counters.store_failed();
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_LAST);
                }
                _ => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_LAST);
                }
            }
        }
    }

    /// Reads a page and takes it in. True when it was the last.
    async fn page(&self, course: &mut Course, core: &Core) -> Result<bool, Trouble> {
        let now = core.clock.now().wall;
        let mut next = course.clone();
        let offset = next.next(now);
        if offset == 0 && course.synced().is_none() {
            let total = self.total().await;
            self.progress.send_modify(|now| now.total = total);
        }
        core.counters.asked_upstream();
        let query = format!("order_by=-updated_at&limit={PAGE}&offset={offset}");
        let reply = self.with.access.upstream.call(self.question("users", Some(&query))).await?;
        let users = users(&reply)?;
        let changed: Vec<_> = users.iter().filter_map(changed_at).collect();
        let count = u64::try_from(users.len()).unwrap_or(PAGE);
        let over = next.read(&changed, count, now);
        self.take_in(users, now, core).await?;
        let record = serde_json::to_vec(&next).unwrap_or_default();
        within(self.with.store.keep(RECORD, record)).await?;
        *course = next;
        self.progress.send_modify(|now| {
            now.users += count;
            now.trouble = None;
        });
        tracing::debug!(event = "clerk.reconcile.page", offset, users = count);
        Ok(over)
    }

    /// Denials act at once; then all is kept. What cannot be kept is read again.
    /// They are as they were when Clerk was asked, and not later.
    async fn take_in(&self, users: Vec<Value>, now: Timestamp, core: &Core) -> Result<(), Trouble> {
        let (mut changes, mut denials) = (Vec::new(), Vec::new());
        for user in users {
            let event = WebhookEvent::about("user.updated", user);
            // A user without an id is nobody.
            let profile = Profile::of(&event.data, self.with.keep_private).ok();
            changes.extend(profile.map(|profile| Change::User(Box::new(profile.heard(now)))));
            denials.extend(event.denials(now, self.with.rules).into_iter().flatten());
        }
        deny(core, &denials, self.with.store.outlives());
        if !denials.is_empty() {
            within(self.with.store.deny(denials)).await?;
        }
        self.with.people.hear(&changes);
        within(self.with.store.merge(changes.clone())).await?;
        self.with.people.hear(&changes);
        Ok(())
    }

    fn pace(&self) -> Duration {
        match self.with.kind {
            InstanceKind::Production => PACE,
            InstanceKind::Development => PACE_IN_DEVELOPMENT,
        }
    }

    /// For those who watch; nothing depends on it.
    async fn total(&self) -> Option<u64> {
        let reply =
            self.with.access.upstream.call(self.question("users/count", None)).await.ok()?;
        let count: Value = serde_json::from_slice(&reply.body).ok()?;
        count["total_count"].as_u64()
    }

    fn question(&self, path: &str, query: Option<&str>) -> Call {
        let mut url = self.with.access.address.clone();
        let base = self.with.access.address.path().trim_end_matches('/');
        url.set_path(&format!("{base}/v1/{path}"));
        url.set_query(query);
        let call = Call::get(url).bearer(self.with.access.secret.expose()).deadline(DEADLINE);
        Call { max_bytes: MAX_BYTES, ..call }
    }

    fn over(&self, course: &Course, core: &Core) {
        let now = core.clock.now().wall;
        core.update(|known| Snapshot {
            feeds: Feeds { webhook: Some(now), ..known.feeds },
            ..known.clone()
        });
        let users = self.progress.borrow().users;
        tracing::info!(event = "clerk.reconcile.done", users, synced = ?course.synced().map(|at| at.to_string()), "what changed at Clerk is known here");
        self.progress.send_modify(|now| now.synced = course.synced());
        self.end();
    }

    fn end(&self) {
        self.progress.send_modify(|now| {
            now.under_way = false;
            now.ended += 1;
        });
    }
}

fn deny(core: &Core, denials: &[Denial], kept: bool) {
    if denials.is_empty() {
        return;
    }
    core.update(|known| {
        let mut known = known.clone();
        let set = if kept { &mut known.kept } else { &mut known.revocations };
        *set = std::mem::take(set).with_all(denials);
        known
    });
}

fn changed_at(user: &Value) -> Option<Timestamp> {
    user.get("updated_at").and_then(Value::as_i64).map(Timestamp::from_millis)
}

fn users(reply: &Reply) -> Result<Vec<Value>, Trouble> {
    match reply.status {
        StatusCode::OK => serde_json::from_slice(&reply.body).map_err(|_| Trouble::Nonsense),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Trouble::Refused),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(Trouble::Busy(asked_for(reply)))
        }
        status => Err(Trouble::Failed(status)),
    }
}

/// `Retry-After`, in seconds or as a time by Clerk's own clock.
fn asked_for(reply: &Reply) -> Option<Duration> {
    let text = reply.header(&RETRY_AFTER)?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(reply.header(&DATE)?).ok()?;
    at.duration_since(now).ok()
}

async fn within<T>(pending: crate::store::Pending<T>) -> Result<T, Trouble> {
    let timely = tokio::time::timeout(STORE_DEADLINE, pending).await;
    Ok(timely.unwrap_or(Err(StoreError::Busy))?)
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "Clerk's Backend API refuses CLERK_SECRET_KEY; copy it again from the API keys page of the Clerk dashboard"
    )]
    Refused,
    #[error("Clerk's Backend API wants to be asked later")]
    Busy(Option<Duration>),
    #[error("Clerk's Backend API answered {0}")]
    Failed(StatusCode),
    #[error("Clerk's Backend API answered with something that is no list of users")]
    Nonsense,
    #[error("Clerk's Backend API does not answer: {0}")]
    Silent(#[from] Fault),
    #[error(transparent)]
    Store(#[from] StoreError),
}
