//! One rejection in the form of each client: browser, API, htmx, problem document.

use axum::body::Body;
use clerk_resilience::{PageText, Rejection, Verdict};
use http::{Request, StatusCode};
use test_support::world::{Answer, VERDICTS, World, anonymous, bearer};
use tower::{Layer as _, ServiceExt as _};

use super::{Form, check, check_discretion, world};

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
    for verdict in VERDICTS {
        world.reach(verdict).await;
        let fresh = world.sim.mint(&session);
        let ago = |secs| std::time::Duration::from_secs(secs);
        let expired = world.sim.token(&world.sim.sign_in("user_new")).ago(ago(300)).sign();
        let forged = world.sim.forge(&session);
        let revoked = world.sim.mint(&gone);
        let early = world.sim.token(&session).claim("nbf", i64::from(u32::MAX)).sign();
        let (lost, missing) = match verdict {
            Verdict::Healthy | Verdict::Recovering => {
                ((401, "invalid_token"), (401, "authentication_required"))
            }
            Verdict::Outage => {
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
            assert_eq!(answer.status, StatusCode::OK, "{verdict:?}, {form:?}");
            for (name, path, token, (status, code)) in rows {
                let at = format!("{name}, {verdict:?}");
                let answer = form.ask(&world, path, token.map(String::as_str)).await;
                check(&answer, form, status, code, &at);
                check_discretion(&answer, &secrets(token.map_or("sess_", String::as_str)), &at);
            }
        }
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
