//! Judges every answer by the policy and by what is true. It asks nothing of the layer but the answer.

use std::collections::HashMap;

use clerk_resilience::Verdict;
use test_support::token::{Kind, Token};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::delivery::Delivery;
use crate::faults::Faults;
use crate::memory::{Memory, Owner, minute};
use crate::network::Asked;
use crate::plan::{Ask, Event, Millis, Plan, Route, Via};
use crate::play::Manner;
use crate::process::Mode;
use crate::tally::Tally;
use crate::{grace, strict};

/// Upstream calls of one instance within a minute: five kinds, none twice within two seconds.
const CALLS_A_MINUTE: usize = 120;
/// A request that waits for keys is answered within this time.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(3_100);

/// Something that must never happen.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) text: String,
}

/// What must hold of one answer; `Err` names what does not.
pub(crate) type Checked = Result<(), (&'static str, String)>;

pub(crate) fn must(holds: bool, invariant: &'static str, text: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err((invariant, text())) }
}

pub(crate) struct Oracle {
    pub(crate) plan: Plan,
    pub(crate) mode: Mode,
    pub(crate) instances: Vec<Memory>,
    pub(crate) faults: Faults,
    pub(crate) faults_since: Millis,
    /// The first trouble of all began here.
    pub(crate) first_trouble: Option<Millis>,
    pub(crate) troubles: u32,
    pub(crate) tally: Tally,
    pub(crate) violation: Option<Violation>,
    /// When each session was last shown anywhere, and may have got a ticket.
    vouched: HashMap<Owner, Millis>,
    /// The faults are not what they are said to be.
    blind: bool,
}

/// One answer, and what there is to know about it.
pub(crate) struct Facts<'a> {
    pub(crate) now: Millis,
    pub(crate) ask: &'a Ask,
    pub(crate) answer: &'a Answer,
    pub(crate) token: Token,
    pub(crate) memory: &'a Memory,
    pub(crate) world: &'a Oracle,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan, manner: Manner) -> Self {
        Self {
            plan: Plan { events: Vec::new(), ..plan.clone() },
            mode: manner.mode,
            instances: plan.skew[..plan.instances]
                .iter()
                .map(|skew| Memory::with_clock(*skew))
                .collect(),
            faults: Faults::fair(),
            faults_since: 0,
            first_trouble: None,
            troubles: 0,
            tally: Tally::default(),
            violation: None,
            vouched: HashMap::new(),
            blind: manner.fair_from.is_some(),
        }
    }

    /// What went over the transport.
    pub(crate) fn heard(&mut self, began: Instant, log: &[Asked]) {
        for asked in log {
            let at = asked.at.duration_since(began).as_millis();
            let at = i64::try_from(at).unwrap_or(Millis::MAX);
            self.instances[asked.instance].hears(at, asked);
        }
        let busiest = self.instances.iter().map(|memory| memory.busiest).max().unwrap_or(0);
        let checked = must(busiest <= CALLS_A_MINUTE, "I9", || {
            format!("{busiest} calls to Clerk within a minute")
        });
        self.note(checked);
    }

    /// The verdict that an instance shows; true when it is another.
    pub(crate) fn sees(&mut self, now: Millis, instance: usize, verdict: Verdict) -> bool {
        let changed = self.instances[instance].shows(now, verdict);
        if changed {
            self.tally.count(verdict.name());
        }
        changed
    }

    pub(crate) fn happens(&mut self, now: Millis, event: &Event) {
        let keeps = self.plan.keeps_state;
        match event {
            Event::Faults(faults) => {
                if faults.fault.is_some() {
                    self.troubles += 1;
                    self.first_trouble.get_or_insert(now);
                }
                (self.faults, self.faults_since) = (faults.clone(), now);
            }
            Event::Revoke(revoked) => {
                self.instances.iter_mut().for_each(|memory| memory.revokes(now, *revoked));
            }
            Event::Force(instance, verdict, secs) => {
                let until = now + i64::try_from(*secs).unwrap_or(0) * 1_000;
                self.instances[*instance].forces(now, *verdict, until);
            }
            Event::DenyListRead(instance) => self.instances[*instance].deny_list = Some(now),
            Event::Webhook(instance) => self.instances[*instance].webhook = Some(now),
            Event::Jump(instance, millis) => self.instances[*instance].jumps(*millis),
            Event::Restart(instance, ending, fate) => {
                self.tally.count("restart");
                self.instances[*instance].restarts(now, *ending, *fate, keeps);
            }
            Event::Board(_) | Event::Publish(..) | Event::Ask(_) | Event::Deliver(..) => {}
        }
    }

    /// A webhook was delivered. Whoever cannot sign tells nothing; Clerk is believed while the clocks
    /// differ by less than five minutes.
    pub(crate) fn told(&mut self, now: Millis, instance: usize, delivery: &Delivery, status: u16) {
        let memory = &mut self.instances[instance];
        let right = memory.offset.abs() < 295_000;
        let expected = if delivery.forged || !right { 400 } else { 204 };
        let doubtful = !delivery.forged && (295_000..305_000).contains(&memory.offset.abs());
        if status == 204 && !delivery.forged {
            memory.hears_of(now, delivery);
            self.tally.count("webhook");
        }
        let checked = must(status == expected || doubtful, "W1", || {
            format!("a webhook got {status}: {delivery:?}")
        });
        self.note(checked);
    }

    /// Judges an answer, and remembers what it tells.
    pub(crate) fn judge(&mut self, now: Millis, ask: &Ask, answer: &Answer) {
        self.tally.count(match answer.status {
            200 => "200",
            401 => "401",
            403 => "403",
            503 => "503",
            307 => "307",
            _ => "other",
        });
        if self.blind {
            return;
        }
        let Some(token) = ask.token else {
            let anonymous = answer.seen.is_none();
            self.note(must(anonymous, "I12", || "a session without a token".into()));
            return;
        };
        self.remember_expired(now, ask, token);
        let facts =
            Facts { now, ask, answer, token, memory: &self.instances[ask.instance], world: self };
        let checked = facts.check();
        let demanded = grace::is_due(&facts);
        self.note(checked);
        if demanded {
            self.tally.count("grace that was due");
        }
        self.remember(now, ask, token, answer);
    }

    fn note(&mut self, checked: Checked) {
        if let (Err((invariant, text)), None) = (checked, &self.violation) {
            self.violation = Some(Violation { invariant, text });
        }
    }

    /// Before the judgement: this request counts towards the pace of its session.
    fn remember_expired(&mut self, now: Millis, ask: &Ask, token: Token) {
        let memory = &mut self.instances[ask.instance];
        let minute = minute(now + memory.offset);
        if now + memory.offset >= token.exp() * 1_000 {
            *memory.expired.entry((token.owner(), minute)).or_default() += 1;
        }
        let timely = (-5_000..5_000 + (token.exp() - token.iat) * 1_000)
            .contains(&(now + memory.offset - token.iat * 1_000));
        if token.kind.is_genuine() && timely {
            memory.shown.insert(token.owner(), now);
        }
        // A ticket tells what another process has seen.
        let own = |owner: &Owner| self.plan.tickets && *owner == token.owner();
        if let Some(at) = ask.ticket.filter(own).and_then(|owner| self.vouched.get(&owner)) {
            let shown = memory.shown.entry(token.owner()).or_insert(*at);
            *shown = *at.max(shown);
        }
        if let Some(at) = memory.shown.get(&token.owner()) {
            let vouched = self.vouched.entry(token.owner()).or_insert(*at);
            *vouched = *at.max(vouched);
        }
    }

    fn remember(&mut self, now: Millis, ask: &Ask, token: Token, answer: &Answer) {
        let memory = &mut self.instances[ask.instance];
        if answer.reason == "fresh-required" && ask.route == Route::Pay {
            // The layer let it pass in grace, and the handler did not.
            memory.passed.insert(token.owner(), now);
        }
        let Some(seen) = &answer.seen else { return };
        let (owner, minute) = (token.owner(), minute(now + memory.offset));
        memory.passed.insert(owner, now);
        if let Some(grace) = &seen.grace {
            *memory.in_grace.entry((owner, minute)).or_default() += 1;
            if grace.reason.name() != "bridge" {
                memory.spends(now);
            }
            self.tally.count(grace.reason.name());
        } else {
            let (claims, at) = memory.claims.get(&owner).copied().unwrap_or((i64::MIN, 0));
            let newest = token.claims_as_of().max(claims);
            let at = if newest > claims { now } else { at };
            memory.claims.insert(owner, (newest, at));
            self.tally.count("fresh");
        }
    }
}

