//! A set of ids, each with a time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;

/// Ids and their times. It is cheap to clone; of two times of one id the later one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Arc<HashMap<Arc<str>, Timestamp>>);

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, id: &str) -> Option<Timestamp> {
        self.0.get(id).copied()
    }

    /// Copies the map once, however many follow.
    pub(super) fn put(&mut self, id: &str, at: Timestamp) {
        let kept = Arc::make_mut(&mut self.0).entry(id.into()).or_insert(at);
        *kept = at.max(*kept);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.0.iter().map(|(id, at)| (&**id, *at))
    }

    /// Forgets those of before `then`.
    pub(super) fn forget(&mut self, then: Timestamp) {
        if self.0.values().any(|at| *at < then) {
            Arc::make_mut(&mut self.0).retain(|_, at| *at >= then);
        }
    }
}
