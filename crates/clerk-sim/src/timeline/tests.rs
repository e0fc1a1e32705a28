use std::time::Duration;

use super::*;
use crate::{SimBoard, SimBody, SimClerk, SimComponentState, SimFault, SimSurface};

type Shares = Vec<(f64, SimFault)>;

fn recorded() -> Vec<Scenario> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/outage-timelines.json");
    parse(&std::fs::read_to_string(file).expect("the file is there")).expect("it parses")
}

fn scenario(name: &str) -> Scenario {
    let found = recorded().into_iter().find(|scenario| scenario.name().contains(name));
    found.expect("a scenario of that name")
}

fn at(scenario: &Scenario, offset_s: i64, labels: &[&str], surface: SimSurface) -> Shares {
    let mut broken = scenario.faults_at(offset_s, labels).into_iter();
    broken.find(|(found, _)| *found == surface).map(|(_, shares)| shares).unwrap_or_default()
}

fn one(rate: f64, fault: SimFault) -> Shares {
    vec![(rate, fault)]
}

fn unhandled() -> SimFault {
    SimFault::status(429).body(SimBody::Empty)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn every_recorded_scenario_is_there_and_ends() {
    let scenarios = recorded();
    assert_eq!(scenarios.len(), 10);
    for scenario in &scenarios {
        let mut offset = scenario.start(&[]);
        while let Some(next) = scenario.next_change(offset, &[]) {
            assert!(next > offset, "{}", scenario.name());
            offset = next;
        }
        assert_eq!(scenario.faults_at(offset, &[]), [], "{} ends well", scenario.name());
        assert_eq!(scenario.faults_at(i64::MIN, &[]), [], "{}", scenario.name());
        assert_eq!(scenario.faults_at(i64::MAX, &[]), [], "{}", scenario.name());
        assert_eq!(scenario.board_at(offset, &[]), SimBoard::default());
    }
}

#[test]
fn one_instance_is_down_while_another_is_slow() {
    let retry_storm = scenario("retry-storm");
    let views: Vec<&[String]> = retry_storm.views().collect();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].len(), 3);
    let down = one(1.0, SimFault::status(500));
    for surface in SimSurface::CLERK {
        assert_eq!(at(&retry_storm, 200, &[], surface), down);
        assert_eq!(at(&retry_storm, 0, &["unaffected_instance"], surface), []);
    }
    let slow = one(1.0, SimFault::Latency(seconds(8)));
    let unaffected = |surface| at(&retry_storm, 200, &["unaffected_instance"], surface);
    assert_eq!(unaffected(SimSurface::SessionMint), slow);
    assert_eq!(unaffected(SimSurface::BackendApi), []);
    let partial = at(&retry_storm, 1_100, &["affected_instance_partial_restore"], SimSurface::Jwks);
    assert_eq!(partial, one(0.5, SimFault::status(500)));
    assert_eq!(at(&retry_storm, 1_100, &["unaffected_instance"], SimSurface::Jwks), []);
}

#[test]
fn a_total_outage_takes_everything_but_the_status_page() {
    let total = scenario("cloud-run-total");
    let broken = total.faults_at(2_699, &[]);
    assert_eq!(broken.len(), SimSurface::CLERK.len());
    assert!(broken.iter().all(|(_, shares)| *shares == one(1.0, SimFault::cdn(503))));
    assert_eq!(total.faults_at(2_700, &[]), []);
}

#[test]
fn sessions_hold_out_longer_than_the_rest_and_spikes_come_back() {
    let spikes = scenario("pool-sync-spikes");
    assert_eq!(spikes.views().count(), 0);
    let late = one(0.6, SimFault::status(500).after(seconds(10)));
    assert_eq!(at(&spikes, 10, &[], SimSurface::Jwks), late);
    assert_eq!(at(&spikes, 10, &[], SimSurface::SessionMint), []);
    assert_eq!(at(&spikes, 1_800, &[], SimSurface::SessionMint), one(0.6, unhandled()));
    assert_eq!(at(&spikes, 7_000, &[], SimSurface::BackendJwks), late);
    let spike = one(0.1, SimFault::Latency(seconds(4)));
    for (offset, shares) in
        [(0, &spike), (59, &spike), (60, &vec![]), (899, &vec![]), (900, &spike), (22_500, &vec![])]
    {
        assert_eq!(at(&spikes, 129_120 + offset, &[], SimSurface::Client), *shares, "{offset}");
    }
    assert_eq!(spikes.next_change(129_120, &[]), Some(129_180));
    assert_eq!(spikes.next_change(129_180, &[]), Some(130_020));
    assert_eq!(at(&spikes, 153_200, &[], SimSurface::SignIn), one(1.0, SimFault::status(500)));
    assert_eq!(at(&spikes, 153_200, &[], SimSurface::SessionMint), []);
}

