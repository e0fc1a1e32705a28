//! What is known of users, told without waiting for Clerk where that can be.
//!
//! Memory first, then the store, then Clerk, and Clerk only while it is well. Webhooks change all of
//! it; what Clerk told goes into the store. Whoever asks about a user at the same time as others waits
//! for the same answer.

mod kept;
mod look;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::ClaimsTime;
use clerk_verify::id::UserId;
use serde::Serialize;

use self::kept::Kept;
use self::memory::Memory;
use super::keyed_hasher::{Digest, KeyedHasher};
use super::rate_limiter::RateLimiter;
use super::shared::Shared;
use super::single_flight::{Keep, SingleFlight};
use crate::state::profile::{Change, Membership, Person, Profile};
use crate::state::revocation::TokenIdentity;
use crate::store::Store;

/// So many looks may be under way at once, and begin in a second.
const AT_ONCE: usize = 4096;
const A_SECOND: f64 = 20_000.0;
/// What others may have changed in a shared store is read again after this.
const SHARED_GOOD: Duration = Duration::from_secs(60);
/// Where no webhooks tell of changes, Clerk is asked again after this.
const OLD: Duration = Duration::from_secs(5 * 60);

/// What is known of users, whether Clerk answers or not; from
/// [`ClerkResilience::profiles`](crate::ClerkResilience::profiles). Cheap to clone.
///
/// ```no_run
/// # use clerk_resilience::{ClerkResilience, id::UserId};
/// # async fn greet(clerk: &ClerkResilience, user: &UserId) -> String {
/// let name = match clerk.profiles().get(user).await {
///     Ok(Some(known)) => known.profile.first_name,
///     Ok(None) | Err(_) => None,
/// };
/// format!("Hello, {}", name.as_deref().unwrap_or("you"))
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Profiles(Arc<Shared>);

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KnownUser {
    /// What they are like. `updated_at` says since when, `heard_at` when this application heard so last.
    pub profile: Profile,
    /// The organisations they belong to, as far as Clerk told; of whom Clerk was asked for, all up to 500.
    pub memberships: Vec<Membership>,
    /// Where this was found.
    pub source: Source,
}

/// Where something was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Source {
    /// In this process.
    Memory,
    /// In the application's store.
    Store,
    /// At Clerk, just now.
    Clerk,
}

/// Why it cannot be told who a user is, or whether there is one. Nothing of them is known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Clerk would have to be asked, and is not well.
    #[error("nothing is known of this user here, and Clerk is not well enough to be asked")]
    ClerkUnwell,
    /// Clerk was asked, and did not answer in time or to the point.
    #[error("nothing is known of this user here, and Clerk did not answer")]
    Unanswered,
    /// Clerk has been asked as much as it may be, for now.
    #[error("nothing is known of this user here, and Clerk has been asked too much for now")]
    Limited,
    /// The store did not answer, and Clerk could not be asked instead.
    #[error("the store does not tell what is known of this user")]
    Store,
    /// Clerk knows no such user, but the secret key is another instance's, as far as Clerk's keys show.
    #[error(
        "nothing is known of this user here, and CLERK_SECRET_KEY belongs to another instance than CLERK_PUBLISHABLE_KEY"
    )]
    SecretKeyForeign,
    /// Clerk refuses the secret key.
    #[error("nothing is known of this user here, and Clerk refuses CLERK_SECRET_KEY")]
    SecretKeyRefused,
    /// There is no secret key to ask Clerk with.
    #[error(
        "nothing is known of this user here, and there is no CLERK_SECRET_KEY to ask Clerk with"
    )]
    NoSecretKey,
}

type Told = Result<Option<KnownUser>, ProfileError>;

