//! What happened lately, as the page shows it.

use std::collections::VecDeque;

use demo_support::outcome::Outcome;
use serde_json::{Value, json};

use crate::browser::Kind;

/// As many seconds as the page shows.
const SHOWN: usize = 60;

/// What happened lately.
#[derive(Debug, Default)]
pub(crate) struct Log {
    beats: VecDeque<Beat>,
    pub(crate) count: u64,
    /// What of Clerk is broken, and since which beat.
    pub(crate) scene: Option<(&'static str, u64)>,
    /// How often the protected application was started anew.
    pub(crate) lives: u32,
}

/// One second of both applications; an outcome that is not there yet is `None`.
#[derive(Clone, Copy, Debug)]
struct Beat {
    number: u64,
    kind: Kind,
    outcomes: [Option<Outcome>; 2],
}

impl Log {
    /// Every fifth request is a page, every tenth a form.
    pub(crate) fn begin(&mut self) -> (u64, Kind) {
        let kind = match self.count % 10 {
            0 => Kind::Page,
            5 => Kind::Form,
            _ => Kind::Api,
        };
        let beat = Beat { number: self.count, kind, outcomes: [None; 2] };
        self.count += 1;
        self.beats.push_back(beat);
        if self.beats.len() > SHOWN {
            self.beats.pop_front();
        }
        (beat.number, kind)
    }

    pub(crate) fn note(&mut self, number: u64, server: usize, outcome: Outcome) {
        let beat = self.beats.iter_mut().find(|beat| beat.number == number);
        if let Some(beat) = beat {
            beat.outcomes[server] = Some(outcome);
        }
    }

    pub(crate) fn report(&self) -> Value {
        let beat = |beat: &Beat| {
            let words = beat.outcomes.map(|outcome| outcome.map(|outcome| outcome.to_string()));
            json!({ "number": beat.number, "kind": format!("{:?}", beat.kind), "outcomes": words })
        };
        let scene = self.scene.map(|(id, since)| json!({ "id": id, "for": self.count - since }));
        let beats: Vec<Value> = self.beats.iter().map(beat).collect();
        json!({ "beats": beats, "scene": scene, "lives": self.lives, "shown": SHOWN })
    }
}
