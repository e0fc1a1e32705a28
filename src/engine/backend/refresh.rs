//! Fresh cookies for a session whose token has expired, by the browser's refresh token.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::digest::Digest;
use super::super::flights::Keep;
use super::{BackendApi, Wire};
use crate::authenticate::{RefreshCall, RefreshDenial};
use crate::upstream::{Call, Reply};

/// `Set-Cookie` lines, or why there are none.
pub(crate) type Refreshed = Result<Vec<String>, RefreshDenial>;

/// The error codes that speak of the secret key and not of the session.
const SECRET_KEY_CODES: [&str; 2] = ["clerk_key_invalid", "secret_key_invalid"];

/// An answer, and the browser that it is for.
#[derive(Clone, Debug)]
pub(super) struct Held {
    browser: Digest,
    refreshed: Refreshed,
}

impl BackendApi {
    /// Renews a session: one call at a time for each session, whose answer serves the requests of one
    /// page, with the same cookies for all. `fields` are the header fields of the request that Clerk
    /// is to see.
    ///
    /// An answer is for whoever has the refresh token that it was asked with, and for nobody else:
    /// a token by itself may have leaked. Another browser, or somebody who makes refresh tokens up,
    /// cannot tell for a moment.
    pub(crate) async fn refreshed(
        &self,
        call: RefreshCall,
        fields: serde_json::Value,
    ) -> Refreshed {
        let session = self.names.name("session", &[&call.session_id]);
        let suffixed = if call.suffixed_cookies { "suffixed" } else { "plain" };
        let browser =
            self.names.name("browser", &[&call.refresh_token, &call.request_origin, suffixed]);
        let wire = Arc::clone(&self.wire);
        let ask = || async move { Held { browser, refreshed: ask(&wire, call, fields).await } };
        match self.refreshes.ask(session, &self.refreshing, keep, ask).await {
            Some(held) if held.browser == browser => held.refreshed,
            _ => Err(RefreshDenial::Unreachable),
        }
    }
}

/// Requests of one page that come a moment later get the same cookies; a session that Clerk does not
/// renew is not asked about by every request of it.
fn keep(held: &Held) -> Keep {
    Keep::for_secs(match held.refreshed {
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
    let reply = wire.send(Call::get(url).post_json(body.to_string())).await;
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
fn read(reply: &Reply) -> Refreshed {
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
