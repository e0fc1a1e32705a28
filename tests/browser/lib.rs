//! The demo's application in a real browser: people sign in and out through Clerk's handshake, and every
//! trouble on the way ends at a page that says what is wrong. The server's time is moved by hand.

#![cfg(test)]

mod chromium;
mod demo;
mod failures;
mod journeys;
mod world;
