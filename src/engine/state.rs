//! When to write what outlives the process. Writing is done aside, one write at a time, and a
//! failure costs nothing but a warning and a count.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::id::SessionId;
use clerk_verify::jwks::KeySet;
use tokio::task::{JoinError, JoinHandle};

use super::seen_sessions::Writer;
use super::shared::Core;
use super::sign_outs::PendingSignOuts;
use crate::state::health::{Health, Outages, Verdict};
use crate::state::snapshot::Keys;
use crate::store::{KeysRecord, OutageRecord, PendingSignOut, StateDir, StateDirError};

/// Keys that did not change are written anew after this time, for their confirmation.
const KEYS_EVERY: Duration = Duration::from_secs(15 * 60);
/// Sightings are written at most this often while all is well.
const SIGHTINGS_EVERY: Duration = Duration::from_secs(5);
/// While Clerk is down, that it still is so is written this often.
const OUTAGE_EVERY: Duration = Duration::from_secs(15);
/// After a failure the next try waits this long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What came of a write: the sessions that another process left to be ended at Clerk.
type Written = Result<Vec<PendingSignOut>, StateDirError>;

/// The state directory's side of the driver.
#[derive(Debug)]
pub(crate) struct StateFiles {
    dir: Option<StateDir>,
    instance: String,
    writing: Option<JoinHandle<Written>>,
    keys_due: bool,
    demanded: Urgency,
    keys_written: Option<Moment>,
    outages_written: Option<Moment>,
    /// After a failure, the next try is not made before this.
    not_before: Option<Moment>,
    warned: bool,
}

/// How soon a change has to be written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Urgency {
    None,
    Soon,
    Now,
}

/// What there is to write.
pub(crate) struct Seen<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) health: &'a Health,
    pub(crate) keys: &'a Keys,
    pub(crate) pinned: &'a KeySet,
    pub(crate) sign_outs: &'a mut PendingSignOuts,
    /// The wall clock when it was last to be trusted.
    pub(crate) certain: Timestamp,
}

/// What is to be written of outages; the long lists are made where the writing is done.
struct DueOutages {
    instance: String,
    now: Timestamp,
    certain: Timestamp,
    seen: Option<Timestamp>,
    outages: Outages,
    ending: Vec<PendingSignOut>,
    /// Sessions that wait for Clerk no more.
    over: HashSet<SessionId>,
    /// How many more may wait.
    room: usize,
}

impl DueOutages {
    /// Another process may have the same directory, as while a new version takes over from an old one.
    /// What it has taken back is taken back here, too, and not overwritten; what it was to end at Clerk,
    /// and is not known here, is written and handed back. Both hold the directory's lock from reading to
    /// writing, or one would overwrite what the other wrote in between.
    fn save(mut self, core: &Core, dir: &StateDir) -> Written {
        let _lock = dir.lock()?;
        let theirs = match OutageRecord::load(dir, &self.instance) {
            Ok(theirs) => theirs,
            Err(error @ StateDirError::TooLong(_)) => return Err(error),
            // A file that cannot be used is replaced, as a damaged one is.
            Err(_) => None,
        };
        let mut more = Vec::new();
        if let Some(theirs) = theirs {
            let missing = core.load().revocations.missing(theirs.denials(), self.certain);
            core.adopt(&missing);
            let ours = self.ending.iter().map(|sign_out| &sign_out.session);
            let known: HashSet<_> = ours.chain(&self.over).collect();
            more = theirs.to_end().filter(|theirs| !known.contains(&theirs.session)).collect();
            let surplus = more.len().saturating_sub(self.room);
            more.drain(..surplus).for_each(|_| core.counters.sign_out_dropped());
        }
        self.ending.extend_from_slice(&more);
        self.record(core).save(dir)?;
        Ok(more)
    }

    fn record(self, core: &Core) -> OutageRecord {
        let sightings = core.seen_sessions.records(self.now);
        let revocations = &core.load().revocations;
        let Self { instance, now, seen, outages, ending, .. } = self;
        OutageRecord::new(&instance, now, seen, &outages, sightings, revocations).ending(&ending)
    }
}

impl StateFiles {
    pub(crate) fn new(dir: Option<StateDir>, instance: String) -> Self {
        Self {
            dir,
            instance,
            writing: None,
            keys_due: false,
            demanded: Urgency::None,
            keys_written: None,
            outages_written: None,
            not_before: None,
            warned: false,
        }
    }

    /// The key set is another: write it soon.
    pub(crate) fn keys_changed(&mut self) {
        self.keys_due = true;
    }

    /// Something happened that must not be lost: write as soon as may be.
    pub(crate) fn demand(&mut self) {
        self.demanded = Urgency::Now;
    }

    /// Something changed that may be lost: write within seconds.
    pub(crate) fn request(&mut self) {
        self.demanded = self.demanded.max(Urgency::Soon);
    }

