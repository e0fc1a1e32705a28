//! What Clerk was really like, second by second: what a timeline says, without any application's
//! view of it.

use std::time::Duration;

use clerk_resilience::sim::timeline::Scenario;
use clerk_resilience::sim::{SimBoard, SimComponentState, SimFault, SimSurface};

/// People are there so long before the first trouble.
pub(crate) const LEAD: i64 = 13 * 60;
/// And so long after the last.
pub(crate) const TAIL: i64 = 5 * 60;
/// When nothing is wrong for longer than both of these, people go home.
const HOMEWARD: i64 = 180;
const BACK_AGAIN: i64 = 240;
/// Trouble without a known end is followed for so long.
const OPEN_END: i64 = 2 * 60 * 60;
/// Nothing longer is replayed.
const LONGEST: i64 = 7 * 24 * 60 * 60;
/// An answer later than this comes too late for a probe.
const TOO_LATE: Duration = Duration::from_millis(2_500);
/// Three failures in a row can be expected when so much of minting fails.
const MOST: f64 = 0.9;
/// Another surface speaks for an outage when so much of it fails.
const MUCH: f64 = 0.5;
/// A status page is read this seldom.
const PAGE_LAG: i64 = 90;
/// Without any other signal, it takes this long until missing tokens are one.
const MISSING_LAG: i64 = 60;
/// Troubles closer together than this are one episode.
const EPISODE_GAP: i64 = 15 * 60;

/// One second.
#[derive(Clone, Copy, Debug, Default)]
struct Sky {
    /// Anything at Clerk is broken.
    trouble: bool,
    /// The share of minting that fails.
    failing: f64,
    /// The rules allow to conclude an outage from what can be seen.
    provable: bool,
    /// The beginning of the present or last episode.
    episode: Option<i64>,
    /// The first moment of that episode at which an outage could be concluded.
    proof: Option<i64>,
}

/// A stretch in which some of minting failed; `until` is the first good second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spell {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// The truth about one view of one scenario.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The first second in which anything at Clerk is broken, if ever.
    pub(crate) first_trouble: i64,
    sky: Vec<Sky>,
    /// When minting failed at all.
    pub(crate) spells: Vec<Spell>,
    /// When nearly all of it failed, and that could be proven.
    pub(crate) outages: Vec<Spell>,
}

impl Conditions {
    /// Reads a scenario in one view of it.
    pub(crate) fn of(scenario: &Scenario, labels: &[&str]) -> Result<Self, String> {
        let changes = changes(scenario, labels)?;
        let first = changes.first().map_or(0, |(at, _)| *at);
        let broken = |(_, scene): &&(i64, Scene)| scene.trouble;
        let first_trouble = changes.iter().find(broken).map_or(first, |(at, _)| *at);
        let last = changes
            .last()
            .map_or(first, |(at, scene)| at + if scene.trouble { OPEN_END } else { 0 });
        let last_trouble = changes.iter().rposition(|(_, scene)| scene.trouble);
        let over = match last_trouble.and_then(|place| changes.get(place + 1)) {
            Some((at, _)) => *at,
            None => last,
        };
        let (start, end) = (first.min(first_trouble - LEAD), over + TAIL);
        let (sky, spells, outages) = (vec![], vec![], vec![]);
        let mut conditions = Self { start, end, first_trouble, sky, spells, outages };
        conditions.fill(&changes);
        conditions.join();
        conditions.spells = conditions.stretches(|sky| sky.failing > 0.0);
        conditions.outages = conditions.stretches(|sky| sky.provable);
        Ok(conditions)
    }

    fn fill(&mut self, changes: &[(i64, Scene)]) {
        let (mut place, mut page_since, mut failing_since) = (0, None, None);
        let mut scene = Scene::default();
        for at in changes.first().map_or(self.start, |(at, _)| *at).min(self.start)..self.end {
            while changes.get(place).is_some_and(|(from, _)| *from <= at) {
                scene = changes[place].1;
                place += 1;
            }
            page_since = scene.page.then(|| page_since.unwrap_or(at));
            failing_since = (scene.failing > 0.0).then(|| failing_since.unwrap_or(at));
            let for_long = |since: Option<i64>, lag| since.is_some_and(|since| at - since >= lag);
            let page = for_long(page_since, PAGE_LAG);
            let second = scene.second || page || for_long(failing_since, MISSING_LAG);
            let proof = if scene.authentic { second } else { page };
            if at >= self.start {
                let provable = scene.failing >= MOST && proof;
                let (trouble, failing) = (scene.trouble, scene.failing);
                self.sky.push(Sky { trouble, failing, provable, episode: None, proof: None });
            }
        }
    }

    /// Troubles that are close together belong together.
    fn join(&mut self) {
        let (mut failed, mut episode, mut proof) = (None, None, None);
        for (at, sky) in (self.start..).zip(&mut self.sky) {
            if sky.failing > 0.0 {
                if failed.is_none_or(|failed| at - failed > EPISODE_GAP) {
                    (episode, proof) = (Some(at), None);
                }
                failed = Some(at);
            }
            if sky.provable {
                proof = proof.or(Some(at));
            }
            (sky.episode, sky.proof) = (episode, proof);
        }
    }

    fn stretches(&self, is_on: impl Fn(&Sky) -> bool) -> Vec<Spell> {
        let mut found: Vec<Spell> = Vec::new();
        for (at, _) in (self.start..).zip(&self.sky).filter(|(_, sky)| is_on(sky)) {
            match found.last_mut() {
                Some(last) if last.until == at => last.until = at + 1,
                _ => found.push(Spell { from: at, until: at + 1 }),
            }
        }
        found
    }

