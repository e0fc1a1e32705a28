//! Whole requests against what `@clerk/backend` 3.25 makes of them.

#[path = "conformance/authenticate.rs"]
mod authenticate;

use serde_json::Value;

fn all(group: &str, check: fn(&Value) -> Result<(), String>) {
    let rows = authenticate::vectors()["vectors"][group].as_array().map_or(&[][..], Vec::as_slice);
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row["id"], check(row).err()?)))
        .collect();
    println!("{group}: {}/{}", rows.len() - failed.len(), rows.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn requests_are_in_the_state_that_clerk_finds_them_in() {
    all("authenticate_request", authenticate::check_request);
}

#[test]
fn the_facts_of_a_request_are_clerks() {
    all("authenticate_context", authenticate::check_context);
}

#[test]
fn addresses_and_cookies_are_read_as_clerk_reads_them() {
    all("request_url_and_cookies", authenticate::check_url_and_cookies);
}

#[test]
fn the_cookies_that_clerk_would_choose_count() {
    all("suffixed_cookie_selection", authenticate::check_suffix_selection);
}
