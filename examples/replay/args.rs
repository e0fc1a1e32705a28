//! What the user asks for.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Usage: cargo run --release --example replay [-- OPTIONS]

Replays outages against the layer with balanced grace, the layer without grace, and plain
verification, in virtual time, and prints what came of it as a table. It takes about a minute.

  --timelines FILE   other scenarios, of the form of tests/data/outage-timelines.json
  --only TEXT        only scenarios with this in their names, and no stampede
  --seed N           another course of chance (default 7)
  --json             print all figures as JSON
  --write            write the table into docs/outages.md
  --check            fail when a target is missed, or when docs/outages.md has other figures

  -h, --help         print this

Ends with status 1 when a check fails, and with 2 when it cannot do what it was asked to.";

/// Everything that was asked for.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    pub(crate) timelines: Option<PathBuf>,
    pub(crate) only: Option<String>,
    pub(crate) seed: u64,
    pub(crate) json: bool,
    pub(crate) write: bool,
    pub(crate) check: bool,
    pub(crate) help: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            timelines: None,
            only: None,
            seed: 7,
            json: false,
            write: false,
            check: false,
            help: false,
        }
    }
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        while let Some(word) = words.next() {
            let mut value = |what: &str| words.next().ok_or(format!("{word} needs {what}"));
            match word.as_str() {
                "--timelines" => args.timelines = Some(value("a file")?.into()),
                "--only" => args.only = Some(value("a part of a name")?),
                "--seed" => {
                    let text = value("a number")?;
                    let problem = |_| format!("--seed {text:?} is no whole number, as 7");
                    args.seed = text.parse().map_err(problem)?;
                }
                "--json" => args.json = true,
                "--write" => args.write = true,
                "--check" => args.check = true,
                "--help" | "-h" => args.help = true,
                _ => return Err(format!("there is no option {word:?}")),
            }
        }
        args.agree()
    }

    /// The document is about the recorded outages, all of them, as they usually go.
    pub(crate) fn is_about_the_document(&self) -> bool {
        self.timelines.is_none() && self.only.is_none() && self.seed == Self::default().seed
    }

    fn agree(self) -> Result<Self, String> {
        if self.write && !self.is_about_the_document() {
            let problem =
                "--write is for the recorded outages, all of them and with the usual seed";
            return Err(problem.to_owned());
        }
        Ok(self)
    }
}
