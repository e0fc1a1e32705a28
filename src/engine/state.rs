//! State files: decides when to write keys, outages and denials to the state directory.
//!
//! Writes run on a blocking thread, one at a time. A failed write causes a warning, a count and a
//! retry.

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
use crate::state::snapshot::KeyState;
use crate::store::{KeysRecord, OutageRecord, PendingSignOut, StateDir, StateDirError};

/// Unchanged keys are rewritten after this time, to update the time of their confirmation.
const KEYS_EVERY: Duration = Duration::from_secs(15 * 60);
/// Minimum time between two writes of sightings or other non-urgent changes.
const SIGHTINGS_EVERY: Duration = Duration::from_secs(5);
/// During an outage, the outage record is written this often.
const OUTAGE_EVERY: Duration = Duration::from_secs(15);
/// Delay after a failed write.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a write: the pending sign-outs that another process stored in the directory.
type Written = Result<Vec<PendingSignOut>, StateDirError>;

/// The driver's writer for the state directory.
#[derive(Debug)]
pub(crate) struct StateFiles {
    dir: Option<StateDir>,
    instance: String,
    writing: Option<JoinHandle<Written>>,
    keys_due: bool,
    demanded: Urgency,
    keys_written: Option<Moment>,
    outages_written: Option<Moment>,
    /// After a failure, the earliest time of the next write.
    not_before: Option<Moment>,
    warned: bool,
}

/// The urgency of a pending write.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Urgency {
    None,
    Soon,
    Now,
}

/// The driver's data, as input for a write.
pub(crate) struct Seen<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) health: &'a Health,
    pub(crate) keys: &'a KeyState,
    pub(crate) pinned: &'a KeySet,
    pub(crate) sign_outs: &'a mut PendingSignOuts,
    /// The last trusted wall-clock time.
    pub(crate) certain: Timestamp,
}

/// The input for an outage record. The blocking thread builds the long lists.
struct DueOutages {
    instance: String,
    now: Timestamp,
    certain: Timestamp,
    seen: Option<Timestamp>,
    outages: Outages,
    ending: Vec<PendingSignOut>,
    /// Sessions that are no longer pending.
    over: HashSet<SessionId>,
    /// The number of further sign-outs that the queue can hold.
    room: usize,
}

impl DueOutages {
    /// Merges the stored outage record into memory, then writes the merged record.
    ///
    /// Another process may share the directory, for example during a rolling deployment. That
    /// process's denials are applied here and preserved in the file. Unknown pending sign-outs are
    /// written and returned. The directory lock covers read and write, so that no process
    /// overwrites the other's changes.
    fn save(mut self, core: &Core, dir: &StateDir) -> Written {
        let _lock = dir.lock()?;
        let theirs = match OutageRecord::load(dir, &self.instance) {
            Ok(theirs) => theirs,
            Err(error @ StateDirError::TooLong(_)) => return Err(error),
            // An unusable file is replaced, like a damaged one.
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

    /// Makes a write of the key set due after the key set changed.
    pub(crate) fn keys_changed(&mut self) {
        self.keys_due = true;
    }

    /// Requests a write as soon as possible, for a change that must not be lost.
    pub(crate) fn demand(&mut self) {
        self.demanded = Urgency::Now;
    }

    /// Requests a write within seconds, for a change that may be lost.
    pub(crate) fn request(&mut self) {
        self.demanded = self.demanded.max(Urgency::Soon);
    }

    /// Collects the result of the last write and starts a write of due data.
    ///
    /// Does nothing while a write is in progress.
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

    fn due_keys(&mut self, keys: &KeyState, pinned: &KeySet, now: Moment) -> Option<KeysRecord> {
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

    /// Handles the result of a write. A failed write is due again after [`RETRY_AFTER`].
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
                "cannot write the state directory; requests are unaffected, but a process restarted during an outage may reject sessions. Check the directory's permissions and free space"
            );
        }
        Vec::new()
    }

    /// Waits for a write in progress.
    pub(crate) async fn settle(&mut self, core: &Core, now: Moment) {
        if let Some(writing) = self.writing.take() {
            // Pending sign-outs of other processes stay in the file for the next process.
            self.report(core, outcome(writing.await), now);
        }
    }

    /// Makes the last write of this process due at once, even after a failed write.
    pub(crate) fn demand_at_once(&mut self) {
        self.demanded = Urgency::Now;
        self.not_before = None;
    }
}

/// Converts a panicked write into an error.
fn outcome(done: Result<Written, JoinError>) -> Written {
    done.unwrap_or_else(|error| Err(StateDirError::Unfinished(error.to_string())))
}

/// The validated state of an earlier process.
#[derive(Debug, Default)]
pub(crate) struct RestoredState {
    pub(crate) keys: Option<(KeySet, Timestamp)>,
    /// The outage records of all sources: the state directory and the store.
    pub(crate) outages: Vec<OutageRecord>,
    /// The errors from reading the state files.
    pub(crate) failures: Vec<StateDirError>,
}

impl RestoredState {
    pub(crate) fn refused(error: StateDirError) -> Self {
        Self { failures: vec![error], ..Self::default() }
    }

    /// Replaces the keys with those of another source if Clerk confirmed the latter more recently.
    pub(crate) fn prefer(&mut self, keys: Option<(KeySet, Timestamp)>) {
        let since = |keys: &Option<(KeySet, Timestamp)>| keys.as_ref().map(|(_, at)| *at);
        if since(&keys) > since(&self.keys) {
            self.keys = keys;
        }
    }

    /// Returns Clerk's health according to all records.
    ///
    /// The history of outages joins all records. The present outage comes from the record that saw
    /// an outage last.
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