    fn sky(&self, at: i64) -> Sky {
        let place = usize::try_from(at - self.start).ok();
        place.and_then(|place| self.sky.get(place)).copied().unwrap_or_default()
    }

    /// True when anything at Clerk is ever broken.
    pub(crate) fn has_trouble(&self) -> bool {
        self.sky.iter().any(|sky| sky.trouble)
    }

    /// True while anything at Clerk is broken.
    pub(crate) fn is_troubled(&self, at: i64) -> bool {
        self.sky(at).trouble
    }

    /// True while some of minting fails.
    pub(crate) fn is_failing(&self, at: i64) -> bool {
        self.sky(at).failing > 0.0
    }

    /// True when an outage may be concluded now.
    pub(crate) fn is_provable(&self, at: i64) -> bool {
        self.sky(at).provable
    }

    /// The last stretch of failing that had begun by then.
    pub(crate) fn last_spell(&self, at: i64) -> Option<Spell> {
        let begun = self.spells.partition_point(|spell| spell.from <= at);
        self.spells[..begun].last().copied()
    }

    /// When the present or last episode began.
    pub(crate) fn episode_start(&self, at: i64) -> Option<i64> {
        self.sky(at).episode
    }

    /// When it could first be proven; when it began if it could not.
    pub(crate) fn proof_start(&self, at: i64) -> Option<i64> {
        self.sky(at).proof.or(self.episode_start(at))
    }

    /// How long minting failed between two moments.
    pub(crate) fn failed_between(&self, from: i64, to: i64) -> i64 {
        self.spells.iter().map(|spell| (spell.until.min(to) - spell.from.max(from)).max(0)).sum()
    }

    /// When people who went home come back; `None` while they are there.
    pub(crate) fn away_until(&self, at: i64) -> Option<i64> {
        let place = usize::try_from(at - self.start).ok()?;
        let calm_since =
            self.sky[..place.min(self.sky.len())].iter().rposition(|sky| sky.trouble)?;
        let next = self.sky.get(place..)?.iter().position(|sky| sky.trouble)?;
        let calm_since = self.start + i64::try_from(calm_since).ok()? + 1;
        let back = at + i64::try_from(next).ok()? - BACK_AGAIN;
        (at - calm_since >= HOMEWARD && back > at).then_some(back)
    }
}

/// What is the case from one change to the next.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Scene {
    trouble: bool,
    failing: f64,
    authentic: bool,
    second: bool,
    page: bool,
}

fn changes(scenario: &Scenario, labels: &[&str]) -> Result<Vec<(i64, Scene)>, String> {
    let start = scenario.start(labels);
    let mut found = vec![(start, Scene::at(scenario, start, labels))];
    let mut at = start;
    while let Some(next) = scenario.next_change(at, labels) {
        if next - start > LONGEST {
            return Err(format!(
                "scenario {:?} goes on for more than 7 days; shorten its phases",
                scenario.name()
            ));
        }
        at = next;
        found.push((at, Scene::at(scenario, at, labels)));
    }
    Ok(found)
}

impl Scene {
    fn at(scenario: &Scenario, at: i64, labels: &[&str]) -> Self {
        use SimSurface::{BackendApi, Handshake, Jwks, SessionMint};
        let faults = scenario.faults_at(at, labels);
        let share = |surface, wanted: &dyn Fn(Effect) -> bool| -> f64 {
            let here = faults.iter().filter(|(found, _)| *found == surface);
            let shares = here.flat_map(|(_, shares)| shares);
            shares.filter(|(_, fault)| wanted(Effect::of(fault))).map(|(share, _)| share).sum()
        };
        let authentic = |effect| effect == Effect::Authentic;
        let failing = |effect| effect != Effect::Good;
        let surfaces = [SessionMint, Handshake, Jwks, BackendApi];
        Self {
            trouble: faults.iter().any(|(surface, _)| *surface != SimSurface::StatusPage),
            failing: share(SessionMint, &failing),
            authentic: surfaces.iter().any(|surface| share(*surface, &authentic) >= MUCH),
            second: surfaces[1..].iter().any(|surface| share(*surface, &failing) >= MUCH),
            page: agrees(&scenario.board_at(at, labels)),
        }
    }
}

/// What a fault is to one who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    /// An answer of use.
    Good,
    /// A failure in Clerk's own voice.
    Authentic,
    /// A failure that could be of our own making, or a stranger's.
    Unproven,
}

impl Effect {
    fn of(fault: &SimFault) -> Self {
        match fault {
            SimFault::Status { code, .. } if code.is_server_error() || code.as_u16() == 429 => {
                Self::Authentic
            }
            SimFault::Latency(late) if *late <= TOO_LATE => Self::Good,
            SimFault::Delayed(late, inner) if *late <= TOO_LATE => Self::of(inner),
            SimFault::MissingExpiredToken => Self::Good,
            _ => Self::Unproven,
        }
    }
}

/// Whether the status page says that sessions are affected.
fn agrees(board: &SimBoard) -> bool {
    use SimComponentState::{DegradedPerformance, MajorOutage, PartialOutage};
    let sessions = ["Session management", "User and authentication"];
    let states = sessions.iter().filter_map(|name| board.components.get(*name));
    states
        .into_iter()
        .any(|state| matches!(state, DegradedPerformance | PartialOutage | MajorOutage))
}
