//! The process that is killed.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const DIR: &str = "CRASH_DIR";
const SERVER: &str = "CRASH_SERVER";
const AHEAD: &str = "CRASH_AHEAD";

/// What a child is to do.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// Where it notes what hooks hear, and keeps its file.
    pub(crate) dir: PathBuf,
    /// A server that it keeps everything at, and not in a file.
    pub(crate) server: Option<String>,
    /// So far its clock is ahead.
    pub(crate) ahead: Duration,
}

impl Orders {
    /// For a child that lives a little later: what a killed one was at is due again after its lease.
    pub(crate) fn later(&self) -> Self {
        Self { ahead: Duration::from_secs(120), ..self.clone() }
    }
}

/// Those of this process, when it is a child.
pub(crate) fn orders() -> Option<Orders> {
    let dir = PathBuf::from(std::env::var_os(DIR)?);
    let ahead = std::env::var(AHEAD).expect("set with the other");
    let ahead = Duration::from_secs(ahead.parse().expect("seconds"));
    Some(Orders { dir, server: std::env::var(SERVER).ok(), ahead })
}

#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    port: u16,
    /// So many sessions were denied in its memory when it began to listen.
    pub(crate) revoked: usize,
}

impl Child {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(orders: &Orders) -> Self {
        // A write for which there is no room is to fail, not to end the process.
        let shell = "trap '' XFSZ; exec \"$0\"";
        let mut process = Command::new("sh")
            .args(["-c", shell])
            .arg(std::env::current_exe().expect("this program"))
            .env(DIR, &orders.dir)
            .env(AHEAD, orders.ahead.as_secs().to_string())
            .envs(orders.server.iter().map(|server| (SERVER, server)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut line = String::new();
        let out = process.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("readable");
        let numbers: Vec<usize> =
            line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let [port, revoked] = numbers[..] else { panic!("the child did not start: {line:?}") };
        Self { process, port: u16::try_from(port).expect("a port"), revoked }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/auth/webhooks", self.port)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// With SIGKILL, which nothing can prepare for.
    pub(crate) fn kill(&mut self) {
        drop(self.process.kill());
        self.process.wait().expect("it ends");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
