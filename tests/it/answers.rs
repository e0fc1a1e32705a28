//! What a request that does not pass is answered, in every form that a reader may want.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{AzpPolicy, GracePolicy, PageText, Rejection, RoutePolicy, Verdict};
use http::{Request, StatusCode};
use test_support::world::{Answer, NAVIGATION, Weather, World, anonymous, bearer, signed};
use tower::{Layer as _, ServiceExt as _};

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

#[tokio::test(start_paused = true)]
async fn every_rejection_has_a_form_for_each_client() {
    let world = world().await;
    let session = world.sim.sign_in("user_ada");
    let gone = world.sim.sign_in("user_gone");
    world.clerk.revoke_session(gone.id.as_str());
    let secrets = |token: &str| {
        let sim = &world.sim;
        let words = [token, session.id.as_str(), "user_ada", "sim.example", "sk_live", "ins_"];
        let keys = [sim.publishable_key().as_str(), sim.secret_key().expose()];
        words.into_iter().chain(keys).map(str::to_owned).collect::<Vec<_>>()
    };
    for weather in Weather::ALL {
        world.make(weather).await;
        let fresh = world.sim.mint(&session);
        let ago = |secs| std::time::Duration::from_secs(secs);
        let expired = world.sim.token(&world.sim.sign_in("user_new")).ago(ago(300)).sign();
        let forged = world.sim.forge(&session);
        let revoked = world.sim.mint(&gone);
        let early = world.sim.token(&session).claim("nbf", i64::from(u32::MAX)).sign();
        let (lost, missing) = match weather {
            Weather::Healthy | Weather::Recovering => {
                ((401, "invalid_token"), (401, "authentication_required"))
            }
            Weather::Outage => {
                ((503, "authentication_unavailable"), (503, "authentication_unavailable"))
            }
            _ => ((503, "authentication_unavailable"), (401, "authentication_required")),
        };
        let rows = [
            ("no token", "/me", None, missing),
            ("an expired token", "/me", Some(&expired), lost),
            ("a forged token", "/me", Some(&forged), (401, "invalid_token")),
            ("a revoked session", "/me", Some(&revoked), (401, "invalid_token")),
            ("a token of the future", "/me", Some(&early), (401, "invalid_token")),
            ("a missing role", "/admin", Some(&fresh), (403, "insufficient_permission")),
        ];
        for form in Form::ALL {
            let answer = form.ask(&world, "/me", Some(&fresh)).await;
            assert_eq!(answer.status, StatusCode::OK, "{weather:?}, {form:?}");
            for (name, path, token, (status, code)) in rows {
                let at = format!("{name}, {weather:?}");
                let answer = form.ask(&world, path, token.map(String::as_str)).await;
                check(&answer, form, status, code, &at);
                check_discretion(&answer, &secrets(token.map_or("sess_", String::as_str)), &at);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_is_never_503_and_unverifiable_never_401() {
    const PARTY: &str = "https://app.example.com";
    let world = World::with_canary(|builder| {
        let builder = builder.grace(GracePolicy::balanced());
        builder.authorized_parties([PARTY]).azp(AzpPolicy::Required)
    })
    .await;
    let sim = &world.sim;
    let session = sim.sign_in("user_1");
    let gone = sim.sign_in("user_2");
    world.clerk.revoke_session(gone.id.as_str());
    let hour = std::time::Duration::from_secs(3600);
    for weather in Weather::ALL {
        world.make(weather).await;
        sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::Refused);
        let token = || sim.token(&session).authorized_party(PARTY);
        let bad = [
            ("no token at all", "nonsense".to_owned()),
            ("three empty parts", "..".to_owned()),
            ("another's signature", token().forged().sign()),
            ("alg none", token().header("alg", "none").sign()),
            ("alg HS256", token().header("alg", "HS256").sign()),
            ("another issuer", token().claim("iss", "https://clerk.other.example").sign()),
            (
                "another instance",
                token().kid("ins_other").claim("iss", "https://clerk.other.example").sign(),
            ),
            ("another party", token().authorized_party("https://evil.example").sign()),
            ("no party", sim.token(&session).sign()),
            ("a revoked session", sim.token(&gone).authorized_party(PARTY).sign()),
            ("a revoked session, expired", {
                sim.token(&gone).authorized_party(PARTY).ago(hour).sign()
            }),
            ("not yet", token().claim("nbf", i64::from(u32::MAX)).sign()),
            ("issued in the future", token().claim("iat", i64::from(u32::MAX)).sign()),
            ("expired and not yet", token().ago(hour).claim("nbf", i64::from(u32::MAX)).sign()),
            ("no exp", token().without_claim("exp").sign()),
            ("no sub", token().without_claim("sub").sign()),
            ("a machine", token().claim("sub", "mch_1").sign()),
            ("a template", token().header("cat", "cl_B7d4PD222AAA").sign()),
            ("pending", token().claim("sts", "pending").sign()),
        ];
        for (name, bad) in &bad {
            let status = world.get(bad).await.status;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {weather:?}");
        }
        assert_eq!(world.get(&token().sign()).await.status, StatusCode::OK, "good, {weather:?}");

        let expired = token().ago(hour).sign();
        let known = matches!(weather, Weather::Healthy | Weather::Recovering);
        let status = if known { 401 } else { 503 };
        assert_eq!(world.get(&expired).await.status.as_u16(), status, "expired, {weather:?}");

        // Last, for it lets time pass.
        let verdict = world.clerk.verdict();
        let unknown = token().kid("ins_unheard").sign();
        let answer = world.get(&unknown).await;
        assert_eq!(answer.status.as_u16(), 503, "an unknown key, {weather:?}: {answer:?}");
        if weather != Weather::Unknown {
            assert_eq!(world.clerk.verdict(), verdict, "the weather changed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_redirect_to_sign_in_only_while_clerk_is_healthy() {
    let mut world = World::with_canary(|builder| builder.grace(GracePolicy::balanced())).await;
    let config =
        test_support::world::config(&world.sim).sign_in_url("https://accounts.example.com/in");
    let canary = "https://canary.sim.example/".parse().expect("an address");
    world.clerk = clerk_resilience::ClerkResilience::builder(config)
        .clock(world.clock.clone())
        .transport(world.sim.transport())
        .egress_canary(canary)
        .build()
        .expect("a good configuration");
    world.clerk.ready(std::time::Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.app = test_support::world::routes().route_layer(world.clerk.clone());
    for weather in Weather::ALL {
        world.make(weather).await;
        for form in Form::ALL {
            let answer = form.ask(&world, "/me", None).await;
            let at = format!("{weather:?}, {form:?}: {answer:?}");
            let well = matches!(weather, Weather::Healthy | Weather::Recovering);
            let expected = match weather {
                _ if well && form.wants_page() => 307,
                Weather::Outage => 503,
                _ if form.wants_page() => 503,
                _ => 401,
            };
            assert_eq!(answer.status.as_u16(), expected, "{at}");
            let redirected = expected == 307;
            assert_eq!(answer.headers.contains_key("location"), redirected, "{at}");
            if redirected {
                assert!(
                    answer.header("location").starts_with("https://accounts.example.com/in"),
                    "{at}"
                );
                assert_eq!(answer.header("cache-control"), "no-store", "{at}");
                assert_eq!(answer.body, "", "{at}");
                assert!(!answer.headers.contains_key("www-authenticate"), "{at}");
            }
        }
        let bad = world.send(signed("GET", "/me", "bad", &NAVIGATION)).await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED, "a bad token, {weather:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_page_redirects_to_sign_in_while_minting_is_down() {
    let mut world = World::new().await;
    let config = test_support::world::config(&world.sim).sign_in_url("/sign-in");
    let builder = clerk_resilience::ClerkResilience::builder(config);
    let builder = builder.clock(world.clock.clone()).transport(world.sim.transport());
    world.clerk = builder.build().expect("a good configuration");
    world.app = test_support::world::routes().route_layer(world.clerk.clone());
    world.until(Verdict::Healthy).await;
    let redirect = Form::Document.ask(&world, "/me", None).await;
    assert_eq!(redirect.header("location"), "/sign-in");
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    check(
        &Form::Document.ask(&world, "/me", None).await,
        Form::Document,
        503,
        "authentication_unavailable",
        "a suspected outage",
    );
    world.clerk.force_healthy(std::time::Duration::from_secs(600));
    world.until(Verdict::Healthy).await;
    let answer = Form::Document.ask(&world, "/me", None).await;
    check(&answer, Form::Document, 503, "authentication_unavailable", "an operator's word");
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_pass_in_grace_and_bridge_then_get_503() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.pass(40).await;
    assert_eq!(world.get(&token).await.body, "user_1 fresh");
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.pass(48).await;
    assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    let bridged = world.get(&token).await;
    assert_eq!(bridged.body, "user_1 bridge");
    assert_eq!(bridged.header("cache-control"), "private, no-store");
    world.pass(3).await;

    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = world.get(&token).await;
        check(&answer, Form::Api, 503, "authentication_unavailable", "beyond the bridge");
        waits.insert(answer.header("retry-after").parse::<u32>().expect("seconds"));
    }
    assert_eq!(waits.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8], "short, and jittered");
}

#[tokio::test(start_paused = true)]
async fn many_waiting_requests_cause_one_early_probe() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let expired = world.sim.token(&session).ago(std::time::Duration::from_secs(600)).sign();
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    world.sim.forget_requests();
    for _ in 0..200 {
        for _ in 0..20 {
            assert_eq!(world.get(&expired).await.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let probes = world.sim.requests(SimSurface::SessionMint);
    assert!((8..=11).contains(&probes), "{probes} probes in 20 s for 4000 requests");
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_preflight_is_not_a_preflight() {
    let world = World::new().await;
    let app = Router::new()
        .route("/api", get(async || "in").options(async || "in").put(async || "in"))
        .layer(world.clerk.clone());
    let origin = ("origin", "https://app.example.com");
    let wanted = ("access-control-request-method", "PUT");
    for (method, fields) in [
        ("OPTIONS", &[][..]),
        ("OPTIONS", &[origin]),
        ("OPTIONS", &[wanted]),
        ("GET", &[origin, wanted]),
        ("PUT", &[origin, wanted]),
    ] {
        let answer = World::ask(&app, anonymous(method, "/api", fields)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_keys_every_token_gets_503() {
    let world = World::unready(|builder| builder.grace(GracePolicy::balanced()));
    world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::status(503));
    world.pass(30).await;
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    let session = world.sim.sign_in("user_1");
    let fresh = world.sim.mint(&session);
    let forged = world.sim.forge(&session);
    for form in Form::ALL {
        for token in [&fresh, &forged] {
            let answer = form.ask(&world, "/me", Some(token)).await;
            check(&answer, form, 503, "authentication_unavailable", "no keys");
        }
        let malformed = form.ask(&world, "/me", Some("nonsense")).await;
        check(&malformed, form, 401, "invalid_token", "malformed, no keys");
    }
    world.sim.heal_all();
    world.pass(70).await;
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    assert_eq!(world.get(&world.sim.forge(&session)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_only_route_answers_503_with_retry_after_in_grace() {
    let mut world = World::new().await;
    let pay = get(async |auth: clerk_resilience::FreshAuth| auth.user_id().to_string());
    let pay = Router::new().route("/pay", pay).route_layer(world.clerk.clone());
    world.app = world.app.merge(pay);
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.body, "user_1 outage");
    for form in Form::ALL.into_iter().filter(|form| !matches!(form, Form::Post | Form::WebSocket)) {
        let answer = form.ask(&world, "/pay", Some(&token)).await;
        // Grace marks what the handler answered, a refusal too.
        assert_eq!(answer.header("cache-control"), "private, no-store");
        let mut answer = answer;
        answer.headers.insert("cache-control", "no-store".parse().expect("a value"));
        check(&answer, form, 503, "step_up_unavailable", "a step-up");
    }
}

#[tokio::test(start_paused = true)]
async fn page_texts_and_links_are_configurable_and_escaped() {
    let mut text = PageText::default();
    text.language = "de".to_owned();
    text.application = "Bank <b>& Söhne".to_owned();
    text.unavailable = "Anmeldung \"gerade\" nicht möglich".to_owned();
    text.explanation = vec!["Bitte <script>warten</script>.".to_owned()];
    text.retry = "Nochmal".to_owned();
    text.refresh = "Neu in {seconds} s".to_owned();
    text.links = vec![("Hilfe".to_owned(), "/help?a=1&b=\"2\"".to_owned())];
    let world = World::with(|builder| builder.page_text(text)).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let answer = Form::Document.ask(&world, "/me", None).await;
    let html = &answer.body;
    for part in [
        "<html lang=\"de\">",
        "Bank &lt;b&gt;&amp; Söhne",
        "<h1>Anmeldung &quot;gerade&quot; nicht möglich</h1>",
        "Bitte &lt;script&gt;warten&lt;/script&gt;.",
        ">Nochmal</a>",
        "<a href=\"/help?a=1&amp;b=&quot;2&quot;\">Hilfe</a>",
        &format!("Neu in {} s", answer.header("retry-after")),
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("<script"));
}

#[tokio::test(start_paused = true)]
async fn a_custom_page_replaces_the_built_in_one() {
    let world = World::with(|builder| {
        builder.page(|page| {
            format!("<p>{} {:?} {:?}</p>", page.rejection.code(), page.refresh_after, page.sign_in)
        })
    })
    .await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let answer = Form::Document.ask(&world, "/me", None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let wait = answer.header("retry-after");
    assert_eq!(answer.body, format!("<p>authentication_unavailable Some({wait}) None</p>"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(!answer.headers.contains_key("content-security-policy"), "its assets are its own");
    let api = Form::Api.ask(&world, "/me", None).await;
    assert_eq!(api.json()["code"], "authentication_unavailable");
}

#[tokio::test(start_paused = true)]
async fn head_has_the_content_length_of_get() {
    let world = World::new().await;
    for (head, get) in [(Form::Head, Form::Api), (Form::HeadOfDocument, Form::Document)] {
        let without = head.ask(&world, "/me", None).await;
        let with = get.ask(&world, "/me", None).await;
        assert_eq!(without.header("content-length"), with.body.len().to_string());
        assert_eq!(without.headers, with.headers);
        // The router cuts bodies off, too; a plain service does not.
        let inner = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, std::convert::Infallible>(StatusCode::OK)
        });
        let request = anonymous("HEAD", "/", head.fields());
        let plain = world.clerk.layer(inner).oneshot(request).await.expect("infallible");
        assert_eq!(Answer::of(plain).await.body, "");
    }
}

#[tokio::test(start_paused = true)]
async fn outer_layers_read_the_rejection_from_the_extensions() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let forged = world.sim.forge(&session);
    let rejection = async |request: Request<Body>| {
        let response = world.app.clone().oneshot(request).await.expect("infallible");
        response.extensions().get::<Rejection>().copied()
    };
    assert_eq!(rejection(anonymous("GET", "/me", &[])).await, Some(Rejection::Missing));
    let reason = rejection(bearer("GET", "/me", &forged)).await.expect("a rejection");
    assert_eq!(reason.reason(), "token-invalid-signature");
    assert_eq!(rejection(bearer("GET", "/me", &world.sim.mint(&session))).await, None);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let reason = rejection(anonymous("GET", "/me", &[])).await.expect("a rejection");
    assert_eq!(reason.reason(), "outage");
    assert_eq!(reason.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_right_after_a_refresh() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    // Clerk's clock may also be a few seconds behind ours.
    for behind in [0, 4] {
        world.sim.rotate_key();
        let ago = std::time::Duration::from_secs(behind);
        let token = world.sim.token(&session).ago(ago).sign();
        assert_eq!(world.get(&token).await.status, StatusCode::OK, "{behind} s behind");
        world.pass(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_missing_from_fresh_keys_is_invalid() {
    let world = World::new().await;
    world.pass(45).await;
    let session = world.sim.sign_in("user_1");
    let unknown = world.sim.token(&session).kid("ins_unheard").sign();
    let answer = world.get(&unknown).await;
    assert_eq!(answer.json()["reason"], "jwk-kid-mismatch", "{answer:?}");
}
