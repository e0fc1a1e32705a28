//! A real Redis server of a test's own: in a directory of its own, on a socket of its own, and killed by
//! its own number.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The server; it ends with the value.
#[derive(Debug)]
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    more: Vec<String>,
}

impl Server {
    /// Starts one that keeps everything, and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, and set up further.
    pub fn start_with(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), more)
    }

    /// The same in a directory that holds what it needs.
    pub fn start_in(dir: tempfile::TempDir, more: &[&str]) -> Self {
        let more: Vec<_> = more.iter().map(ToString::to_string).collect();
        let child = run(&dir, &more);
        let server = Self { dir, child, more };
        server.await_answer();
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A command and its answer, past the store.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        self.ask_raw(&words)
    }

    /// The same with words that are no text.
    pub fn ask_raw<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut wire = client.get_connection().expect("a server that runs");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut wire).expect("an answer")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own");
        self.child.wait().expect("our own");
    }

    /// After a kill, with what it had on its disk.
    pub fn restart(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        self.child = run(&self.dir, &self.more);
        self.await_answer();
    }

    /// After a kill, with nothing. Servers before 7.0 have one file and no directory.
    pub fn restart_empty(&mut self) {
        let kept = |name| self.dir.path().join(name);
        let gone = std::fs::remove_dir_all(kept("appendonlydir"));
        gone.or_else(|_| std::fs::remove_file(kept("appendonly.aof"))).expect("it kept something");
        self.restart();
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own");
    }

    /// Everything that ever changed something here, as the server writes it down.
    pub fn journal(&self) -> Vec<u8> {
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
            // One with a password answers, too.
            if answer.is_ok() || answer.is_err_and(|error| error.code() == Some("NOAUTH")) {
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

/// A port that nobody has.
pub fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port().to_string()
}

/// A missing program is a failure, so that nobody takes a test that did not run for a good one.
fn run(dir: &tempfile::TempDir, more: &[String]) -> Child {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--auto-aof-rewrite-percentage", "0"]).args(more);
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "there is no {program} to test with ({error}): install redis-server or valkey-server, or name the program in REDIS_SERVER"
        )
    })
}
