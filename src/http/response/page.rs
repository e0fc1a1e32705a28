//! The error page for browsers: one document without scripts or external resources, light and dark.

use std::fmt::Write as _;

use http::StatusCode;

use crate::decide::{LoopCause, Rejection};

/// The page's content security policy. It allows only the inline style sheet.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'";

/// The texts of the error page. An application can replace each text. The page escapes them as
/// HTML, so a text never needs escaping and cannot break the page.
///
/// [`Builder::page_text`](crate::Builder::page_text) sets the texts; the layout stays. The page has
/// no script and loads nothing: its `Content-Security-Policy` forbids both, and another host may be
/// down, too. It follows the browser's light or dark scheme. To replace the layout as well, use
/// [`Builder::page`](crate::Builder::page) with [`ErrorPage`].
///
/// | status | heading | body | actions |
/// |---|---|---|---|
/// | 503 | [`unavailable`](Self::unavailable) | [`explanation`](Self::explanation) and [`refresh`](Self::refresh) | [`retry`](Self::retry) |
/// | 401 | [`sign_in`](Self::sign_in) | a sentence about the reason | [`sign_in_link`](Self::sign_in_link), else [`retry`](Self::retry) |
/// | 401 after several returns from Clerk | [`stuck`](Self::stuck) | the cause: clock, keys or cookies | [`retry`](Self::retry) |
/// | 403 | [`forbidden`](Self::forbidden) | a sentence about the reason | none |
///
/// # Examples
///
/// ```
/// use clerk_resilience::{Builder, PageText};
///
/// fn words(builder: Builder) -> Builder {
///     let mut text = PageText::default();
///     text.application = "Example Notes".into();
///     text.unavailable = "We cannot check sign-ins right now".into();
///     text.explanation = vec!["Your notes are safe. Nobody is signed out.".into()];
///     text.links = vec![("Status".into(), "https://status.example.com".into())];
///     builder.page_text(text)
/// }
/// # let _ = words;
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PageText {
    /// The language of the texts as the `lang` attribute, such as `en` (BCP 47). Default `en`.
    /// There is one set of texts for all visitors; a page in several languages needs [`ErrorPage`].
    pub language: String,
    /// The application's name, shown above the heading. Empty by default, which leaves the line
    /// out.
    pub application: String,
    /// The heading if the layer cannot verify the visitor.
    pub unavailable: String,
    /// The paragraphs below that heading. Default: two paragraphs, which say that nobody is signed
    /// out and ask visitors to leave their cookies alone.
    pub explanation: Vec<String>,
    /// The heading when the visitor must sign in: without a configured sign-in page, after several
    /// redirects to it, and for a token that is invalid or revoked.
    pub sign_in: String,
    /// The heading if the visitor returned several times from signing in without a session.
    pub stuck: String,
    /// The heading if the visitor lacks a role or permission, or must verify again.
    pub forbidden: String,
    /// The label of the link that reloads the page.
    pub retry: String,
    /// The label of the link to the sign-in page, if one is configured.
    pub sign_in_link: String,
    /// The sentence about the automatic reload; `{seconds}` is replaced by a number from 5 to 30.
    /// The number is drawn for each response, so that not all browsers return at once.
    pub refresh: String,
    /// Further links as label and address, such as a status page or a support address. Default:
    /// none. They appear on every page, also on the 403.
    pub links: Vec<(String, String)>,
}

impl Default for PageText {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            language: text("en"),
            application: String::new(),
            unavailable: text("Authentication is currently unavailable"),
            explanation: vec![
                text(
                    "We cannot check sign-ins right now, because the service that does this for us is not answering. Nothing is wrong with your account, and nobody is signed out by this.",
                ),
                text(
                    "If you were already signed in, other pages may still work. Please do not sign out or clear your cookies; everything returns by itself.",
                ),
            ],
            sign_in: text("Please sign in"),
            stuck: text("Signing in does not work"),
            forbidden: text("You do not have access to this page"),
            retry: text("Try again"),
            sign_in_link: text("Sign in"),
            refresh: text("This page tries again by itself in {seconds} seconds."),
            links: Vec::new(),
        }
    }
}

