//! Tickets: sightings of a session in a signed cookie, for instances that have not seen the
//! session.

use std::time::Duration;

use clerk_verify::clock::Moment;
use clerk_verify::token::cookie;
use http::{HeaderMap, HeaderValue};

use super::shared::Shared;
use super::verified::CachedToken;
use crate::decide::Sighting;
use crate::state::ticket::{COOKIE, Ticket, TicketBinding, TicketKeys};

/// A ticket older than this is renewed. Grace accepts older evidence than this.
const RENEWED_AFTER: Duration = Duration::from_secs(5 * 60);
/// Attributes of the ticket cookie. Grace never lasts longer than a day, so neither does a ticket.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400";

/// Issues and verifies tickets.
#[derive(Debug)]
pub(crate) struct Tickets {
    pub(crate) keys: TicketKeys,
    pub(crate) issuer: String,
}

impl Tickets {
    fn bound<'a>(&'a self, known: &'a CachedToken, host: &'a str) -> TicketBinding<'a> {
        TicketBinding { issuer: &self.issuer, session: known.verified.session(), host }
    }

    fn carried(&self, headers: &HeaderMap, known: &CachedToken, host: &str) -> Option<Ticket> {
        let text = std::str::from_utf8(cookie(headers, COOKIE)?).ok()?;
        self.keys.open(text, self.bound(known, host))
    }

    /// Returns a ticket cookie for a valid session, or `None` if the browser's ticket is recent
    /// enough.
    pub(crate) fn renew(
        &self,
        headers: &HeaderMap,
        known: &CachedToken,
        host: &str,
        now: Moment,
    ) -> Option<HeaderValue> {
        let Sighting { last_valid, claims_as_of } =
            Sighting::now(now.wall, known.verified.session());
        let carried = self.carried(headers, known, host);
        let recent = |held: &Ticket| now.wall.since(held.last_valid) < RENEWED_AFTER;
        if carried.filter(recent).is_some_and(|held| held.claims_as_of >= claims_as_of) {
            return None;
        }
        let ticket = Ticket { last_valid, claims_as_of };
        let sealed = self.keys.seal(ticket, self.bound(known, host));
        HeaderValue::try_from(format!("{COOKIE}={sealed}; {ATTRIBUTES}")).ok()
    }
}

impl Shared {
    /// Returns the sighting in the browser's ticket for its session.
    ///
    /// A ticket with a time in the future is ignored.
    pub(crate) fn ticket(
        &self,
        headers: &HeaderMap,
        known: &CachedToken,
        host: &str,
        now: Moment,
    ) -> Option<Sighting> {
        let ticket = self.tickets.as_ref()?.carried(headers, known, host)?;
        let Ticket { last_valid, claims_as_of } = ticket;
        (last_valid <= now.wall).then_some(Sighting { last_valid, claims_as_of })
    }

    /// Records a request accepted in grace, and merges the sighting of the ticket that justified
    /// it.
    pub(crate) fn passed_in_grace(
        &self,
        known: &CachedToken,
        ticket: Option<Sighting>,
        now: Moment,
    ) {
        let Some(digest) = known.session else { return };
        if let Some(ticket) = ticket {
            self.core.seen_sessions.merge(digest, ticket);
        }
        self.core.grace_usage.passed(digest, now.wall);
    }
}
