//! Classification of the referrer.

use url::Url;

use super::site::Site;

/// Host suffixes of older account portals of development instances; their hosts begin with
/// `accounts.`.
const OLDER_PORTALS: [&str; 3] = [".lcl.dev", ".lclstage.dev", ".lclclerk.com"];
const NOT_A_PORTAL: &str = ".clerk";
const PORTALS: [&str; 3] = [".accounts.dev", ".accountsstage.dev", ".accounts.lclclerk.com"];

/// Returns true when the referrer has another origin and is not a page of Clerk.
///
/// Clerk's pages are the Frontend API, its account portal and, for development instances only, any
/// development portal.
pub(super) fn is_foreign(referrer: Option<&str>, address: &Url, site: &Site) -> bool {
    let Some(referrer) = referrer.and_then(|text| Url::parse(text).ok()) else { return false };
    is_cross_origin(&referrer, address) && !is_clerk(&referrer, address, site)
}

pub(super) fn is_cross_origin(referrer: &Url, address: &Url) -> bool {
    referrer.origin() != address.origin()
}

pub(super) fn is_clerk(referrer: &Url, address: &Url, site: &Site) -> bool {
    let Some(host) = referrer.host_str() else { return false };
    let api = site.frontend_api(address);
    let proxied = Url::parse(&api).ok().filter(|_| api.starts_with("http"));
    let api_host = proxied.as_ref().and_then(Url::host_str).unwrap_or(&api);
    host == api_host
        || (site.is_development() && is_development_portal(host))
        || Url::parse(&portal(&api)).is_ok_and(|portal| portal.origin() == referrer.origin())
}

fn is_development_portal(host: &str) -> bool {
    let older =
        host.starts_with("accounts.") && OLDER_PORTALS.iter().any(|end| host.ends_with(end));
    older
        || PORTALS
            .iter()
            .any(|end| host.strip_suffix(end).is_some_and(|name| !name.ends_with(NOT_A_PORTAL)))
}

/// Returns the account portal of a Frontend API.
fn portal(api: &str) -> String {
    let api = api.replacen("clerk.accountsstage.", "accountsstage.", 1);
    let (long, short) = (api.find("clerk.accounts."), api.find("clerk."));
    let host = match (long, short) {
        (Some(long), Some(short)) if long <= short => {
            api.replacen("clerk.accounts.", "accounts.", 1)
        }
        (_, Some(_)) => api.replacen("clerk.", "accounts.", 1),
        _ => api,
    };
    format!("https://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontend_api_has_its_account_portal() {
        assert_eq!(portal("one.clerk.accounts.dev"), "https://one.accounts.dev");
        assert_eq!(portal("clerk.example.com"), "https://accounts.example.com");
    }

    #[test]
    fn a_portal_of_another_instance_is_not_known() {
        assert!(is_development_portal("foo-bar-13.accounts.dev"));
        assert!(is_development_portal("accounts.foo.bar-13.lcl.dev"));
        assert!(!is_development_portal("foo.clerk.accounts.dev"));
        assert!(!is_development_portal("accounts.evil.example"));
    }
}
