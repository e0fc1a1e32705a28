//! What webhooks told, kept until it is worked off.
//!
//! An event arrives as an [`InboxEvent`] and is *accepted* in one step: its id is noted, so that a second
//! delivery changes nothing, its denials are kept, and what hooks are to hear of it is put in the
//! inbox. What is accepted is never lost, as far as the engine goes.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use super::fleet::{FeedMark, SharedStore};
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// An id is known for so long. Clerk tries a delivery again for 28 hours.
pub(crate) const MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// So many dead letters are shown.
pub(crate) const SHOWN: u16 = 1000;
/// A dead letter can be replayed for so long.
pub(crate) const SHELF: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a [`Store`] is asked for, under way.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Durable state of an application: the inbox of webhooks, and what they denied.
///
/// Requests never talk to a store. Engines: [`MemoryStore`](super::MemoryStore), `SqliteStore` with
/// the feature `sqlite`, and `RedisStore`, which instances share, with the feature `redis`. All of them, and any other, are held to one suite of tests.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Every denial that was accepted and not pruned. Called once, before the first request; it may
    /// block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn denials(&self) -> Result<Vec<Denial>, StoreError>;

    /// Keeps denials that no webhook brought.
    fn deny(&self, denials: Vec<Denial>) -> Pending<()>;

    /// Whether what is accepted outlives the process, however that ends. Else the denials are written
    /// to the state directory too, if there is one. A store that nobody [shares](Self::fleet) says with it
    /// that nobody else can write there: without a secret key, what it holds is believed for that alone.
    /// Default: no.
    fn is_durable(&self) -> bool {
        false
    }

    /// Takes an event in, whole or not at all. When this is over well the event outlives what the
    /// engine outlives. An id that is known already changes nothing, unless all that is known of it is that it
    /// made no sense: a later version may understand what Clerk sends again.
    fn accept(&self, entry: InboxEvent) -> Pending<Accepted>;

    /// Takes the task that is due longest, for `lease`; it is due again after that, unless it was
    /// [settled](Self::settle). Each claim of a task has a [number](Task::claim) of its own.
    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>>;

    /// Settles the task of this claim. Returns false, and changes nothing, if the task is settled already
    /// or was claimed again or revived since: the outcome of an older claim never settles a newer one.
    fn settle(&self, id: &str, claim: u64, outcome: Outcome) -> Pending<bool>;

    /// The dead letters, the newest first, at most 1000.
    fn dead_letters(&self) -> Pending<Vec<DeadLetter>>;

    /// Makes a dead letter a task again, due at `now`. False when there is none by that id, or when
    /// nothing of it could be worked on.
    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool>;

    /// Forgets ids after 7 days, dead letters after 30 days, sightings after one, and denials that are of no
    /// use any more.
    fn prune(&self, now: Timestamp) -> Pending<()>;

    /// What is known of a user.
    fn user(&self, id: &UserId) -> Pending<Option<Person>>;

    /// Takes in what was told of users, each as [`Person::take`] does.
    fn merge(&self, changes: Vec<Change>) -> Pending<()>;

    /// Some of those of whom something is known, deleted users among them: the first without `after`, and
    /// then from where that [`UserPage`] ended. Whoever is kept from the first call to the last is told of at least once.
    ///
    /// Default: nobody. Then a reconciliation finds neither users who were deleted nor memberships that ended.
    fn users(&self, after: Option<FeedMark>) -> Pending<UserPage> {
        drop(after);
        Box::pin(ready(Ok(UserPage::default())))
    }

    /// The small documents that are kept here, by their names. Called once, before the first request; it may
    /// block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// The small document of that name, as it is now. Default: found among all of them, which may block.
    fn record(&self, name: &str) -> Pending<Option<Vec<u8>>> {
        let named = |(known, record): (String, Vec<u8>)| (known == name).then_some(record);
        Box::pin(ready(self.documents().map(|records| records.into_iter().find_map(named))))
    }

    /// Keeps a small document, in place of what was there by that name.
    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()>;

    /// Notes that sessions were seen. Of two sightings of one session the one with the newer claims counts,
    /// and of those the later. What is lost of these costs grace, so they need not be synced. At least
    /// 250,000 sessions are remembered, for a day. Default: none.
    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        drop(sightings);
        Box::pin(ready(Ok(())))
    }

    /// The sightings that were noted and not pruned. Called once, before the first request; it may block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn sightings(&self) -> Result<Sightings, StoreError> {
        Ok(Sightings::default())
    }

    /// Why nothing here outlives the process, although it was meant to; `None` for a store that is what it
    /// was made to be.
    fn fallback_error(&self) -> Option<&StoreError> {
        None
    }

    /// What instances that share this store tell each other; `None` when it is one process's own.
    fn fleet(&self) -> Option<&dyn SharedStore> {
        None
    }
}

