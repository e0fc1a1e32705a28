//! One situation in which a request is judged, in plain numbers: milliseconds, relative to the
//! token's `exp` where nothing else is said. Its numbers lie on the bounds of the policy, or one
//! millisecond beside them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::internals::decide::{ClientKind, RequestFacts, Rules, Sighting, Usage};
use clerk_resilience::internals::health::{
    Drain, EvidenceClass, FailureKind, Health, Interval, Observation, Outages, Outcome, Report,
    Surface,
};
use clerk_resilience::internals::revocation::{Denial, Revocations};
use clerk_resilience::internals::snapshot::{DenyList, KeyState, Snapshot};
use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::{Verified, verify};
use clerk_resilience::{Access, GraceAccess, GracePolicy, Reverification, RoutePolicy, Verdict};
use test_support::token::{Kind, ORGANIZATION, Token, at, jwks, make_keys};

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
    /// The membership, up to the token's claims, or a millisecond before.
    Member,
    MemberBefore,
    /// What the token says of it.
    Outdated,
    OutdatedBefore,
    Role,
}

/// When the deny list was complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Feed {
    /// Always: it is this process's own.
    Own,
    Never,
    /// So long ago.
    Ago(i64),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
    pub(crate) deny_list: Feed,
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
    /// It could be sent to Clerk for a fresh session.
    pub(crate) visit: bool,
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
        let span = |millis: i64| Duration::from_millis(millis.unsigned_abs());
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

    pub(crate) fn asking(&self) -> RequestFacts {
        RequestFacts {
            reader: ClientKind::Api,
            safe: self.safe,
            same_origin: self.same_origin,
            preflight: self.preflight,
            public: self.public,
            may_sign_in: false,
            visit: self.visit,
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
        known.feeds.deny_list = match self.deny_list {
            Feed::Own => DenyList::Local,
            Feed::Never => DenyList::External { complete: None },
            Feed::Ago(ago) => {
                let span = Duration::from_millis(ago.unsigned_abs());
                DenyList::External { complete: Some(now.back(span)) }
            }
        };
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
        let claims = at(self.token().claims_as_of());
        let before = Timestamp::from_millis(claims.as_millis() - 1);
        match self.taken {
            Taken::Nothing => set,
            Taken::Session => set.with_session(session.session_id.as_ref().expect("one"), until),
            Taken::Token => set.with_token(session.token_id.as_ref().expect("one"), until),
            Taken::UserAtIssue => set.with_user(&user, issued),
            Taken::UserBeforeIssue => {
                set.with_user(&user, Timestamp::from_millis(issued.as_millis() - 1))
            }
            Taken::Member => set.with_member(&user, &ORGANIZATION.into(), claims),
            Taken::MemberBefore => set.with_member(&user, &ORGANIZATION.into(), before),
            Taken::Outdated => set.with_all(&[Denial::Outdated(user, ORGANIZATION.into(), claims)]),
            Taken::OutdatedBefore => {
                set.with_all(&[Denial::Outdated(user, ORGANIZATION.into(), before)])
            }
            Taken::Role => set.with_all(&[Denial::Role(Some("member".to_owned()), claims)]),
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

pub(crate) fn keys(confirmed: Option<Timestamp>) -> KeyState {
    let mut keys = KeyState::default();
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
    Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(503))
}