/// The content of an error page, for the built-in or the application's own renderer.
///
/// [`Builder::page`](crate::Builder::page) takes the renderer. The layer adds status,
/// `Retry-After`, `Cache-Control: no-store` and the content security policy, which forbids scripts
/// and resources. The renderer must escape what it takes from [`text`](Self::text).
///
/// # Examples
///
/// ```
/// use clerk_resilience::{Builder, ErrorPage};
///
/// fn own_page(page: &ErrorPage<'_>) -> String {
///     let reload = match page.refresh_after {
///         Some(seconds) => format!(r#"<meta http-equiv="refresh" content="{seconds}">"#),
///         None => String::new(),
///     };
///     let status = page.rejection.status().as_u16();
///     format!("<!doctype html><title>Example</title>{reload}<h1>Sorry ({status})</h1>")
/// }
///
/// fn with_page(builder: Builder) -> Builder {
///     builder.page(own_page)
/// }
/// # let _ = with_page;
/// ```
///
/// Two renderers in one: the application's own page for an outage, and the built-in one otherwise:
///
/// ```
/// use clerk_resilience::{ErrorPage, Rejection};
///
/// fn render(page: &ErrorPage<'_>) -> String {
///     match page.rejection {
///         Rejection::Unavailable(_) => "<!doctype html><title>Back soon</title>".into(),
///         _ => page.render(),
///     }
/// }
/// # let _ = render;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ErrorPage<'a> {
    /// The configured texts.
    pub text: &'a PageText,
    /// Why the request did not pass, with its status, code and sentence for users.
    pub rejection: Rejection,
    /// The number of seconds after which the page should reload itself; `Retry-After` has the same
    /// value. `None` if a repetition does not help, as for a 401 or 403.
    pub refresh_after: Option<u32>,
    /// The address of the sign-in page, with the way back to this page in `redirect_url`. `None` if
    /// none is configured.
    pub sign_in: Option<&'a str>,
}

impl<'a> ErrorPage<'a> {
    pub(super) fn new(
        text: &'a PageText,
        rejection: Rejection,
        refresh_after: Option<u32>,
        sign_in: Option<&'a str>,
    ) -> Self {
        Self { text, rejection, refresh_after, sign_in }
    }

    /// Renders the built-in page as HTML.
    ///
    /// A renderer can call it to show the built-in page for some rejections and its own for others.
    #[must_use]
    pub fn render(&self) -> String {
        let (heading, body) = self.words();
        let text = self.text;
        let refresh = self.refresh_after.map_or(String::new(), |seconds| {
            format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")
        });
        format!(
            "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
             {refresh}<title>{heading}</title><style>{STYLE}</style></head>\
             <body><main>{application}<h1>{heading}</h1>{body}{actions}{links}</main></body></html>",
            language = escape(&text.language),
            heading = escape(heading),
            application = paragraph("app", &text.application),
            actions = self.actions(),
            links = self.links(),
        )
    }

    fn words(&self) -> (&str, String) {
        let text = self.text;
        match self.rejection.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                let mut body: String =
                    text.explanation.iter().map(|words| paragraph("", words)).collect();
                if let Some(seconds) = self.refresh_after {
                    let words = text.refresh.replace("{seconds}", &seconds.to_string());
                    body.push_str(&paragraph("note", &words));
                }
                (&text.unavailable, body)
            }
            StatusCode::FORBIDDEN => (&text.forbidden, paragraph("", self.rejection.sentence())),
            StatusCode::INTERNAL_SERVER_ERROR => {
                (&text.unavailable, paragraph("", self.rejection.sentence()))
            }
            _ if matches!(self.rejection, Rejection::HandshakeLoop(_)) => {
                (&text.stuck, paragraph("", self.rejection.sentence()))
            }
            _ => (&text.sign_in, paragraph("", self.rejection.sentence())),
        }
    }

    /// Renders the links for retry and sign-in. An empty address reloads the page.
    fn actions(&self) -> String {
        let link = |class: &str, address: &str, label: &str| {
            format!("<a class=\"{class}\" href=\"{}\">{}</a>", escape(address), escape(label))
        };
        let retry = link("button", "", &self.text.retry);
        let links = match (self.rejection, self.sign_in) {
            // The current address may contain a handshake that is already used.
            (Rejection::HandshakeLoop(LoopCause::Cookies), Some(address)) => {
                retry + &link("other", address, &self.text.sign_in_link)
            }
            (Rejection::HandshakeLoop(_), _) => retry,
            (rejection, sign_in) => match (rejection.status(), sign_in) {
                (StatusCode::FORBIDDEN, _) => return String::new(),
                (StatusCode::UNAUTHORIZED, Some(address)) => {
                    link("button", address, &self.text.sign_in_link)
                }
                _ => retry,
            },
        };
        format!("<p class=\"actions\">{links}</p>")
    }

    fn links(&self) -> String {
        let mut links = String::new();
        for (label, address) in &self.text.links {
            let item = (escape(address), escape(label));
            let _ = write!(links, "<li><a href=\"{}\">{}</a></li>", item.0, item.1);
        }
        if links.is_empty() { links } else { format!("<ul>{links}</ul>") }
    }
}

