//! The schema of the file and its migrations.

use std::time::Duration;

use rusqlite::Connection;

use super::file::DataFile;
use crate::store::StoreError;

/// Each migration upgrades the file from one schema version to the next. A released migration never
/// changes.
const MIGRATIONS: [&str; 4] =
    [include_str!("1.sql"), include_str!("2.sql"), include_str!("3.sql"), include_str!("4.sql")];
/// Maximum time to wait for another program's lock on the file. It is shorter than a delivery
/// waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// Size in bytes to which the write-ahead log is truncated for reuse.
const LOG_BYTES: u32 = 64 * 1024 * 1024;
/// Capacity of the statement cache: all statements, with some spare room.
const STATEMENTS: usize = 64;

/// Prepares a file for use: checks that it is undamaged and of a known version, and migrates it to
/// the newest version.
pub(super) fn prepare(store: &mut Connection, file: &DataFile) -> Result<(), StoreError> {
    store.busy_timeout(PATIENCE).map_err(|error| file.explain(&error))?;
    let found = check(store, file)?;
    tune(store).and_then(|()| migrate(store, found)).map_err(|error| file.explain(&error))
}

fn check(store: &Connection, file: &DataFile) -> Result<i64, StoreError> {
    let number = |query: &str| -> Result<i64, StoreError> {
        store.query_row(query, [], |row| row.get(0)).map_err(|error| file.explain(&error))
    };
    let damaged = |problem: String| StoreError::Damaged { path: file.name(), problem };
    let health: String = store
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| file.explain(&error))?;
    if health != "ok" {
        return Err(damaged(health));
    }
    let found = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let ours =
        number("SELECT count(*) FROM sqlite_schema WHERE tbl_name IN ('inbox', 'denial')")? > 0;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found {
        _ if tables > 0 && !(ours && found > 0) => {
            Err(damaged("it is another program's database".to_owned()))
        }
        _ if (0..=known).contains(&found) => Ok(found),
        _ => Err(StoreError::Newer { path: file.name(), found, known }),
    }
}

/// Sets the connection's cache size and pragmas.
fn tune(store: &Connection) -> rusqlite::Result<()> {
    store.set_prepared_statement_cache_capacity(STATEMENTS);
    store.pragma_update(None, "journal_mode", "WAL")?;
    store.pragma_update(None, "synchronous", "FULL")?;
    store.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    // Deleted data is overwritten: events after their hooks ran, and deleted users.
    store.pragma_update(None, "secure_delete", "ON")
}

fn migrate(store: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    for (version, migration) in (found + 1..).zip(missing) {
        let step = store.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", version)?;
        step.commit()?;
    }
    Ok(())
}
