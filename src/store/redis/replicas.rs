//! Writes that count as stored only after replicas confirmed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{FromRedisValue, cmd};
use tokio::sync::Mutex;

use super::RedisInner;
use super::link::Follower;
use super::script::ScriptCall;
use crate::store::inbox::StoreError;

/// The number of replicas that must confirm a write, and the time to wait for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replicas {
    pub(super) count: u8,
    pub(super) within: Duration,
}

/// A connection for writes and for `WAIT`, which must run on the same server. One `WAIT` covers all
/// writes that were answered before it.
pub(super) struct Promises {
    wire: Follower,
    answered: AtomicU64,
    confirmed: Mutex<u64>,
}

impl RedisInner {
    /// Runs a call whose effects must survive a failover, if replicas are configured. The caller of
    /// a failed call may retry: the retry finds the earlier write and waits for the replicas again.
    pub(super) async fn promise<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        let Some(replicas) = self.replicas else { return self.run(call).await };
        let promises = self.promises().await?;
        let answer = match promises.wire.run(call).await {
            Ok(answer) => {
                promises.confirm(replicas, &self.keys.named("beat")).await.map(|()| answer)
            }
            Err(error) => Err(error),
        };
        if answer.is_err() {
            *self.promising.lock().await = None;
        }
        self.mended(answer).await
    }

    async fn promises(&self) -> Result<Arc<Promises>, StoreError> {
        let mut place = self.promising.lock().await;
        if let Some(promises) = &*place {
            return Ok(Arc::clone(promises));
        }
        let wire = self.link.follower().await?;
        let promises = Promises { wire, answered: AtomicU64::new(0), confirmed: Mutex::new(0) };
        Ok(Arc::clone(place.insert(Arc::new(promises))))
    }
}

impl Promises {
    /// Waits until the replicas confirmed all earlier writes. It writes the `beat` key first: Redis
    /// 7.2 and later wait only for writes of this connection, and a duplicate event writes nothing.
    async fn confirm(&self, replicas: Replicas, beat: &str) -> Result<(), StoreError> {
        let Replicas { count, within } = replicas;
        let own = self.answered.fetch_add(1, Ordering::SeqCst) + 1;
        let mut confirmed = self.confirmed.lock().await;
        if *confirmed >= own {
            return Ok(());
        }
        let all = self.answered.load(Ordering::SeqCst);
        let () = self.wire.wait(cmd("SET").arg(beat).arg(all), Duration::ZERO).await?;
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let having: u8 = self.wire.wait(cmd("WAIT").arg(count).arg(millis), within).await?;
        if having < count {
            let problem = format!("only {having} of {count} replicas had it within {within:?}");
            return Err(StoreError::Failed(problem));
        }
        *confirmed = all;
        Ok(())
    }
}
