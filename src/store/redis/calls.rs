//! Calls to the server, with the repair of keys that have an unexpected type.

use redis::{Cmd, FromRedisValue};

use super::RedisInner;
use super::script::{self, ScriptCall};
use crate::store::inbox::StoreError;

impl RedisInner {
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        self.mended(self.link.ask(cmd).await).await
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        self.mended(self.link.run(call).await).await
    }

    /// Repairs keys after a `WRONGTYPE` error. A key of another type holds no data of this store,
    /// so it is renamed, and the next call succeeds.
    pub(super) async fn mended<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Failed(why)) = &result
            && why.contains("WRONGTYPE")
        {
            self.mend().await;
        }
        result
    }

    async fn mend(&self) {
        let mut call = script::MEND.prepare_invoke();
        for (key, kind) in self.keys.types() {
            call.key(&key).key(format!("{key}:damaged")).arg(kind);
        }
        let aside: Result<Vec<String>, _> = self.link.run(&call).await;
        tracing::warn!(
            event = "clerk.store.damaged",
            ?aside,
            "keys on the Redis server had an unexpected type and were renamed to …:damaged; check whether another program writes to this namespace"
        );
    }
}
