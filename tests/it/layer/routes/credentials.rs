//! Where a session token is read from, and which of several counts.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use test_support::world::{World, anonymous};

use super::extractors;

fn with_cookies(fields: &[String]) -> Request<Body> {
    let fields: Vec<_> = fields.iter().map(|field| ("cookie", field.as_str())).collect();
    anonymous("GET", "/auth", &fields)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_read_from_both_cookies_and_all_fields() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let suffixed = format!("__session_{}", world.sim.cookie_suffix());
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for fields in [
        vec![format!("__session={token}")],
        vec![format!("{suffixed}={token}")],
        vec![format!("__session={token}; {suffixed}={token}")],
        vec![format!("theme=dark; __session={token}; lang=en")],
        vec![format!("theme=dark;__session={token}")],
        vec!["theme=dark".to_owned(), format!("__session={token}"), "lang=en".to_owned()],
        vec![format!("__session_other={token}"), format!("{suffixed}={token}")],
        vec![format!("__session=; {suffixed}={token}")],
    ] {
        let answer = World::ask(&app, with_cookies(&fields)).await;
        assert_eq!(answer.body, "user_1 fresh", "{fields:?}");
    }
    for fields in [
        vec![format!("__session_other={token}")],
        vec![format!("__Session={token}")],
        vec![format!("session={token}")],
        vec![format!("x__session={token}")],
        vec!["__session=".to_owned()],
        vec!["__session".to_owned()],
        vec![String::new()],
    ] {
        let answer = World::ask(&app, with_cookies(&fields)).await;
        assert_eq!(answer.json()["reason"], "session-token-missing", "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_different_cookies_the_newer_token_counts() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let suffixed = format!("__session_{}", world.sim.cookie_suffix());
    let session = world.sim.sign_in("user_1");
    let fresh = world.sim.mint(&session);
    let old = world.sim.token(&session).ago(Duration::from_secs(600)).sign();
    for cookies in [
        format!("__session={fresh}; {suffixed}={old}"),
        format!("{suffixed}={fresh}; __session={old}"),
    ] {
        let answer = World::ask(&app, with_cookies(&[cookies])).await;
        assert_eq!(answer.body, "user_1 fresh");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_header_still_precedes_the_cookie() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let session = world.sim.sign_in("user_1");
    let (good, bad) = (world.sim.mint(&session), world.sim.forge(&session));
    for (header, cookie, status) in [
        (format!("Bearer {good}"), &bad, 200),
        (format!("Bearer {bad}"), &good, 401),
        (format!("Bearer  {good}"), &good, 401),
        ("Bearer ".to_owned(), &good, 401),
        (good.clone(), &bad, 200),
        (format!("bearer {good}"), &bad, 401),
        ("Basic dXNlcjpwYXNz".to_owned(), &good, 200),
        ("Basic dXNlcjpwYXNz".to_owned(), &bad, 401),
    ] {
        let cookie = format!("__session={cookie}");
        let request = anonymous("GET", "/auth", &[("authorization", &header), ("cookie", &cookie)]);
        let answer = World::ask(&app, request).await;
        assert_eq!(answer.status.as_u16(), status, "{header}");
    }
}
