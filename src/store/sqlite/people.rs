//! What is known of users, a JSON document each.

use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension as _, Result, Transaction, params};

use crate::id::UserId;
use crate::profile::{Change, Person};

pub(super) fn find(store: &Transaction<'_>, id: &UserId) -> Result<Option<Person>> {
    let mut query = store.prepare_cached("SELECT data FROM person WHERE id = ?1")?;
    let data: Option<String> = query.query_row([id.as_str()], |row| row.get(0)).optional()?;
    data.map(|data| serde_json::from_str(&data).map_err(unreadable)).transpose()
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
    let data = serde_json::to_string(person).map_err(unreadable)?;
    let save = "INSERT INTO person (id, data) VALUES (?1, ?2)
                ON CONFLICT DO UPDATE SET data = excluded.data";
    store.prepare_cached(save)?.execute(params![id.as_str(), data])?;
    Ok(())
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}
