//! Events and documents on the server: accepting, claiming, settling, pruning, reading.

use std::collections::HashMap;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use redis::cmd;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::RedisInner;
use super::{denials, people, script};
use crate::store::inbox::{
    Accepted, DeadLetter, FollowUp, InboxEvent, MEMORY, SHELF, SHOWN, StoreError, Task, TaskOutcome,
};

/// Number of members that one pruning step deletes from each set.
const PORTION: usize = 1_000;
/// Maximum time that one pruning call spends.
const PRUNING: Duration = Duration::from_secs(1);

/// Limits on the number and total bytes of documents read at start-up. The layer stores three small
/// ones.
const RECORDS: usize = 1_000;
const RECORD_BYTES: usize = 64 * 1024 * 1024;
/// `COUNT` of one `HSCAN` over the documents.
const RECORDS_AT_ONCE: usize = 50;

/// Bytes from the server, which may not be valid UTF-8.
type Bytes = Vec<u8>;

/// The fields of an event other than its data. The scripts read `received`.
#[derive(Default, Deserialize, Serialize)]
struct StoredEvent {
    kind: String,
    happened: Timestamp,
    received: Timestamp,
}

impl StoredEvent {
    /// Parses an event. An unreadable one yields defaults, so that its hooks fail and it becomes a
    /// dead letter instead of being lost.
    fn parse(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }
}

impl RedisInner {
    /// Stores the id, the denials, the user changes and the task: all of them or none.
    pub(super) async fn accept(&self, entry: &InboxEvent) -> Result<Accepted, StoreError> {
        let (state, text) = match &entry.rest {
            FollowUp::Nothing => ("done", ""),
            FollowUp::Hooks(data) => ("due", data.as_str()),
            FollowUp::Malformed(why) => ("dead", why.as_str()),
        };
        let InboxEvent { kind, happened, received, .. } = entry;
        let event = StoredEvent { kind: kind.clone(), happened: *happened, received: *received };
        let event = serde_json::to_string(&event).unwrap_or_default();
        for _ in people::tries() {
            let rewrites = self.rewrites(&entry.changes).await?;
            let mut call = script::ACCEPT.call(&self.keys);
            call.arg(&entry.id).arg(received.as_millis()).arg(&event).arg(state).arg(text);
            people::put(&mut call, &rewrites);
            denials::put(&mut call, &entry.denials);
            let said: String = self.promise(&call).await?;
            match said.as_str() {
                people::CHANGED => {}
                "known" => return Ok(Accepted::Duplicate),
                _ => return Ok(Accepted::New),
            }
        }
        Err(people::contended())
    }

    pub(super) async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Task>, StoreError> {
        let mut call = script::CLAIM.call(&self.keys);
        call.arg(now.as_millis()).arg(until.as_millis());
        let row: Option<(Bytes, Bytes, Bytes, u32, u64)> = self.run(&call).await?;
        let Some((id, event, data, attempts, claim)) = row else { return Ok(None) };
        let StoredEvent { kind, happened, .. } = StoredEvent::parse(&event);
        let id = match String::from_utf8(id) {
            Ok(id) => id,
            Err(none) => {
                let why = "its id is not valid UTF-8".to_owned();
                self.settle(none.as_bytes(), claim, &TaskOutcome::Dead { why }).await?;
                return Ok(None);
            }
        };
        Ok(Some(Task { id, kind, happened, data: lossy(&data), attempts, claim }))
    }

    pub(super) async fn settle(
        &self,
        id: &[u8],
        claim: u64,
        outcome: &TaskOutcome,
    ) -> Result<bool, StoreError> {
        let (state, at, why) = match outcome {
            TaskOutcome::Done => ("done", Timestamp::default(), ""),
            TaskOutcome::Retry { at, why } => ("due", *at, why.as_str()),
            TaskOutcome::Dead { why } => ("dead", Timestamp::default(), why.as_str()),
        };
        let mut call = script::SETTLE.call(&self.keys);
        call.arg(id).arg(claim).arg(state).arg(at.as_millis()).arg(why);
        self.run(&call).await
    }

    pub(super) async fn dead(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let mut call = script::DEAD.call(&self.keys);
        call.arg(SHOWN);
        let rows: Vec<(Bytes, Bytes, u32, Bytes)> = self.run(&call).await?;
        let letter = |(id, event, attempts, why): (Bytes, Bytes, _, Bytes)| {
            let StoredEvent { kind, received, .. } = StoredEvent::parse(&event);
            DeadLetter { id: lossy(&id), kind, received, attempts, why: lossy(&why) }
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    pub(super) async fn requeue(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut call = script::REVIVE.call(&self.keys);
        call.arg(id).arg(now.as_millis());
        self.run(&call).await
    }

    /// Deletes outdated data in steps. The caller waits at most two seconds; the next call deletes
    /// the remainder.
    pub(super) async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut call = script::PRUNE.call(&self.keys);
        call.arg(now.minus(MEMORY).as_millis()).arg(now.minus(SHELF).as_millis()).arg(PORTION);
        for (place, before) in denials::over(now) {
            call.arg(place).arg(before.as_millis());
        }
        let begun = Instant::now();
        while self.run(&call).await? && begun.elapsed() < PRUNING {}
        Ok(())
    }

    /// Reads all documents. Blocks the thread.
    pub(super) fn records(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.link.at_once(async |link| {
            let (mut records, mut bytes, mut from) = (HashMap::new(), 0, "0".to_owned());
            loop {
                let mut scan = cmd("HSCAN");
                scan.arg(self.keys.named("records")).arg(&from).arg("COUNT").arg(RECORDS_AT_ONCE);
                let (next, page): (String, Vec<(Bytes, Bytes)>) = link.ask(&scan).await?;
                for (name, record) in page {
                    let Ok(name) = String::from_utf8(name) else { continue };
                    bytes += record.len();
                    records.insert(name, record);
                }
                if records.len() > RECORDS || bytes > RECORD_BYTES {
                    return Err(too_many_records());
                }
                if next == "0" {
                    return Ok(records.into_iter().collect());
                }
                from = next;
            }
        })
    }

    pub(super) async fn record(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.named("records")).arg(name);
        self.ask(&get).await
    }

    pub(super) async fn keep(&self, name: &str, record: &[u8]) -> Result<(), StoreError> {
        let mut set = cmd("HSET");
        set.arg(self.keys.named("records")).arg(name).arg(record);
        self.ask(&set).await
    }
}

fn too_many_records() -> StoreError {
    StoreError::Failed(format!(
        "the hash of records holds more than {RECORDS} documents or 64 MiB; delete what does not belong to this application"
    ))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
