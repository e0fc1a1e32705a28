//! Where cases come from: every bound, and one millisecond beside it; usually all but one condition
//! are as grace would have them.

use clerk_resilience::{GraceAccess, Verdict};
use proptest::prelude::*;
use proptest::sample::select;
use test_support::token::Kind;

use crate::case::{Bounds, Case, Demand, Feed, HOUR, MINUTE, Mode, SECOND, Taken};

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
                    Feed::Own,
                    prop_oneof![Just(Feed::Never), beside(MINUTE).prop_map(Feed::Ago)],
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
                    Taken::Member,
                    Taken::MemberBefore,
                    Taken::Outdated,
                    Taken::OutdatedBefore,
                    Taken::Role,
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
                any::<bool>(),
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
type Feeds = (Option<i64>, Feed, Option<i64>);
type Place = (GraceAccess, bool, bool, Demand);
type Asked = (bool, bool, bool, bool, bool);
type Told = (Feeds, Taken, Place, Asked);

fn build(
    ((who, scene, start, earlier), used, (feeds, taken, place, asking)): (
        (Who, Scene, i64, [i64; 2]),
        Use,
        Told,
    ),
) -> Case {
    let (user, kind) = who;
    let (now, lag, verdict, mode, bounds) = scene;
    let (sighted, seen, newer, passed, in_minute, drain) = used;
    let (keys_age, deny_list, webhook) = feeds;
    let (access, optional, accepts_pending, demand) = place;
    let (safe, same_origin, public, preflight, visit) = asking;
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
        visit,
    }
}
