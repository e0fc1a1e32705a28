//! Satellites, proxies, organisations in addresses and development browsers, through the layer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::authenticate::{OrganizationSync, Proxy, Site};
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimOrganization, SimSession};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::{Auth, Builder, ClerkConfig, ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::{World, anonymous, bearer, start_of_time};
use url::Url;

use super::browser::{APP, Browser, PROXY};
use super::uat;

const PRIMARY: &str = "https://primary.example";

/// A Clerk whose satellite is the browser's first application.
fn clerk(kind: InstanceKind) -> SimClerk {
    let key = PublishableKey::for_host("clerk.sim.example", kind).expect("a host");
    let builder = SimClerk::builder().clock(SimClock::starting_at(start_of_time())).seed(7);
    builder.publishable_key(key).satellite("app.example.com").build()
}

async fn me(auth: Auth) -> String {
    let organization = auth.organization().and_then(|org| org.slug.clone());
    let issuer = auth.session().issuer.clone().unwrap_or_default();
    format!("{} {} {issuer}", auth.user_id(), organization.unwrap_or_default())
}

/// An application of this Clerk's, set up by `choose`, and ready.
async fn application(sim: &SimClerk, choose: impl FnOnce(Builder) -> Builder) -> World {
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .secret_key(sim.secret_key().clone())
        .backend_api(sim.backend_api_url())
        .status_page(None);
    let clock = SimClock::starting_at(start_of_time());
    let builder = ClerkResilience::builder(config).clock(clock.clone());
    let builder = choose(builder.transport(AtProxy(Arc::new(sim.transport()))));
    let clerk = builder.public(["/sign-in"]).build().expect("a good configuration");
    let app = Router::new()
        .route("/me", get(me))
        .route("/orgs/{slug}", get(me))
        .route("/sign-in", get(async || "sign in here"))
        .layer(clerk.clone());
    let world = World { clock, sim: sim.clone(), clerk, app };
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(5).await;
    world
}

/// A wire on which the Frontend API is also below a path of the application.
#[derive(Clone, Debug)]
struct AtProxy(Arc<dyn Transport>);

impl Transport for AtProxy {
    fn call(&self, mut call: ApiRequest) -> Calling {
        let path = call.url.as_str().strip_prefix(&format!("{APP}{PROXY}")).map(str::to_owned);
        if let Some(path) = path {
            call.url = Url::parse("https://clerk.sim.example").expect("an address");
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            call.url.set_path(path);
            call.url.set_query(Some(query));
        }
        self.0.call(call)
    }
}

/// A satellite, as production sets it up.
fn satellite(site: Site) -> Site {
    site.domain("app.example.com").satellite(true)
}

/// Somebody who is signed in at Clerk, but not at this application.
fn somebody(sim: &SimClerk) -> SimSession {
    let session = sim.sign_in("user_1");
    sim.set_browser_session(Some(&session));
    session
}

fn query(address: &str, name: &str) -> Option<String> {
    let address = Url::parse(address).expect("an address");
    address.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

#[tokio::test(start_paused = true)]
async fn a_satellite_uses_its_own_domain_and_tokens() {
    let sim = clerk(InstanceKind::Production);
    let world = application(&sim, |b| b.site(|site| satellite(site).auto_sync(true))).await;
    let session = somebody(&sim);
    let mut browser = Browser::new(&world);
    let answer = browser.visit("/me").await;
    assert_eq!(answer.body, "user_1  https://clerk.app.example.com", "{:#?}", browser.trail);
    assert_eq!(browser.handshakes(), 1);
    let (_, location, _) = Browser::new(&world)
        .go(&Url::parse(APP).expect("an address").join("/me").expect("it"))
        .await;
    let location = location.expect("sent");
    assert!(location.starts_with("https://clerk.app.example.com/v1/client/handshake?"));
    assert_eq!(query(&location, "__clerk_hs_reason").as_deref(), Some("satellite-needs-syncing"));

    let primary = application(&sim, |builder| builder).await;
    let of_primary = sim.mint(&session);
    let of_satellite = sim.token(&session).claim("iss", "https://clerk.app.example.com").sign();
    for (world, good, bad) in
        [(&world, &of_satellite, &of_primary), (&primary, &of_primary, &of_satellite)]
    {
        assert_eq!(world.get(good).await.status, StatusCode::OK);
        assert_eq!(world.get(bad).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_satellite_picks_the_fresher_cookie_of_its_issuer() {
    let sim = clerk(InstanceKind::Production);
    let world = application(&sim, |builder| builder.site(satellite)).await;
    let session = somebody(&sim);
    let token = |ago| {
        let token = sim.token(&session).ago(Duration::from_secs(ago));
        token.claim("iss", "https://clerk.app.example.com").sign()
    };
    let (uat, suffix) = (uat(&session), sim.cookie_suffix());
    for (plain, suffixed) in [(token(0), token(600)), (token(600), token(0))] {
        let cookies = format!(
            "__session={plain}; __session_{suffix}={suffixed}; __client_uat={uat}; __client_uat_{suffix}={uat}"
        );
        let answer = world.send(anonymous("GET", "/me", &[("cookie", &cookies)])).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_satellite_syncs_once_after_a_sign_in() {
    for (auto_sync, path, asks) in [
        (false, "/me", 0),
        (false, "/me?__clerk_synced=false", 1),
        (false, "/me?__clerk_synced=true", 0),
        (true, "/me", 1),
        (true, "/me?__clerk_synced=true", 0),
    ] {
        let sim = clerk(InstanceKind::Production);
        let world = application(&sim, |builder| {
            let site = |site: Site| satellite(site).auto_sync(auto_sync);
            builder.site(site)
        })
        .await;
        sim.set_browser_session(None);
        let mut browser = Browser::new(&world);
        assert_eq!(browser.visit(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(browser.handshakes(), asks, "{auto_sync} {path} {:#?}", browser.trail);
        if asks == 1 {
            somebody(&sim);
            let mut browser = Browser::new(&world);
            assert_eq!(browser.visit(path).await.status, StatusCode::OK, "{path}");
            assert_eq!(browser.handshakes(), 1, "{auto_sync} {path} {:#?}", browser.trail);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_satellite_shows_the_latest_sign_in() {
    let sim = clerk(InstanceKind::Production);
    let world = application(&sim, |builder| builder.site(satellite)).await;
    let before = sim.sign_in("user_before");
    let token = sim.token(&before).claim("iss", "https://clerk.app.example.com").sign();
    somebody(&sim);
    sim.revoke(&before);
    let mut browser = Browser::signed_in(&world, &token, &uat(&before));
    assert!(browser.visit("/me").await.body.starts_with("user_before"));
    let answer = browser.visit("/me?__clerk_synced=false").await;
    assert!(answer.body.starts_with("user_1"), "{} {:#?}", answer.body, browser.trail);
    assert_eq!(browser.handshakes(), 1);
}

/// A satellite and its primary application, in development.
async fn in_development(sim: &SimClerk) -> (World, World) {
    let sign_in = Url::parse(PRIMARY).and_then(|url| url.join("/sign-in")).expect("an address");
    let satellite = application(sim, |builder| {
        builder.site(|site| satellite(site).auto_sync(true).sign_in(sign_in))
    })
    .await;
    (satellite, application(sim, |builder| builder).await)
}

#[tokio::test(start_paused = true)]
async fn in_development_a_satellite_syncs_through_sign_in() {
    let sim = clerk(InstanceKind::Development);
    let (satellite, primary) = in_development(&sim).await;
    somebody(&sim);
    let mut browser = Browser::new(&satellite).beside(PRIMARY, &primary);
    let answer = browser.visit("/me?x=1").await;
    assert!(answer.body.starts_with("user_1"), "{} {:#?}", answer.body, browser.trail);
    let trail = ["app /me", "primary.example /sign-in", "app /me", "clerk /v1/client/handshake"];
    assert_eq!(browser.trail[..4], trail, "{:#?}", browser.trail);
    assert!(browser.cookies().contains("__clerk_db_jwt=dvb_"), "{}", browser.cookies());
}

#[tokio::test(start_paused = true)]
async fn a_primary_answers_with_the_development_browser() {
    let sim = clerk(InstanceKind::Development);
    let primary = application(&sim, |builder| builder).await;
    let mut browser = Browser::new(&primary);
    browser.set("__clerk_db_jwt=dvb_known; Path=/");
    let page =
        "/sign-in?__clerk_redirect_url=https%3A%2F%2Fsat.example%2Fp%3F__clerk_synced%3Dfalse";
    let answer = primary.send(browser.page(page)).await;
    let back = answer.header("location");
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert!(back.starts_with("https://sat.example/p?"), "{back}");
    assert_eq!(query(back, "__clerk_db_jwt").as_deref(), Some("dvb_known"));
    assert_eq!(query(back, "__clerk_synced").as_deref(), Some("true"));
    for page in [
        "/sign-in",
        "/sign-in?__clerk_redirect_url=javascript%3Aalert(1)",
        "/sign-in?__clerk_redirect_url=%2Frelative",
    ] {
        let answer = primary.send(browser.page(page)).await;
        assert!(!answer.status.is_redirection(), "{page} {}", answer.header("location"));
    }
}

#[tokio::test(start_paused = true)]
async fn in_production_no_url_redirects_to_another_site() {
    let sim = clerk(InstanceKind::Production);
    let primary = application(&sim, |builder| builder).await;
    let session = somebody(&sim);
    let browser = Browser::signed_in(&primary, &sim.mint(&session), &uat(&session));
    for path in ["/sign-in", "/me"] {
        let page = format!("{path}?__clerk_redirect_url=https%3A%2F%2Fevil.example%2F");
        assert_eq!(primary.send(browser.page(&page)).await.status, StatusCode::OK, "{path}");
    }
}

/// An application whose addresses name organisations.
async fn with_organizations(sim: &SimClerk) -> World {
    application(sim, |builder| {
        builder.site(|site| {
            site.organizations(OrganizationSync::new(["/orgs/:slug", "/orgs/:slug/(.*)"], ["/me"]))
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_url_switches_the_organization_by_one_handshake() {
    let sim = clerk(InstanceKind::Production);
    let world = with_organizations(&sim).await;
    let session = somebody(&sim);
    sim.add_membership(&session, SimOrganization::new("org_1", "acme"));
    let mut browser = Browser::signed_in(&world, &sim.mint(&session), &uat(&session));
    let answer = browser.visit("/orgs/acme").await;
    assert!(answer.body.starts_with("user_1 acme"), "{} {:#?}", answer.body, browser.trail);
    assert_eq!(browser.handshakes(), 1);
    assert!(browser.visit("/orgs/acme").await.body.starts_with("user_1 acme"));
    assert_eq!(browser.handshakes(), 1, "it is active by now");
    assert!(browser.visit("/me").await.body.starts_with("user_1  "), "the personal account");
    assert_eq!(browser.handshakes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_organization_switch_is_tried_once_a_visit() {
    let sim = clerk(InstanceKind::Production);
    let world = with_organizations(&sim).await;
    let session = somebody(&sim);
    let mut browser = Browser::signed_in(&world, &sim.mint(&session), &uat(&session));
    for visit in 1..=3 {
        let answer = browser.visit("/orgs/acme").await;
        assert_eq!(answer.status, StatusCode::OK, "the handler says who may see it");
        assert!(answer.body.starts_with("user_1  "), "{}", answer.body);
        assert_eq!(browser.handshakes(), visit, "{:#?}", browser.trail);
    }
}

#[tokio::test(start_paused = true)]
async fn browsers_are_redirected_through_the_proxy() {
    let address = Url::parse(&format!("{APP}{PROXY}")).expect("an address");
    for proxy in [Proxy::Path(PROXY.to_owned()), Proxy::Address(address)] {
        let sim = clerk(InstanceKind::Production);
        let set_up = proxy.clone();
        let world = application(&sim, |builder| {
            builder.authorized_parties([APP]).site(|site| site.proxy(set_up))
        })
        .await;
        let session = somebody(&sim);
        let old = sim.mint(&session);
        world.pass(90).await;
        let mut browser = Browser::signed_in(&world, &old, &uat(&session));
        let sent = world.send(browser.page("/me")).await;
        let start = format!("{APP}{PROXY}/v1/client/handshake?");
        assert!(sent.header("location").starts_with(&start), "{}", sent.header("location"));
        let answer = browser.visit("/me").await;
        assert!(answer.body.starts_with("user_1"), "{proxy:?} {:#?}", browser.trail);
        let by_proxy = sim.token(&session).claim("iss", format!("{APP}{PROXY}")).sign();
        assert_eq!(world.get(&by_proxy).await.status, StatusCode::OK, "{proxy:?}");
        let other = sim.token(&session).claim("iss", "https://evil.example/__clerk").sign();
        assert_eq!(world.get(&other).await.status, StatusCode::UNAUTHORIZED, "{proxy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_development_browser_is_stored() {
    let sim = clerk(InstanceKind::Development);
    let world = application(&sim, |builder| builder).await;
    let session = somebody(&sim);
    let mut browser = Browser::new(&world);
    let sent = world.send(browser.page("/me")).await;
    let reason = query(sent.header("location"), "__clerk_hs_reason");
    assert_eq!(reason.as_deref(), Some("dev-browser-missing"));
    assert!(browser.visit("/me").await.body.starts_with("user_1"));
    assert!(browser.cookies().contains("__clerk_db_jwt=dvb_"), "{}", browser.cookies());

    // From Clerk's own pages, signed in or not as yet.
    let fresh = Browser::signed_in(&world, &sim.mint(&session), &uat(&session));
    for mut browser in [Browser::new(&world), fresh] {
        let sent = world.send(browser.page("/me?__clerk_db_jwt=dvb_portal&x=1")).await;
        let location = sent.header("location");
        assert_eq!(query(location, "__clerk_db_jwt").as_deref(), Some("dvb_portal"));
        let back = query(location, "redirect_url").expect("a way back");
        assert!(back.starts_with(&format!("{APP}/me?x=1&__clerk_resilience_state=")), "{back}");
        assert!(browser.visit("/me?__clerk_db_jwt=dvb_portal&x=1").await.status.is_success());
        assert!(browser.cookies().contains("__clerk_db_jwt=dvb_portal"), "{}", browser.cookies());
        assert_eq!(browser.handshakes(), 1, "{:#?}", browser.trail);
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_nothing_redirects_to_clerk() {
    let sim = clerk(InstanceKind::Development);
    let (satellite, primary) = in_development(&sim).await;
    let production = clerk(InstanceKind::Production);
    let organized = with_organizations(&production).await;
    let session = production.sign_in("user_1");
    let token = production.mint(&session);
    for world in [&satellite, &primary, &organized] {
        world.break_clerk();
        world.until(Verdict::Outage).await;
    }
    let stranger = Browser::new(&satellite);
    for page in ["/me", "/me?__clerk_synced=false", "/me?__clerk_db_jwt=dvb_x"] {
        for world in [&satellite, &primary] {
            let answer = world.send(stranger.page(page)).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{page}");
        }
    }
    let page = "/sign-in?__clerk_redirect_url=https%3A%2F%2Fsat.example%2F";
    assert_eq!(primary.send(stranger.page(page)).await.body, "sign in here");
    let member = Browser::signed_in(&organized, &token, &uat(&session));
    let answer = organized.send(member.page("/orgs/acme")).await;
    assert!(!answer.status.is_redirection(), "{}", answer.header("location"));
}

#[tokio::test(start_paused = true)]
async fn split_joined_and_encoded_cookies_are_read() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let (good, forged) = (world.sim.mint(&session), world.sim.forge(&session));
    let encoded = good.replace('.', "%2E");
    let cookie = |value: &str| format!("__session={value}");
    for (fields, passes) in [
        (vec!["x=1".to_owned(), cookie(&good), "y=2".to_owned()], true),
        (vec![cookie(&encoded)], true),
        (vec![cookie(&good), cookie(&forged)], true),
        (vec![cookie(&forged), cookie(&good)], false),
        (vec![format!("{}; {}", cookie(&good), cookie(&forged))], true),
        (vec![format!("{}; {}", cookie(&forged), cookie(&good))], false),
    ] {
        let fields: Vec<_> = fields.iter().map(|line| ("cookie", line.as_str())).collect();
        let answer = world.send(anonymous("GET", "/me", &fields)).await;
        let status = if passes { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status, status, "{fields:?}");
    }
    assert_eq!(world.send(bearer("GET", "/me", &encoded)).await.status, StatusCode::UNAUTHORIZED);
}
