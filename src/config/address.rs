//! Validation of URLs, origins and domains.

use clerk_verify::authenticate::Proxy;
use url::Url;

use super::error::{ConfigError, invalid};
use crate::fetch::is_loopback;

pub(super) fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("https://{text}") }
}

pub(super) fn address(name: &str, text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text.trim()).map_err(|error| {
        invalid(name, &format!("it is not an address such as https://…: {error}"))
    })?;
    check_address(name, &url)?;
    Ok(url)
}

/// Checks that a URL is usable for calls. Plain HTTP does not authenticate the server, so only
/// loopback hosts may use it.
pub(super) fn check_address(name: &str, url: &Url) -> Result<(), ConfigError> {
    let problem = match url.scheme() {
        _ if url.host_str().is_none() => "it names no host",
        _ if !url.username().is_empty() || url.password().is_some() => {
            "it contains a user name or password; remove them"
        }
        "https" => return Ok(()),
        "http" if is_loopback(url) => return Ok(()),
        "http" => {
            "it uses http, so anybody on the way could answer in Clerk's place; use https (http is accepted for 127.0.0.1 and localhost)"
        }
        _ => "it must start with https://",
    };
    Err(invalid(name, &problem))
}

/// Checks that `party` is an origin, as an `azp` claim must be: a scheme, a host, optionally a
/// port, and nothing else.
pub(super) fn check_party(name: &str, party: &str) -> Result<(), ConfigError> {
    let origin = Url::parse(party).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == party || origin == "null" => Ok(()),
        Ok(origin) => Err(invalid(name, &format!("{party:?} is not an origin; write {origin:?}"))),
        Err(_) => Err(invalid(
            name,
            &format!("{party:?} is not an origin such as \"https://app.example.com\""),
        )),
    }
}

/// Parses a proxy: a URL, or a path of the application itself.
pub(super) fn proxy(name: &str, text: &str) -> Result<Proxy, ConfigError> {
    let text = text.trim();
    let proxy = if text.starts_with('/') { Proxy::parse(text) } else { None };
    proxy.map_or_else(|| address(name, &with_scheme(text)).map(Proxy::Address), Ok)
}

/// Checks that `text` is a host, optionally with a port, and nothing else.
pub(super) fn check_domain(name: &str, text: &str) -> Result<(), ConfigError> {
    let url = Url::parse(&format!("https://{text}/")).ok();
    let whole = url.and_then(|url| {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        Some(format!("{}{port}", url.host_str()?))
    });
    if whole.is_some_and(|whole| whole.eq_ignore_ascii_case(text)) {
        return Ok(());
    }
    Err(invalid(name, &"it is no domain; write it without scheme or path, as app.example.org"))
}
