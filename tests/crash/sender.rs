//! Who delivers: again and again, until each delivery is answered as it should be.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_resilience::clock::{Clock as _, SystemClock};
use clerk_resilience::webhook_signature::WebhookSecret;
use tokio::sync::watch;

use crate::plan::{Event, Fate, Plan};

/// So many deliveries are under way at once.
const AT_ONCE: usize = 64;
/// A receiver that does not answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn secret() -> WebhookSecret {
    WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a secret")
}

/// Deliveries that were answered, by their places in the plan.
pub(crate) type Answered = HashSet<usize>;

#[derive(Debug)]
pub(crate) struct Sender {
    desk: Arc<Desk>,
    /// Where to; nowhere while there is nobody.
    addresses: watch::Sender<Vec<String>>,
}

#[derive(Debug)]
struct Desk {
    deliveries: Vec<Event>,
    waiting: Mutex<Vec<usize>>,
    answered: Mutex<Answered>,
    under_way: watch::Sender<usize>,
    sent: AtomicUsize,
    refused: AtomicUsize,
    broken: AtomicUsize,
    client: reqwest::Client,
}

impl Sender {
    pub(crate) fn start(plan: &Plan) -> Self {
        let deliveries: Vec<_> =
            plan.deliveries.iter().map(|number| plan.events[*number].clone()).collect();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let desk = Arc::new(Desk {
            waiting: Mutex::new((0..deliveries.len()).rev().collect()),
            deliveries,
            answered: Mutex::default(),
            under_way: watch::Sender::new(0),
            sent: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            client: client.expect("a client"),
        });
        let addresses = watch::Sender::new(Vec::new());
        for _ in 0..AT_ONCE {
            tokio::spawn(Arc::clone(&desk).work(addresses.subscribe()));
        }
        Self { desk, addresses }
    }

    /// Each delivery goes to one of these.
    pub(crate) fn resume(&self, addresses: Vec<String>) {
        self.addresses.send_replace(addresses);
    }

    /// Begins nothing more, and waits for what is under way.
    pub(crate) async fn pause(&self) {
        self.addresses.send_replace(Vec::new());
        let mut under_way = self.desk.under_way.subscribe();
        under_way.wait_for(|count| *count == 0).await.expect("the desk stays");
    }

    pub(crate) fn answered(&self) -> Vec<&Event> {
        let answered = self.desk.answered.lock().expect("sound");
        answered.iter().map(|place| &self.desk.deliveries[*place]).collect()
    }

    pub(crate) fn progress(&self) -> usize {
        self.desk.answered.lock().expect("sound").len()
    }

    /// Waits until so many are answered.
    pub(crate) async fn reach(&self, answered: usize) {
        while self.progress() < answered {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let Desk { sent, refused, broken, .. } = &*self.desk;
        let (sent, refused, broken) = (count(sent), count(refused), count(broken));
        write!(f, "{sent} sent, {refused} answered 503, {broken} broken off")
    }
}

impl Desk {
    async fn work(self: Arc<Self>, mut addresses: watch::Receiver<Vec<String>>) {
        loop {
            let place = self.waiting.lock().expect("sound").pop();
            let Some(place) = place else {
                // Others may fail and leave theirs.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Counted before the address is looked at: who pauses waits for this one.
            self.under_way.send_modify(|count| *count += 1);
            let here = fastrand::choice(addresses.borrow_and_update().iter()).cloned();
            let done = match &here {
                Some(here) => self.send(here, place).await,
                None => false,
            };
            if done {
                self.answered.lock().expect("sound").insert(place);
            } else {
                self.waiting.lock().expect("sound").push(place);
            }
            self.under_way.send_modify(|count| *count -= 1);
            if here.is_none() {
                let gone = addresses.wait_for(|all| !all.is_empty()).await.is_err();
                if gone {
                    return;
                }
            } else if !done {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// True when it was answered for good.
    async fn send(&self, address: &str, place: usize) -> bool {
        let Event { id, body, fate, .. } = &self.deliveries[place];
        let now = SystemClock::new().now().wall.as_secs();
        let signature = secret().sign(id, now, body.as_bytes());
        self.sent.fetch_add(1, Ordering::Relaxed);
        let request = self.client.post(address).header("svix-id", id);
        let request = request.header("svix-timestamp", now).header("svix-signature", signature);
        let Ok(response) = request.body(body.clone()).send().await else {
            self.broken.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let wanted = if *fate == Fate::Nonsense { 422 } else { 204 };
        match response.status().as_u16() {
            503 => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
            status => {
                // Nobody looks at a task that panicked; the whole run must end.
                if status != wanted {
                    eprintln!("{id} was answered {status}");
                    std::process::abort();
                }
                true
            }
        }
    }
}
