//! Checks that the secret key and the publishable key belong to the same Clerk instance.
//!
//! With the secret key of another instance, the Backend API answers about that instance's users. A
//! `404` for a user then does not mean that the user does not exist in this instance. Each instance
//! publishes its keys at its Frontend API, which the publishable key names. The Backend API
//! publishes the keys of the secret key's instance. A key common to both proves one instance.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::probe::Prober;

/// [`Owner::Another`] is cached for this time: an operator may correct the secret key, and a
/// rotated key may not be published everywhere yet.
const ANOTHER: Duration = Duration::from_secs(60);
/// [`Owner::Untold`] is cached for this time.
const UNTOLD: Duration = Duration::from_secs(5);

/// The instance to which the secret key belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// This instance. The result never changes, so it is cached forever.
    Ours,
    /// Another instance: the two key sets share no key.
    Another,
    /// Unknown, because Clerk did not answer.
    Untold,
}

/// Looks up and caches the owner of the secret key. Concurrent callers share one look-up.
#[derive(Debug)]
pub(crate) struct Instance {
    prober: Prober,
    /// The cached owner with its expiry. The lock is held during a look-up.
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
