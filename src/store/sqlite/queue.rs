//! Calls that wait for the file, and the one task that works them off.
//!
//! What a transaction costs is the wait for the disk, hardly what is in it. So all calls that wait at
//! one moment are one transaction. Each runs in a savepoint of its own and is told its own result, after
//! the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::file::DataFile;
use crate::store::StoreError;
use crate::store::inbox::Pending;

/// So many calls wait; more are refused at once. A delivery waits for two seconds, and two thousand are
/// kept in a second: who comes after these would wait in vain.
const WAITING: usize = 4096;

/// Whether a result has to be on the disk before it is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// Yes: it is a promise.
    Promise,
    /// No. A power cut may take it back, the end of the process does not. Something is done twice then.
    Note,
}

pub(super) struct Queue {
    desk: Mutex<Desk>,
    waiting: Mutex<Waiting>,
}

struct Desk {
    /// Until the store is closed.
    connection: Option<Connection>,
    /// How transactions end at present.
    weight: Weight,
    file: DataFile,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<Box<dyn Call>>,
    /// Somebody works them off.
    attended: bool,
}

/// Something that waits.
trait Call: Send {
    /// False when nobody waits for the answer any more. It is not begun then.
    fn is_wanted(&self) -> bool;
    fn weight(&self) -> Weight;
    /// May be called again, when the transaction failed as a whole.
    fn work(&mut self, store: &Transaction<'_>) -> rusqlite::Result<()>;
    fn tell(self: Box<Self>, result: Result<(), StoreError>);
}

struct Asked<F, T> {
    work: F,
    weight: Weight,
    found: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Call for Asked<F, T>
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
        let unfinished = || StoreError::Failed("a call did not come to its end".to_owned());
        // Whoever asked may have gone.
        drop(answer.send(result.and_then(|()| found.ok_or_else(unfinished))));
    }
}

/// Why a transaction came to nothing.
enum Failure {
    /// It was not begun, as the next would not be.
    Begin(rusqlite::Error),
    /// It broke, perhaps because of one call.
    Broken(rusqlite::Error),
}

impl Queue {
    pub(super) fn new(connection: Connection, file: DataFile) -> Self {
        let connection = Some(connection);
        let desk = Desk { connection, weight: Weight::Promise, file };
        Self { desk: Mutex::new(desk), waiting: Mutex::default() }
    }

    /// What a call brings when its turn comes, on a thread that may block.
    pub(super) fn ask<T, F>(self: &Arc<Self>, weight: Weight, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let queue = Arc::clone(self);
        Box::pin(async move {
            let (answer, told) = oneshot::channel();
            queue.join(Box::new(Asked { work, weight, found: None, answer }))?;
            drop(queue);
            told.await.unwrap_or_else(|_| Err(StoreError::Failed("a call broke off".to_owned())))
        })
    }

    fn join(self: &Arc<Self>, call: Box<dyn Call>) -> Result<(), StoreError> {
        if !self.is_attended_after(call)? {
            // A runtime that ends drops it here and now, and it takes the lock when it goes.
            let attendant = Attendant(Arc::clone(self));
            drop(tokio::task::spawn_blocking(move || attendant.serve()));
        }
        Ok(())
    }

    /// Whether somebody works off what waits, now that this does too.
    fn is_attended_after(&self, call: Box<dyn Call>) -> Result<bool, StoreError> {
        let mut waiting = held(&self.waiting);
        if waiting.calls.len() >= WAITING {
            return Err(StoreError::Busy);
        }
        waiting.calls.push(call);
        Ok(std::mem::replace(&mut waiting.attended, true))
    }

    /// At once, on this thread.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Desk { connection, file, .. } = &mut *held(&self.desk);
        let Some(connection) = connection else { return Err(closed()) };
        let read = connection.transaction().and_then(|store| work(&store));
        read.map_err(|error| file.explain(&error))
    }

    /// Waits for what is under way. What still waits then is not done any more.
    pub(super) fn close(&self) {
        held(&self.desk).connection = None;
    }

    #[cfg(test)]
    pub(super) fn tamper(&self, change: impl FnOnce(&Connection)) {
        change(held(&self.desk).connection.as_ref().expect("open"));
    }
}

fn closed() -> StoreError {
    StoreError::Failed("it is closed".to_owned())
}

/// Whoever works calls off. A runtime that ends may drop it before it has begun.
struct Attendant(Arc<Queue>);

impl Attendant {
    fn serve(self) {
        while let Some(calls) = self.next() {
            let desk = &mut *held(&self.0.desk);
            // A call that panicked answers nobody, and keeps nobody else waiting.
            drop(catch_unwind(AssertUnwindSafe(|| desk.serve(calls))));
        }
    }

    fn next(&self) -> Option<Vec<Box<dyn Call>>> {
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
    fn serve(&mut self, mut calls: Vec<Box<dyn Call>>) {
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
            // One that cannot be done must not take the others with it.
            Err(Failure::Broken(_)) if calls.len() > 1 => {
                for call in calls {
                    self.serve(vec![call]);
                }
            }
            Err(Failure::Begin(error) | Failure::Broken(error)) => {
                refuse(calls, || file.explain(&error));
            }
        }
    }
}

/// One transaction; what came of each call.
fn together(
    connection: &mut Connection,
    present: &mut Weight,
    calls: &mut [Box<dyn Call>],
) -> Result<Vec<rusqlite::Result<()>>, Failure> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let promise = calls.iter().any(|call| call.weight() == Weight::Promise);
    let weight = if promise { Weight::Promise } else { Weight::Note };
    if *present != weight {
        let synchronous = if promise { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous).map_err(Failure::Begin)?;
        *present = weight;
    }
    let store = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let store = store.map_err(Failure::Begin)?;
    let results = calls.iter_mut().map(|call| apart(&store, call.as_mut()));
    let results = results.collect::<rusqlite::Result<_>>().map_err(Failure::Broken)?;
    store.commit().map_err(Failure::Broken)?;
    Ok(results)
}

fn refuse(calls: Vec<Box<dyn Call>>, why: impl Fn() -> StoreError) {
    for call in calls {
        call.tell(Err(why()));
    }
}

/// A call on its own within the transaction of all. The outer error is the transaction's end.
fn apart(store: &Transaction<'_>, call: &mut dyn Call) -> rusqlite::Result<rusqlite::Result<()>> {
    let say = |word: &str| store.prepare_cached(word)?.execute([]);
    say("SAVEPOINT one")?;
    let result = call.work(store);
    match result {
        // A full disk, among others, ends the whole transaction at once.
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
