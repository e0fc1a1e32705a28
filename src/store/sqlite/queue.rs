//! The queue of calls that wait for the file, and the worker that runs them.
//!
//! A transaction costs mainly one sync to disk, almost regardless of its content. All calls that
//! wait at one moment therefore share one transaction. Each call runs in its own savepoint and gets
//! its own result after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::file::DataFile;
use crate::store::StoreError;
use crate::store::inbox::Pending;

/// Capacity of the queue; further calls fail at once with [`StoreError::Busy`]. A delivery waits
/// two seconds and the store commits about two thousand events per second, so later calls would
/// time out.
const WAITING: usize = 4096;

/// Whether a call's effects must be on disk before its result is returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// The effects are synced to disk first.
    Promise,
    /// The effects are not synced. A power cut may undo them, so that work is repeated; the end of
    /// the process does not.
    Note,
}

pub(super) struct WriteQueue {
    desk: Mutex<Desk>,
    waiting: Mutex<QueuedCall>,
}

struct Desk {
    /// The connection; `None` after the store is closed.
    connection: Option<Connection>,
    /// The weight for which the `synchronous` pragma is set at present.
    weight: Weight,
    file: DataFile,
}

#[derive(Default)]
struct QueuedCall {
    calls: Vec<Box<dyn StoreCall>>,
    /// Whether a worker runs the waiting calls.
    attended: bool,
}

/// A call that waits for its turn.
trait StoreCall: Send {
    /// Returns `false` if the caller no longer waits for the result. Such a call is not started.
    fn is_wanted(&self) -> bool;
    fn weight(&self) -> Weight;
    /// Runs the call. Runs again if the transaction failed as a whole.
    fn work(&mut self, store: &Transaction<'_>) -> rusqlite::Result<()>;
    fn tell(self: Box<Self>, result: Result<(), StoreError>);
}

struct AskedCall<F, T> {
    work: F,
    weight: Weight,
    found: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> StoreCall for AskedCall<F, T>
where
    F: Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn weight(&self) -> Weight {
        self.weight
    }

    fn work(&mut self, store: &Transaction<'_>) -> rusqlite::Result<()> {
        self.found = Some((self.work)(store)?);
        Ok(())
    }

    fn tell(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { found, answer, .. } = *self;
        let unfinished = || StoreError::Failed("a call did not finish".to_owned());
        // The caller may have stopped waiting.
        drop(answer.send(result.and_then(|()| found.ok_or_else(unfinished))));
    }
}

/// Why a transaction failed.
enum CallFailure {
    /// The transaction could not be started; a retry at once would fail too.
    Begin(rusqlite::Error),
    /// The transaction failed after it started, perhaps because of one call.
    Broken(rusqlite::Error),
}

impl WriteQueue {
    pub(super) fn new(connection: Connection, file: DataFile) -> Self {
        let connection = Some(connection);
        let desk = Desk { connection, weight: Weight::Promise, file };
        Self { desk: Mutex::new(desk), waiting: Mutex::default() }
    }

    /// Queues a call, runs it on a thread that may block, and returns its result.
    pub(super) fn ask<T, F>(self: &Arc<Self>, weight: Weight, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let queue = Arc::clone(self);
        Box::pin(async move {
            let (answer, told) = oneshot::channel();
            queue.join(Box::new(AskedCall { work, weight, found: None, answer }))?;
            drop(queue);
            told.await.unwrap_or_else(|_| Err(StoreError::Failed("a call was aborted".to_owned())))
        })
    }

    fn join(self: &Arc<Self>, call: Box<dyn StoreCall>) -> Result<(), StoreError> {
        if !self.is_attended_after(call)? {
            // A runtime that shuts down drops the task at once; its destructor then takes the lock.
            let attendant = Attendant(Arc::clone(self));
            drop(tokio::task::spawn_blocking(move || attendant.serve()));
        }
        Ok(())
    }

    /// Adds a call to the queue. Returns whether a worker already runs the waiting calls.
    fn is_attended_after(&self, call: Box<dyn StoreCall>) -> Result<bool, StoreError> {
        let mut waiting = held(&self.waiting);
        if waiting.calls.len() >= WAITING {
            return Err(StoreError::Busy);
        }
        waiting.calls.push(call);
        Ok(std::mem::replace(&mut waiting.attended, true))
    }

