//! What outlives this process in the store: the keys and the outages, for whoever starts next.
//!
//! These documents decide who gets in. With Clerk's secret key they are under a mark that takes it, and
//! nothing else is believed. Without one nothing is left in a store that is shared, and nothing taken.
//! A store of one's own may do without: its file is this user's alone, as the files of a state directory
//! are.

mod keys;
mod outages;

use std::sync::Arc;
use std::time::Duration;

use self::keys::LastKeys;
use self::outages::Calendar;
use super::link::Link;
use super::shared::Core;
use crate::clock::{Moment, Timestamp};
use crate::jwks::KeySet;
use crate::seal::Seal;
use crate::store::{OutageRecord, Store, StoreError};

/// Whether there is something new is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why what is found in a store can be believed.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// It is under this mark.
    Mark(Seal),
    /// Nobody else can write there.
    Place,
}

impl Trust {
    /// None when nothing can.
    pub(crate) fn new(store: &dyn Store, seal: Option<Seal>) -> Option<Self> {
        let own = store.fleet().is_none() && store.outlives();
        let shared = store.fleet().is_some();
        match seal {
            Some(seal) if own || shared => Some(Self::Mark(seal)),
            None if own => Some(Self::Place),
            _ => None,
        }
    }

    fn close(&self, name: &str, record: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Mark(seal) => seal.close(name, &record),
            Self::Place => record,
        }
    }

    fn open<'a>(&self, name: &str, record: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Mark(seal) => seal.open(name, record),
            Self::Place => Some(record),
        }
    }
}

/// What an earlier process, or another instance, left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The keys, and when Clerk confirmed them.
    pub(crate) keys: Option<(KeySet, Timestamp)>,
    pub(crate) outages: Option<OutageRecord>,
}

impl Left {
    pub(crate) fn read(
        store: &dyn Store,
        trust: &Trust,
        instance: &str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let records = store.records()?;
        let find = |name: &str| {
            let (_, record) = records.iter().find(|(found, _)| found == name)?;
            trust.open(name, record)
        };
        let keys = find(LastKeys::NAME).and_then(|json| keys::parse(json, instance, now));
        let outages = find(Calendar::NAME).and_then(|json| OutageRecord::parse(json, instance));
        Ok(Self { keys, outages })
    }
}

/// A document as it is to be left at one moment.
trait Document: Sized {
    /// The record's name, and what the mark is for.
    const NAME: &str;

    /// None when there is nothing to tell.
    fn present(link: &Link) -> Option<Self>;

    /// Whether this tells more than what was left.
    fn is_news(&self, left: &Self) -> bool;

    /// It is left again after this time in any case: it may tell how late it is, and a store may lose it.
    fn lasts(&self) -> Duration;

    fn to_json(&self, instance: &str, now: Timestamp) -> Vec<u8>;
}

/// The documents that this process leaves.
#[derive(Debug)]
pub(super) struct Records {
    link: Link,
    trust: Trust,
    instance: String,
    keys: Option<(LastKeys, Moment)>,
    calendar: Option<(Calendar, Moment)>,
}

impl Records {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        core: &Arc<Core>,
        trust: Trust,
        instance: String,
    ) -> Self {
        let link = Link::new(store, core);
        Self { link, trust, instance, keys: None, calendar: None }
    }

    /// Leaves them whenever there is more to tell, for good.
    pub(super) async fn leave(&mut self) {
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Leaves what is due now.
    pub(super) async fn look(&mut self) {
        if let Some(left) = self.renew(self.keys.as_ref()).await {
            self.keys = Some(left);
        }
        if let Some(left) = self.renew(self.calendar.as_ref()).await {
            self.calendar = Some(left);
        }
    }

    async fn renew<T: Document>(&self, last: Option<&(T, Moment)>) -> Option<(T, Moment)> {
        let (now, present) = (self.link.now(), T::present(&self.link)?);
        let lasts = |left: &T, at| now.since(at) < left.lasts() && !present.is_news(left);
        if last.is_some_and(|(left, at)| lasts(left, *at)) {
            return None;
        }
        let record = self.trust.close(T::NAME, present.to_json(&self.instance, now.wall));
        let left = self.link.written(self.link.store.keep(T::NAME, record)).await;
        left.ok().map(|()| (present, now))
    }
}
