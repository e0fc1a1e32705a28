//! One outage from start to end.

use super::super::faults::Shares;
use super::super::status_page::SimBoard;
use super::super::surface::SimSurface;
use super::TimelineError;
use super::phase::Phase;
use super::wire::RawScenario;

/// One outage of a timeline. See the [module](super) for the rules.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    summary: String,
    phases: Vec<Phase>,
    views: Vec<Vec<String>>,
}

impl Scenario {
    pub(super) fn new(raw: RawScenario) -> Result<Self, TimelineError> {
        let RawScenario { name, summary, documented_total_s: total, phases } = raw;
        let phases = phases.into_iter().enumerate().map(|(place, phase)| {
            Phase::new(phase, total).map_err(|problem| TimelineError::Phase {
                scenario: name.clone(),
                phase: place,
                problem,
            })
        });
        let phases = phases.collect::<Result<Vec<_>, _>>()?;
        let views = views(&phases);
        Ok(Self { name, summary, phases, views })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a summary of the outage, in a sentence or two; may be empty.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Returns the groups of labels that are alternatives of each other, in the order of the
    /// timeline. A label without alternatives is in no group.
    pub fn views(&self) -> impl Iterator<Item = &[String]> {
        self.views.iter().map(Vec::as_slice)
    }

    /// Returns the broken surfaces in this view, with the share of requests of each fault.
    /// `offset_s` counts seconds from the scenario's zero.
    #[must_use]
    pub fn faults_at(&self, offset_s: i64, labels: &[&str]) -> Vec<(SimSurface, Shares)> {
        let on: Vec<&Phase> = self.seen(labels).filter(|phase| phase.is_on(offset_s)).collect();
        let broken = SimSurface::ALL.map(|surface| (surface, shares(surface, &on)));
        broken.into_iter().filter(|(_, shares)| !shares.is_empty()).collect()
    }

    /// Returns the content of the status page in this view; `offset_s` counts seconds from the
    /// scenario's zero. The active phase that began last decides. Without one, all components are
    /// operational.
    #[must_use]
    pub fn board_at(&self, offset_s: i64, labels: &[&str]) -> SimBoard {
        let on = self.seen(labels).filter(|phase| phase.is_on(offset_s));
        let said = on.filter_map(|phase| Some((phase.start, phase.board.as_ref()?)));
        said.max_by_key(|(start, _)| *start).map(|(_, board)| board.clone()).unwrap_or_default()
    }

    /// Returns the first second of the first phase in this view, or 0 without phases.
    #[must_use]
    pub fn start(&self, labels: &[&str]) -> i64 {
        self.seen(labels).map(|phase| phase.start).min().unwrap_or(0)
    }

    /// Returns the next second after `offset_s` at which faults or the status page may change in
    /// this view. `None` if there is no further change.
    #[must_use]
    pub fn next_change(&self, offset_s: i64, labels: &[&str]) -> Option<i64> {
        self.seen(labels).filter_map(|phase| phase.next_change(offset_s)).min()
    }

    /// Returns the phases that apply in this view.
    fn seen(&self, labels: &[&str]) -> impl Iterator<Item = &Phase> {
        let counts = move |label: &str| {
            let Some(group) = self.views.iter().find(|group| group.iter().any(|l| l == label))
            else {
                return true;
            };
            if group.iter().any(|rival| labels.contains(&rival.as_str())) {
                labels.contains(&label)
            } else {
                group.first().is_some_and(|first| first == label)
            }
        };
        self.phases.iter().filter(move |phase| phase.label.as_deref().is_none_or(counts))
    }
}

/// Returns the faults of the phases with the most specific component for a surface.
fn shares(surface: SimSurface, on: &[&Phase]) -> Shares {
    let closeness = |phase: &&&Phase| phase.component.closeness(surface);
    let closest = on.iter().filter_map(|phase| closeness(&phase)).max();
    let of_closest = on.iter().filter(|phase| closest.is_some() && closeness(phase) == closest);
    of_closest.filter_map(|phase| phase.fault.clone()).collect()
}

/// Returns the groups of labels whose phases overlap, directly or through others. Single labels are
/// left out.
fn views(phases: &[Phase]) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for label in phases.iter().filter_map(|phase| phase.label.as_ref()) {
        if groups.iter().any(|group| group.contains(label)) {
            continue;
        }
        let mut group = vec![label.clone()];
        let mut place = 0;
        while let Some(member) = group.get(place).cloned() {
            for rival in rivals(&member, phases) {
                if !group.contains(rival) {
                    group.push(rival.clone());
                }
            }
            place += 1;
        }
        groups.push(group);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Returns the labels of phases that overlap a phase with this label.
fn rivals<'a>(label: &str, phases: &'a [Phase]) -> impl Iterator<Item = &'a String> {
    let own: Vec<&Phase> =
        phases.iter().filter(|phase| phase.label.as_deref() == Some(label)).collect();
    let overlaps = move |phase: &&Phase| own.iter().any(|mine| mine.overlaps(phase));
    phases.iter().filter(overlaps).filter_map(|phase| phase.label.as_ref())
}
