//! `docs/outages.md`: its words are written by hand, its figures by this program.

use std::path::{Path, PathBuf};

use crate::stage::Error;

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/outages.md")
}

/// True when the document holds these figures.
pub(crate) fn agrees(figures: &str) -> Result<bool, Error> {
    let text = read()?;
    Ok(with_figures(&text, figures)? == text)
}

/// Puts the figures into the document.
pub(crate) fn write(figures: &str) -> Result<(), Error> {
    let text = with_figures(&read()?, figures)?;
    Ok(std::fs::write(path(), text)?)
}

fn read() -> Result<String, Error> {
    std::fs::read_to_string(path()).map_err(|error| format!("docs/outages.md: {error}").into())
}

/// The text with other figures between the marks.
fn with_figures(text: &str, figures: &str) -> Result<String, String> {
    let place = || {
        let (before, rest) = text.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    };
    let marks = (BEGIN.trim_end(), END);
    let (before, after) = place()
        .ok_or_else(|| format!("docs/outages.md lacks the marks {} and {}", marks.0, marks.1))?;
    Ok(format!("{before}{BEGIN}\n{figures}\n{END}{after}"))
}
