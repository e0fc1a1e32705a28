//! HTTP endpoints that control the simulated Clerk.
//!
//! | request | effect |
//! |---|---|
//! | `POST /sim/break?surface=…&fault=…` | every request to the surfaces gets the fault |
//! | `POST /sim/heal?surface=…` | the surfaces answer normally again |
//! | `POST /sim/sign-in?user=…` | a new session of the user, with a token |
//! | `POST /sim/token?session=…` | a new token of the session |
//! | `POST /sim/revoke?session=…` | the session ends |
//! | `GET /sim/state` | the faults and the number of requests of each surface |
//!
//! `surface` may be repeated. Its values are `session-mint`, `handshake`, `client`, `sign-in`,
//! `jwks`, `backend-api`, `backend-mutation`, `backend-jwks` and `status-page`, and the groups
//! `frontend`, `backend`, `clerk` (both) and `all`. Without `surface`, `break` means `clerk` and
//! `heal` means `all`.
//!
//! `fault` is an HTTP status, such as `503`, or one of `hang`, `refused`, `reset`, `garbage`,
//! `truncated`, `html`, `empty-keys`, `foreign-keys` and `tls`. Default: `503`.

use clerk_sim::{SimClerk, SimFault, SimSession, SimSurface};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

/// Handles a request, and describes the result as JSON.
pub(crate) fn answer(
    sim: &SimClerk,
    method: &Method,
    path: &str,
    query: &str,
) -> (StatusCode, Value) {
    let query = Query(query);
    let done = match (method.as_str(), path) {
        ("POST", "/sim/break") => break_surfaces(sim, &query),
        ("POST", "/sim/heal") => query.surfaces(&SimSurface::ALL).map(|surfaces| {
            sim.heal(surfaces);
            state(sim)
        }),
        ("POST", "/sim/sign-in") => Ok(sign_in(sim, &query)),
        ("POST", "/sim/token") => query.session(sim).map(|session| described(sim, &session)),
        ("POST", "/sim/revoke") => query.session(sim).map(|session| {
            sim.revoke(&session);
            json!({ "revoked": session.id.as_str() })
        }),
        ("GET", "/sim/state") => Ok(state(sim)),
        _ => return (StatusCode::NOT_FOUND, json!({ "error": "no such control" })),
    };
    match done {
        Ok(body) => (StatusCode::OK, body),
        Err(problem) => (StatusCode::BAD_REQUEST, json!({ "error": problem })),
    }
}

fn break_surfaces(sim: &SimClerk, query: &Query<'_>) -> Result<Value, String> {
    let surfaces = query.surfaces(&SimSurface::CLERK)?;
    let fault = query.first("fault").map_or(Ok(SimFault::status(503)), |name| fault(&name))?;
    sim.break_with(surfaces, fault);
    Ok(state(sim))
}

fn sign_in(sim: &SimClerk, query: &Query<'_>) -> Value {
    let user = query.first("user").unwrap_or_else(|| "user_sim".to_owned());
    described(sim, &sim.sign_in(user))
}

fn described(sim: &SimClerk, session: &SimSession) -> Value {
    json!({
        "session": session.id.as_str(),
        "user": session.user.as_str(),
        "token": sim.mint(session),
        "cookie_suffix": sim.cookie_suffix(),
    })
}

fn state(sim: &SimClerk) -> Value {
    let row = |surface: SimSurface| {
        let faults: Vec<_> = sim.faults(surface).iter().map(|found| format!("{found:?}")).collect();
        (name(surface), json!({ "requests": sim.requests(surface), "faults": faults }))
    };
    Value::Object(SimSurface::ALL.into_iter().map(row).collect())
}

