//! Runs seeds, on all processors, and says how to see again what went wrong.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use test_support::token::make_keys;

use crate::evidence::{a_dry_run_shows_nothing, health_adds_no_grace};
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::play::{Manner, play};
use crate::process::Mode;
use crate::tally::Tally;

/// How many worlds are played when nobody says how many.
const SEEDS: u64 = 120;
/// So much of what went before is shown.
const SHOWN: usize = 60;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, and is {text:?}")))
}

/// Plays a world as it is, and once or twice more beside that.
fn try_seed(seed: u64) -> (Tally, Option<Violation>) {
    let plan = Plan::of(seed);
    let mut played = play(&plan, Manner::of(Mode::Enabled));
    let as_it_is = played.tally.clone();
    if played.violation.is_none() {
        played.violation = match seed % 2 {
            0 => a_dry_run_shows_nothing(&plan).violation,
            _ => health_adds_no_grace(&plan, &played),
        };
    }
    (as_it_is, played.violation)
}

fn tell(seed: u64, violation: &Violation) -> String {
    let plan = Plan::of(seed);
    let modes = [Mode::Enabled, Mode::Disabled, Mode::ReportOnly];
    let traced = modes.map(|mode| play(&plan, Manner { trace: true, ..Manner::of(mode) }));
    let failed = traced.iter().find(|played| played.violation.is_some()).unwrap_or(&traced[0]);
    let skipped = failed.trace.len().saturating_sub(SHOWN);
    format!(
        "seed {seed}: {} is violated: {}\n{:?}\n{}\nreplay: SIMULATION_SEED={seed} cargo test --all-features --test simulation -- --nocapture",
        violation.invariant,
        violation.text,
        Plan { events: Vec::new(), ..plan },
        failed.trace[skipped..].join("\n"),
    )
}

fn replay(seed: u64) {
    let plan = Plan::of(seed);
    println!("{:?}", Plan { events: Vec::new(), ..plan.clone() });
    let played = play(&plan, Manner { trace: true, ..Manner::of(Mode::Enabled) });
    println!("{}\n{:?}", played.trace.join("\n"), played.tally);
    if let (_, Some(violation)) = try_seed(seed) {
        panic!("{}: {}", violation.invariant, violation.text);
    }
}

/// A simulation in which nothing happens proves nothing.
fn assert_that_things_happened(tally: &Tally, seeds: u64) {
    let often = ["fresh", "outage", "200", "401", "503", "grace that was due"];
    let seldom = [
        "bridge",
        "recovery",
        "307",
        "restart",
        "suspect",
        "recovering",
        "isolated",
        "unknown",
        "webhook",
    ];
    for (what, least) in often
        .map(|what| (what, seeds / 2))
        .into_iter()
        .chain(seldom.map(|what| (what, seeds / 100)))
    {
        assert!(
            tally.get(what) >= least,
            "{what} happened {} times in {seeds} worlds",
            tally.get(what)
        );
    }
}

#[test]
fn no_world_breaks_an_invariant() {
    make_keys();
    if let Some(seed) = number("SIMULATION_SEED") {
        return replay(seed);
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = number("SIMULATION_FROM").unwrap_or(0);
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let found = Mutex::new(Vec::new());
    let keep_going = env::var_os("SIMULATION_KEEP_GOING").is_some();
    let work = || {
        let mut own = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let stop = !keep_going && !found.lock().expect("no panic").is_empty();
            if seed >= first + seeds || stop {
                break;
            }
            let (happened, violation) = try_seed(seed);
            own.join(happened);
            if let Some(violation) = violation {
                found.lock().expect("no panic").push((seed, violation));
            }
        }
        tally.lock().expect("no panic").join(own);
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (tally, found) =
        (tally.into_inner().expect("no panic"), found.into_inner().expect("no panic"));
    println!("{seeds} worlds: {:?}", tally.0);
    if keep_going {
        println!("{} of them red", found.len());
        for (seed, violation) in &found {
            println!("{seed:>8} {} {}", violation.invariant, violation.text);
        }
    }
    if let Some((seed, violation)) = found.first() {
        panic!("{}", tell(*seed, violation));
    }
    if seeds >= 100 {
        assert_that_things_happened(&tally, seeds);
    }
}
