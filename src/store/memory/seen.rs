//! Sightings in the order in which they were recorded.

use std::collections::{BTreeMap, HashMap};

use clerk_verify::clock::Timestamp;

use crate::store::fleet::FeedMark;
use crate::store::sighting::{SESSIONS, Sightings, StoredSighting};

#[derive(Default)]
pub(super) struct SightingTable {
    sessions: HashMap<String, (u64, StoredSighting)>,
    order: BTreeMap<u64, String>,
    /// The position of the newest sighting.
    last: u64,
}

impl SightingTable {
    pub(super) fn note(&mut self, sighted: StoredSighting) {
        let known = self.sessions.get(&sighted.session);
        if known.is_some_and(|(_, known)| known.rank() >= sighted.rank()) {
            return;
        }
        self.last += 1;
        self.order.insert(self.last, sighted.session.clone());
        let before = self.sessions.insert(sighted.session.clone(), (self.last, sighted));
        if let Some((place, _)) = before {
            self.order.remove(&place);
        }
        if self.order.len() > SESSIONS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.sessions.remove(&oldest);
        }
    }

    /// Returns the sightings after the mark, or all of them if the mark is missing or unknown.
    pub(super) fn since(&self, after: Option<&FeedMark>) -> Sightings {
        let place = after.and_then(|mark| mark.0.parse::<u64>().ok()).filter(|at| *at <= self.last);
        let news = self.order.range(place.map_or(0, |at| at + 1)..);
        let sighted = news.filter_map(|(_, session)| self.sessions.get(session));
        Sightings {
            sighted: sighted.map(|(_, sighted)| sighted.clone()).collect(),
            mark: FeedMark(self.last.to_string()),
            whole: place.is_none(),
        }
    }

    pub(super) fn forget(&mut self, before: Timestamp) {
        self.sessions.retain(|_, (_, sighted)| sighted.last_valid >= before);
        self.order.retain(|_, session| self.sessions.contains_key(session));
    }
}
