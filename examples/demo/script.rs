//! A whole outage in virtual time: a minute of health, eight minutes in which Clerk answers 429, and
//! the recovery. In the middle of it the protected application is killed and started anew.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::{
    SimClerk, SimClock, SimComponentState, SimFault, SimSession, SimSurface,
};
use clerk_resilience::{Builder, ClerkResilience, GracePolicy, Verdict};
use demo_support::address::{Address, config};
use demo_support::app::Notes;
use demo_support::outcome::Outcome;
use demo_support::plain::Plain;
use demo_support::renewal::RENEW_AFTER;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::browser::{self, Browser, Kind};
use crate::counted::Counted;
use crate::protected::Protected;
use crate::table;
use crate::tally::{Answer, Asker, Second, Server, Stranger, Tally};
use crate::unprotected;

pub(crate) const STORM: u64 = 60;
const SIGNED_OUT: u64 = 150;
const KILLED: u64 = 240;
/// Five minutes after plain verification fetched them.
const KEYS_DROPPED: u64 = 300;
const BOARD: u64 = 480;
const HEALED: u64 = 540;
const END: u64 = 690;
/// Two users for each kind of request, and when in its life their first token is met.
const PEOPLE: [(&str, Kind, u64); 6] = [
    ("Ada", Kind::Page, 0),
    ("Ben", Kind::Page, 25),
    ("Cem", Kind::Api, 10),
    ("Dee", Kind::Api, 35),
    ("Eli", Kind::Form, 5),
    ("Fay", Kind::Form, 20),
];

type Error = Box<dyn std::error::Error>;

