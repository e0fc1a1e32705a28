//! Honest users: tabs that poll and renew their tokens.

use fastrand::Rng;
use test_support::token::{Kind, Token};

use super::{Ask, Event, From, Millis, Plan, Route, SECOND, Via};

impl Plan {
    /// Tabs that poll and renew their tokens every fifty seconds, as long as Clerk gives them any.
    pub(super) fn honest_users(&mut self, rng: &mut Rng, spells: &[(Millis, Millis)]) {
        let rotation = (rng.u32(..6) == 0).then(|| rng.i64(60..self.ends / SECOND) * SECOND);
        // The tokens of a crowd are all of the first key.
        let rotation = rotation.filter(|_| !self.crowd);
        if let Some(at) = rotation {
            self.add(at, Event::Publish(true, true));
            if rng.bool() {
                self.add(at + rng.i64(60..400) * SECOND, Event::Publish(false, true));
            }
        }
        for user in 0..rng.u16(2..5) {
            let (pace, idle) = (rng.i64(8..40) * SECOND, rng.u32(..4) == 0);
            let mut at = rng.i64(3..60) * SECOND;
            let mut token = None;
            while at < self.ends {
                let renewal =
                    (at / SECOND - i64::from(user) * 10).div_euclid(50) * 50 + i64::from(user) * 10;
                let minted = renewal * SECOND;
                let cut = spells.iter().any(|(from, until)| (*from..*until).contains(&minted));
                let old = |held: &Token| held.iat < renewal;
                if !cut && renewal >= 0 && token.as_ref().is_none_or(old) {
                    let rotated = rotation.is_some_and(|at| renewal * SECOND > at);
                    let kind = if rotated { Kind::Rotated } else { Kind::Plain };
                    token = Some(Token { user, session: 0, iat: renewal, kind });
                }
                if let Some(token) = token {
                    let ask = self.honest(rng, token);
                    self.add(at, Event::Ask(ask));
                }
                let pause = if idle && rng.u32(..10) == 0 { rng.i64(60..400) * SECOND } else { 0 };
                at += pace + rng.i64(0..3_000) + pause;
            }
        }
    }

    pub(super) fn honest(&self, rng: &mut Rng, token: Token) -> Ask {
        let via = match rng.u32(..10) {
            0..=6 => Via::Bearer,
            7 | 8 => Via::Cookie,
            _ => Via::Page,
        };
        let odd = rng.u32(..5) == 0;
        let route = if odd { Route::ALL[rng.usize(..6)] } else { Route::Read };
        let from = if odd { From::SameOrigin } else { From::Nowhere };
        Ask {
            instance: rng.usize(..self.instances),
            token: Some(token),
            route,
            post: odd && rng.bool(),
            from,
            upgrade: false,
            via,
            ticket: Some(token.owner()),
        }
    }

    /// Thirty users, of whom each comes with a fresh token every fifty seconds.
    pub(super) fn crowd(&mut self) {
        for user in 100..130_u16 {
            let phase = i64::from(user - 100) * 5 / 3;
            for iat in (phase..self.ends / SECOND).step_by(50) {
                let token = Token { user, session: 0, iat, kind: Kind::Plain };
                for instance in 0..self.instances {
                    let at = (iat + 1) * SECOND + i64::from(user);
                    self.add(at, Event::Ask(Ask { instance, ..Ask::get(token) }));
                }
            }
        }
    }
}
