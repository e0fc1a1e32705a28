//! The address of a request, as its browser sees it. All other modules use this one; none reads
//! `Host`, `Forwarded` or `X-Forwarded-*` itself.
//!
//! `Host` (the authority in HTTP/2) names the host. `X-Forwarded-Host`, `X-Forwarded-Proto` and
//! `Forwarded` (RFC 7239) replace it only if the builder trusts them, or if the peer is loopback,
//! private or link-local. A request without a recorded peer has no known proxy, so the fields do
//! not count. `X-Forwarded-Proto: https` counts from every peer, because it only makes a redirect
//! stricter.
//!
//! A redirect that returns a token follows a stricter rule, [`Origins::for_redirect`].

use core::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, OriginalUri};
use http::header::{FORWARDED, HOST, ORIGIN};
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, Request, Uri};
use url::Url;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The application's origins, and the rule for trusted peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    /// The configured origins.
    own: Vec<Url>,
    /// True if forwarded fields count from every peer.
    trusts_all: bool,
    /// The scheme of requests that name none.
    scheme: &'static str,
}

/// The parts of a request that name its address.
#[derive(Clone, Copy)]
pub(crate) struct RequestTarget<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestTarget<'a> {
    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap, extensions: &'a Extensions) -> Self {
        Self { uri: original(uri, extensions), headers, extensions }
    }

    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self::new(request.uri(), request.headers(), request.extensions())
    }

    /// Returns host and port as the request names them.
    fn host(self) -> Option<&'a str> {
        let named = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        self.uri.authority().map(Authority::as_str).or(named)
    }
}

/// Whether a redirect to Clerk may return a token to an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RedirectHost {
    /// The host is a configured origin.
    Configured,
    /// No origin is configured, and `Host` alone names the host.
    HostAlone,
    /// Origins are configured, and the host is none of them.
    Unknown,
}

impl Origins {
    pub(crate) fn new(own: Vec<Url>, trusts_all: bool, scheme: &'static str) -> Self {
        Self { own, trusts_all, scheme }
    }

    /// Returns the address of a page, without the port that its scheme implies.
    pub(crate) fn address(&self, asked: RequestTarget<'_>) -> Option<Url> {
        let forwarded = self.forwarded(asked).0;
        forwarded
            .and_then(|host| self.at(asked, host))
            .or_else(|| asked.host().and_then(|host| self.at(asked, host)))
    }

    /// Returns the address to which a redirect may return a token, and why: a configured origin. If
    /// none is configured, `Host` alone names the host.
    pub(crate) fn for_redirect(&self, asked: RequestTarget<'_>) -> Option<(Url, RedirectHost)> {
        if self.own.is_empty() {
            let address = self.at(asked, asked.host()?)?;
            return Some((address, RedirectHost::HostAlone));
        }
        let address = self.address(asked)?;
        let same = self.own.iter().any(|own| own.origin() == address.origin());
        if same {
            return Some((address, RedirectHost::Configured));
        }
        let own = self.own.iter().find_map(|own| with_origin_of(&address, own));
        Some(match own {
            Some(own) => (own, RedirectHost::Configured),
            None => (address, RedirectHost::Unknown),
        })
    }

    /// Returns the host and port of the application, for tickets that are bound to them.
    pub(crate) fn host(&self, asked: RequestTarget<'_>) -> String {
        let address = self.address(asked);
        address.as_ref().map(authority).unwrap_or_default()
    }

    /// Returns true if a page of the application's own origin sent this request. `Sec-Fetch-Site`
    /// decides, because pages cannot set it; else `Origin` must be the request's host or a
    /// configured origin.
    pub(crate) fn is_same_origin(&self, asked: RequestTarget<'_>) -> bool {
        let site = asked.headers.get(SEC_FETCH_SITE);
        if site.is_some_and(|site| site == "same-origin") {
            return true;
        }
        let origin = asked.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let Some(origin) = origin.and_then(|origin| Url::parse(origin).ok()) else { return false };
        if self.own.iter().any(|own| own.origin() == origin.origin()) {
            return true;
        }
        // A browser that sends `same-site` or `cross-site` has compared scheme, host and port.
        site.is_none()
            && self.address(asked).and_then(|own| with_origin_of(&own, &origin)).is_some()
    }

    /// Returns true if the peer is trusted to name the client and its address.
    pub(crate) fn trusts(&self, extensions: &Extensions) -> bool {
        self.trusts_all || peer(extensions).is_some_and(is_private)
    }