#[test]
fn a_session_failover_leaves_only_changes_broken() {
    let broken = scenario("connectivity-11min").faults_at(300, &[]);
    assert_eq!(broken, [(SimSurface::SignIn, one(1.0, SimFault::status(500)))]);
}

#[test]
fn names_stop_resolving_for_the_view_that_has_them_not_cached() {
    let dns = scenario("dns-provider");
    assert_eq!(at(&dns, 60, &[], SimSurface::Jwks), one(0.05, SimFault::Dns));
    let cold = ["cold_resolver_view"];
    assert_eq!(at(&dns, 6_000, &cold, SimSurface::Jwks), one(1.0, SimFault::Dns));
    let both = ["cold_resolver_view", "what_recovered_first"];
    assert_eq!(at(&dns, 5_000, &both, SimSurface::Jwks), one(1.0, SimFault::Dns));
    assert_eq!(at(&dns, 6_000, &both, SimSurface::Jwks), []);
    assert_eq!(at(&dns, 6_000, &both, SimSurface::BackendApi), one(1.0, SimFault::Dns));
    assert_eq!(at(&dns, 6_000, &both, SimSurface::StatusPage), []);
    assert!(!dns.board_at(1_739, &[]).incident);
    let late = dns.board_at(1_740, &[]);
    assert!(late.incident && late.components.is_empty());
}

#[test]
fn a_flood_of_429_leaves_a_few_late_answers() {
    let flip = scenario("query-plan-flip");
    let shares = vec![(0.95, unhandled()), (0.05, SimFault::Latency(seconds(20)))];
    for surface in SimSurface::CLERK {
        assert_eq!(at(&flip, 0, &[], surface), shares);
    }
    assert_eq!(at(&flip, 3_420, &[], SimSurface::SessionMint), one(0.4, unhandled()));
    assert_eq!(at(&flip, 3_420, &[], SimSurface::BackendJwks), one(0.95, unhandled()));
    assert_eq!(at(&flip, 3_420, &[], SimSurface::Jwks), []);
    let board = flip.board_at(6_000, &[]);
    assert_eq!(board, SimBoard::everything(&SimComponentState::DegradedPerformance));
}

#[test]
fn the_edge_takes_over_in_the_middle_of_a_migration() {
    let migration = scenario("live-migration");
    assert_eq!(migration.start(&[]), -60);
    let mint = |offset| at(&migration, offset, &[], SimSurface::SessionMint);
    assert_eq!(mint(-60), one(0.5, SimFault::Latency(seconds(3))));
    assert_eq!(mint(0), one(0.5, SimFault::status(500).after(seconds(8))));
    assert_eq!(mint(180), one(0.8, unhandled()));
    assert_eq!(at(&migration, 180, &[], SimSurface::Jwks), one(0.9, unhandled()));
    assert_eq!(mint(780), one(1.0, SimFault::MissingExpiredToken));
    assert_eq!(at(&migration, 780, &[], SimSurface::BackendApi), one(0.9, unhandled()));
    assert_eq!(mint(1_560), []);
}

#[test]
fn trouble_elsewhere_breaks_nothing_here() {
    let platform = scenario("platform-api-partial");
    assert_eq!(platform.faults_at(60, &[]), []);
    let board = platform.board_at(60, &[]);
    assert_eq!(board.components.len(), 1);
    assert_eq!(board.components["Platform API"], SimComponentState::PartialOutage);

    let errors = scenario("increased-error-rate");
    assert_eq!(at(&errors, 60, &[], SimSurface::SessionMint), []);
    assert_eq!(at(&errors, 60, &[], SimSurface::Handshake), one(0.2, SimFault::status(500)));
    assert_eq!(errors.faults_at(300, &[]), []);
    assert!(errors.board_at(9_000, &[]).incident, "the page stays red long after");
}