    /// Writes what is due, unless a write is under way.
    pub(crate) async fn keep(&mut self, seen: Seen<'_>, now: Moment) {
        let core = seen.core;
        let Some(dir) = self.dir.clone() else { return };
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        if let Some(done) = self.writing.take() {
            let more = self.report(core, outcome(done.await), now);
            seen.sign_outs.take_over(more);
        }
        if self.not_before.is_some_and(|at| now.mono < at.mono) {
            return;
        }
        let keys = self.due_keys(seen.keys, seen.pinned, now);
        let outages = self.due_outages(&seen, now);
        if keys.is_none() && outages.is_none() {
            return;
        }
        let core = Arc::clone(core);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let keys = keys.map_or(Ok(()), |record| record.save(&dir));
            let outages = outages.map_or(Ok(Vec::new()), |outages| outages.save(&core, &dir));
            keys.and(outages)
        }));
    }

    fn due_keys(&mut self, keys: &Keys, pinned: &KeySet, now: Moment) -> Option<KeysRecord> {
        let confirmed = keys.confirmed?;
        let old = self.keys_written.is_none_or(|at| now.since(at) >= KEYS_EVERY);
        if !(self.keys_due || old) || keys.set.len() <= pinned.len() {
            return None;
        }
        self.keys_due = false;
        self.keys_written = Some(now);
        Some(KeysRecord::new(&self.instance, &keys.set, confirmed))
    }

    fn due_outages(&mut self, from: &Seen<'_>, now: Moment) -> Option<DueOutages> {
        let Seen { core, health, sign_outs, certain, .. } = from;
        let seen = health.outage_seen();
        let lasting = seen.is_some() || health.verdict(now) == Verdict::Outage;
        let every = |span| self.outages_written.is_none_or(|at| now.since(at) >= span);
        let due = self.demanded == Urgency::Now
            || (lasting && every(OUTAGE_EVERY))
            || (every(SIGHTINGS_EVERY) && self.demanded == Urgency::Soon)
            || (every(SIGHTINGS_EVERY) && core.seen_sessions.take_news(Writer::File));
        if !due {
            return None;
        }
        self.demanded = Urgency::None;
        self.outages_written = Some(now);
        let (instance, outages) = (self.instance.clone(), health.report(now).outages);
        let ending = sign_outs.waiting().cloned().collect();
        let (over, room) = (sign_outs.over().cloned().collect(), sign_outs.room());
        let certain = *certain;
        Some(DueOutages { instance, now: now.wall, certain, seen, outages, ending, over, room })
    }

    /// What could not be written is due again, but not at once.
    fn report(&mut self, core: &Core, result: Written, now: Moment) -> Vec<PendingSignOut> {
        let error = match result {
            Ok(more) => {
                self.warned = false;
                return more;
            }
            Err(error) => error,
        };
        self.keys_due = true;
        self.demanded = Urgency::Now;
        self.not_before = Some(now.plus(RETRY_AFTER));
        core.counters.state_failed();
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                event = "clerk.state.unwritable",
                %error,
                "cannot write the state directory; everything else works, but a restart during an outage will not be able to serve"
            );
        }
        Vec::new()
    }

    /// Waits for a write that is under way.
    pub(crate) async fn settle(&mut self, core: &Core, now: Moment) {
        if let Some(writing) = self.writing.take() {
            // What it found of others' is in the file for those who come after.
            self.report(core, outcome(writing.await), now);
        }
    }

    /// The last write of this process is due, even after one that failed.
    pub(crate) fn demand_at_once(&mut self) {
        self.demanded = Urgency::Now;
        self.not_before = None;
    }
}

/// A write that panicked has written nothing.
fn outcome(done: Result<Written, JoinError>) -> Written {
    done.unwrap_or_else(|error| Err(StateDirError::Unfinished(error.to_string())))
}

/// What an earlier process left behind, as far as it can be believed.
#[derive(Debug, Default)]
pub(crate) struct RestoredState {
    pub(crate) keys: Option<(KeySet, Timestamp)>,
    /// From wherever there were any.
    pub(crate) outages: Vec<OutageRecord>,
    /// The files could not be read.
    pub(crate) failures: Vec<StateDirError>,
}

impl RestoredState {
    pub(crate) fn refused(error: StateDirError) -> Self {
        Self { failures: vec![error], ..Self::default() }
    }

    /// Takes keys from elsewhere, if Clerk confirmed them later.
    pub(crate) fn prefer(&mut self, keys: Option<(KeySet, Timestamp)>) {
        let since = |keys: &Option<(KeySet, Timestamp)>| keys.as_ref().map(|(_, at)| *at);
        if since(&keys) > since(&self.keys) {
            self.keys = keys;
        }
    }

    /// How Clerk was, by all records together. What one of them says of the present counts as long as it
    /// may; all say what was.
    pub(crate) fn health(&self, now: Moment) -> Health {
        let Some(last) = self.outages.iter().max_by_key(|record| record.outage_seen()) else {
            return Health::default();
        };
        let outages = self.outages.iter().map(|record| record.outages_as_of(now));
        let outages = outages.reduce(|all, more| all.joined_with(&more)).unwrap_or_default();
        Health::resume(outages, last.outage_seen(), last.saved(), now)
    }

    pub(crate) fn load(dir: &StateDir, instance: &str, now: Timestamp) -> Self {
        let mut inherited = Self::default();
        match KeysRecord::load(dir, instance) {
            Ok(record) => inherited.keys = record.and_then(|record| record.keys(now)),
            Err(error) => inherited.failures.push(error),
        }
        match OutageRecord::load(dir, instance) {
            Ok(record) => inherited.outages.extend(record),
            Err(error) => inherited.failures.push(error),
        }
        inherited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_that_panicked_has_failed() {
        let done = tokio::task::spawn_blocking(|| panic!("as asked")).await;
        assert!(matches!(outcome(done), Err(StateDirError::Unfinished(_))));
    }
}
