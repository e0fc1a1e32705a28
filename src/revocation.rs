//! What this application itself has taken back: sessions that must not pass, whatever their tokens
//! say.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{KeyId, SessionId, TokenId, UserId};

/// What of a token can be revoked.
#[derive(Clone, Copy, Debug)]
pub struct Bearer<'a> {
    /// `sid`.
    pub session: Option<&'a SessionId>,
    /// `jti`.
    pub token: Option<&'a TokenId>,
    /// `sub`.
    pub user: &'a UserId,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

/// One denial. Of two about the same thing the later one counts, so that it does not matter in which
/// order they come, or how often.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Denial {
    /// A session, until then.
    Session(SessionId, Timestamp),
    /// A user's tokens that were issued up to then.
    User(UserId, Timestamp),
    /// A token, until then.
    Token(TokenId, Timestamp),
    /// What a key signed, until then; by its name or by its fingerprint.
    Key(KeyId, Timestamp),
}

/// An immutable set of denials. Adding to it makes a new one, which is published as a whole.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    sessions: Arc<HashMap<SessionId, Timestamp>>,
    tokens: Arc<HashMap<TokenId, Timestamp>>,
    users: Arc<HashMap<UserId, Timestamp>>,
    keys: Arc<HashMap<KeyId, Timestamp>>,
}

impl Revocations {
    /// The set of these denials. Of several of one thing the longest counts.
    pub(crate) fn of(
        sessions: impl Iterator<Item = (SessionId, Timestamp)>,
        tokens: impl Iterator<Item = (TokenId, Timestamp)>,
        users: impl Iterator<Item = (UserId, Timestamp)>,
        keys: impl Iterator<Item = (KeyId, Timestamp)>,
    ) -> Self {
        Self {
            sessions: extended(HashMap::new(), sessions),
            tokens: extended(HashMap::new(), tokens),
            users: extended(HashMap::new(), users),
            keys: extended(HashMap::new(), keys),
        }
    }

    /// True when the bearer is denied: by its session, by its token, or because the token was issued
    /// before its user's sessions were revoked. A token without `iat` of such a user is denied.
    #[must_use]
    pub fn deny(&self, bearer: &Bearer<'_>) -> bool {
        bearer.session.is_some_and(|id| self.sessions.contains_key(id))
            || bearer.token.is_some_and(|id| self.tokens.contains_key(id))
            || self.denies_user(bearer.user.as_str(), bearer.issued_at)
    }

    /// True when a machine's token is denied: by its id, or because it was made before its user's
    /// sessions were revoked. One that does not say when it was made is denied with them.
    #[must_use]
    pub fn deny_machine(&self, id: &str, subject: &str, made: Option<Timestamp>) -> bool {
        self.tokens.contains_key(id) || self.denies_user(subject, made)
    }

    fn denies_user(&self, id: &str, issued_at: Option<Timestamp>) -> bool {
        let mark = self.users.get(id);
        mark.is_some_and(|not_before| issued_at.is_none_or(|issued| issued <= *not_before))
    }

    /// True when what this key signed is not believed any more.
    #[must_use]
    pub fn distrust(&self, key: Option<&KeyId>) -> bool {
        !self.keys.is_empty() && key.is_some_and(|key| self.keys.contains_key(key))
    }

    pub(crate) fn distrusted_until(&self, key: &KeyId) -> Option<Timestamp> {
        self.keys.get(key).copied()
    }

    /// This set and a key, distrusted at least until `until`.
    #[must_use]
    pub fn with_key(&self, id: KeyId, until: Timestamp) -> Self {
        Self { keys: with(&self.keys, id, until), ..self.clone() }
    }

    /// This set and a session, denied at least until `until`. A denial never gets shorter.
    #[must_use]
    pub fn with_session(&self, id: SessionId, until: Timestamp) -> Self {
        Self { sessions: with(&self.sessions, id, until), ..self.clone() }
    }

    /// This set and a token, denied at least until `until`.
    #[must_use]
    pub fn with_token(&self, id: TokenId, until: Timestamp) -> Self {
        Self { tokens: with(&self.tokens, id, until), ..self.clone() }
    }

    /// This set and a user, whose tokens issued at or before `not_before` are denied.
    #[must_use]
    pub fn with_user(&self, id: UserId, not_before: Timestamp) -> Self {
        Self { users: with(&self.users, id, not_before), ..self.clone() }
    }

