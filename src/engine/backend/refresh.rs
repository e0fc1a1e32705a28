//! Fresh cookies for a session whose token has expired, by the browser's refresh token.

use std::sync::Arc;

use clerk_verify::authenticate::{RefreshCall, RefreshDenial};
use clerk_verify::transport::{ApiRequest, ApiResponse};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::super::cache::Cache;
use super::super::keyed_hasher::Digest;
use super::super::rate_limiter::RateLimiter;
use super::super::single_flight::{Keep, SingleFlight};
use super::{AT_ONCE, BackendApi, KNOWN, Wire};

/// `Set-Cookie` lines, or why there are none.
pub(crate) type Refreshed = Result<Vec<String>, RefreshDenial>;

/// The error codes that speak of the secret key and not of the session.
const SECRET_KEY_CODES: [&str; 2] = ["clerk_key_invalid", "secret_key_invalid"];

/// Calls a second for the browsers of one session that never showed a live token of it here.
const UNPROVEN_OF_SESSION: f64 = 2.0;
/// Browsers that are known to belong to a session, and sessions with unproven browsers.
const REMEMBERED: usize = 4 * 1024;

/// Renewals: one call at a time for each session *and* browser.
///
/// A token by itself may have leaked, and who holds an old one can make refresh cookies up. So the
/// answer to one browser is never an answer to another, and calls of browsers that proved nothing
/// have a share of their own, which is small for each session.
#[derive(Debug)]
pub(super) struct Refreshes {
    flights: SingleFlight<Refreshed>,
    proven: RateLimiter,
    unproven: RateLimiter,
    browsers: Cache<Digest>,
    sessions: Cache<RefreshSession>,
    began: Instant,
}

#[derive(Debug)]
struct RefreshSession {
    name: Digest,
    unproven: RateLimiter,
}

impl Refreshes {
    pub(super) fn new() -> Self {
        Self {
            flights: SingleFlight::new(AT_ONCE, REMEMBERED),
            proven: RateLimiter::new(KNOWN),
            unproven: RateLimiter::new(KNOWN),
            browsers: Cache::new(REMEMBERED),
            sessions: Cache::new(REMEMBERED),
            began: Instant::now(),
        }
    }

    fn prove(&self, browser: Digest) {
        let same = |held: &Digest| *held == browser;
        self.browsers.insert(browser.index(), &Arc::new(browser), self.age(), same);
    }

    fn is_proven(&self, browser: Digest) -> bool {
        self.browsers.find(browser.index(), |held| *held == browser).is_some()
    }

    fn session(&self, name: Digest) -> Arc<RefreshSession> {
        let same = |held: &RefreshSession| held.name == name;
        self.sessions.find(name.index(), same).unwrap_or_else(|| {
            self.sessions.update(name.index(), same, |held| {
                let new = || {
                    Arc::new(RefreshSession {
                        name,
                        unproven: RateLimiter::new(UNPROVEN_OF_SESSION),
                    })
                };
                (held.map_or_else(new, Arc::clone), self.age())
            })
        })
    }

    /// Milliseconds since the start: the oldest entry gives way first.
    fn age(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

impl BackendApi {
    /// Renews a session: one call at a time for each browser, whose answer serves the requests of one
    /// page, with the same cookies for all. `fields` are the header fields of the request that Clerk
    /// is to see.
    pub(crate) async fn refreshed(
        &self,
        call: RefreshCall,
        fields: serde_json::Value,
    ) -> Refreshed {
        let RefreshCall { session_id, refresh_token, request_origin, .. } = &call;
        let suffixed = if call.suffixed_cookies { "suffixed" } else { "plain" };
        let parts = [session_id, refresh_token, request_origin, suffixed];
        let about = self.names.name("renewal", &parts);
        let session = self.refreshes.session(self.names.name("session", &[session_id]));
        let browser = self.browser(session_id, refresh_token);
        let Refreshes { proven, unproven, .. } = &self.refreshes;
        let may_begin = || {
            if self.refreshes.is_proven(browser) {
                return proven.take();
            }
            session.unproven.take() && unproven.take()
        };
        let wire = Arc::clone(&self.wire);
        let ask = || async move { ask(&wire, call, fields).await };
        let refreshed = self.refreshes.flights.ask_if(about, may_begin, keep, ask).await;
        let refreshed = refreshed.unwrap_or(Err(RefreshDenial::Unreachable));
        if refreshed.is_ok() {
            self.refreshes.prove(browser);
        }
        refreshed
    }

    /// Notes that a browser showed a live token of a session beside this refresh token.
    pub(crate) fn prove_browser(&self, session: &str, refresh_token: &str) {
        self.refreshes.prove(self.browser(session, refresh_token));
    }

    fn browser(&self, session: &str, refresh_token: &str) -> Digest {
        self.names.name("browser", &[session, refresh_token])
    }
}

/// Requests of one page that come a moment later get the same cookies; a session that Clerk does not
/// renew is not asked about by every request of it.
fn keep(refreshed: &Refreshed) -> Keep {
    Keep::for_secs(match refreshed {
        Ok(_) => 3,
        Err(RefreshDenial::Unreachable) => 1,
        Err(_) => 10,
    })
}

async fn ask(wire: &Wire, call: RefreshCall, fields: serde_json::Value) -> Refreshed {
    let mut url = wire.url("v1/sessions");
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(&call.session_id).push("refresh");
    }
    let suffixed = if call.suffixed_cookies { "true" } else { "false" };
    url.query_pairs_mut().append_pair("suffixed_cookies", suffixed);
    let body = json!({
        "expired_token": call.expired_token,
        "format": "cookie",
        "refresh_token": call.refresh_token,
        "request_headers": fields,
        "request_origin": call.request_origin,
    });
    let reply = wire.send(ApiRequest::get(url).post_json(body.to_string())).await;
    let refreshed = read(&reply.ok_or(RefreshDenial::Unreachable)?);
    if let Err(RefreshDenial::Refused(code)) = &refreshed
        && SECRET_KEY_CODES.contains(&code.as_str())
    {
        wire.secret_is_refused();
        return Err(RefreshDenial::Unreachable);
    }
    refreshed
}

/// A refusal is one in Clerk's own words about this session; anything else is no answer.
fn read(reply: &ApiResponse) -> Refreshed {
    #[derive(Deserialize)]
    struct Cookies {
        cookies: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        errors: Vec<Problem>,
    }
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    if reply.status.is_success() {
        let cookies = serde_json::from_slice::<Cookies>(&reply.body);
        return cookies.map(|read| read.cookies).map_err(|_| RefreshDenial::Unreachable);
    }
    let about_us = reply.status == StatusCode::TOO_MANY_REQUESTS;
    let refusal = serde_json::from_slice::<Refusal>(&reply.body).ok();
    let refusal = refusal.filter(|_| reply.status.is_client_error() && !about_us);
    let code = refusal.and_then(|refusal| Some(refusal.errors.into_iter().next()?.code));
    Err(code.map_or(RefreshDenial::Unreachable, |code| RefreshDenial::of_api_error(&code)))
}
