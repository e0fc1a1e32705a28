//! The address that the browser requested, before any proxies changed it.

use http::HeaderMap;
use http::header::{HOST, HeaderName};
use url::Url;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Query parameter: whether a satellite has asked its primary application.
pub(super) const SYNCED: &str = "__clerk_synced";
/// Query parameter: the state that the layer adds to the return address of its own handshakes.
pub(super) const STATE: &str = "__clerk_resilience_state";
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Returns the address with the origin that the browser uses. The origin is the first value of
/// `X-Forwarded-Proto` and of `X-Forwarded-Host`, or else `Host`. Values that do not form an `http`
/// or `https` origin are ignored.
///
/// Only host and port are taken from the fields. A path that begins with two slashes stays a path;
/// as a relative reference it would become another host.
#[must_use]
pub fn public_address(address: &Url, headers: &HeaderMap) -> Url {
    let host = first(headers, &FORWARDED_HOST).or_else(|| text(headers, &HOST));
    let scheme = first(headers, &FORWARDED_PROTO).unwrap_or_else(|| address.scheme());
    host.and_then(|host| with_origin(address, scheme, host)).unwrap_or_else(|| address.clone())
}

fn with_origin(address: &Url, scheme: &str, host: &str) -> Option<Url> {
    let origin = Url::parse(&format!("{scheme}://{host}")).ok()?;
    if !matches!(origin.scheme(), "http" | "https") {
        return None;
    }
    let mut changed = address.clone();
    changed.set_scheme(origin.scheme()).ok()?;
    changed.set_host(origin.host_str()).ok()?;
    changed.set_port(origin.port()).ok()?;
    Some(changed)
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    text(headers, name)?.split(',').next().map(str::trim)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

/// Returns the address without handshake parameters and without the layer's state.
#[must_use]
pub fn clean_address(address: &Url) -> Url {
    without(&without(address, &super::resolve::MARKS), &[STATE])
}

/// Returns the address with `__clerk_synced=false`, which makes a satellite ask its primary
/// application once more.
#[must_use]
pub fn synced_anew(address: &Url) -> Url {
    let mut changed = without(address, &[SYNCED]);
    changed.query_pairs_mut().append_pair(SYNCED, "false");
    changed
}

/// Returns the address without these query parameters.
pub(super) fn without(address: &Url, names: &[&str]) -> Url {
    let mut changed = address.clone();
    if !changed.query_pairs().any(|(name, _)| names.contains(&&*name)) {
        return changed;
    }
    let kept: Vec<_> =
        address.query_pairs().filter(|(name, _)| !names.contains(&&**name)).collect();
    changed.set_query(None);
    if !kept.is_empty() {
        changed.query_pairs_mut().extend_pairs(kept);
    }
    changed
}

/// Returns the first query parameter with this name; `None` when it is missing or empty.
pub(super) fn param(address: &Url, name: &str) -> Option<String> {
    let found = address.query_pairs().find(|(found, _)| found == name)?.1;
    (!found.is_empty()).then(|| found.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(address: &str, fields: &[(HeaderName, &str)]) -> String {
        let headers = fields.iter().map(|(n, v)| (n.clone(), v.parse().expect("a field")));
        let address = Url::parse(address).expect("an address");
        public_address(&address, &headers.collect()).into()
    }

    #[test]
    fn proxies_name_the_origin_and_nothing_else() {
        let inner = "http://127.0.0.1:3000/p?q=1";
        let forwarded = |host, proto| [(FORWARDED_HOST, host), (FORWARDED_PROTO, proto)];
        assert_eq!(seen(inner, &[(HOST, "a.example:8443")]), "http://a.example:8443/p?q=1");
        assert_eq!(seen(inner, &forwarded("a.example", "https")), "https://a.example/p?q=1");
        assert_eq!(
            seen(inner, &forwarded("a.example, b", "https,http")),
            "https://a.example/p?q=1"
        );
        assert_eq!(
            seen(inner, &forwarded("u:p@a.example/x?y", "https")),
            "https://a.example/p?q=1"
        );
        for (host, proto) in [("bad host", "https"), ("<a>", "https"), ("a.example", "javascript")]
        {
            assert_eq!(seen(inner, &forwarded(host, proto)), inner, "{host} {proto}");
        }
    }

    #[test]
    fn a_path_with_two_slashes_does_not_become_a_host() {
        let forwarded = [(FORWARDED_HOST, "a.example")];
        assert_eq!(
            seen("http://x//evil.example/p", &forwarded),
            "http://a.example//evil.example/p"
        );
    }

    #[test]
    fn parameters_are_taken_out_and_the_rest_stays_as_it_was() {
        let address = |text| Url::parse(text).expect("an address");
        assert_eq!(without(&address("http://a/?x=1&y=2"), &["x"]).as_str(), "http://a/?y=2");
        assert_eq!(without(&address("http://a/?x=1"), &["x"]).as_str(), "http://a/");
        assert_eq!(without(&address("http://a/?y=%20"), &["x"]).as_str(), "http://a/?y=%20");
    }
}
