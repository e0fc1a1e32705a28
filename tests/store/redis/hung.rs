//! A server that takes connections and says nothing.

use std::time::Duration;

use clerk_resilience::store::{RedisStore, Store as _, StoreError};
use test_support::redis_server::Server;

use super::new;

/// A build that hung would never come back.
fn within_reason<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(read()));
    told.recv_timeout(Duration::from_secs(20)).expect("it comes to an end")
}

fn connections(server: &Server) -> u64 {
    let info: String = server.ask(&["INFO", "stats"]);
    let said = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    said.expect("said").trim().parse().expect("a number")
}

#[tokio::test]
async fn a_hung_server_ends_the_first_read_with_advice() {
    let (server, store) = new().await;
    let before = connections(&server);
    server.pause();
    let reader = store.clone();
    let StoreError::Failed(why) = within_reason(move || reader.denials()).expect_err("silent")
    else {
        panic!("another error")
    };
    assert!(why.contains("connect_later"), "{why}");
    let later = RedisStore::connect_lazy(&server.url(), "test").expect("a good address");
    let all = within_reason(move || (later.documents(), later.denials(), later.documents()));
    assert!(all.0.is_ok_and(|records| records.is_empty()) && all.1.is_ok() && all.2.is_ok());
    server.resume();
    // One for what must be read, one for what may come later, and the one that asks.
    assert_eq!(connections(&server), before + 3, "it was asked for each part");
    assert!(store.denials().is_ok());
}
