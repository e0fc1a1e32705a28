//! What the oracle remembers of one instance of the application: what it was shown, told and
//! answered. It errs on the side of the application.

use std::collections::{HashMap, HashSet, VecDeque};

use clerk_resilience::Verdict;
use clerk_resilience::sim::SimSurface;
use test_support::token::START;

use crate::delivery::{About, Delivery};
use crate::network::Asked;
use crate::plan::{Ending, Fate, Millis, Revoked};

/// What an orderly life writes down within this time, a crash may lose.
const UNWRITTEN: Millis = 20_000;
const REVOCATION_UNWRITTEN: Millis = 2_000;
/// Failures so far apart belong to different episodes, with two minutes to spare.
const EPISODE: Millis = 17 * 60_000;
/// Passes in grace so close together show that grace went on in between.
const TOGETHER: Millis = 30_000;

/// Whoever revokes a user allows for Clerk's clock, and one second for the grid of tokens.
const VOID_LEEWAY: Millis = 6_000;
const FOR_GOOD: Millis = Millis::MAX / 2;

pub(crate) type Owner = (u16, u16);

/// The minute of the clock in which this is, counted from the epoch.
pub(crate) fn minute(wall: Millis) -> i64 {
    (START.as_millis() + wall).div_euclid(60_000)
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) born: Millis,
    /// The wall clock minus true time.
    pub(crate) offset: Millis,
    /// The largest that this ever was.
    pub(crate) furthest: Millis,
    /// By how much the clock was behind when the process had reason to trust it, at the most.
    pub(crate) behind: Millis,
    pub(crate) verdict: Option<Verdict>,
    /// When a token of a session was last shown within its time.
    pub(crate) shown: HashMap<Owner, Millis>,
    pub(crate) passed: HashMap<Owner, Millis>,
    /// The newest claims that passed, and when they did.
    pub(crate) claims: HashMap<Owner, (i64, Millis)>,
    /// When an end was told.
    sessions: HashMap<Owner, Millis>,
    /// Up to when a user's tokens are void, and when that was told.
    users: HashMap<u16, (Millis, Millis)>,
    /// Told just before a crash, which may have lost it.
    doubtful: HashSet<u16>,
    /// Requests with an expired token, and passes in grace, by session and minute.
    pub(crate) expired: HashMap<(Owner, Millis), u32>,
    pub(crate) in_grace: HashMap<(Owner, Millis), u32>,
    /// The keys that were fetched last, and when.
    pub(crate) keys: Option<((bool, bool), Millis)>,
    pub(crate) last_good: Option<Millis>,
    pub(crate) failing_since: Option<Millis>,
    /// When minting last failed, or was last said to.
    pub(crate) last_failure: Option<Millis>,
    /// No episode of now began before this.
    pub(crate) episode: Millis,
    /// What an operator said last, and until when that counts.
    pub(crate) forced: Option<(Option<Verdict>, Millis)>,
    pub(crate) deny_list: Option<Millis>,
    pub(crate) webhook: Option<Millis>,
    last_grace: Option<Millis>,
    pub(crate) spent_in_episode: Millis,
    pub(crate) spent_in_day: Millis,
    pub(crate) restarts: Millis,
    /// Since when the verdict is healthy, and the longest that it was.
    healthy_since: Option<Millis>,
    pub(crate) healthy_for: Millis,
    calls: VecDeque<Millis>,
    pub(crate) busiest: usize,
}

impl Memory {
    /// Of an instance whose clock is so far ahead.
    pub(crate) fn with_clock(offset: Millis) -> Self {
        Self { offset, furthest: offset, behind: (-offset).max(0), ..Self::default() }
    }

    /// The clock jumps.
    pub(crate) fn jumps(&mut self, by: Millis) {
        self.offset += by;
        self.furthest = self.furthest.max(self.offset);
    }

    /// The verdict, as it shows; true when it is another.
    pub(crate) fn shows(&mut self, now: Millis, verdict: Verdict) -> bool {
        if verdict == Verdict::Healthy {
            self.behind = self.behind.max(-self.offset);
            let since = *self.healthy_since.get_or_insert(now);
            self.healthy_for = self.healthy_for.max(now - since);
        } else {
            self.healthy_since = None;
        }
        self.verdict.replace(verdict) != Some(verdict)
    }

    /// Records a call to Clerk.
    pub(crate) fn hears(&mut self, now: Millis, asked: &Asked) {
        if asked.surface.is_some() {
            self.calls.push_back(now);
            while self.calls.front().is_some_and(|at| now - at > 60_000) {
                self.calls.pop_front();
            }
            self.busiest = self.busiest.max(self.calls.len());
        }
        // Keys of the Backend API that have nothing in common with those known may be another instance's.
        let foreign = |keys: (bool, bool)| {
            let shares = |held: (bool, bool)| (held.0 && keys.0) || (held.1 && keys.1);
            asked.surface == Some(SimSurface::BackendJwks)
                && self.keys.is_some_and(|(held, _)| !shares(held))
        };
        if let Some(keys) = asked.keys.filter(|keys| !foreign(*keys)) {
            let same = self.keys.is_some_and(|(held, _)| held == keys);
            self.keys = if same { self.keys } else { Some((keys, now)) };
        }
        if asked.surface == Some(SimSurface::SessionMint) {
            if asked.good {
                (self.last_good, self.failing_since) = (Some(now), None);
            } else {
                self.fails(now);
            }
        }
    }

