//! Paths that need no session, in axum's own syntax and by axum's own matcher.

use std::fmt;
use std::sync::Arc;

/// A set of paths that everybody may visit. Everything that is not named is protected.
///
/// Paths are written as for [`axum::Router::route`]: `/`, `/about`, `/posts/{id}`,
/// `/sign-in/{*rest}` (which does not cover `/sign-in` itself). They are matched as axum matches them,
/// against the whole path, also where routers are nested. A pattern makes every path public that it matches: `/posts/{id}` covers
/// `/posts/new`, whatever route serves that.
#[derive(Clone, Default)]
pub struct PublicPaths {
    matcher: Arc<matchit::Router<()>>,
    count: usize,
}

impl PublicPaths {
    /// Reads the patterns.
    ///
    /// # Errors
    ///
    /// [`PublicPathError`] names the pattern that axum would not accept either.
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
                return Err(problem("it must start with '/'"));
            }
            if pattern.split('/').any(|part| part.starts_with([':', '*'])) {
                return Err(problem("write a parameter as {name} and a rest as {*name}"));
            }
            matcher
                .insert(pattern.clone(), ())
                .map_err(|error| problem(&format!("axum's matcher refuses it: {error}")))?;
            count += 1;
        }
        Ok(Self { matcher: Arc::new(matcher), count })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True when the path is public.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.count > 0 && self.matcher.at(path).is_ok()
    }
}

impl fmt::Debug for PublicPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicPaths").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A path pattern that cannot be matched, and why.
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
    fn only_what_is_named_is_public() {
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
    fn a_pattern_that_axum_refuses_is_refused_by_name() {
        for pattern in ["about", "", "/:id", "/*rest", "/{*rest}/more", "/{", "/a/{}"] {
            let error = PublicPaths::new([pattern]).expect_err(pattern).to_string();
            assert!(error.contains(&format!("{pattern:?}")), "{error}");
        }
        assert!(PublicPaths::new(["/a", "/a"]).is_err());
    }
}
