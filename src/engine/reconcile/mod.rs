//! Reconciliation: repairs what webhooks missed by reading users and memberships back from Clerk.
//!
//! A run starts with the process, after each outage, every hour, and on demand. Its results apply
//! as the missed webhooks would. A run is slow on purpose: it sends one request at a time, and only
//! while Clerk is healthy.

mod kept;
mod page;
mod questions;
mod sync_error;
mod sync_task;

use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use clerk_verify::key::InstanceKind;
use tokio::sync::{Notify, watch};

use self::sync_task::SyncTask;
use super::backend::BackendAccess;
use super::instance::Instance;
use super::profiles::People;
use super::shared::Core;
use crate::state::webhook_event::EventRules;
use crate::store::Store;

/// The progress of a reconciliation run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Whether a run is active, or waits until Clerk is healthy.
    pub under_way: bool,
    /// Users read since the run began; some may be counted twice.
    pub users: u64,
    /// Number of users at Clerk, if the run reads all of them.
    pub total: Option<u64>,
    /// Memberships read since the run began, if it reads them; some may be counted twice.
    pub memberships: u64,
    /// Number of memberships at Clerk, if the run reads them.
    pub memberships_total: Option<u64>,
    /// Stored users that were compared with Clerk since the run began.
    pub compared: u64,
    /// Users and memberships that were found deleted at Clerk.
    pub gone: u64,
    /// The store contains all changes of users at Clerk up to this time.
    pub synced: Option<Timestamp>,
    /// The error that delays the run, or that ended it.
    pub trouble: Option<String>,
    /// Number of runs that this process ended, successfully or not.
    pub ended: u64,
}

/// The dependencies and settings of a [`Reconciler`].
#[derive(Debug)]
pub(crate) struct ReconcilerConfig {
    pub(crate) access: BackendAccess,
    pub(crate) kind: InstanceKind,
    pub(crate) instance: Arc<Instance>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) people: Arc<People>,
    pub(crate) rules: EventRules,
    /// The issuer that the store's cursor must belong to.
    pub(crate) issuer: String,
    pub(crate) keep_private: bool,
    /// Whether runs also start on their own, not only on demand.
    pub(crate) by_itself: bool,
}

/// The handle to reconciliation: requests runs and reports progress.
#[derive(Debug)]
pub(crate) struct Reconciler {
    with: ReconcilerConfig,
    wished: Notify,
    progress: watch::Sender<Progress>,
}

impl Reconciler {
    pub(crate) fn new(with: ReconcilerConfig) -> Self {
        Self { with, wished: Notify::new(), progress: watch::Sender::default() }
    }

    /// Requests a complete run as soon as possible. Returns a receiver of the progress.
    pub(crate) fn wish(&self) -> watch::Receiver<Progress> {
        self.wished.notify_one();
        self.progress.subscribe()
    }

    /// Runs reconciliation until the task is dropped.
    pub(crate) async fn work(self: Arc<Self>, core: Arc<Core>) {
        SyncTask::new(self, core).work().await;
    }
}
