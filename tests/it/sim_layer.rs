//! The layer that a simulated Clerk wires: what a newcomer's test stands on.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::clock::{Clock, ClockId, Moment, SystemClock};
use clerk_resilience::sim::{
    SimClerk, SimClock, SimComponentState, SimFault, SimOrganization, SimSession, SimSurface,
};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::{
    Auth, Builder, ClerkResilience, ConfigError, GraceMode, GracePolicy, SimClerkExt, Verdict,
};
use http::Request;

fn app(clerk: &ClerkResilience) -> Router {
    let me = async |auth: Auth| auth.user_id().to_string();
    Router::new().route("/me", get(me)).route_layer(clerk.clone()).merge(clerk.routes())
}

/// The statuses of one request: before an outage, two minutes into it, and an hour later.
async fn outage(choose: impl FnOnce(Builder) -> Builder) -> [u16; 3] {
    let sim = SimClerk::in_memory();
    let app = app(&sim.layer(choose));
    let request = sim.get("/me", &sim.sign_in("user_1"));
    let before = sim.send(&app, &request).await.status();
    sim.break_with(SimSurface::CLERK, SimFault::status(503));
    sim.pass(Duration::from_secs(120)).await;
    let during = sim.send(&app, &request).await.status();
    sim.pass(Duration::from_secs(3600)).await;
    [before, during, sim.send(&app, &request).await.status()].map(|status| status.as_u16())
}

#[tokio::test(start_paused = true)]
async fn an_outage_test_distinguishes_grace_on_and_off() {
    assert_eq!(outage(|builder| builder.grace(GracePolicy::balanced())).await, [200, 200, 503]);
    assert_eq!(outage(|builder| builder.grace(GracePolicy::available())).await, [200, 200, 200]);
    assert_eq!(outage(|builder| builder).await, [200, 503, 503]);
    let report = GracePolicy::balanced().report_only();
    assert_eq!(report.mode(), GraceMode::ReportOnly);
    assert_eq!(outage(|builder| builder.grace(report)).await, [200, 503, 503]);
}

/// A clock without a name, as an application might write one.
#[derive(Clone, Debug)]
struct Nameless<C>(C);

impl<C: Clock> Clock for Nameless<C> {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

/// A clock of the application's own that says whose time it shows.
#[derive(Clone, Debug)]
struct Named<C>(C);

impl<C: Clock> Clock for Named<C> {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn id(&self) -> Option<ClockId> {
        self.0.id()
    }
}

/// A transport of the application's own around the simulated one.
#[derive(Debug)]
struct Wrapped<U>(U);

impl<U: Transport> Transport for Wrapped<U> {
    fn call(&self, call: ApiRequest) -> Calling {
        self.0.call(call)
    }

