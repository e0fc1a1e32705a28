//! How a store on a Redis server is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::keys::Keys;
use super::link::Link;
use super::replicas::Replicas;
use super::{Inner, RedisStore};
use crate::store::inbox::StoreError;

/// Longer a delivery cannot wait.
const LONGEST: Duration = Duration::from_secs(1);

/// How a [`RedisStore`] is opened, for whom [`RedisStore::connect`] is not enough.
///
/// ```no_run
/// # use std::time::Duration;
/// # use clerk_resilience::store::{RedisOptions, StoreError};
/// # async fn open() -> Result<(), StoreError> {
/// let store = RedisOptions::new("rediss://app:password@redis.internal:6380/0", "shop")
///     .trust(std::fs::read("/etc/redis/ca.pem").unwrap_or_default())
///     .replicas(1, Duration::from_millis(100))
///     .connect()
///     .await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    url: String,
    namespace: String,
    trust: Option<Vec<u8>>,
    replicas: Option<Replicas>,
}

impl RedisOptions {
    /// The address and the namespace, as for [`RedisStore::connect`].
    pub fn new(url: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { url: url.into(), namespace: namespace.into(), trust: None, replicas: None }
    }

    /// Whom to believe that a `rediss://` server is the right one: certificates in PEM, in place of
    /// the system's.
    #[must_use]
    pub fn trust(self, certificates: impl Into<Vec<u8>>) -> Self {
        Self { trust: Some(certificates.into()), ..self }
    }

    /// A webhook is answered well, and a revocation counts as kept, only when `count` replicas have it too
    /// (`WAIT`), so that it outlives a failover to one of them. When they do not say so `within` that time, at
    /// most a second, the delivery is answered 503 and comes again.
    ///
    /// Default: none; a primary that dies takes with it what it did not pass on yet, mostly less than a
    /// second's. It costs each delivery the way to the replicas and back, and while too few replicas are there no webhook is answered well: choose fewer than there are.
    #[must_use]
    pub fn replicas(self, count: u8, within: Duration) -> Self {
        Self { replicas: Some(Replicas { count, within }), ..self }
    }

    /// Opens the store, as [`RedisStore::connect`] does.
    ///
    /// # Errors
    ///
    /// The same, and that the certificates are none, or the replicas are waited for too long.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let store = self.open(false)?;
        store.0.link.check(&store.0.keys).await?;
        store.0.examine().await;
        Ok(store)
    }

    /// Opens the store without waiting for the server, as [`RedisStore::connect_later`] does.
    ///
    /// # Errors
    ///
    /// The same, and that the certificates are none, or the replicas are waited for too long.
    pub fn connect_lazy(self) -> Result<RedisStore, StoreError> {
        self.open(true)
    }

    fn open(self, later: bool) -> Result<RedisStore, StoreError> {
        let Self { url, namespace, trust, replicas } = self;
        if replicas.is_some_and(|replicas| {
            !(Duration::from_millis(1)..=LONGEST).contains(&replicas.within)
        }) {
            let problem = "replicas are waited for at least a millisecond and at most a second";
            return Err(StoreError::Failed(problem.to_owned()));
        }
        let keys = Keys::new(&namespace)?;
        let link = Link::new(&url, trust)?;
        Ok(RedisStore(Arc::new(Inner::new(link, keys, replicas, later))))
    }
}

impl fmt::Debug for RedisOptions {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, replicas, .. } = self;
        let mut options = f.debug_struct("RedisOptions");
        options.field("namespace", namespace).field("replicas", replicas).finish_non_exhaustive()
    }
}
