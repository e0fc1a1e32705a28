//! The server's journal, in which each command that changed something stands once.

use std::collections::HashMap;
use std::path::Path;

use test_support::redis_server::Server;

use super::key;
use crate::hook_log::HookLog;
use crate::plan::{Fate, Plan};

/// Effects on an event or a session, each as often as it happened; of denials their times.
#[derive(Default)]
pub(super) struct Journal {
    effects: HashMap<(&'static str, String), usize>,
    denials: HashMap<String, Vec<i64>>,
}

impl Journal {
    pub(super) fn of(server: &Server) -> Self {
        let mut journal = Self::default();
        let bytes = server.journal();
        let mut rest = bytes.as_slice();
        let mut block: Option<Vec<Vec<String>>> = None;
        while let Some(words) = command(&mut rest) {
            // What was begun when the server was killed, and has no end, was never done.
            match (words.first().map(String::as_str), &mut block) {
                (Some("MULTI"), _) => block = Some(Vec::new()),
                (Some("EXEC"), _) => {
                    block.take().into_iter().flatten().for_each(|words| journal.note(&words));
                }
                (_, Some(block)) => block.push(words),
                (_, None) => journal.note(&words),
            }
        }
        assert!(rest.is_empty(), "the journal can be read to its end");
        journal
    }

    fn note(&mut self, words: &[String]) {
        let [command, of, rest @ ..] = words else { return };
        let named = |name| *of == key(name);
        match (command.as_str(), rest) {
            ("ZADD", [_, id]) if named("done") => self.count("done", id),
            ("ZADD", [_, id]) if named("dead") => self.count("dead", id),
            ("HSET", [id, _]) if named("event") => self.count("kept", id),
            ("ZADD", [.., time, id]) if named("denied:session") => {
                let time = time.parse().expect("a time");
                self.denials.entry(id.clone()).or_default().push(time);
            }
            _ => {}
        }
    }

    fn count(&mut self, what: &'static str, id: &str) {
        *self.effects.entry((what, id.to_owned())).or_default() += 1;
    }

    /// Each event has had each of its effects, once. Of the denials of a session each made it longer, so
    /// that none was applied twice. Says what hooks heard.
    pub(super) fn must_balance(mut self, plan: &Plan, dir: &Path) -> String {
        for event in &plan.events {
            let wanted: &[&str] = match event.fate {
                Fate::Denial => &["done"],
                Fate::Hook => &["kept", "done"],
                Fate::Nonsense => &["kept", "dead"],
            };
            for what in wanted {
                let times = self.effects.remove(&(*what, event.id.clone()));
                assert_eq!(times, Some(1), "{what} {}", event.id);
            }
            if let Some(session) = &event.session {
                let times = self.denials.get(session).expect("it is denied");
                assert!(times.is_sorted_by(|one, next| one < next), "{session}: {times:?}");
            }
        }
        assert_eq!(self.effects, HashMap::new(), "effects that nothing tells of");
        let heard = HookLog::read(dir);
        heard.must_differ();
        heard.must_cover(plan)
    }
}

/// The next one: how many words, and of each its length and itself.
fn command(rest: &mut &[u8]) -> Option<Vec<String>> {
    let count = number(rest, b'*')?;
    (0..count).map(|_| word(rest)).collect()
}

fn word(rest: &mut &[u8]) -> Option<String> {
    let length = number(rest, b'$')?;
    let (word, after) = rest.split_at_checked(length)?;
    *rest = after.strip_prefix(b"\r\n")?;
    Some(String::from_utf8_lossy(word).into_owned())
}

fn number(rest: &mut &[u8], sign: u8) -> Option<usize> {
    let digits = rest.strip_prefix(&[sign])?;
    let end = digits.iter().position(|byte| *byte == b'\r')?;
    *rest = digits.get(end + 2..)?;
    str::from_utf8(&digits[..end]).ok()?.parse().ok()
}