/// Returns the name of a surface in kebab-case: `session-mint` for `SessionMint`.
fn name(surface: SimSurface) -> String {
    let mut name = String::new();
    for c in format!("{surface:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn fault(name: &str) -> Result<SimFault, String> {
    if let Ok(code) = name.parse() {
        return Ok(SimFault::status(code));
    }
    Ok(match name {
        "hang" => SimFault::Hang,
        "refused" => SimFault::Refused,
        "reset" => SimFault::Reset,
        "garbage" => SimFault::Garbage,
        "truncated" => SimFault::Truncated,
        "html" => SimFault::Html,
        "empty-keys" => SimFault::EmptyKeys,
        "foreign-keys" => SimFault::ForeignKeys,
        "tls" => SimFault::Tls,
        _ => return Err(format!("{name} is not a fault")),
    })
}

struct Query<'a>(&'a str);

impl Query<'_> {
    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        let pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    fn first(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    fn surfaces(&self, default: &[SimSurface]) -> Result<Vec<SimSurface>, String> {
        let mut found = Vec::new();
        for wanted in self.all("surface") {
            match wanted.as_str() {
                "frontend" => found.extend(SimSurface::FRONTEND),
                "backend" => found.extend(SimSurface::BACKEND),
                "clerk" => found.extend(SimSurface::CLERK),
                "all" => found.extend(SimSurface::ALL),
                _ => {
                    let known = SimSurface::ALL.into_iter().find(|known| name(*known) == wanted);
                    found.push(known.ok_or_else(|| format!("{wanted} is not a surface"))?);
                }
            }
        }
        Ok(if found.is_empty() { default.to_vec() } else { found })
    }

    fn session(&self, sim: &SimClerk) -> Result<SimSession, String> {
        let id = self.first("session").ok_or("name a session")?;
        let mut sessions = sim.sessions().into_iter();
        sessions.find(|session| session.id.as_str() == id).ok_or(format!("{id} is not a session"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(sim: &SimClerk, path: &str, query: &str) -> (u16, Value) {
        let (status, body) = answer(sim, &Method::POST, path, query);
        (status.as_u16(), body)
    }

    #[test]
    fn the_named_surfaces_break_and_heal() {
        let sim = SimClerk::in_memory();
        let (status, _) = post(&sim, "/sim/break", "surface=jwks&surface=backend-api&fault=429");
        assert_eq!(status, 200);
        for surface in SimSurface::ALL {
            let broken = matches!(surface, SimSurface::Jwks | SimSurface::BackendApi);
            assert_eq!(sim.faults(surface).is_empty(), !broken, "{surface:?}");
        }
        post(&sim, "/sim/heal", "surface=jwks");
        assert!(sim.faults(SimSurface::Jwks).is_empty());
        assert_eq!(sim.faults(SimSurface::BackendApi), [(1.0, SimFault::status(429))]);
        post(&sim, "/sim/heal", "");
        assert!(sim.faults(SimSurface::BackendApi).is_empty());
    }

    #[test]
    fn without_names_all_of_clerk_answers_503() {
        let sim = SimClerk::in_memory();
        post(&sim, "/sim/break", "");
        assert_eq!(sim.faults(SimSurface::SignIn), [(1.0, SimFault::status(503))]);
        assert!(sim.faults(SimSurface::StatusPage).is_empty());
    }

    #[test]
    fn a_session_starts_and_ends() {
        let sim = SimClerk::in_memory();
        let (_, body) = post(&sim, "/sim/sign-in", "user=user_ada");
        assert_eq!(body["user"], "user_ada");
        let session = format!("session={}", body["session"].as_str().expect("an id"));
        let (status, again) = post(&sim, "/sim/token", &session);
        assert_eq!((status, &again["session"]), (200, &body["session"]));
        assert_eq!(post(&sim, "/sim/revoke", &session).0, 200);
        assert_eq!(post(&sim, "/sim/token", &session).0, 400);
    }

    #[test]
    fn a_misspelt_request_changes_nothing() {
        let sim = SimClerk::in_memory();
        for query in ["surface=jwk", "fault=slow", "surface=jwks&fault="] {
            assert_eq!(post(&sim, "/sim/break", query).0, 400, "{query}");
        }
        assert_eq!(post(&sim, "/sim/brake", "").0, 404);
        assert!(SimSurface::ALL.iter().all(|surface| sim.faults(*surface).is_empty()));
    }
}
