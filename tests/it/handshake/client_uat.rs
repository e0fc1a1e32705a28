//! `__client_uat`: what it says of the session cookie, and pages without it.

use clerk_resilience::ClientUat;
use clerk_resilience::key::InstanceKind;
use http::StatusCode;
use test_support::world::anonymous;

use super::browser::Browser;
use super::world;

#[tokio::test(start_paused = true)]
async fn a_session_cookie_contradicted_by_client_uat_is_ignored() {
    for (policy, rows) in [
        (ClientUat::RequiredForPages, [(None, 200), (Some("0"), 401), (Some("x"), 401)]),
        (ClientUat::Required, [(None, 401), (Some("0"), 401), (Some("x"), 401)]),
        (ClientUat::Ignored, [(None, 200), (Some("0"), 200), (Some("x"), 200)]),
    ] {
        let world = world(InstanceKind::Production, |builder| builder.client_uat(policy)).await;
        let session = world.sim.sign_in("user_1");
        let token = world.sim.mint(&session);
        for (uat, status) in rows {
            let uat = uat.map_or(String::new(), |uat| format!("; __client_uat={uat}"));
            let cookies = format!("__session={token}{uat}");
            let fields = [("sec-fetch-dest", "empty"), ("cookie", &*cookies)];
            let answer = world.send(anonymous("GET", "/me", &fields)).await;
            assert_eq!(answer.status, status, "{policy:?} {uat}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_client_uat_is_ignored() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let now = world.now_secs();
    for (uat, status) in [(now - 5, 200), (now, 200), (now + 1, 401)] {
        let cookies = format!("__session={token}; __client_uat={uat}");
        let fields = [("sec-fetch-dest", "empty"), ("cookie", &*cookies)];
        let answer = world.send(anonymous("GET", "/me", &fields)).await;
        assert_eq!(answer.status, status, "{uat}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_client_uat_is_shown_after_a_handshake() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let mut browser = Browser::new(&world);
    browser.set(&format!("__session={}; Path=/", world.sim.mint(&session)));
    assert_eq!(browser.visit("/me").await.status, StatusCode::OK);
    assert_eq!(browser.handshakes(), 1);
    assert!(browser.cookies().contains("__client_uat="));
}
