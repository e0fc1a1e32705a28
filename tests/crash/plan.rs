//! What is delivered, and in which order.

use serde_json::json;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// A session is denied.
    Denial,
    /// A hook hears of it.
    Hook,
    /// It makes no sense and is a dead letter.
    Nonsense,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) fate: Fate,
    /// Whose end it tells, if it tells one.
    pub(crate) session: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Event>,
    /// The events' numbers, some of them two or three times, in the order of delivery.
    pub(crate) deliveries: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(deliveries: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let events: Vec<_> = (0..deliveries * 7 / 10).map(event).collect();
        let mut order: Vec<_> = (0..events.len()).collect();
        order.extend((events.len()..deliveries).map(|_| random.usize(..events.len())));
        random.shuffle(&mut order);
        Self { events, deliveries: order }
    }
}

/// Two events tell the end of each session.
fn event(number: usize) -> Event {
    let id = format!("msg_{number}");
    let (fate, session, body) = match number % 50 {
        0..=2 => {
            let body =
                json!({ "type": "user.created", "data": { "id": format!("user_{number}") } });
            (Fate::Hook, None, body.to_string())
        }
        3 => (Fate::Nonsense, None, "{}".to_owned()),
        _ => {
            let session = format!("sess_{}", number / 2);
            let body = json!({ "type": "session.revoked", "data": { "id": session } });
            (Fate::Denial, Some(session), body.to_string())
        }
    };
    Event { id, body, fate, session }
}
