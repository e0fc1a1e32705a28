//! Exchanges reports about Clerk's health between instances, and passes a summary to the driver.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;

use super::StoreClient;
use crate::engine::shared::Core;
use crate::state::health::{AuthenticatedView, PeerRegistry, PeerReport, Peers, Surface};
use crate::state::seal::Seal;
use crate::state::snapshot::StoreHealth;
use crate::store::{Store, StoreError};

/// Purpose of the MAC.
const PURPOSE: &str = "view";
/// Interval at which the task checks whether a report must be sent or read.
const TICK: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(5);
const HEAR_EVERY: Duration = Duration::from_secs(2);
/// Validity of a published report.
const HOLDS: Duration = Duration::from_secs(15);
/// Maximum duration of a call.
const PATIENCE: Duration = Duration::from_secs(2);
/// Limits on the number of reports and on the bytes of a report. Reports beyond them are ignored.
const MOST: usize = 1_000;
const LONGEST: usize = 1_024;

#[derive(Debug)]
pub(super) struct Views {
    link: StoreClient,
    member: String,
    seal: Option<Seal>,
}

impl Views {
    pub(super) fn new(store: &Arc<dyn Store>, core: &Arc<Core>, seal: Option<Seal>) -> Self {
        let link = StoreClient { store: Arc::clone(store), core: Arc::clone(core) };
        let member = format!("{:016x}", fastrand::u64(..));
        Self { link, member, seal }
    }

    /// Publishes and reads reports until the task is dropped, every second while an instance
    /// suspects an outage.
    pub(super) async fn exchange(&self) {
        let (mut told, mut heard): (Option<(Moment, PeerReport)>, Option<Moment>) = (None, None);
        let mut roll = PeerRegistry::default();
        loop {
            let (now, view) = (self.link.now(), self.view());
            let watchful = view.suspicious || self.link.core.peers.borrow().suspicious() > 0;
            let due = |last: Moment, every| watchful || now.since(last) >= every;
            let news = |last: &PeerReport| last.suspicious != view.suspicious;
            if told.as_ref().is_none_or(|(at, last)| due(*at, TELL_EVERY) || news(last))
                && self.tell(&view).await.is_ok()
            {
                told = Some((now, view));
            }
            if heard.is_none_or(|at| due(at, HEAR_EVERY)) {
                match self.hear().await {
                    Ok(views) => {
                        heard = Some(now);
                        self.publish(roll.call(&views, &self.member, self.link.now().wall));
                    }
                    Err(_) if heard.is_some_and(|at| now.since(at) >= HOLDS) => {
                        self.publish(roll.lose());
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn view(&self) -> PeerReport {
        let (now, known) = (self.link.now(), self.link.core.load());
        let failures = |surface| known.health.surface(surface).failures();
        let watched =
            [Surface::SessionMint, Surface::Handshake, Surface::BackendApi, Surface::Jwks];
        let suspicious = watched.into_iter().any(|surface| failures(surface) > 0);
        let failing = failures(Surface::SessionMint) >= 2;
        let mut view = PeerReport::new(self.member.clone(), now.wall, failing, suspicious);
        view.alive = known.health.alive;
        view
    }

    async fn tell(&self, view: &PeerReport) -> Result<(), StoreError> {
        let json = view.to_json();
        let news = match &self.seal {
            Some(seal) => seal.close(PURPOSE, &json),
            None => Seal::unmarked(&json),
        };
        let telling = self.link.fleet()?.tell(&self.member, news, HOLDS);
        tokio::time::timeout(PATIENCE, telling).await.unwrap_or(Err(StoreError::Busy))
    }

    async fn hear(&self) -> Result<Vec<AuthenticatedView>, StoreError> {
        let hearing = self.link.fleet()?.told();
        let told = tokio::time::timeout(PATIENCE, hearing).await;
        let told = told.unwrap_or(Err(StoreError::Busy))?;
        let short = told.iter().filter(|(_, news)| news.len() <= LONGEST).take(MOST);
        Ok(short.filter_map(|(_, news)| self.read(news)).collect())
    }

    fn read(&self, news: &[u8]) -> Option<AuthenticatedView> {
        let authentic = self.seal.as_ref().is_some_and(|seal| seal.open(PURPOSE, news).is_some());
        Some(AuthenticatedView { view: PeerReport::parse(Seal::peek(news)?)?, authentic })
    }

    fn publish(&self, peers: Peers) {
        let members = peers.members();
        if self.link.core.load().feeds.store.members != members {
            self.link.publish(|store| StoreHealth { members, ..store });
        }
        self.link.core.peers.send_if_modified(|present| std::mem::replace(present, peers) != peers);
    }
}
