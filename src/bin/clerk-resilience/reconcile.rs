//! `clerk-resilience reconcile`: an application without routes, whose only work is to read users back.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use clerk_resilience::store::SqliteStore;
use clerk_resilience::{ClerkConfig, ClerkResilience, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// So often the bar moves while nothing is told.
const STEADY: Duration = Duration::from_millis(200);

pub(super) async fn run(file: &Path) -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::open(file)?;
    let builder = ClerkResilience::builder(ClerkConfig::from_env()?);
    let clerk = builder.store(store).reconcile_on_demand().build()?;
    let mut progress = clerk.reconcile().ok_or(
        "CLERK_SECRET_KEY is not set; copy it from the API keys page of the Clerk dashboard",
    )?;
    let bar = ProgressBar::new_spinner().with_message("waiting until Clerk is known to be well");
    bar.enable_steady_tick(STEADY);
    while progress.borrow_and_update().ended == 0 {
        show(&bar, &progress.borrow());
        progress.changed().await?;
    }
    bar.finish_and_clear();
    let end = progress.borrow().clone();
    match (end.trouble, end.synced) {
        (Some(trouble), _) => Err(trouble.into()),
        (None, Some(synced)) => {
            println!("Read {} users; all that changed up to {synced} is known.", end.users);
            Ok(())
        }
        (None, None) => {
            println!("There are no users yet.");
            Ok(())
        }
    }
}

fn show(bar: &ProgressBar, now: &Progress) {
    if let Some(total) = now.total {
        bar.set_length(total);
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} users, {eta} left {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
    bar.set_position(now.users);
    match &now.trouble {
        Some(trouble) => bar.set_message(format!("- {trouble}; trying again")),
        None if now.users > 0 => bar.set_message(String::new()),
        None => {}
    }
}
