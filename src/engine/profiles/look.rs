//! One look-up of a user: in the store, then at Clerk.

use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use super::memory::Turn;
use super::{KnownUser, ProfileError, ProfileResult, Source};
use crate::engine::backend::Described;
use crate::engine::instance::Owner;
use crate::engine::shared::Shared;
use crate::state::health::{Status, Surface, Verdict};
use crate::state::profile::{Change, Membership, Person};
use crate::state::webhook_event::{EventRules, WebhookEvent};

impl Shared {
    pub(super) async fn look(self: Arc<Self>, id: &UserId) -> ProfileResult {
        let people = &self.people;
        let turn = people.memory.turn(id);
        let kept = people.kept.read(id, &self.core).await;
        if let Ok(Some(person)) = &kept
            && (person.profile().is_some() || person.deleted().is_some())
        {
            people.memory.remember(id, person, turn);
            return Ok(KnownUser::of(person, Source::Store));
        }
        let held = people.memory.find(id).filter(|_| kept.is_err());
        if let Some(known) = held.and_then(|entry| KnownUser::of(&entry.person, Source::Memory)) {
            return Ok(Some(known));
        }
        match (self.ask_clerk(id).await, kept) {
            (Ok(Some(told)), Ok(person)) => {
                Ok(self.found(id, person.unwrap_or_default(), &told, turn))
            }
            // The store may hold more data of the user, so this partial result is not cached.
            (Ok(Some(told)), Err(())) => {
                let changes = told.changes();
                Ok(KnownUser::of(&taken(Person::default(), &changes), Source::Clerk))
            }
            (Ok(None), Ok(person)) => {
                people.memory.remember(id, &person.unwrap_or_default(), turn);
                Ok(None)
            }
            (Ok(None), Err(())) => Ok(None),
            (Err(_), Err(())) => Err(ProfileError::Store),
            (Err(reason), Ok(_)) => Err(reason),
        }
    }

    fn found(
        self: &Arc<Self>,
        id: &UserId,
        person: Person,
        told: &Described,
        turn: Turn,
    ) -> Option<KnownUser> {
        let changes = told.changes();
        let person = taken(person, &changes);
        self.people.memory.remember(id, &person, turn);
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.people.kept.write(changes, &shared.core).await });
        KnownUser::of(&person, Source::Clerk)
    }

    /// Looks up a known user again. A deletion of the user or of a membership acts as its webhook
    /// would.
    pub(super) async fn look_again(&self, id: &UserId) -> ProfileResult {
        let asked = self.now().wall;
        let known = self.people.memory.find(id).map(|entry| entry.person.clone());
        let known = known.unwrap_or_default();
        let new = known.is_new(asked);
        let (mut changes, ends) = match self.ask_clerk(id).await? {
            Some(told) if new => (told.changes(), Vec::new()),
            Some(told) => (told.changes(), told.ends(&known, asked)),
            // Not all of Clerk's servers may know a new user yet.
            None if new => return Ok(None),
            None => (Vec::new(), vec![WebhookEvent::end_of_user(id, asked)]),
        };
        let mut denials = Vec::new();
        for event in ends {
            changes.extend(event.changes(asked, false).unwrap_or_default());
            denials.extend(event.denials(asked, EventRules::default()).unwrap_or_default());
        }
        if !denials.is_empty() {
            self.revoke(|set| set.clone().with_all(&denials));
        }
        self.people.hear(&changes);
        self.people.kept.write(changes.clone(), &self.core).await;
        self.people.hear(&changes);
        Ok(None)
    }

    /// Requests a user from Clerk. "No such user" counts only if the secret key belongs to this
    /// instance.
    async fn ask_clerk(&self, id: &UserId) -> Result<Option<Described>, ProfileError> {
        let backend = self.backend.as_ref().ok_or(ProfileError::NoSecretKey)?;
        if !self.clerk_is_well() {
            return Err(ProfileError::ClerkUnwell);
        }
        let asked = self.now().wall;
        if let Some(told) = backend.user(id, self.people.keep_private).await? {
            return Ok(Some(told.heard(asked)));
        }
        match self.instance.owner().await {
            Owner::Ours => Ok(None),
            Owner::Another => Err(ProfileError::SecretKeyForeign),
            Owner::Untold => Err(ProfileError::Unanswered),
        }
    }

    fn clerk_is_well(&self) -> bool {
        let known = self.core.load();
        let status = known.health.surface(Surface::BackendApi).status();
        let verdict = known.verdict(self.now());
        matches!(verdict, Verdict::Healthy | Verdict::Recovering) && status != Status::Down
    }
}

impl Described {
    fn heard(self, at: Timestamp) -> Self {
        let memberships = self.memberships.into_iter().map(|place| place.heard(at)).collect();
        Self { profile: self.profile.heard(at), memberships, ..self }
    }

    fn changes(&self) -> Vec<Change> {
        let id = &self.profile.id;
        let joined = self.memberships.iter();
        let joined = joined.map(|place| Change::Joined(id.clone(), Box::new(place.clone())));
        [Change::User(Box::new(self.profile.clone()))].into_iter().chain(joined).collect()
    }

    /// Returns events for memberships that Clerk no longer lists.
    fn ends(&self, known: &Person, at: Timestamp) -> Vec<WebhookEvent> {
        let still = |place: &&Membership| {
            self.memberships.iter().any(|told| told.organization == place.organization)
        };
        let left = known.memberships().filter(|place| self.whole && !still(place));
        left.map(|place| WebhookEvent::end_of_place(&self.profile.id, place, at)).collect()
    }
}

fn taken(mut person: Person, changes: &[Change]) -> Person {
    for change in changes {
        person.take(change);
    }
    person
}
