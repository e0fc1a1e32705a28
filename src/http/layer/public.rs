//! Public paths, in axum's syntax and with axum's matcher ([`matchit`](https://docs.rs/matchit)).
//!
//! Public paths belong to the application-wide layer. A layer that
//! [`ClerkResilience::policy`](crate::ClerkResilience::policy) returns for one router has none:
//! there, [`RoutePolicy::optional`](crate::RoutePolicy::optional) opens a route.

use std::fmt;
use std::sync::Arc;

/// A set of paths that need no session. All other paths are protected.
///
/// [`Builder::public`](crate::Builder::public) takes such a set, for an application that wraps its
/// whole router with `.layer(clerk)`. The layer's own routes are another matter: merge
/// [`ClerkResilience::routes`](crate::ClerkResilience::routes) beside the layer.
///
/// Patterns use the syntax of [`axum::Router::route`]: `/`, `/about`, `/posts/{id}`,
/// `/sign-in/{*rest}` (which does not match `/sign-in` itself). The layer matches them as axum
/// does, against the whole path, also where routers are nested.
///
/// | pattern | public | protected |
/// |---|---|---|
/// | `/about` | `/about` | `/about/`, `/About`, `/about/us`, `/%61bout` |
/// | `/posts/{id}` | `/posts/1`, `/posts/new` | `/posts`, `/posts/1/edit` |
/// | `/sign-in/{*rest}` | `/sign-in/sso/callback` | `/sign-in`, `/sign-in/` |
///
/// A request to a public path passes without a session, or with one if its token is valid. The
/// handler takes `Option<Auth>`. Matching ignores the method, so a public path is public for `POST`
/// as well.
/// does, against the whole path, also where routers are nested.
///
/// A pattern makes every path public that it matches: `/posts/{id}` matches `/posts/new`, whichever
/// route serves that. A path with a `.` or `..` segment, in any encoding, is never public: a proxy
/// behind the layer could resolve it to a protected path.
///
/// ```
/// use clerk_resilience::PublicPaths;
///
/// let public = PublicPaths::new(["/", "/posts/{id}"]).expect("valid patterns");
/// assert!(public.contains("/posts/1"));
/// assert!(!public.contains("/posts/1/edit"));
/// ```
#[derive(Clone, Default)]
pub struct PublicPaths {
    matcher: Arc<matchit::Router<()>>,
    count: usize,
}

impl PublicPaths {
    /// Parses the patterns. An empty list makes no path public.
    ///
    /// # Errors
    ///
    /// Returns [`PublicPathError`], which names the first pattern that axum would also reject.
    pub fn new<I, S>(patterns: I) -> Result<Self, PublicPathError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let mut matcher = matchit::Router::new();
        let mut count = 0;
        for pattern in patterns {
            let pattern: String = pattern.into();
            let problem = |problem: &str| PublicPathError {
                pattern: pattern.clone(),
                problem: problem.to_owned(),
            };
            if !pattern.starts_with('/') {
                return Err(problem("the pattern must start with '/'"));
            }
            if pattern.split('/').any(|part| part.starts_with([':', '*'])) {
                return Err(problem("write a parameter as {name} and a rest as {*name}"));
            }
            matcher
                .insert(pattern.clone(), ())
                .map_err(|error| problem(&format!("axum's matcher rejects it: {error}")))?;
            count += 1;
        }
        Ok(Self { matcher: Arc::new(matcher), count })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns true if the path is public.
    ///
    /// `path` is the path of a request target, still percent-encoded and without a query. Letters
    /// count as they are: `/About` is not `/about`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.count > 0 && !climbs(path) && self.matcher.at(path).is_ok()
    }
}

/// Returns true if a path has a `.` or `..` segment, in any spelling that a URL parser or proxy may
/// resolve. `/open/../admin` would be public here, and `/admin` for a proxy behind the layer.
fn climbs(path: &str) -> bool {
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let mut segment = Segment::Empty;
    let mut rest = path.as_bytes();
    while let Some((byte, tail)) = unescaped(rest) {
        segment = match (byte, segment) {
            (b'/' | b'\\' | b';', Segment::Dots) => return true,
            (b'/' | b'\\', _) => Segment::Empty,
            (b'.', Segment::Empty | Segment::Dots) => Segment::Dots,
            _ => Segment::Name,
        };
        rest = tail;
    }
    segment == Segment::Dots
}

/// The content of a path segment so far.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Segment {
    Empty,
    Dots,
    Name,
}

/// Returns the first byte, percent-decoded, and the remaining bytes.
fn unescaped(path: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    if let [b'%', high, low, tail @ ..] = path
        && let (Some(high), Some(low)) = (digit(high), digit(low))
        && let Ok(byte) = u8::try_from(high * 16 + low)
    {
        return Some((byte, tail));
    }
    path.split_first().map(|(byte, tail)| (*byte, tail))
}

impl fmt::Debug for PublicPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicPaths").field("count", &self.count).finish_non_exhaustive()
    }
}

/// An invalid path pattern, and its problem.
///
/// ```
/// use clerk_resilience::PublicPaths;
///
/// let error = PublicPaths::new(["/posts/:id"]).expect_err("the syntax of axum 0.7");
/// assert!(error.to_string().contains("write a parameter as {name}"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the public path {pattern:?} cannot be used: {problem}")]
pub struct PublicPathError {
    pattern: String,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_paths_are_public() {
        let public = PublicPaths::new(["/", "/about", "/posts/{id}", "/sign-in/{*rest}"])
            .expect("good patterns");
        for path in ["/", "/about", "/posts/1", "/sign-in/sso/callback"] {
            assert!(public.contains(path), "{path}");
        }
        for path in [
            "/about/",
            "/About",
            "/about/us",
            "/posts",
            "/posts/1/edit",
            "/sign-in",
            "/sign-in/",
            "//",
            "/%61bout",
            "/admin",
            "",
        ] {
            assert!(!public.contains(path), "{path}");
        }
        assert!(!PublicPaths::default().contains("/"));
    }

    #[test]
    fn a_path_that_leaves_a_public_one_is_not_public() {
        let public = PublicPaths::new(["/open/{*rest}"]).expect("a good pattern");
        for path in [
            "/open/../admin",
            "/open/./x",
            "/open/..",
            "/open/a/%2e%2E/%2E%2e/admin",
            "/open/..%2fadmin",
            "/open/..%5Cadmin",
            "/open/..\\admin",
            "/open/..;x/admin",
            "/open/.%2e/admin",
        ] {
            assert!(!public.contains(path), "{path}");
        }
        for path in ["/open/a.css", "/open/.well-known/x", "/open/..a", "/open/a..", "/open/%20"] {
            assert!(public.contains(path), "{path}");
        }
    }

    #[test]
    fn a_pattern_invalid_in_axum_is_rejected_by_name() {
        for pattern in ["about", "", "/:id", "/*rest", "/{*rest}/more", "/{", "/a/{}"] {
            let error = PublicPaths::new([pattern]).expect_err(pattern).to_string();
            assert!(error.contains(&format!("{pattern:?}")), "{error}");
        }
        assert!(PublicPaths::new(["/a", "/a"]).is_err());
    }
}
