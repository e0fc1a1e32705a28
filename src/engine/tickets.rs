//! Tickets: what the ledger has of a session, kept by its browser for another process.

use std::time::Duration;

use clerk_verify::clock::Moment;
use clerk_verify::token::cookie;
use http::{HeaderMap, HeaderValue};

use super::shared::Shared;
use super::verified::CachedToken;
use crate::decide::Sighting;
use crate::state::ticket::{COOKIE, Ticket, TicketBinding, TicketKeys};

/// A ticket is made anew when it is so old; grace looks back further than that.
const RENEWED_AFTER: Duration = Duration::from_secs(5 * 60);
/// No grace lasts longer than a day, and no ticket is of use without it.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400";

/// Makes tickets, and takes them for sightings.
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

    /// The cookie for a session that is seen valid now, unless the browser has one that will do.
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
    /// What the ticket of a browser says about its session. A ticket from the future is not believed.
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

    /// Notes that a session passed in grace, and the ticket that showed it.
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
