//! `SimState` of a simulated Clerk, shared by its handles and front ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use clerk_verify::clock::{Clock, Moment, Timestamp};
use clerk_verify::id::KeyId;
use clerk_verify::key::{PublishableKey, SecretKey};

use super::clock::shifted;
use super::fault::SimFault;
use super::faults::FaultTable;
use super::machine::SimMachines;
use super::member::Members;
use super::session::Sessions;
use super::signing::SigningKey;
use super::status_page::SimBoard;
use super::surface::{Host, SimSurface};
use super::user::SimUsers;

/// Maximum number of stored handshakes whose nonce is not exchanged yet.
const HANDSHAKES: usize = 1024;

#[derive(Debug)]
pub(super) struct SimState {
    publishable: PublishableKey,
    secret: SecretKey,
    satellites: Vec<String>,
    clock: Arc<dyn Clock>,
    date_skew: AtomicI64,
    keys: Mutex<Vec<Arc<SigningKey>>>,
    foreign: OnceLock<Arc<SigningKey>>,
    sessions: Mutex<Sessions>,
    users: Mutex<SimUsers>,
    members: Mutex<Members>,
    machines: Mutex<SimMachines>,
    board: Mutex<SimBoard>,
    handshakes: Mutex<VecDeque<(String, Vec<String>)>>,
    faults: Mutex<FaultTable>,
    changes: watch::Sender<()>,
}

impl SimState {
    pub(super) fn new(
        publishable: PublishableKey,
        secret: SecretKey,
        satellites: Vec<String>,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        Self {
            publishable,
            secret,
            satellites,
            clock,
            date_skew: AtomicI64::new(0),
            keys: Mutex::new(vec![Arc::new(SigningKey::new(fresh_key_id()))]),
            foreign: OnceLock::new(),
            sessions: Mutex::default(),
            users: Mutex::default(),
            members: Mutex::default(),
            machines: Mutex::default(),
            board: Mutex::default(),
            handshakes: Mutex::default(),
            faults: Mutex::new(FaultTable::new(seed)),
            changes: watch::Sender::new(()),
        }
    }

    pub(super) fn publishable_key(&self) -> &PublishableKey {
        &self.publishable
    }

    pub(super) fn secret_key(&self) -> &SecretKey {
        &self.secret
    }

    /// Returns the satellite domain whose Frontend API has this address.
    pub(super) fn satellite_of(&self, url: &Url) -> Option<String> {
        let domain = url.host_str()?.strip_prefix("clerk.")?;
        self.satellites.iter().find(|known| *known == domain).cloned()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Returns the time in the `Date` header.
    pub(super) fn date(&self) -> Timestamp {
        shifted(self.now().wall, self.date_skew.load(Ordering::Relaxed))
    }

    pub(super) fn skew_date(&self, millis: i64) {
        self.date_skew.store(millis, Ordering::Relaxed);
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    pub(super) fn users(&self) -> MutexGuard<'_, SimUsers> {
        lock(&self.users)
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }

    pub(super) fn machines(&self) -> MutexGuard<'_, SimMachines> {
        lock(&self.machines)
    }

    pub(super) fn board(&self) -> MutexGuard<'_, SimBoard> {
        lock(&self.board)
    }
}

/// Keys.
impl SimState {
    /// Returns the key that signs.
    pub(super) fn signing_key(&self) -> Arc<SigningKey> {
        lock(&self.keys).last().cloned().expect("the state always holds at least one key")
    }

    /// Returns a key that is never published.
    pub(super) fn foreign_key(&self) -> Arc<SigningKey> {
        let make = || Arc::new(SigningKey::new(fresh_key_id()));
        self.foreign.get_or_init(make).clone()
    }

    /// Adds a signing key with a new id; the older keys stay published.
    pub(super) fn rotate_key(&self) -> KeyId {
        let kid = fresh_key_id();
        let key = Arc::new(SigningKey::new(kid.clone()));
        lock(&self.keys).push(key);
        kid
    }

    /// Replaces the signing key by one with the same id; the older keys are no longer published.
    pub(super) fn replace_key(&self) {
        let key = Arc::new(SigningKey::new(self.signing_key().kid().clone()));
        *lock(&self.keys) = vec![key];
    }

    /// Stops publishing older keys.
    pub(super) fn retire_keys(&self) {
        let mut keys = lock(&self.keys);
        let older = keys.len().saturating_sub(1);
        keys.drain(..older);
    }

    pub(super) fn jwks(&self) -> Value {
        let keys: Vec<Value> = lock(&self.keys).iter().rev().map(|key| key.jwk()).collect();
        json!({ "keys": keys })
    }

    /// Returns the payload of a token that any published key signed.
    pub(super) fn open(&self, jwt: &str) -> Option<Value> {
        let keys = lock(&self.keys).clone();
        keys.iter().find_map(|key| key.open(jwt))
    }
}

/// Handshakes whose directives are not fetched yet.
impl SimState {
    /// Stores directives and returns the nonce that fetches them.
    pub(super) fn keep_handshake(&self, directives: Vec<String>) -> String {
        let nonce = random_text("", 32);
        let mut waiting = lock(&self.handshakes);
        if waiting.len() == HANDSHAKES {
            waiting.pop_front();
        }
        waiting.push_back((nonce.clone(), directives));
        nonce
    }

    /// Returns the directives of a nonce and removes them, so a nonce works once.
    pub(super) fn take_handshake(&self, nonce: &str) -> Option<Vec<String>> {
        let mut waiting = lock(&self.handshakes);
        let place = waiting.iter().position(|(known, _)| known == nonce)?;
        waiting.remove(place).map(|(_, directives)| directives)
    }
}

/// Faults.
impl SimState {
    pub(super) fn faults(&self) -> MutexGuard<'_, FaultTable> {
        lock(&self.faults)
    }

    /// Sets faults and notifies the listeners.
    pub(super) fn set_faults(&self, surfaces: &[SimSurface], faults: &[(f64, SimFault)]) {
        let mut table = self.faults();
        for surface in surfaces {
            table.set(*surface, faults.to_vec());
        }
        drop(table);
        self.changes.send_replace(());
    }

    pub(super) fn refuses(&self, host: Host) -> bool {
        self.faults().refuses(host)
    }

    /// Returns a receiver that is notified of every change of the faults.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// Recycles the published keys. Replaced keys are not recycled, so their tokens stay unverifiable.
impl Drop for SimState {
    fn drop(&mut self) {
        let keys = self.keys.get_mut().unwrap_or_else(PoisonError::into_inner);
        keys.drain(..).filter_map(Arc::into_inner).for_each(SigningKey::recycle);
    }
}

/// Locks a mutex, poisoned or not: each change is one step, so a panic elsewhere leaves a valid
/// value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fresh_key_id() -> KeyId {
    KeyId::new(random_text("ins_", 27))
}

/// Returns `prefix` followed by `length` random letters and digits.
pub(super) fn random_text(prefix: &str, length: usize) -> String {
    let mut text = prefix.to_owned();
    text.extend(std::iter::repeat_with(fastrand::alphanumeric).take(length));
    text
}