    /// Runs a read at once on this thread.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Desk { connection, file, .. } = &mut *held(&self.desk);
        let Some(connection) = connection else { return Err(closed()) };
        let read = connection.transaction().and_then(|store| work(&store));
        read.map_err(|error| file.explain(&error))
    }

    /// Waits for the running transaction and closes the file. Calls that still wait then fail.
    pub(super) fn close(&self) {
        held(&self.desk).connection = None;
    }

    #[cfg(test)]
    pub(super) fn tamper(&self, change: impl FnOnce(&Connection)) {
        change(held(&self.desk).connection.as_ref().expect("open"));
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the store is closed".to_owned())
}

/// The worker that runs waiting calls. A runtime that shuts down may drop it before it starts.
struct Attendant(Arc<WriteQueue>);

impl Attendant {
    fn serve(self) {
        while let Some(calls) = self.next() {
            let desk = &mut *held(&self.0.desk);
            // A call that panics gets no result, and does not stop the calls of other callers.
            drop(catch_unwind(AssertUnwindSafe(|| desk.serve(calls))));
        }
    }

    fn next(&self) -> Option<Vec<Box<dyn StoreCall>>> {
        let mut waiting = held(&self.0.waiting);
        let calls = std::mem::take(&mut waiting.calls);
        waiting.attended = !calls.is_empty();
        waiting.attended.then_some(calls)
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        held(&self.0.waiting).attended = false;
    }
}

impl Desk {
    fn serve(&mut self, mut calls: Vec<Box<dyn StoreCall>>) {
        calls.retain(|call| call.is_wanted());
        let Self { connection: Some(connection), weight, file } = self else {
            return refuse(calls, closed);
        };
        if !file.is_in_place() {
            return refuse(calls, || StoreError::Moved(file.name()));
        }
        match together(connection, weight, &mut calls) {
            Ok(results) => {
                for (call, result) in calls.into_iter().zip(results) {
                    call.tell(result.map_err(|error| file.explain(&error)));
                }
            }
            // One failing call must not fail the others, so each call runs alone.
            Err(CallFailure::Broken(_)) if calls.len() > 1 => {
                for call in calls {
                    self.serve(vec![call]);
                }
            }
            Err(CallFailure::Begin(error) | CallFailure::Broken(error)) => {
                refuse(calls, || file.explain(&error));
            }
        }
    }
}

/// Runs all calls in one transaction and returns the result of each.
fn together(
    connection: &mut Connection,
    present: &mut Weight,
    calls: &mut [Box<dyn StoreCall>],
) -> Result<Vec<rusqlite::Result<()>>, CallFailure> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let promise = calls.iter().any(|call| call.weight() == Weight::Promise);
    let weight = if promise { Weight::Promise } else { Weight::Note };
    if *present != weight {
        let synchronous = if promise { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous).map_err(CallFailure::Begin)?;
        *present = weight;
    }
    let store = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let store = store.map_err(CallFailure::Begin)?;
    let results = calls.iter_mut().map(|call| apart(&store, call.as_mut()));
    let results = results.collect::<rusqlite::Result<_>>().map_err(CallFailure::Broken)?;
    store.commit().map_err(CallFailure::Broken)?;
    Ok(results)
}

fn refuse(calls: Vec<Box<dyn StoreCall>>, why: impl Fn() -> StoreError) {
    for call in calls {
        call.tell(Err(why()));
    }
}

/// Runs one call in its own savepoint. The outer error means that the whole transaction ended.
fn apart(
    store: &Transaction<'_>,
    call: &mut dyn StoreCall,
) -> rusqlite::Result<rusqlite::Result<()>> {
    let say = |word: &str| store.prepare_cached(word)?.execute([]);
    say("SAVEPOINT one")?;
    let result = call.work(store);
    match result {
        // Some errors, such as a full disk, end the whole transaction at once.
        Err(error) if store.is_autocommit() => return Err(error),
        Err(_) => say("ROLLBACK TO one")?,
        Ok(()) => 0,
    };
    say("RELEASE one")?;
    Ok(result)
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
