//! [`SharedStore`]: what instances of an application exchange through a store that they share.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use super::inbox::Pending;
use super::sighting::Sightings;
use crate::state::revocation::Denial;

/// The part of a store that instances share. [`Store::fleet`](super::Store::fleet) returns it.
///
/// Only background tasks call it, never requests. Data from it can make an instance stricter at any
/// time, but never more permissive on its own.
///
/// An implementation shares denials, what members observe of Clerk, sightings, and claims of work
/// that one member does for all. A writer without the secret key can end sessions, and cannot open
/// grace: views and sightings carry a MAC under Clerk's secret key.
pub trait SharedStore: fmt::Debug + Send + Sync {
    /// Returns the denials since `after`, and waits a few seconds if there are none.
    ///
    /// Without `after`, or if the feed no longer reaches back to it, returns all denials in pages.
    /// Each mark leads to the next page. The mark of the last page leads to denials that were added
    /// since the first page was requested. To retry a page that could not be read, pass the same
    /// mark again.
    fn follow(&self, after: Option<FeedMark>) -> Pending<Feed>;

    /// Publishes data of this member for `ttl` and replaces its earlier data.
    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()>;

    /// Returns the data that members published and that has not expired, with the members' names.
    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>>;

    /// Returns the sightings since `after`, recorded by any instance. Without `after`, or if the
    /// store lost the data that the mark refers to, returns all sightings. Default: none.
    fn sighted(&self, after: Option<FeedMark>) -> Pending<Sightings> {
        drop(after);
        Box::pin(ready(Ok(Sightings::default())))
    }

    /// Returns `true` for the first caller that claims `what`, and `false` for others until `ttl`
    /// has passed.
    fn first(&self, what: &str, ttl: Duration) -> Pending<bool>;
}

/// A position in a feed or listing. Its text is opaque: only the store that made it can interpret
/// it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FeedMark(pub String);

/// A part of the denial feed. The reader continues with [`mark`](Self::mark), and knows every
/// denial once [`more`](Self::more) is false.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Feed {
    /// New denials in the order in which they were added, or a page of all denials. Empty if no
    /// denial was added while the call waited.
    pub denials: Vec<Denial>,
    /// The position after these denials.
    pub mark: FeedMark,
    /// Whether the denials are new ones or a page of all.
    pub part: FeedPart,
    /// Whether more denials are available after the mark. If so, the reader does not know all
    /// denials yet.
    pub more: bool,
}

/// The kind of a [`Feed`]'s denials. A reader that receives [`First`](Self::First) starts its list
/// again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedPart {
    /// Denials that were added since the mark.
    News,
    /// The first page of all denials. It discards the pages of any earlier full reading.
    First,
    /// A further page of all denials.
    Next,
}
