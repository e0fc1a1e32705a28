//! What the user asks for.

use std::time::Duration;

use url::Url;

pub(crate) const HELP: &str = "\
Usage: cargo run --example demo [-- OPTIONS]

Without options: a page on which you break a simulated Clerk and watch one application behind
clerk-resilience and the same one behind plain verification.

  --port N             listen on this port of 127.0.0.1 (default: any free one)
  --serve-for SECONDS  end after so long, with status 0

  --script             a whole outage in virtual time, printed second by second; no browser
  --all-seconds        with --script: print every second, not only those in which something changed

  --clerk-url URL      serve the application against the Clerk at this address, a real one or not
  --simulated          use the simulated Clerk although CLERK_PUBLISHABLE_KEY is set

  -h, --help           print this

With CLERK_PUBLISHABLE_KEY set, or with --clerk-url, there is no simulated Clerk: the application
alone is served, configured by the CLERK_* variables. --clerk-url stands for the Frontend API, and
for the Backend API too unless CLERK_API_URL is set.";

/// Everything that was asked for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Args {
    pub(crate) mode: Mode,
    pub(crate) port: u16,
    pub(crate) serve_for: Option<Duration>,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// The page with the simulated Clerk.
    Stage,
    /// The whole outage, printed.
    Script {
        all_seconds: bool,
    },
    /// The application alone, beside a Clerk that is there.
    Server {
        clerk_url: Option<Url>,
    },
    Help,
}

/// The options as they stand.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Given {
    port: Option<u16>,
    serve_for: Option<Duration>,
    clerk_url: Option<Url>,
    script: bool,
    all_seconds: bool,
    simulated: bool,
    help: bool,
}

impl Args {
    pub(crate) fn parse(
        words: impl Iterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let given = Given::read(words)?;
        given.check()?;
        let key = variable("CLERK_PUBLISHABLE_KEY").is_some_and(|text| !text.trim().is_empty());
        Ok(Self {
            port: given.port.unwrap_or(0),
            serve_for: given.serve_for,
            mode: given.mode(key),
        })
    }
}

impl Given {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = Self::default();
        while let Some(word) = words.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            if given.switch(&name) {
                match inline {
                    None => continue,
                    Some(_) => return Err(format!("{name} takes no value")),
                }
            }
            if !matches!(name.as_str(), "--port" | "--serve-for" | "--clerk-url") {
                return Err(format!("there is no option {name:?}"));
            }
            let value = inline.or_else(|| words.next());
            given.value(&name, &value.ok_or_else(|| format!("{name} needs a value"))?)?;
        }
        Ok(given)
    }

    fn switch(&mut self, name: &str) -> bool {
        let switch = match name {
            "--script" => &mut self.script,
            "--all-seconds" => &mut self.all_seconds,
            "--simulated" => &mut self.simulated,
            "--help" | "-h" => &mut self.help,
            _ => return false,
        };
        *switch = true;
        true
    }

    fn value(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "--port" => {
                let port = text.parse();
                self.port =
                    Some(port.map_err(|_| format!("--port {text:?} is no port (0 to 65535)"))?);
            }
            "--serve-for" => {
                let secs = text
                    .parse()
                    .map_err(|_| format!("--serve-for {text:?} is no number of seconds, as 600"))?;
                self.serve_for = Some(Duration::from_secs(secs));
            }
            _ => {
                let url = Url::parse(text).ok().filter(Url::has_host);
                let problem = "is no address, as https://clerk.example.com";
                self.clerk_url =
                    Some(url.ok_or_else(|| format!("--clerk-url {text:?} {problem}"))?);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let serves = self.port.is_some() || self.serve_for.is_some() || self.clerk_url.is_some();
        match () {
            () if self.all_seconds && !self.script => Err("--all-seconds goes with --script"),
            () if self.script && serves => {
                Err("--script serves nothing: leave out --port, --serve-for and --clerk-url")
            }
            () if self.simulated && self.clerk_url.is_some() => {
                Err("--simulated and --clerk-url exclude each other")
            }
            () => Ok(()),
        }
        .map_err(str::to_owned)
    }

    fn mode(self, has_key: bool) -> Mode {
        match () {
            () if self.help => Mode::Help,
            () if self.script => Mode::Script { all_seconds: self.all_seconds },
            () if self.clerk_url.is_some() || (has_key && !self.simulated) => {
                Mode::Server { clerk_url: self.clerk_url }
            }
            () => Mode::Stage,
        }
    }
}
