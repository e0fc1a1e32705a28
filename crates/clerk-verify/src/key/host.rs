//! Clerk's host names: which instance a host belongs to, and which hosts belong to an instance.

use std::borrow::Cow;

use super::{InstanceKind, KeyError, PublishableKey};

/// Ends of the hosts of old development instances, `clerk.example.word-1.lcl.dev`.
const OLD_DEVELOPMENT: [&str; 3] = [".lcl.dev", ".lclstage.dev", ".lclclerk.com"];

/// Where the Frontend API is reached, when not at the instance's own host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hosting<'a> {
    /// At its own host.
    Own,
    /// On a satellite domain, `example.com`. Development instances have none.
    Satellite(&'a str),
    /// Behind a proxy, whose address or path is taken as it is.
    Proxy(&'a str),
}

impl InstanceKind {
    /// The kind of the instance with this Frontend API host: `word-word-1.clerk.accounts.dev` and the
    /// older `clerk.….lcl.dev` are development instances.
    #[must_use]
    pub fn of_frontend_api(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let old = host.starts_with("clerk.") && OLD_DEVELOPMENT.iter().any(|s| host.ends_with(s));
        if old || is_development_host(&host) { Self::Development } else { Self::Production }
    }

    /// The kind that a publishable key claims by its prefix, `pk_live_` or `pk_test_`, or the older
    /// `live_` or `test_`. The rest of the key is not looked at.
    #[must_use]
    pub fn of_publishable_key(text: &str) -> Option<Self> {
        Self::of_prefix(text, "pk_")
    }

    /// The same for a secret key, `sk_live_` or `sk_test_`.
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

/// `word-word-12.clerk.accounts` and then `.dev`, `stage.dev` or `.lclclerk.com`.
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
    /// Builds the publishable key of a Frontend API host, of the kind that the host tells.
    ///
    /// # Errors
    ///
    /// As [`for_host`](Self::for_host).
    pub fn for_frontend_api(host: &str) -> Result<Self, KeyError> {
        Self::for_host(host, InstanceKind::of_frontend_api(host))
    }

    /// Builds the publishable key of the production instance for a domain, `example.com` or its
    /// `Host` field `Example.com:443`: the Frontend API is at `clerk.` and the domain.
    ///
    /// # Errors
    ///
    /// As [`for_host`](Self::for_host).
    pub fn for_domain(domain: &str) -> Result<Self, KeyError> {
        let domain = domain.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if domain.is_empty() {
            return Err(KeyError::PublishableHost);
        }
        Self::for_frontend_api(&format!("clerk.{domain}"))
    }

    /// Where this instance's Frontend API is reached.
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

    /// The address of Clerk's own sign-in pages for this instance, as `https://accounts.example.com`.
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
