//! What must hold of whoever passes in grace, and who must pass.

use clerk_resilience::Grace;
use test_support::token::Kind;

use crate::memory::minute;
use crate::oracle::{Checked, Facts, must};
use crate::plan::{From, Millis, Route};
use crate::process::Mode;
use crate::strict::VERIFIED;

const SECOND: Millis = 1_000;
const SLACK: Millis = 60 * SECOND;
const SEEN_WITHIN: Millis = 600 * SECOND;
/// What is counted at two places may differ by this much.
const GRAIN: Millis = 5 * SECOND;
/// A token is noted when it comes for the first time, and not for the minute that it is good.
const NOTED_ONCE: i64 = 65;
/// Half a minute of good answers, a minute and a half of drain, and the time between two questions.
const DRAINED: Millis = 150 * SECOND;
/// How many tokens are usual is learnt in this much health.
const LEARNT: Millis = 60 * SECOND;
/// What a crash may lose of the time that was spent.
const CRASH: Millis = 20 * SECOND;

pub(crate) fn check(facts: &Facts<'_>) -> Checked {
    let due = is_due(facts);
    let Some(grace) = facts.answer.seen.as_ref().and_then(|seen| seen.grace.as_ref()) else {
        return must(!due, "L2", || format!("grace was due, but {}", facts.answer.reason));
    };
    facts.mode()?;
    facts.trouble()?;
    facts.token()?;
    facts.deadline(grace)?;
    facts.alive(grace)?;
    facts.evidence()?;
    facts.feeds(grace)?;
    facts.place()?;
    facts.use_of_session()?;
    facts.budget()?;
    facts.proof_of_life(grace)
}

fn is_bridge(grace: &Grace) -> bool {
    grace.reason.name() == "bridge"
}

impl Facts<'_> {
    fn mode(&self) -> Checked {
        must(self.world.mode == Mode::Enabled, "I7", || "grace that is not switched on".into())
    }

    /// G1: something is wrong with Clerk, or was until a moment ago.
    fn trouble(&self) -> Checked {
        let memory = self.memory;
        let last = memory.last_failure.map(|last| last.max(memory.born));
        let recent = last.is_some_and(|last| self.now - last <= DRAINED);
        must(recent || memory.is_forced(self.now), "I4", || "grace while Clerk is well".into())
    }

    /// G2, G3, G10: only `exp` may fail.
    fn token(&self) -> Checked {
        let kind = self.token.kind;
        must(kind.may_have_grace(), "I12", || format!("a {kind:?} token passed in grace"))
    }

    /// G5, by the true time.
    fn deadline(&self, grace: &Grace) -> Checked {
        let bounds = self.world.plan.bounds;
        let span = if is_bridge(grace) { bounds.bridge } else { bounds.max_grace } * SECOND;
        let late = self.now - self.token.exp() * SECOND;
        must(late <= span + self.memory.behind, "I1", || format!("{late} ms after exp"))?;
        let until = test_support::token::at(self.token.exp()).as_millis() + span;
        must(grace.until.as_millis() == until, "I6", || "a deadline that moved".into())
    }

    /// G4: alive at the start of the episode, which did not begin before trouble did.
    fn alive(&self, grace: &Grace) -> Checked {
        if is_bridge(grace) || self.world.plan.jumps {
            return Ok(());
        }
        // By this clock trouble may have begun earlier.
        let start = self.memory.episode + self.memory.offset.min(0);
        let signed = self.token.exp() * SECOND >= start - SLACK;
        let shown = self.memory.shown.get(&self.token.owner());
        let seen = shown.is_some_and(|at| *at >= start - SEEN_WITHIN - self.world.plan.apart());
        must(signed || seen, "I6", || {
            format!("not alive at {start}, when the episode began at the earliest")
        })
    }

    /// G6
    fn evidence(&self) -> Checked {
        let owner = self.token.owner();
        let shown = self.memory.shown.contains_key(&owner);
        must(shown, "G6", || "a session that was never seen".into())?;
        let newest = self.memory.claims.get(&owner).map_or(i64::MIN, |(claims, _)| *claims);
        let newer = self.token.claims_as_of() >= newest;
        must(newer, "G6", || "older claims than those that passed before".into())
    }

    /// G8, G9
    fn feeds(&self, grace: &Grace) -> Checked {
        let (plan, memory) = (&self.world.plan, self.memory);
        let complete = memory.deny_list.is_some_and(|at| self.now - at <= 60 * SECOND);
        must(!plan.fed || complete, "G8", || "the deny list may lack something".into())?;
        let Some(within) = plan.bounds.webhooks else { return Ok(()) };
        if plan.jumps {
            return Ok(());
        }
        let began = if is_bridge(grace) { self.token.exp() * SECOND } else { memory.episode };
        let heard =
            memory.webhook.is_some_and(|at| at >= began - within * SECOND - memory.offset.max(0));
        must(heard, "G9", || "no webhook came before the outage".into())
    }

    /// Everybody was verified at the start, and no less than ten minutes ago counts.
    fn is_verified(&self) -> bool {
        self.wall() < (self.token.iat.min(0) + VERIFIED) * SECOND
    }

    /// G11, G12, G15, G16, I11
    fn place(&self) -> Checked {
        let ask = self.ask;
        let safe = !ask.post && !ask.upgrade;
        let own = ask.from == From::SameOrigin;
        let open = match ask.route {
            Route::Read | Route::Open => safe,
            Route::Full => safe || own,
            Route::Recent => safe && self.is_verified(),
            Route::Never | Route::Pay => false,
        };
        let name = match ask.route {
            Route::Pay => "I11",
            Route::Recent => "G12",
            _ => "G11",
        };
        must(open, name, || format!("grace on {:?}", ask.route))
    }

    /// G13, G14
    fn use_of_session(&self) -> Checked {
        let (bounds, memory, owner) = (self.world.plan.bounds, self.memory, self.token.owner());
        let shown = memory.shown.get(&owner).copied().unwrap_or_default();
        let used = memory.passed.get(&owner).map_or(shown, |at| shown.max(*at));
        let apart = self.world.plan.apart();
        let spare = memory.behind.max(memory.offset.abs()) + apart + SECOND;
        let young = self.now - shown <= bounds.max_age * SECOND + spare;
        must(young, "G13", || "last seen valid too long ago".into())?;
        let awake = self.now - used <= bounds.max_idle * SECOND + spare;
        must(awake, "G13", || "silent for too long".into())?;
        let minute = minute(self.wall());
        let before = memory.in_grace.get(&(owner, minute)).copied().unwrap_or_default();
        must(before < bounds.per_minute, "G14", || format!("{before} passes before it"))
    }

    /// I5: grace went on no longer than it may, as far as passes show.
    fn budget(&self) -> Checked {
        let (bounds, memory) = (self.world.plan.bounds, self.memory);
        let spare = GRAIN + CRASH * memory.restarts + memory.behind;
        let (episode, day) = (memory.spent_in_episode, memory.spent_in_day);
        // The drain is not outage time.
        let drains = 100 * SECOND * i64::from(self.world.troubles);
        must(episode <= bounds.episode * SECOND + spare + drains, "I5", || {
            format!("{episode} ms in this episode")
        })?;
        must(day <= bounds.day * SECOND + spare + drains, "I5", || format!("{day} ms today"))
    }

    /// I2: thirty users with fresh tokens, all the time, prove that Clerk lives.
    fn proof_of_life(&self, grace: &Grace) -> Checked {
        let (world, memory) = (self.world, self.memory);
        let long = memory.failing_since.is_some_and(|since| self.now - since > 35 * SECOND);
        let calm = world.first_trouble.is_some_and(|first| first > 60 * SECOND);
        let vetoed = world.plan.crowd
            && world.faults.users_alive
            && long
            && calm
            && memory.healthy_for > LEARNT
            && !memory.is_forced(self.now)
            && !is_bridge(grace);
        must(!vetoed, "I2", || "grace while tokens are minted as usual".into())
    }

    /// Clerk says it is down, for three quarters of a minute, and nothing else is going on.
    pub(crate) fn outage_is_beyond_doubt(&self) -> bool {
        let (world, memory) = (self.world, self.memory);
        let lasting = world.faults.beyond_doubt && self.now - world.faults_since > 45 * SECOND;
        let first = world.first_trouble == Some(world.faults_since);
        let settled = memory.born == 0 || world.faults_since - memory.born > 60 * SECOND;
        let quiet = memory.forced.is_none() && !world.plan.jumps && !world.plan.crowd;
        lasting && first && settled && quiet
    }
}

