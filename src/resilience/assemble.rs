//! Assembles a layer and its driver from checked options.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Clock, Moment, SystemClock, Timestamp};
use clerk_verify::key::InstanceKind;
use clerk_verify::token::{CookieNames, Expectations};
use clerk_verify::transport::Transport;
use clerk_verify::webhook_signature::WebhookVerifier;

use super::ClerkResilience;
use super::builder::Builder;
use crate::config::{ClerkConfig, ConfigError};
use crate::decide::Rules;
use crate::decide::policy::GraceMode;
use crate::engine::{
    Alerts, BackendAccess, Core, DenialQueue, Driver, FleetTask, HandshakeTrips, Instance,
    PendingSignOuts, People, Persister, Reconciler, ReconcilerConfig, RestoredState, Shared,
    SharedParts, StateFiles, StoredState, Trust, WebhookSilenceMonitor, Webhooks, Work, prune,
};
use crate::fetch::HttpUpstream;
use crate::http::layer::{
    Authenticator, HostWarnings, NonceBudget, Preflights, PublicPaths, Visits,
};
use crate::http::origin::Origins;
use crate::http::response::{PageCounts, SignIn};
use crate::probe::Prober;
use crate::state::health::{Health, Verdict};
use crate::state::revocation::Revocations;
use crate::state::seal::{CookieSigner, Seal};
use crate::state::snapshot::{DenyList, KeyState, Snapshot, SyncStatus};
use crate::store::{MemoryStore, OutageRecord, StateDir, Store, StoreError};

/// Minimum number of stored sessions with a shared store: each instance stores the sessions of all.
const FLEET_LEDGER: usize = 128 * 1024;
/// Time that a request waits for keys beyond the deadline of the key request.
const MORE_PATIENCE: Duration = Duration::from_millis(500);

