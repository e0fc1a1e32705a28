//! The page that ends a session at Clerk from the browser, if the layer has no secret key.
//!
//! The page loads clerk-js from the instance's Frontend API, as the application's own pages do. It
//! calls `Clerk.load()` and `Clerk.signOut()`, and redirects to `/`. If that fails, the page
//! reports it.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clerk_verify::authenticate::Site;
use http::StatusCode;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use url::Url;

use crate::http::response::escape;

/// Path below the Frontend API. Clerk serves the latest release of this major version there.
const CLERK_JS: &str = "npm/@clerk/clerk-js@5/dist/clerk.browser.js";

/// Returns the page. A satellite has no session of its own, so its page runs no script.
pub(super) fn response(site: &Site, status: StatusCode) -> Response {
    let nonce = nonce();
    let (content, policy) = match &nonce {
        Some(nonce) if !site.is_satellite() => (script(site, nonce), policy(site, nonce)),
        _ => (String::new(), format!("{POLICY}; frame-ancestors 'none'")),
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>Signed out</title><style>{STYLE}</style></head><body><main><h1>Signed out</h1>\
         <p>You are signed out of this application.</p>\
         <p id=\"failed\">Your session at the account service may still be open. Close it there, or \
         close your browser if others use this device.</p>\
         <p><a href=\"/\">Continue</a></p></main>{content}</body></html>"
    );
    let fields = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &policy),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, fields, html).into_response()
}

/// Returns 128 random bits in base64; `None` without system randomness, and then no script runs.
fn nonce() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}

/// Returns the page's script. All variable values are in attributes, none in the script.
fn script(site: &Site, nonce: &str) -> String {
    let base = site.browser_address();
    let proxy = site.has_proxy().then(|| format!(" data-proxy=\"{}\"", escape(&base)));
    format!(
        "<script nonce=\"{nonce}\" data-src=\"{src}\" data-key=\"{key}\"{proxy}>{SCRIPT}</script>",
        nonce = escape(nonce),
        src = escape(&format!("{}/{CLERK_JS}", base.trim_end_matches('/'))),
        key = escape(site.publishable_key().as_str()),
        proxy = proxy.unwrap_or_default(),
    )
}

/// Allows calls to the Frontend API only, and only the page's script with the scripts that it
/// loads.
fn policy(site: &Site, nonce: &str) -> String {
    let origin = Url::parse(&site.browser_address()).map(|url| url.origin().ascii_serialization());
    let origin = origin.unwrap_or_else(|_| "'self'".to_owned());
    format!(
        "{POLICY}; script-src 'nonce-{nonce}' 'strict-dynamic' {origin}; connect-src {origin}; \
         worker-src blob:; form-action 'none'; frame-ancestors 'none'"
    )
}

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'";

const SCRIPT: &str = "(function(){\
var d=document.currentScript.dataset,note=document.getElementById('failed');\
function failed(){note.hidden=false}\
note.hidden=true;setTimeout(failed,15000);\
var s=document.createElement('script');\
s.src=d.src;s.async=true;s.crossOrigin='anonymous';\
s.setAttribute('data-clerk-publishable-key',d.key);\
if(d.proxy)s.setAttribute('data-clerk-proxy-url',d.proxy);\
s.onerror=failed;\
s.onload=function(){Promise.resolve().then(function(){return window.Clerk.load({telemetry:false})})\
.then(function(){return window.Clerk.signOut({redirectUrl:'/'})})\
.then(function(){location.replace('/')}).catch(failed)};\
document.head.appendChild(s)})()";

const STYLE: &str = "\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:Canvas;color:CanvasText;font:1rem/1.6 system-ui,sans-serif}\
main{max-width:34rem}h1{margin:0 0 1rem;font-size:1.5rem}a{color:LinkText}";

#[cfg(test)]
mod tests {
    use super::*;
    use clerk_verify::authenticate::Proxy;
    use clerk_verify::key::{InstanceKind, PublishableKey};

    fn site() -> Site {
        let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production);
        Site::new(key.expect("a host"))
    }

    #[test]
    fn variable_text_is_escaped_in_attributes() {
        let address = "https://app.example.com/__clerk?a=\"><script>alert(1)</script>";
        let proxied = site().proxy(Proxy::Address(Url::parse(address).expect("an address")));
        let path = site().proxy(Proxy::Path("/\"><script>alert(1)</script>".to_owned()));
        for site in [proxied, path] {
            let script = script(&site, "n");
            assert_eq!(script.matches("<script").count(), 1, "{script}");
            assert!(script.ends_with(&format!(">{SCRIPT}</script>")), "{script}");
        }
    }

    #[test]
    fn only_the_frontend_api_may_be_called() {
        let own = policy(&site(), "n");
        assert!(own.contains("connect-src https://clerk.example.com;"), "{own}");
        let path = policy(&site().proxy(Proxy::Path("/__clerk".to_owned())), "n");
        assert!(path.contains("connect-src 'self';"), "{path}");
    }
}
