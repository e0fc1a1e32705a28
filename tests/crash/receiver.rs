//! What the child does: it receives, for as long as it lives.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use clerk_resilience::clock::{Clock, Moment, SystemClock};
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::{RedisStore, SqliteStore};
use clerk_resilience::{ClerkConfig, ClerkResilience, Event};

use crate::child::Orders;
use crate::redis::NAMESPACE;
use crate::sender::secret;
use crate::sqlite::file;

/// A clock that is ahead of the system's.
#[derive(Clone, Debug)]
struct Ahead(SystemClock, Duration);

impl Clock for Ahead {
    fn now(&self) -> Moment {
        let now = self.0.now();
        Moment { wall: now.wall.plus(self.1), ..now }
    }
}

pub(crate) async fn receive(orders: Orders) {
    // It does not outlive the process that started it.
    std::thread::spawn(|| {
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(1);
    });
    let clock = Ahead(SystemClock::new(), orders.ahead);
    let sim = SimClerk::builder().clock(clock.clone()).build();
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(None)
        .webhook_secret(secret());
    let heard = OpenOptions::new().create(true).append(true).open(orders.dir.join("heard"));
    let heard = heard.expect("a file");
    let builder = ClerkResilience::builder(config).clock(clock).transport(sim.transport());
    let builder = match &orders.server {
        Some(url) => builder.store(RedisStore::connect(url, NAMESPACE).await.expect("it runs")),
        None => builder.store(SqliteStore::open(file(&orders.dir)).expect("a sound file")),
    };
    let clerk = builder
        .on_event(["user.created"], move |event: Event| {
            let line = format!("{} {}\n", event.id, event.attempts);
            let written = (&heard).write_all(line.as_bytes());
            async move { written }
        })
        .build()
        .expect("a good configuration");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let known = clerk.snapshot();
    let revoked = known.kept.sessions().count() + known.revocations.sessions().count();
    println!("{port} {revoked}");
    axum::serve(listener, clerk.routes()).await.expect("it serves");
}
