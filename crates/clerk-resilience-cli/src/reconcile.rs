//! `clerk-resilience reconcile`: builds the layer without routes, and runs one reconciliation.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use clerk_resilience::{Builder, ClerkConfig, ClerkResilience, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use super::place::StoreLocation;

/// Interval at which the progress bar moves without news.
const STEADY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct ReconcileChoices {
    #[command(flatten)]
    place: StoreLocation,
    /// Store `private_metadata`, as an application with `keep_private_metadata` does
    #[arg(long)]
    keep_private_metadata: bool,
    /// Reject the tokens of locked users, as an application with `revoke_when_locked` does
    #[arg(long)]
    revoke_when_locked: bool,
    /// Reject tokens from before a password change, as an application with
    /// `revoke_on_password_change` does
    #[arg(long)]
    revoke_on_password_change: bool,
}

impl ReconcileChoices {
    /// Builds the layer with the settings that affect what a reconciliation stores.
    async fn builder(self) -> Result<Builder, Box<dyn Error>> {
        let builder = ClerkResilience::builder(ClerkConfig::from_env()?)
            .reconcile_on_demand()
            .keep_private_metadata(self.keep_private_metadata)
            .revoke_when_locked(self.revoke_when_locked)
            .revoke_on_password_change(self.revoke_on_password_change);
        Ok(self.place.open().await?.given_to(builder))
    }
}

pub(super) async fn run(choices: ReconcileChoices) -> Result<(), Box<dyn Error>> {
    let clerk = choices.builder().await?.build()?;
    let mut progress = clerk.reconcile().ok_or(
        "CLERK_SECRET_KEY is not set; copy it from the API keys page of the Clerk dashboard",
    )?;
    let bar = ProgressBar::new_spinner().with_message("waiting for Clerk to be healthy");
    bar.enable_steady_tick(STEADY);
    while progress.borrow_and_update().ended == 0 {
        show(&bar, &progress.borrow());
        progress.changed().await?;
    }
    bar.finish_and_clear();
    let end = progress.borrow().clone();
    if let Some(trouble) = end.trouble {
        return Err(trouble.into());
    }
    println!("{}", result(&end));
    Ok(())
}

fn result(end: &Progress) -> String {
    let Progress { users, memberships, compared, gone, synced, .. } = end;
    let Some(synced) = synced else { return "There are no users yet.".to_owned() };
    format!(
        "Read {users} users and {memberships} memberships, and compared {compared} users who are kept: {gone} users and memberships are gone. All that changed up to {synced} is known."
    )
}

fn show(bar: &ProgressBar, now: &Progress) {
    let (read, all, what) = match now {
        Progress { compared: 1.., .. } => (now.compared, None, "stored users compared"),
        Progress { memberships: 1.., .. } => {
            (now.memberships, now.memberships_total, "memberships read")
        }
        Progress { users: 1.., .. } => (now.users, now.total, "users read"),
        _ => (0, None, "waiting for Clerk to be healthy"),
    };
    let template = match all {
        Some(_) => "{bar:40} {pos} of {len} {msg}, {eta} left",
        None if read > 0 => "{spinner} {pos} {msg}",
        None => "{spinner} {msg}",
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_length(all.unwrap_or(read).max(read));
    bar.set_position(read);
    bar.set_message(match &now.trouble {
        Some(trouble) => format!("{what} - {trouble}; trying again"),
        None => what.to_owned(),
    });
}
