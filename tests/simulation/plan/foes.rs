//! Those who try what they can, and those who run the application.

use clerk_resilience::Verdict;
use fastrand::Rng;
use test_support::token::{Kind, Token};

use super::{Ask, Ending, Event, Fate, From, Millis, Plan, Revoked, Route, SECOND, Via};
use crate::delivery::{About, Delivery};

impl Plan {
    pub(super) fn attackers(&mut self, rng: &mut Rng, spells: &[(Millis, Millis)]) {
        for _ in 0..rng.u32(10..50) {
            let at = rng.i64(10..self.ends / SECOND) * SECOND + rng.i64(0..1_000);
            let ask = self.attack(rng, at);
            self.add(at, Event::Ask(ask));
        }
        for _ in 0..rng.u32(..3) {
            let from = self.some_time(rng, spells);
            self.flood(rng, from);
        }
    }

    /// Any time, or one soon after trouble began.
    fn some_time(&self, rng: &mut Rng, spells: &[(Millis, Millis)]) -> Millis {
        match spells {
            [_, ..] if rng.bool() => spells[rng.usize(..spells.len())].0 + rng.i64(3..90) * SECOND,
            _ => rng.i64(10..self.ends / SECOND) * SECOND,
        }
    }

    /// A token of a victim, of any age and any kind, on any route.
    fn attack(&self, rng: &mut Rng, at: Millis) -> Ask {
        let (secs, user) = (at / SECOND, rng.u16(..6));
        let kind = match rng.u32(..5) {
            0..=2 => Kind::ODD[rng.usize(..Kind::ODD.len())],
            3 => Kind::Plain,
            _ => Kind::OldClaims,
        };
        let age = [rng.i64(0..60), rng.i64(60..200), rng.i64(60..2_000)][rng.usize(..3)];
        let iat = (secs - age - i64::from(user) * 10).div_euclid(50) * 50 + i64::from(user) * 10;
        let token = Token { user, session: u16::from(rng.u32(..4) == 0), iat, kind };
        Ask {
            instance: rng.usize(..self.instances),
            token: (rng.u32(..12) != 0).then_some(token),
            route: Route::ALL[rng.usize(..6)],
            post: rng.bool(),
            from: [From::Nowhere, From::SameOrigin, From::Elsewhere][rng.usize(..3)],
            upgrade: rng.u32(..6) == 0,
            via: [Via::Bearer, Via::Bearer, Via::Cookie][rng.usize(..3)],
            ticket: rng.bool().then(|| (rng.u16(..6), 0)),
        }
    }

    /// Many requests at once: with an expired token, with fresh ones of one's own, with unknown keys.
    fn flood(&mut self, rng: &mut Rng, from: Millis) {
        let (kind, secs) = (rng.u32(..3), from / SECOND);
        let instance = rng.usize(..self.instances);
        for n in 0..rng.i64(20..120) {
            let spread = if kind == 0 { 100 } else { 700 };
            let iat = (secs - 70).div_euclid(50) * 50;
            let token = match kind {
                0 => Token { user: 0, session: 0, iat: iat.max(0), kind: Kind::Plain },
                1 => Token {
                    user: 50,
                    session: u16::try_from(n).unwrap_or_default(),
                    iat: iat + 50 + n / 60 * 50,
                    kind: Kind::Plain,
                },
                _ => Token { user: 51, session: 0, iat: iat + 50, kind: Kind::UnknownKey },
            };
            self.add(from + n * spread, Event::Ask(Ask { instance, ..Ask::get(token) }));
        }
    }

    /// What Clerk tells of sessions and users: at once or late, to one instance or another, some of it
    /// twice, and some of it not by Clerk.
    pub(super) fn delivery(&mut self, rng: &mut Rng) {
        for id in 0..rng.u64(1..8) {
            let (user, session) = (rng.u16(..6), u16::from(rng.u32(..4) == 0));
            let about = match rng.u32(..8) {
                0..=2 => About::SessionOver(user, session),
                3 | 4 => About::Banned(user),
                5 => About::Deleted(user),
                _ => About::Locked(user),
            };
            let happened = rng.i64(30..self.ends / SECOND) * SECOND + rng.i64(0..1_000);
            let delivery = Delivery { id, about, happened, forged: rng.u32(..5) == 0 };
            for _ in 0..rng.u32(1..4) {
                let late = [0, rng.i64(0..30), rng.i64(0..600)][rng.usize(..3)] * SECOND;
                let instance = rng.usize(..self.instances);
                self.add(happened + late + 1, Event::Deliver(instance, delivery));
            }
        }
    }

    pub(super) fn operators(&mut self, rng: &mut Rng, spells: &[(Millis, Millis)]) {
        let last = self.ends / SECOND;
        let any = |rng: &mut Rng| rng.i64(30..last) * SECOND + rng.i64(0..1_000);
        for _ in 0..rng.u32(..3) {
            let (at, user) = (any(rng), rng.u16(..5));
            let revoked = if rng.bool() { Revoked::Session(user, 0) } else { Revoked::User(user) };
            self.add(at, Event::Revoke(revoked));
        }
        if rng.u32(..6) == 0 {
            let forced = [Some(Verdict::Outage), Some(Verdict::Healthy), None][rng.usize(..3)];
            let (at, instance) = (any(rng), rng.usize(..self.instances));
            self.add(at, Event::Force(instance, forced, rng.u64(20..600)));
        }
        let restarts = if rng.u32(..3) == 0 { rng.u32(1..4) } else { 0 };
        for _ in 0..restarts {
            let ending = if rng.bool() { Ending::Orderly } else { Ending::Crash };
            let fate =
                [Fate::Kept, Fate::Kept, Fate::Kept, Fate::Lost, Fate::Damaged][rng.usize(..5)];
            let (at, instance) = (self.some_time(rng, spells), rng.usize(..self.instances));
            self.add(at, Event::Restart(instance, ending, fate));
        }
        if self.jumps {
            for _ in 0..rng.u32(1..4) {
                let size =
                    [rng.i64(-4..5), rng.i64(-300..300), rng.i64(-3_600..3_600)][rng.usize(..3)];
                let (at, instance) = (any(rng), rng.usize(..self.instances));
                self.add(at, Event::Jump(instance, size * SECOND));
            }
        }
        let stalls = if rng.bool() { any(rng) } else { self.ends };
        for instance in 0..self.instances {
            for at in (5..stalls / SECOND).step_by(30) {
                if self.fed {
                    self.add(at * SECOND, Event::DenyListRead(instance));
                }
                if self.bounds.webhooks.is_some() {
                    self.add(at * SECOND + 1, Event::Webhook(instance));
                }
            }
        }
    }
}
