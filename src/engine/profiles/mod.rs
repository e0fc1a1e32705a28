//! User profiles, answered from memory or the store where possible.
//!
//! A look-up reads memory first, then the store, then Clerk, and Clerk only while it is healthy.
//! Webhooks update memory and store; a response of Clerk is stored, too. Concurrent look-ups of one
//! user share one result.

mod kept;
mod look;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::ClaimsTime;
use clerk_verify::id::UserId;
use serde::Serialize;

use self::kept::StoredProfiles;
use self::memory::Memory;
use super::keyed_hasher::{Digest, KeyedHasher};
use super::rate_limiter::RateLimiter;
use super::shared::Shared;
use super::single_flight::{Keep, SingleFlight};
use crate::state::profile::{Change, Membership, Person, Profile};
use crate::state::revocation::TokenIdentity;
use crate::store::Store;

/// Maximum number of concurrent look-ups, and of look-ups that start per second.
const AT_ONCE: usize = 4096;
const A_SECOND: f64 = 20_000.0;
/// In a shared store, another instance may change a user. A cached user is read again after this
/// time.
const SHARED_GOOD: Duration = Duration::from_secs(60);
/// Without webhooks, Clerk is asked again about a profile of this age.
const OLD: Duration = Duration::from_secs(5 * 60);

/// Access to user profiles, which also works while Clerk is down. Obtained from
/// [`ClerkResilience::profiles`](crate::ClerkResilience::profiles). Cloning is cheap. In a handler,
/// the extractor [`UserProfile`](crate::UserProfile) does the same for the signed-in user.
///
/// # Examples
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

/// A user's profile and memberships, as JSON with `serde` too. Treat it as personal data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KnownUser {
    /// The profile. `updated_at` is the time of its last change at Clerk; `heard_at` is when this
    /// application last received it.
    pub profile: Profile,
    /// The organization memberships received so far. A look-up at Clerk returns all of them, up to
    /// 500.
    pub memberships: Vec<Membership>,
    /// Where the profile was found.
    pub source: Source,
}

/// Where a profile was found. It shows whether a look-up was fast, not how old the data is: for
/// that, compare [`Profile::heard_at`] with the present.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Source {
    /// In the memory of this process.
    Memory,
    /// In the application's store.
    Store,
    /// At Clerk, during this look-up.
    Clerk,
}

/// Why a user's profile, or the user's existence, could not be determined.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The user is unknown here, and Clerk is not healthy enough to be asked.
    #[error("this user is not stored here, and Clerk is not healthy enough to be asked")]
    ClerkUnwell,
    /// Clerk was asked, and did not answer in time or not with a usable response.
    #[error("this user is not stored here, and Clerk did not answer")]
    Unanswered,
    /// The rate limit for requests to Clerk is reached.
    #[error("this user is not stored here, and the limit of requests to Clerk is reached")]
    Limited,
    /// The store did not answer, and Clerk could not be asked instead.
    #[error("the store could not be read, and Clerk could not be asked")]
    Store,
    /// Clerk knows no such user, but the secret key belongs to another instance, as far as Clerk's
    /// keys show.
    #[error(
        "this user is not stored here, and CLERK_SECRET_KEY belongs to another instance than CLERK_PUBLISHABLE_KEY"
    )]
    SecretKeyForeign,
    /// Clerk rejects the secret key.
    #[error("this user is not stored here, and Clerk refuses CLERK_SECRET_KEY")]
    SecretKeyRefused,
    /// There is no secret key for requests to Clerk.
    #[error("this user is not stored here, and there is no CLERK_SECRET_KEY for requests to Clerk")]
    NoSecretKey,
}

type ProfileResult = Result<Option<KnownUser>, ProfileError>;

impl Profiles {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Returns a user's profile and memberships; `None` if the user does not exist or was deleted.
    ///
    /// A user in memory is returned at once. Otherwise the [store](crate::Builder::store) is asked,
    /// for at most 2 s. If the store does not know the user and Clerk is healthy, Clerk's Backend
    /// API is asked, once for all concurrent callers. At most 20 users a second are requested, the
    /// profile and the memberships each within [`probe_deadline`](crate::Builder::probe_deadline).
    /// During an outage the call never waits for Clerk.
    ///
    /// With webhooks, the data follows Clerk within seconds. Without them, a profile older than 5
    /// minutes is returned at once and refreshed from Clerk in the background. That Clerk knows no
    /// such user is cached for 10 s. It is returned only if the secret key is proven to belong to
    /// this instance; the first proof takes as long again.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] when the user is unknown here and it cannot be determined whether the user
    /// exists.
    pub async fn get(&self, id: &UserId) -> Result<Option<KnownUser>, ProfileError> {
        let mut told = self.tell(id).await;
        if let Ok(Some(known)) = &mut told {
            self.drop_ended(known);
            self.freshen(known);
        }
        told
    }

    /// Removes memberships that a denial ended. A deleted organization is one event, not one per
    /// member.
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

    async fn tell(&self, id: &UserId) -> ProfileResult {
        let people = &self.0.people;
        if let Some(entry) = people.memory.find(id).filter(|entry| people.memory.answers(entry)) {
            return Ok(KnownUser::of(&entry.person, Source::Memory));
        }
        let (shared, whom) = (Arc::clone(&self.0), id.clone());
        let look = || async move { shared.look(&whom).await };
        let told = people.looks.ask(people.about("look", id), &people.plenty, keep, look).await;
        told.unwrap_or(Err(ProfileError::Limited))
    }

    /// Refreshes an old profile from Clerk in the background if the application receives no
    /// webhooks.
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
            let once_a_minute = |_: &ProfileResult| Keep::for_secs(60);
            shared.people.looks.ask(about, &shared.people.plenty, once_a_minute, again).await;
        });
    }
}

/// Memory caches successful look-ups. A failure is cached for a second, so that not every caller
/// repeats the look-up.
fn keep(told: &ProfileResult) -> Keep {
    if told.is_err() { Keep::for_secs(1) } else { Keep::default() }
}

impl KnownUser {
    fn of(person: &Person, source: Source) -> Option<Self> {
        let profile = person.profile()?.clone();
        Some(Self { profile, memberships: person.memberships().cloned().collect(), source })
    }
}

/// Caches and limits behind [`Profiles`].
#[derive(Debug)]
pub(crate) struct People {
    memory: Memory,
    kept: StoredProfiles,
    looks: SingleFlight<ProfileResult>,
    plenty: RateLimiter,
    names: KeyedHasher,
    keep_private: bool,
}

impl People {
    pub(crate) fn new(store: Option<Arc<dyn Store>>, capacity: usize, keep_private: bool) -> Self {
        let kept = StoredProfiles::new(store, keep_private);
        Self {
            memory: Memory::new(capacity, kept.is_shared().then_some(SHARED_GOOD)),
            kept,
            looks: SingleFlight::new(AT_ONCE, 1024),
            plenty: RateLimiter::new(A_SECOND),
            names: KeyedHasher::random(),
            keep_private,
        }
    }

    /// Applies changes to memory. Call this before the store is written, so that the changes count
    /// at once, and again afterwards, for users who were read in between.
    pub(crate) fn hear(&self, changes: &[Change]) {
        self.memory.hear(changes);
    }

    fn about(&self, sort: &str, id: &UserId) -> Digest {
        self.names.name(sort, &[id.as_str()])
    }
}
