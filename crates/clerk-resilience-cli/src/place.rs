//! Where an application keeps what it was told.

use std::error::Error;

use clap::Args;
#[cfg(feature = "redis")]
use clerk_resilience::store::RedisStore;
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::{Builder, store::Store};

#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    store: Which,
    /// What tells the application apart on the Redis server.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "NAME", requires = "redis")]
    #[cfg_attr(feature = "sqlite", arg(conflicts_with = "sqlite"))]
    namespace: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The application's SQLite file; made when it is not there.
    #[cfg(feature = "sqlite")]
    #[arg(long, value_name = "FILE")]
    sqlite: Option<std::path::PathBuf>,
    /// The application's Redis or Valkey server. Others on this host can see a password in it.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "URL", requires = "namespace")]
    redis: Option<String>,
}

/// The store, opened.
pub(super) enum Opened {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore),
    #[cfg(feature = "redis")]
    Redis(RedisStore),
}

/// An operator who runs this beside the application learns soon that it has the file.
#[cfg(feature = "sqlite")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

impl Place {
    /// A file that is not there has nothing to show; a new one would hide that its name is misspelt.
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
