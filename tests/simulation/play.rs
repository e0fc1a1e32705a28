//! Plays a plan against the real layer in virtual time, and shows the oracle every answer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use clerk_resilience::Verdict;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::SimClock;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::faults::Faults;
use crate::network::{Network, begin_time, lock, make_clerk};
use crate::oracle::{Oracle, Violation};
use crate::plan::{Ask, Event, Fate, Millis, Plan, Revoked};
use crate::process::{Mode, Process, Seen, Setting, damage, lose, request};
use crate::tally::Tally;

/// How a plan is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) mode: Mode,
    /// From then on every question to Clerk gets a good answer.
    pub(crate) fair_from: Option<Millis>,
    pub(crate) trace: bool,
}

impl Manner {
    pub(crate) fn of(mode: Mode) -> Self {
        Self { mode, fair_from: None, trace: false }
    }
}

/// A world that was played.
pub(crate) struct Played {
    /// The answers, by the place of their event.
    pub(crate) answers: Vec<(usize, Answer)>,
    pub(crate) tally: Tally,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<String>,
}

/// Plays a plan on this thread.
pub(crate) fn play(plan: &Plan, manner: Manner) -> Played {
    make_clerk();
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async { Stage::set(plan, manner).run().await })
}

struct Stage<'a> {
    plan: &'a Plan,
    manner: Manner,
    began: Instant,
    network: Arc<Mutex<Network>>,
    clocks: Vec<SimClock>,
    processes: Vec<Option<Process>>,
    dirs: Option<tempfile::TempDir>,
    jar: HashMap<(u16, u16), String>,
    waiting: JoinSet<(usize, Ask, Answer)>,
    oracle: Oracle,
    answers: Vec<(usize, Answer)>,
    trace: Vec<String>,
}

impl<'a> Stage<'a> {
    fn set(plan: &'a Plan, manner: Manner) -> Self {
        begin_time();
        let memory = std::path::Path::new("/dev/shm");
        let dirs = plan.keeps_state.then(|| {
            let dir =
                if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            dir.expect("a directory")
        });
        let mut stage = Self {
            plan,
            manner,
            began: Instant::now(),
            network: Arc::new(Mutex::new(Network::new(plan.seed))),
            clocks: plan.skew[..plan.instances].iter().map(|skew| clock(*skew)).collect(),
            processes: Vec::new(),
            dirs,
            jar: HashMap::new(),
            waiting: JoinSet::new(),
            oracle: Oracle::new(plan, manner),
            answers: Vec::new(),
            trace: Vec::new(),
        };
        for instance in 0..plan.instances {
            let process = stage.start(instance);
            stage.processes.push(Some(process));
        }
        stage
    }

    fn dir(&self, instance: usize) -> Option<PathBuf> {
        self.dirs.as_ref().map(|dir| dir.path().join(instance.to_string()))
    }

    fn start(&self, instance: usize) -> Process {
        let setting = Setting {
            plan: self.plan,
            mode: self.manner.mode,
            network: &self.network,
            clock: &self.clocks[instance],
            state: self.dir(instance),
        };
        Process::start(instance, &setting)
    }

