//! Answers requests, with or without a fault, for both front ends.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::answer::SimAnswer;
use super::ask::Ask;
use super::fault::{Break, SimFault};
use super::state::SimState;
use super::surface::{Host, SimSurface};
use super::{backend, frontend, status_page};

/// Draws the request's fault, waits for its delay, and returns the response or the way in which the
/// request breaks.
pub(super) async fn respond(state: &SimState, ask: &Ask) -> Result<SimAnswer, Break> {
    if ask.method == Method::OPTIONS && ask.host == Host::Frontend {
        return Ok(finish(state, ask, SimAnswer::preflight(&ask.headers)));
    }
    let drawn = state.faults().arrive(ask.surface(), state.now());
    let (delay, fault) = without_delay(drawn);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answer = match fault {
        Some(fault) => faulty(state, ask, fault)?,
        None => healthy(state, ask),
    };
    Ok(finish(state, ask, answer))
}

/// Splits a fault into its delay and the rest.
fn without_delay(mut fault: Option<SimFault>) -> (Duration, Option<SimFault>) {
    let mut delay = Duration::ZERO;
    loop {
        fault = match fault {
            Some(SimFault::Latency(more)) => return (delay.saturating_add(more), None),
            Some(SimFault::Delayed(more, inner)) => {
                delay = delay.saturating_add(more);
                Some(*inner)
            }
            other => return (delay, other),
        }
    }
}

fn faulty(state: &SimState, ask: &Ask, fault: SimFault) -> Result<SimAnswer, Break> {
    Err(match fault {
        SimFault::Status { code, body, retry_after } => {
            return Ok(SimAnswer::failure(code, &body, retry_after));
        }
        SimFault::Latency(_) | SimFault::Delayed(..) => return Ok(healthy(state, ask)),
        SimFault::Html => return Ok(SimAnswer::html(StatusCode::OK, "Sign in to this network")),
        SimFault::EmptyKeys => return Ok(SimAnswer::ok(&json!({ "keys": [] }))),
        SimFault::ForeignKeys => {
            return Ok(SimAnswer::ok(&json!({ "keys": [state.foreign_key().jwk()] })));
        }
        SimFault::InvalidJson => return Ok(SimAnswer::broken_json()),
        SimFault::Redirect(to) => return Ok(SimAnswer::redirect(StatusCode::FOUND, to.as_str())),
        SimFault::MissingExpiredToken => return Ok(edge(state, ask)),
        SimFault::Hang => Break::Hang,
        SimFault::Refused => Break::Refused,
        SimFault::Reset => Break::Reset,
        SimFault::Garbage => Break::Garbage,
        SimFault::Truncated => Break::Truncated,
        SimFault::Huge => Break::Huge,
        SimFault::SlowDrip => Break::SlowDrip,
        SimFault::Dns => Break::Dns,
        SimFault::Tls => Break::Tls,
    })
}

/// Answers as Clerk's edge while its origin is down: the edge only renews a token that the request
/// contains.
fn edge(state: &SimState, ask: &Ask) -> SimAnswer {
    let shown = match ask.surface() {
        SimSurface::Handshake => ask.param("__session"),
        _ => ask.param("expired_token"),
    };
    if shown.is_some_and(|token| !token.is_empty()) {
        return healthy(state, ask);
    }
    let message = "The last token is needed to make a new one.";
    SimAnswer::error(StatusCode::UNPROCESSABLE_ENTITY, "missing_expired_token", message)
}

/// Returns the correct response.
fn healthy(state: &SimState, ask: &Ask) -> SimAnswer {
    match ask.host {
        Host::Frontend => frontend::answer(state, ask),
        Host::Backend => backend::answer(state, ask),
        Host::Status => status_page::answer(state, ask),
    }
}

fn finish(state: &SimState, ask: &Ask, answer: SimAnswer) -> SimAnswer {
    let answer = answer.dated(state.date());
    match ask.host {
        Host::Frontend => answer.readable_by_origin(&ask.headers),
        Host::Backend | Host::Status => answer,
    }
}
