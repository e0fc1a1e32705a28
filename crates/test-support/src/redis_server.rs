//! A real Redis server for one test, in its own directory and on its own socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A running server. It ends when the value is dropped.
#[derive(Debug)]
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    more: Vec<String>,
}

impl Server {
    /// Starts a durable server and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a durable server with further arguments.
    pub fn start_with(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), more)
    }

    /// Starts a durable server with further arguments in a prepared directory.
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

    /// Sends a command and returns the answer.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        self.ask_raw(&words)
    }

    /// Sends a command whose words need not be text.
    pub fn ask_raw<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut wire = client.get_connection().expect("a running server");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut wire).expect("an answer")
    }

    /// Kills the server, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of this process");
        self.child.wait().expect("a child of this process");
    }

    /// Starts a killed server again with its data.
    pub fn restart(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        self.child = run(&self.dir, &self.more);
        self.await_answer();
    }

    /// Starts a killed server without data. Servers before 7.0 have one file and no directory.
    pub fn restart_empty(&mut self) {
        let kept = |name| self.dir.path().join(name);
        let gone = std::fs::remove_dir_all(kept("appendonlydir"));
        gone.or_else(|_| std::fs::remove_file(kept("appendonly.aof")))
            .expect("the server wrote a file");
        self.restart();
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of this process");
    }

    /// The append-only file: every command that changed data.
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

    /// Waits until the server has loaded its data.
    fn await_answer(&self) {
        let client = redis::Client::open(self.url()).expect("an address");
        for _ in 0..6_000 {
            let wire = client.get_connection_with_timeout(Duration::from_secs(1));
            let answer = wire.and_then(|mut wire| redis::cmd("PING").query::<String>(&mut wire));
            // A server with a password answers with an error.
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

/// A free port.
pub fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port().to_string()
}

/// A missing program fails the test: a test that did not run must not pass.
fn run(dir: &tempfile::TempDir, more: &[String]) -> Child {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--auto-aof-rewrite-percentage", "0"]).args(more);
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "cannot start {program} ({error}): install redis-server or valkey-server, or name the program in REDIS_SERVER"
        )
    })
}
