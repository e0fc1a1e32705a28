//! A browser or a program with a session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_resilience::sim::SimSession;
use clerk_resilience::transport::{ApiRequest, ApiResponse};
use demo_support::outcome::Outcome;
use demo_support::renewal::Renewal;
use http::header::ORIGIN;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::jar::Jar;
use crate::stage::second_of;
use crate::truth::{self, Case, DRAIN_ANY, Should};
use crate::visit::{self, Kind, Seen};
use crate::world::World;

/// A tab whose question hangs is reloaded by its user after so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// A program takes no token that expires sooner.
const FRESH_ENOUGH: i64 = 5;

/// Who asks, with what they have.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) session: SimSession,
    jar: Mutex<Jar>,
    /// When the application last saw the session with a token within its time.
    seen: Mutex<Option<i64>>,
    /// Wakes up late after an outage.
    late: bool,
}

impl Person {
    /// Somebody who has just signed in.
    pub(crate) fn new(world: &World, name: &str, late: bool) -> Arc<Self> {
        let session = world.stage.sim.sign_in(name);
        let token = world.stage.sim.mint(&session);
        let jar = Mutex::new(Jar::with_session(&token, session.since));
        Arc::new(Self { session, jar, seen: Mutex::default(), late })
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cookies(&self) -> Jar {
        self.jar().clone()
    }

    /// The second in which the token expires.
    pub(crate) fn expires(&self, world: &World) -> i64 {
        let expires = self.jar().expires().unwrap_or_default();
        world.conditions.start + second_of(expires)
    }

    pub(crate) fn case(&self, world: &World, writes: bool) -> Case {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Case { expires: self.expires(world), seen, writes }
    }

    /// Renews the token for ever, as an open tab does; the first time after `wait`.
    pub(crate) async fn keep_renewing(self: Arc<Self>, world: Arc<World>, wait: Duration) {
        let mut renewal = Renewal::default();
        tokio::time::sleep(wait).await;
        loop {
            let nap = world.nap(self.late);
            if nap.is_zero() {
                let renewed = self.renew(&world).await.is_some();
                tokio::time::sleep(renewal.pause_after(renewed)).await;
            } else {
                tokio::time::sleep(nap).await;
            }
        }
    }

    /// Asks for a new token. Clerk's edge wants to see the old one first.
    async fn renew(&self, world: &World) -> Option<()> {
        let mut reply = self.ask_for_token(world, None).await?;
        if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
            let old = self.jar().session().map(str::to_owned);
            reply = self.ask_for_token(world, old.as_deref()).await?;
        }
        let body: Value = serde_json::from_slice(&reply.body).ok()?;
        let token = body["jwt"].as_str().filter(|_| reply.status.is_success())?;
        self.jar().set_session(token);
        Some(())
    }

    async fn ask_for_token(&self, world: &World, old: Option<&str>) -> Option<ApiResponse> {
        let mut url = world.tokens_of(&self.session);
        if let Some(old) = old {
            url.query_pairs_mut().append_pair("expired_token", old);
        }
        let origin = HeaderValue::from_static(visit::ORIGIN);
        let call = ApiRequest::get(url).post().header(ORIGIN, origin).deadline(PATIENCE);
        world.clerk.call(call).await.ok()
    }

    /// Sends one request and has it counted. True when it was served.
    pub(crate) async fn send(self: Arc<Self>, world: Arc<World>, kind: Kind) -> bool {
        let (at, case) = (world.at(), self.case(&world, kind == Kind::Form));
        let should = truth::should(&world.conditions, at, case);
        let app = world.stage.app.clone();
        let seen = if kind == Kind::Page {
            let mut jar = self.cookies();
            let seen = visit::open(app, &mut jar, &*world.clerk).await;
            self.keep(jar);
            seen
        } else {
            visit::ask(app, kind, &self.cookies()).await
        };
        self.account(&world, at, kind, should, seen);
        seen.outcome.is_served()
    }

    /// Sends one request as a program that waits for a token when it has none; then nothing is sent.
    pub(crate) async fn send_as_program(self: Arc<Self>, world: Arc<World>) {
        let (at, case) = (world.at(), self.case(&world, false));
        let token = self.jar().session().map(str::to_owned).unwrap_or_default();
        if at > case.expires - FRESH_ENOUGH {
            world.tally().unsent += 1;
            return;
        }
        let should = truth::should(&world.conditions, at, case);
        let seen = visit::ask_with_bearer(world.stage.app.clone(), &token).await;
        self.account(&world, at, Kind::Api, should, seen);
    }

    /// What a visit changed, unless a renewal was quicker.
    fn keep(&self, jar: Jar) {
        let mut own = self.jar();
        if jar.expires() >= own.expires() {
            *own = jar;
        }
    }

    fn account(&self, world: &World, at: i64, kind: Kind, should: Should, seen: Seen) {
        if seen.outcome == Outcome::Served {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        }
        let spell = world.conditions.last_spell(at);
        let troubled = spell.is_some_and(|spell| at - spell.until <= DRAIN_ANY);
        world.tally().note(kind, should, troubled, seen);
    }
}