/// Builds the layer and its driver from options that `Builder::check` accepted.
pub(super) fn pair(mut choices: Builder) -> Result<(ClerkResilience, Driver), ConfigError> {
    let public = std::mem::replace(&mut choices.public, Ok(PublicPaths::default()))?;
    let clock = choices.clock.take().unwrap_or_else(|| Arc::new(SystemClock::new()));
    let transport = match choices.transport.take() {
        Some(transport) => transport,
        None => Arc::new(HttpUpstream::new().map_err(ConfigError::Client)?),
    };
    check_clocks(&*transport, &*clock)?;
    let sign_in = choices.config.sign_in_url.as_deref();
    let sign_in = sign_in.map(|text| sign_in_address(text, &choices.config)).transpose()?;
    let production = choices.config.publishable_key.kind() == InstanceKind::Production;
    // No other setting states the scheme of this process's own address.
    let scheme = if production { "https" } else { "http" };
    let own = choices.config.own_origins();
    let origins = Arc::new(Origins::new(own, choices.trust_forwarded, scheme));
    let signer = Arc::new(cookie_signer(&choices));
    let (instance, now) = (choices.config.publishable_key.issuer(), clock.now());
    let (dir, mut inherited) = inherit(&choices, &instance, now.wall);
    let chosen = choices.store.take();
    let webhooks_come = !choices.config.webhook_secrets.is_empty();
    let default_store = || -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
    let store = chosen.clone().or_else(|| webhooks_come.then(default_store));
    let secret = choices.config.secret_key.as_ref();
    let seal = secret.map(|secret| Seal::new(secret, &instance));
    let trust = store.as_ref().and_then(|store| Trust::new(&**store, seal.clone()));
    let left = store.as_deref().zip(trust.as_ref());
    let left = left.map(|(store, trust)| StoredState::read(store, trust, &instance, now.wall));
    let left = left.transpose()?.unwrap_or_default();
    inherited.prefer(left.keys);
    inherited.outages.extend(left.outages);
    let (keys, health, revocations) = restore(&inherited, &choices.config.pinned, now);
    let to_end = inherited.outages.iter().flat_map(OutageRecord::to_end);
    let mut sign_outs = PendingSignOuts::default();
    sign_outs.take_over(to_end.collect());
    let webhooks = webhooks(&mut choices, store.clone());
    let (denial_queue, letters) = DenialQueue::new();
    let fleet = store.as_ref().and_then(|store| FleetTask::new(store, seal));
    let (changes, alerts) = Alerts::new(choices.on_transition.take(), store.as_ref());
    let mut initial = Snapshot {
        keys: keys.clone(),
        health: health.report(now),
        revocations,
        feeds: feeds(&choices, store.as_deref(), now),
        renewed: (health.verdict(now) != Verdict::Unknown).then_some(now),
        ..Snapshot::default()
    };
    store.as_deref().map_or(Ok(()), |store| denied(store, &mut initial))?;
    let kept = store.clone();
    let people = Arc::new(People::new(store, choices.profile_capacity, choices.keep_private));
    let prober = prober(&choices, &transport, clock.clone());
    let owner = Arc::new(Instance::new(prober.clone()));
    let reconciler = chosen.and_then(|store| {
        let access = access(&choices, &transport)?;
        Some(reconciler(&choices, access, store, &people, &owner))
    });
    let (shared, incoming) = Shared::new(SharedParts {
        key: choices.config.browsers_site().issuing_key(),
        names: CookieNames::of(&choices.config.publishable_key),
        rules: Rules { grace: choices.grace.clone(), ..Rules::default() },
        expectations: expectations(&choices),
        clock: Arc::clone(&clock),
        token_capacity: choices.token_capacity,
        pace_capacity: choices.session_capacity,
        session_capacity: if fleet.is_some() {
            choices.session_capacity.max(FLEET_LEDGER)
        } else {
            choices.session_capacity
        },
        patience: choices.probe_deadline + MORE_PATIENCE,
        backend: access(&choices, &transport),
        tickets: choices.tickets.take(),
        recorder: choices.recorder.take(),
        webhooks: webhooks.clone(),
        people,
        instance: owner,
        reconciler: reconciler.clone(),
        site: choices.config.browsers_site(),
        denial_queue,
        changes,
        initial,
    });
    report(&inherited, &shared);
    report_store(kept.as_ref(), &shared);
    sign_outs.publish(&shared.core.ending);
    for record in &inherited.outages {
        shared.core.seen_sessions.restore(record.sightings(), now.wall);
    }
    let visits = visits(&choices, &signer);
    let heard = webhooks.is_some() && choices.grace.mode() != GraceMode::Disabled;
    let work = Work {
        core: Arc::clone(&shared.core),
        prober,
        health,
        pinned: choices.config.pinned,
        keys,
        state: StateFiles::new(dir, instance.clone()),
        sign_outs,
        feed: heard.then(|| WebhookSilenceMonitor::since(now.wall)),
    };
    let authenticator = Authenticator {
        shared: Arc::new(shared),
        answers: Arc::new(choices.answers.at(sign_in, origins, signer)),
        route: choices.route,
        public,
        visits: Arc::new(visits),
        preflights: Arc::new(Preflights::new(choices.cors)),
    };
    let clerk =
        ClerkResilience { authenticator: Arc::new(authenticator), showing: choices.showing };
    let core = Arc::clone(&work.core);
    let mut driver = Driver::new(work, incoming);
    if let Some(webhooks) = webhooks {
        driver =
            driver.beside(beside(&core, "webhooks", move |core| Arc::clone(&webhooks).work(core)));
    }
    let persister = kept
        .as_ref()
        .and_then(|store| Persister::new(store, &core, letters, trust, instance, left.sightings));
    if let Some(store) = kept {
        driver =
            driver.beside(beside(&core, "pruning", move |core| prune(Arc::clone(&store), core)));
    }
    if let Some(reconciler) = reconciler {
        driver = driver
            .beside(beside(&core, "reconciler", move |core| Arc::clone(&reconciler).work(core)));
    }
    if let Some(persister) = persister {
        driver = driver.kept_by(persister);
    }
    if let Some(fleet) = fleet {
        driver = driver.beside(fleet.work(Arc::clone(&core)));
    }
    if let Some(alerts) = alerts {
        driver = driver.beside(async move { alerts.work(&core.parts).await });
    }
    Ok((clerk, driver))
}

