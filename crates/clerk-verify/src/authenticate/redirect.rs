//! The redirect to Clerk, and the limit that prevents redirect loops.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use url::Url;

use super::address::{STATE, without};
use super::context::Context;
use super::reason::Reason;
use super::{AuthStatus, RequestState};

/// The version of Clerk's Frontend API that this module supports.
const API_VERSION: &str = "2026-05-12";
/// The cookie that counts redirects.
pub(crate) const COUNT_COOKIE: &str = "__clerk_redirect_count";
/// Maximum number of redirects of a browser that has no session.
pub(crate) const MAX_REDIRECTS: f64 = 3.0;
/// Lifetime of the count in seconds. Clerk's SDK uses 2 s, and loses the count when redirects are
/// slow. The layer does not set this cookie; it counts returns instead.
const COUNT_SECONDS: u32 = 300;

/// Redirects a navigating browser to Clerk. Any other request is signed out with this reason.
pub(super) fn handshake(context: &Context<'_>, reason: Reason) -> RequestState {
    let location = frontend_redirect(context, &reason, None);
    redirect(context, reason, location)
}

/// Redirects as [`handshake`] does, to another location.
pub(super) fn redirect(
    context: &Context<'_>,
    reason: Reason,
    location: Option<Url>,
) -> RequestState {
    let exhausted = context.redirects >= MAX_REDIRECTS;
    match location {
        Some(location) if context.is_navigation() && !exhausted => {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.append(SET_COOKIE, counted(context.redirects));
            RequestState { headers, ..AuthStatus::Handshake { reason, location }.into() }
        }
        Some(_) if context.is_navigation() => {
            RequestState { exhausted: true, ..AuthStatus::SignedOut { reason }.into() }
        }
        _ => AuthStatus::SignedOut { reason }.into(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 3")]
fn counted(before: f64) -> HeaderValue {
    let count = before.max(0.0) as u8 + 1;
    let cookie =
        format!("{COUNT_COOKIE}={count}; Path=/; SameSite=Lax; HttpOnly; Max-Age={COUNT_SECONDS}");
    HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static("__clerk_redirect_count=3"))
}

/// Returns the handshake redirect with a state in the return address; `None` when `location` is not
/// the handshake.
#[must_use]
pub fn with_state(
    context: &Context<'_>,
    reason: &Reason,
    location: &Url,
    state: &str,
) -> Option<Url> {
    let handshake = frontend_redirect(context, reason, None)?;
    if handshake == *location { frontend_redirect(context, reason, Some(state)) } else { None }
}

/// Returns the address of the handshake. The address contains a token, so its scheme is `https`
/// whatever a proxy reports. Only a proxy on this machine uses `http`.
fn frontend_redirect(context: &Context<'_>, reason: &Reason, state: Option<&str>) -> Option<Url> {
    let api = context.frontend_api();
    let host = api.strip_prefix("https://").or(api.strip_prefix("http://")).unwrap_or(&api);
    let scheme = if context.site.is_local_proxy() { "http" } else { "https" };
    let base = format!("{scheme}://{}/v1/client/handshake", host.trim_end_matches('/'));
    let mut url = Url::parse(&base).ok()?;
    let mut back = without(&context.address, &["__clerk_db_jwt", "__dev_session"]);
    if let Some(state) = state {
        back = without(&back, &[STATE]);
        back.query_pairs_mut().append_pair(STATE, state);
    }
    let mut query = url.query_pairs_mut();
    query
        .append_pair("redirect_url", back.as_str())
        .append_pair("__clerk_api_version", API_VERSION)
        .append_pair("suffixed_cookies", if context.suffixed { "true" } else { "false" })
        .append_pair("__clerk_hs_reason", &reason.code());
    if context.nonce {
        query.append_pair("format", "nonce");
    }
    if let Some(token) = context.token() {
        query.append_pair("__session", token);
    }
    if let Some(token) = context.dev_browser.as_deref().filter(|_| context.site.is_development()) {
        query.append_pair("__clerk_db_jwt", token);
    }
    if let Some(target) = context.site.organization_sync().target(context.address.path()) {
        query.append_pair("organization_id", target.parameter());
    }
    drop(query);
    Some(url)
}