impl Profiles {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// What is known of a user; `None` when there is no such user (any more).
    ///
    /// Whom this process knows, it tells at once. Of others it asks the [store](crate::Builder::store),
    /// for at most 2 s, and when nothing is known there and Clerk is well, Clerk's Backend API, once for
    /// all who ask at the same time: at most 20 users a second, the profile and the organisations of each within
    /// [`probe_deadline`](crate::Builder::probe_deadline). In an outage it never waits for Clerk.
    ///
    /// With webhooks, what is known follows Clerk within seconds. Without them Clerk is asked again when
    /// what is known is older than 5 minutes, while the old is told. That Clerk knows no such user is
    /// remembered for 10 s, and told only when the secret key is proven to be this instance's, which takes as
    /// long again at the first time.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] when nothing is known and it cannot be told whether there is such a user.
    pub async fn get(&self, id: &UserId) -> Result<Option<KnownUser>, ProfileError> {
        let mut told = self.tell(id).await;
        if let Ok(Some(known)) = &mut told {
            self.drop_ended(known);
            self.freshen(known);
        }
        told
    }

    /// An organisation that is deleted is told of once, and not of each of its members.
    fn drop_ended(&self, known: &mut KnownUser) {
        let (snapshot, user) = (self.0.core.load(), &known.profile.id);
        known.memberships.retain(|membership| {
            let bearer = TokenIdentity {
                session: None,
                token: None,
                user,
                claims_as_of: ClaimsTime::read(Some(membership.updated_at)),
                organization: Some(&membership.organization),
                role: None,
                permissions: &[],
            };
            snapshot.denied(|set| set.deny_membership(&bearer)).is_none()
        });
    }

    async fn tell(&self, id: &UserId) -> Told {
        let people = &self.0.people;
        if let Some(entry) = people.memory.find(id).filter(|entry| people.memory.answers(entry)) {
            return Ok(KnownUser::of(&entry.person, Source::Memory));
        }
        let (shared, whom) = (Arc::clone(&self.0), id.clone());
        let look = || async move { shared.look(&whom).await };
        let told = people.looks.ask(people.about("look", id), &people.plenty, keep, look).await;
        told.unwrap_or(Err(ProfileError::Limited))
    }

    /// Where nobody tells of changes, asks Clerk whether there are any, beside.
    fn freshen(&self, known: &KnownUser) {
        let shared = &self.0;
        let heard = known.profile.heard_at.unwrap_or_default();
        let old = shared.now().wall.since(heard) >= OLD;
        let about = || shared.people.about("again", &known.profile.id);
        if !old || shared.webhooks.is_some() || shared.people.looks.known(about()).is_some() {
            return;
        }
        let (shared, about, id) = (Arc::clone(shared), about(), known.profile.id.clone());
        tokio::spawn(async move {
            let asking = Arc::clone(&shared);
            let again = || async move { asking.look_again(&id).await };
            let once_a_minute = |_: &Told| Keep::for_secs(60);
            shared.people.looks.ask(about, &shared.people.plenty, once_a_minute, again).await;
        });
    }
}

/// Memory keeps what was found; that nothing could be told is not found out by everybody anew.
fn keep(told: &Told) -> Keep {
    if told.is_err() { Keep::for_secs(1) } else { Keep::default() }
}

impl KnownUser {
    fn of(person: &Person, source: Source) -> Option<Self> {
        let profile = person.profile()?.clone();
        Some(Self { profile, memberships: person.memberships().cloned().collect(), source })
    }
}

/// What is known of users, behind [`Profiles`].
#[derive(Debug)]
pub(crate) struct People {
    memory: Memory,
    kept: Kept,
    looks: SingleFlight<Told>,
    plenty: RateLimiter,
    names: KeyedHasher,
    keep_private: bool,
}

impl People {
    pub(crate) fn new(store: Option<Arc<dyn Store>>, capacity: usize, keep_private: bool) -> Self {
        let kept = Kept::new(store, keep_private);
        Self {
            memory: Memory::new(capacity, kept.is_shared().then_some(SHARED_GOOD)),
            kept,
            looks: SingleFlight::new(AT_ONCE, 1024),
            plenty: RateLimiter::new(A_SECOND),
            names: KeyedHasher::random(),
            keep_private,
        }
    }

    /// Something was told of users, and is to be in the store: to be called before it is, so that it
    /// counts at once, and after, for whom was read meanwhile.
    pub(crate) fn hear(&self, changes: &[Change]) {
        self.memory.hear(changes);
    }

    fn about(&self, sort: &str, id: &UserId) -> Digest {
        self.names.name(sort, &[id.as_str()])
    }
}
