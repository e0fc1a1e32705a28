//! Path patterns that match in linear time.
//!
//! Clients choose the path, so a backtracking matcher could run for seconds. This matcher fills a
//! table instead: for each part of the pattern and each position in the path, whether the rests
//! match. Each cell is computed once. The `regex` crate would also work, but none of its other
//! features is needed here.

/// A pattern of [`OrganizationSync`](super::OrganizationSync).
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<PatternPart>);

#[derive(Clone, Debug)]
enum PatternPart {
    Text(String),
    Segment(String),
    Rest,
}

/// The values that a pattern captured from a path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) id: Option<String>,
    pub(super) slug: Option<String>,
}

impl Pattern {
    /// Parses a pattern. `None` for an empty pattern, and for one with an unsupported operator.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = Some(text).filter(|text| !text.trim().is_empty())?;
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix("(.*)") {
                parts.push(PatternPart::Rest);
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix(':') {
                let end = tail.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let (name, tail) = tail.split_at(end.unwrap_or(tail.len()));
                parts.push(PatternPart::Segment(Some(name).filter(|n| !n.is_empty())?.to_owned()));
                rest = tail;
            } else {
                let end = rest.find([':', '(']).unwrap_or(rest.len());
                let (text, tail) = rest.split_at(end);
                if text.is_empty() || text.contains(['*', '+', '?', '{', '}', ')', '\\']) {
                    return None;
                }
                parts.push(PatternPart::Text(text.to_owned()));
                rest = tail;
            }
        }
        Some(Self(parts))
    }

    /// Matches a whole path and ignores a slash at its end. Each `(.*)` is greedy, the first one
    /// first.
    pub(super) fn matches(&self, path: &str) -> Option<Found> {
        let table = MatchTable::new(&self.0, path);
        let (mut at, mut found) = (0, Found::default());
        for (index, part) in self.0.iter().enumerate() {
            let end = table.end(index, part, at)?;
            if let PatternPart::Segment(name) = part {
                let value = || path.get(at..end).map(str::to_owned);
                match name.as_str() {
                    "id" => found.id = value(),
                    "slug" => found.slug = value(),
                    _ => {}
                }
            }
            at = end;
        }
        table.is_match(self.0.len(), at).then_some(found)
    }
}

/// The table of matches between the rests of a pattern and the rests of a path.
struct MatchTable<'a> {
    path: &'a str,
    /// One row per part and one for the end of the pattern, with a cell for each position.
    rows: Vec<Vec<bool>>,
    /// For each position, the end of the segment that begins there.
    segments: Vec<usize>,
}

impl<'a> MatchTable<'a> {
    fn new(parts: &[PatternPart], path: &'a str) -> Self {
        let mut table = Self { path, rows: Vec::new(), segments: segments(path) };
        let end = (0..=path.len()).map(|at| matches!(&path.as_bytes()[at..], b"" | b"/"));
        let mut rows = vec![end.collect::<Vec<_>>()];
        for part in parts.iter().rev() {
            let next = &rows[rows.len() - 1];
            rows.push(table.row(part, next));
        }
        rows.reverse();
        table.rows = rows;
        table
    }

    /// Computes the row of a part from the row of the next part.
    fn row(&self, part: &PatternPart, next: &[bool]) -> Vec<bool> {
        let mut row = vec![false; next.len()];
        for at in (0..next.len()).rev() {
            row[at] = match part {
                PatternPart::Rest => self.may_end(at) && next[at] || row.get(at + 1) == Some(&true),
                part => self.fixed_end(part, at).is_some_and(|end| next[end]),
            };
        }
        row
    }

    /// Returns the end of a part that begins at `at`, if the rest of the pattern matches the rest
    /// of the path.
    fn end(&self, index: usize, part: &PatternPart, at: usize) -> Option<usize> {
        let good = |end: &usize| self.is_match(index + 1, *end);
        match part {
            PatternPart::Rest => {
                (at..=self.path.len()).rev().filter(|end| self.may_end(*end)).find(good)
            }
            part => self.fixed_end(part, at).filter(good),
        }
    }

