//! One situation in which a request is judged, in plain numbers: milliseconds, relative to the
//! token's `exp` where nothing else is said. Its numbers lie on the bounds of the policy, or one
//! millisecond beside them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::decide::{Asking, Reader, Rules, Sighting, Usage};
use clerk_resilience::health::{
    Drain, Evidence, Health, Interval, Observation, Outages, Outcome, Report, Surface, Trouble,
};
use clerk_resilience::jwks::KeySet;
use clerk_resilience::revocation::Revocations;
use clerk_resilience::snapshot::{DenyList, Keys, Snapshot};
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::{Verified, verify};
use clerk_resilience::{Access, GraceAccess, GracePolicy, Reverification, RoutePolicy, Verdict};
use proptest::prelude::*;
use proptest::sample::select;

use crate::token::{Kind, Token, at, jwks, make_keys};

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// The bounds under test, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_grace: i64,
    pub(crate) bridge: i64,
    pub(crate) episode: i64,
    pub(crate) day: i64,
    pub(crate) max_age: i64,
    pub(crate) max_idle: i64,
    pub(crate) per_minute: u32,
    pub(crate) deny_list: i64,
    pub(crate) webhooks: Option<i64>,
    pub(crate) trusting: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Disabled,
    ReportOnly,
    Enabled,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    Nothing,
    Role,
    /// The second factor within ten minutes.
    Recent,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    Nothing,
    Session,
    Token,
    UserAtIssue,
    UserBeforeIssue,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) user: u16,
    pub(crate) kind: Kind,
    pub(crate) now: i64,
    /// How much later it is by the time that the process has lived.
    pub(crate) lag: i64,
    pub(crate) verdict: Verdict,
    pub(crate) mode: Mode,
    pub(crate) bounds: Bounds,
    /// The start of the outage that lasts, or was the last.
    pub(crate) start: i64,
    /// How long an outage of the same episode, and one of another, was.
    pub(crate) earlier: [i64; 2],
    /// When the session was last seen valid, and how much newer the claims were then.
    pub(crate) sighting: Option<(i64, i64)>,
    pub(crate) passed: Option<i64>,
    pub(crate) in_minute: u32,
    /// How long ago the drain's time for all was over, and how long it is between that and its end.
    pub(crate) drain: Option<(i64, i64)>,
    pub(crate) keys_age: Option<i64>,
    /// How long ago the deny list was complete; `None` when it is this process's own.
    pub(crate) deny_list: Option<Option<i64>>,
    /// How long before the outage the last webhook came.
    pub(crate) webhook: Option<i64>,
    pub(crate) taken: Taken,
    pub(crate) access: GraceAccess,
    pub(crate) optional: bool,
    pub(crate) accepts_pending: bool,
    pub(crate) demand: Demand,
    pub(crate) safe: bool,
    pub(crate) same_origin: bool,
    pub(crate) public: bool,
    pub(crate) preflight: bool,
}

impl Case {
    pub(crate) fn token(&self) -> Token {
        Token { user: self.user, session: 0, iat: 0, kind: self.kind }
    }

    pub(crate) fn exp(&self) -> Timestamp {
        at(self.token().exp())
    }

    pub(crate) fn after_exp(&self, millis: i64) -> Timestamp {
        Timestamp::from_millis(self.exp().as_millis() + millis)
    }

    pub(crate) fn verified(&self) -> Verified {
        thread_local!(static VERIFIED: RefCell<HashMap<Token, Verified>> = RefCell::default());
        let token = self.token();
        VERIFIED
            .with_borrow_mut(|known| known.entry(token).or_insert_with(|| checked(token)).clone())
    }

    pub(crate) fn moment(&self) -> Moment {
        let mono = Duration::from_secs(100_000);
        Moment { wall: self.after_exp(self.now), mono }
    }

