//! What a rejected request is answered, in every form that a client reads.

mod forms;
mod verdicts;

use axum::Router;
use axum::routing::get;
use clerk_resilience::{GracePolicy, RoutePolicy};
use test_support::world::{Answer, NAVIGATION, World, anonymous, signed};

/// Who asks, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Api,
    Post,
    Document,
    OldBrowser,
    Head,
    HeadOfDocument,
    Htmx,
    WebSocket,
}

impl Form {
    const ALL: [Self; 8] = [
        Self::Api,
        Self::Post,
        Self::Document,
        Self::OldBrowser,
        Self::Head,
        Self::HeadOfDocument,
        Self::Htmx,
        Self::WebSocket,
    ];

    fn method(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Head | Self::HeadOfDocument => "HEAD",
            _ => "GET",
        }
    }

    fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Api | Self::Head => &[("accept", "application/json")],
            Self::Post => &[("accept", "text/html,*/*"), ("sec-fetch-site", "same-origin")],
            Self::Document | Self::HeadOfDocument => &NAVIGATION,
            Self::OldBrowser => &[("accept", "text/html,application/xhtml+xml")],
            Self::Htmx => &[("hx-request", "true"), ("accept", "text/html, */*")],
            Self::WebSocket => &[
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        }
    }

    fn wants_page(self) -> bool {
        matches!(self, Self::Document | Self::OldBrowser | Self::HeadOfDocument)
    }

    fn is_head(self) -> bool {
        matches!(self, Self::Head | Self::HeadOfDocument)
    }

    async fn ask(self, world: &World, path: &str, token: Option<&str>) -> Answer {
        world
            .send(match token {
                Some(token) => signed(self.method(), path, token, self.fields()),
                None => anonymous(self.method(), path, self.fields()),
            })
            .await
    }
}

/// Everything that an answer of the layer's own owes to its reader.
fn check(answer: &Answer, form: Form, status: u16, code: &str, at: &str) {
    let at = format!("{at}, as {form:?}: {answer:?}");
    assert_eq!(answer.status.as_u16(), status, "{at}");
    assert_eq!(answer.header("cache-control"), "no-store", "{at}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{at}");
    for field in ["Accept", "Authorization", "Cookie", "Origin", "Sec-Fetch-Dest", "HX-Request"] {
        assert!(answer.header("vary").contains(field), "{field}, {at}");
    }
    check_challenge(answer, status, code, &at);
    check_waiting(answer, status, &at);
    check_htmx(answer, form, status, &at);
    assert!(!answer.headers.contains_key("location"), "{at}");
    if form.is_head() {
        assert_eq!(answer.body, "", "{at}");
        let length: u32 = answer.header("content-length").parse().expect("the length of a GET");
        assert!(length > 0, "{at}");
    }
    if form.wants_page() {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{at}");
        if !form.is_head() {
            check_page(answer, status, &at);
        }
    } else {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{at}");
        if !form.is_head() {
            check_problem(answer, status, code, &at);
        }
    }
}

fn check_challenge(answer: &Answer, status: u16, code: &str, at: &str) {
    let challenge = match (status, code) {
        (401, "authentication_required") => "Bearer",
        (401, _) => "Bearer error=\"invalid_token\"",
        (403, _) => "Bearer error=\"insufficient_scope\"",
        _ => "",
    };
    assert_eq!(answer.header("www-authenticate"), challenge, "{at}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), !challenge.is_empty(), "{at}");
}

fn check_waiting(answer: &Answer, status: u16, at: &str) {
    let unavailable = status == 503;
    assert_eq!(answer.headers.contains_key("retry-after"), unavailable, "{at}");
    if unavailable {
        let wait: u32 = answer.header("retry-after").parse().expect("seconds");
        assert!((5..=30).contains(&wait), "{at}");
        assert_eq!(answer.header("access-control-expose-headers"), "Retry-After", "{at}");
    }
}

fn check_htmx(answer: &Answer, form: Form, status: u16, at: &str) {
    let event = match (form, status) {
        (Form::Htmx, 401) => "auth-required",
        (Form::Htmx, 403) => "auth-forbidden",
        (Form::Htmx, _) => "auth-unavailable",
        _ => "",
    };
    assert_eq!(answer.header("hx-trigger"), event, "{at}");
    assert_eq!(answer.header("hx-reswap"), if event.is_empty() { "" } else { "none" }, "{at}");
}

fn check_problem(answer: &Answer, status: u16, code: &str, at: &str) {
    let problem = answer.json();
    assert_eq!(problem["type"], "about:blank", "{at}");
    let title = answer.status.canonical_reason().expect("a known status");
    assert_eq!(problem["title"], title, "{at}");
    assert_eq!(problem["status"], status, "{at}");
    assert_eq!(problem["code"], code, "{at}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{at}");
    let wait = problem["retry_after"].as_u64().map(|wait| wait.to_string()).unwrap_or_default();
    assert_eq!(wait, answer.header("retry-after"), "{at}");
}

fn check_page(answer: &Answer, status: u16, at: &str) {
    let html = &answer.body;
    assert!(html.starts_with("<!doctype html>"), "{at}");
    for outside in ["<script", "src=", "<link", "url(", "@import", "://", "onload", "<img"] {
        assert!(!html.contains(outside), "{outside}: {at}");
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{at}");
    let wait = answer.header("retry-after");
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"{wait}\">");
    assert_eq!(html.contains(&refresh), status == 503, "{at}");
    assert_eq!(html.contains("http-equiv"), status == 503, "{at}");
    assert_eq!(html.contains(">Try again</a>"), status != 403, "{at}");
    let heading = match status {
        401 => "Please sign in",
        403 => "You do not have access to this page",
        _ => "Authentication is currently unavailable",
    };
    assert!(html.contains(&format!("<h1>{heading}</h1>")), "{at}");
    let still_works = "If you were already signed in, other pages may still work.";
    assert_eq!(html.contains(still_works), status == 503, "{at}");
}

/// What must not be told to those who do not pass.
fn check_discretion(answer: &Answer, secrets: &[String], at: &str) {
    let fields = format!("{:?}", answer.headers);
    for secret in secrets {
        assert!(!answer.body.contains(secret), "{secret} in the body, {at}");
        assert!(!fields.contains(secret), "{secret} in the fields, {at}");
    }
}

/// A world whose `/admin` needs a role.
async fn world() -> World {
    let mut world = World::with_canary(|builder| builder.grace(GracePolicy::balanced())).await;
    let admin = RoutePolicy::required().role("org:admin");
    let routes = Router::new().route("/admin", get(async || "admin").post(async || "admin"));
    world.app = world.app.merge(routes.route_layer(world.clerk.policy(admin)));
    world
}