/// Supervises a part that keeps its state in what it shares.
fn beside<F: Future<Output = ()> + Send + 'static>(
    core: &Arc<Core>,
    name: &'static str,
    start: impl Fn(Arc<Core>) -> F + Send + Sync + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let core = Arc::clone(core);
    async move { core.parts.keep(name, || start(Arc::clone(&core))).await }
}

/// Rejects a simulated Clerk with another clock than the layer's: its outages would prove nothing.
fn check_clocks(transport: &dyn Transport, clock: &dyn Clock) -> Result<(), ConfigError> {
    match transport.clock() {
        Some(simulated) if simulated.id() != clock.id() => Err(ConfigError::Contradiction {
            first: "transport",
            second: "clock",
            problem: "the simulated Clerk uses another clock than the layer, so that test time advances for only one of them; build the layer with sim.layer(..), or add .clock(sim.clock())",
        }),
        _ => Ok(()),
    }
}

fn expectations(choices: &Builder) -> Expectations {
    let mut expect = Expectations::any();
    expect.session_tokens_only = true;
    expect.issuers = choices.config.issuers();
    expect.authorized_parties = choices.config.parties().to_vec();
    expect.azp = choices.azp;
    expect.audiences.clone_from(&choices.audiences);
    expect.leeway = choices.leeway;
    expect
}

/// Returns the access to the Backend API, if a secret key is configured.
fn access(choices: &Builder, transport: &Arc<dyn Transport>) -> Option<BackendAccess> {
    choices.config.secret_key.clone().map(|secret| BackendAccess {
        transport: Arc::clone(transport),
        address: choices.config.backend_api.clone(),
        secret,
        deadline: choices.probe_deadline,
    })
}

/// Returns the receiver of webhooks, if a signing secret is configured.
fn webhooks(choices: &mut Builder, store: Option<Arc<dyn Store>>) -> Option<Arc<Webhooks>> {
    let secrets = std::mem::take(&mut choices.config.webhook_secrets);
    let verifier = WebhookVerifier::new(secrets).ok()?;
    let hooks = std::mem::take(&mut choices.hooks);
    let (rules, private) = (choices.event_rules, choices.keep_private);
    Some(Arc::new(Webhooks::new(verifier, store?, hooks, rules, private)))
}

/// Loads the store's denials into the matching set of the initial snapshot.
fn denied(store: &dyn Store, initial: &mut Snapshot) -> Result<(), StoreError> {
    let denials = store.denials()?;
    let set = if store.is_durable() { &mut initial.kept } else { &mut initial.revocations };
    *set = std::mem::take(set).with_all(&denials);
    Ok(())
}

/// Returns the reconciler, which reads users from Clerk into the store.
fn reconciler(
    choices: &Builder,
    access: BackendAccess,
    store: Arc<dyn Store>,
    people: &Arc<People>,
    instance: &Arc<Instance>,
) -> Arc<Reconciler> {
    Arc::new(Reconciler::new(ReconcilerConfig {
        access,
        kind: choices.config.publishable_key.kind(),
        instance: Arc::clone(instance),
        store,
        people: Arc::clone(people),
        rules: choices.event_rules,
        issuer: choices.config.publishable_key.issuer(),
        keep_private: choices.keep_private,
        by_itself: !choices.reconcile_on_demand,
    }))
}

