//! What happens in a world, from its seed alone: a list of events, each at its time.

mod foes;
mod people;

use std::fmt;

use clerk_resilience::Verdict;
use fastrand::Rng;
use test_support::token::Token;

use crate::delivery::Delivery;
use crate::faults::Faults;

/// Milliseconds of true time since the start.
pub(crate) type Millis = i64;
const SECOND: Millis = 1_000;

/// A world.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) bounds: Bounds,
    pub(crate) instances: usize,
    pub(crate) keeps_state: bool,
    pub(crate) tickets: bool,
    pub(crate) canary: bool,
    pub(crate) fed: bool,
    /// Clerk sends webhooks here.
    pub(crate) hooked: bool,
    /// Clocks jump here, so that what the application calls now may not be now.
    pub(crate) jumps: bool,
    /// Thirty users renew their tokens all the time, whatever faults this application sees.
    pub(crate) crowd: bool,
    /// How far the clock of each instance is ahead of Clerk's.
    pub(crate) skew: [Millis; 2],
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
    Faults(Faults),
    /// The status page turns red, or green.
    Board(bool),
    /// Which of the two keys Clerk publishes.
    Publish(bool, bool),
    Ask(Ask),
    /// Taken back, and every instance told.
    Revoke(Revoked),
    Force(usize, Option<Verdict>, u64),
    DenyListRead(usize),
    /// The application itself heard of a webhook.
    Webhook(usize),
    Deliver(usize, Delivery),
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
    /// Demands that somebody was verified within ten minutes.
    Recent,
}

impl Route {
    pub(crate) const ALL: [Self; 6] =
        [Self::Read, Self::Full, Self::Never, Self::Pay, Self::Open, Self::Recent];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Read => "/read",
            Self::Full => "/full",
            Self::Never => "/never",
            Self::Pay => "/pay",
            Self::Open => "/open",
            Self::Recent => "/recent",
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
        let crowd = !jumps && rng.u32(..8) == 0;
        let keeps_state = rng.u32(..4) == 0;
        let mut plan = Self {
            seed,
            bounds: Bounds::of(&mut rng),
            instances: 1 + usize::from(rng.u32(..6) == 0),
            keeps_state,
            tickets: rng.u32(..4) == 0,
            canary: rng.bool(),
            fed: rng.u32(..6) == 0,
            hooked: rng.u32(..3) == 0,
            skew: skews(&mut rng, crowd),
            jumps,
            crowd,
            ends: rng.i64(400..1_500) * SECOND,
            events: Vec::new(),
        };
        let spells = plan.faults(&mut rng);
        plan.honest_users(&mut rng, &spells);
        if crowd {
            plan.crowd();
        }
        plan.attackers(&mut rng, &spells);
        plan.operators(&mut rng, &spells);
        if plan.hooked {
            plan.delivery(&mut rng);
        }
        plan.events.retain(|(_, event)| crowd || !is_impossible(event, &spells));
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    /// By how much the clocks of its instances differ: a ticket is made by one and read by the other.
    pub(crate) fn apart(&self) -> Millis {
        if self.instances > 1 { (self.skew[0] - self.skew[1]).abs() } else { 0 }
    }

    fn add(&mut self, at: Millis, event: Event) {
        if (2 * SECOND..self.ends).contains(&at) {
            self.events.push((at, event));
        }
    }

    /// Fair and foul by turns. Returns when tabs do not get tokens.
    fn faults(&mut self, rng: &mut Rng) -> Vec<(Millis, Millis)> {
        let (mut at, mut spells) = (rng.i64(70..200) * SECOND, Vec::new());
        while at < self.ends {
            let faults = match (self.crowd, rng.bool()) {
                (true, true) if rng.bool() => Faults::cut_off(rng),
                (true, _) => Faults::turned_away(rng),
                _ => Faults::any(rng),
            };
            let lasts =
                [rng.i64(5..60), rng.i64(60..400), rng.i64(200..900)][rng.usize(..3)] * SECOND;
            let lasts = if self.crowd { lasts.max(150 * SECOND) } else { lasts };
            let calm =
                [rng.i64(5..60), rng.i64(60..300), rng.i64(100..1_200)][rng.usize(..3)] * SECOND;
            // Beside a crowd that renews its tokens, the tabs that poll are asleep.
            if !faults.users_alive || self.crowd {
                spells.push((at, at + lasts));
            }
            if rng.bool() {
                let (late, after) = (rng.i64(0..300) * SECOND, rng.i64(0..300) * SECOND);
                self.add(at + late, Event::Board(true));
                self.add(at + lasts + after, Event::Board(false));
            }
            let flaps = if rng.u32(..8) == 0 { lasts / (40 * SECOND) } else { 0 };
            for flap in 0..flaps {
                self.add(at + (40 * flap + 20) * SECOND, Event::Faults(Faults::fair()));
                self.add(at + (40 * flap + 40) * SECOND, Event::Faults(faults.clone()));
            }
            self.add(at, Event::Faults(faults));
            self.add(at + lasts, Event::Faults(Faults::fair()));
            at += lasts + calm;
        }
        spells
    }
}

/// Clocks are right, or differ by what tokens forgive, or by more. Beside a crowd they never differ by
/// more: tokens that nobody takes prove no life.
fn skews(rng: &mut Rng, crowd: bool) -> [Millis; 2] {
    let mut one = || match rng.u32(..6) {
        0 | 1 => rng.i64(-4_000..4_001),
        2 if !crowd => rng.i64(-30_000..30_001),
        _ => 0,
    };
    [one(), one()]
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
