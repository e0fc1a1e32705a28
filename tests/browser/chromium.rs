//! A real browser, headless, with a profile of its own.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use url::Url;

/// How long a person would wait for a page, on a slow machine. The page of an outage loads itself
/// again after 30 s at most.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,800",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
];

/// A browser and its driver.
pub struct Chromium {
    driver: WebDriver,
    service: Child,
    _profile: TempDir,
}

/// Runs a journey with one browser for each set of preferences, and closes them however it ends.
pub fn browse<const N: usize>(prefs: [Value; N], journey: impl AsyncFnOnce([&Chromium; N])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let browsers = prefs.map(|prefs| runtime.block_on(Chromium::open(prefs)));
    let went = catch_unwind(AssertUnwindSafe(|| runtime.block_on(journey(browsers.each_ref()))));
    for browser in browsers {
        runtime.block_on(browser.close());
    }
    if let Err(panic) = went {
        resume_unwind(panic);
    }
}

/// The preferences of a new profile.
pub fn usual() -> Value {
    json!({})
}

impl Chromium {
    async fn open(prefs: Value) -> Self {
        let browser = find("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]);
        let (service, port) = start_driver();
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut wanted = DesiredCapabilities::chrome();
        let set = || -> WebDriverResult<()> {
            wanted.set_binary(browser.to_str().expect("a path in UTF-8"))?;
            wanted.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
            for flag in FLAGS {
                wanted.add_arg(flag)?;
            }
            wanted.add_experimental_option("prefs", prefs)
        };
        set().expect("these are capabilities");
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await;
        let driver = driver.unwrap_or_else(|error| {
            panic!("{} does not start under its driver: {error}", browser.display())
        });
        Self { driver, service, _profile: profile }
    }

    async fn close(mut self) {
        let _ = self.driver.quit().await;
        let _ = self.service.kill();
        let _ = self.service.wait();
    }

    /// Goes to an address and wherever that sends it, until a page is loaded.
    pub async fn visit(&self, address: &Url) {
        self.driver.goto(address.as_str()).await.expect("a page");
    }

    /// Closes the page, which would otherwise renew its token whenever Chromium gives it the focus: under
    /// load that may be long after it was loaded.
    pub async fn leave(&self) {
        self.driver.goto("about:blank").await.expect("an empty page");
    }

    pub async fn address(&self) -> Url {
        self.driver.current_url().await.expect("an address")
    }

    /// The words on the page.
    pub async fn text(&self) -> String {
        let text = self.driver.execute("return document.body.innerText", vec![]).await;
        text.ok().and_then(|text| text.json().as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until these words are on the page.
    pub async fn shows(&self, words: &str) {
        self.until(words, async || self.text().await.contains(words)).await;
    }

    /// Waits until it is so, whatever it is.
    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(GLANCE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let (address, text) = (self.address().await, self.text().await);
            panic!("waited in vain for {what:?} on {address}:\n{text}");
        }
    }

    pub async fn enter(&self, field: &str, text: &str) {
        let field = self.driver.find(By::Name(field)).await.expect("the field");
        field.send_keys(text).await.expect("it can be typed in");
    }

    /// Presses the button or link with this label.
    pub async fn press(&self, label: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()='{label}']");
        let button = self.driver.find(By::XPath(path)).await;
        button.expect("the button").click().await.expect("it can be pressed");
    }

    /// Signs in on Clerk's page, which must be shown.
    pub async fn sign_in(&self, name: &str) {
        self.shows("This stands in for Clerk’s own page").await;
        self.enter("identifier", name).await;
        self.press("Continue").await;
        self.shows(&format!("Signed in as {name}")).await;
    }

    /// Tells the page that its reader came back to it.
    pub async fn focus(&self) {
        let script = "window.dispatchEvent(new Event('focus'))";
        self.driver.execute(script, vec![]).await.expect("an event");
    }

    /// Puts a cookie of the present site into the browser.
    pub async fn keep(&self, name: &str, value: &str) {
        self.driver.add_cookie(Cookie::new(name, value)).await.expect("a cookie");
    }

    pub async fn cookie(&self, name: &str) -> Option<String> {
        let cookie = self.driver.get_named_cookie(name).await;
        cookie.ok().map(|cookie| cookie.value)
    }
}

/// The driver on a port of its own choice, which it tells.
fn start_driver() -> (Child, u16) {
    let path = find("CHROMEDRIVER", &["chromedriver"]);
    let started = Command::new(&path).arg("--port=0").stdout(Stdio::piped()).spawn();
    let mut service =
        started.unwrap_or_else(|error| panic!("{} does not start: {error}", path.display()));
    let mut lines = BufReader::new(service.stdout.take().expect("it is piped")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
    });
    // It must not be left with a pipe that nobody reads.
    std::thread::spawn(move || lines.for_each(drop));
    let port = port.unwrap_or_else(|| panic!("{} names no port", path.display()));
    (service, port)
}

/// A program, by its variable or on the search path. Without it there is no test, which is a failure.
fn find(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let dirs: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let found = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "there is no {} on PATH. Install Chromium and its driver (on Debian: apt-get install \
             chromium chromium-driver), or name the program in {variable}.",
            names[0]
        )
    })
}
