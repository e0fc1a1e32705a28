//! The SQL statements. Each function runs within a transaction that the queue opens.

use clerk_verify::clock::Timestamp;
use rusqlite::{OptionalExtension as _, Result, Row, Transaction, params};

use super::{people, sightings};
use crate::state::revocation::{Denial, Kind};
use crate::store::inbox::{
    Accepted, DeadLetter, FollowUp, InboxEvent, MEMORY, SHELF, SHOWN, Task, TaskOutcome,
};

/// Number of rows that one pruning step deletes, so that other calls wait only briefly.
pub(super) const AT_ONCE: u16 = 2000;

pub(super) fn denials(store: &Transaction<'_>) -> Result<Vec<Denial>> {
    let mut query = store.prepare_cached("SELECT kind, id, at FROM denial")?;
    let rows = query.query_map([], denial)?;
    rows.filter_map(Result::transpose).collect()
}

/// Reads a denial. Returns `None` for a kind that this version does not know.
fn denial(row: &Row<'_>) -> Result<Option<Denial>> {
    let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
    let at = time(row, 2)?;
    Ok(Kind::parse(&kind).and_then(|kind| Denial::of(kind, &id, at)))
}

/// Stores the id, the denials, the user changes and the task in one transaction. A malformed event
/// that can be parsed now counts as new.
pub(super) fn accept(store: &Transaction<'_>, entry: &InboxEvent) -> Result<Accepted> {
    let (state, data, why) = match &entry.rest {
        FollowUp::Nothing => ("done", None, ""),
        FollowUp::Hooks(data) => ("received", Some(data), ""),
        FollowUp::Malformed(why) => ("dead", None, why.as_str()),
    };
    let new = store
        .prepare_cached(
            "INSERT INTO inbox (id, kind, happened, received, state, next_at, data, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?6, ?7)
             ON CONFLICT DO UPDATE SET kind = excluded.kind, happened = excluded.happened,
                 received = excluded.received, state = excluded.state, next_at = excluded.next_at,
                 data = excluded.data, why = excluded.why
             WHERE inbox.state = 'dead' AND inbox.data IS NULL AND excluded.state <> 'dead'",
        )?
        .execute(params![
            entry.id,
            entry.kind,
            entry.happened.as_millis(),
            entry.received.as_millis(),
            state,
            data,
            why
        ])?;
    if new == 0 {
        return Ok(Accepted::Duplicate);
    }
    deny(store, &entry.denials)?;
    people::merge(store, &entry.changes)?;
    Ok(Accepted::New)
}

pub(super) fn deny(store: &Transaction<'_>, denials: &[Denial]) -> Result<()> {
    for denial in denials {
        let (kind, id, at) = denial.parts();
        store
            .prepare_cached(
                "INSERT INTO denial (kind, id, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            )?
            .execute(params![kind.name(), id, at.as_millis()])?;
    }
    Ok(())
}

/// Claims the task that has been due the longest. Without `INDEXED BY`, SQLite would sort all
/// waiting tasks for each claim.
pub(super) const CLAIM: &str = "
    UPDATE inbox SET state = 'working', attempts = attempts + 1, claim = claim + 1, next_at = ?2
    WHERE id = (SELECT id FROM inbox INDEXED BY inbox_due
                WHERE state IN ('received', 'working') AND next_at <= ?1
                ORDER BY next_at, id LIMIT 1)
    RETURNING id, kind, happened, data, attempts, claim";

pub(super) fn claim(
    store: &Transaction<'_>,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Task>> {
    let mut query = store.prepare_cached(CLAIM)?;
    let task = |row: &Row<'_>| {
        Ok(Task {
            id: row.get(0)?,
            kind: row.get(1)?,
            happened: time(row, 2)?,
            data: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            attempts: row.get(4)?,
            claim: row.get::<_, i64>(5)?.unsigned_abs(),
        })
    };
    query.query_row([now.as_millis(), until.as_millis()], task).optional()
}

