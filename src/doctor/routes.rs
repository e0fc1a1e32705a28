//! Checks what the routes of a running application require, by requests without credentials.

use std::time::Duration;

use clerk_verify::transport::{ApiRequest, ApiResponse, Transport};
use http::StatusCode;
use http::header::LOCATION;
use url::Url;

use super::finding::Diagnostic;

/// Deadline of one request to the application. Its pages may be slow and large.
const DEADLINE: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The protection that the operator intends for a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Intent {
    /// No intention: the finding reports what the route requires.
    #[default]
    Unsaid,
    /// The route is meant to be public. A route that requires a session is an error.
    Public,
    /// The route is meant for signed-in users. An open route is an error.
    Protected,
}

/// Requests paths of a running application without credentials, and reports what each requires. A
/// difference from the intent is an error. `app` is the application's base URL; each request waits
/// at most 10 seconds.
///
/// | intent | 2xx | 401, 403, 503 | redirect | 404 |
/// |---|---|---|---|---|
/// | [`Protected`](Intent::Protected) | error | fine | fine | error |
/// | [`Public`](Intent::Public) | fine | error | fine | error |
/// | [`Unsaid`](Intent::Unsaid) | note | fine | fine | fine |
///
/// # Examples
///
/// ```no_run
/// use clerk_resilience::doctor::{Intent, Severity, examine_routes};
/// use clerk_resilience::fetch::HttpUpstream;
///
/// # async fn check() -> Result<bool, Box<dyn std::error::Error>> {
/// let app = "http://127.0.0.1:3000".parse()?;
/// let routes = [
///     (Intent::Public, "/".to_owned()),
///     (Intent::Protected, "/me".to_owned()),
///     (Intent::Protected, "/admin".to_owned()),
/// ];
/// let findings = examine_routes(&app, &routes, &HttpUpstream::new()?).await;
/// for finding in &findings {
///     println!("{finding}");
/// }
/// Ok(findings.iter().all(|finding| finding.severity < Severity::Error))
/// # }
/// ```
///
/// The command does the same: `clerk-resilience doctor --app http://127.0.0.1:3000 --public /
/// --protected /me`.
pub async fn examine_routes(
    app: &Url,
    routes: &[(Intent, String)],
    transport: &dyn Transport,
) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (intent, path) in routes {
        findings.push(match app.join(path) {
            Ok(url) if url.origin() == app.origin() => ask(*intent, path, url, transport).await,
            _ => Diagnostic::error("route", format!("{path} is no path, as /me."), ""),
        });
    }
    findings
}

async fn ask(intent: Intent, path: &str, url: Url, transport: &dyn Transport) -> Diagnostic {
    let mut call = ApiRequest::get(url).deadline(DEADLINE);
    call.max_bytes = MAX_BYTES;
    match transport.call(call).await {
        Ok(reply) => judge(intent, path, &reply),
        Err(fault) => {
            let what = format!("{path} could not be requested: {fault}.");
            Diagnostic::error("route", what, "Start the application, and name its address.")
        }
    }
}

fn judge(intent: Intent, path: &str, reply: &ApiResponse) -> Diagnostic {
    let status = reply.status;
    let demand = match status {
        StatusCode::UNAUTHORIZED => "demands a session".to_owned(),
        StatusCode::FORBIDDEN => "is forbidden to everybody without a session".to_owned(),
        StatusCode::SERVICE_UNAVAILABLE => "demands a session, and Clerk is down".to_owned(),
        StatusCode::NOT_FOUND => "does not exist".to_owned(),
        _ if status.is_redirection() => format!("sends visitors to {}", target(reply)),
        _ if status.is_success() => "is open to everybody".to_owned(),
        _ => "answers an error".to_owned(),
    };
    let closed = [401, 403, 503].contains(&status.as_u16());
    let what = format!("{path} {demand} ({}).", status.as_u16());
    let close = "Put it below .route_layer(clerk.clone()), or take it off .public([..]).";
    let open = "Name it in .public([..]), or put it beside the protected routes with .merge(..).";
    match intent {
        Intent::Protected if status.is_success() => Diagnostic::error(
            "public-by-mistake",
            format!("{what} It is meant to be protected."),
            close,
        ),
        Intent::Public if closed => Diagnostic::error(
            "protected-by-mistake",
            format!("{what} It is meant to be public."),
            open,
        ),
        Intent::Public | Intent::Protected if status == StatusCode::NOT_FOUND => Diagnostic::error(
            "route",
            what,
            "Look at its spelling; what does not exist proves nothing.",
        ),
        Intent::Unsaid if status.is_success() => {
            Diagnostic::note("route-open", what, &format!("If it should be protected: {close}"))
        }
        _ => Diagnostic::fine("route", what),
    }
}

/// Returns the redirect target without its query, which may contain a token.
fn target(reply: &ApiResponse) -> String {
    let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let place = location.and_then(|text| text.split(['?', '#']).next());
    place.unwrap_or("nowhere").to_owned()
}
