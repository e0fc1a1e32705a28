//! An application behind the layer, beside the same application behind plain verification, and a
//! Clerk to break. `cargo run --example demo` shows it on a page; `-- --help` lists the other ways.

mod app;
mod args;
mod browser;
mod counted;
mod outcome;
mod plain;
mod protected;
mod script;
mod table;
mod tally;

use std::process::ExitCode;

use args::{Args, Mode};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("demo: {error}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match args.mode {
        Mode::Help => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Mode::Script { all_seconds } => script::run(all_seconds),
        Mode::Stage | Mode::Server { .. } => ExitCode::FAILURE,
    }
}
