//! Every condition of grace, one test each: with all others met, it alone decides.

mod evidence;
mod mode;
mod time;
mod token;

use http::StatusCode;

const MINUTE: u64 = 60;

fn refused(answer: &test_support::world::Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.json()["code"], "authentication_unavailable");
}
