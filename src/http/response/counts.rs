//! A signed count per page, stored in a cookie: how often a visitor was redirected from, or
//! returned to, this page without a session.
//!
//! The cookie's name contains a keyed hash of the page's address. A count without a valid signature
//! is ignored, so that only this application can end a visitor's redirects.

use std::sync::Arc;

use clerk_verify::token::{cookie, pairs};
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::state::seal::CookieSigner;

/// Maximum count; a visitor with this count is not redirected again.
pub(crate) const LIMIT: u8 = 3;
/// Lifetime of a count in seconds.
const SECONDS: u32 = 300;

/// Counts of one kind.
#[derive(Clone, Debug)]
pub(crate) struct PageCounts {
    pub(crate) signer: Arc<CookieSigner>,
    /// Prefix of the cookies' names.
    pub(crate) prefix: &'static str,
}

impl PageCounts {
    /// Returns true if the browser sends any count of this kind.
    pub(crate) fn are_kept(&self, headers: &HeaderMap) -> bool {
        pairs(headers).any(|(name, _)| name.starts_with(self.prefix.as_bytes()))
    }

    /// Returns the count of a page, at most [`LIMIT`]; zero without a validly signed cookie.
    pub(crate) fn read(&self, headers: &HeaderMap, page: &Url) -> u8 {
        if !self.are_kept(headers) {
            return 0;
        }
        let (name, page) = (self.name(page), page.as_str());
        let read = || {
            let value = std::str::from_utf8(cookie(headers, &name)?).ok()?;
            let (count, signature) = value.split_once('.')?;
            let good = self.signer.is_good(self.prefix, &text(count, page), signature);
            good.then(|| count.parse::<u8>().ok()).flatten()
        };
        read().unwrap_or(0).min(LIMIT)
    }

    /// Returns the cookie that stores a count.
    pub(crate) fn store(&self, page: &Url, count: u8) -> Option<HeaderValue> {
        let count = count.min(LIMIT).to_string();
        let signature = self.signer.sign(self.prefix, &text(&count, page.as_str()));
        self.cookie(page, &format!("{count}.{signature}"), SECONDS)
    }

    /// Returns the cookie that removes a count.
    pub(crate) fn remove(&self, page: &Url) -> Option<HeaderValue> {
        self.cookie(page, "", 0)
    }

    fn cookie(&self, page: &Url, value: &str, seconds: u32) -> Option<HeaderValue> {
        let name = self.name(page);
        let line = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
        HeaderValue::try_from(line).ok()
    }

    fn name(&self, page: &Url) -> String {
        format!("{}_{}", self.prefix, self.signer.name("page", page.as_str()))
    }
}

fn text(count: &str, page: &str) -> String {
    format!("{count} {page}")
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn counts() -> PageCounts {
        PageCounts { signer: Arc::default(), prefix: "c" }
    }

    fn page(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    fn kept(line: &HeaderValue) -> HeaderMap {
        let pair = line.to_str().expect("text").split(';').next().expect("a pair").parse();
        HeaderMap::from_iter([(COOKIE, pair.expect("a field"))])
    }

    #[test]
    fn a_redirect_count_belongs_to_one_page_and_application() {
        let (counts, one, two) = (counts(), page("https://a/1"), page("https://a/2"));
        let headers = kept(&counts.store(&one, 2).expect("a cookie"));
        assert_eq!(counts.read(&headers, &one), 2);
        assert_eq!(counts.read(&headers, &two), 0);
        assert_eq!(self::counts().read(&headers, &one), 0);
        assert_eq!(counts.read(&kept(&counts.remove(&one).expect("a cookie")), &one), 0);
    }

    #[test]
    fn a_count_without_a_good_signature_is_none() {
        let (counts, page) = (counts(), page("https://a/1"));
        let name = counts.name(&page);
        let good = counts.store(&page, 1).expect("a cookie");
        let good = good.to_str().expect("text").split(['=', ';']).nth(1).expect("a value");
        let signature = good.split_once('.').expect("a signature").1;
        for forged in ["3", "3.", &format!("3.{signature}"), "x.y", ""] {
            let headers = kept(&format!("{name}={forged};").parse().expect("a field"));
            assert_eq!(counts.read(&headers, &page), 0, "{forged}");
        }
    }

    #[test]
    fn a_count_is_clamped() {
        let (counts, page) = (counts(), page("https://a/1"));
        let headers = kept(&counts.store(&page, 200).expect("a cookie"));
        assert_eq!(counts.read(&headers, &page), LIMIT);
    }
}
