//! A real Redis server of a test's own: in a directory of its own, on a socket of its own, and killed by
//! its own number.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clerk_resilience::store::RedisStore;
use rustix::process::{Pid, Signal, kill_process};

/// The server; it ends with the value.
#[derive(Debug)]
pub(crate) struct Server {
    dir: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Starts one that keeps everything, and waits until it answers.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let child = run(&dir);
        let server = Self { dir, child };
        server.await_answer();
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url(), "test").await.expect("a server that runs")
    }

    /// A command and its answer, past the store.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut wire = client.get_connection().expect("a server that runs");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut wire).expect("an answer")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own");
        self.child.wait().expect("our own");
    }

    /// After a kill, with what it had on its disk.
    pub(crate) fn restart(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        self.child = run(&self.dir);
        self.await_answer();
    }

    /// After a kill, with nothing.
    pub(crate) fn restart_empty(&mut self) {
        std::fs::remove_dir_all(self.dir.path().join("appendonlydir")).expect("it kept something");
        self.restart();
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own");
    }

    /// Everything that ever changed something here, as the server writes it down.
    pub(crate) fn journal(&self) -> Vec<u8> {
        let parts = std::fs::read_dir(self.dir.path().join("appendonlydir"));
        let parts = parts.map_or_else(
            |_| vec![self.dir.path().join("appendonly.aof")],
            |parts| parts.map(|part| part.expect("readable").path()).collect(),
        );
        let mut parts: Vec<_> = parts
            .into_iter()
            .filter(|part| part.extension().is_some_and(|kind| kind == "aof"))
            .collect();
        parts.sort();
        parts.iter().flat_map(|part| std::fs::read(part).expect("readable")).collect()
    }

    /// Until it has read what it has.
    fn await_answer(&self) {
        let client = redis::Client::open(self.url()).expect("an address");
        for _ in 0..6_000 {
            let wire = client.get_connection_with_timeout(Duration::from_secs(1));
            let answer = wire.and_then(|mut wire| redis::cmd("PING").query::<String>(&mut wire));
            if answer.is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the Redis server does not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A missing program is a failure, so that nobody takes a test that did not run for a good one.
fn run(dir: &tempfile::TempDir) -> Child {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--auto-aof-rewrite-percentage", "0"]);
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "there is no {program} to test with ({error}): install redis-server or valkey-server, or name the program in REDIS_SERVER"
        )
    })
}