    fn clock(&self) -> Option<std::sync::Arc<dyn Clock>> {
        self.0.clock()
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulated_clerk_on_a_foreign_clock_is_rejected() {
    let sim = SimClerk::in_memory();
    let foreign: [fn(Builder) -> Builder; 4] = [
        |builder| builder,
        |builder| builder.clock(SystemClock::new()),
        |builder| builder.clock(SimClock::starting_now()),
        |builder| builder.clock(Nameless(SimClock::starting_now())),
    ];
    for (row, choose) in foreign.into_iter().enumerate() {
        let builder = || choose(ClerkResilience::builder(sim.config()));
        for error in [
            builder().transport(sim.transport()).build().expect_err("foreign"),
            builder().transport(Wrapped(sim.transport())).build().expect_err("foreign"),
        ] {
            let contradiction = matches!(error, ConfigError::Contradiction { .. });
            assert!(contradiction && error.to_string().contains("sim.layer(..)"), "{row}: {error}");
        }
    }
    let error = sim.try_layer(|builder| builder.clock(SystemClock::new())).expect_err("foreign");
    assert!(error.to_string().contains("another clock"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn clocks_from_one_source_are_accepted() {
    let sim = SimClerk::in_memory();
    sim.try_layer(|builder| builder).expect("its own clock");
    sim.try_layer(|builder| builder.clock(Named(sim.clock()))).expect("it forwards the name");
    let clock = SimClock::starting_now();
    let sim = SimClerk::builder().clock(clock.clone()).build();
    sim.try_layer(|builder| builder.clock(clock.skewed(2_000))).expect("skew is no other clock");
    let sim = SimClerk::builder().clock(SystemClock::new()).build();
    sim.try_layer(|builder| builder.clock(SystemClock::new())).expect("both are the system's");
    let sim = SimClerk::builder().clock(SystemClock::new()).build();
    let default = ClerkResilience::builder(sim.config()).transport(sim.transport());
    default.build().expect("the default is the system's");
    let nameless = Nameless(SimClock::starting_now());
    let sim = SimClerk::builder().clock(nameless.clone()).build();
    sim.try_layer(|builder| builder.clock(nameless)).expect("neither has a name");
    let sim = SimClerk::builder().clock(Nameless(SystemClock::new())).build();
    let error = sim.try_layer(|builder| builder.clock(SystemClock::new()));
    error.expect_err("one has a name, the other has none");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "sim.layer(..)")]
async fn layer_panics_with_the_sentence_of_the_error() {
    SimClerk::in_memory().layer(|builder| builder.clock(SystemClock::new()));
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_outage_when_the_status_page_agrees() {
    let sim = SimClerk::in_memory();
    let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
    let app = app(&clerk);
    let request = sim.get("/me", &sim.sign_in("user_1"));
    assert_eq!(sim.send(&app, &request).await.status(), 200);
    sim.break_with(SimSurface::CLERK, SimFault::Hang);
    sim.set_component("Session management", SimComponentState::MajorOutage);
    sim.pass(Duration::from_secs(180)).await;
    assert_eq!(clerk.verdict(), Verdict::Outage, "the page and the canary are wired");
    assert_eq!(sim.send(&app, &request).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn silence_of_everything_is_a_cut_of_the_own_network() {
    let sim = SimClerk::in_memory();
    let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
    let app = app(&clerk);
    let request = sim.get("/me", &sim.sign_in("user_1"));
    assert_eq!(sim.send(&app, &request).await.status(), 200);
    sim.break_with(SimSurface::ALL, SimFault::Refused);
    sim.pass(Duration::from_secs(180)).await;
    assert_eq!(clerk.verdict(), Verdict::Isolated, "the canary is wired");
    assert_eq!(sim.send(&app, &request).await.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn cookies_and_bearer_tokens_sign_a_session_in() {
    let sim = SimClerk::in_memory();
    let app = app(&sim.layer(|builder| builder));
    let session = sim.sign_in("user_1");
    assert_eq!(sim.send(&app, &sim.get("/me", &session)).await.status(), 200);
    assert_eq!(sim.send(&app, &sim.page("/me", Some(&session))).await.status(), 200);
    assert_eq!(sim.send(&app, &sim.page("/me", None)).await.status(), 401);
    assert_eq!(sim.send(&app, &sim.post("/me", &session)).await.status(), 405);
    assert!(sim.bearer(&session).is_sensitive() && sim.cookies(&session).is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn signed_webhooks_act_on_the_next_request() {
    type Report = fn(&SimClerk, &SimSession) -> Request<String>;
    let reports: [Report; 3] = [
        |sim, session| sim.session_ended(session),
        |sim, session| sim.user_banned(session.user.clone()),
        |sim, session| sim.member_removed(session, &SimOrganization::new("org_1", "acme")),
    ];
    for (row, report) in reports.into_iter().enumerate() {
        let sim = SimClerk::in_memory();
        let app = app(&sim.layer(|builder| builder));
        let (session, acme) = (sim.sign_in("user_1"), SimOrganization::new("org_1", "acme"));
        assert_eq!(sim.send(&app, &sim.member_added(&session, &acme)).await.status(), 204);
        let request = sim.get("/me", &session);
        assert_eq!(sim.send(&app, &request).await.status(), 200);
        let other = sim.get("/me", &sim.sign_in("user_2"));
        assert_eq!(sim.send(&app, &report(&sim, &session)).await.status(), 204);
        assert_eq!(sim.send(&app, &request).await.status(), 401, "row {row}");
        assert_eq!(sim.send(&app, &other).await.status(), 200, "row {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_s_next_token_names_the_organization() {
    let sim = SimClerk::in_memory();
    let role = async |auth: Auth| match auth.organization() {
        Some(organization) => format!("{:?}", organization.role),
        None => "none".to_owned(),
    };
    let app = Router::new().route("/role", get(role)).route_layer(sim.layer(|builder| builder));
    let session = sim.sign_in("user_1");
    let ask = async || {
        let response = sim.send(&app, &sim.get("/role", &session)).await;
        test_support::world::Answer::of(response).await.body
    };
    assert_eq!(ask().await, "none");
    let acme = SimOrganization::new("org_1", "acme").role("admin");
    let created = sim.member_added(&session, &acme);
    assert!(created.body().contains("organizationMembership.created"), "{}", created.body());
    assert!(ask().await.contains("admin"));
    sim.pass(Duration::from_secs(1)).await;
    let updated = sim.member_added(&session, &acme.clone().role("member"));
    assert!(updated.body().contains("organizationMembership.updated"), "{}", updated.body());
    let _ = sim.member_removed(&session, &acme);
    assert_eq!(ask().await, "none");
}
