//! What an opaque machine token stands for.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::machine::{MachineError, MachineToken, Question};
use clerk_verify::transport::Call;

use super::super::bucket::Bucket;
use super::super::digest::Digest;
use super::super::flights::{Flights, Keep};
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
pub(crate) enum Told {
    /// It stands for this, and may be revoked.
    Known(Arc<MachineToken>),
    /// There is no such token.
    NotAToken,
    /// Nothing.
    Untold(Unavailable),
}

#[derive(Debug)]
pub(super) struct Machines {
    flights: Flights<Told>,
    strangers: Bucket,
    known: Bucket,
}

impl Machines {
    pub(super) fn new() -> Self {
        Self {
            flights: Flights::new(AT_ONCE, ANSWERS),
            strangers: Bucket::new(STRANGERS),
            known: Bucket::new(KNOWN),
        }
    }

    fn bucket(&self, about: Digest) -> &Bucket {
        match self.flights.remembered(about) {
            Some(Told::Known(_)) => &self.known,
            _ => &self.strangers,
        }
    }
}

impl BackendApi {
    /// What Clerk told a moment ago. Neither asks nor waits.
    pub(crate) fn told(&self, token: &str) -> Option<Told> {
        if token.len() > MAX_TOKEN {
            return Some(Told::NotAToken);
        }
        self.machines.flights.known(self.about(token))
    }

    /// What Clerk tells.
    pub(crate) async fn tell(&self, token: &str) -> Told {
        let Some(question) = Question::about(token, &self.wire.access.address) else {
            return Told::NotAToken;
        };
        let (about, wire) = (self.about(token), Arc::clone(&self.wire));
        let bucket = self.machines.bucket(about);
        let told = self.machines.flights.ask(about, bucket, keep, || ask(wire, question)).await;
        told.unwrap_or(Told::Untold(Unavailable::BackendApi))
    }

    fn about(&self, token: &str) -> Digest {
        self.names.name("machine", &[token])
    }
}

fn keep(told: &Told) -> Keep {
    match told {
        Told::Known(token) if token.is_active() => Keep { good: GOOD, remembered: REMEMBERED },
        Told::Known(_) | Told::NotAToken => Keep::for_secs(REFUSED),
        Told::Untold(_) => Keep::for_secs(1),
    }
}

async fn ask(wire: Arc<Wire>, question: Question) -> Told {
    let call = Call::get(question.url.clone()).post_json(question.body.clone());
    let reply = wire.send(call).await;
    let answer = reply.map(|reply| question.answer(reply.status, &reply.body));
    match answer.unwrap_or(Err(MachineError::Unanswered)) {
        Ok(token) => Told::Known(Arc::new(token)),
        Err(MachineError::Invalid) => Told::NotAToken,
        Err(MachineError::SecretKey) => {
            wire.secret_is_refused();
            Told::Untold(Unavailable::SecretKeyRefused)
        }
        Err(_) => Told::Untold(Unavailable::BackendApi),
    }
}
