//! [`RedisOptions`]: how a store on a Redis server is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::keys::RedisKeys;
use super::link::RedisConnection;
use super::replicas::Replicas;
use super::{RedisInner, RedisStore};
use crate::store::inbox::StoreError;

/// Maximum time to wait for replicas; a delivery cannot wait longer.
const LONGEST: Duration = Duration::from_secs(1);

/// Options to open a [`RedisStore`] with private CA certificates or with confirmation by replicas.
///
/// | address | meaning |
/// |---|---|
/// | `redis://:password@host:6379/0` | TCP without encryption, for a trusted network |
/// | `rediss://user:password@host:6380/0` | TLS; the server's certificate is verified |
/// | `unix:///run/redis.sock` | a socket on the same host |
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
    /// Creates options from an address and a namespace, as in [`RedisStore::connect`].
    pub fn new(url: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { url: url.into(), namespace: namespace.into(), trust: None, replicas: None }
    }

    /// Sets the CA certificates (PEM) that verify a `rediss://` server, in place of the system's.
    #[must_use]
    pub fn trust(self, certificates: impl Into<Vec<u8>>) -> Self {
        Self { trust: Some(certificates.into()), ..self }
    }

    /// Requires that `count` replicas confirm each webhook and revocation (`WAIT`), so that it
    /// survives a failover to one of them. If they do not confirm `within` that time, the receiver
    /// answers 503 and Clerk retries. `within` must be at least 1 ms and at most 1 s.
    ///
    /// Default: no replicas. A primary that fails then loses the writes it has not replicated yet,
    /// mostly those of less than a second.
    ///
    /// Each delivery takes one more round trip to the replicas. While fewer than `count` replicas
    /// are available, every webhook gets 503, so choose a `count` below the number of replicas.
    #[must_use]
    pub fn replicas(self, count: u8, within: Duration) -> Self {
        Self { replicas: Some(Replicas { count, within }), ..self }
    }

    /// Opens the store, as [`RedisStore::connect`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`RedisStore::connect`]. [`StoreError::Failed`] also when the certificates are
    /// invalid or used without `rediss://`, or when the time for replicas is out of range.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let store = self.open(false)?;
        store.0.link.check(&store.0.keys).await?;
        store.0.examine().await;
        Ok(store)
    }

    /// Opens the store without waiting for the server, as [`RedisStore::connect_lazy`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`RedisStore::connect_lazy`]. [`StoreError::Failed`] also when the
    /// certificates are invalid or used without `rediss://`, or when the time for replicas is out
    /// of range.
    pub fn connect_lazy(self) -> Result<RedisStore, StoreError> {
        self.open(true)
    }

    fn open(self, later: bool) -> Result<RedisStore, StoreError> {
        let Self { url, namespace, trust, replicas } = self;
        if replicas.is_some_and(|replicas| {
            !(Duration::from_millis(1)..=LONGEST).contains(&replicas.within)
        }) {
            let problem = "the time to wait for replicas must be at least 1 ms and at most 1 s";
            return Err(StoreError::Failed(problem.to_owned()));
        }
        let keys = RedisKeys::new(&namespace)?;
        let link = RedisConnection::new(&url, trust)?;
        Ok(RedisStore(Arc::new(RedisInner::new(link, keys, replicas, later))))
    }
}

impl fmt::Debug for RedisOptions {
    /// Omits the address, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, replicas, .. } = self;
        let mut options = f.debug_struct("RedisOptions");
        options.field("namespace", namespace).field("replicas", replicas).finish_non_exhaustive()
    }
}