impl Facts<'_> {
    /// What the application's clock says.
    pub(crate) fn wall(&self) -> Millis {
        self.now + self.memory.offset
    }

    /// The key that signed the token was in the last set that came, a second ago or more; `None` when
    /// that cannot be told.
    pub(crate) fn key_is_known(&self) -> Option<bool> {
        let ((first, second), at) = self.memory.keys?;
        let key = match self.token.kind {
            Kind::Elsewhere | Kind::UnknownKey => false,
            Kind::Rotated => second,
            _ => first,
        };
        (self.now - at > 1_000).then_some(key)
    }

    fn check(&self) -> Checked {
        self.at_once()?;
        self.whose()?;
        strict::check(self)?;
        grace::check(self)
    }

    /// I10: nobody waits for Clerk but with an unknown key, and that not for long.
    fn at_once(&self) -> Checked {
        let answer = self.answer;
        let unknown = self.token.kind.may_wait() || self.key_is_known() != Some(true);
        must(!answer.waited || (unknown && answer.took <= PATIENCE), "I10", || {
            format!("the answer took {:?}", answer.took)
        })
    }

    fn whose(&self) -> Checked {
        let (user, session) = self.token.owner();
        let own = self.answer.seen.as_ref().is_none_or(|seen| {
            seen.user == format!("user_{user}") && seen.session == format!("sess_{user}_{session}")
        });
        must(own, "I12", || "somebody else's session".into())
    }

    /// A program asks on a route that demands a session.
    pub(crate) fn is_plain(&self) -> bool {
        self.ask.via != Via::Page && self.ask.route != Route::Open
    }
}
