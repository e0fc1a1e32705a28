//! The rows of the judgement that need no genuine token: none, a bad one, one with an unknown key.

use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::internals::decide::{
    ClientKind, Credential, CredentialDecision, Rejection, RequestFacts, Rules, Unavailable, decide,
};
use clerk_resilience::internals::health::Outcome;
use clerk_resilience::internals::snapshot::Snapshot;
use clerk_resilience::token::{Expectations, InvalidToken, Timing};
use clerk_resilience::verify::{UnknownKey, Unverified, verify};
use clerk_resilience::{RoutePolicy, Verdict};
use test_support::token::{Kind, Token, at};
use test_support::world::VERDICTS;

use crate::case::{failing, keys, report};

const BOOLS: [bool; 2] = [false, true];

fn now() -> Moment {
    Moment { wall: at(0), mono: Duration::from_secs(1_000) }
}

fn known(verdict: Verdict, minting: Outcome) -> Snapshot {
    let mut known = Snapshot::default();
    known.renewed = Some(now());
    known.health = report(minting);
    known.health.verdict = verdict;
    known.keys = keys(Some(at(0)));
    known
}

fn asking(reader: ClientKind, may_sign_in: bool) -> RequestFacts {
    RequestFacts {
        reader,
        safe: true,
        same_origin: false,
        preflight: false,
        public: false,
        may_sign_in,
        visit: false,
        settled: false,
    }
}

fn rejected(decision: &CredentialDecision) -> Rejection {
    match decision {
        CredentialDecision::Reject(rejection) => *rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_token_no_redirect_to_a_dead_surface() {
    for verdict in VERDICTS {
        for (reader, may_sign_in) in
            [(ClientKind::Api, true), (ClientKind::Document, false), (ClientKind::Document, true)]
        {
            for minting in [Outcome::Good, failing()] {
                let up = minting == Outcome::Good;
                let page = reader == ClientKind::Document && may_sign_in;
                let well = matches!(verdict, Verdict::Healthy | Verdict::Recovering) && up;
                let expected = match verdict {
                    Verdict::Outage => Rejection::Unavailable(Unavailable::Outage),
                    _ if !page => Rejection::Missing,
                    _ if well => Rejection::SignIn,
                    _ => Rejection::Unavailable(Unavailable::Uncertain),
                };
                let asking = asking(reader, may_sign_in);
                let (route, rules) = (RoutePolicy::required(), Rules::default());
                let known = known(verdict, minting);
                let got = decide(&Credential::Absent, asking, &route, &rules, &known, now());
                assert_eq!(rejected(&got), expected, "{verdict:?} {reader:?} {may_sign_in} {up}");
            }
        }
    }
}

#[test]
fn an_invalid_token_is_invalid_in_every_state_of_clerk() {
    for verdict in VERDICTS {
        let credential = Credential::Invalid(InvalidToken::Expired);
        let (route, rules) = (RoutePolicy::required(), Rules::default());
        let asking = asking(ClientKind::Document, true);
        let got = decide(&credential, asking, &route, &rules, &known(verdict, failing()), now());
        assert_eq!(rejected(&got), Rejection::Invalid(InvalidToken::Expired));
    }
}

fn unknown_key() -> UnknownKey {
    let token = Token { user: 0, session: 0, iat: -30, kind: Kind::UnknownKey };
    let expect = Expectations::session_tokens("https://clerk.sim.example");
    match verify(&token.text(), &keys(None).set, &expect) {
        Err(Unverified::UnknownKey(unknown)) => unknown,
        other => panic!("{other:?}"),
    }
}

/// What is known of keys, and what was tried.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Scene {
    verdict: Verdict,
    timing: Timing,
    /// When the keys were confirmed, in milliseconds against the `iat` of the token, or never.
    confirmed: Option<i64>,
    settled: bool,
    refreshing: bool,
    may_refresh: bool,
    dated: bool,
    open: bool,
}

/// Row 12, from its words.
fn expected(scene: Scene) -> Option<Rejection> {
    let invalid = Some(Rejection::Invalid(InvalidToken::UnknownKey));
    let age = scene.confirmed.map(|at| 30_000 - at);
    let usable = age.is_some_and(|age| age <= 7 * 24 * 3_600_000);
    let refreshed = scene.settled && age.is_some_and(|age| age <= 1_000);
    let newer = scene.confirmed.is_some_and(|at| {
        if scene.dated { at >= if refreshed { 0 } else { 10_000 } } else { refreshed }
    });
    if newer && usable {
        return invalid;
    }
    let unwell = !matches!(scene.verdict, Verdict::Healthy | Verdict::Recovering);
    let cannot_tell = Some(Rejection::Unavailable(if usable {
        Unavailable::UnknownKey
    } else {
        Unavailable::NoKeys
    }));
    match scene.timing {
        Timing::Current if scene.settled => cannot_tell,
        Timing::Current if scene.refreshing || scene.may_refresh => None,
        Timing::Current => cannot_tell,
        Timing::Expired { otherwise_good: true } if unwell => cannot_tell,
        _ => invalid,
    }
}

fn judged(scene: Scene) -> Option<Rejection> {
    let mut token = unknown_key();
    if !scene.dated {
        token.issued_at = None;
    }
    let mut known = known(scene.verdict, Outcome::Good);
    let issued = at(-30).as_millis();
    known.keys = keys(scene.confirmed.map(|at| Timestamp::from_millis(issued + at)));
    known.keys.refreshing = scene.refreshing;
    known.keys.refresh_after = (!scene.may_refresh).then(|| now().mono + Duration::from_millis(1));
    let credential = Credential::UnknownKey { token: &token, timing: scene.timing };
    let asking = RequestFacts { settled: scene.settled, ..asking(ClientKind::Api, false) };
    let route = if scene.open { RoutePolicy::optional() } else { RoutePolicy::required() };
    match decide(&credential, asking, &route, &Rules::default(), &known, now()) {
        CredentialDecision::AwaitKeys if !scene.open => None,
        CredentialDecision::Reject(rejection) if !scene.open => Some(rejection),
        // An open route does not wait.
        CredentialDecision::PassAnonymous(rejection) if scene.open => {
            expected(scene).is_some().then_some(rejection)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_key_is_invalid_waiting_or_undecided() {
    let expired = |otherwise_good| Timing::Expired { otherwise_good };
    let timings =
        [Timing::Current, expired(true), expired(false), Timing::NotYet, Timing::IssuedInFuture];
    let week = 7 * 24 * 3_600_000;
    let times = [None, Some(-1), Some(0), Some(9_999), Some(10_000), Some(28_999), Some(29_000)];
    let old = [Some(30_000 - week), Some(29_999 - week)];
    for confirmed in times.into_iter().chain(old) {
        for timing in timings {
            for verdict in VERDICTS {
                for flags in 0..32_u32 {
                    let flag = |bit: u32| BOOLS[(flags >> bit & 1) as usize];
                    let scene = Scene {
                        verdict,
                        timing,
                        confirmed,
                        settled: flag(0),
                        refreshing: flag(1),
                        may_refresh: flag(2),
                        dated: flag(3),
                        open: flag(4),
                    };
                    assert_eq!(judged(scene), expected(scene), "{scene:?}");
                }
            }
        }
    }
}