    fn now(&self) -> Millis {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    async fn run(mut self) -> Played {
        for (place, (at, event)) in self.plan.events.iter().enumerate() {
            self.wait_until(*at).await;
            self.look();
            self.happen(place, event).await;
            if self.oracle.violation.is_some() {
                break;
            }
        }
        self.wait_until(self.now() + 5_000).await;
        self.look();
        for process in self.processes.drain(..).flatten() {
            process.stop(crate::plan::Ending::Crash).await;
        }
        self.answers.sort_by_key(|(place, _)| *place);
        let Oracle { tally, violation, .. } = self.oracle;
        Played { answers: self.answers, tally, violation, trace: self.trace }
    }

    async fn wait_until(&mut self, at: Millis) {
        if let Some(fair) = self.manner.fair_from.filter(|fair| *fair <= at) {
            self.sleep_until(fair).await;
            lock(&self.network).forced_fair = true;
        }
        self.sleep_until(at).await;
    }

    /// Sleeps, and takes in what had to wait for Clerk.
    async fn sleep_until(&mut self, at: Millis) {
        let until = self.began + Duration::from_millis(at.unsigned_abs());
        loop {
            tokio::select! {
                biased;
                Some(done) = self.waiting.join_next() => {
                    let (place, ask, answer) = done.expect("no request panics");
                    self.look();
                    self.take(place, &ask, answer);
                }
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Tells the oracle how things stand.
    fn look(&mut self) {
        let log = lock(&self.network).take_log();
        self.oracle.heard(self.began, &log);
        let now = self.now();
        for instance in 0..self.processes.len() {
            let process = self.processes[instance].as_ref();
            let verdict = process.map_or(Verdict::Unknown, |process| process.clerk.verdict());
            if self.oracle.sees(now, instance, verdict) {
                self.tell(|| format!("[{instance}] is {}", verdict.name()));
            }
        }
    }

    /// Notes a line of the trace, if there is to be one.
    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.manner.trace {
            let line = format!("{:>9.3} s  {}", seconds(self.now()), line());
            self.trace.push(line);
        }
    }

    async fn happen(&mut self, place: usize, event: &Event) {
        let now = self.now();
        match event {
            Event::Faults(faults) => {
                let Faults { name, share, fault, .. } = faults;
                self.tell(|| format!("faults: {name} {share} {fault:?}"));
            }
            Event::Ask(_) => {}
            event => self.tell(|| format!("{event:?}")),
        }
        self.oracle.happens(now, event);
        match event {
            Event::Faults(faults) => self.faults(faults),
            Event::Board(red) => lock(&self.network).red = *red,
            Event::Publish(first, second) => lock(&self.network).keys = (*first, *second),
            Event::Ask(ask) => self.ask(place, *ask).await,
            Event::Revoke(revoked) => self.revoke(*revoked),
            Event::Force(instance, verdict, secs) => self.force(*instance, *verdict, *secs),
            Event::DenyListRead(instance) => {
                self.process(*instance).clerk.deny_list_complete(Duration::ZERO);
            }
            Event::Webhook(instance) => self.process(*instance).clerk.record_webhook(),
            Event::Deliver(instance, delivery) => {
                let answering = self.process(*instance).ask(delivery.request(now));
                self.oracle.told(now, *instance, delivery, answering.await.status().as_u16());
            }
            Event::Jump(instance, millis) => self.clocks[*instance].jump(*millis),
            Event::Restart(instance, ending, fate) => {
                let process = self.processes[*instance].take().expect("it runs");
                process.stop(*ending).await;
                if let Some(dir) = self.dir(*instance) {
                    match fate {
                        Fate::Kept => {}
                        Fate::Lost => lose(&dir),
                        Fate::Damaged => damage(&dir),
                    }
                }
                self.processes[*instance] = Some(self.start(*instance));
            }
        }
    }

    fn faults(&mut self, faults: &Faults) {
        lock(&self.network).faults = faults.clone();
    }

    fn process(&self, instance: usize) -> &Process {
        self.processes[instance].as_ref().expect("it runs")
    }

    fn revoke(&self, revoked: Revoked) {
        for process in self.processes.iter().flatten() {
            match revoked {
                Revoked::Session(user, session) => {
                    process.clerk.revoke_session(format!("sess_{user}_{session}"));
                }
                Revoked::User(user) => process.clerk.revoke_user(format!("user_{user}")),
            }
        }
    }

    fn force(&self, instance: usize, verdict: Option<Verdict>, secs: u64) {
        let (clerk, ttl) = (&self.process(instance).clerk, Duration::from_secs(secs));
        match verdict {
            Some(Verdict::Outage) => clerk.force_outage(ttl),
            Some(_) => clerk.force_healthy(ttl),
            None => clerk.clear_override(),
        }
    }

    async fn ask(&mut self, place: usize, ask: Ask) {
        let ticket = ask.ticket.and_then(|owner| self.jar.get(&owner)).map(String::as_str);
        let (began, request) = (Instant::now(), request(&ask, ticket));
        let mut answering = self.process(ask.instance).ask(request);
        let first = std::future::poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(response) => {
                let (answer, ticket) = Answer::of(response, began, false).await;
                self.keep(&ask, ticket);
                self.take(place, &ask, answer);
            }
            Poll::Pending => {
                self.waiting.spawn(async move {
                    let (answer, _) = Answer::of(answering.await, began, true).await;
                    (place, ask, answer)
                });
            }
        }
    }

    fn keep(&mut self, ask: &Ask, ticket: Option<String>) {
        if let (Some(token), Some(ticket)) = (ask.token, ticket) {
            self.jar.insert(token.owner(), ticket);
        }
    }

    fn take(&mut self, place: usize, ask: &Ask, answer: Answer) {
        let now = self.now();
        self.tell(|| {
            let grace = |seen: &Seen| seen.grace.as_ref().map_or("fresh", |g| g.reason.name());
            let way = answer.seen.as_ref().map_or(answer.reason, grace);
            format!("[{}] {} {way} <- {ask}", ask.instance, answer.status)
        });
        self.oracle.judge(now, ask, &answer);
        self.answers.push((place, answer));
    }
}

/// A clock that is so far ahead of Clerk's.
fn clock(skew: Millis) -> SimClock {
    SimClock::starting_at(Timestamp::from_millis(test_support::token::START.as_millis() + skew))
}

#[expect(clippy::cast_precision_loss, reason = "for the eye")]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1_000.0
}