/// Settles a claimed task. Returns `false` if this is not the task's last claim, or if the task is
/// already settled.
pub(super) fn settle(
    store: &Transaction<'_>,
    id: &str,
    claim: u64,
    outcome: &TaskOutcome,
) -> Result<bool> {
    let (state, at, why) = match outcome {
        TaskOutcome::Done => ("done", None, ""),
        TaskOutcome::Retry { at, why } => ("received", Some(at.as_millis()), why.as_str()),
        TaskOutcome::Dead { why } => ("dead", None, why.as_str()),
    };
    let claim = i64::try_from(claim).unwrap_or(i64::MAX);
    let mut settle = store.prepare_cached(
        "UPDATE inbox SET state = ?3, next_at = coalesce(?4, next_at), why = ?5, claim = claim + 1,
             data = CASE ?3 WHEN 'done' THEN NULL ELSE data END
         WHERE id = ?1 AND claim = ?2 AND state IN ('received', 'working')",
    )?;
    Ok(settle.execute(params![id, claim, state, at, why])? > 0)
}

pub(super) fn dead(store: &Transaction<'_>) -> Result<Vec<DeadLetter>> {
    let mut query = store.prepare_cached(
        "SELECT id, kind, received, attempts, why FROM inbox WHERE state = 'dead'
         ORDER BY received DESC, id DESC LIMIT ?1",
    )?;
    let letter = |row: &Row<'_>| {
        Ok(DeadLetter {
            id: row.get(0)?,
            kind: row.get(1)?,
            received: time(row, 2)?,
            attempts: row.get(3)?,
            why: row.get(4)?,
        })
    };
    query.query_map([SHOWN], letter)?.collect()
}

pub(super) fn requeue(store: &Transaction<'_>, id: &str, now: Timestamp) -> Result<bool> {
    let mut requeue = store.prepare_cached(
        "UPDATE inbox SET state = 'received', attempts = 0, claim = claim + 1, next_at = ?2
         WHERE id = ?1 AND state = 'dead' AND data IS NOT NULL",
    )?;
    Ok(requeue.execute(params![id, now.as_millis()])? > 0)
}

/// Deletes some of the outdated rows. Returns whether more may remain.
pub(super) fn prune(store: &Transaction<'_>, now: Timestamp) -> Result<bool> {
    let (done, dead) = (now.minus(MEMORY).as_millis(), now.minus(SHELF).as_millis());
    let old = "DELETE FROM inbox WHERE id IN
               (SELECT id FROM inbox WHERE state = ?1 AND received < ?2 LIMIT ?3)";
    let over = "DELETE FROM denial WHERE (kind, id) IN
                (SELECT kind, id FROM denial WHERE kind = ?1 AND at < ?2 LIMIT ?3)";
    let forget = |what, which, before: i64| -> Result<usize> {
        store.prepare_cached(what)?.execute(params![which, before, AT_ONCE])
    };
    let mut forgotten = vec![forget(old, "done", done)?, forget(old, "dead", dead)?];
    for kind in Kind::ALL {
        let Some(afterlife) = kind.afterlife() else { continue };
        forgotten.push(forget(over, kind.name(), now.minus(afterlife).as_millis())?);
    }
    Ok(forgotten.contains(&AT_ONCE.into()) | sightings::prune(store, now)?)
}

pub(super) fn records(store: &Transaction<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut query = store.prepare_cached("SELECT name, data FROM record")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(super) fn record(store: &Transaction<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    let mut query = store.prepare_cached("SELECT data FROM record WHERE name = ?1")?;
    query.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn keep(store: &Transaction<'_>, name: &str, record: &[u8]) -> Result<()> {
    let kept = "INSERT INTO record (name, data) VALUES (?1, ?2)
                ON CONFLICT DO UPDATE SET data = excluded.data";
    store.prepare_cached(kept)?.execute(params![name, record])?;
    Ok(())
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}