    /// All denials of both sets.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        Self {
            sessions: joined(&self.sessions, &other.sessions),
            tokens: joined(&self.tokens, &other.tokens),
            users: joined(&self.users, &other.users),
            keys: joined(&self.keys, &other.keys),
        }
    }

    /// True when no denial of the other set is missing here, or shorter.
    #[must_use]
    pub fn include(&self, other: &Self) -> bool {
        includes(&self.sessions, &other.sessions)
            && includes(&self.tokens, &other.tokens)
            && includes(&self.users, &other.users)
            && includes(&self.keys, &other.keys)
    }

    /// This set and several denials, in one step.
    #[must_use]
    pub fn with_all<'a>(mut self, denials: impl IntoIterator<Item = &'a Denial>) -> Self {
        for denial in denials {
            match denial {
                Denial::Session(id, until) => deny(&mut self.sessions, id.clone(), *until),
                Denial::User(id, up_to) => deny(&mut self.users, id.clone(), *up_to),
                Denial::Token(id, until) => deny(&mut self.tokens, id.clone(), *until),
                Denial::Key(id, until) => deny(&mut self.keys, id.clone(), *until),
            }
        }
        self
    }

    /// What of this the other set lacks, or has for a shorter time.
    pub(crate) fn beyond(&self, other: &Self) -> Vec<Denial> {
        let lacks = |denial: &Denial| match denial {
            Denial::Session(id, at) => other.sessions.get(id).is_none_or(|kept| kept < at),
            Denial::User(id, at) => other.users.get(id).is_none_or(|kept| kept < at),
            Denial::Token(id, at) => other.tokens.get(id).is_none_or(|kept| kept < at),
            Denial::Key(id, at) => other.keys.get(id).is_none_or(|kept| kept < at),
        };
        self.denials().filter(lacks).collect()
    }

    /// This set as [`Denial`]s.
    pub fn denials(&self) -> impl Iterator<Item = Denial> {
        let sessions = self.sessions().map(|(id, until)| Denial::Session(id.clone(), until));
        let users = self.users().map(|(id, up_to)| Denial::User(id.clone(), up_to));
        let tokens = self.tokens().map(|(id, until)| Denial::Token(id.clone(), until));
        let keys = self.keys().map(|(id, until)| Denial::Key(id.clone(), until));
        sessions.chain(users).chain(tokens).chain(keys)
    }

    /// This set without the denials of sessions, tokens and keys that ended before `now`. Marks on users stay.
    #[must_use]
    pub fn pruned(&self, now: Timestamp) -> Self {
        Self {
            sessions: pruned(&self.sessions, now),
            tokens: pruned(&self.tokens, now),
            users: Arc::clone(&self.users),
            keys: pruned(&self.keys, now),
        }
    }

    /// The distrusted keys, by their names and by their fingerprints (`sha256/…`), and until when.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, Timestamp)> {
        self.keys.iter().map(|(id, until)| (id, *until))
    }

    /// The denied sessions and until when.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, Timestamp)> {
        self.sessions.iter().map(|(id, until)| (id, *until))
    }

    /// The denied tokens and until when.
    pub fn tokens(&self) -> impl Iterator<Item = (&TokenId, Timestamp)> {
        self.tokens.iter().map(|(id, until)| (id, *until))
    }

    /// The users whose tokens are denied up to a time.
    pub fn users(&self) -> impl Iterator<Item = (&UserId, Timestamp)> {
        self.users.iter().map(|(id, not_before)| (id, *not_before))
    }
}

type Denials<K> = Arc<HashMap<K, Timestamp>>;

fn with<K: Clone + Eq + std::hash::Hash>(map: &Denials<K>, key: K, at: Timestamp) -> Denials<K> {
    let mut map = Arc::clone(map);
    deny(&mut map, key, at);
    map
}

/// Copies the map once, however many denials follow.
fn deny<K: Clone + Eq + std::hash::Hash>(map: &mut Denials<K>, key: K, at: Timestamp) {
    let kept = Arc::make_mut(map).entry(key).or_insert(at);
    *kept = at.max(*kept);
}

fn joined<K: Clone + Eq + std::hash::Hash>(ours: &Denials<K>, theirs: &Denials<K>) -> Denials<K> {
    extended(HashMap::clone(ours), theirs.iter().map(|(key, at)| (key.clone(), *at)))
}

fn extended<K: Eq + std::hash::Hash>(
    mut map: HashMap<K, Timestamp>,
    by: impl IntoIterator<Item = (K, Timestamp)>,
) -> Denials<K> {
    for (key, at) in by {
        let kept = map.entry(key).or_insert(at);
        *kept = at.max(*kept);
    }
    Arc::new(map)
}

fn includes<K: Eq + std::hash::Hash>(ours: &Denials<K>, theirs: &Denials<K>) -> bool {
    theirs.iter().all(|(key, at)| ours.get(key).is_some_and(|kept| kept >= at))
}

fn pruned<K: Clone + Eq + std::hash::Hash>(map: &Denials<K>, now: Timestamp) -> Denials<K> {
    if map.values().all(|until| *until >= now) {
        return Arc::clone(map);
    }
    let live = map.iter().filter(|(_, until)| **until >= now);
    Arc::new(live.map(|(key, until)| (key.clone(), *until)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_never_gets_shorter() {
        let id = SessionId::new("sess_1");
        let long = Revocations::default().with_session(id.clone(), Timestamp::from_secs(100));
        let again = long.with_session(id, Timestamp::from_secs(50));
        assert_eq!(again.sessions().next().expect("one").1, Timestamp::from_secs(100));
    }

    #[test]
    fn denials_may_come_together_in_any_order_and_twice() {
        let denials = [
            Denial::Session(SessionId::new("sess_1"), Timestamp::from_secs(5)),
            Denial::User(UserId::new("user_1"), Timestamp::from_secs(7)),
            Denial::Session(SessionId::new("sess_1"), Timestamp::from_secs(9)),
        ];
        let forth = Revocations::default().with_all(&denials);
        let back = Revocations::default().with_all(denials.iter().rev()).with_all(&denials);
        for set in [forth, back] {
            assert_eq!(set.sessions().next().expect("one").1, Timestamp::from_secs(9));
            assert_eq!(set.users().next().expect("one").1, Timestamp::from_secs(7));
        }
    }

    #[test]
    fn ended_denials_are_pruned_and_marks_on_users_stay() {
        let set = Revocations::default()
            .with_session(SessionId::new("old"), Timestamp::from_secs(1))
            .with_session(SessionId::new("new"), Timestamp::from_secs(9))
            .with_user(UserId::new("user"), Timestamp::from_secs(1))
            .pruned(Timestamp::from_secs(5));
        assert_eq!(set.sessions().count(), 1);
        assert_eq!(set.users().count(), 1);
    }
}