    pub(crate) fn rules(&self) -> Rules {
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).expect("positive"));
        let b = &self.bounds;
        let grace = match self.mode {
            Mode::Disabled => GracePolicy::disabled(),
            Mode::ReportOnly => GracePolicy::balanced().report_only(),
            Mode::Enabled => GracePolicy::balanced(),
        };
        let grace = grace
            .max_grace(span(b.max_grace))
            .bridge(span(b.bridge))
            .episode_budget(span(b.episode))
            .day_budget(span(b.day))
            .max_age(span(b.max_age))
            .max_idle(span(b.max_idle))
            .requests_per_minute(b.per_minute)
            .deny_list_within(span(b.deny_list));
        let grace = b.webhooks.map_or(grace.clone(), |within| grace.webhooks_within(span(within)));
        let trusting = b.trusting.then(|| grace.clone().dangerously_trust_the_token_alone());
        Rules { grace: trusting.unwrap_or(grace), ..Rules::default() }
    }

    pub(crate) fn route(&self) -> RoutePolicy {
        let route = if self.optional { RoutePolicy::optional() } else { RoutePolicy::required() };
        let route = route.grace(self.access);
        let route = if self.accepts_pending { route.accept_pending() } else { route };
        match self.demand {
            Demand::Nothing => route,
            Demand::Role => route.role("org:admin"),
            Demand::Recent => route.access(Access::reverification(Reverification::STRICT)),
        }
    }

    pub(crate) fn asking(&self) -> Asking {
        Asking {
            reader: Reader::Api,
            safe: self.safe,
            same_origin: self.same_origin,
            preflight: self.preflight,
            public: self.public,
            may_sign_in: false,
            settled: false,
        }
    }

    pub(crate) fn seen(&self) -> Option<Sighting> {
        self.sighting.map(|(last_valid, newer)| Sighting {
            last_valid: self.after_exp(last_valid),
            claims_as_of: Timestamp::from_millis(
                at(self.token().claims_as_of()).as_millis() + newer,
            ),
        })
    }

    pub(crate) fn usage(&self) -> Usage {
        let last_passed = self.passed.map(|at| self.after_exp(at));
        Usage { last_passed, in_minute: self.in_minute }
    }

    /// Until when grace drains for all, and after when for none.
    pub(crate) fn draining(&self) -> Option<Drain> {
        let back = |m: Moment, millis: i64| {
            let span = Duration::from_millis(millis.unsigned_abs());
            if millis >= 0 { m.back(span) } else { m.plus(span) }
        };
        self.drain.map(|(ago, length)| {
            let all_until = back(self.moment(), ago);
            let good = all_until.back(Duration::from_secs(60));
            let failed = back(all_until, -length).back(Duration::from_secs(90));
            Drain::between(failed, good)
        })
    }

    /// The last outage, open in an outage; one of the same episode; one of another.
    fn outages(&self) -> Outages {
        let [same, other] = self.earlier;
        let (at, minute) = (|millis| self.after_exp(millis), MINUTE);
        let lasting = self.verdict == Verdict::Outage;
        let end = (!lasting).then(|| at((self.now + self.lag).max(self.start)));
        let first = self.start - minute - same;
        let before = first - 20 * minute;
        let closed = |start, end| Interval { start: at(start), end: Some(at(end)) };
        let mut all = vec![Interval { start: at(self.start), end }];
        if same > 0 {
            all.insert(0, closed(first, self.start - minute));
        }
        if other > 0 {
            all.insert(0, closed(before - other, before));
        }
        Outages::restore(all, Some(at(self.episode_start())))
    }

    pub(crate) fn episode_start(&self) -> i64 {
        let same = self.earlier[0];
        if same > 0 { self.start - MINUTE - same } else { self.start }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.moment();
        let mut known = Snapshot::default();
        known.renewed = Some(now);
        known.started =
            Some(Moment { wall: Timestamp::from_millis(now.wall.as_millis() + self.lag), ..now });
        known.health = report(Outcome::Good);
        known.health.verdict = self.verdict;
        known.health.outages = self.outages();
        known.health.drain = self.draining();
        known.keys = keys(self.keys_age.map(|age| self.after_exp(self.now - age)));
        known.revocations = self.revocations();
        if let Some(ago) = self.deny_list {
            let complete = ago.map(|ago| {
                let span = Duration::from_millis(u64::try_from(ago).expect("positive"));
                now.back(span)
            });
            known.feeds.deny_list = DenyList::Fed { complete };
        }
        known.feeds.webhook = self.webhook.map(|before| self.after_exp(self.began() - before));
        known
    }

    /// The start of what grace is given for.
    pub(crate) fn began(&self) -> i64 {
        if self.verdict == Verdict::Suspect { 0 } else { self.start }
    }

    fn revocations(&self) -> Revocations {
        let (set, until) = (Revocations::default(), self.after_exp(HOUR));
        let verified = self.verified();
        let session = verified.session();
        let issued = session.issued_at.expect("it has one");
        let user = session.user_id.clone();
        match self.taken {
            Taken::Nothing => set,
            Taken::Session => set.with_session(session.session_id.clone().expect("one"), until),
            Taken::Token => set.with_token(session.token_id.clone().expect("one"), until),
            Taken::UserAtIssue => set.with_user(user, issued),
            Taken::UserBeforeIssue => {
                set.with_user(user, Timestamp::from_millis(issued.as_millis() - 1))
            }
        }
    }
}

