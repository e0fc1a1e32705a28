//! The sign-in page. Clerk serves it on its own host, the account portal.

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{Method, StatusCode};
use url::Url;

use clerk_verify::id::UserId;
use clerk_verify::key::InstanceKind;

use super::answer::SimAnswer;
use super::ask::Ask;
use super::frontend::{self, CLIENT_COOKIE};
use super::handshake::{redirect_target, with_param};
use super::session::SimSession;
use super::state::{SimState, random_text};

const PAGE: &str = include_str!("sign_in.html");

/// Shows the page, or signs in the submitted user. A browser that is already signed in is
/// redirected back at once, as on an instance in single-session mode.
pub(super) fn answer(state: &SimState, ask: &Ask) -> SimAnswer {
    let back = ask.param("redirect_url").and_then(|url| redirect_target(&url));
    let entered = || ask.param("identifier").filter(|name| !name.trim().is_empty());
    let answer = match (frontend::browser(state, ask), entered()) {
        (Some(_), _) => leave(state, back),
        (None, Some(name)) if ask.method == Method::POST => {
            let session = state.sign_in(UserId::new(name.trim()));
            leave(state, back).header(SET_COOKIE, &client_cookie(&session))
        }
        _ => SimAnswer::page(StatusCode::OK, PAGE.to_owned()),
    };
    answer.header(CACHE_CONTROL, "no-store")
}

/// Returns the cookie that identifies the browser at the Frontend API.
pub(super) fn client_cookie(session: &SimSession) -> String {
    format!("{CLIENT_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", session.id)
}

/// Redirects back to the application. On a development instance, which shares no cookies with
/// Clerk, the URL gets a `__clerk_db_jwt` that makes the application start a handshake.
fn leave(state: &SimState, back: Option<Url>) -> SimAnswer {
    let Some(back) = back else {
        return SimAnswer::html(StatusCode::OK, "You are signed in");
    };
    let back = match state.publishable_key().kind() {
        InstanceKind::Development => with_param(back, "__clerk_db_jwt", &random_text("dvb_", 27)),
        InstanceKind::Production => back,
    };
    SimAnswer::redirect(StatusCode::SEE_OTHER, back.as_str())
}
