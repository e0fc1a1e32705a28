//! The [`Store`] trait: durable webhook events, denials, users, documents and sightings.
//!
//! A store *accepts* an [`InboxEvent`] in one step: it records the event's id, stores its denials
//! and user changes, and queues a [`Task`] for hooks. The recorded id makes a second delivery a
//! duplicate. An accepted event survives whatever the store itself survives.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use super::fleet::{FeedMark, SharedStore};
use super::sealed::Sealed;
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// Retention of event ids: 7 days. Clerk retries a delivery for 28 hours.
pub(crate) const MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Maximum number of dead letters that [`Store::dead_letters`] returns.
pub(crate) const SHOWN: u16 = 1000;
/// Retention of dead letters: 30 days. Operators can retry a dead letter for that long.
pub(crate) const SHELF: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The future that a [`Store`] call returns. It owns its data, so that the call can continue where
/// the caller stops waiting.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Durable state of an application: webhook events, denials, users, documents and sightings.
///
/// Requests never call a store. Implementations are [`MemoryStore`](super::MemoryStore),
/// `SqliteStore` (feature `sqlite`), and `RedisStore` (feature `redis`), which several instances
/// share. One test suite checks all of them against the same contract.
///
/// The trait is sealed until version 1.0: applications choose a store and need none of its methods.
/// Callers stop waiting after 2 s ([`prune`](Self::prune) apart), so an implementation needs no
/// deadline of its own. The life of an event:
///
/// ```text
/// delivery ─▶ accept ─▶ task due ─▶ claim ─▶ hooks ─▶ settle: done
///                │                    ▲        │
///                └ duplicate          └─ retry ┴─▶ dead letter ─▶ requeue ─▶ task due
/// ```
///
/// # Examples
///
/// ```
/// use clerk_resilience::store::{MemoryStore, Store, StoreError};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), StoreError> {
/// let store = MemoryStore::new();
/// store.put_document("note", b"text".to_vec()).await?;
/// assert_eq!(store.record("note").await?.as_deref(), Some(&b"text"[..]));
/// assert!(!store.is_durable());
/// # Ok(())
/// # }
/// ```
pub trait Store: Sealed + fmt::Debug + Send + Sync + 'static {
    /// Returns every denial that was accepted and not pruned. The layer calls this once, before the
    /// first request; the call may block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    fn denials(&self) -> Result<Vec<Denial>, StoreError>;

    /// Stores denials that do not belong to a webhook event, such as those of a sign-out or of
    /// [`revoke_user`](crate::ClerkResilience::revoke_user). Of two denials of one subject the
    /// later counts, so a repetition changes nothing.
    fn deny(&self, denials: Vec<Denial>) -> Pending<()>;

    /// Whether accepted data survives the process, even after a crash. If not, the layer also
    /// writes denials to the state directory, if there is one.
    ///
    /// A durable store that is not [shared](Self::fleet) also promises that no other process can
    /// write to it. Without a secret key, the layer trusts the stored records on that promise
    /// alone. Default: `false`.
    fn is_durable(&self) -> bool {
        false
    }

    /// Accepts an event completely or not at all. Once this call succeeds, the event survives
    /// whatever the store survives.
    ///
    /// An id that is already known changes nothing and returns [`Accepted::Duplicate`]. The
    /// exception is an id that is known only as [malformed](FollowUp::Malformed): a redelivery that
    /// can be parsed counts as new.
    fn accept(&self, entry: InboxEvent) -> Pending<Accepted>;

    /// Claims the task that has been due the longest, for `lease`. After the lease the task is due
    /// again, unless it was [settled](Self::settle). Each claim of a task has its own
    /// [number](Task::claim).
    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>>;

    /// Settles the task of this claim. Returns `false` and changes nothing if the task is already
    /// settled, or was claimed again or requeued since. The outcome of an older claim thus never
    /// settles a newer one.
    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool>;

    /// Returns the dead letters, newest first, at most 1000.
    ///
    /// A dead letter has no data, so a list of them may be shown to an operator.
    fn dead_letters(&self) -> Pending<Vec<DeadLetter>>;

    /// Makes a dead letter a task again, due at `now`. Returns `false` if there is no such dead
    /// letter, or if it has no data that hooks could process.
    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool>;

    /// Deletes event ids after 7 days, dead letters after 30 days, sightings after one day, and
    /// denials that no longer have an effect.
    fn prune(&self, now: Timestamp) -> Pending<()>;

    /// Returns the stored profile and memberships of a user.
    fn user(&self, id: &UserId) -> Pending<Option<Person>>;

    /// Merges changes of users, each as [`Person::take`] does.
    ///
    /// The result must not depend on the order in which changes arrive, also across instances.
    fn merge(&self, changes: Vec<Change>) -> Pending<()>;

    /// Returns a page of stored users, including deleted ones. Without `after` it is the first
    /// page; otherwise pass the mark of the previous [`UserPage`]. A user who is stored during the
    /// whole listing appears at least once.
    ///
    /// Default: an empty page. Reconciliation then finds neither deleted users nor ended
    /// memberships.
    fn users(&self, after: Option<FeedMark>) -> Pending<UserPage> {
        drop(after);
        Box::pin(ready(Ok(UserPage::default())))
    }

    /// Returns all small documents with their names. The layer calls this once, before the first
    /// request; the call may block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the documents cannot be read.
    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Returns the current document of that name. The default implementation searches
    /// [`documents`](Self::documents), which may block.
    fn record(&self, name: &str) -> Pending<Option<Vec<u8>>> {
        let named = |(known, record): (String, Vec<u8>)| (known == name).then_some(record);
        Box::pin(ready(self.documents().map(|records| records.into_iter().find_map(named))))
    }

    /// Stores a small document and replaces an existing one of that name. The layer stores its
    /// keys, its outage history and the cursor of reconciliation in documents.
    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()>;

    /// Records sightings of sessions. Of two sightings of one session, the one with the newer
    /// claims wins; with equal claims, the later one wins.
    ///
    /// A lost sighting only costs a session its grace, so sightings need not be synced to disk. A
    /// store holds sightings of at least 250,000 sessions for a day. Default: records nothing.
    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        drop(sightings);
        Box::pin(ready(Ok(())))
    }

    /// Returns the sightings that were recorded and not pruned. The layer calls this once, before
    /// the first request; the call may block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the sightings cannot be read.
    fn sightings(&self) -> Result<Sightings, StoreError> {
        Ok(Sightings::default())
    }

    /// Returns the reason why this store fell back to memory and is not durable. `None` for a store
    /// that works as configured.
    fn fallback_error(&self) -> Option<&StoreError> {
        None
    }

    /// Returns the interface through which instances that share this store exchange state. `None`
    /// if a single process uses the store.
    fn fleet(&self) -> Option<&dyn SharedStore> {
        None
    }
}

