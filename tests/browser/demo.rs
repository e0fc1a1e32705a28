//! The demo as its users start it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use url::Url;

use crate::chromium::{browse, usual};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

#[test]
fn the_demo_signs_a_visitor_in_and_out() {
    let demo = Demo::start();
    browse([usual()], async |[browser]| {
        browser.visit(&demo.own).await;
        browser.sign_in("Ada").await;
        browser.press("Sign out").await;
        browser.shows("You are signed out").await;
        browser.press("Sign in again").await;
        browser.shows("Simulated Clerk").await;
    });
}

/// The running demo. It ends with this.
struct Demo {
    process: Child,
    own: Url,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--example", "demo", "--manifest-path", MANIFEST]);
        command.args(["--", "--simulated", "--serve-for", "300"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("cargo runs here");
        let output = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = |line: String| Url::parse(line.split_once("yourself, open ")?.1).ok();
        let own = lines.by_ref().find_map(address);
        // It would end at a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, own: own.expect("the demo starts and names its address") }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Cargo has become the demo by now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
