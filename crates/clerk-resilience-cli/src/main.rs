//! The command `clerk-resilience`: `doctor` and, with the feature `sqlite` or `redis`, `reconcile`
//! and `dead-letters`.

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

/// Diagnoses and maintains an application that uses clerk-resilience
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration and the connection to Clerk, and recommend fixes
    ///
    /// Reads the CLERK_* variables and probes Clerk. Exit status: 0 if everything works, 1 if a
    /// check fails, 2 for wrong arguments.
    Doctor {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
        /// Base URL of a running application; its routes are checked without a session
        #[arg(long, value_name = "URL")]
        app: Option<Url>,
        /// A route that is meant to be public, such as /pricing; an error if it requires a session
        #[arg(long, requires = "app", value_name = "PATH")]
        public: Vec<String>,
        /// A route that is meant for signed-in users, such as /me; an error if it is open
        #[arg(long, requires = "app", value_name = "PATH")]
        protected: Vec<String>,
        /// Other routes to check
        #[arg(requires = "app", value_name = "PATH")]
        routes: Vec<String>,
    },
    /// Repair users, bans, memberships and roles in an application's store
    ///
    /// Loads changes and deletions that missed webhooks would have reported. Reads the CLERK_*
    /// variables.
    ///
    /// A running application reconciles by itself and locks its SQLite file, so use this command
    /// while the application is stopped. The command waits while Clerk is down. Exit status: 0 if
    /// the store is up to date, 1 on an error, 2 for wrong arguments.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    Reconcile(reconcile::ReconcileChoices),
    /// List dead letters, newest first, or retry them
    ///
    /// A dead letter is a webhook event that is malformed or whose hooks failed at every attempt.
    /// The output contains no webhook content.
    ///
    /// With Redis, use this command while the application runs; with SQLite, while the application
    /// is stopped. Exit status: 0 on success, 1 on an error, 2 for wrong arguments.
    #[cfg(any(feature = "redis", feature = "sqlite"))]
    DeadLetters(dead_letters::DeadLetterChoices),
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
