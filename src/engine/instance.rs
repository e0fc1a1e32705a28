//! Whether the secret key belongs to the instance whose tokens are accepted here.
//!
//! The secret key of another instance gets good answers too, about other people: that they know no such user
//! says nothing of ours. An instance publishes its keys both at its Frontend API, which the publishable key
//! names, and to its own secret key at the Backend API. What is the same there proves that both are one.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::probe::Prober;

/// Somebody may correct it; and a key that was replaced just now may not be everywhere yet.
const ANOTHER: Duration = Duration::from_secs(60);
const UNTOLD: Duration = Duration::from_secs(5);

/// Whose secret key it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// This instance's. A secret key stays with its instance, so that this is asked once.
    Ours,
    /// It shares no key with this instance.
    Another,
    /// Clerk did not tell.
    Untold,
}

/// Asks Clerk, twice at most in a while, and once for all who want to know at the same time.
#[derive(Debug)]
pub(crate) struct Instance {
    prober: Prober,
    /// Held while it is asked.
    known: Mutex<Option<(Instant, Owner)>>,
}

impl Instance {
    pub(crate) fn new(prober: Prober) -> Self {
        Self { prober, known: Mutex::default() }
    }

    pub(crate) async fn owner(&self) -> Owner {
        let mut known = self.known.lock().await;
        if let Some((until, owner)) = *known
            && (owner == Owner::Ours || Instant::now() < until)
        {
            return owner;
        }
        let (owner, good) = match self.prober.is_one_instance().await {
            Some(true) => (Owner::Ours, Duration::ZERO),
            Some(false) => (Owner::Another, ANOTHER),
            None => (Owner::Untold, UNTOLD),
        };
        *known = Some((Instant::now() + good, owner));
        owner
    }
}
