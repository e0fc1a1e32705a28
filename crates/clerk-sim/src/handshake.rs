//! The handshake endpoint: Clerk redirects a browser back to the application with fresh cookies.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::json;
use url::Url;

use clerk_verify::key::{InstanceKind, PublishableKey};

use super::answer::SimAnswer;
use super::ask::Ask;
use super::frontend;
use super::mint::mint;
use super::session::Live;
use super::state::{SimState, random_text};
use super::token::SESSION_CATEGORY;

const YEAR: u32 = 31_536_000;

pub(super) fn answer(state: &SimState, ask: &Ask) -> SimAnswer {
    let Some(target) = ask.param("redirect_url").and_then(|url| redirect_target(&url)) else {
        let message = "redirect_url must be an absolute http or https address";
        return SimAnswer::error(StatusCode::BAD_REQUEST, "form_param_value_invalid", message);
    };
    let live = presented(state, ask).or_else(|| frontend::browser(state, ask));
    let live = live.map(|live| in_organization(state, ask, live));
    let directives = directives(state, ask, target.scheme() == "https", live);
    let (name, value) = match ask.param("format").as_deref() {
        Some("nonce") => ("__clerk_handshake_nonce", state.keep_handshake(directives)),
        _ => ("__clerk_handshake", handshake_token(state, &directives)),
    };
    SimAnswer::redirect(StatusCode::TEMPORARY_REDIRECT, with_param(target, name, &value).as_str())
        .header(CACHE_CONTROL, "no-store")
}

/// Parses a URL to which a browser may be redirected: absolute, `http` or `https`.
pub(super) fn redirect_target(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// Returns the active session of the token in `__session`, if this instance signed the token. The
/// token may be expired.
fn presented(state: &SimState, ask: &Ask) -> Option<Live> {
    let token = ask.param("__session").or_else(|| ask.cookie("__session").map(str::to_owned))?;
    let payload = state.open(&token)?;
    state.sessions().get(payload.get("sid")?.as_str()?).cloned()
}

/// Activates the requested organization in the session, if its user is a member.
fn in_organization(state: &SimState, ask: &Ask, live: Live) -> Live {
    let Some(wanted) = ask.param("organization_id") else { return live };
    let id = live.session.id.as_str().to_owned();
    state.sessions().activate(&id, &wanted).unwrap_or(live)
}

fn handshake_token(state: &SimState, directives: &[String]) -> String {
    let key = state.signing_key();
    let header = json!({
        "alg": "RS256",
        "cat": SESSION_CATEGORY,
        "kid": key.kid().as_str(),
        "typ": "JWT",
    });
    key.sign(&header, &json!({ "handshake": directives }))
}

/// Sets a query parameter, and removes others of the same name.
pub(super) fn with_param(mut url: Url, name: &str, value: &str) -> Url {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
    url
}

/// Returns the `Set-Cookie` lines for a browser.
pub(super) fn directives(
    state: &SimState,
    ask: &Ask,
    secure: bool,
    live: Option<Live>,
) -> Vec<String> {
    Directives::new(state, ask, secure).all(live)
}

/// Returns the suffix of an instance's cookie names: eight characters of the publishable key's
/// SHA-1.
pub(super) fn cookie_suffix(key: &PublishableKey) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_str().as_bytes());
    let mut suffix = URL_SAFE_NO_PAD.encode(hash);
    suffix.truncate(8);
    suffix
}

/// Builds the `Set-Cookie` lines of a handshake.
struct Directives<'a> {
    state: &'a SimState,
    ask: &'a Ask,
    secure: bool,
    suffix: Option<String>,
}

impl<'a> Directives<'a> {
    fn new(state: &'a SimState, ask: &'a Ask, secure: bool) -> Self {
        let suffixed = ask.param("suffixed_cookies").is_some_and(|value| value == "true");
        Self {
            state,
            ask,
            secure,
            suffix: suffixed.then(|| cookie_suffix(state.publishable_key())),
        }
    }

    fn all(&self, live: Option<Live>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(live) = live {
            let since = live.session.since.as_secs().to_string();
            // A navigating browser sends no `Origin`, so the token has no `azp`.
            let token = mint(self.state, self.ask, live).sign();
            self.set(&mut lines, "__client_uat", &since, YEAR);
            self.set(&mut lines, "__session", &token, YEAR);
        } else {
            self.set(&mut lines, "__client_uat", "0", YEAR);
            self.set(&mut lines, "__session", "", 0);
        }
        if self.state.publishable_key().kind() == InstanceKind::Development {
            let known = self.ask.param("__clerk_db_jwt");
            let browser = known.unwrap_or_else(|| random_text("dvb_", 27));
            self.set(&mut lines, "__clerk_db_jwt", &browser, YEAR);
        }
        lines
    }

    /// Adds the cookie under its plain name and, if requested, under its suffixed name.
    fn set(&self, lines: &mut Vec<String>, name: &str, value: &str, max_age: u32) {
        let secure = if self.secure { "; Secure" } else { "" };
        let line =
            |name: &str| format!("{name}={value}; Path=/; Max-Age={max_age}; SameSite=Lax{secure}");
        lines.push(line(name));
        lines.extend(self.suffix.as_ref().map(|suffix| line(&format!("{name}_{suffix}"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_hashes_the_key_as_it_was_given() {
        for (key, suffix) in [
            ("pk_test_Y2xlcmsuY2xlcmsuZGV2JA", "QvfNY2dr"),
            ("pk_live_ZmFrZS1jbGVyay10ZXN0LmNsZXJrLmFjY291bnRzLmRldiQ=", "qReyu04C"),
        ] {
            let key = PublishableKey::parse(key).expect("a valid key");
            assert_eq!(cookie_suffix(&key), suffix);
        }
    }

    #[test]
    fn only_web_addresses_are_redirected_to() {
        for text in ["", "/path", "javascript:alert(1)", "data:text/html,x", "ftp://a.example/"] {
            assert_eq!(redirect_target(text), None, "{text}");
        }
        assert!(redirect_target("http://localhost:3000/a?b=c").is_some());
    }

    #[test]
    fn a_parameter_replaces_its_namesake_and_keeps_the_rest() {
        let url = Url::parse("https://a.example/p?x=1&n=old&y=%20#f").expect("a valid address");
        assert_eq!(with_param(url, "n", "new").as_str(), "https://a.example/p?x=1&y=+&n=new#f");
    }
}