/// Some of those of whom something is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPage {
    /// Each with what is known of them. About a hundred; none says nothing about whether there are more.
    pub people: Vec<(UserId, Person)>,
    /// From here it goes on; `None` when these were the last.
    pub next: Option<FeedMark>,
}

/// An event as it is accepted.
#[derive(Clone, Debug)]
pub struct InboxEvent {
    /// The message's id: the same for each of its deliveries.
    pub id: String,
    /// What happened, as `session.revoked`.
    pub kind: String,
    /// When it happened.
    pub happened: Timestamp,
    /// When it came.
    pub received: Timestamp,
    /// What it denies.
    pub denials: Vec<Denial>,
    /// What it tells of users.
    pub changes: Vec<Change>,
    /// What is still to be done.
    pub rest: FollowUp,
}

/// What is still to be done with an event.
#[derive(Clone, Eq, PartialEq)]
pub enum FollowUp {
    /// Nothing; its id is all that is kept.
    Nothing,
    /// Hooks are to hear of it: its data, as JSON.
    Hooks(String),
    /// It could not be understood, and why not. It is a dead letter from the start.
    Malformed(String),
}

impl fmt::Debug for FollowUp {
    /// Without the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Hooks(_) => f.write_str("Hooks([redacted])"),
            Self::Malformed(why) => f.debug_tuple("Nonsense").field(why).finish(),
        }
    }
}

/// Whether an event was taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// For the first time.
    New,
    /// Its id is known.
    Duplicate,
}

/// An event that hooks are to hear of.
#[derive(Clone, Eq, PartialEq)]
pub struct Task {
    /// The message's id.
    pub id: String,
    /// What happened.
    pub kind: String,
    /// When it happened.
    pub happened: Timestamp,
    /// The event's data, as JSON.
    pub data: String,
    /// Counts the times it was claimed, this one included.
    pub attempts: u32,
    /// The number of this claim. It grows with each claim of the task, also when it is revived.
    pub claim: u64,
}

impl fmt::Debug for Task {
    /// Without the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, happened, attempts, .. } = self;
        let mut task = f.debug_struct("Task");
        task.field("id", id).field("kind", kind).field("happened", happened);
        task.field("attempts", attempts).finish_non_exhaustive()
    }
}

/// What came of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is done; its data is forgotten.
    Done,
    /// It failed and is due again.
    Retry {
        /// When.
        at: Timestamp,
        /// Why it failed.
        why: String,
    },
    /// It failed for good, and is a dead letter.
    Dead {
        /// Why it failed.
        why: String,
    },
}

/// An event that nothing more is done with until somebody says so.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// What happened; empty when that could not be understood.
    pub kind: String,
    /// When it came.
    pub received: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed.
    pub why: String,
}

/// Why a store cannot be used, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its directory is not safe.
    #[error(transparent)]
    Place(#[from] super::StateDirError),
    /// Another process uses it, or another handle of this one.
    #[error(
        "{path} is in use by {}, after a wait of {} s; each process needs a store of its own: end that process, let a deploy end the old process before it starts the next, or wait longer with open_within",
        .holder.map_or_else(|| "another process".to_owned(), |holder| format!("process {holder}")),
        .waited.as_secs()
    )]
    InUse {
        /// The file.
        path: String,
        /// The process that has it open, if the lock file names it.
        holder: Option<u32>,
        /// How long this process has waited for it.
        waited: Duration,
    },
    /// A later version of this crate wrote it.
    #[error(
        "{path} has the schema {found}, and this version knows {known}; run the version that wrote it, or name another file"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// It is no store, or it is broken.
    #[error(
        "{path} is damaged or no store: {problem}; move it away to start with an empty one, and expect what was revoked only there to be accepted again"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no room on the disk.
    #[error("the disk that holds {0} is full; make room, and what comes again is kept again")]
    Full(String),
    /// It cannot be written.
    #[error(
        "{path} cannot be read and written: {problem}; see that its file system is sound and not read-only, and that this user may write the file and its directory"
    )]
    Unwritable {
        /// The file.
        path: String,
        /// The system's words, or SQLite's.
        problem: String,
    },
    /// Another program is in the middle of something.
    #[error("{0} is locked by another program; end what it does there")]
    Locked(String),
    /// What would be written now would be lost.
    #[error(
        "{0} was moved away or deleted while it was in use; put it back, or restart to begin a new one"
    )]
    Moved(String),
    /// So much is under way that this was not begun.
    #[error("the store is too far behind")]
    Busy,
    /// It was not done.
    #[error("the store failed: {0}")]
    Failed(String),
}
