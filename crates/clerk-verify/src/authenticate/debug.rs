//! `Debug` output without tokens, nonces, cookies, or addresses that may contain one.

use std::fmt::{Debug, Formatter, Result};

use super::{AuthStatus, BackendResponses, Context, NeedsBackend, RequestState};

impl Debug for AuthStatus {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AuthStatus")
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

impl Debug for RequestState {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RequestState")
            .field("state", &self.state)
            .field("arrival", &self.arrival)
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}

impl Debug for NeedsBackend {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Refresh(_) => "Refresh",
            Self::Payload(_) => "Payload",
            Self::Machine(_) => "Machine",
        })
    }
}

impl Debug for BackendResponses {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("BackendResponses")
            .field("backend_api", &self.backend_api)
            .field("refreshed", &self.refreshed.is_some())
            .field("payload", &self.payload.is_some())
            .field("machine", &self.machine.is_some())
            .finish()
    }
}

impl Debug for Context<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Context")
            .field("host", &self.address.host_str())
            .field("suffixed", &self.suffixed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE};
    use http::{HeaderMap, HeaderValue, Method};
    use url::Url;

    use super::*;
    use crate::authenticate::{Accepts, Evidence, Head, Site, authenticate};
    use crate::clock::Timestamp;
    use crate::jwks::KeySet;
    use crate::key::{InstanceKind, PublishableKey};
    use crate::token::{Expectations, TokenKinds};

    #[test]
    fn nothing_prints_a_token() {
        let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production);
        let site = Site::new(key.expect("a plain host"));
        let address = Url::parse("https://a.example/?__clerk_handshake_nonce=SECRET");
        let address = address.expect("an address");
        let (keys, expect) = (KeySet::default(), Expectations::any());
        let now = Timestamp::from_secs(1);
        let evidence = Evidence { keys: Ok(&keys), expect: &expect, now, verified: None };
        let mut printed = Vec::new();
        for (name, value) in [
            (AUTHORIZATION, "Bearer ak_SECRET"),
            (AUTHORIZATION, "Bearer SECRET"),
            (COOKIE, "__session=SECRET"),
        ] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            let head = Head { method: &Method::GET, address: &address, headers: &headers };
            let accepts = Accepts::AnyOf(TokenKinds::any());
            let judged = |answers: &BackendResponses| {
                authenticate(&site, head, &accepts, &evidence, answers)
            };
            let mut answers = BackendResponses { backend_api: true, ..BackendResponses::default() };
            printed.push(format!("{:?}", Context::new(&site, head, now)));
            printed.push(format!("{:?}", judged(&answers)));
            answers.payload = Some(Some(vec!["__session=SECRET".to_owned()]));
            printed.push(format!("{answers:?} {:?}", judged(&answers)));
        }
        let printed = printed.concat();
        assert!(!printed.contains("SECRET"), "{printed}");
        assert!(printed.contains("Machine") && printed.contains("Payload"), "{printed}");
    }
}
