//! `clerk-resilience dead-letters`: lists events that are malformed or whose hooks failed at every
//! attempt, and retries them.

use std::error::Error;

use clap::Args;
use clerk_resilience::clock::{Clock as _, SystemClock};
use clerk_resilience::store::{DeadLetter, Store};

use super::place::StoreLocation;

#[derive(Debug, Args)]
pub(super) struct DeadLetterChoices {
    #[command(flatten)]
    place: StoreLocation,
    /// Retry the dead letter with this id; may be given several times
    #[arg(long, value_name = "ID")]
    replay: Vec<String>,
    /// Retry the newest 1000 dead letters, except those without anything to retry
    #[arg(long, conflicts_with = "replay")]
    replay_all: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(choices: DeadLetterChoices) -> Result<(), Box<dyn Error>> {
    choices.place.must_be_there()?;
    let opened = choices.place.open().await?;
    let store = opened.store();
    let letters = store.dead_letters().await?;
    if choices.replay_all {
        let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
        return replay(store, &ids, true).await;
    }
    if !choices.replay.is_empty() {
        let ids: Vec<&str> = choices.replay.iter().map(String::as_str).collect();
        return replay(store, &ids, false).await;
    }
    if choices.json {
        let rows: Vec<_> = letters.iter().map(row).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if letters.is_empty() {
        println!("There are no dead letters.");
    } else {
        for DeadLetter { id, kind, received, attempts, why, .. } in &letters {
            let kind = if kind.is_empty() { "not understood" } else { kind };
            println!("{id}  {kind}  came {received}, tried {attempts} times: {why}");
        }
    }
    Ok(())
}

/// Requeues dead letters. A running application calls its hooks for them within seconds. `lenient`
/// ignores letters that cannot be requeued.
async fn replay(store: &dyn Store, ids: &[&str], lenient: bool) -> Result<(), Box<dyn Error>> {
    let now = SystemClock::new().now().wall;
    let (mut revived, mut refused) = (0, Vec::new());
    for id in ids {
        if store.requeue(id, now).await? {
            revived += 1;
        } else {
            refused.push(*id);
        }
    }
    println!("{revived} will be worked on again.");
    if refused.is_empty() || lenient {
        return Ok(());
    }
    let refused = refused.join(", ");
    Err(format!("No dead letter with this id, or nothing in it to retry: {refused}").into())
}

fn row(letter: &DeadLetter) -> serde_json::Value {
    serde_json::json!({
        "id": letter.id,
        "kind": letter.kind,
        "received": letter.received.to_string(),
        "attempts": letter.attempts,
        "why": letter.why,
    })
}
