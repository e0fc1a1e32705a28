//! The file, as an auditor reads it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clerk_resilience::store::SqliteStore;
use rusqlite::Connection;

use super::file;
use crate::hook_log::HookLog;
use crate::plan::{Event, Fate, Plan};

/// Every effect, noted in the transaction that has it.
const AUDIT: &str = "
    CREATE TABLE effect (what TEXT NOT NULL, id TEXT NOT NULL);
    CREATE TRIGGER kept AFTER INSERT ON inbox
        BEGIN INSERT INTO effect VALUES ('kept', NEW.id); END;
    CREATE TRIGGER done AFTER UPDATE OF state ON inbox WHEN NEW.state = 'done'
        BEGIN INSERT INTO effect VALUES ('done', NEW.id); END;
    CREATE TRIGGER denied AFTER INSERT ON denial
        BEGIN INSERT INTO effect VALUES ('denied', NEW.id); END;
    CREATE TRIGGER denied_longer AFTER UPDATE ON denial
        BEGIN INSERT INTO effect VALUES ('denied', NEW.id); END;";

#[derive(Debug)]
pub(crate) struct Audit {
    dir: PathBuf,
}

impl Audit {
    /// Of a new file.
    pub(crate) fn open(dir: &Path) -> Self {
        drop(SqliteStore::open(file(dir)).expect("a new file"));
        let audit = Self { dir: dir.to_owned() };
        audit.read().execute_batch(AUDIT).expect("written");
        audit
    }

    fn read(&self) -> Connection {
        let file = Connection::open(file(&self.dir)).expect("readable");
        file.busy_timeout(Duration::from_secs(10)).expect("set");
        file
    }

    fn texts(&self, query: &str) -> Vec<String> {
        let file = self.read();
        let mut query = file.prepare(query).expect("a query");
        let texts = query.query_map([], |row| row.get(0)).expect("rows");
        texts.collect::<Result<_, _>>().expect("texts")
    }

    /// What was answered is here, whatever happened since, and a child that has just started knows it all.
    pub(crate) fn must_hold(&self, answered: &[&Event], revoked: usize) {
        let kept: HashSet<_> = self.texts("SELECT id FROM inbox").into_iter().collect();
        let denied: HashSet<_> = self.texts("SELECT id FROM denial").into_iter().collect();
        for event in answered {
            assert!(kept.contains(&event.id), "{} was answered and is lost", event.id);
            let session = event.session.as_ref();
            let here = session.is_none_or(|session| denied.contains(session));
            assert!(here, "{} was answered, and what it denies is not denied", event.id);
        }
        assert_eq!(revoked, denied.len(), "denials in the child's memory");
    }

    pub(crate) async fn hooks_must_be_done(&self) {
        let open = "SELECT id FROM inbox WHERE state IN ('received', 'working')";
        while !self.texts(open).is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each event has had each of its effects, once. Says what hooks heard.
    pub(crate) fn must_balance(&self, plan: &Plan) -> String {
        let mut wanted: HashMap<(String, String), usize> = HashMap::new();
        let mut want = |what: &str, id: &str| {
            *wanted.entry((what.to_owned(), id.to_owned())).or_default() += 1;
        };
        for event in &plan.events {
            want("kept", &event.id);
            match (event.fate, &event.session) {
                (Fate::Hook, _) => want("done", &event.id),
                (_, Some(session)) => want("denied", session),
                (_, None) => {}
            }
        }
        let mut found: HashMap<(String, String), usize> = HashMap::new();
        for effect in self.texts("SELECT what || ' ' || id FROM effect") {
            let (what, id) = effect.split_once(' ').expect("two words");
            *found.entry((what.to_owned(), id.to_owned())).or_default() += 1;
        }
        for (effect, times) in &wanted {
            let had = found.get(effect).copied().unwrap_or_default();
            assert_eq!(had, *times, "{effect:?}");
        }
        assert_eq!(found.len(), wanted.len(), "effects that nothing tells of");
        HookLog::read(&self.dir).must_cover(plan)
    }
}