fn paragraph(class: &str, words: &str) -> String {
    match (class, words) {
        (_, "") => String::new(),
        ("", words) => format!("<p>{}</p>", escape(words)),
        (class, words) => format!("<p class=\"{class}\">{}</p>", escape(words)),
    }
}

/// Escapes a text for HTML content and attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const STYLE: &str = "\
:root{--ink:#1c2024;--soft:#5b6470;--paper:#f6f7f9;--card:#fff;--line:#e1e4e8;--accent:#2f5bd3;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e9ecf0;--soft:#a2abb7;--paper:#101317;--card:#181c22;--line:#2a3038;--accent:#8fb0ff;--on:#10131a}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);font:1rem/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\
main{width:100%;max-width:34rem;padding:2.5rem;background:var(--card);border:1px solid var(--line);border-radius:.875rem}\
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25;letter-spacing:-.01em;text-wrap:balance}\
p{margin:0 0 1rem;text-wrap:pretty}\
.app{margin:0 0 .5rem;color:var(--soft);font-size:.875rem;font-weight:600}\
.note{color:var(--soft);font-size:.875rem}\
.actions{margin:1.5rem 0 0;display:flex;flex-wrap:wrap;align-items:center;gap:.75rem 1.25rem}\
.other{color:var(--accent)}\
.button{display:inline-block;padding:.625rem 1.25rem;border-radius:.5rem;background:var(--accent);color:var(--on);font-weight:600;text-decoration:none}\
.button:hover{filter:brightness(1.1)}\
.button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}\
ul{margin:1.5rem 0 0;padding:1rem 0 0;border-top:1px solid var(--line);list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;font-size:.875rem}\
ul a{color:var(--soft)}\
@media(max-width:30rem){main{padding:1.75rem}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Unavailable;

    fn page(text: &PageText, rejection: Rejection) -> String {
        ErrorPage::new(text, rejection, rejection.retry_after().map(|(from, _)| from), None)
            .render()
    }

    #[test]
    fn the_page_needs_no_script_and_nothing_from_outside() {
        let html = page(&PageText::default(), Rejection::Unavailable(Unavailable::Outage));
        for forbidden in ["<script", "src=", "<link", "url(", "@import", "http://", "https://"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("http-equiv=\"refresh\" content=\"10\""));
        assert!(html.contains("Authentication is currently unavailable"));
        assert!(html.contains("Try again"));
        assert!(html.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn the_applications_words_are_shown_and_never_run() {
        let text = PageText {
            application: "<script>alert(1)</script>".into(),
            links: vec![("\"a\"".into(), "javascript:'x'".into())],
            ..PageText::default()
        };
        let html = page(&text, Rejection::Unavailable(Unavailable::Outage));
        assert!(!html.contains("<script"));
        assert!(html.contains("&lt;script&gt;"));
        assert!(html.contains("javascript:&#39;x&#39;"));
    }

    #[test]
    fn a_page_that_waits_for_nothing_does_not_refresh_itself() {
        let html = page(&PageText::default(), Rejection::Missing);
        assert!(!html.contains("refresh"));
        assert!(html.contains("Please sign in"));
    }
}
