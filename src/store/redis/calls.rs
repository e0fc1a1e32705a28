//! Calls to the server, beyond their mere way there.

use redis::{Cmd, FromRedisValue};

use super::Inner;
use super::script::{self, Call};
use crate::store::inbox::StoreError;

impl Inner {
    pub(super) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        self.mended(self.link.ask(cmd).await).await
    }

    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call<'_>) -> Result<T, StoreError> {
        self.mended(self.link.run(call).await).await
    }

    /// A key of ours that is something else keeps nothing of ours; it is put aside, for the next call.
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
            "keys at the Redis server are not what they are to be; they are put aside, as …:damaged"
        );
    }
}
