//! Which of several spans holds where, if the one of the largest capacity counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::capacity::Capacity;

/// A span, its end excluded, of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
    /// The line's index.
    pub(super) line: usize,
    pub(super) capacity: Capacity,
}

/// The pieces between any two ends of spans, with the line that counts in each. Found in a time that
/// grows with the number of spans: each piece is given away once.
#[derive(Debug)]
pub(super) struct Cover {
    edges: Vec<i64>,
    owners: Vec<Option<usize>>,
    /// Lines of which spans of more leave nothing, each with one of those.
    covered: BTreeMap<usize, usize>,
}

impl Cover {
    /// `frame`: a span that is looked at in any case.
    pub(super) fn of(spans: &[Span], frame: Option<(i64, i64)>) -> Self {
        let ends = spans.iter().flat_map(|span| [span.from, span.to]);
        let mut edges: Vec<i64> = ends.chain(frame.into_iter().flat_map(|(a, b)| [a, b])).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut free: Vec<usize> = (0..edges.len()).collect();
        let mut owners: Vec<Option<usize>> = vec![None; edges.len().saturating_sub(1)];
        let (mut covered, mut counts) = (BTreeMap::new(), BTreeSet::new());
        let mut sorted: Vec<&Span> = spans.iter().collect();
        sorted.sort_by_key(|span| (Reverse(span.capacity), span.line));
        let at = |edge: i64| edges.binary_search(&edge).unwrap_or_default();
        for group in sorted.chunk_by(|a, b| a.capacity == b.capacity) {
            for span in group {
                if next_free(&mut free, at(span.from)) < at(span.to) {
                    counts.insert(span.line);
                } else if let Some(Some(owner)) = owners.get(at(span.from)) {
                    covered.insert(span.line, *owner);
                }
            }
            for span in group {
                let mut piece = next_free(&mut free, at(span.from));
                while piece < at(span.to) {
                    if let (Some(owner), Some(next)) = (owners.get_mut(piece), free.get_mut(piece))
                    {
                        *owner = Some(span.line);
                        *next = piece.saturating_add(1);
                    }
                    piece = next_free(&mut free, piece);
                }
            }
        }
        covered.retain(|line, _| !counts.contains(line));
        Self { edges, owners, covered }
    }

    /// Returns each piece with its ends, and the line that counts there.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (i64, i64, Option<usize>)> {
        let ends = self.edges.iter().zip(self.edges.iter().skip(1));
        ends.zip(&self.owners).map(|((from, to), owner)| (*from, *to, *owner))
    }

    /// Returns lines that never count, each with one of more that counts in its place.
    pub(super) fn covered(&self) -> impl Iterator<Item = (usize, usize)> {
        self.covered.iter().map(|(line, by)| (*line, *by))
    }
}

/// Returns the first piece from `piece` on that no line has yet, and shortens the way there.
fn next_free(free: &mut [usize], piece: usize) -> usize {
    let mut found = piece;
    while let Some(next) = free.get(found).filter(|next| **next != found) {
        found = *next;
    }
    let mut at = piece;
    while let Some(next) = free.get_mut(at).filter(|next| **next != found && at != found) {
        at = std::mem::replace(next, found);
    }
    found
}