    /// Returns the address of the request at this host.
    fn at(&self, asked: RequestTarget<'_>, host: &str) -> Option<Url> {
        let scheme = match self.forwarded(asked).1 {
            Some(scheme) => scheme,
            None => asked.uri.scheme_str().unwrap_or(self.scheme),
        };
        let origin = Url::parse(&format!("{scheme}://{host}")).ok().filter(is_origin)?;
        let path = asked.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        // `OPTIONS *` has no path. Without a slash it would become part of the host.
        let path = if path.starts_with('/') { path } else { "/" };
        // A path that begins with two slashes stays a path.
        Url::parse(&format!("{}{path}", origin.origin().ascii_serialization())).ok()
    }

    /// Returns host and scheme as the proxies name them. Two contradicting fields are both ignored,
    /// because a proxy sets one of them and a client may have set the other.
    fn forwarded<'a>(&self, asked: RequestTarget<'a>) -> (Option<&'a str>, Option<&'static str>) {
        let first = |name: &HeaderName| {
            let value = asked.headers.get(name)?.to_str().ok()?;
            value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
        };
        let known = |scheme: Option<&str>| {
            ["https", "http"]
                .into_iter()
                .find(|known| scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(known)))
        };
        let proto = known(first(&FORWARDED_PROTO));
        if !self.trusts(asked.extensions) {
            return (None, proto.filter(|scheme| *scheme == "https"));
        }
        let host = agreed(first(&FORWARDED_HOST), element(asked.headers, "host"));
        (host, agreed(proto, known(element(asked.headers, "proto"))))
    }
}

/// Returns the requested address, before nested routers stripped their prefix.
pub(crate) fn original<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |original| &original.0)
}

fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Returns a parameter of the first element of `Forwarded`.
fn element<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let field = headers.get(FORWARDED)?.to_str().ok()?;
    field.split(',').next()?.split(';').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (found.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then_some(value)
    })
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let axum = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let peer = axum.or_else(|| extensions.get::<SocketAddr>().copied())?;
    Some(peer.ip().to_canonical())
}

