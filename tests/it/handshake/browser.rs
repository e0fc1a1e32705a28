//! A browser: it follows redirects between applications and Clerk, and keeps cookies, or not.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use clerk_resilience::transport::{ApiRequest, Transport as _};
use http::{HeaderMap, Request, StatusCode};
use test_support::world::{Answer, NAVIGATION, World, anonymous};
use url::Url;

/// Where the first application is.
pub(crate) const APP: &str = "https://app.example.com";
/// Below this path an application passes requests on to Clerk.
pub(crate) const PROXY: &str = "/__clerk";

type Jar = BTreeMap<String, (String, i64)>;

pub(crate) struct Browser<'a> {
    sites: Vec<(&'static str, &'a World, Jar)>,
    pub(crate) keeps: bool,
    /// How long each hop takes.
    pub(crate) hop: Duration,
    /// Where it has been.
    pub(crate) trail: Vec<String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let (sites, trail) = (vec![(APP, world, Jar::new())], Vec::new());
        Self { sites, keeps: true, hop: Duration::from_millis(100), trail }
    }

    /// Signed in with this session; its token is as old as it is.
    pub(crate) fn signed_in(world: &'a World, token: &str, uat: &str) -> Self {
        let mut browser = Self::new(world);
        browser.set(&format!("__session={token}; Path=/"));
        browser.set(&format!("__client_uat={uat}; Path=/"));
        browser
    }

    /// One more application, at an origin of its own.
    pub(crate) fn beside(mut self, origin: &'static str, world: &'a World) -> Self {
        self.sites.push((origin, world, Jar::new()));
        self
    }

    /// Sets a cookie of the first application.
    pub(crate) fn set(&mut self, line: &str) {
        self.keep_line(0, line);
    }

    fn keep_line(&mut self, site: usize, line: &str) {
        let (pair, rest) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').expect("a pair");
        let age = rest.split(';').find_map(|part| part.trim().strip_prefix("Max-Age="));
        let age: i64 = age.map_or(i64::from(i32::MAX), |age| age.parse().expect("a number"));
        let (_, world, jar) = &mut self.sites[site];
        jar.insert(name.to_owned(), (value.to_owned(), world.now_secs() + age));
    }

    pub(crate) fn keep(&mut self, site: usize, headers: &HeaderMap) {
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().expect("text").to_owned();
            if self.keeps {
                self.keep_line(site, &line);
            }
        }
    }

    /// The cookies of the first application.
    pub(crate) fn cookies(&self) -> String {
        self.cookies_of(0)
    }

    fn cookies_of(&self, site: usize) -> String {
        let (_, world, jar) = &self.sites[site];
        let now = world.now_secs();
        let live = jar.iter().filter(|(_, (_, until))| *until > now);
        live.map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// A visit to a page of the first application.
    pub(crate) fn page(&self, path: &str) -> Request<Body> {
        self.page_of(0, path)
    }

    fn page_of(&self, site: usize, path: &str) -> Request<Body> {
        let cookies = self.cookies_of(site);
        let host = self.sites[site].0.trim_start_matches("https://");
        let mut fields = NAVIGATION.to_vec();
        fields.push(("host", host));
        fields.push(("x-forwarded-proto", "https"));
        if !cookies.is_empty() {
            fields.push(("cookie", &cookies));
        }
        anonymous("GET", path, &fields)
    }

    /// Goes to a page, and wherever it is sent, until there is something to read.
    pub(crate) async fn visit(&mut self, page: &str) -> Answer {
        let mut address = Url::parse(APP).and_then(|app| app.join(page)).expect("an address");
        for _ in 0..40 {
            tokio::time::sleep(self.hop).await;
            let (status, location, answer) = self.go(&address).await;
            match location {
                Some(location) if status.is_redirection() => {
                    address = address.join(&location).expect("an address");
                }
                _ => return answer.expect("the application's answer"),
            }
        }
        panic!("a loop: {:#?}", self.trail);
    }

    pub(crate) async fn go(
        &mut self,
        address: &Url,
    ) -> (StatusCode, Option<String>, Option<Answer>) {
        let location = |headers: &HeaderMap| {
            headers.get("location").map(|location| location.to_str().expect("text").to_owned())
        };
        let origin = address.origin().ascii_serialization();
        let site = self.sites.iter().position(|site| site.0 == origin);
        let proxied = site.and_then(|_| address.path().strip_prefix(PROXY));
        if let (Some(site), None) = (site, proxied) {
            let name = if site == 0 { "app" } else { &origin["https://".len()..] };
            self.trail.push(format!("{name} {}", address.path()));
            let request = self.page_of(site, &address.as_str()[origin.len()..]);
            let answer = self.sites[site].1.send(request).await;
            self.keep(site, &answer.headers);
            return (answer.status, location(&answer.headers), Some(answer));
        }
        let sim = &self.sites[0].1.sim;
        let mut asked = address.clone();
        if let Some(path) = proxied {
            asked = sim.frontend_api_url();
            asked.set_path(path);
            asked.set_query(address.query());
        }
        self.trail.push(format!("clerk {}", asked.path()));
        let reply = sim.transport().call(ApiRequest::get(asked)).await;
        let reply = reply.expect("an answer of Clerk's");
        (reply.status, location(&reply.headers), None)
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.trail.iter().filter(|hop| *hop == "clerk /v1/client/handshake").count()
    }
}
