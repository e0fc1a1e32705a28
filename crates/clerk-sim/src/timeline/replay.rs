//! Replay of a scenario over time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::SimClerk;
use super::super::surface::SimSurface;
use super::Scenario;

/// Maximum delay until a change: about 30 years.
const FAR: Duration = Duration::from_secs(1_000_000_000);

impl SimClerk {
    /// Replays a scenario: sets its faults and its status page, from the first phase to the last
    /// change.
    ///
    /// `labels` selects the view. `speed` divides the time between changes; a speed that is not a
    /// positive number counts as 1. Latencies are not scaled.
    ///
    /// Time is tokio's. Faults of phases without an end stay set when the future completes. A
    /// dropped future leaves the current faults in place. Every change overwrites faults that other
    /// calls have set. The future holds a handle to the instance.
    ///
    /// ```
    /// # use clerk_sim::{SimClerk, timeline};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), timeline::TimelineError> {
    /// let scenarios = timeline::parse(r#"{"scenarios": [{"name": "short", "phases": [
    ///     {"offset_s": 0, "duration_s": 60, "component": "all", "behaviour": {"status": 503}}
    /// ]}]}"#)?;
    /// let clerk = SimClerk::in_memory();
    /// clerk.replay(&scenarios[0], 60_000.0, &[]).await;
    /// # Ok(()) }
    /// ```
    pub fn replay(
        &self,
        scenario: &Scenario,
        speed: f64,
        labels: &[&str],
    ) -> impl Future<Output = ()> + Send + use<> {
        let (clerk, scenario) = (self.clone(), scenario.clone());
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        async move {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            unfold(&clerk, &scenario, speed, &labels).await;
        }
    }

    /// Sets the faults and the status page to one second of a scenario, in the view that `labels`
    /// selects.
    pub fn set_scene(&self, scenario: &Scenario, offset_s: i64, labels: &[&str]) {
        let broken = scenario.faults_at(offset_s, labels);
        for surface in SimSurface::ALL {
            let faults = broken.iter().find(|(found, _)| *found == surface);
            self.set_faults(surface, faults.map_or(&[][..], |(_, shares)| shares));
        }
        self.set_board(scenario.board_at(offset_s, labels));
    }
}

async fn unfold(clerk: &SimClerk, scenario: &Scenario, speed: f64, labels: &[&str]) {
    let (began, start) = (Instant::now(), scenario.start(labels));
    let mut offset = start;
    loop {
        clerk.set_scene(scenario, offset, labels);
        let Some(next) = scenario.next_change(offset, labels) else { return };
        sleep_until(began + compressed(next - start, speed)).await;
        offset = next;
    }
}

/// Converts a span of a scenario in seconds to real time at this speed.
fn compressed(seconds: i64, speed: f64) -> Duration {
    let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
    let span = Duration::from_secs(seconds.unsigned_abs()).as_secs_f64() / speed;
    Duration::try_from_secs_f64(span).unwrap_or(FAR).min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_speed_gives_a_time_that_can_be_waited_for() {
        assert_eq!(compressed(60, 60.0), Duration::from_secs(1));
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(compressed(60, odd), Duration::from_secs(60), "{odd}");
        }
        assert_eq!(compressed(i64::MAX, f64::MIN_POSITIVE), FAR);
    }
}
