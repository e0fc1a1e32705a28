//! No status document makes the reader panic.
#![no_main]

use clerk_resilience::internals::status_page::StatusReport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| {
    if let Ok(report) = StatusReport::parse(document) {
        let _ = report.corroborates_outage();
        assert!(report.components.len() <= 200);
    }
});