    /// Returns the end of a text or a segment that begins at `at`; there is at most one.
    fn fixed_end(&self, part: &PatternPart, at: usize) -> Option<usize> {
        match part {
            PatternPart::Text(text) => {
                let found = self.path.as_bytes().get(at..at + text.len())?;
                found.eq_ignore_ascii_case(text.as_bytes()).then_some(at + text.len())
            }
            PatternPart::Segment(_) => Some(self.segments[at]).filter(|end| *end > at),
            PatternPart::Rest => None,
        }
    }

    /// Returns true when a `(.*)` may end at this position: between two characters.
    fn may_end(&self, at: usize) -> bool {
        self.path.is_char_boundary(at)
    }

    fn is_match(&self, index: usize, at: usize) -> bool {
        self.rows[index][at]
    }
}

/// Returns the next segment end for each position.
fn segments(path: &str) -> Vec<usize> {
    let mut ends = vec![path.len(); path.len() + 1];
    for (at, byte) in path.bytes().enumerate().rev() {
        ends[at] = if matches!(byte, b'/' | b'#' | b'?') { at } else { ends[at + 1] };
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by going back and trying again, which takes exponential time.
    fn step(parts: &[PatternPart], path: &str, found: Found) -> Option<Found> {
        let Some((part, parts)) = parts.split_first() else {
            return matches!(path, "" | "/").then_some(found);
        };
        match part {
            PatternPart::Text(text) => {
                let start = path.get(..text.len())?;
                start.eq_ignore_ascii_case(text).then(|| step(parts, &path[text.len()..], found))?
            }
            PatternPart::Segment(name) => {
                let end = path.find(['/', '#', '?']).unwrap_or(path.len());
                let (segment, path) = path.split_at(end);
                let value = Some(segment).filter(|segment| !segment.is_empty())?.to_owned();
                let found = match name.as_str() {
                    "id" => Found { id: Some(value), ..found },
                    "slug" => Found { slug: Some(value), ..found },
                    _ => found,
                };
                step(parts, path, found)
            }
            PatternPart::Rest => {
                let ends = (0..=path.len()).rev().filter(|end| path.is_char_boundary(*end));
                ends.into_iter().find_map(|end| step(parts, &path[end..], found.clone()))
            }
        }
    }

    fn text(random: &mut fastrand::Rng, pieces: &[&str], most: usize) -> String {
        (0..random.usize(..=most)).map(|_| pieces[random.usize(..pieces.len())]).collect()
    }

    #[test]
    fn the_matcher_agrees_with_a_backtracking_search() {
        let mut random = fastrand::Rng::with_seed(11);
        let pieces = ["(.*)", ":slug", ":id", ":x", "/", "a", "/a", "Bé", "-"];
        let (mut matched, mut several) = (0, 0);
        for _ in 0..30_000 {
            let pattern = text(&mut random, &pieces, 6);
            let Some(pattern) = Pattern::parse(&pattern) else { continue };
            let path = text(&mut random, &["/", "a", "A", "bé", "é", "-", "?", "#", "/a"], 9);
            let expected = step(&pattern.0, &path, Found::default());
            assert_eq!(pattern.matches(&path), expected, "{pattern:?} {path}");
            let rests = pattern.0.iter().filter(|part| matches!(part, PatternPart::Rest)).count();
            matched += usize::from(expected.is_some());
            several +=
                usize::from(expected.is_some_and(|found| found != Found::default()) && rests > 1);
        }
        assert!(matched > 1_000 && several > 20, "{matched} {several}");
    }

    #[test]
    fn the_work_grows_with_pattern_and_path_and_no_faster() {
        let path = "/orgs/a".repeat(64 * 1024 / 7);
        for (pattern, last) in [
            ("/(.*)/orgs/:slug/(.*)/edit", "/edit"),
            ("/(.*)/(.*)/(.*)/x", "/x"),
            ("(.*)(.*)(.*)(.*)(.*)b", "b"),
        ] {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            let table = MatchTable::new(&pattern.0, &path);
            let cells: usize = table.rows.iter().map(Vec::len).sum();
            assert_eq!(cells, (pattern.0.len() + 1) * (path.len() + 1));
            assert_eq!(pattern.matches(&path), None);
            assert!(pattern.matches(&format!("{path}{last}")).is_some());
        }
    }
}
