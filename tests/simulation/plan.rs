//! What happens in a world, from its seed alone: a list of events, each at its time.

use std::fmt;

use clerk_resilience::Verdict;
use fastrand::Rng;

use crate::token::{Kind, Token};
use crate::weather::Weather;

/// Milliseconds of true time since the start.
pub(crate) type Millis = i64;
const SECOND: Millis = 1_000;

/// A world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) bounds: Bounds,
    pub(crate) instances: usize,
    pub(crate) keeps_state: bool,
    pub(crate) tickets: bool,
    pub(crate) canary: bool,
    pub(crate) fed: bool,
    /// Clocks jump here, so that what the application calls now may not be now.
    pub(crate) jumps: bool,
    /// Thirty users renew their tokens all the time, whatever the weather at our place.
    pub(crate) crowd: bool,
    pub(crate) ends: Millis,
    pub(crate) events: Vec<(Millis, Event)>,
}

/// The policy, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_grace: i64,
    pub(crate) bridge: i64,
    pub(crate) episode: i64,
    pub(crate) day: i64,
    pub(crate) max_age: i64,
    pub(crate) max_idle: i64,
    pub(crate) per_minute: u32,
    pub(crate) webhooks: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Weather(Weather),
    /// The status page turns red, or green.
    Board(bool),
    /// Which of the two keys Clerk publishes.
    Publish(bool, bool),
    Ask(Ask),
    /// Taken back, and every instance told.
    Revoke(Revoked),
    Force(usize, Option<Verdict>, u64),
    DenyListRead(usize),
    Webhook(usize),
    Jump(usize, i64),
    Restart(usize, Ending, Fate),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Revoked {
    Session(u16, u16),
    User(u16),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Orderly,
    Crash,
}

