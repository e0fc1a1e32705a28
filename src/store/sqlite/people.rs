//! What is known of users, a JSON document each.

use rusqlite::{Error, OptionalExtension as _, Result, Transaction, params};

use crate::id::UserId;
use crate::profile::{Change, Person};

/// A document that cannot be read is put aside, under a name that is no user's, and the user begun anew:
/// it must not stop what comes of them later.
pub(super) fn find(store: &Transaction<'_>, id: &UserId) -> Result<Option<Person>> {
    let mut query = store.prepare_cached("SELECT data FROM person WHERE id = ?1")?;
    let data: Option<String> = query.query_row([id.as_str()], |row| row.get(0)).optional()?;
    let Some(data) = data else { return Ok(None) };
    match serde_json::from_str(&data) {
        Ok(person) => Ok(Some(person)),
        Err(error) => {
            put_aside(store, id)?;
            // Its own words may quote the document.
            let (line, column) = (error.line(), error.column());
            tracing::warn!(
                event = "clerk.store.unreadable_person",
                line,
                column,
                "what was kept of a user cannot be read; it is in the table `person` as `unreadable/` and their id, and they are begun anew"
            );
            Ok(None)
        }
    }
}

fn put_aside(store: &Transaction<'_>, id: &UserId) -> Result<()> {
    let aside = "UPDATE OR REPLACE person SET id = 'unreadable/' || id WHERE id = ?1";
    store.prepare_cached(aside)?.execute([id.as_str()])?;
    Ok(())
}

/// One document after the other: two changes may be about one user.
pub(super) fn merge(store: &Transaction<'_>, changes: &[Change]) -> Result<()> {
    for change in changes {
        let id = change.user();
        let mut person = find(store, id)?.unwrap_or_default();
        if person.take(change) {
            save(store, id, &person)?;
        }
    }
    Ok(())
}

fn save(store: &Transaction<'_>, id: &UserId, person: &Person) -> Result<()> {
    let data = serde_json::to_string(person)
        .map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
    let save = "INSERT INTO person (id, data) VALUES (?1, ?2)
                ON CONFLICT DO UPDATE SET data = excluded.data";
    store.prepare_cached(save)?.execute(params![id.as_str(), data])?;
    Ok(())
}