fn is_private(peer: IpAddr) -> bool {
    match peer {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// Returns the address at another origin, if host and port are the same. The address may have the
/// port that the other scheme implies.
fn with_origin_of(address: &Url, own: &Url) -> Option<Url> {
    let mut moved = address.clone();
    moved.set_scheme(own.scheme()).ok()?;
    moved.set_port(address.port()).ok()?;
    (moved.origin() == own.origin()).then_some(moved)
}

/// Returns host and port, without a port that the scheme implies.
fn authority(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:5000";
    const STRANGER: &str = "203.0.113.7:5000";

    fn request(peer: Option<&str>, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/p?q=1");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).expect("a request");
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().expect("an address");
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
    }

    fn origins(own: &[&str], trusts_all: bool) -> Origins {
        let own = own.iter().map(|own| Url::parse(own).expect("an origin")).collect();
        Origins::new(own, trusts_all, "https")
    }

    fn address(origins: &Origins, request: &Request<()>) -> String {
        origins.address(RequestTarget::of(request)).map_or(String::new(), Url::into)
    }

    #[test]
    fn forwarded_fields_count_from_private_peers_alone() {
        for fields in [
            &[("host", "app.example"), ("x-forwarded-host", "b.example, c")][..],
            &[("host", "app.example"), ("forwarded", "for=1.2.3.4;Host=\"b.example\", host=c")],
        ] {
            for (peer, trusts_all, host) in [
                (None, false, "app.example"),
                (Some(STRANGER), false, "app.example"),
                (Some("[2001:db8::1]:1"), false, "app.example"),
                (Some(PROXY), false, "b.example"),
                (Some("127.0.0.1:1"), false, "b.example"),
                (Some("[::1]:1"), false, "b.example"),
                (Some("[fd00::1]:1"), false, "b.example"),
                (Some("[::ffff:192.168.1.1]:1"), false, "b.example"),
                (Some(STRANGER), true, "b.example"),
                (None, true, "b.example"),
            ] {
                let found = address(&origins(&[], trusts_all), &request(peer, fields));
                assert_eq!(found, format!("https://{host}/p?q=1"), "{peer:?} {fields:?}");
            }
        }
    }

    #[test]
    fn an_untrusted_header_raises_but_never_lowers_the_scheme() {
        let plain = Origins::new(Vec::new(), false, "http");
        let secure = origins(&[], false);
        let says = |proto| [("host", "a.example"), ("x-forwarded-proto", proto)];
        for (origins, peer, proto, scheme) in [
            (&plain, STRANGER, "https", "https"),
            (&secure, STRANGER, "http", "https"),
            (&secure, PROXY, "http", "http"),
            (&secure, PROXY, "javascript", "https"),
        ] {
            let found = address(origins, &request(Some(peer), &says(proto)));
            assert_eq!(found, format!("{scheme}://a.example/p?q=1"), "{peer} {proto}");
        }
    }

    #[test]
    fn fields_that_contradict_each_other_count_for_nothing() {
        let fields = [
            ("host", "a.example"),
            ("x-forwarded-host", "b.example"),
            ("forwarded", "host=c.example;proto=http"),
            ("x-forwarded-proto", "https"),
        ];
        let request = request(Some(PROXY), &fields);
        assert_eq!(address(&origins(&[], false), &request), "https://a.example/p?q=1");
    }

    #[test]
    fn a_redirect_leads_to_a_configured_origin_or_to_host_alone() {
        use RedirectHost::{Configured, HostAlone, Unknown};
        let own = &["https://app.example", "http://localhost:3000"][..];
        let forwarded = ("x-forwarded-host", "evil.example");
        for (own, fields, expected, host) in [
            (&[][..], &[("host", "a.example"), forwarded][..], "https://a.example", HostAlone),
            (own, &[("host", "app.example")], "https://app.example", Configured),
            (own, &[("host", "app.example:443")], "https://app.example", Configured),
            (own, &[("host", "localhost:3000")], "http://localhost:3000", Configured),
            (own, &[("host", "app.example"), forwarded], "https://evil.example", Unknown),
            (own, &[("host", "evil.example")], "https://evil.example", Unknown),
            (own, &[("host", "app.example:8443")], "https://app.example:8443", Unknown),
        ] {
            let request = request(Some(PROXY), fields);
            let found = origins(own, false).for_redirect(RequestTarget::of(&request));
            let (address, why) = found.expect("an address");
            assert_eq!(
                (address.as_str(), why),
                (&*format!("{expected}/p?q=1"), host),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_port_that_the_scheme_implies_is_dropped() {
        for (proto, host, expected) in [
            ("https", "a.example:443", "https://a.example/p?q=1"),
            ("http", "a.example:80", "http://a.example/p?q=1"),
            ("https", "a.example:80", "https://a.example:80/p?q=1"),
        ] {
            let fields = [("host", host), ("x-forwarded-proto", proto)];
            let request = request(Some(PROXY), &fields);
            assert_eq!(address(&origins(&[], false), &request), expected);
        }
    }

    #[test]
    fn a_path_without_a_slash_never_becomes_part_of_the_host() {
        for path in ["*", ".evil.example/p", "@evil.example/p", ":81/p"] {
            let Ok(path) = http::uri::PathAndQuery::try_from(path) else { continue };
            let mut parts = http::uri::Parts::default();
            parts.path_and_query = Some(path);
            let Ok(uri) = Uri::from_parts(parts) else { continue };
            let mut request = request(None, &[("host", "a.example")]);
            *request.uri_mut() = uri;
            assert_eq!(address(&origins(&[], false), &request), "https://a.example/");
        }
    }

    #[test]
    fn an_invalid_host_makes_no_url() {
        for host in ["bad host", "<a>", "", "a.example/x?y"] {
            let fields = [("host", "ok.example"), ("x-forwarded-host", host)];
            let found = address(&origins(&[], true), &request(None, &fields));
            assert!(!found.contains(' ') && !found.contains('<'), "{host} {found}");
            assert!(found.ends_with("example/p?q=1"), "{host} {found}");
        }
        let double = Request::builder().uri("//evil.example/p").header("host", "a.example");
        let double = double.body(()).expect("a request");
        assert_eq!(address(&origins(&[], false), &double), "https://a.example//evil.example/p");
    }

    #[test]
    fn an_own_or_configured_origin_is_the_same_origin() {
        let own = origins(&["https://app.example"], false);
        let host = ("host", "other.example:443");
        for (fields, same) in [
            (&[host, ("sec-fetch-site", "same-origin")][..], true),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "same-site"), ("origin", "https://app.example")], true),
            (&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://other.example")], false),
            (&[host, ("origin", "https://other.example")], true),
            (&[host, ("origin", "https://evil.example")], false),
            (&[host, ("origin", "null")], false),
            (&[host], false),
        ] {
            let request = request(None, fields);
            assert_eq!(own.is_same_origin(RequestTarget::of(&request)), same, "{fields:?}");
        }
    }
}
