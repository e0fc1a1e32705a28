//! An application behind the layer, beside the same application behind plain verification, and a
//! Clerk to break. `cargo run --example demo` shows it on a page; `-- --help` lists the other ways.

mod args;
mod browser;
mod counted;
mod desk;
mod log;
mod protected;
mod scenes;
mod script;
mod serve;
mod server;
mod stage;
mod table;
mod tally;
mod unprotected;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use args::{Args, Mode};
use tracing_subscriber::filter::LevelFilter;

/// What the user has to set right.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("demo: {error}\n\n{}", args::HELP);
            return ExitCode::from(MISUSE);
        }
    };
    match args.mode {
        Mode::Help => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Mode::Script { all_seconds } => script::run(all_seconds),
        Mode::Stage => block_on(LevelFilter::ERROR, stage::run(args.port, args.serve_for)),
        Mode::Server { clerk_url } => {
            block_on(LevelFilter::INFO, server::run(clerk_url, args.port, args.serve_for))
        }
    }
}

fn block_on(log: LevelFilter, run: impl Future<Output = Result<(), Trouble>>) -> ExitCode {
    let (out, colours) = (std::io::stderr, std::io::stderr().is_terminal());
    tracing_subscriber::fmt().with_max_level(log).with_writer(out).with_ansi(colours).init();
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("demo: {trouble}");
            match trouble {
                Trouble::Config(_) => ExitCode::from(MISUSE),
                Trouble::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Config(#[from] clerk_resilience::ConfigError),
    #[error("{0}")]
    Other(String),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}
