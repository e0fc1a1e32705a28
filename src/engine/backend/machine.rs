//! What an opaque machine token stands for.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::machine::{MachineError, MachineQuestion, MachineToken};
use clerk_verify::transport::ApiRequest;

use super::super::keyed_hasher::Digest;
use super::super::rate_limiter::RateLimiter;
use super::super::single_flight::{Keep, SingleFlight};
use super::{AT_ONCE, BackendApi, KNOWN, STRANGERS, Wire};
use crate::decide::Unavailable;

/// A key that is revoked at Clerk is honoured here for so long at most, half as long as a session
/// token lives; and this is how long known machines go on when the Backend API fails.
const GOOD: Duration = Duration::from_secs(30);
/// A token that held is still known as one that did, so that a flood of others does not keep it out.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// So long a token that does not hold is refused without asking again.
const REFUSED: u64 = 10;
/// So many answers are kept, about 1 KiB each.
const ANSWERS: usize = 4 * 1024;
/// A longer opaque token is none.
const MAX_TOKEN: usize = 1024;

/// What Clerk told of a token.
#[derive(Clone, Debug)]
pub(crate) enum MachineLookup {
    /// It stands for this, and may be revoked.
    Known(Arc<MachineToken>),
    /// There is no such token.
    NotAToken,
    /// Nothing.
    Unavailable(Unavailable),
}

#[derive(Debug)]
pub(super) struct Machines {
    flights: SingleFlight<MachineLookup>,
    strangers: RateLimiter,
    known: RateLimiter,
}

impl Machines {
    pub(super) fn new() -> Self {
        Self {
            flights: SingleFlight::new(AT_ONCE, ANSWERS),
            strangers: RateLimiter::new(STRANGERS),
            known: RateLimiter::new(KNOWN),
        }
    }

    fn bucket(&self, about: Digest) -> &RateLimiter {
        match self.flights.remembered(about) {
            Some(MachineLookup::Known(_)) => &self.known,
            _ => &self.strangers,
        }
    }
}

impl BackendApi {
    /// What Clerk told a moment ago. Neither asks nor waits.
    pub(crate) fn told(&self, token: &str) -> Option<MachineLookup> {
        if token.len() > MAX_TOKEN {
            return Some(MachineLookup::NotAToken);
        }
        self.machines.flights.known(self.about(token))
    }

    /// What Clerk tells.
    pub(crate) async fn tell(&self, token: &str) -> MachineLookup {
        let Some(question) = MachineQuestion::about(token, &self.wire.access.address) else {
            return MachineLookup::NotAToken;
        };
        let (about, wire) = (self.about(token), Arc::clone(&self.wire));
        let bucket = self.machines.bucket(about);
        let told = self.machines.flights.ask(about, bucket, keep, || ask(wire, question)).await;
        told.unwrap_or(MachineLookup::Unavailable(Unavailable::BackendApi))
    }

    fn about(&self, token: &str) -> Digest {
        self.names.name("machine", &[token])
    }
}

fn keep(told: &MachineLookup) -> Keep {
    match told {
        MachineLookup::Known(token) if token.is_active() => {
            Keep { good: GOOD, remembered: REMEMBERED }
        }
        MachineLookup::Known(_) | MachineLookup::NotAToken => Keep::for_secs(REFUSED),
        MachineLookup::Unavailable(_) => Keep::for_secs(1),
    }
}

async fn ask(wire: Arc<Wire>, question: MachineQuestion) -> MachineLookup {
    let call = ApiRequest::get(question.url.clone()).post_json(question.body.clone());
    let reply = wire.send(call).await;
    let answer = reply.map(|reply| question.answer(reply.status, &reply.body));
    match answer.unwrap_or(Err(MachineError::Unanswered)) {
        Ok(token) => MachineLookup::Known(Arc::new(token)),
        Err(MachineError::Invalid) => MachineLookup::NotAToken,
        Err(MachineError::SecretKey) => {
            wire.secret_is_refused();
            MachineLookup::Unavailable(Unavailable::SecretKeyRefused)
        }
        Err(_) => MachineLookup::Unavailable(Unavailable::BackendApi),
    }
}
