//! Stored users, one JSON document each.

use clerk_verify::id::UserId;
use rusqlite::{Error, OptionalExtension as _, Result, Row, Transaction, params};

use crate::state::profile::{Change, Person};
use crate::store::fleet::FeedMark;
use crate::store::inbox::UserPage;

/// Number of users on a page.
const ROLL: i64 = 100;

/// Loads a user. A document that cannot be parsed moves to a row whose id is no user id, and the
/// user starts empty. The damaged document thus does not block later changes of the user.
pub(super) fn find(store: &Transaction<'_>, id: &UserId) -> Result<Option<Person>> {
    let mut query = store.prepare_cached("SELECT data FROM person WHERE id = ?1")?;
    let data: Option<String> = query.query_row([id.as_str()], |row| row.get(0)).optional()?;
    let Some(data) = data else { return Ok(None) };
    match serde_json::from_str(&data) {
        Ok(person) => Ok(Some(person)),
        Err(error) => {
            put_aside(store, id)?;
            // The message of the parser may quote the document, so only the position is logged.
            let (line, column) = (error.line(), error.column());
            tracing::warn!(
                event = "clerk.store.unreadable_person",
                line,
                column,
                "a stored user cannot be parsed; the document was moved to the id `unreadable/` plus the user id in the table `person`, and the user starts empty"
            );
            Ok(None)
        }
    }
}

/// Returns the users after that id. Documents that cannot be parsed are skipped; [`find`] handles
/// them.
pub(super) fn roll(store: &Transaction<'_>, after: &str) -> Result<UserPage> {
    let mut query = store.prepare_cached(
        "SELECT id, data FROM person WHERE id > ?1 AND id NOT LIKE 'unreadable/%'
         ORDER BY id LIMIT ?2",
    )?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let rows: Vec<(String, String)> =
        query.query_map(params![after, ROLL], row)?.collect::<Result<_>>()?;
    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= ROLL);
    let next = rows.last().filter(|_| full).map(|(id, _)| FeedMark(id.clone()));
    let read =
        |(id, data): (String, String)| Some((UserId::from(id), serde_json::from_str(&data).ok()?));
    Ok(UserPage { people: rows.into_iter().filter_map(read).collect(), next })
}

fn put_aside(store: &Transaction<'_>, id: &UserId) -> Result<()> {
    let aside = "UPDATE OR REPLACE person SET id = 'unreadable/' || id WHERE id = ?1";
    store.prepare_cached(aside)?.execute([id.as_str()])?;
    Ok(())
}

/// Merges changes one after the other, because two changes may concern one user.
pub(super) fn merge(store: &Transaction<'_>, changes: &[Change]) -> Result<()> {
    for change in changes {
        let id = change.user();
        let mut person = find(store, id)?.unwrap_or_default();
        if person.take(change) {
            save(store, id, &person)?;
        }
        if matches!(change, Change::UserDeleted(..)) {
            let aside = "DELETE FROM person WHERE id = 'unreadable/' || ?1";
            store.prepare_cached(aside)?.execute([id.as_str()])?;
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
