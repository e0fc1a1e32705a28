//! Conformance with Clerk's own backend SDK, row by row over recorded vectors.
//!
//! `cargo test --test conformance` checks every row of `tests/data/clerk-vectors.json` and
//! `tests/data/clerk-vectors-own.json`; with `CLERK_VECTORS=file` those of another file of the same
//! form. A row passes, or it differs under one
//! of the rules in [`deviations`], or it fails. The figures in `docs/conformance.md` are written by
//! `CONFORMANCE_WRITE=1` and checked otherwise.

mod authenticate;
mod claims;
mod context;
mod deviations;
mod docs;
mod groups;
mod jwks;
mod keys;
mod machine;
mod minted;
mod options;
mod report;
mod request;
mod tokens;
mod vectors;
mod verdict;
mod webhooks;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::Report;
use vectors::{Rows, merged};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let other = std::env::var_os("CLERK_VECTORS").map(PathBuf::from);
    let rows = match &other {
        Some(file) => vectors::load(file),
        None => ["clerk-vectors.json", "clerk-vectors-own.json"]
            .iter()
            .fold(Rows::new(), |rows, name| merged(rows, vectors::load(&data.join(name)))),
    };
    let report = Report::of(&rows);
    let documented = other.is_some() || docs::agrees(&report);
    report.print();
    if report.failures() == 0 && documented { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
