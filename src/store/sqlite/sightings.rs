//! Sightings of sessions in the SQLite file.

use clerk_verify::clock::Timestamp;
use rusqlite::{Result, Row, Transaction, params};

use super::statements::{AT_ONCE, time};
use crate::decide::policy::MAX_GRACE;
use crate::store::fleet::FeedMark;
use crate::store::sighting::{SESSIONS, Sightings, StoredSighting};

pub(super) fn witness(store: &Transaction<'_>, sightings: &[StoredSighting]) -> Result<()> {
    let mut note = store.prepare_cached(
        "INSERT INTO sighting (session, claims, seen, mark) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE
         SET claims = excluded.claims, seen = excluded.seen, mark = excluded.mark
         WHERE (excluded.claims, excluded.seen) > (claims, seen)",
    )?;
    for StoredSighting { session, claims_as_of, last_valid, mark } in sightings {
        note.execute(params![session, claims_as_of.as_millis(), last_valid.as_millis(), mark])?;
    }
    Ok(())
}

pub(super) fn all(store: &Transaction<'_>) -> Result<Sightings> {
    let mut query = store.prepare_cached("SELECT session, claims, seen, mark FROM sighting")?;
    let sighted = |row: &Row<'_>| {
        Ok(StoredSighting {
            session: row.get(0)?,
            claims_as_of: time(row, 1)?,
            last_valid: time(row, 2)?,
            mark: row.get(3)?,
        })
    };
    let sighted = query.query_map([], sighted)?.collect::<Result<_>>()?;
    Ok(Sightings { sighted, mark: FeedMark::default(), whole: true })
}

/// Deletes some of the sightings that are too old or exceed the maximum. Returns whether more may
/// remain.
pub(super) fn prune(store: &Transaction<'_>, now: Timestamp) -> Result<bool> {
    let old = "DELETE FROM sighting WHERE session IN
               (SELECT session FROM sighting WHERE seen < ?1 LIMIT ?2)";
    let before = now.minus(MAX_GRACE).as_millis();
    let old = store.prepare_cached(old)?.execute(params![before, AT_ONCE])?;
    let most = i64::try_from(SESSIONS).unwrap_or(i64::MAX);
    let many = "DELETE FROM sighting WHERE session IN
                (SELECT session FROM sighting ORDER BY seen DESC LIMIT ?2 OFFSET ?1)";
    let many = store.prepare_cached(many)?.execute(params![most, AT_ONCE])?;
    Ok([old, many].contains(&AT_ONCE.into()))
}
