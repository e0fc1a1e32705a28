//! The switches, and the doors to both applications.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use tower::{ServiceExt as _, service_fn};

use crate::browser;
use crate::scenes::{self, Scene};
use crate::stage::{OWN_HOST, Stage};

/// The application alone under the name that is its own, the desk under any other.
pub(crate) fn by_host(stage: &Arc<Stage>) -> Router {
    let (stage, desk) = (stage.clone(), routes(stage));
    Router::new().fallback_service(service_fn(move |mut request: Request| {
        let (stage, desk) = (stage.clone(), desk.clone());
        async move {
            if !is_own(request.headers()) {
                return desk.oneshot(request).await;
            }
            let [router, _] = stage.routers().await;
            request.extensions_mut().insert(stage.doors.clone());
            router.oneshot(request).await
        }
    }))
}

fn is_own(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| host.split(':').next() == Some(OWN_HOST))
}

fn routes(stage: &Arc<Stage>) -> Router {
    let own = stage.doors.application.clone();
    let mut routes = Router::new()
        .route("/", get(async move || Html(page(own.as_str()))))
        .route("/canary", get(StatusCode::NO_CONTENT))
        .route(
            "/stage/report",
            get(async |State(stage): State<Arc<Stage>>| Json(stage.report().await)),
        )
        .route("/stage/scene/{id}", post(play))
        .route("/stage/heal", post(heal))
        .route("/stage/restart", post(restart))
        .with_state(stage.clone());
    for (server, name) in ["with-layer", "plain"].into_iter().enumerate() {
        for (signed_in, base) in [(false, ""), (true, "/as-ada")] {
            let stage = stage.clone();
            let door = service_fn(move |request| enter(stage.clone(), server, signed_in, request));
            routes = routes.nest_service(&format!("{base}/{name}"), door);
        }
    }
    routes
}

fn page(own: &str) -> String {
    let button = |scene: &Scene| {
        format!(
            "<button data-scene=\"{}\" data-hint=\"{}\" title=\"{}\">{}</button>",
            scene.id, scene.hint, scene.hint, scene.label
        )
    };
    let group = |(title, scenes): (&str, &[Scene])| {
        let buttons: String = scenes.iter().map(button).collect();
        format!("<fieldset><legend>{title}</legend>{buttons}</fieldset>")
    };
    include_str!("stage.html")
        .replace("/*css*/", include_str!("stage.css"))
        .replace("/*js*/", include_str!("stage.js"))
        .replace("<!--own-->", own)
        .replace("<!--scenes-->", &scenes::ALL.map(group).concat())
}

async fn play(State(stage): State<Arc<Stage>>, Path(id): Path<String>) -> StatusCode {
    let Some(scene) = Scene::named(&id) else { return StatusCode::NOT_FOUND };
    scene.play(&stage.sim);
    stage.log(|log| log.scene = Some((scene.id, log.count)));
    StatusCode::NO_CONTENT
}

async fn heal(State(stage): State<Arc<Stage>>) -> StatusCode {
    scenes::heal(&stage.sim);
    stage.log(|log| log.scene = None);
    StatusCode::NO_CONTENT
}

async fn restart(State(stage): State<Arc<Stage>>) -> Response {
    match stage.restart().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A visit to one of the applications from the real browser, as a stranger or with Ada's cookie.
async fn enter(
    stage: Arc<Stage>,
    server: usize,
    signed_in: bool,
    mut request: Request,
) -> Result<Response, std::convert::Infallible> {
    if signed_in {
        let back = request.uri().query().is_some_and(|query| query.contains("__clerk_handshake"));
        if back {
            // Back from Clerk, with new cookies.
            stage.ada.renew().await;
            return Ok(Redirect::temporary("./").into_response());
        }
        let cookie = browser::cookies(&stage.ada.token());
        let cookie = cookie.parse().expect("a token is plain text");
        request.headers_mut().insert(header::COOKIE, cookie);
    } else {
        request.headers_mut().remove(header::COOKIE);
    }
    stage.routers().await[server].clone().oneshot(request).await
}
