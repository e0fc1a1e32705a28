//! The command: `clerk-resilience doctor`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clerk_resilience::doctor::{Diagnosis, examine_routes, examine_vars};
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
    /// Reads the CLERK_* variables. Ends with 0 when all is well, 1 when something does not work.
    Doctor {
        /// Print JSON instead of sentences.
        #[arg(long)]
        json: bool,
        /// A running application, to tell what its routes demand of a visitor without a session.
        #[arg(long, value_name = "URL")]
        app: Option<Url>,
        /// The routes to ask for, as /me.
        #[arg(requires = "app", value_name = "PATH")]
        routes: Vec<String>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Command::Doctor { json, app, routes } = Arguments::parse().command;
    let mut findings = examine_vars(|name| std::env::var(name).ok()).await.findings;
    if let (Some(app), Ok(upstream)) = (app, HttpUpstream::new()) {
        findings.extend(examine_routes(&app, &routes, &upstream).await);
    }
    let diagnosis = Diagnosis::new(findings);
    if json {
        println!("{}", serde_json::to_string_pretty(&diagnosis).unwrap_or_default());
    } else {
        println!("{diagnosis}");
    }
    if diagnosis.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