fn checked(token: Token) -> Verified {
    let expect = Expectations::session_tokens("https://clerk.sim.example");
    verify(&token.text(), &KEYS, &expect).expect("a genuine token")
}

/// The keys of the instance; the same ones in every case, for a token belongs to its very key.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    make_keys();
    KeySet::parse(jwks(true, true).to_string().as_bytes()).expect("keys")
});

pub(crate) fn keys(confirmed: Option<Timestamp>) -> Keys {
    let mut keys = Keys::default();
    keys.set = KEYS.clone();
    keys.confirmed = confirmed;
    keys
}

/// Health in which minting was seen like this, twice.
pub(crate) fn report(minting: Outcome) -> Report {
    let mut health = Health::default();
    let seen = Observation {
        surface: Surface::SessionMint,
        at: Moment::default(),
        latency: Duration::ZERO,
        outcome: minting,
        clock_skew_millis: None,
    };
    health.observe(&seen);
    health.observe(&seen);
    health.report(Moment::default())
}

pub(crate) fn failing() -> Outcome {
    Outcome::Failed(Evidence::Authentic, Trouble::Status(503))
}

/// On the bound, one millisecond beside it, or far from it.
fn beside(bound: i64) -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(bound), 2 => Just(bound - 1), 2 => Just(bound + 1)]
}

pub(crate) fn verdicts() -> impl Strategy<Value = Verdict> {
    use Verdict::{Healthy, Isolated, Outage, Recovering, Suspect, Unknown};
    select(vec![
        Outage, Outage, Outage, Outage, Recovering, Recovering, Suspect, Suspect, Healthy,
        Isolated, Unknown,
    ])
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let zero = |span: i64| prop_oneof![20 => Just(span), 1 => Just(0)];
    let webhooks = prop_oneof![3 => Just(None), 1 => Just(Some(5 * MINUTE))];
    let spans = (
        prop_oneof![20 => Just(30 * MINUTE), 1 => Just(0), 2 => Just(20 * SECOND)],
        zero(30 * SECOND),
        zero(20 * MINUTE),
        zero(25 * MINUTE),
    );
    (spans, webhooks, prop::bool::weighted(0.1)).prop_map(
        |((max_grace, bridge, episode, day), webhooks, trusting)| Bounds {
            max_grace,
            bridge,
            episode,
            day,
            max_age: 40 * MINUTE,
            max_idle: 15 * MINUTE,
            per_minute: 5,
            deny_list: MINUTE,
            webhooks,
            trusting,
        },
    )
}

/// A value that is usually as grace would have it, so that one condition at a time decides.
fn usually<T: Clone + std::fmt::Debug + 'static>(
    good: T,
    other: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![7 => Just(good), 1 => other].boxed()
}