    /// Minting fails: an outage may have begun with the last good answer, or with this one.
    fn fails(&mut self, now: Millis) {
        let began = self.last_good.unwrap_or(now);
        if self.last_failure.is_none_or(|last| began - last > EPISODE) {
            self.episode = began;
        }
        self.last_failure = Some(now);
        self.failing_since.get_or_insert(now);
    }

    /// An operator speaks, until then.
    pub(crate) fn forces(&mut self, now: Millis, verdict: Option<Verdict>, until: Millis) {
        self.forced = Some((verdict, until));
        if verdict == Some(Verdict::Outage) {
            if self.last_failure.is_none_or(|last| now - last > EPISODE) {
                self.episode = now;
            }
            self.last_failure = Some(until);
        }
    }

    pub(crate) fn is_forced(&self, now: Millis) -> bool {
        self.forced.is_some_and(|(_, until)| now <= until + 1_000)
    }

    pub(crate) fn revokes(&mut self, now: Millis, revoked: Revoked) {
        match revoked {
            Revoked::Session(user, session) => {
                self.sessions.insert((user, session), now);
            }
            Revoked::User(user) => self.voids(user, now, now),
        }
    }

    /// Clerk told by webhook, and was believed.
    pub(crate) fn hears_of(&mut self, now: Millis, delivery: &Delivery) {
        self.webhook = Some(now);
        match delivery.about {
            About::SessionOver(user, session) => {
                self.sessions.insert((user, session), now);
            }
            About::Banned(user) => self.voids(user, delivery.happened, now),
            About::Deleted(user) => self.voids(user, FOR_GOOD, now),
            About::Locked(_) => {}
        }
    }

    fn voids(&mut self, user: u16, up_to: Millis, now: Millis) {
        let known = self.users.get(&user).filter(|(known, _)| *known >= up_to).copied();
        self.users.insert(user, known.unwrap_or((up_to, now)));
    }

    /// Told to refuse it, and not told in vain.
    pub(crate) fn is_revoked(&self, (user, session): Owner, iat: i64) -> bool {
        let wall = |at: Millis| at.saturating_add(self.offset.min(0));
        self.sessions.contains_key(&(user, session))
            || self.users.get(&user).is_some_and(|(at, _)| iat * 1_000 <= wall(*at))
    }

    /// Told to refuse it, perhaps: what is issued soon after an end by our clock may be void with it.
    pub(crate) fn may_be_revoked(&self, (user, session): Owner, iat: i64) -> bool {
        let wall = |at: Millis| at.saturating_add(self.furthest.max(0) + VOID_LEEWAY);
        self.sessions.contains_key(&(user, session))
            || self.doubtful.contains(&user)
            || self.users.get(&user).is_some_and(|(at, _)| iat * 1_000 <= wall(*at))
    }

    /// A pass in grace: how long grace went on by now, at the least.
    pub(crate) fn spends(&mut self, now: Millis) {
        let since = self.last_grace.map_or(Millis::MAX, |last| now - last);
        if since > 14 * 60_000 {
            self.spent_in_episode = 0;
        } else if since <= TOGETHER {
            self.spent_in_episode += since;
            self.spent_in_day += since;
        }
        self.last_grace = Some(now);
    }

    /// The process ends and another takes its place.
    pub(crate) fn restarts(&mut self, now: Millis, ending: Ending, fate: Fate, keeps: bool) {
        let kept = keeps && fate == Fate::Kept;
        let old = std::mem::take(self);
        if kept {
            let lost = if ending == Ending::Crash { UNWRITTEN } else { 0 };
            let written = |at: Millis| at <= now - lost;
            let revocation = if lost > 0 { REVOCATION_UNWRITTEN } else { 0 };
            let denied = |at: Millis| at <= now - revocation;
            let sessions = old.sessions.iter().filter(|(_, at)| !denied(**at));
            let users = old.users.iter().filter(|(_, (_, at))| !denied(*at));
            let lost = sessions.map(|(owner, _)| owner.0).chain(users.map(|(user, _)| *user));
            *self = Self {
                doubtful: old.doubtful.iter().copied().chain(lost).collect(),
                shown: old.shown,
                passed: old.passed.clone(),
                claims: old.claims.into_iter().filter(|(_, (_, at))| written(*at)).collect(),
                sessions: old.sessions.into_iter().filter(|(_, at)| denied(*at)).collect(),
                users: old.users.into_iter().filter(|(_, (_, at))| denied(*at)).collect(),
                last_failure: old.last_failure,
                episode: old.episode,
                last_good: old.last_good,
                spent_in_episode: old.spent_in_episode,
                spent_in_day: old.spent_in_day,
                last_grace: old.last_grace,
                ..Self::default()
            };
        }
        self.born = now;
        self.offset = old.offset;
        self.furthest = old.furthest;
        self.behind = (-old.offset).max(if kept { old.behind } else { 0 }).max(0);
        self.restarts = old.restarts + 1;
        self.busiest = old.busiest;
    }
}
