//! When all is well.

use clerk_resilience::sim::{SimFault, SimSurface};

use crate::chromium::{browse, usual};
use crate::world::{HANDSHAKE, SIGN_IN, World, sent_to};

#[test]
fn a_visitor_signs_in_and_out() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.shows("Simulated Clerk").await;
        assert_eq!(browser.address().await.host_str(), Some("localhost"));
        let visits = world.visits();
        assert_eq!((sent_to(HANDSHAKE, &visits), sent_to(SIGN_IN, &visits)), (1, 1), "{visits:#?}");

        browser.sign_in("Ada").await;
        assert_eq!(browser.address().await, world.application, "Clerk's marks are gone");
        let visits = world.visits();
        assert_eq!((sent_to(HANDSHAKE, &visits), sent_to(SIGN_IN, &visits)), (1, 0), "{visits:#?}");
        assert_eq!(world.sim.sessions().len(), 1);

        browser.press("Sign out").await;
        browser.shows("You are signed out").await;
        assert_eq!(browser.cookie("__session").await, None);
        world.pass(2).await;
        assert_eq!(world.sim.sessions(), [], "Clerk knows of it");

        browser.press("Sign in again").await;
        browser.sign_in("Ada").await;
    });
}

#[test]
fn a_page_visit_before_clerk_ends_the_session_says_it_ended() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        world.sim.break_with(SimSurface::BackendMutation, SimFault::cdn(503));
        browser.press("Sign out").await;
        browser.shows("You are signed out").await;
        world.visits();
        browser.press("Sign in again").await;
        browser.shows("The session has ended").await;
        assert_eq!(world.sim.sessions().len(), 1, "Clerk took the browser for signed in");
        let visits = world.visits();
        assert!(visits.len() <= 4, "out, back, to Clerk, and to the clean address: {visits:#?}");
        browser.visit(&world.application).await;
        browser.shows("The session has ended").await;
        assert_eq!(world.visits().len(), 1, "and nowhere else");

        world.sim.heal_all();
        world.pass(70).await;
        assert_eq!(world.sim.sessions(), []);
        browser.press("Sign in").await;
        browser.sign_in("Ada").await;
    });
}

#[test]
fn sign_in_returns_to_the_requested_page() {
    let world = World::new(0);
    let page = world.application.join("?from=a%26mail").expect("an address");
    browse([usual()], async |[browser]| {
        browser.visit(&page).await;
        browser.sign_in("Ada").await;
        assert_eq!(browser.address().await, page);
    });
}

#[test]
fn repeated_successful_sign_ins_are_not_a_loop() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        for _ in 0..5 {
            browser.visit(&world.application).await;
            browser.sign_in("Ada").await;
            browser.press("Sign out").await;
            browser.shows("You are signed out").await;
            world.pass(8).await;
        }
    });
}

#[test]
fn an_expired_token_is_renewed_without_a_visible_redirect() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        let token = browser.cookie("__session").await;
        browser.leave().await;
        world.visits();

        world.pass(30).await;
        browser.visit(&world.application).await;
        browser.leave().await;
        assert_eq!(world.visits().len(), 1, "a good token needs no detour");

        world.pass(70).await;
        browser.visit(&world.application).await;
        browser.shows("Signed in as Ada").await;
        assert_eq!(browser.address().await, world.application);
        let visits = world.visits();
        assert_eq!(sent_to(HANDSHAKE, &visits), 1, "{visits:#?}");
        assert_eq!(visits.len(), 3, "out, back, and to the clean address: {visits:#?}");
        assert_ne!(browser.cookie("__session").await, token);
    });
}

#[test]
fn an_open_page_renews_its_token_so_that_forms_work() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        world.pass(70).await;
        let token = browser.cookie("__session").await;
        browser.focus().await;
        let renewed = async || browser.cookie("__session").await != token;
        browser.until("another token", renewed).await;
        browser.enter("note", "Water the plants").await;
        browser.press("Add").await;
        browser.shows("Water the plants").await;
    });
}
