//! When all is well.

use crate::chromium::{browse, usual};
use crate::world::{HANDSHAKE, SIGN_IN, World, sent_to};

#[test]
fn a_stranger_signs_in_is_greeted_signs_out_and_is_a_stranger_again() {
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
        assert_eq!(world.sim.sessions(), [], "Clerk knows of it");
        assert_eq!(browser.cookie("__session").await, None);

        browser.press("Sign in again").await;
        browser.sign_in("Ada").await;
    });
}

#[test]
fn an_expired_token_is_renewed_and_the_reader_does_not_notice() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        let token = browser.cookie("__session").await;
        world.visits();

        world.pass(30).await;
        browser.visit(&world.application).await;
        assert_eq!(world.visits().len(), 1, "a good token needs no detour");

        world.pass(40).await;
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
fn an_open_page_keeps_its_token_fresh_so_that_forms_work() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        let token = browser.cookie("__session").await;
        world.pass(70).await;
        browser.focus().await;
        let renewed = async || browser.cookie("__session").await != token;
        browser.until("another token", renewed).await;
        browser.enter("note", "Water the plants").await;
        browser.press("Add").await;
        browser.shows("Water the plants").await;
    });
}
