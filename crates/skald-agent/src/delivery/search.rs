use std::ops::Range;

/// How often a server may refuse parts of one batch before parts are no longer divided. Enough to find some forty bad entries anywhere among thousands.
const REFUSALS_MAX: u32 = 256;
/// How often in a row parts may be too large before the rest is given up: halving finds the size of any server's limit in far fewer.
const TOO_LARGE_MAX: u32 = 64;
/// Parts of one stream with fewer entries are halved without looking at samples first.
const SAMPLED_FROM: usize = 8;
/// How many entries of a refused part of one stream must be refused alone before the whole part is given up.
const SAMPLES: usize = 4;

/// The search for the entries of a batch that a server refuses, in order within each stream, so that only these are left out.
///
/// A refused part is divided between streams while it has several, then between entries. A server may refuse all entries of a stream (they are too old, the
/// stream has too many labels), and then halving would cost two requests for each entry. So of a larger part of one stream single entries are tried first:
/// when the first, the last and two between them are all refused, all are taken to be. The number of refusals is bounded; past the bound what is refused is
/// given up as a whole.
#[derive(Debug)]
pub(crate) struct Search {
    /// Stream of each entry.
    streams: Vec<u32>,
    /// Not settled yet; the last one is next.
    parts: Vec<Part>,
    refusals: u32,
    too_large_in_row: u32,
}

#[derive(Debug)]
struct Part {
    entries: Range<usize>,
    /// `Some`: it was refused as a whole, and so were so many of its samples, each alone; those are settled.
    sampled: Option<usize>,
}

impl Search {
    /// A search among entries of these streams; the whole is one part.
    pub fn new(streams: Vec<u32>) -> Self {
        let mut search = Search { parts: Vec::new(), streams, refusals: 0, too_large_in_row: 0 };
        search.add(0..search.streams.len());
        search
    }

    /// What is to be sent next; `None` when every entry is settled.
    pub fn next(&self) -> Option<Range<usize>> {
        self.parts.last().map(|part| match part.sampled {
            Some(nth) => single(sample(&part.entries, nth)),
            None => part.entries.clone(),
        })
    }

    /// The entries that are not settled.
    pub fn rest(&self) -> impl Iterator<Item = Range<usize>> {
        self.parts.iter().flat_map(|part| gaps(&part.entries, part.sampled.unwrap_or(0)))
    }

    /// What was sent was taken.
    pub fn accepted(&mut self) {
        self.too_large_in_row = 0;
        if let Some(Part { entries, sampled: Some(nth) }) = self.parts.pop() {
            self.divide_at_samples(&entries, nth + 1);
        }
    }

    /// What was sent was refused: gives the entries that are given up for that.
    pub fn refused(&mut self) -> Vec<Range<usize>> {
        self.too_large_in_row = 0;
        self.refusals += 1;
        let Some(Part { entries, sampled }) = self.parts.pop() else { return Vec::new() };
        match sampled {
            None if entries.len() == 1 || self.refusals > REFUSALS_MAX => vec![entries],
            None => {
                self.divide(entries);
                Vec::new()
            }
            Some(nth) if nth + 1 == SAMPLES => gaps(&entries, nth).collect(),
            Some(nth) => {
                let refused = single(sample(&entries, nth));
                self.parts.push(Part { entries, sampled: Some(nth + 1) });
                vec![refused]
            }
        }
    }

    /// What was sent was too large: gives the entries that are given up for that.
    pub fn too_large(&mut self) -> Vec<Range<usize>> {
        self.too_large_in_row += 1;
        let Some(Part { entries, sampled }) = self.parts.pop() else { return Vec::new() };
        match sampled {
            Some(nth) => {
                self.divide_at_samples(&entries, nth + 1);
                vec![single(sample(&entries, nth))]
            }
            None if entries.len() == 1 || self.too_large_in_row > TOO_LARGE_MAX => vec![entries],
            None => {
                self.halve(entries);
                Vec::new()
            }
        }
    }

    /// Goes on with a part whose first `settled` samples are settled.
    fn divide_at_samples(&mut self, entries: &Range<usize>, settled: usize) {
        let left: Vec<_> = gaps(entries, settled).collect();
        match &*left {
            // That there is something to refuse is known already.
            [all] => self.halve(all.clone()),
            several => several.iter().rev().for_each(|gap| self.add(gap.clone())),
        }
    }

    fn add(&mut self, entries: Range<usize>) {
        if !entries.is_empty() {
            self.parts.push(Part { entries, sampled: None });
        }
    }

    fn divide(&mut self, entries: Range<usize>) {
        let one_stream = self.streams[entries.start] == self.streams[entries.end - 1];
        if one_stream && entries.len() >= SAMPLED_FROM {
            self.parts.push(Part { entries, sampled: Some(0) });
        } else {
            self.halve(entries);
        }
    }

    /// Two parts of about equal length, divided between two streams where there are two.
    fn halve(&mut self, entries: Range<usize>) {
        let middle = entries.start + entries.len() / 2;
        let between_streams = |at: &usize| self.streams[at - 1] != self.streams[*at];
        let before = (entries.start + 1..=middle).rev().find(between_streams);
        let after = (middle + 1..entries.end).find(between_streams);
        let at = match (before, after) {
            (Some(before), Some(after)) if after - middle < middle - before => after,
            (Some(before), _) => before,
            (None, Some(after)) => after,
            (None, None) => middle,
        };
        self.add(at..entries.end);
        self.add(entries.start..at);
    }
}

fn single(at: usize) -> Range<usize> {
    at..at + 1
}

/// Place of a sample: the first and the last entry are samples, the others lie evenly between.
fn sample(entries: &Range<usize>, nth: usize) -> usize {
    entries.start + (entries.len() - 1) * nth / (SAMPLES - 1)
}

/// The entries without the first `settled` samples.
fn gaps(entries: &Range<usize>, settled: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let entries = entries.clone();
    let start_of = |nth: usize| if nth == 0 { entries.start } else { sample(&entries, nth - 1) + 1 };
    let ends = (0..=settled).map(|nth| if nth == settled { entries.end } else { sample(&entries, nth) });
    let gaps: Vec<_> = ends.enumerate().map(|(nth, end)| start_of(nth)..end).filter(|gap| !gap.is_empty()).collect();
    gaps.into_iter()
}

#[cfg(test)]
mod tests;
