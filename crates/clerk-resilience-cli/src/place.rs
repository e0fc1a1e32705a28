//! Command-line options that name an application's store.

use std::error::Error;

use clap::Args;
#[cfg(feature = "redis")]
use clerk_resilience::store::RedisStore;
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::{Builder, store::Store};

#[derive(Debug, Args)]
pub(super) struct StoreLocation {
    #[command(flatten)]
    store: Which,
    /// Namespace of the application on the Redis server
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "NAME", requires = "redis")]
    #[cfg_attr(feature = "sqlite", arg(conflicts_with = "sqlite"))]
    namespace: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The application's SQLite file; `reconcile` creates it if it does not exist
    #[cfg(feature = "sqlite")]
    #[arg(long, value_name = "FILE")]
    sqlite: Option<std::path::PathBuf>,
    /// URL of the application's Redis or Valkey server; other users of this host can see a password
    /// in it
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "URL", requires = "namespace")]
    redis: Option<String>,
}

/// The open store.
pub(super) enum Opened {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore),
    #[cfg(feature = "redis")]
    Redis(RedisStore),
}

/// How long to wait for a locked file. It is short, so that an operator learns soon that the
/// application runs.
#[cfg(feature = "sqlite")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

impl StoreLocation {
    /// Rejects a file that does not exist. A new, empty file would hide a misspelled name.
    pub(super) fn must_be_there(&self) -> Result<(), String> {
        #[cfg(feature = "sqlite")]
        if let Some(file) = self.store.sqlite.as_ref().filter(|file| !file.exists()) {
            return Err(format!("There is no file {}.", file.display()));
        }
        Ok(())
    }

    pub(super) async fn open(self) -> Result<Opened, Box<dyn Error>> {
        #[cfg(feature = "redis")]
        if let Some((url, namespace)) = self.store.redis.zip(self.namespace) {
            return Ok(Opened::Redis(RedisStore::connect(&url, &namespace).await?));
        }
        #[cfg(feature = "sqlite")]
        if let Some(file) = self.store.sqlite {
            return Ok(Opened::Sqlite(SqliteStore::open_within(file, PATIENCE)?));
        }
        Err("name a store".into())
    }
}

impl Opened {
    pub(super) fn store(&self) -> &dyn Store {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store,
            #[cfg(feature = "redis")]
            Self::Redis(store) => store,
        }
    }

    pub(super) fn given_to(self, builder: Builder) -> Builder {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => builder.store(store),
            #[cfg(feature = "redis")]
            Self::Redis(store) => builder.store(store),
        }
    }
}