/// Grace that nothing speaks against. Whoever is denied it was denied it in vain.
pub(crate) fn is_due(facts: &Facts<'_>) -> bool {
    let (world, memory, token, ask) = (facts.world, facts.memory, facts.token, facts.ask);
    let (bounds, owner) = (world.plan.bounds, token.owner());
    let late = facts.wall() - token.exp() * SECOND;
    let began = world.faults_since;
    let asked = ask.route == Route::Read && !ask.post && !ask.upgrade && facts.is_plain();
    let shown = memory.shown.get(&owner).copied();
    let used = memory.passed.get(&owner).copied();
    let minute = minute(facts.wall());
    let often = memory.expired.get(&(owner, minute)).copied().unwrap_or_default();
    let newest =
        memory.claims.get(&owner).is_none_or(|(claims, _)| token.claims_as_of() >= *claims);
    let spent = facts.now - began + GRAIN;
    let within = |at: Option<Millis>, span: i64| {
        at.is_some_and(|at| facts.now - at + world.plan.apart() < span * SECOND)
    };
    let heard =
        |span: i64| memory.webhook.is_some_and(|at| at > began - span * SECOND + 15 * SECOND);
    world.mode == Mode::Enabled
        && token.kind == Kind::Plain
        && asked
        && facts.outage_is_beyond_doubt()
        && facts.key_is_known() == Some(true)
        && memory.offset.abs() <= 5 * SECOND
        // What another instance saw comes by ticket, and only browsers have any.
        && (world.plan.instances == 1 || !world.plan.tickets)
        && late > 6 * SECOND
        && late < bounds.max_grace * SECOND
        && token.exp() * SECOND >= began - SLACK + 15 * SECOND
        && memory.claims.contains_key(&owner)
        && newest
        && within(shown, bounds.max_age - NOTED_ONCE)
        && within(used, bounds.max_idle - NOTED_ONCE)
        && spent + 15 * SECOND < bounds.episode.min(bounds.day) * SECOND
        && often <= bounds.per_minute
        && !memory.may_be_revoked(owner, token.iat)
        && (!world.plan.fed || within(memory.deny_list, 60))
        && bounds.webhooks.is_none_or(heard)
}