#[test]
fn maintenance_differs_in_production_and_development() {
    let maintenance = scenario("maintenance-mode");
    let stopped = one(1.0, SimFault::maintenance());
    let surfaces = |labels: &[&str]| {
        let broken = maintenance.faults_at(0, labels);
        assert!(broken.iter().all(|(_, shares)| *shares == stopped));
        broken.into_iter().map(|(surface, _)| surface).collect::<Vec<_>>()
    };
    assert_eq!(surfaces(&[]), [SimSurface::SignIn, SimSurface::BackendMutation]);
    assert_eq!(surfaces(&["development_instance"]), SimSurface::CLERK);
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_through_the_phases_in_compressed_time() {
    let migration = scenario("live-migration");
    let clerk = SimClerk::in_memory();
    let replay = tokio::spawn(clerk.replay(&migration, 60.0, &[]));
    let mut passed = Duration::ZERO;
    for offset in [-30, 90, 480, 1_170, 2_000, 5_000] {
        let then = seconds(u64::try_from(offset + 60).expect("after the start")) / 60;
        tokio::time::sleep(then.saturating_sub(passed)).await;
        passed = then;
        for surface in SimSurface::ALL {
            assert_eq!(clerk.faults(surface), at(&migration, offset, &[], surface), "{offset}");
        }
        assert_eq!(clerk.board(), migration.board_at(offset, &[]), "{offset}");
    }
    replay.await.expect("it ends");
    assert!(SimSurface::ALL.iter().all(|surface| clerk.faults(*surface).is_empty()));
}

#[test]
fn an_invalid_timeline_is_an_error() {
    for text in ["", "[]", "{}", r#"{"scenarios": 1}"#, r#"{"scenarios": [{"name": "x"}]}"#] {
        assert!(matches!(parse(text), Err(TimelineError::Form(_))), "{text}");
    }
    for behaviour in [
        r#"{"rate": 2}"#,
        r#"{"rate": -0.1}"#,
        r#"{"status": 99}"#,
        r#"{"status": 600}"#,
        r#"{"repeat_every_s": 0, "repeat_for_s": 1}"#,
        r#"{"repeat_every_s": 5}"#,
    ] {
        let phase = format!(r#"{{"offset_s": 0, "component": "all", "behaviour": {behaviour}}}"#);
        let text = format!(r#"{{"scenarios": [{{"name": "x", "phases": [{phase}]}}]}}"#);
        let error = parse(&text).expect_err("it makes no sense");
        assert!(error.to_string().starts_with("scenario x, phase 0: "), "{error}");
    }
}

#[test]
fn a_phase_without_a_length_lasts_to_the_scenarios_end() {
    let of = |total: &str| {
        let phase = r#"{"offset_s": 5, "duration_s": null, "component": "all",
            "behaviour": {"timeout": true}, "note": "ignored"}"#;
        let text = format!(r#"{{"scenarios": [{{"name": "x", {total} "phases": [{phase}]}}]}}"#);
        parse(&text).expect("it parses").remove(0)
    };
    let known = of(r#""documented_total_s": 10,"#);
    assert_eq!(at(&known, 9, &[], SimSurface::Jwks), one(1.0, SimFault::Hang));
    assert_eq!(at(&known, 10, &[], SimSurface::Jwks), []);
    let unknown = of("");
    assert_eq!(at(&unknown, i64::MAX, &[], SimSurface::Jwks), one(1.0, SimFault::Hang));
    assert_eq!(unknown.next_change(5, &[]), None);
}

#[test]
fn a_damaged_timeline_is_read_or_turned_down_but_never_a_panic() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/outage-timelines.json");
    let whole = std::fs::read(file).expect("the file is there");
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut damaged = whole.clone();
        for _ in 0..random.usize(1..8) {
            let place = random.usize(..damaged.len());
            damaged[place] = random.choice(*b"0-9e\"{}[],:nx").unwrap_or(b'0');
        }
        let Ok(scenarios) = parse(&String::from_utf8_lossy(&damaged)) else { continue };
        for scenario in scenarios {
            let offset = random.i64(..);
            let _ = scenario.faults_at(offset, &["cold_resolver_view"]);
            assert!(scenario.next_change(offset, &[]).is_none_or(|next| next > offset));
        }
    }
}
