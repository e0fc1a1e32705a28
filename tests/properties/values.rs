//! Properties of single values: the calendar of outages, the state machine, spans, tickets, codes.

use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::internals::health::{Outages, ProofOfLife, Signals, Verdict, VerdictState};
use clerk_resilience::internals::ticket::{Ticket, TicketBinding, TicketKeys};
use clerk_resilience::jwks::KeySet;
use clerk_resilience::policy::Span;
use clerk_resilience::token::{Expectations, Session};
use clerk_resilience::verify::verify;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use test_support::token::{Kind, Token, jwks, make_keys};

const GAP: i64 = 15 * 60;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Outages and the health between them, in seconds, within a day.
fn history() -> impl Strategy<Value = Vec<(i64, i64)>> {
    vec((1..1_800_i64, prop_oneof![1..1_800_i64, Just(GAP - 1), Just(GAP)]), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_episode_keeps_its_start_and_its_time_grows(history in history()) {
        let (mut outages, mut now, mut start, mut total) = (Outages::default(), 0, 0, 0);
        for (lasts, health) in history {
            let fresh = outages.are_over(at(now));
            let before = outages.spent_in_episode(at(now));
            outages.begin(at(now), at(now));
            if fresh {
                (start, total) = (now, 0);
            } else {
                prop_assert!(outages.spent_in_episode(at(now)) >= before);
            }
            prop_assert_eq!(outages.episode_start(), Some(at(start)));
            (now, total) = (now + lasts, total + lasts);
            prop_assert_eq!(outages.spent_in_episode(at(now)).as_secs(), total.unsigned_abs());
            outages.end(at(now));
            now += health;
            prop_assert_eq!(outages.spent_in_episode(at(now)).as_secs(), total.unsigned_abs());
        }
    }

    #[test]
    fn the_daily_time_is_between_the_last_and_the_total(history in history()) {
        let (mut outages, mut now, mut total, mut last) = (Outages::default(), 0, 0, 0);
        for (lasts, health) in history {
            outages.begin(at(now), at(now));
            outages.end(at(now + lasts));
            (now, total, last) = (now + lasts + health, total + lasts, lasts);
        }
        let spent = outages.spent_in_day(at(now)).as_secs();
        prop_assert!(spent <= u64::try_from(total).expect("positive"));
        prop_assert!(spent >= u64::try_from(last).expect("positive"));
    }

    #[test]
    fn restored_state_equals_stored_state(history in history(), cut in 0..1_000_i64) {
        let (mut outages, mut now) = (Outages::default(), 0);
        for (lasts, health) in history {
            outages.begin(at(now), at(now));
            outages.end(at(now + lasts));
            now += lasts + health;
        }
        let kept = Outages::restore(outages.intervals().to_vec(), outages.episode_start());
        prop_assert_eq!(kept.spent_in_episode(at(now + cut)), outages.spent_in_episode(at(now + cut)));
        prop_assert_eq!(kept, outages);
    }

    #[test]
    fn more_health_never_turns_suspicion_into_an_outage(
        signals in signals(), healthier in health(), verdict in verdicts(), secs in 0..200_u64,
    ) {
        let (now, since) = (moment(secs), moment(0));
        let standing = VerdictState { verdict, since };
        let next = standing.after(&signals, now).verdict;
        let well = standing.after(&healthier.over(signals), now).verdict;
        if verdict != Verdict::Recovering {
            prop_assert!(well != Verdict::Outage || next == Verdict::Outage, "{next:?} {well:?}");
        }
    }

    #[test]
    fn an_unchanged_standing_keeps_its_since(
        signals in signals(), verdict in verdicts(), secs in 0..200_u64,
    ) {
        let (now, before) = (moment(secs), VerdictState { verdict, since: moment(0) });
        let after = before.after(&signals, now);
        prop_assert_eq!(after.since, if after.verdict == verdict { before.since } else { now });
    }

    #[test]
    fn an_unsound_clock_or_silence_is_never_an_outage(
        signals in signals(), verdict in verdicts(), silent in any::<bool>(), secs in 0..200_u64,
    ) {
        let bad = Signals { silent, clock_sane: silent && signals.clock_sane, ..signals };
        let standing = VerdictState { verdict, since: moment(0) };
        prop_assert_eq!(standing.after(&bad, moment(secs)).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_span_needs_a_unit(number in 0..1_000_000_u64) {
        for (unit, secs) in [("s", 1), ("min", 60), ("h", 3_600)] {
            let span = Span::from(format!("{number}{unit}")).duration();
            prop_assert_eq!(span, Ok(Duration::from_secs(number * secs)));
        }
        prop_assert!(number == 0 || Span::from(number.to_string()).duration().is_err());
    }

    #[test]
    fn no_text_makes_the_span_parser_panic(text in ".{0,60}") {
        if let Err(error) = Span::from(text).duration() {
            prop_assert!(error.to_string().len() < 600);
        }
    }

    #[test]
    fn no_random_text_is_a_ticket(text in "[A-Za-z0-9_-]{0,90}") {
        let session = session(1);
        prop_assert_eq!(keys().open(&text, bound(&session)), None);
    }

    #[test]
    fn a_ticket_opens_for_its_own_session_alone(
        users in (0..4_u16, 0..4_u16), times in (any::<i64>(), any::<i64>()),
    ) {
        let (own, other) = (session(users.0), session(users.1));
        let [last_valid, claims_as_of] = [times.0, times.1].map(Timestamp::from_millis);
        let ticket = Ticket { last_valid, claims_as_of };
        let sealed = keys().seal(ticket, bound(&own));
        let opened = keys().open(&sealed, bound(&other));
        prop_assert_eq!(opened, (users.0 == users.1).then_some(ticket));
    }
}

fn keys() -> TicketKeys {
    TicketKeys::parse("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").expect("a key")
}

fn session(user: u16) -> Session {
    make_keys();
    let set = KeySet::parse(jwks(true, false).to_string().as_bytes()).expect("keys");
    let token = Token { user, session: 0, iat: 0, kind: Kind::Plain };
    let verified = verify(&token.text(), &set, &Expectations::any()).expect("genuine");
    verified.session().as_ref().clone()
}

fn bound(session: &Session) -> TicketBinding<'_> {
    TicketBinding { issuer: "https://clerk.sim.example", session, host: "app.example.com" }
}

fn moment(secs: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(1_000 + secs))
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    use Verdict::{Healthy, Isolated, Outage, Recovering, Suspect, Unknown};
    select(vec![Healthy, Isolated, Outage, Recovering, Suspect, Unknown])
}

/// Signals that can be seen together: a run of failures or a run of good answers; and a status page that
/// agrees is a second signal.
fn signals() -> impl Strategy<Value = Signals> {
    let life = select(vec![ProofOfLife::Neutral, ProofOfLife::Missing, ProofOfLife::Proven]);
    let failing = (1..6_u32, 0..60_u64).prop_map(|(n, secs)| (n, 0, secs));
    let good = (1..6_u32, 0..60_u64).prop_map(|(n, secs)| (0, n, secs));
    let run = prop_oneof![3 => failing, 1 => good];
    let flags = any::<[bool; 5]>();
    let seen = (option::of(any::<bool>()), option::of(0..200_u64));
    (run, life, flags, seen).prop_map(
        |(
            (failures, good, secs),
            life,
            [second, authentic, slow, page, fleet],
            (canaries, hostile),
        )| {
            Signals {
                failures,
                failing_since: (failures > 0).then(|| moment(secs)),
                good,
                good_since: (good > 0).then(|| moment(secs)),
                // A fleet that agrees replaces the second signal only for unproven failures, so that more
                // evidence class A may prove less. The property holds where both come together.
                second_failing: second || page || fleet,
                authentic,
                very_slow: slow,
                canaries,
                status_page_agrees: page,
                fleet_agrees: fleet,
                last_hostile: hostile.map(moment),
                clock_sane: true,
                life,
                drained: false,
                silent: false,
            }
        },
    )
}

/// Evidence that Clerk is better than it seemed.
#[derive(Clone, Copy, Debug)]
enum Health {
    FewerFailures,
    NoSecond,
    NothingAuthentic,
    PageIsGreen,
    PeersAreWell,
    Life,
}

impl Health {
    fn over(self, seen: Signals) -> Signals {
        match self {
            Self::FewerFailures => Signals { failures: seen.failures.min(1), ..seen },
            Self::NoSecond => Signals { second_failing: false, ..seen },
            Self::NothingAuthentic => Signals { authentic: false, very_slow: false, ..seen },
            Self::PageIsGreen => Signals { status_page_agrees: false, ..seen },
            Self::PeersAreWell => Signals { fleet_agrees: false, ..seen },
            Self::Life => Signals { life: ProofOfLife::Proven, ..seen },
        }
    }
}

fn health() -> impl Strategy<Value = Health> {
    use Health::{FewerFailures, Life, NoSecond, NothingAuthentic, PageIsGreen, PeersAreWell};
    select(vec![FewerFailures, NoSecond, NothingAuthentic, PageIsGreen, PeersAreWell, Life])
}
