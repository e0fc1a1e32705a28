//! A request as the handlers receive it, from either front end.

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, Method};
use url::form_urlencoded;

use super::surface::{Host, SimSurface};

/// A request to a simulated host.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) host: Host,
    /// The satellite domain, if the request is for its Frontend API host.
    pub(super) satellite: Option<String>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    /// Returns the first parameter of this name, decoded: from the query, else from a form body.
    pub(super) fn param(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .chain(form_urlencoded::parse(&self.body))
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns all query parameters of this name, decoded.
    pub(super) fn params(&self, name: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    /// Returns a string member of the JSON body.
    pub(super) fn member(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }

    /// Returns the raw value of the first cookie of this name.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|c| c.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    }

    /// Returns the segments of the path.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// Returns whether the method is safe (read-only).
    fn reads(&self) -> bool {
        self.method.is_safe()
    }

    /// Returns the surface that the request reaches.
    pub(super) fn surface(&self) -> SimSurface {
        let segments = self.segments();
        match self.host {
            Host::Status => SimSurface::StatusPage,
            Host::Frontend => match segments.as_slice() {
                [".well-known", "jwks.json"] => SimSurface::Jwks,
                ["v1", "client", "handshake"] => SimSurface::Handshake,
                ["v1", "client", "sessions", _, "tokens" | "touch", ..] => SimSurface::SessionMint,
                ["sign-in"] => SimSurface::SignIn,
                _ if self.reads() => SimSurface::Client,
                _ => SimSurface::SignIn,
            },
            Host::Backend => match segments.as_slice() {
                ["v1", "jwks"] => SimSurface::BackendJwks,
                ["v1", "sessions", _, "tokens" | "refresh", ..] | [.., "verify"] => {
                    SimSurface::BackendApi
                }
                _ if self.reads() => SimSurface::BackendApi,
                _ => SimSurface::BackendMutation,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: Host, method: Method, path: &str) -> Ask {
        let (path, query) = (path.to_owned(), String::new());
        Ask {
            host,
            satellite: None,
            method,
            path,
            query,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    #[test]
    fn every_path_belongs_to_one_surface() {
        use SimSurface as S;
        for (host, method, path, surface) in [
            (Host::Frontend, Method::GET, "/.well-known/jwks.json", S::Jwks),
            (Host::Frontend, Method::GET, "/v1/client/handshake", S::Handshake),
            (Host::Frontend, Method::POST, "/v1/client/sessions/s/tokens", S::SessionMint),
            (Host::Frontend, Method::POST, "/v1/client/sessions/s/tokens/t", S::SessionMint),
            (Host::Frontend, Method::POST, "/v1/client/sessions/s/touch", S::SessionMint),
            (Host::Frontend, Method::POST, "/v1/client/sign_ins", S::SignIn),
            (Host::Frontend, Method::DELETE, "/v1/client/sessions", S::SignIn),
            (Host::Frontend, Method::GET, "/sign-in", S::SignIn),
            (Host::Frontend, Method::GET, "/v1/client", S::Client),
            (Host::Frontend, Method::GET, "/", S::Client),
            (Host::Backend, Method::GET, "/v1/jwks", S::BackendJwks),
            (Host::Backend, Method::POST, "/v1/sessions/s/tokens", S::BackendApi),
            (Host::Backend, Method::POST, "/v1/sessions/s/refresh", S::BackendApi),
            (Host::Backend, Method::POST, "/api_keys/verify", S::BackendApi),
            (Host::Backend, Method::POST, "/v1/sessions/s/revoke", S::BackendMutation),
            (Host::Backend, Method::GET, "/v1/users/count", S::BackendApi),
            (Host::Status, Method::GET, "/api/v2/summary.json", S::StatusPage),
        ] {
            assert_eq!(ask(host, method, path).surface(), surface, "{path}");
        }
    }

    #[test]
    fn cookies_and_parameters_are_found_by_name() {
        let mut ask = ask(Host::Frontend, Method::GET, "/");
        ask.query = "a=1&b=x%20y&b=z".to_owned();
        ask.headers.insert(COOKIE, "__client=c1; other=2".parse().expect("a header value"));
        assert_eq!(ask.param("b").as_deref(), Some("x y"));
        assert_eq!(ask.param("c"), None);
        ask.body = Bytes::from_static(b"a=2&c=d+e");
        assert_eq!(ask.param("a").as_deref(), Some("1"));
        assert_eq!(ask.param("c").as_deref(), Some("d e"));
        assert_eq!(ask.cookie("__client"), Some("c1"));
        assert_eq!(ask.cookie("other"), Some("2"));
        assert_eq!(ask.cookie("client"), None);
    }
}
