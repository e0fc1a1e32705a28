//! The sign-out route: who may use it, and what it answers.

use axum::Router;
use axum::routing::post;
use clerk_resilience::Auth;
use http::StatusCode;
use test_support::world::{World, anonymous, bearer};

use super::{SAME_ORIGIN, cookies_gone, leave, sign_out, without_secret_key};

#[tokio::test(start_paused = true)]
async fn another_site_cannot_sign_anybody_out() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for fields in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("host", "app.example.com")],
        &[],
    ] {
        let answer = sign_out(&world, &token, fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let own = [("origin", "https://app.example.com"), ("host", "app.example.com")];
    assert_eq!(sign_out(&world, &token, &own).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn basic_auth_is_no_proof_of_the_origin() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let fields = [("authorization", "Basic dXNlcjpwYXNz"), ("sec-fetch-site", "cross-site")];
    let answer = sign_out(&world, &token, &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn api_calls_sign_out_and_forms_are_redirected() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = world.send(bearer("POST", "/auth/sign-out", &token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let form = [SAME_ORIGIN, ("accept", "text/html,*/*")];
    let answer = sign_out(&world, &token, &form).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
    let answer = world.send(anonymous("GET", "/auth/sign-out", &[])).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_ends_no_session_and_loses_its_cookies() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let answer = sign_out(&world, &world.sim.forge(&session), &[SAME_ORIGIN]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(cookies_gone(&answer));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_sign_out_by_itself() {
    let world = World::new().await;
    let clerk = world.clerk.clone();
    let handler = async move |auth: Auth| (clerk.sign_out(&auth), "bye");
    let app = Router::new().route("/leave", post(handler)).route_layer(world.clerk.clone());
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = World::ask(&app, bearer("POST", "/leave", &token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "bye"));
    assert!(cookies_gone(&answer));
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_form_without_a_secret_key_gets_a_page_that_signs_out() {
    let world = without_secret_key(|config| config).await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = sign_out(&world, &token, &[SAME_ORIGIN, ("accept", "text/html,*/*")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(cookies_gone(&answer));
    let page = &answer.body;
    let script = format!("data-src=\"{}npm/@clerk/clerk-js@", world.sim.frontend_api_url());
    assert!(page.contains(&script), "{page}");
    let key = format!("data-key=\"{}\"", world.sim.publishable_key().as_str());
    assert!(page.contains(&key), "{page}");
    for word in ["Clerk.load(", "Clerk.signOut(", "You are signed out of this application."] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains(&token), "no token is in the page");
    let nonce = |page: &str| {
        page.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next().map(str::to_owned))
    };
    let used = nonce(page).expect("a nonce");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains(&format!("'nonce-{used}'")), "{policy}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let again = sign_out(&world, &token, &[SAME_ORIGIN, ("accept", "text/html,*/*")]).await;
    assert_ne!(nonce(&again.body).expect("a nonce"), used);
    assert_eq!(leave(&world, &token).await.status, StatusCode::NO_CONTENT, "programs get no page");
}
