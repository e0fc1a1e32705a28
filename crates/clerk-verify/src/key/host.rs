//! Clerk's host names: the kind of instance that a host belongs to, and the hosts of an instance.

use std::borrow::Cow;

use super::{InstanceKind, KeyError, PublishableKey};

/// Host suffixes of old development instances, such as `clerk.example.word-1.lcl.dev`.
const OLD_DEVELOPMENT: [&str; 3] = [".lcl.dev", ".lclstage.dev", ".lclclerk.com"];

/// Where an application reaches the Frontend API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hosting<'a> {
    /// At the instance's own host.
    Own,
    /// At `clerk.` and a satellite domain, such as `example.com`. Development instances ignore the
    /// domain.
    Satellite(&'a str),
    /// Behind a proxy, whose address or path is used unchanged.
    Proxy(&'a str),
}

impl InstanceKind {
    /// Returns the kind of the instance with this Frontend API host.
    /// `word-word-1.clerk.accounts.dev` and the older `clerk.….lcl.dev` are development instances.
    #[must_use]
    pub fn of_frontend_api(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let old = host.starts_with("clerk.") && OLD_DEVELOPMENT.iter().any(|s| host.ends_with(s));
        if old || is_development_host(&host) { Self::Development } else { Self::Production }
    }

    /// Returns the kind that a publishable key claims by its prefix, `pk_live_` or `pk_test_`, or
    /// the older `live_` or `test_`. The rest of the key is not checked.
    #[must_use]
    pub fn of_publishable_key(text: &str) -> Option<Self> {
        Self::of_prefix(text, "pk_")
    }

    /// Returns the kind that a secret key claims by its prefix, `sk_live_` or `sk_test_`, or the
    /// older `live_` or `test_`. The rest of the key is not checked.
    #[must_use]
    pub fn of_secret_key(text: &str) -> Option<Self> {
        Self::of_prefix(text, "sk_")
    }

    fn of_prefix(text: &str, kind: &str) -> Option<Self> {
        let text = text.strip_prefix(kind).unwrap_or(text);
        let found = [("live_", Self::Production), ("test_", Self::Development)];
        found.into_iter().find(|(prefix, _)| text.starts_with(prefix)).map(|(_, kind)| kind)
    }
}

/// Returns true for `word-word-12.clerk.accounts` followed by, for example, `.dev`, `stage.dev` or
/// `.lclclerk.com`.
fn is_development_host(host: &str) -> bool {
    let Some((name, end)) = host.split_once(".clerk.accounts") else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    let number =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let named = matches!(*name.split('-').collect::<Vec<_>>(), [a, b, n] if word(a) && word(b) && number(n));
    let plain = end.bytes().all(|b| b.is_ascii_lowercase() || b == b'.');
    named && plain && (end.ends_with("dev") || end.ends_with("com"))
}

impl PublishableKey {
    /// Builds the publishable key of a Frontend API host. The host determines the kind.
    ///
    /// # Errors
    ///
    /// Same as [`for_host`](Self::for_host).
    pub fn for_frontend_api(host: &str) -> Result<Self, KeyError> {
        Self::for_host(host, InstanceKind::of_frontend_api(host))
    }

    /// Builds the publishable key of the production instance of a domain. `domain` is `example.com`
    /// or a `Host` value such as `Example.com:443`. The Frontend API host is `clerk.` followed by
    /// the domain.
    ///
    /// # Errors
    ///
    /// Same as [`for_host`](Self::for_host).
    pub fn for_domain(domain: &str) -> Result<Self, KeyError> {
        let domain = domain.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if domain.is_empty() {
            return Err(KeyError::PublishableHost);
        }
        Self::for_frontend_api(&format!("clerk.{domain}"))
    }

    /// Returns where an application reaches this instance's Frontend API: a host, or the proxy's
    /// address or path.
    #[must_use]
    pub fn frontend_api_at<'a>(&'a self, hosting: Hosting<'a>) -> Cow<'a, str> {
        match (hosting, self.kind()) {
            (Hosting::Proxy(address), _) => Cow::Borrowed(address),
            (Hosting::Satellite(domain), InstanceKind::Production) => {
                format!("clerk.{domain}").into()
            }
            (Hosting::Own | Hosting::Satellite(_), _) => Cow::Borrowed(self.frontend_api()),
        }
    }

    /// Returns the address of Clerk's sign-in pages for this instance, such as
    /// `https://accounts.example.com`.
    #[must_use]
    pub fn accounts_url(&self) -> String {
        let host = self.frontend_api().replacen("clerk.accountsstage.", "accountsstage.", 1);
        let of_development = host.replacen("clerk.accounts.", "accounts.", 1);
        let host = if of_development == host {
            host.replacen("clerk.", "accounts.", 1)
        } else {
            of_development
        };
        format!("https://{host}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_development_instance_is_known_by_its_host() {
        for host in [
            "foo-bar-13.clerk.accounts.dev",
            "Foo-Bar-1.clerk.accounts.dev",
            "foo-bar-13.clerk.accountsstage.dev",
            "foo-bar-13.clerk.accounts.lclclerk.com",
            "clerk.boring.sawfly-91.lcl.dev",
        ] {
            assert_eq!(InstanceKind::of_frontend_api(host), InstanceKind::Development, "{host}");
        }
        for host in [
            "clerk.example.com",
            "foo-bar.clerk.accounts.dev",
            "foo-bar-baz.clerk.accounts.dev",
            "foo-bar-123.clerk.accounts.dev",
            "foo-bar-1.clerk.accounts.org",
            "boring.sawfly-91.lcl.dev",
        ] {
            assert_eq!(InstanceKind::of_frontend_api(host), InstanceKind::Production, "{host}");
        }
    }

    #[test]
    fn the_kind_of_a_key_is_in_its_prefix() {
        assert_eq!(InstanceKind::of_secret_key("sk_live_x"), Some(InstanceKind::Production));
        assert_eq!(InstanceKind::of_publishable_key("test_x"), Some(InstanceKind::Development));
        assert_eq!(InstanceKind::of_publishable_key("sk_test_x"), None);
    }

    #[test]
    fn the_hosts_of_an_instance_follow_from_its_key() {
        let key = PublishableKey::for_domain("Example.com:3000").expect("a domain");
        assert_eq!(key.frontend_api(), "clerk.example.com");
        assert_eq!(key.accounts_url(), "https://accounts.example.com");
        assert_eq!(key.frontend_api_at(Hosting::Satellite("b.org")), "clerk.b.org");
        assert_eq!(key.frontend_api_at(Hosting::Proxy("/__clerk")), "/__clerk");
        let key = PublishableKey::for_frontend_api("a-b-1.clerk.accounts.dev").expect("a host");
        assert_eq!(key.kind(), InstanceKind::Development);
        assert_eq!(key.accounts_url(), "https://a-b-1.accounts.dev");
        assert_eq!(key.frontend_api_at(Hosting::Satellite("b.org")), "a-b-1.clerk.accounts.dev");
        assert_eq!(PublishableKey::for_domain(""), Err(KeyError::PublishableHost));
    }
}
