//! Events: accepted, worked on, settled.

use redis::cmd;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::{denials, people, script};
use crate::clock::Timestamp;
use crate::store::inbox::{
    Accepted, DeadLetter, Entry, MEMORY, Outcome, Rest, SHELF, SHOWN, StoreError, Task,
};

/// What is kept of an event beside its data. The scripts read `received`.
#[derive(Default, Deserialize, Serialize)]
struct Event {
    kind: String,
    happened: Timestamp,
    received: Timestamp,
}

impl Event {
    /// One that cannot be read is not lost: its hooks fail, and it becomes a dead letter.
    fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl Inner {
    /// The id, the denials, what is told of users, and the task: together or not at all.
    pub(super) async fn accept(&self, entry: &Entry) -> Result<Accepted, StoreError> {
        let (state, text) = match &entry.rest {
            Rest::Nothing => ("done", ""),
            Rest::Hooks(data) => ("due", data.as_str()),
            Rest::Nonsense(why) => ("dead", why.as_str()),
        };
        let Entry { kind, happened, received, .. } = entry;
        let event = Event { kind: kind.clone(), happened: *happened, received: *received };
        let event = serde_json::to_string(&event).unwrap_or_default();
        for _ in people::tries() {
            let rewrites = self.rewrites(&entry.changes).await?;
            let mut call = script::ACCEPT.call(&self.keys);
            call.arg(&entry.id).arg(received.as_millis()).arg(&event).arg(state).arg(text);
            people::put(&mut call, &rewrites);
            denials::put(&mut call, &entry.denials);
            let said: String = self.link.run(&call).await?;
            match said.as_str() {
                people::CHANGED => {}
                "known" => return Ok(Accepted::Known),
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
        let row: Option<(String, String, String, u32)> = self.link.run(&call).await?;
        Ok(row.map(|(id, event, data, attempts)| {
            let Event { kind, happened, .. } = Event::parse(&event);
            Task { id, kind, happened, data, attempts }
        }))
    }

    pub(super) async fn settle(&self, id: &str, outcome: &Outcome) -> Result<(), StoreError> {
        let (state, at, why) = match outcome {
            Outcome::Done => ("done", Timestamp::default(), ""),
            Outcome::Again { at, why } => ("due", *at, why.as_str()),
            Outcome::Dead { why } => ("dead", Timestamp::default(), why.as_str()),
        };
        let mut call = script::SETTLE.call(&self.keys);
        call.arg(id).arg(state).arg(at.as_millis()).arg(why);
        self.link.run(&call).await
    }

    pub(super) async fn dead(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let mut call = script::DEAD.call(&self.keys);
        call.arg(SHOWN);
        let rows: Vec<(String, String, u32, String)> = self.link.run(&call).await?;
        let letter = |(id, event, attempts, why): (_, String, _, _)| {
            let Event { kind, received, .. } = Event::parse(&event);
            DeadLetter { id, kind, received, attempts, why }
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    pub(super) async fn revive(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut call = script::REVIVE.call(&self.keys);
        call.arg(id).arg(now.as_millis());
        self.link.run(&call).await
    }

    pub(super) async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut call = script::PRUNE.call(&self.keys);
        call.arg(now.minus(MEMORY).as_millis()).arg(now.minus(SHELF).as_millis());
        for (place, before) in denials::over(now) {
            call.arg(place).arg(before.as_millis());
        }
        self.link.run(&call).await
    }

    /// Blocks.
    pub(super) fn records(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut all = cmd("HGETALL");
        all.arg(self.keys.named("records"));
        self.link.blocking()?.ask(&all)
    }

    pub(super) async fn record(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.named("records")).arg(name);
        self.link.ask(&get).await
    }

    pub(super) async fn keep(&self, name: &str, record: &[u8]) -> Result<(), StoreError> {
        let mut set = cmd("HSET");
        set.arg(self.keys.named("records")).arg(name).arg(record);
        self.link.ask(&set).await
    }
}
