//! What goes wrong besides: the kills' moments, a file that is locked, a disk without room.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::file;
use crate::child::Child;
use crate::plan::Plan;
use crate::sender::Sender;

/// Between two kills, about so many deliveries are answered.
const APART: usize = 500;
const MOST_KILLS: usize = 60;

#[derive(Debug)]
pub(crate) struct Failures {
    file: PathBuf,
    random: fastrand::Rng,
    deliveries: usize,
    /// So many are answered between two kills.
    apart: usize,
    next: usize,
    kills: usize,
    locks: usize,
    full: usize,
}

impl Failures {
    pub(crate) fn new(plan: &Plan, dir: &Path, seed: u64) -> Self {
        let deliveries = plan.deliveries.len();
        let apart = APART.max(deliveries / MOST_KILLS);
        let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let (next, kills, locks, full) = (apart / 2, 0, 0, 0);
        Self { file: file(dir), random, deliveries, apart, next, kills, locks, full }
    }

    /// Comes back when it is time, and not before something else went wrong, every other time.
    pub(crate) async fn until_the_next_kill(&mut self, sender: &Sender, child: &Child) {
        let next = self.next.min(self.deliveries);
        let half = sender.progress().midpoint(next);
        sender.reach(half).await;
        match self.random.u8(..4) {
            0 => self.lock().await,
            1 => self.fill_the_disk(child).await,
            _ => {}
        }
        sender.reach(next).await;
        self.next += self.apart / 2 + self.random.usize(..self.apart);
        self.kills += 1;
        self.wait(30).await;
    }

    async fn wait(&mut self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(..millis))).await;
    }

    /// Another program holds the file, perhaps for longer than a call waits.
    async fn lock(&mut self) {
        let tool = Connection::open(&self.file).expect("writable");
        tool.busy_timeout(Duration::from_secs(10)).expect("set");
        tool.execute_batch("BEGIN IMMEDIATE").expect("locked");
        self.wait(2_000).await;
        tool.execute_batch("ROLLBACK").expect("free");
        self.locks += 1;
    }

    /// The system refuses every write to a file of the child's.
    #[cfg(not(target_os = "linux"))]
    async fn fill_the_disk(&mut self, _: &Child) {}

    /// The system refuses every write to a file of the child's.
    #[cfg(target_os = "linux")]
    async fn fill_the_disk(&mut self, child: &Child) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let process = Pid::from_raw(i32::try_from(child.id()).expect("a process"));
        let room = |most| {
            let limit = Rlimit { current: most, maximum: None };
            prlimit(process, Resource::Fsize, limit).expect("our own child");
        };
        room(Some(0));
        self.wait(500).await;
        room(None);
        self.full += 1;
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, locks, full, .. } = self;
        write!(f, "{kills} kills, the file locked {locks} times, no room on the disk {full} times")
    }
}
