//! The command: `clerk-resilience doctor`, and with the feature `sqlite` or `redis` `clerk-resilience reconcile` and
//! `clerk-resilience dead-letters`.

#[cfg(any(feature = "redis", feature = "sqlite"))]
mod dead_letters;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod place;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod reconcile;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clerk_resilience::doctor::{Diagnosis, Intent, examine_routes, examine_vars};
use clerk_resilience::fetch::HttpUpstream;
use url::Url;

/// Keeps an application working while Clerk is down.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Finds out what is wrong between this host and its Clerk, and what to do.
    ///
    /// Reads the CLERK_* variables and asks Clerk. Ends with 0 when it works, 1 when something does not,
    /// 2 when the command itself is misspelt.
    Doctor {
        /// Print JSON instead of sentences.
        #[arg(long)]
        json: bool,
        /// A running application, to tell what its routes demand of a visitor without a session.
        #[arg(long, value_name = "URL")]
        app: Option<Url>,
        /// A route that is meant for everybody, as /pricing; demanding a session is then an error.
        #[arg(long, requires = "app", value_name = "PATH")]
        public: Vec<String>,
        /// A route that is meant for those who are signed in, as /me; being open is then an error.
        #[arg(long, requires = "app", value_name = "PATH")]
        protected: Vec<String>,
        /// Other routes to ask for.
        #[arg(requires = "app", value_name = "PATH")]
        routes: Vec<String>,
    },
    /// Reads back from Clerk into an application's store, so that what webhooks missed is repaired: users and
    /// their bans, memberships and roles, and who is gone.
    ///
    /// Reads the CLERK_* variables. An application that runs does this by itself, and has its SQLite file to
    /// itself: then this is for the time in which it does not run. Waits while Clerk is down. Ends with 0 when all
    /// that changed is known, 1 when something is wrong, 2 when the command itself is misspelt.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    Reconcile(reconcile::Choices),
    /// Shows the webhooks that hooks failed at for good, or that made no sense, the newest first; and has them
    /// worked on again.
    ///
    /// Of an application on a Redis server while it runs; of one with an SQLite file while it does not. Nothing of
    /// what they say is shown. Ends with 0 when all was done, 1 when something was not, 2 when the command itself is
    /// misspelt.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    DeadLetters(dead_letters::Choices),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Doctor { json, app, public, protected, routes } => {
            let meant = |intent| move |path: String| (intent, path);
            let routes: Vec<_> = (public.into_iter().map(meant(Intent::Public)))
                .chain(protected.into_iter().map(meant(Intent::Protected)))
                .chain(routes.into_iter().map(meant(Intent::Unsaid)))
                .collect();
            doctor(json, app, routes).await
        }
        #[cfg(any(feature = "redis", feature = "sqlite"))]
        Command::Reconcile(choices) => ended(reconcile::run(choices).await),
        #[cfg(any(feature = "redis", feature = "sqlite"))]
        Command::DeadLetters(choices) => ended(dead_letters::run(choices).await),
    }
}

#[cfg(any(feature = "redis", feature = "sqlite"))]
fn ended(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn doctor(json: bool, app: Option<Url>, routes: Vec<(Intent, String)>) -> ExitCode {
    let mut findings = examine_vars(|name| std::env::var(name).ok()).await.findings;
    if let (Some(app), Ok(transport)) = (app, HttpUpstream::new()) {
        findings.extend(examine_routes(&app, &routes, &transport).await);
    }
    let diagnosis = Diagnosis::new(findings);
    if json {
        println!("{}", serde_json::to_string_pretty(&diagnosis).unwrap_or_default());
    } else {
        println!("{diagnosis}");
    }
    if diagnosis.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
