//! When something is wrong: a page that says what, and never a loop.

use clerk_resilience::Verdict;
use clerk_resilience::sim::{SimFault, SimSurface};
use serde_json::json;

use crate::chromium::{browse, usual};
use crate::world::{HANDSHAKE, SIGN_IN, World, sent_to};

#[test]
fn a_browser_that_blocks_cookies_gets_an_explanation() {
    let world = World::new(0);
    let blocked = json!({ "profile.default_content_setting_values.cookies": 2 });
    browse([blocked], async |[browser]| {
        browser.visit(&world.application).await;
        browser.shows("Allow cookies for this site").await;
        let visits = world.visits();
        assert_eq!((sent_to(HANDSHAKE, &visits), sent_to(SIGN_IN, &visits)), (1, 0), "{visits:#?}");
    });
}

#[test]
fn a_clock_one_hour_off_gets_an_explanation_without_a_loop() {
    for ahead in [3600, -3600] {
        let world = World::new(ahead);
        browse([usual()], async |[browser]| {
            browser.visit(&world.application).await;
            browser.shows("Simulated Clerk").await;
            world.visits();
            browser.enter("identifier", "Ada").await;
            browser.press("Continue").await;
            browser.shows("The clock of this server").await;
            let visits = world.visits();
            assert!(sent_to(HANDSHAKE, &visits) <= 4, "{visits:#?}");
            assert!(visits.len() <= 9, "{visits:#?}");
        });
    }
}

#[test]
fn an_outage_keeps_sessions_and_delays_sign_ins() {
    let world = World::new(0);
    browse([usual(), usual()], async |[ada, stranger]| {
        ada.visit(&world.application).await;
        ada.sign_in("Ada").await;
        world.sim.break_with(SimSurface::CLERK, SimFault::cdn(503));
        assert_eq!(world.pass(90).await, Verdict::Outage);
        world.visits();

        ada.visit(&world.application).await;
        ada.shows("Signed in as Ada").await;
        ada.shows("You stay signed in").await;

        stranger.visit(&world.application).await;
        stranger.shows("Authentication is currently unavailable").await;
        assert_eq!(stranger.address().await, world.application);
        let visits = world.visits();
        assert_eq!(visits.iter().map(|hop| hop.status).collect::<Vec<_>>(), [200, 503]);

        world.sim.heal_all();
        assert_eq!(world.pass(180).await, Verdict::Healthy);
        // The page loads itself again.
        stranger.sign_in("Ben").await;
        ada.visit(&world.application).await;
        ada.shows("Signed in as Ada").await;
        assert!(!ada.text().await.contains("You stay signed in"));
    });
}

#[test]
fn a_sign_out_in_an_outage_holds_after_it() {
    let world = World::new(0);
    browse([usual()], async |[browser]| {
        browser.visit(&world.application).await;
        browser.sign_in("Ada").await;
        let token = browser.cookie("__session").await.expect("a session");
        world.sim.break_with(SimSurface::CLERK, SimFault::cdn(503));
        assert_eq!(world.pass(90).await, Verdict::Outage);
        browser.press("Sign out").await;
        browser.shows("You are signed out").await;
        assert_eq!(world.sim.sessions().len(), 1, "Clerk does not know of it yet");

        browser.press("Sign in again").await;
        browser.shows("Authentication is currently unavailable").await;
        browser.keep("__session", &token).await;
        browser.keep("__client_uat", "1").await;
        browser.visit(&world.application).await;
        browser.shows("The session has ended").await;

        world.sim.heal_all();
        assert_eq!(world.pass(180).await, Verdict::Healthy);
        assert_eq!(world.sim.sessions(), [], "Clerk has been told");
        browser.press("Sign in").await;
        browser.sign_in("Ada").await;
    });
}
