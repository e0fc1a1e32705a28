//! A map from IDs to times. It is compact, and look-ups and copy-on-write additions are fast.
//!
//! A keyed hash spreads the IDs over buckets, and a bucket is one byte slice of consecutive
//! records. A map and its successor share rows of buckets: an addition copies one row's pointers
//! and one bucket. A filter word beside each pointer excludes most absent IDs with a single memory
//! access, without a look at the records.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use clerk_verify::clock::Timestamp;

const ROWS: usize = 256;
/// With [`ROWS`], a million IDs make about eight records in each bucket.
const BUCKETS: usize = 512;
/// Maximum number of IDs that one pruning pass searches completely. A larger map is searched in
/// parts.
const SMALL: usize = 16 * 1024;
/// Number of parts.
const PARTS: usize = 64;

/// IDs and their times. Clones are cheap. Of two times of one ID, the later counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Option<MarkTable>);

#[derive(Clone, Debug)]
struct MarkTable {
    rows: Arc<[Option<MarkRow>]>,
    len: usize,
    hasher: RandomState,
}

type MarkRow = Arc<[MarkBucket]>;

#[derive(Clone, Debug, Default)]
struct MarkBucket {
    /// The filter: up to two bits for each ID in the bucket.
    filter: u64,
    /// The records: the length of the ID, the time and the ID.
    records: Option<Arc<[u8]>>,
}

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.len == 0)
    }

    pub(super) fn get(&self, id: &str) -> Option<Timestamp> {
        let table = self.0.as_ref()?;
        let place = MarkPosition::of(table.hasher.hash_one(id));
        table.rows[place.row].as_ref()?[place.bucket].get(id, place.filter)
    }

    /// Adds an ID, and copies only the shared parts that change.
    pub(super) fn put(&mut self, id: &str, at: Timestamp) {
        let table = self.0.get_or_insert_with(MarkTable::new);
        let place = MarkPosition::of(table.hasher.hash_one(id));
        let row = &mut Arc::make_mut(&mut table.rows)[place.row];
        let row = row.get_or_insert_with(|| vec![MarkBucket::default(); BUCKETS].into());
        let bucket = &mut Arc::make_mut(row)[place.bucket];
        table.len += usize::from(bucket.put(id, at, place.filter));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let rows = self.0.iter().flat_map(|table| table.rows.iter().flatten());
        rows.flat_map(|row| row.iter()).flat_map(MarkBucket::iter)
    }

    /// Removes the IDs whose time is before `then`. In a large map, each `turn` searches only one
    /// of 64 parts; `None` searches all.
    pub(super) fn forget(&mut self, then: Timestamp, turn: Option<usize>) {
        let Some(table) = &mut self.0 else { return };
        let part = turn.filter(|_| table.len > SMALL).map(|turn| turn % PARTS);
        for index in (0..ROWS).filter(|index| part.is_none_or(|part| index % PARTS == part)) {
            let Some(row) = &table.rows[index] else { continue };
            let old: Vec<usize> = (0..BUCKETS).filter(|at| row[*at].has_before(then)).collect();
            for at in old {
                let row = Arc::make_mut(&mut table.rows)[index].get_or_insert_default();
                table.len -= Arc::make_mut(row)[at].forget(then, &table.hasher);
            }
        }
        if table.len == 0 {
            self.0 = None;
        }
    }
}

impl MarkTable {
    fn new() -> Self {
        Self { rows: vec![None; ROWS].into(), len: 0, hasher: RandomState::new() }
    }
}

/// The position of an ID.
struct MarkPosition {
    row: usize,
    bucket: usize,
    filter: u64,
}

impl MarkPosition {
    fn of(hash: u64) -> Self {
        Self {
            row: (hash >> 48) as usize % ROWS,
            bucket: (hash >> 16) as usize % BUCKETS,
            filter: 1 << (hash % 64) | 1 << (hash / 64 % 64),
        }
    }
}

impl MarkBucket {
    fn get(&self, id: &str, filter: u64) -> Option<Timestamp> {
        if self.filter & filter != filter {
            return None;
        }
        self.records().find(|(known, _)| *known == id.as_bytes()).map(|(_, at)| at)
    }

    /// Returns true if the ID is new.
    fn put(&mut self, id: &str, at: Timestamp, filter: u64) -> bool {
        let kept = self.get(id, filter);
        if kept.is_some_and(|kept| kept >= at) {
            return false;
        }
        let others = self.records().filter(|(known, _)| *known != id.as_bytes());
        let bytes = joined(others.chain([(id.as_bytes(), at)]));
        self.records = Some(bytes.into());
        self.filter |= filter;
        kept.is_none()
    }

