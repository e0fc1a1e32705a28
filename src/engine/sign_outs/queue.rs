//! The order in which pending sign-outs reach Clerk.
//!
//! Users take turns: the user with the fewest calls so far is next, and of those the one with the newest
//! sign-out. So a thousand sessions of one user delay another user's one by a single call. A full queue
//! drops the oldest session of the user who has the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use clerk_verify::id::SessionId;

use crate::store::{PendingSignOut, UserDigest};

/// The position of a sign-out: a smaller one is older.
type Age = i64;

#[derive(Debug)]
pub(super) struct SignOutQueue {
    capacity: usize,
    by_age: BTreeMap<Age, PendingSignOut>,
    sessions: HashSet<SessionId>,
    users: HashMap<UserDigest, User>,
    /// Users by calls so far, then by their newest sign-out: the first is next.
    turns: BTreeSet<(u32, Reverse<Age>, UserDigest)>,
    /// Users by sessions, then by their oldest sign-out: the last loses one.
    sizes: BTreeSet<(usize, Reverse<Age>, UserDigest)>,
    oldest: Age,
    newest: Age,
}

/// A user with at least one session in the queue.
#[derive(Debug, Default)]
struct User {
    ages: BTreeSet<Age>,
    /// Calls since the user's first session that still waits came.
    calls: u32,
}

impl SignOutQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            by_age: BTreeMap::new(),
            sessions: HashSet::new(),
            users: HashMap::new(),
            turns: BTreeSet::new(),
            sizes: BTreeSet::new(),
            oldest: 0,
            newest: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    pub(super) fn contains(&self, session: &SessionId) -> bool {
        self.sessions.contains(session)
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingSignOut> {
        self.by_age.values()
    }

    /// Adds a sign-out that is newer than all others. Returns the one that was dropped for it, if any.
    pub(super) fn push_newest(&mut self, sign_out: PendingSignOut) -> Option<PendingSignOut> {
        self.newest += 1;
        self.push(self.newest, sign_out)
    }

    /// Adds a sign-out that is older than all others. Returns the one that was dropped for it, if any.
    pub(super) fn push_oldest(&mut self, sign_out: PendingSignOut) -> Option<PendingSignOut> {
        self.oldest -= 1;
        self.push(self.oldest, sign_out)
    }

    fn push(&mut self, age: Age, sign_out: PendingSignOut) -> Option<PendingSignOut> {
        if !self.sessions.insert(sign_out.session.clone()) {
            return None;
        }
        self.change(sign_out.user, |user| {
            user.ages.insert(age);
        });
        self.by_age.insert(age, sign_out);
        if self.by_age.len() <= self.capacity {
            return None;
        }
        let (_, Reverse(oldest), _) = self.sizes.last().copied()?;
        self.remove(oldest, 0)
    }

    /// The newest session of the user whose turn it is.
    pub(super) fn pop_next(&mut self) -> Option<PendingSignOut> {
        let (_, Reverse(newest), _) = self.turns.first().copied()?;
        self.remove(newest, 1)
    }

    /// The session that waits longest.
    pub(super) fn pop_oldest(&mut self) -> Option<PendingSignOut> {
        let (oldest, _) = self.by_age.first_key_value()?;
        self.remove(*oldest, 1)
    }

    fn remove(&mut self, age: Age, calls: u32) -> Option<PendingSignOut> {
        let sign_out = self.by_age.remove(&age)?;
        self.sessions.remove(&sign_out.session);
        self.change(sign_out.user, |user| {
            user.ages.remove(&age);
            user.calls += calls;
        });
        Some(sign_out)
    }

    /// Changes a user, and the user's places in both orders with it.
    fn change(&mut self, name: UserDigest, change: impl FnOnce(&mut User)) {
        let mut user = self.users.remove(&name).unwrap_or_default();
        if let Some((first, last)) = user.ends() {
            self.turns.remove(&(user.calls, Reverse(last), name));
            self.sizes.remove(&(user.ages.len(), Reverse(first), name));
        }
        change(&mut user);
        if let Some((first, last)) = user.ends() {
            self.turns.insert((user.calls, Reverse(last), name));
            self.sizes.insert((user.ages.len(), Reverse(first), name));
            self.users.insert(name, user);
        }
    }
}

impl User {
    /// The oldest and the newest age.
    fn ends(&self) -> Option<(Age, Age)> {
        Some((*self.ages.first()?, *self.ages.last()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_out(user: u8, n: usize) -> PendingSignOut {
        PendingSignOut { session: SessionId::new(format!("sess_{user}_{n}")), user: [user; 16] }
    }

    fn drained(queue: &mut SignOutQueue) -> Vec<String> {
        let next = std::iter::from_fn(|| queue.pop_next());
        next.map(|next| next.session.as_str()["sess_".len()..].to_owned()).collect()
    }

    #[test]
    fn the_newest_sign_out_of_many_users_is_first() {
        let mut queue = SignOutQueue::new(100);
        (1..=3).for_each(|user| assert_eq!(queue.push_newest(sign_out(user, 0)), None));
        assert_eq!(drained(&mut queue), ["3_0", "2_0", "1_0"]);
    }

    #[test]
    fn one_users_sessions_delay_another_by_at_most_one_call() {
        let mut queue = SignOutQueue::new(2_000);
        queue.push_newest(sign_out(2, 0));
        (0..1_000).for_each(|n| assert_eq!(queue.push_newest(sign_out(1, n)), None));
        queue.push_newest(sign_out(3, 0));
        assert_eq!(drained(&mut queue)[..4], ["3_0", "1_999", "2_0", "1_998"]);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_of_the_user_with_the_most() {
        let mut queue = SignOutQueue::new(4);
        queue.push_newest(sign_out(2, 0));
        let dropped: Vec<_> = (0..4).map(|n| queue.push_newest(sign_out(1, n))).collect();
        assert_eq!(dropped, [None, None, None, Some(sign_out(1, 0))]);
        let left: Vec<_> = queue.iter().map(|left| left.session.as_str().to_owned()).collect();
        assert_eq!(left, ["sess_2_0", "sess_1_1", "sess_1_2", "sess_1_3"]);
        assert!(!queue.contains(&SessionId::new("sess_1_0")));
    }

    #[test]
    fn a_queued_session_waits_once_and_leaves_no_entry() {
        let mut queue = SignOutQueue::new(2);
        (0..5).for_each(|_| assert_eq!(queue.push_newest(sign_out(1, 0)), None));
        assert_eq!(queue.push_oldest(sign_out(2, 0)), None);
        assert_eq!(queue.pop_oldest(), Some(sign_out(2, 0)));
        assert_eq!(drained(&mut queue), ["1_0"]);
        assert!(queue.is_empty() && queue.users.is_empty() && queue.sessions.is_empty());
        assert!(queue.turns.is_empty() && queue.sizes.is_empty());
    }
}
