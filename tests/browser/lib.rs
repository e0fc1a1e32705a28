//! The demo's application in a real browser: people sign in and out through Clerk's handshake, and every
//! trouble on the way ends at a page that says what is wrong. The server's time is moved by hand.

#![cfg(test)]

#[path = "../../examples/demo/account.rs"]
mod account;
#[path = "../../examples/demo/app.rs"]
mod app;
#[expect(dead_code, reason = "the demo's other parts use the rest")]
#[path = "../../examples/common/outcome.rs"]
mod outcome;
#[path = "../../examples/common/user.rs"]
mod user;

mod chromium;
mod demo;
mod journeys;
mod trouble;
mod world;