/// Cases around every bound.
pub(crate) fn cases() -> BoxedStrategy<Case> {
    let kinds = vec![
        Kind::Plain,
        Kind::OldClaims,
        Kind::LongLived,
        Kind::Impersonated,
        Kind::Pending,
        Kind::NotYet,
    ];
    let who = (0..40_u16, usually(Kind::Plain, select(kinds)));
    let now = prop_oneof![
        4 => beside(10 * MINUTE),
        2 => beside(20 * SECOND),
        2 => beside(30 * SECOND),
        2 => beside(30 * MINUTE),
        1 => beside(5 * SECOND),
        1 => beside(-30 * SECOND),
        1 => beside(-65 * SECOND),
    ];
    let modes = usually(Mode::Enabled, select(vec![Mode::ReportOnly, Mode::Disabled]));
    let scene = (now, usually(0, Just(5 * MINUTE)), verdicts(), modes, bounds());
    (who, scene)
        .prop_flat_map(|(who, scene)| {
            let (now, lag, ..) = scene;
            let latest = now + lag;
            let start = prop_oneof![
                6 => Just(-10 * SECOND),
                2 => beside(MINUTE),
                2 => beside(latest - 20 * MINUTE),
                1 => beside(latest - 10 * MINUTE),
            ];
            let earlier = usually(
                [0, 0],
                prop_oneof![
                    beside(10 * MINUTE).prop_map(|same| [same, 0]),
                    beside(15 * MINUTE).prop_map(|other| [0, other]),
                    Just([MINUTE, MINUTE]),
                ],
            );
            (Just((who, scene)), start, earlier)
        })
        .prop_flat_map(|((who, scene), start, earlier)| {
            let latest = scene.0 + scene.1;
            let began = if earlier[0] > 0 { start - MINUTE - earlier[0] } else { start };
            let seen = prop_oneof![
                6 => Just(-20 * SECOND),
                2 => beside(began - 10 * MINUTE),
                2 => beside(latest - 40 * MINUTE),
                2 => beside(latest - 15 * MINUTE),
            ];
            let newer = usually(0, select(vec![-1, 1]));
            let sighting = usually(true, Just(false));
            let passed = prop_oneof![
                4 => Just(None),
                2 => Just(Some(latest - SECOND)),
                2 => beside(latest - 15 * MINUTE).prop_map(Some),
            ];
            let drain = usually(
                Some((-10 * SECOND, 0)),
                prop_oneof![
                    Just(None),
                    beside(0).prop_map(|ago| Some((ago, 0))),
                    (0..30_000_i64).prop_map(|ago| Some((ago, 30 * SECOND))),
                ],
            );
            let feeds = (
                usually(
                    Some(MINUTE),
                    prop_oneof![
                        beside(24 * HOUR).prop_map(Some),
                        beside(7 * 24 * HOUR).prop_map(Some),
                        Just(None)
                    ],
                ),
                usually(
                    None,
                    prop_oneof![Just(Some(None)), beside(MINUTE).prop_map(|ago| Some(Some(ago)))],
                ),
                usually(Some(MINUTE), prop_oneof![beside(5 * MINUTE).prop_map(Some), Just(None)]),
            );
            let taken = usually(
                Taken::Nothing,
                select(vec![
                    Taken::Session,
                    Taken::Token,
                    Taken::UserAtIssue,
                    Taken::UserBeforeIssue,
                ]),
            );
            let route = (
                select(vec![
                    GraceAccess::Full,
                    GraceAccess::SafeMethods,
                    GraceAccess::SafeMethods,
                    GraceAccess::Never,
                ]),
                usually(false, Just(true)),
                any::<bool>(),
                usually(Demand::Nothing, select(vec![Demand::Role, Demand::Recent])),
            );
            let asking = (
                usually(true, Just(false)),
                any::<bool>(),
                prop::bool::weighted(0.03),
                prop::bool::weighted(0.03),
            );
            (
                (Just(who), Just(scene), Just(start), Just(earlier)),
                (sighting, seen, newer, passed, 4..7_u32, drain),
                (feeds, taken, route, asking),
            )
        })
        .prop_map(build)
        .boxed()
}

type Who = (u16, Kind);
type Scene = (i64, i64, Verdict, Mode, Bounds);
type Use = (bool, i64, i64, Option<i64>, u32, Option<(i64, i64)>);
type Feeds = (Option<i64>, Option<Option<i64>>, Option<i64>);
type Place = (GraceAccess, bool, bool, Demand);

fn build(
    ((who, scene, start, earlier), used, (feeds, taken, place, asking)): (
        (Who, Scene, i64, [i64; 2]),
        Use,
        (Feeds, Taken, Place, (bool, bool, bool, bool)),
    ),
) -> Case {
    let (user, kind) = who;
    let (now, lag, verdict, mode, bounds) = scene;
    let (sighted, seen, newer, passed, in_minute, drain) = used;
    let (keys_age, deny_list, webhook) = feeds;
    let (access, optional, accepts_pending, demand) = place;
    let (safe, same_origin, public, preflight) = asking;
    Case {
        user,
        kind,
        now,
        lag,
        verdict,
        mode,
        bounds,
        start,
        earlier,
        sighting: sighted.then_some((seen, newer)),
        passed,
        in_minute,
        drain,
        keys_age,
        deny_list,
        webhook,
        taken,
        access,
        optional,
        accepts_pending,
        demand,
        safe,
        same_origin,
        public,
        preflight,
    }
}
