//! The outage as a table, second by second, and in numbers.

use std::io::IsTerminal as _;

use demo_support::outcome::Outcome;

use crate::browser::Kind;
use crate::script::{STORM, detected};
use crate::tally::{Answer, Asker, Second, Server, Stranger, Tally};

/// At least every so many seconds there is a row.
const STRIDE: usize = 10;
const STRANGERS: [&[Stranger]; 4] = [
    &[Stranger::Nobody],
    &[Stranger::Forger],
    &[Stranger::Ended],
    &[Stranger::SignedOut, Stranger::NotYet],
];
const INTRODUCTION: &str = "\
One application twice, behind the layer and behind plain verification, and a simulated Clerk. Time
is virtual. Six users with live sessions ask both every second: two open the page, two call the
API, two post the form. Four strangers try the layer: one without a token, one with a forged token,
one with the last token of a session that ended earlier, and one who signs out along the way.

  200  served             307  sent to Clerk        401  treated as signed out
  200g served in grace    503  cannot be told now   a/b  the two users got different answers

A row stands for every second until the next one.
";
const HEAD: &str = "
      Clerk      behind the layer            plain verification          strangers                verdict     requests to Clerk
                 page     api      form      page     api      form      none  forged ended left              layer  plain";

pub(crate) fn print(tally: &Tally, all_seconds: bool) {
    println!("{INTRODUCTION}{HEAD}");
    let paint = Paint::new();
    let rows = rows(tally);
    let (mut shown, mut before): (usize, Option<&Row<'_>>) = (0, None);
    for (place, row) in rows.iter().enumerate() {
        if let Some(event) = row.second.event {
            println!("{}", paint.dim(&format!("      -- {event}")));
        }
        let changed = before.is_none_or(|before| !before.looks_like(row));
        if all_seconds || changed || row.second.event.is_some() || place - shown >= STRIDE {
            println!("{}", row.line(place, &paint));
            shown = place;
        }
        before = Some(row);
    }
    println!("\n{}", summary(tally));
}

struct Row<'a> {
    second: &'a Second,
    cells: Vec<Vec<Outcome>>,
}

fn rows(tally: &Tally) -> Vec<Row<'_>> {
    let width = 2 * Kind::ALL.len() + STRANGERS.len();
    let row = |second| Row { second, cells: vec![Vec::new(); width] };
    let mut rows: Vec<Row<'_>> = tally.seconds.iter().map(row).collect();
    for answer in &tally.answers {
        let place = usize::try_from(answer.second).ok();
        if let Some(row) = place.and_then(|place| rows.get_mut(place)) {
            row.cells[column(answer)].push(answer.outcome);
        }
    }
    for cell in rows.iter_mut().flat_map(|row| row.cells.iter_mut()) {
        cell.sort_unstable();
        cell.dedup();
    }
    rows
}

fn column(answer: &Answer) -> usize {
    match (answer.asker, answer.server) {
        (Asker::Person { kind, .. }, server) => kind as usize + 3 * server as usize,
        (Asker::Stranger(stranger), _) => {
            let place = STRANGERS.iter().position(|group| group.contains(&stranger));
            2 * Kind::ALL.len() + place.expect("every stranger has a column")
        }
    }
}

impl Row<'_> {
    fn looks_like(&self, other: &Self) -> bool {
        self.cells == other.cells && self.second.verdict == other.second.verdict
    }

    fn line(&self, place: usize, paint: &Paint) -> String {
        let mut line = format!("{:>5} {:<10}", clock(place as u64), self.second.clerk);
        for (place, cell) in self.cells.iter().enumerate() {
            let (gap, width) = if place < 6 { (place % 3 == 0, 9) } else { (place == 6, 6) };
            line.push_str(if gap { " " } else { "" });
            line.push_str(&paint.cell(cell, width));
        }
        let [layer, plain] = self.second.asked;
        let verdict = self.second.verdict.name();
        line + &format!(" {verdict:<11} {layer:>5} {plain:>6}")
    }
}

/// Minutes and seconds.
pub(crate) fn clock(second: u64) -> String {
    format!("{}:{:02}", second / 60, second % 60)
}

fn summary(tally: &Tally) -> String {
    let both = |name: &str, wanted: &dyn Fn(Outcome) -> bool| {
        let count = |server| {
            tally.count(|answer| {
                answer.server == server
                    && matches!(answer.asker, Asker::Person { .. })
                    && wanted(answer.outcome)
            })
        };
        format!("{name:<44}{:>8}{:>8}\n", count(Server::Layer), count(Server::Plain))
    };
    let mut text =
        format!("{:<44}{:>8}{:>8}\n", "requests of users with live sessions", "layer", "plain");
    text += &both("  served", &Outcome::is_served);
    text += &both("    of these in grace", &|outcome| outcome == Outcome::Grace);
    text += &both("  refused", &|outcome| !outcome.is_served());
    text += &both("    401", &|outcome| outcome == Outcome::Unauthorized);
    text += &both("    307, sent away to Clerk", &|outcome| outcome == Outcome::Redirect);
    text += &both("    503", &|outcome| outcome == Outcome::Unavailable);
    text + &strangers(tally) + &asked(tally)
}

fn strangers(tally: &Tally) -> String {
    let stranger = |answer: &Answer| match answer.asker {
        Asker::Stranger(stranger) => stranger != Stranger::NotYet,
        Asker::Person { .. } => false,
    };
    let all = tally.count(stranger);
    let served = tally.count(|answer| stranger(answer) && answer.outcome.is_served());
    format!("{:<44}{all:>8}\n{:<44}{served:>8}\n", "requests of strangers", "  served")
}

fn asked(tally: &Tally) -> String {
    let seconds = &tally.seconds;
    let at = |place: usize| seconds.get(place).map_or([0, 0], |second| second.asked);
    let last = seconds.len().saturating_sub(1);
    let storm = usize::try_from(STORM).unwrap_or(0);
    let healed = seconds.iter().rposition(|second| second.clerk != "healthy").unwrap_or(last);
    let rate = |from: usize, to: usize, server: usize| {
        let asked = u32::try_from(at(to)[server] - at(from)[server]).unwrap_or(u32::MAX);
        let span = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX).max(1);
        f64::from(asked) / f64::from(span)
    };
    let [layer, plain] = at(last);
    let outage = [rate(storm, healed, 0), rate(storm, healed, 1)];
    let known = detected(seconds).map_or("never".to_owned(), |after| format!("{after} s"));
    format!(
        "{:<44}{layer:>8}{plain:>8}\n{:<44}{:>8.2}{:>8.2}\n{:<44}{known:>8}\n",
        "requests to Clerk",
        "  per second of the outage",
        outage[0],
        outage[1],
        "outage known after",
    )
}

/// Colours, where they can be seen.
struct Paint {
    on: bool,
}

impl Paint {
    fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { on: wanted && std::io::stdout().is_terminal() }
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    /// The outcomes of a cell, padded; the worst of them gives the colour.
    fn cell(&self, outcomes: &[Outcome], width: usize) -> String {
        let words: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        let text = format!("{:<width$}", words.join("/"));
        match outcomes.last() {
            None | Some(Outcome::Served) => text,
            Some(Outcome::Grace) => self.with("33", &text),
            Some(Outcome::Unavailable) => self.with("35", &text),
            Some(_) => self.with("31", &text),
        }
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
