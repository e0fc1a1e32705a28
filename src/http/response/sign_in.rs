//! The redirect to the sign-in page, and the way back to the requested page.

use std::borrow::Cow;

use http::HeaderValue;
use url::{Url, form_urlencoded};

use clerk_verify::authenticate::synced_anew;

/// The query parameter from which Clerk's sign-in pages read the way back.
const BACK: &str = "redirect_url";

/// The sign-in page: an address, or a path of the application.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    address: String,
    /// The parsed address; `None` for a path.
    url: Option<Url>,
    satellite: bool,
}

impl SignIn {
    /// Parses the setting. Returns `None` if the text is neither an address nor a path.
    pub(crate) fn parse(text: &str, satellite: bool) -> Option<Self> {
        let url = Url::parse(text).ok().filter(Url::has_host);
        let ok = (text.starts_with('/') || url.is_some()) && HeaderValue::try_from(text).is_ok();
        ok.then(|| Self { address: text.to_owned(), url, satellite })
    }

    /// Returns true if `path` is the path of the sign-in page.
    pub(super) fn is_at(&self, path: &str) -> bool {
        self.address.split(['?', '#']).next() == Some(path)
    }

    /// Returns the address with the way back. A configured `redirect_url` has precedence.
    pub(super) fn with_way_back(&self, page: Option<&Url>) -> Cow<'_, str> {
        let (address, fragment) = match self.address.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (&*self.address, None),
        };
        let query = address.split_once('?').map(|(_, query)| query);
        let named = |query: &str| form_urlencoded::parse(query.as_bytes()).any(|(n, _)| n == BACK);
        let Some(page) = page.filter(|_| !query.is_some_and(named)) else {
            return Cow::Borrowed(&self.address);
        };
        let page = if self.is_elsewhere(page) { synced_anew(page) } else { page.clone() };
        let pair: String = form_urlencoded::Serializer::new(String::new())
            .append_pair(BACK, page.as_str())
            .finish();
        let joint = match query {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        let fragment = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
        Cow::Owned(format!("{address}{joint}{pair}{fragment}"))
    }

    /// Returns true if a satellite's visitors sign in at its primary application. The satellite
    /// then asks the primary application after the return.
    fn is_elsewhere(&self, page: &Url) -> bool {
        let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        self.satellite && self.url.as_ref().is_some_and(|url| place(url) != place(page))
    }
}
