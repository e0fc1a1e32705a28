//! Tickets in requests: which browsers get one, and when one counts.

use clerk_verify::clock::Moment;
use clerk_verify::token::{Located, Timing};
use http::{HeaderValue, Request};

use super::service::{Authenticator, Judgement};
use crate::decide::Sighting;
use crate::engine::Examined;
use crate::http::origin::RequestTarget;

impl Authenticator {
    /// Returns the sighting of a ticket that accompanies an expired token.
    pub(super) fn redeem<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        now: Moment,
    ) -> Option<Sighting> {
        let Examined::Verified(known, Timing::Expired { .. }) = examined else { return None };
        let host = self.answers.origins.host(RequestTarget::of(request));
        self.shared.ticket(request.headers(), known, &host, now)
    }

    /// Returns a ticket for a browser with a valid session token. Programs get no tickets.
    pub(super) fn ticket<B>(
        &self,
        request: &Request<B>,
        token: &Located<'_>,
        examined: &Examined,
        judgement: &Judgement,
        now: Moment,
    ) -> Option<HeaderValue> {
        let tickets = self.shared.tickets.as_ref()?;
        match (token, examined) {
            // A token that only led to another one, by a handshake or a renewal, gets no ticket.
            (Located::Cookie { .. }, Examined::Verified(known, Timing::Current))
                if judgement.is_fresh() =>
            {
                let host = self.answers.origins.host(RequestTarget::of(request));
                tickets.renew(request.headers(), known, &host, now)
            }
            _ => None,
        }
    }
}