fn prober(choices: &Builder, transport: &Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Prober {
    let targets = choices.config.targets(choices.probe_deadline);
    Prober { transport: Arc::clone(transport), clock, targets: Arc::new(targets) }
}

/// Returns the initial sync status. A shared store must be read before the layer gives grace.
fn feeds(choices: &Builder, store: Option<&dyn Store>, now: Moment) -> SyncStatus {
    let shared = store.is_some_and(|store| store.fleet().is_some());
    let lost = store.is_some_and(|store| store.fallback_error().is_some());
    let deny_list = match choices.deny_list {
        _ if shared => DenyList::External { complete: None },
        DenyList::Local if lost => DenyList::LostAt(now),
        chosen => chosen,
    };
    let mut feeds = SyncStatus { deny_list, ..SyncStatus::default() };
    feeds.store.shared = shared;
    feeds
}

/// Derives the key of signed cookies from a secret that all instances share, if one exists.
fn cookie_signer(choices: &Builder) -> CookieSigner {
    let issuer = choices.config.publishable_key.issuer();
    if let Some(secret) = &choices.config.secret_key {
        return CookieSigner::of_secret(secret, &issuer);
    }
    let purpose = [b"clerk-resilience cookies 1", issuer.as_bytes()].join(&0);
    let keys = choices.tickets.as_ref().map(|keys| keys.derived(&purpose));
    CookieSigner::of_keys(&keys.unwrap_or_default())
}

fn visits(choices: &Builder, signer: &Arc<CookieSigner>) -> Visits {
    let config = &choices.config;
    let production = config.publishable_key.kind() == InstanceKind::Production;
    let signer = Arc::clone(signer);
    Visits {
        site: config.browsers_site().nonces(config.secret_key.is_some()),
        handshakes: choices.handshakes,
        client_uat: choices.client_uat,
        nonces: NonceBudget::default(),
        trips: HandshakeTrips::new(Arc::clone(&signer), production),
        returns: PageCounts { signer, prefix: "__clerk_resilience_returns" },
        hosts: HostWarnings::default(),
    }
}

/// Opens the state directory and loads its files. A failure does not prevent the start.
fn inherit(choices: &Builder, instance: &str, now: Timestamp) -> (Option<StateDir>, RestoredState) {
    match choices.config.state_dir.as_ref().map(StateDir::open) {
        None => (None, RestoredState::default()),
        Some(Ok(dir)) => {
            let inherited = RestoredState::load(&dir, instance, now);
            (Some(dir), inherited)
        }
        Some(Err(error)) => (None, RestoredState::refused(error)),
    }
}

fn sign_in_address(text: &str, config: &ClerkConfig) -> Result<SignIn, ConfigError> {
    let sign_in = SignIn::parse(text, config.browsers_site().is_satellite());
    sign_in.ok_or_else(|| ConfigError::Invalid {
        name: "CLERK_SIGN_IN_URL".to_owned(),
        problem: "it must be an address such as https://accounts.example.com/sign-in, or a path"
            .to_owned(),
    })
}

fn restore(
    inherited: &RestoredState,
    pinned: &clerk_verify::jwks::KeySet,
    now: Moment,
) -> (KeyState, Health, Revocations) {
    let saved = inherited.keys.as_ref();
    let keys = KeyState {
        set: saved.map_or_else(|| pinned.clone(), |(set, _)| pinned.joined_with(set)),
        confirmed: saved.map(|(_, confirmed)| *confirmed),
        refresh_after: None,
        refreshing: false,
        pinned: !pinned.is_empty(),
    };
    let denied = inherited.outages.iter().map(OutageRecord::revocations);
    let denied = denied.reduce(|all, more| all.joined_with(&more)).unwrap_or_default();
    (keys, inherited.health(now), denied)
}

fn report(inherited: &RestoredState, shared: &Shared) {
    for error in &inherited.failures {
        shared.core.counters.state_failed();
        tracing::warn!(event = "clerk.state.refused", %error, "a state file was rejected, so its data is not used; check its owner, permissions and content");
    }
}

fn report_store(store: Option<&Arc<dyn Store>>, shared: &Shared) {
    if let Some(why) = store.and_then(|store| store.fallback_error()) {
        shared.core.counters.store_fell_back();
        tracing::warn!(event = "clerk.store.fallen_back", %why, "the store is kept in memory; what webhooks tell will not outlive this process");
    }
}
