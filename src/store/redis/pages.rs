//! Reading all denials page by page: kind by kind, in the order of their times.
//!
//! A denial whose time grows meanwhile appears again on a later page, and new denials are in the
//! feed. No denial is missed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use clerk_verify::clock::Timestamp;

use super::keys::RedisKeys;
use super::link::RedisConnection;
use super::script;
use crate::state::revocation::{Denial, Kind};
use crate::store::fleet::FeedMark;
use crate::store::inbox::StoreError;

/// Number of denials on a page. Reading one occupies the server for one or two milliseconds.
const PAGE: usize = 1_000;
/// Prefix of a mark within a full reading. A mark of the feed is an id of the stream.
const SIGN: &str = "all";

/// The position within a full reading.
#[derive(Clone, Debug)]
pub(super) struct PagePosition {
    /// The end of the feed when the reading began.
    pub(super) origin: String,
    /// The index of the kind.
    kind: usize,
    /// The time and id of the last denial that was read of that kind.
    last: Option<(String, Vec<u8>)>,
}

impl PagePosition {
    pub(super) fn first(origin: String) -> Self {
        Self { origin, kind: 0, last: None }
    }

    pub(super) fn is_first(&self) -> bool {
        self.kind == 0 && self.last.is_none()
    }

    pub(super) fn mark(&self) -> FeedMark {
        let Self { origin, kind, last } = self;
        let last = last.as_ref().map(|(time, id)| format!("/{time}/{}", BASE64.encode(id)));
        FeedMark(format!("{SIGN}/{origin}/{kind}{}", last.unwrap_or_default()))
    }

    /// Parses a mark. Returns `None` for a mark of the feed.
    pub(super) fn of(mark: &FeedMark) -> Option<Self> {
        let mut parts = mark.0.split('/');
        (parts.next()? == SIGN).then_some(())?;
        let (origin, kind) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let last = match (parts.next(), parts.next()) {
            (Some(time), Some(id)) => Some((time.to_owned(), BASE64.decode(id).ok()?)),
            _ => None,
        };
        Some(Self { origin, kind, last })
    }

    fn next_kind(self) -> Self {
        Self { kind: self.kind + 1, last: None, ..self }
    }
}

/// Reads one page, which spans several kinds if they are small. Also returns where the next page
/// begins; `None` after the last page.
pub(super) async fn read(
    link: &RedisConnection,
    keys: &RedisKeys,
    from: PagePosition,
) -> Result<(Vec<Denial>, Option<PagePosition>), StoreError> {
    let (mut denials, mut place, mut room) = (Vec::new(), from, PAGE);
    while let Some(kind) = Kind::ALL.get(place.kind).copied() {
        let mut call = script::PAGE.prepare_invoke();
        call.key(keys.denied(kind)).arg(room);
        if let Some((time, id)) = &place.last {
            call.arg(time).arg(id);
        }
        let rows: Vec<(Vec<u8>, String)> = link.run(&call).await?;
        room -= rows.len().min(room);
        denials.extend(rows.iter().filter_map(|(id, time)| denial(kind, id, time)));
        place = match rows.into_iter().next_back() {
            Some((id, time)) if room == 0 => {
                return Ok((denials, Some(PagePosition { last: Some((time, id)), ..place })));
            }
            _ => place.next_kind(),
        };
    }
    Ok((denials, None))
}

/// Parses a score of a sorted set: exact for 280,000 years, saturating after that.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn denial(kind: Kind, id: &[u8], time: &str) -> Option<Denial> {
    let at = Timestamp::from_millis(time.parse::<f64>().ok()? as i64);
    Denial::of(kind, str::from_utf8(id).ok()?, at)
}