/// What becomes of the state directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Kept,
    Lost,
    Damaged,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) instance: usize,
    pub(crate) token: Option<Token>,
    pub(crate) route: Route,
    pub(crate) post: bool,
    pub(crate) from: From,
    pub(crate) upgrade: bool,
    pub(crate) via: Via,
    /// Whose ticket comes along.
    pub(crate) ticket: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Route {
    Read,
    Full,
    Never,
    Pay,
    Open,
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [Self::Read, Self::Full, Self::Never, Self::Pay, Self::Open];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Read => "/read",
            Self::Full => "/full",
            Self::Never => "/never",
            Self::Pay => "/pay",
            Self::Open => "/open",
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum From {
    Nowhere,
    SameOrigin,
    Elsewhere,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Via {
    Bearer,
    Cookie,
    Page,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let jumps = rng.u32(..8) == 0;
        let crowd = !jumps && rng.u32(..12) == 0;
        let keeps_state = rng.u32(..4) == 0;
        let mut plan = Self {
            seed,
            bounds: Bounds::of(&mut rng),
            instances: 1 + usize::from(rng.u32(..6) == 0),
            keeps_state,
            tickets: rng.u32(..4) == 0,
            canary: rng.bool(),
            fed: rng.u32(..6) == 0,
            jumps,
            crowd,
            ends: rng.i64(400..1_500) * SECOND,
            events: Vec::new(),
        };
        let spells = plan.weather(&mut rng);
        plan.honest_users(&mut rng, &spells);
        if crowd {
            plan.crowd();
        }
        plan.attackers(&mut rng);
        plan.operators(&mut rng);
        plan.events.retain(|(_, event)| !is_impossible(event, &spells));
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add(&mut self, at: Millis, event: Event) {
        if (2 * SECOND..self.ends).contains(&at) {
            self.events.push((at, event));
        }
    }

    /// Fair and foul by turns. Returns when browsers cannot get tokens.
    fn weather(&mut self, rng: &mut Rng) -> Vec<(Millis, Millis)> {
        let (mut at, mut spells) = (rng.i64(70..200) * SECOND, Vec::new());
        while at < self.ends {
            let weather = match (self.crowd, rng.bool()) {
                (true, true) => Weather::cut_off(rng),
                (true, false) => Weather::turned_away(rng),
                _ => Weather::any(rng),
            };
            let lasts =
                [rng.i64(5..60), rng.i64(60..400), rng.i64(200..900)][rng.usize(..3)] * SECOND;
            let calm =
                [rng.i64(5..60), rng.i64(60..300), rng.i64(100..1_200)][rng.usize(..3)] * SECOND;
            if !weather.users_alive {
                spells.push((at, at + lasts));
            }
            if rng.bool() {
                let (late, after) = (rng.i64(0..300) * SECOND, rng.i64(0..300) * SECOND);
                self.add(at + late, Event::Board(true));
                self.add(at + lasts + after, Event::Board(false));
            }
            let flaps = if rng.u32(..8) == 0 { lasts / (40 * SECOND) } else { 0 };
            for flap in 0..flaps {
                self.add(at + (40 * flap + 20) * SECOND, Event::Weather(Weather::fair()));
                self.add(at + (40 * flap + 40) * SECOND, Event::Weather(weather.clone()));
            }
            self.add(at, Event::Weather(weather));
            self.add(at + lasts, Event::Weather(Weather::fair()));
            at += lasts + calm;
        }
        spells
    }

    /// Tabs that poll and renew their tokens every fifty seconds, as long as Clerk gives them any.
    fn honest_users(&mut self, rng: &mut Rng, spells: &[(Millis, Millis)]) {
        let rotation = (rng.u32(..6) == 0).then(|| rng.i64(60..self.ends / SECOND) * SECOND);
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

    fn honest(&self, rng: &mut Rng, token: Token) -> Ask {
        let via = match rng.u32(..10) {
            0..=6 => Via::Bearer,
            7 | 8 => Via::Cookie,
            _ => Via::Page,
        };
        let odd = rng.u32(..5) == 0;
        let route = if odd { Route::ALL[rng.usize(..5)] } else { Route::Read };
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
    fn crowd(&mut self) {
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

    fn attackers(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u32(10..50) {
            let at = rng.i64(10..self.ends / SECOND) * SECOND + rng.i64(0..1_000);
            let ask = self.attack(rng, at);
            self.add(at, Event::Ask(ask));
        }
        for _ in 0..rng.u32(..3) {
            let from = rng.i64(10..self.ends / SECOND) * SECOND;
            self.flood(rng, from);
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
            route: Route::ALL[rng.usize(..5)],
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

    fn operators(&mut self, rng: &mut Rng) {
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
            let (at, instance) = (any(rng), rng.usize(..self.instances));
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

/// Nobody has a token that was minted while nothing was minted.
fn is_impossible(event: &Event, spells: &[(Millis, Millis)]) -> bool {
    let Event::Ask(Ask { token: Some(token), .. }) = event else { return false };
    let minted = token.iat * SECOND;
    token.kind.is_genuine() && spells.iter().any(|(from, until)| (*from..*until).contains(&minted))
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, post, from, upgrade, via, ticket, .. } = self;
        let method = if *post { "POST" } else { "GET" };
        match self.token {
            Some(Token { user, session, iat, kind }) => {
                write!(f, "{kind:?} of {user}/{session} from {iat} s, ")?;
            }
            None => f.write_str("nobody, ")?,
        }
        write!(f, "{via:?} {method} {route:?} from {from:?}")?;
        if let Some((user, session)) = ticket {
            write!(f, ", ticket of {user}/{session}")?;
        }
        f.write_str(if *upgrade { ", upgrade" } else { "" })
    }
}

impl Ask {
    fn get(token: Token) -> Self {
        Self {
            instance: 0,
            token: Some(token),
            route: Route::Read,
            post: false,
            from: From::Nowhere,
            upgrade: false,
            via: Via::Bearer,
            ticket: None,
        }
    }
}

impl Bounds {
    fn of(rng: &mut Rng) -> Self {
        let mut one = |spans: &[i64]| spans[rng.usize(..spans.len())];
        let max_grace = one(&[60, 120, 300, 600, 3_600]);
        let episode = one(&[120, 300, 600, 7_200]);
        Self {
            max_grace,
            bridge: one(&[0, 30, 30, 60]).min(max_grace),
            episode,
            day: episode.max(one(&[120, 300, 600, 14_400])),
            max_age: one(&[180, 600, 43_200, 43_200]),
            max_idle: one(&[90, 300, 3_600, 3_600]),
            per_minute: u32::try_from(one(&[6, 120, 120])).expect("positive"),
            webhooks: Some(one(&[0, 0, 0, 120, 300])).filter(|within| *within > 0),
        }
    }
}
