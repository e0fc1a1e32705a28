//! What hooks heard, as they noted it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::plan::{Fate, Plan};

/// The attempts of each event, as often as they were made.
pub(crate) struct HookLog(HashMap<String, Vec<u32>>);

impl HookLog {
    pub(crate) fn read(dir: &Path) -> Self {
        let mut heard: HashMap<String, Vec<u32>> = HashMap::new();
        let lines = std::fs::read_to_string(dir.join("heard")).expect("readable");
        for line in lines.lines() {
            let (id, attempt) = line.split_once(' ').expect("two words");
            heard.entry(id.to_owned()).or_default().push(attempt.parse().expect("a number"));
        }
        Self(heard)
    }

    /// Hooks hear at least once; how often more is counted.
    pub(crate) fn must_cover(&self, plan: &Plan) -> String {
        for event in plan.events.iter().filter(|event| event.fate == Fate::Hook) {
            assert!(self.0.contains_key(&event.id), "no hook heard of {}", event.id);
        }
        let times: usize = self.0.values().map(Vec::len).sum();
        format!("hooks heard of {} events, {times} times", self.0.len())
    }

    /// Who hears again hears so by another attempt: no two workers had the same.
    pub(crate) fn must_differ(&self) {
        for (id, attempts) in &self.0 {
            let different: HashSet<_> = attempts.iter().collect();
            assert_eq!(different.len(), attempts.len(), "{id} was worked on twice: {attempts:?}");
        }
    }
}
