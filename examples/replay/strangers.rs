//! Those who are not to be served.

use std::sync::Arc;
use std::time::Duration;

use clerk_resilience::sim::SimSession;

use crate::jar::Jar;
use crate::person::Person;
use crate::visit::{self, Kind};
use crate::world::World;

/// Each of them comes this often.
const EVERY: i64 = 10;
/// Their tokens are made anew this often.
const REMADE: i64 = 60;
/// The application is told so long before the first trouble that a session was revoked.
const TOLD: i64 = 5 * 60;
/// Somebody signs out so long after its beginning.
const SIGNED_OUT: i64 = 90;

/// All of them, and two who become strangers on the way.
#[derive(Debug)]
pub(crate) struct Strangers {
    victim: SimSession,
    forged: String,
    foreign: String,
    /// Its session ended long before the outage, and was seen by the application.
    stale: Arc<Person>,
    revoked: Arc<Person>,
    leaver: Arc<Person>,
}

impl Strangers {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let person = |name: &str| Person::new(world, name, false);
        let [stale, revoked, leaver] = ["stale", "revoked", "leaver"].map(person);
        for (tab, wait) in [(&revoked, 20), (&leaver, 30)] {
            tokio::spawn(tab.clone().keep_renewing(world.clone(), Duration::from_secs(wait)));
        }
        let victim = world.stage.sim.sign_in("victim");
        let (forged, foreign) = (String::new(), String::new());
        Self { victim, forged, foreign, stale, revoked, leaver }
    }

    pub(crate) fn ask(&mut self, world: &Arc<World>, at: i64) {
        let since = at - world.conditions.start;
        let first = world.conditions.first_trouble - world.conditions.start;
        let (told, signed_out) = (first - TOLD, first + SIGNED_OUT);
        if since % REMADE == 0 {
            self.remake(world);
        }
        if since == 5 {
            world.stage.sim.revoke(&self.stale.session);
        }
        if since == told + 1 {
            world.stage.sim.revoke(&self.revoked.session);
            revoke(world, &self.revoked.session);
        }
        if since == signed_out + 1 {
            revoke(world, &self.leaver.session);
        }
        for (person, until) in [(&self.stale, 1), (&self.revoked, told), (&self.leaver, signed_out)]
        {
            if since <= until && (since - until) % EVERY == 0 {
                tokio::spawn(person.clone().send(world.clone(), Kind::Api));
            }
        }
        let strangers = [
            ("nobody", Some(Jar::default()), Kind::Page),
            ("forged", Some(Jar::with_session(&self.forged, self.victim.since)), Kind::Api),
            ("other party", Some(Jar::with_session(&self.foreign, self.victim.since)), Kind::Api),
            ("ended before", (since > 66).then(|| self.stale.cookies()), Kind::Api),
            ("revoked", (since > told + 1).then(|| self.revoked.cookies()), Kind::Api),
            ("signed out", (since > signed_out + 1).then(|| self.leaver.cookies()), Kind::Api),
        ];
        for ((who, jar, kind), number) in strangers.into_iter().zip(0_i64..) {
            let Some(jar) = jar.filter(|_| (at + number).rem_euclid(EVERY) == 0) else { continue };
            tokio::spawn(attempt(world.clone(), who, jar, kind));
        }
    }

    fn remake(&mut self, world: &World) {
        let sim = &world.stage.sim;
        self.forged = sim.forge(&self.victim);
        let foreign = sim.token(&self.victim).kid("ins_other");
        self.foreign = foreign.claim("iss", "https://clerk.other.example").sign();
    }
}

fn revoke(world: &World, session: &SimSession) {
    if let Some(clerk) = &world.stage.clerk {
        clerk.revoke_session(session.id.clone());
    }
}

async fn attempt(world: Arc<World>, who: &'static str, mut jar: Jar, kind: Kind) {
    let app = world.stage.app.clone();
    let seen = match kind {
        Kind::Page => visit::open(app, &mut jar, &*world.clerk).await,
        _ => visit::ask(app, kind, &jar).await,
    };
    world.tally().note_unwelcome(who, seen);
}
