//! What goes wrong besides: the kills' moments, a server that is killed, or hangs.

use std::fmt;
use std::time::Duration;

use test_support::redis_server::Server;

use crate::plan::Plan;
use crate::sender::Sender;

/// Between two kills, about so many deliveries are answered.
const APART: usize = 500;
const MOST_KILLS: usize = 60;

#[derive(Debug)]
pub(super) struct Failures {
    random: fastrand::Rng,
    deliveries: usize,
    /// So many are answered between two kills.
    apart: usize,
    next: usize,
    kills: usize,
    servers_killed: usize,
    servers_paused: usize,
}

impl Failures {
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let deliveries = plan.deliveries.len();
        let apart = APART.max(deliveries / MOST_KILLS);
        let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let (next, kills, servers_killed, servers_paused) = (apart / 2, 0, 0, 0);
        Self { random, deliveries, apart, next, kills, servers_killed, servers_paused }
    }

    /// Comes back when it is time, and in between something happened to the server, three times of four.
    pub(super) async fn until_the_next_kill(&mut self, sender: &Sender, server: &mut Server) {
        let next = self.next.min(self.deliveries);
        let half = sender.progress().midpoint(next);
        sender.reach(half).await;
        match self.random.u8(..4) {
            0 => self.pause(server).await,
            1 | 2 => self.kill(server).await,
            _ => {}
        }
        sender.reach(next).await;
        self.next += self.apart / 2 + self.random.usize(..self.apart);
        self.kills += 1;
        self.wait(30).await;
    }

    /// Whose turn it is to be killed.
    pub(super) fn victim(&mut self) -> usize {
        self.random.usize(..2)
    }

    async fn wait(&mut self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(..millis))).await;
    }

    async fn kill(&mut self, server: &mut Server) {
        server.kill();
        self.wait(500).await;
        server.restart();
        self.servers_killed += 1;
    }

    /// Perhaps for longer than a call waits.
    async fn pause(&mut self, server: &mut Server) {
        server.pause();
        self.wait(2_500).await;
        server.resume();
        self.servers_paused += 1;
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, servers_killed, servers_paused, .. } = self;
        write!(
            f,
            "{kills} kills, the server killed {servers_killed} times and stopped {servers_paused} times"
        )
    }
}
