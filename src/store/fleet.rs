//! What several instances of an application tell each other through a store that they share.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use super::inbox::Pending;
use super::sighting::Sightings;
use crate::state::revocation::Denial;

/// The part of a store that instances share. It is used by the driver alone, and what it tells can
/// make an instance stricter at any time, but never on its own word laxer.
pub trait SharedStore: fmt::Debug + Send + Sync {
    /// The denials since `after`; waits a few seconds for one. Without `after`, or when the feed does not
    /// reach back that far, all that there are, in as many pages as they need: each mark leads to the next
    /// page, and the last one to what came since the first was asked for. A page that could not be read is
    /// asked for again with the same mark.
    fn follow(&self, after: Option<FeedMark>) -> Pending<Feed>;

    /// Tells the others something of this member, for `ttl`; in place of what it told before.
    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()>;

    /// What members told and what still holds, with their names.
    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>>;

    /// The sightings since `after`, by whomever; without it, or when what was read before is not there any
    /// more, all that there are. Default: none are told.
    fn sighted(&self, after: Option<FeedMark>) -> Pending<Sightings> {
        drop(after);
        Box::pin(ready(Ok(Sightings::default())))
    }

    /// True for the first member that says so of `what`, until `ttl` is over.
    fn first(&self, what: &str, ttl: Duration) -> Pending<bool>;
}

/// How far something was read; only its store knows what it means.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FeedMark(pub String);

/// What was read of a feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// News in the order in which they came, or a page of all that there are. Empty when nothing came
    /// meanwhile.
    pub denials: Vec<Denial>,
    /// From here it goes on.
    pub mark: FeedMark,
    /// What the denials are.
    pub part: Part,
    /// There is more behind the mark already, so that nobody knows all yet.
    pub more: bool,
}

/// What a feed's denials are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// What came since the mark.
    News,
    /// The first page of all that there are. What was read of all of them before counts no more.
    First,
    /// One more page of them.
    Next,
}
