//! Each recorded outage, replayed against the layer and against plain verification, in virtual time.
//! `cargo run --release --example replay -- --help` lists the options, `docs/outages.md` explains
//! what is measured.

mod args;
mod conditions;
mod document;
mod jar;
mod person;
mod run;
mod stage;
mod stampede;
mod strangers;
mod suite;
mod table;
mod tally;
mod targets;
#[cfg(test)]
mod tests;
mod transport;
mod truth;
mod visit;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use args::Args;
use clerk_resilience::sim::timeline::{self, Scenario};
use stage::Error;

const RECORDED: &str = include_str!("../../tests/data/outage-timelines.json");
/// The user has to set something right.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) if args.help => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(args) => args,
        Err(problem) => {
            eprintln!("replay: {problem}\n\n{}", args::HELP);
            return ExitCode::from(MISUSE);
        }
    };
    match run(&args) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in problems {
                eprintln!("MISSED: {problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("replay: {}", told(&*error));
            ExitCode::from(MISUSE)
        }
    }
}

/// Does what was asked for; what a check found wrong is returned.
fn run(args: &Args) -> Result<Vec<String>, Error> {
    let mut scenarios = match &args.timelines {
        Some(file) => read(file)?,
        None => timeline::parse(RECORDED)?,
    };
    if let Some(only) = &args.only {
        scenarios.retain(|scenario| scenario.name().contains(only));
        if scenarios.is_empty() {
            return Err(format!("no scenario has {only:?} in its name").into());
        }
    }
    let report = suite::play(&scenarios, args.only.is_none(), args.seed)?;
    let figures = table::markdown(&report);
    let shown = if args.json { serde_json::to_string_pretty(&report)? } else { figures.clone() };
    // Whoever reads this may have read enough.
    let _ = writeln!(std::io::stdout(), "{shown}");
    if args.write {
        document::write(&figures)?;
    }
    if !args.check {
        return Ok(Vec::new());
    }
    let mut problems = targets::missed(&report);
    if args.is_about_the_document() && !document::agrees(&figures)? {
        problems.push(
            "docs/outages.md has other figures; write these with --write, and read the difference"
                .to_owned(),
        );
    }
    Ok(problems)
}

fn read(file: &Path) -> Result<Vec<Scenario>, Error> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let scenarios = timeline::parse(&text).map_err(|error| format!("{name}: {}", told(&error)))?;
    if scenarios.is_empty() {
        return Err(format!("{name}: there are no scenarios in it").into());
    }
    Ok(scenarios)
}

/// An error with all of its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, ": {inner}").expect("text");
        cause = inner.source();
    }
    text
}
