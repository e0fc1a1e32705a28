//! The measure, measured.

use clerk_resilience::sim::timeline::{self, Scenario};

use crate::args::Args;
use crate::conditions::Conditions;
use crate::run::Noticed;
use crate::stage::Variant;
use crate::suite::{self, Report};
use crate::targets;
use crate::truth::{Case, Should, should};

/// All of Clerk answers 503 for ten minutes, and the status page says nothing.
const DOWN: &str =
    r#"{"offset_s": 0, "duration_s": 600, "component": "all", "behaviour": {"status": 503}}"#;
/// Its names do not resolve for ten minutes.
const GONE: &str =
    r#"{"offset_s": 0, "duration_s": 600, "component": "dns", "behaviour": {"dns_failure": true}}"#;
/// A third of minting fails for ten minutes.
const PARTLY: &str = r#"{"offset_s": 0, "duration_s": 600, "component": "fapi_sessions", "behaviour": {"status": 500, "rate": 0.3}}"#;
/// Only sign-ins fail.
const ELSEWHERE: &str = r#"{"offset_s": 0, "duration_s": 600, "component": "fapi_mutations", "behaviour": {"status": 500}}"#;

fn scenario(phases: &str) -> Scenario {
    let text = format!(r#"{{"scenarios": [{{"name": "x", "phases": [{phases}]}}]}}"#);
    timeline::parse(&text).expect("a timeline").remove(0)
}

fn conditions(phases: &str) -> Conditions {
    Conditions::of(&scenario(phases), &[]).expect("it is short")
}

fn play(phases: &str) -> Report {
    suite::play(&[scenario(phases)], false, 7).expect("it can be played")
}

fn of(report: &Report, variant: Variant) -> &crate::run::Figures {
    let mut replays = report.replays.iter().filter(|replay| replay.variant == variant);
    &replays.next().expect("each variant is there").figures
}

/// Reading, with a token that expires then, of a session that was last seen then.
fn reading(expires: i64, seen: i64) -> Case {
    Case { expires, seen: Some(seen), writes: false }
}

#[test]
fn an_unexpired_token_should_always_pass() {
    for phases in [DOWN, GONE, PARTLY, ELSEWHERE] {
        assert_eq!(should(&conditions(phases), 100, reading(96, 90)), Should::Pass);
    }
}

#[test]
fn expired_tokens_should_pass_until_a_minute_after() {
    let down = conditions(DOWN);
    let case = reading(30, 20);
    for (at, expected) in [
        (40, Should::Pass),
        (599, Should::Pass),
        (659, Should::Pass),
        (660, Should::Either),
        (690, Should::Either),
        (691, Should::NotInGrace),
    ] {
        assert_eq!(should(&down, at, case), expected, "{at}");
    }
    assert_eq!(should(&down, -100, reading(-200, -210)), Should::NotInGrace, "before it");
}

#[test]
fn unprovable_trouble_has_no_expected_result() {
    for (phases, expected) in
        [(GONE, Should::Either), (PARTLY, Should::Either), (ELSEWHERE, Should::NotInGrace)]
    {
        assert_eq!(should(&conditions(phases), 300, reading(30, 20)), expected, "{phases}");
    }
}

#[test]
fn a_session_begun_later_should_get_no_grace() {
    let down = conditions(DOWN);
    assert_eq!(should(&down, 300, reading(-700, -500)), Should::Pass, "seen");
    assert_eq!(should(&down, 300, reading(-20, -5_000)), Should::Pass, "signed");
    assert_eq!(should(&down, 300, reading(-700, -650)), Should::NotInGrace);
    assert_eq!(should(&down, 300, reading(-75, -615)), Should::Either, "a few seconds");
}

#[test]
fn grace_should_end_an_hour_after_the_token_and_writing_is_open() {
    let long = conditions(&DOWN.replace("600", "9000"));
    assert_eq!(should(&long, 3_500, reading(30, 20)), Should::Pass);
    assert_eq!(should(&long, 3_631, reading(30, 20)), Should::NotInGrace);
    assert_eq!(should(&long, 8_000, reading(7_000, 6_990)), Should::Either, "budget");
    let writing = Case { writes: true, ..reading(30, 20) };
    assert_eq!(should(&long, 100, writing), Should::Either);
}

#[test]
fn only_balanced_reaches_its_targets_in_an_outage() {
    let report = play(DOWN);
    assert_eq!(targets::missed(&report), Vec::<String>::new());
    let balanced = of(&report, Variant::Balanced);
    assert!(balanced.tally.grace > 1_000, "{balanced:?}");
    for variant in [Variant::Plain, Variant::Off] {
        assert!(of(&report, variant).served() < Some(50.0), "{variant:?}");
        assert_eq!(of(&report, variant).tally.grace, 0);
    }
    assert!(of(&report, Variant::Plain).tally.unauthorized > 1_000);
}

#[test]
fn a_replay_goes_the_same_way_each_time() {
    let figures = |report: &Report| serde_json::to_string(report).expect("it can be written");
    assert_eq!(figures(&play(PARTLY)), figures(&play(PARTLY)));
}

#[test]
fn a_target_that_is_missed_is_named() {
    let mut report = play(ELSEWHERE);
    assert_eq!(targets::missed(&report), Vec::<String>::new());
    let balanced = report.replays.iter_mut().find(|replay| replay.variant == Variant::Balanced);
    let figures = &mut balanced.expect("it is there").figures;
    figures.tally.in_trouble = 1_000;
    figures.tally.in_trouble_served = 998;
    figures.tally.unauthorized = 1;
    figures.tally.undue_grace = 2;
    figures.tally.loops = 3;
    figures.tally.passed.insert("forged".to_owned(), 4);
    figures.false_alarms = 5;
    figures.asked_healthy = Some(0.21);
    figures.asked_troubled = Some(1.01);
    let outage = Noticed {
        after_failure: Some(25.1),
        grace_until: Some(59.5),
        grace_over: Some(90.5),
        ..Default::default()
    };
    figures.outages = vec![outage, Noticed::default()];
    let missed = targets::missed(&report);
    assert_eq!(missed.len(), 13, "{missed:#?}");
    assert!(missed.iter().take(12).all(|line| line.starts_with("x: ")), "{missed:#?}");
}

#[test]
fn endless_trouble_runs_two_hours_and_a_year_is_rejected() {
    let open = conditions(r#"{"offset_s": 5, "component": "all", "behaviour": {"timeout": true}}"#);
    assert_eq!(open.end - open.first_trouble, 2 * 60 * 60 + 5 * 60);
    let year = scenario(&DOWN.replace("600", "31536000"));
    let problem = Conditions::of(&year, &[]).expect_err("it is too long");
    assert!(problem.contains("\"x\" goes on for more than 7 days"), "{problem}");
}

#[test]
fn users_pause_in_quiet_times_and_return_before_trouble() {
    let later = DOWN.replace("\"offset_s\": 0", "\"offset_s\": 9000");
    let twice = conditions(&format!("{DOWN}, {later}"));
    for (at, until) in [(0, None), (700, None), (800, Some(8_760)), (8_760, None), (9_700, None)] {
        assert_eq!(twice.away_until(at), until, "{at}");
    }
}

#[test]
fn options_are_parsed_or_rejected_with_a_message() {
    let parse = |words: &str| Args::parse(words.split_whitespace().map(str::to_owned));
    let args = parse("--only 2026 --seed 9 --json --check").expect("good options");
    assert_eq!(
        (args.only.as_deref(), args.seed, args.json, args.check),
        (Some("2026"), 9, true, true)
    );
    assert!(!args.is_about_the_document());
    for (words, problem) in [
        ("--timelines", "--timelines needs a file"),
        ("--seed x", "--seed \"x\" is no whole number"),
        ("--fast", "there is no option \"--fast\""),
        ("--write --seed 8", "--write is for the recorded outages"),
    ] {
        let error = parse(words).expect_err(words);
        assert!(error.starts_with(problem), "{error}");
    }
}

#[test]
fn a_malformed_timeline_file_is_named_with_its_error() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    for (text, problem) in [
        ("", "cannot be read: EOF"),
        (r#"{"scenarios": []}"#, "there are no scenarios in it"),
        (r#"{"scenarios": [{"name": "x"}]}"#, "missing field `phases`"),
        (
            r#"{"scenarios": [{"name": "x", "phases": [{"offset_s": 0, "component": "all", "behaviour": {"rate": 2}}]}]}"#,
            "scenario x, phase 0: rate is a share from 0 to 1",
        ),
    ] {
        std::fs::write(file.path(), text).expect("it can be written");
        let error = crate::read(file.path()).expect_err(text).to_string();
        assert!(error.contains(problem), "{error}");
        assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
    }
    assert!(crate::read("no-such-file".as_ref()).is_err());
}
