//! What is in the file, by version.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::store::StoreError;

/// Each takes the file from the version before to the next; a version is never changed afterwards.
const MIGRATIONS: [&str; 2] = [include_str!("1.sql"), include_str!("2.sql")];
/// How long somebody else, an operator with a tool, may hold the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes a file ready for use: sound, of a known version, and brought up to the newest.
pub(super) fn prepare(store: &mut Connection, path: &str) -> Result<(), StoreError> {
    let found = check(store, path)?;
    migrate(store, found).map_err(|error| explain(path, &error))
}

fn check(store: &Connection, path: &str) -> Result<i64, StoreError> {
    let explain = |error| explain(path, &error);
    let damaged = |problem: String| StoreError::Damaged { path: path.to_owned(), problem };
    store.busy_timeout(PATIENCE).map_err(explain)?;
    let health: String =
        store.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(explain)?;
    if health != "ok" {
        return Err(damaged(health));
    }
    let found: i64 =
        store.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(explain)?;
    let tables: i64 = store
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(explain)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found {
        0 if tables > 0 => Err(damaged("it is another program's database".to_owned())),
        _ if (0..=known).contains(&found) => Ok(found),
        _ => Err(StoreError::Newer { path: path.to_owned(), found, known }),
    }
}

fn migrate(store: &mut Connection, found: i64) -> rusqlite::Result<()> {
    store.pragma_update(None, "journal_mode", "WAL")?;
    store.pragma_update(None, "synchronous", "FULL")?;
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    for (version, migration) in (found + 1..).zip(missing) {
        let step = store.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", version)?;
        step.commit()?;
    }
    Ok(())
}

fn explain(path: &str, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), problem: error.to_string() }
        }
        _ => StoreError::Failed(format!("{path}: {error}")),
    }
}
