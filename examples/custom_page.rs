//! The page that people see while Clerk is down: `cargo run --example custom_page`.
//!
//! The first choice replaces words and links of the built-in page. The second replaces the page.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{Auth, Builder, ClerkResilience, ErrorPage, PageText, SimClerkExt as _};
use http_body_util::BodyExt as _;

/// No text is interpreted as HTML, so a translation cannot break the page.
fn words(builder: Builder) -> Builder {
    let mut text = PageText::default();
    text.application = "Example Notes".into();
    text.unavailable = "We cannot check sign-ins right now".into();
    text.explanation = vec!["Your notes are safe. Nobody is signed out.".into()];
    text.links = vec![("Status".into(), "https://status.example.com".into())];
    builder.page_text(text)
}

/// Keep the page free of scripts, fonts and images from elsewhere: the response forbids them, and the
/// host that serves them may be down as well.
fn own_page(page: &ErrorPage<'_>) -> String {
    let reload = match page.refresh_after {
        Some(seconds) => format!(r#"<meta http-equiv="refresh" content="{seconds}">"#),
        None => String::new(),
    };
    let status = page.rejection.status().as_u16();
    format!("<!doctype html><title>Example</title>{reload}<h1>Sorry ({status})</h1>")
}

fn app(clerk: &ClerkResilience) -> Router {
    Router::new().route("/notes", get(async |_: Auth| "notes")).route_layer(clerk.clone())
}

/// What an anonymous visitor reads two minutes into an outage.
async fn page_in_an_outage(choose: impl FnOnce(Builder) -> Builder) -> String {
    let sim = SimClerk::in_memory();
    let app = app(&sim.layer(choose));
    sim.pass(Duration::from_secs(30)).await;
    sim.break_with(SimSurface::CLERK, SimFault::status(503));
    sim.pass(Duration::from_secs(120)).await;
    let response = sim.send(&app, &sim.page("/notes", None)).await;
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.expect("the body is in memory").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let page = page_in_an_outage(words).await;
    assert!(page.contains("Example Notes") && page.contains("https://status.example.com"));

    let page = page_in_an_outage(|builder| builder.page(own_page)).await;
    assert!(page.contains("Sorry (503)") && page.contains("http-equiv"));
    println!("custom_page: {page}");
}
