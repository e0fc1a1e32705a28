//! The connections, each call with its deadline.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, Connection, ConnectionAddr, FromRedisValue, RedisError,
    RedisResult, cmd,
};

use super::keys::Keys;
use super::script::Call;
use crate::store::inbox::StoreError;

/// A call is over by then.
const DEADLINE: Duration = Duration::from_secs(1);
/// A server that does not take a connection within this time is down.
const TO_CONNECT: Duration = Duration::from_millis(500);

/// The way to the server. Nothing is connected before the first call.
pub(super) struct Link {
    client: Client,
    manager: Mutex<Option<ConnectionManager>>,
}

/// A connection that somebody waits on.
pub(super) struct Follower(MultiplexedConnection);

/// A connection for a thread that may block.
pub(super) struct Blocking(Connection);

impl Link {
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(|_| {
            StoreError::Failed(
                "this is no address of a Redis server; write redis://:password@host:6379/0, rediss://… or unix:///path".to_owned(),
            )
        })?;
        if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            // An application may be built with more than one provider, and then has to choose.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        Ok(Self { client, manager: Mutex::default() })
    }

    /// That there is a server, and that it knows what is asked of it.
    pub(super) async fn check(&self, keys: &Keys) -> Result<(), StoreError> {
        let mut grow = cmd("ZADD");
        // Of a set that is not there nothing is changed.
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

    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
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

    /// A connection may be dead without saying so, and a manager remembers a connection that was refused.
    /// After any failure the next call connects anew.
    fn or_anew<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|_| *self.present() = None)
    }

    pub(super) async fn follower(&self) -> Result<Follower, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TO_CONNECT))
            .set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        timely(DEADLINE, connection).await.map(Follower)
    }

    pub(super) fn blocking(&self) -> Result<Blocking, StoreError> {
        let connect = || {
            let connection = self.client.get_connection_with_timeout(TO_CONNECT)?;
            connection.set_read_timeout(Some(DEADLINE))?;
            connection.set_write_timeout(Some(DEADLINE))?;
            Ok(Blocking(connection))
        };
        connect().map_err(|error| failed(&error))
    }
}

impl Follower {
    /// Asks for what may take as long as `patience`.
    pub(super) async fn wait<T: FromRedisValue>(
        &mut self,
        cmd: &Cmd,
        patience: Duration,
    ) -> Result<T, StoreError> {
        timely(patience + DEADLINE, cmd.query_async(&mut self.0)).await
    }
}

impl Blocking {
    pub(super) fn ask<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, StoreError> {
        cmd.query(&mut self.0).map_err(|error| failed(&error))
    }
}

async fn timely<T>(
    deadline: Duration,
    asked: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(deadline, asked).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(_) => Err(StoreError::Failed("the server does not answer".to_owned())),
    }
}

/// The server's words, or the system's; neither has the password.
fn failed(error: &RedisError) -> StoreError {
    StoreError::Failed(error.to_string())
}
