//! The connections to the server, with a deadline for each call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, cmd,
};

use tokio::time::timeout;

use super::keys::RedisKeys;
use super::script::ScriptCall;
use crate::store::inbox::StoreError;

/// Maximum duration of a call.
const DEADLINE: Duration = Duration::from_secs(1);
/// Maximum time to connect; a server that takes longer counts as down.
const TO_CONNECT: Duration = Duration::from_millis(500);
/// Maximum time for each read before the first request.
const TO_START: Duration = Duration::from_secs(30);

/// The connection to the server. It connects on the first call.
pub(super) struct RedisConnection {
    client: Client,
    manager: Mutex<Option<ConnectionManager>>,
    /// Whether the server's configuration was examined since the last new connection.
    examined: AtomicBool,
}

/// A separate connection for calls that wait.
pub(super) struct Follower(MultiplexedConnection);

impl RedisConnection {
    /// Creates the connection. `trust` holds CA certificates in PEM that replace the system's.
    pub(super) fn new(url: &str, trust: Option<Vec<u8>>) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(|_| {
            StoreError::Failed(
                "this is no address of a Redis server; write redis://:password@host:6379/0, rediss://… or unix:///path".to_owned(),
            )
        })?;
        let encrypted =
            matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
        if encrypted {
            // An application may be built with several crypto providers, and must then install one.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let client = match trust {
            None => client,
            Some(_) if !encrypted => {
                let problem = "certificates require an address with rediss://";
                return Err(StoreError::Failed(problem.to_owned()));
            }
            Some(pem) => {
                let tls = TlsCertificates { client_tls: None, root_cert: Some(pem) };
                Client::build_with_tls(url, tls).map_err(|error| failed(&error))?
            }
        };
        Ok(Self::of(client))
    }

    fn of(client: Client) -> Self {
        Self { client, manager: Mutex::default(), examined: AtomicBool::new(false) }
    }

    /// Checks that the server answers and supports the required commands.
    pub(super) async fn check(&self, keys: &RedisKeys) -> Result<(), StoreError> {
        let mut grow = cmd("ZADD");
        // With `XX`, a missing set stays unchanged.
        grow.arg(keys.named("check")).arg("XX").arg("GT").arg(0).arg("check");
        match self.ask(&grow).await {
            Err(StoreError::Failed(why)) if why.contains("syntax") => {
                Err(StoreError::Failed(format!("{why}; Redis 6.2 or later is needed, or Valkey")))
            }
            other => other.map(|_: i64| ()),
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let mut manager = self.manager()?;
        self.or_anew(timely(DEADLINE, cmd.query_async(&mut manager)).await)
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        let mut manager = self.manager()?;
        self.or_anew(timely(DEADLINE, call.invoke_async(&mut manager)).await)
    }

    fn manager(&self) -> Result<ConnectionManager, StoreError> {
        if let Some(manager) = &*self.present() {
            return Ok(manager.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TO_CONNECT))
            .set_response_timeout(Some(DEADLINE))
            .set_number_of_retries(0);
        let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config);
        let manager = manager.map_err(|error| failed(&error))?;
        Ok(self.present().insert(manager).clone())
    }

    fn present(&self) -> MutexGuard<'_, Option<ConnectionManager>> {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the connection after any failure, so that the next call connects again. A dead
    /// connection may show no error, and a manager remembers a connection that was refused.
    fn or_anew<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|_| {
            *self.present() = None;
            self.examined.store(false, Ordering::Relaxed);
        })
    }

    /// Returns `true` once after each new connection.
    pub(super) fn is_unexamined(&self) -> bool {
        !self.examined.swap(true, Ordering::Relaxed)
    }

    /// Sends an informational command. Returns `None` if the server refuses or fails it.
    pub(super) async fn told<T: FromRedisValue>(&self, cmd: &Cmd) -> Option<T> {
        let mut manager = self.manager().ok()?;
        timely(DEADLINE, cmd.query_async(&mut manager)).await.ok()
    }

    /// Reads on a thread and a connection of its own. The thread that builds a layer may have no
    /// runtime, or one that must not be blocked here.
    pub(super) fn at_once<T: Send>(
        &self,
        reading: impl AsyncFnOnce(&Self) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let link = Self::of(self.client.clone());
        let read = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| StoreError::Failed(error.to_string()))?;
            let read = runtime.block_on(async { timeout(TO_START, reading(&link)).await });
            // A name resolution that hangs is not waited for.
            runtime.shutdown_background();
            read.unwrap_or_else(|_| Err(StoreError::Failed("reading took more than 30 s".into())))
        };
        let read = std::thread::scope(|threads| threads.spawn(read).join());
        read.unwrap_or_else(|_| Err(StoreError::Failed("reading was aborted".to_owned())))
    }

    pub(super) async fn follower(&self) -> Result<Follower, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TO_CONNECT))
            .set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        timely(DEADLINE, connection).await.map(Follower)
    }
}

impl Follower {
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        timely(DEADLINE, call.invoke_async(&mut self.0.clone())).await
    }

    /// Sends a command that may take as long as `patience`.
    pub(super) async fn wait<T: FromRedisValue>(
        &self,
        cmd: &Cmd,
        patience: Duration,
    ) -> Result<T, StoreError> {
        timely(patience + DEADLINE, cmd.query_async(&mut self.0.clone())).await
    }
}

async fn timely<T>(
    deadline: Duration,
    asked: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    match timeout(deadline, asked).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(_) => Err(StoreError::Failed("the server does not answer".to_owned())),
    }
}

/// Converts an error, with advice. The messages of the server and the system contain no password.
fn failed(error: &RedisError) -> StoreError {
    let advice = match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
            "; another server of this cluster holds the namespace: name that server, or one outside a cluster"
        }
        ErrorKind::Server(ServerErrorKind::ClusterDown) => {
            "; the cluster of this server is down: repair it, or name a server outside a cluster"
        }
        _ => "",
    };
    StoreError::Failed(format!("{error}{advice}"))
}