    fn has_before(&self, then: Timestamp) -> bool {
        self.records().any(|(_, at)| at < then)
    }

    /// Returns the number of removed IDs.
    fn forget(&mut self, then: Timestamp, hasher: &RandomState) -> usize {
        let (rest, old): (Vec<_>, Vec<_>) = self.iter().partition(|(_, at)| *at >= then);
        let filters = rest.iter().map(|(id, _)| MarkPosition::of(hasher.hash_one(*id)).filter);
        let filter = filters.fold(0, |all, one| all | one);
        let bytes = joined(rest.iter().map(|(id, at)| (id.as_bytes(), *at)));
        let forgotten = old.len();
        *self = Self { filter, records: (!bytes.is_empty()).then(|| bytes.into()) };
        forgotten
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.records().map(|(id, at)| (str::from_utf8(id).unwrap_or_default(), at))
    }

    fn records(&self) -> impl Iterator<Item = (&[u8], Timestamp)> {
        let mut rest = self.records.as_deref().unwrap_or_default();
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk()?;
            let (at, after) = after.split_first_chunk()?;
            let (id, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = after;
            Some((id, Timestamp::from_millis(i64::from_le_bytes(*at))))
        })
    }
}

fn joined<'a>(records: impl Iterator<Item = (&'a [u8], Timestamp)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, at) in records {
        // IDs are far shorter than this limit.
        let Ok(len) = u32::try_from(id.len()) else { continue };
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&at.as_millis().to_le_bytes());
        bytes.extend_from_slice(id);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn filled(count: i64) -> Marks {
        let mut marks = Marks::default();
        (0..count).for_each(|n| marks.put(&format!("sess_{n}"), at(n)));
        marks
    }

    #[test]
    fn the_table_agrees_with_a_map() {
        let (mut marks, mut map) = (Marks::default(), HashMap::new());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..40_000 {
            let (id, time) = (format!("id_{}", random.u16(..)), at(random.i64(0..100)));
            marks.put(&id, time);
            let kept = map.entry(id).or_insert(time);
            *kept = time.max(*kept);
        }
        for id in (0..=u16::MAX).map(|n| format!("id_{n}")) {
            assert_eq!(marks.get(&id), map.get(&id).copied(), "{id}");
        }
        let listed: HashMap<_, _> = marks.iter().map(|(id, at)| (id.to_owned(), at)).collect();
        assert_eq!((listed.len(), marks.iter().count()), (map.len(), map.len()));
        assert_eq!(listed, map);
    }

    #[test]
    fn a_set_stays_as_it_was_when_its_clone_changes() {
        let before = filled(1000);
        let mut after = before.clone();
        after.put("sess_1", at(5000));
        after.put("one more", at(1));
        after.forget(at(500), None);
        assert_eq!((before.get("sess_1"), before.get("one more")), (Some(at(1)), None));
        assert_eq!(before.iter().count(), 1000);
        assert_eq!((after.get("sess_1"), after.get("one more")), (Some(at(5000)), None));
        assert_eq!(after.iter().count(), 501);
    }

    #[test]
    fn a_small_set_expires_at_once_and_a_large_one_in_64_turns() {
        let mut small = filled(1000);
        small.forget(at(400), Some(7));
        assert_eq!(small.iter().count(), 600);

        let mut large = Marks::default();
        (0..50_000).for_each(|n| large.put(&format!("sess_{n}"), at(n / 1_000)));
        for turn in 0..PARTS {
            let before = large.iter().count();
            large.forget(at(25), Some(turn));
            let gone = before - large.iter().count();
            assert!((1..2_000).contains(&gone), "{gone} in turn {turn}");
        }
        let left = |n| large.get(&format!("sess_{n}"));
        assert!((0..50_000).all(|n| left(n) == (n >= 25_000).then_some(at(n / 1_000))));
        assert_eq!(large.iter().count(), 25_000);
    }

    #[test]
    fn a_set_that_has_forgotten_all_is_empty() {
        let mut marks = filled(10);
        marks.forget(at(10), None);
        assert!(marks.is_empty() && marks.0.is_none());
        marks.put("", at(1));
        assert_eq!((marks.get(""), marks.is_empty()), (Some(at(1)), false));
    }
}
