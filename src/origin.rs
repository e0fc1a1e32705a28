//! Whether a request comes from a page of the same origin.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// By `Sec-Fetch-Site`, which browsers set and pages cannot; else by `Origin` against `Host`.
/// HTTP/2 names the host in the address.
pub(crate) fn is_same_origin(address: &Uri, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = address.authority().map(Authority::as_str).or(named);
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin_host = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some() && host == origin_host
}