/// A page of stored users. Reconciliation reads all pages in order to find users that Clerk has
/// deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPage {
    /// User ids with their profiles and memberships, about a hundred. An empty list does not mean
    /// that the listing ended.
    pub people: Vec<(UserId, Person)>,
    /// The mark of the next page; `None` after the last page.
    pub next: Option<FeedMark>,
}

/// A webhook event as a store accepts it. The three parts, [`denials`](Self::denials),
/// [`changes`](Self::changes) and [`rest`](Self::rest), take effect together or not at all.
#[derive(Clone, Debug)]
pub struct InboxEvent {
    /// The message id, which is the same for each delivery of the message.
    pub id: String,
    /// The event type, such as `session.revoked`.
    pub kind: String,
    /// When the event happened.
    pub happened: Timestamp,
    /// When the delivery was received.
    pub received: Timestamp,
    /// The denials that the event causes.
    pub denials: Vec<Denial>,
    /// The changes to users that the event reports.
    pub changes: Vec<Change>,
    /// The work that remains after the event is accepted.
    pub rest: FollowUp,
}

/// The work that remains after an event is accepted. `Debug` omits the data, which is personal.
#[derive(Clone, Eq, PartialEq)]
pub enum FollowUp {
    /// No work remains. The store records only the event id.
    Nothing,
    /// Hooks must run. Holds the event's data as JSON.
    Hooks(String),
    /// The event could not be parsed, for the given reason. It is stored as a dead letter at once.
    Malformed(String),
}

impl fmt::Debug for FollowUp {
    /// Omits the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Hooks(_) => f.write_str("Hooks([redacted])"),
            Self::Malformed(why) => f.debug_tuple("Nonsense").field(why).finish(),
        }
    }
}

/// Whether an event is new to the store. The receiver answers 204 for both; only a new event runs
/// hooks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// The event was accepted for the first time.
    New,
    /// The id was already known. Nothing changed.
    Duplicate,
}

/// An accepted event for which hooks must run. `Debug` omits the data, which is personal.
#[derive(Clone, Eq, PartialEq)]
pub struct Task {
    /// The message id.
    pub id: String,
    /// The event type.
    pub kind: String,
    /// When the event happened.
    pub happened: Timestamp,
    /// The event's data as JSON.
    pub data: String,
    /// Number of claims since the task was accepted or requeued, including this one.
    pub attempts: u32,
    /// The number of this claim. It grows with each claim and does not restart when the task is
    /// requeued.
    pub claim: u64,
}