pub(crate) fn run(all_seconds: bool) -> ExitCode {
    fastrand::seed(7);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let performed = match runtime.enable_all().start_paused(true).build() {
        Ok(runtime) => runtime.block_on(perform()),
        Err(error) => Err(error.into()),
    };
    match performed {
        Ok(tally) => {
            table::print(&tally, all_seconds);
            let broken = tally.broken_promises();
            for promise in broken.iter().take(20) {
                eprintln!("BROKEN: {promise}");
            }
            if broken.len() > 20 {
                eprintln!("and {} times more", broken.len() - 20);
            }
            if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("demo: the script cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn perform() -> Result<Tally, Error> {
    let mut play = Play::new().await?;
    let (start, mut answers, mut tally) = (Instant::now(), JoinSet::new(), Tally::default());
    for second in 0..END {
        tokio::time::sleep_until(start + Duration::from_secs(second)).await;
        let event = play.turn(second).await?;
        play.ask_all(second, &mut answers);
        // Requests that need no network are over before time goes on.
        tokio::time::sleep(Duration::from_millis(1)).await;
        tally.seconds.push(Second {
            event,
            clerk: if (STORM..HEALED).contains(&second) { "429 storm" } else { "healthy" },
            verdict: play.protected.clerk.verdict(),
            asked: [play.wires[0].asked(), play.wires[1].asked()],
        });
    }
    tally.answers = answers.join_all().await;
    Ok(tally)
}

/// Everybody and everything.
struct Play {
    clock: SimClock,
    sim: SimClerk,
    state: TempDir,
    wires: [Counted; 2],
    protected: Protected,
    plain: Router,
    people: Vec<(&'static str, Kind, Arc<Browser>)>,
    /// Signs out at the application while Clerk is down.
    leaver: Arc<Browser>,
    ended: String,
    forged: (SimSession, String),
}

impl Play {
    async fn new() -> Result<Self, Error> {
        let clock = SimClock::starting_at(Timestamp::from_secs(1_780_000_000));
        let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
        let wires = [(); 2].map(|()| Counted::new(Arc::new(sim.transport())));
        let state = tempfile::tempdir()?;
        let builder = builder(&sim, &clock, &wires[0], &state);
        let protected = Protected::start(builder, Notes::default())?;
        protected.clerk.ready(Duration::from_secs(5)).await?;
        let plain = Plain {
            transport: Arc::new(wires[1].clone()),
            clock: Arc::new(clock.clone()),
            address: Address::of(&sim),
            publishable: sim.publishable_key().clone(),
            secret: sim.secret_key().clone(),
            cache: Mutex::default(),
        };
        let plain = unprotected::application(Arc::new(plain), Notes::default());
        let people = PEOPLE.map(|(name, kind, age)| (name, kind, open(&sim, name, age))).into();
        let leaver = open(&sim, "Gil", 15);
        let ended = ended(&sim);
        let victim = sim.sign_in("user_Ada");
        let forged = (victim.clone(), sim.forge(&victim));
        Ok(Self { clock, sim, state, wires, protected, plain, people, leaver, ended, forged })
    }

    /// What happens at the beginning of a second.
    async fn turn(&mut self, second: u64) -> Result<Option<&'static str>, Error> {
        if second.is_multiple_of(30) {
            self.forged.1 = self.sim.forge(&self.forged.0);
        }
        Ok(match second {
            STORM => {
                let slow = SimFault::Latency(Duration::from_secs(6));
                let storm = [(0.95, SimFault::status(429)), (0.05, slow)];
                self.sim.set_faults(SimSurface::CLERK, storm);
                Some("Clerk answers 429 to 95 % of requests, and 200 after 6 s to the rest")
            }
            SIGNED_OUT => {
                self.protected.clerk.revoke_session(self.leaver.session.id.clone());
                Some("a user signs out at the protected application")
            }
            KILLED => {
                self.restart().await?;
                Some(
                    "the protected application is killed, and started anew from its state directory",
                )
            }
            KEYS_DROPPED => Some("plain verification drops its keys to fetch new ones"),
            BOARD => {
                let degraded = SimComponentState::DegradedPerformance;
                self.sim.set_component("Session management", degraded);
                Some("Clerk's status page says \"degraded performance\"")
            }
            HEALED => {
                self.sim.heal_all();
                Some("Clerk is back")
            }
            _ => None,
        })
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.protected.kill().await;
        let builder = builder(&self.sim, &self.clock, &self.wires[0], &self.state);
        self.protected = Protected::start(builder, Notes::default())?;
        Ok(())
    }

    /// Everybody asks both applications; strangers try the protected one.
    fn ask_all(&self, second: u64, answers: &mut JoinSet<Answer>) {
        let servers = [(Server::Layer, &self.protected.router), (Server::Plain, &self.plain)];
        for (server, router) in servers {
            for (name, kind, browser) in &self.people {
                let request = browser::request(*kind, Some(&browser.token()));
                let outcome = browser::ask(router.clone(), request);
                let asker = Asker::Person { name, kind: *kind };
                answers.spawn(answer(second, server, asker, outcome));
            }
        }
        let leaver = self.leaver.token();
        let left = if second < SIGNED_OUT { Stranger::NotYet } else { Stranger::SignedOut };
        for (stranger, token) in [
            (Stranger::Nobody, None),
            (Stranger::Forger, Some(self.forged.1.as_str())),
            (Stranger::Ended, Some(self.ended.as_str())),
            (left, Some(leaver.as_str())),
        ] {
            let request = browser::request(Kind::Page, token);
            let outcome = browser::ask(self.protected.router.clone(), request);
            answers.spawn(answer(second, Server::Layer, Asker::Stranger(stranger), outcome));
        }
    }
}

async fn answer(
    second: u64,
    server: Server,
    asker: Asker,
    outcome: impl Future<Output = Outcome>,
) -> Answer {
    Answer { second, server, asker, outcome: outcome.await }
}

fn builder(sim: &SimClerk, clock: &SimClock, wire: &Counted, state: &TempDir) -> Builder {
    let config = config(sim).state_dir(state.path());
    ClerkResilience::builder(config)
        .grace(GracePolicy::balanced())
        .clock(clock.clone())
        .transport(wire.clone())
}

/// A browser with a session whose first token is so many seconds old.
fn open(sim: &SimClerk, name: &str, age: u64) -> Arc<Browser> {
    let (session, age) = (sim.sign_in(format!("user_{name}")), Duration::from_secs(age));
    let token = sim.token(&session).ago(age).sign();
    let browser = Browser::new(session, token, &Address::of(sim), Arc::new(sim.transport()));
    let browser = Arc::new(browser);
    tokio::spawn(browser.clone().keep_renewing(RENEW_AFTER.saturating_sub(age)));
    browser
}

/// The last token of a session that ended long before the outage.
fn ended(sim: &SimClerk) -> String {
    let session = sim.sign_in("user_Hal");
    let token = sim.token(&session).ago(Duration::from_secs(20 * 60)).sign();
    sim.revoke(&session);
    token
}

/// How many seconds after the storm's first the verdict was an outage.
pub(crate) fn detected(seconds: &[Second]) -> Option<usize> {
    let storm = usize::try_from(STORM).ok()?;
    let found = seconds.iter().position(|second| second.verdict == Verdict::Outage)?;
    found.checked_sub(storm)
}
