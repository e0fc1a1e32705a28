//! The way to the sign-in page and back.

use axum::Router;
use clerk_resilience::{Builder, ClerkResilience, GracePolicy};
use http::StatusCode;
use test_support::world::{Answer, NAVIGATION, World, anonymous, config, routes, signed};
use url::Url;

use super::browser::Browser;
use super::uat;

const ACCOUNTS: &str = "https://accounts.example.com/in";
const HOST: (&str, &str) = ("host", "app.example.com");

async fn world(sign_in: &str, choose: impl FnOnce(Builder) -> Builder) -> World {
    let mut world = World::unready(|builder| builder);
    let config = config(&world.sim).sign_in_url(sign_in);
    let builder = ClerkResilience::builder(config).clock(world.clock.clone());
    let builder = choose(builder.transport(world.sim.transport()));
    world.clerk = builder.build().expect("a good configuration");
    world.clerk.ready(std::time::Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.app = routes().layer(world.clerk.clone()).merge(world.clerk.routes());
    world.pass(5).await;
    world
}

async fn visit(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    world.send(anonymous("GET", path, &[&NAVIGATION, fields].concat())).await
}

/// Where a stranger who asks for this page is sent to sign in.
async fn sent(sign_in: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = visit(&world(sign_in, |builder| builder).await, path, fields).await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{sign_in} {path} {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("location").to_owned()
}

/// The way back in an address.
fn way_back(address: &str) -> Vec<String> {
    let address = Url::parse("https://app.example.com").and_then(|base| base.join(address));
    let address = address.expect("an address");
    let ways = address.query_pairs().filter(|(name, _)| name == "redirect_url");
    ways.map(|(_, way)| way.into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_sign_in_redirect_carries_the_requested_page() {
    let forwarded = [HOST, ("x-forwarded-host", "b.example, c"), ("x-forwarded-proto", "http")];
    for (path, fields, back) in [
        ("/me", &[HOST][..], "https://app.example.com/me"),
        ("/me?a=1&b=x%20y%26z", &[HOST], "https://app.example.com/me?a=1&b=x%20y%26z"),
        ("/me", &[("host", "localhost:3000")], "https://localhost:3000/me"),
        // Nobody knows whether the peer is a proxy.
        ("/me", &forwarded, "https://app.example.com/me"),
        ("/me", &[HOST, ("x-forwarded-proto", "javascript")], "https://app.example.com/me"),
        ("/me?__clerk_help=1&a=1&__clerk_db_jwt=x", &[HOST], "https://app.example.com/me?a=1"),
    ] {
        let location = sent(ACCOUNTS, path, fields).await;
        assert!(
            location.starts_with("https://accounts.example.com/in?redirect_url="),
            "{location}"
        );
        assert_eq!(way_back(&location), [back], "{path} {fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_configured_sign_in_url_is_preserved() {
    const PAGE: &str = "redirect_url=https%3A%2F%2Fapp.example.com%2Fme";
    for (sign_in, location) in [
        ("/sign-in", format!("/sign-in?{PAGE}")),
        ("/sign-in?", format!("/sign-in?{PAGE}")),
        ("/sign-in?a=1", format!("/sign-in?a=1&{PAGE}")),
        ("https://a.example/in?a=%20#/b?c", format!("https://a.example/in?a=%20&{PAGE}#/b?c")),
        ("/in?redirect_url=%2Fhome", "/in?redirect_url=%2Fhome".to_owned()),
    ] {
        assert_eq!(sent(sign_in, "/me", &[HOST]).await, location);
    }
    assert_eq!(sent(ACCOUNTS, "/me", &[]).await, ACCOUNTS, "an address without a host is none");
}

#[tokio::test(start_paused = true)]
async fn the_link_on_a_page_leads_back_to_it_too() {
    let world = world(ACCOUNTS, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.clerk.revoke_session(session.id.clone());
    let cookies = format!("__session={token}; __client_uat={}", uat(&session));
    let answer = visit(&world, "/me?a=1", &[HOST, ("cookie", &cookies)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let link = answer.body.split("href=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(way_back(link.expect("a link")), ["https://app.example.com/me?a=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_returning_visitor_of_a_satellite_is_sent_to_sync() {
    for (path, back) in [
        ("/me", "https://app.example.com/me?__clerk_synced=false"),
        ("/me?a=1&__clerk_synced=true", "https://app.example.com/me?a=1&__clerk_synced=false"),
    ] {
        let world = world(ACCOUNTS, |builder| {
            builder.site(|site| site.satellite(true).domain("app.example.com"))
        })
        .await;
        let answer = visit(&world, path, &[HOST]).await;
        assert_eq!(way_back(answer.header("location")), [back], "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_sign_in_page_does_not_redirect_to_itself() {
    let world = world("/app/me", |builder| builder).await;
    let app = Router::new().nest("/app", routes().layer(world.clerk.clone()));
    let fields = [&NAVIGATION[..], &[HOST]].concat();
    let answer = World::ask(&app, anonymous("GET", "/app/me", &fields)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
}

const SENT: &str = "__clerk_resilience_sent";

fn takes_back_the_count(answer: &Answer) -> bool {
    let mut lines = answer.headers.get_all("set-cookie").iter();
    lines.any(|line| line.to_str().is_ok_and(|line| line.starts_with(SENT) && line.contains("=; ")))
}

#[tokio::test(start_paused = true)]
async fn repeated_successful_sign_ins_are_not_a_loop() {
    for handshakes in [true, false] {
        let world = world(ACCOUNTS, |builder| builder.handshakes(handshakes)).await;
        let mut browser = Browser::new(&world);
        for round in 0..6 {
            let answer = world.send(browser.page("/me")).await;
            assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{round}");
            browser.set(answer.header("set-cookie"));
            let session = world.sim.sign_in("user_1");
            browser.set(&format!("__session={}; Path=/", world.sim.mint(&session)));
            browser.set(&format!("__client_uat={}; Path=/", uat(&session)));
            assert_eq!(browser.visit("/me").await.status, StatusCode::OK, "{round}");
            assert!(!browser.cookies().contains(SENT), "{}", browser.cookies());
            browser.set("__session=; Max-Age=0");
            browser.set("__client_uat=; Max-Age=0");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_fresh_page_resets_the_redirect_count() {
    let world = world(ACCOUNTS, |builder| builder.grace(GracePolicy::balanced())).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let away = visit(&world, "/me", &[HOST]).await;
    let count = away.header("set-cookie").split(';').next().expect("a pair").to_owned();
    assert!(count.starts_with(SENT), "{count}");
    let counted = [&NAVIGATION[..], &[HOST, ("cookie", &count)]].concat();
    let page = world.send(signed("GET", "/me", &token, &counted)).await;
    assert!(takes_back_the_count(&page));
    assert_eq!(page.header("cache-control"), "private, no-store");
    let uncounted = world.send(signed("GET", "/me", &token, &NAVIGATION)).await;
    assert_eq!(uncounted.status, StatusCode::OK);
    assert!(!uncounted.headers.contains_key("set-cookie"), "{uncounted:?}");
    assert!(!uncounted.headers.contains_key("cache-control"), "{uncounted:?}");
    let program = world.send(signed("GET", "/me", &token, &[HOST, ("cookie", &count)])).await;
    assert!(!takes_back_the_count(&program));
    world.break_clerk();
    world.until(clerk_resilience::Verdict::Outage).await;
    world.pass(60).await;
    let grace = world.send(signed("GET", "/me", &token, &counted)).await;
    assert_eq!(grace.body, "user_1 outage");
    assert!(!takes_back_the_count(&grace));
}

#[tokio::test(start_paused = true)]
async fn restored_tabs_and_forged_counts_do_not_block_sign_in() {
    let world = world(ACCOUNTS, |builder| builder).await;
    let mut browser = Browser::new(&world);
    let away = world.send(browser.page("/me")).await;
    let name = away.header("set-cookie").split('=').next().expect("a name").to_owned();
    for forged in [format!("{SENT}=9"), format!("{name}=9"), format!("{name}=3.AAAA")] {
        let answer = visit(&world, "/me", &[HOST, ("cookie", &forged)]).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{forged}");
    }
    for tab in 0..8 {
        let cookies = browser.cookies();
        let fields = [HOST, ("sec-fetch-site", "none"), ("cookie", &*cookies)];
        let answer = visit(&world, "/me", &fields).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{tab}");
        browser.keep(0, &answer.headers);
    }
    for sent in 1..=4 {
        let answer = world.send(browser.page("/me")).await;
        let expected = if sent <= 3 { 307 } else { 401 };
        assert_eq!(answer.status, expected, "a loop of one page ends");
        browser.keep(0, &answer.headers);
    }
    let other = world.send(browser.page("/me?other=1")).await;
    assert_eq!(other.status, StatusCode::TEMPORARY_REDIRECT, "and of no other page");
}
