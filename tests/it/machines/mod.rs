//! Machines through the layer: API keys, machine-to-machine tokens and OAuth access tokens.

mod kinds;
mod lookups;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimClerk, SimFault, SimMachine, SimSurface, TokenBuilder};
use clerk_resilience::token::TokenKind;
use clerk_resilience::{
    Auth, Builder, Caller, ClerkResilience, FreshAuth, Machine, Rejection, RoutePolicy,
};
use test_support::world::{Answer, World, bearer};
use tower::ServiceExt as _;

const BOTH: [TokenKind; 2] = [TokenKind::Session, TokenKind::ApiKey];

/// Routes for machines alone, for sessions alone, and for both.
fn app(clerk: &ClerkResilience) -> Router {
    async fn machine(machine: Machine) -> String {
        format!("{} {}", machine.kind().name(), machine.subject())
    }
    async fn user(auth: Auth) -> String {
        auth.user_id().to_string()
    }
    async fn anyone(caller: Caller) -> String {
        match caller {
            Caller::User(auth) => format!("user {}", auth.user_id()),
            Caller::Machine(machine) => format!("machine {}", machine.subject()),
            _ => "somebody".to_owned(),
        }
    }
    async fn perhaps(caller: Option<Caller>) -> String {
        caller.map_or("nobody".to_owned(), |_| "somebody".to_owned())
    }
    let policy = RoutePolicy::required;
    let with = |path: &str, route, policy: RoutePolicy| {
        Router::new().route(path, route).route_layer(clerk.policy(policy))
    };
    let machines = policy().accepts(TokenKind::MACHINES);
    with("/machine", get(machine), machines.clone())
        .merge(with("/user", get(user), policy()))
        .merge(with("/both", get(anyone), policy().accepts(BOTH)))
        .merge(with("/both/machine", get(machine), policy().accepts(BOTH)))
        .merge(with("/both/user", get(user), policy().accepts(BOTH)))
        .merge(with("/both/fresh", get(async |_: FreshAuth| "fresh"), policy().accepts(BOTH)))
        .merge(with("/optional", get(perhaps), RoutePolicy::optional().accepts(BOTH)))
        .merge(with("/admin", get(machine), machines.role("org:admin")))
}

struct Machines {
    world: World,
    app: Router,
}

impl Machines {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let world = World::with(choose).await;
        let app = app(&world.clerk);
        Self { world, app }
    }

    async fn ask(&self, path: &str, token: &str) -> Answer {
        World::ask(&self.app, bearer("GET", path, token)).await
    }

    /// The status, and the reason of a refusal, which outer layers see.
    async fn verdict(&self, path: &str, token: &str) -> (u16, String) {
        let response = self.app.clone().oneshot(bearer("GET", path, token)).await;
        let response = response.expect("infallible");
        let rejection = response.extensions().get::<Rejection>();
        let reason = rejection.map(|rejection| rejection.reason().to_owned());
        (response.status().as_u16(), reason.unwrap_or_default())
    }

    fn key(&self) -> String {
        self.world.sim.issue(SimMachine::api_key("user_1").scope("read"))
    }

    fn asked(&self) -> u64 {
        self.world.clerk.counts().backend_questions
    }

    fn break_with(&self, fault: SimFault) {
        self.world.sim.break_with(SimSurface::BackendApi, fault);
    }
}

fn m2m(sim: &SimClerk) -> TokenBuilder<'_> {
    let token = sim.token(&sim.sign_in("user_1")).claim("sub", "mch_1");
    token.header("cat", "cl_B7d4PD333AAA").without_claim("sid")
}

fn oauth(sim: &SimClerk) -> TokenBuilder<'_> {
    sim.token(&sim.sign_in("user_1")).header("typ", "at+jwt").claim("scope", "read write")
}