impl fmt::Debug for Task {
    /// Omits the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, happened, attempts, .. } = self;
        let mut task = f.debug_struct("Task");
        task.field("id", id).field("kind", kind).field("happened", happened);
        task.field("attempts", attempts).finish_non_exhaustive()
    }
}

/// The result of a task. A worker that dies without a result leaves the task claimed; it is due
/// again when the lease ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TaskOutcome {
    /// The hooks succeeded. The store deletes the event's data.
    Done,
    /// The hooks failed. The task is due again later.
    Retry {
        /// When the task is due again.
        at: Timestamp,
        /// Why the hooks failed.
        why: String,
    },
    /// The hooks failed permanently. The task becomes a dead letter.
    Dead {
        /// Why the hooks failed.
        why: String,
    },
}

/// An event that is not processed further until an operator requeues it. Dead letters remain for 30
/// days. `clerk-resilience dead-letters` lists and retries them, and so do
/// [`ClerkResilience::dead_letters`](crate::ClerkResilience::dead_letters) and
/// [`ClerkResilience::replay`](crate::ClerkResilience::replay).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message id.
    pub id: String,
    /// The event type; empty if it could not be parsed.
    pub kind: String,
    /// When the delivery was received.
    pub received: Timestamp,
    /// Number of times that the hooks ran.
    pub attempts: u32,
    /// Why the hooks failed, or why the event could not be parsed.
    pub why: String,
}

/// Why a store cannot be used, or why a call failed. The text names the file and the fix, and no
/// password, token or user id.
///
/// At start the error ends the process, or the application starts with less: see
/// `SqliteStore::open_or_memory` and `RedisStore::connect_lazy`. Later it appears in the log as
/// `clerk.store.*` and in `/auth/health`; requests are served all the while.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory of the store is not safe.
    #[error(transparent)]
    Place(#[from] super::StateDirError),
    /// Another process, or another handle in this process, uses the store.
    #[error(
        "{path} is in use by {}, after a wait of {} s; each process needs a store of its own: end that process, let a deploy end the old process before it starts the next, or wait longer with open_within",
        .holder.map_or_else(|| "another process".to_owned(), |holder| format!("process {holder}")),
        .waited.as_secs()
    )]
    InUse {
        /// The path of the store's file.
        path: String,
        /// The id of the process that has the file open, if the lock file names it.
        holder: Option<u32>,
        /// How long this process waited for the file.
        waited: Duration,
    },
    /// A later version of this crate wrote the file.
    #[error(
        "{path} has the schema {found}, and this version knows {known}; run the version that wrote it, or name another file"
    )]
    Newer {
        /// The path of the store's file.
        path: String,
        /// The schema version of the file.
        found: i64,
        /// The newest schema version that this version of the crate knows.
        known: i64,
    },
    /// The file is damaged, or it is not a store of this crate.
    #[error(
        "{path} is damaged or no store: {problem}; move it away to start with an empty one, and expect what was revoked only there to be accepted again"
    )]
    Damaged {
        /// The path of the store's file.
        path: String,
        /// A description of the damage.
        problem: String,
    },
    /// The disk is full. Holds the path of the file. Reads continue; deliveries get 503 until there
    /// is room.
    #[error(
        "the disk that holds {0} is full; make room, and the store accepts writes again without a restart"
    )]
    Full(String),
    /// The file cannot be read or written.
    #[error(
        "{path} cannot be read and written: {problem}; see that its file system is sound and not read-only, and that this user may write the file and its directory"
    )]
    Unwritable {
        /// The path of the file.
        path: String,
        /// The error message of the operating system or of SQLite.
        problem: String,
    },
    /// Another program holds a lock on the file. Holds the path of the file.
    #[error("{0} is locked by another program; end that program's transaction")]
    Locked(String),
    /// The file was moved or deleted while it was in use, so a write would be lost. Holds its path.
    #[error(
        "{0} was moved away or deleted while it was in use; put it back, or restart to begin a new one"
    )]
    Moved(String),
    /// The call was not performed: too many calls wait, the store is contended, or a deadline
    /// passed.
    ///
    /// The caller may repeat the call. Deliveries get 503 with `Retry-After`.
    #[error("the store is too far behind")]
    Busy,
    /// The call failed. Holds a description of the error, without addresses or passwords.
    #[error("the store failed: {0}")]
    Failed(String),
}
