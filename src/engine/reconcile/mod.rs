//! Repairs what webhooks missed, by reading back from Clerk.
//!
//! At the start, after each outage, every hour, and when somebody wishes it. What is read is taken in as if
//! webhooks had just told it. It is slow on purpose: one question at a time, only while Clerk is well.

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
use super::backend::Access;
use super::instance::Instance;
use super::profiles::People;
use super::shared::Core;
use crate::state::webhook_event::EventRules;
use crate::store::Store;

/// How far reading back has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// It reads, or waits until it may.
    pub under_way: bool,
    /// Users read since it began; some count twice.
    pub users: u64,
    /// So many there are in all, when all are to be read.
    pub total: Option<u64>,
    /// Memberships read since it began, when they are read; some count twice.
    pub memberships: u64,
    /// So many there are in all.
    pub memberships_total: Option<u64>,
    /// Of those who are kept here, so many were compared with Clerk since it began.
    pub compared: u64,
    /// Users and memberships that were found to be gone.
    pub gone: u64,
    /// All users who changed at Clerk up to then are known.
    pub synced: Option<Timestamp>,
    /// What keeps it waiting, or ended it.
    pub trouble: Option<String>,
    /// How often this process came to the end, well or not.
    pub ended: u64,
}

/// What reading back takes.
#[derive(Debug)]
pub(crate) struct ReconcilerConfig {
    pub(crate) access: Access,
    pub(crate) kind: InstanceKind,
    pub(crate) instance: Arc<Instance>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) people: Arc<People>,
    pub(crate) rules: EventRules,
    /// The instance that the store has to be of.
    pub(crate) issuer: String,
    pub(crate) keep_private: bool,
    /// It need not be wished for.
    pub(crate) by_itself: bool,
}

/// What reads back, as others see it.
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

    /// Begins as soon as may be, if nothing is under way.
    pub(crate) fn wish(&self) -> watch::Receiver<Progress> {
        self.wished.notify_one();
        self.progress.subscribe()
    }

    /// For good.
    pub(crate) async fn work(self: Arc<Self>, core: Arc<Core>) {
        SyncTask::new(self, core).work().await;
    }
}
