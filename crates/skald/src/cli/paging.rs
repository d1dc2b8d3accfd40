//! Walks a span of time page by page without losing or repeating an entry.

use super::answer::Entry;
use super::error::CliError;
use skald_model::{Labels, TimeRange, Timestamp};
use std::collections::HashMap;

/// What to ask for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Which time.
    pub range: TimeRange,
    /// Most entries.
    pub limit: u64,
}

/// State of a walk.
///
/// Each page begins at the last time of the one before, because more entries may have that time; those that were seen are
/// known by their labels and line, and left out.
#[derive(Debug)]
pub struct Paging {
    /// What has not been walked yet.
    range: TimeRange,
    forward: bool,
    batch: u64,
    /// How many entries are still wanted.
    wanted: u64,
    /// Entries seen at the last time, and how often.
    seen: HashMap<(Labels, String), u64>,
    seen_at: Option<Timestamp>,
    done: bool,
}

impl Paging {
    /// A walk over `range`; `limit` 0 wants everything.
    pub fn new(range: TimeRange, forward: bool, batch: u32, limit: u64) -> Self {
        let wanted = if limit == 0 { u64::MAX } else { limit };
        Paging { range, forward, batch: u64::from(batch), wanted, seen: HashMap::new(), seen_at: None, done: false }
    }

    /// What to ask for next; nothing when the walk is at its end.
    ///
    /// # Errors
    /// [`CliError::BatchTooSmall`] when the entries of one time fill a whole page, so that no page leads past them.
    pub fn next_page(&self) -> Result<Option<Page>, CliError> {
        if self.done {
            return Ok(None);
        }
        let seen = self.seen.values().sum();
        match (self.seen_at, self.batch <= seen) {
            (Some(at), true) => Err(CliError::BatchTooSmall { batch: self.batch as usize, at: at.0 }),
            _ => Ok(Some(Page { range: self.range, limit: self.batch.min(self.wanted.saturating_add(seen)) })),
        }
    }

    /// Takes the answer to `page`; returns its new entries in the order of the walk.
    ///
    /// # Errors
    /// [`CliError::BatchTooSmall`] when a full page holds nothing new.
    pub fn take(&mut self, page: &Page, mut entries: Vec<Entry>) -> Result<Vec<Entry>, CliError> {
        let full = entries.len() as u64 >= page.limit;
        match self.forward {
            true => entries.sort_by_key(|entry| entry.at),
            false => entries.sort_by_key(|entry| std::cmp::Reverse(entry.at)),
        }
        let (at, mut repeats) = (self.seen_at, self.seen.clone());
        entries.retain(|entry| Some(entry.at) != at || !is_repeat(&mut repeats, entry));
        entries.truncate(usize::try_from(self.wanted).unwrap_or(usize::MAX));
        if self.wanted != u64::MAX {
            self.wanted -= entries.len() as u64;
        }
        match (entries.last(), at) {
            (None, Some(at)) if full => return Err(CliError::BatchTooSmall { batch: self.batch as usize, at: at.0 }),
            (None, _) => self.done = true,
            (Some(last), _) => self.advance(last.at, &entries),
        }
        self.done |= !full || self.wanted == 0 || self.range.is_empty();
        Ok(entries)
    }

    fn advance(&mut self, last: Timestamp, entries: &[Entry]) {
        if self.seen_at != Some(last) {
            self.seen.clear();
        }
        self.seen_at = Some(last);
        for entry in entries.iter().rev().take_while(|entry| entry.at == last) {
            *self.seen.entry((entry.labels.clone(), entry.line.clone())).or_default() += 1;
        }
        match self.forward {
            true => self.range.start = last,
            false => self.range.end = Timestamp(last.0.saturating_add(1)),
        }
    }
}

fn is_repeat(repeats: &mut HashMap<(Labels, String), u64>, entry: &Entry) -> bool {
    match repeats.get_mut(&(entry.labels.clone(), entry.line.clone())) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream: &str, at: i64, line: &str) -> Entry {
        Entry { labels: Labels::from_pairs([("s", stream)]).expect("one name"), at: Timestamp(at), line: line.to_owned() }
    }

    /// Answers a page from `stored` as a server does.
    fn answer(stored: &[Entry], page: &Page, forward: bool) -> Vec<Entry> {
        let mut found: Vec<Entry> = stored.iter().filter(|e| page.range.contains(e.at)).cloned().collect();
        found.sort_by_key(|e| if forward { e.at.0 } else { -e.at.0 });
        found.truncate(page.limit as usize);
        // Stream by stream, as in an answer.
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    fn walk(stored: &[Entry], forward: bool, batch: u32, limit: u64) -> Result<Vec<Entry>, CliError> {
        let mut paging = Paging::new(TimeRange::new(Timestamp(0), Timestamp(1000)), forward, batch, limit);
        let mut all = Vec::new();
        while let Some(page) = paging.next_page()? {
            all.extend(paging.take(&page, answer(stored, &page, forward))?);
        }
        Ok(all)
    }

    #[test]
    fn every_entry_comes_once_whatever_the_batch() {
        let stored: Vec<Entry> =
            (0..60).flat_map(|i| [entry("a", i / 3, "same"), entry("b", i / 3, "same"), entry("a", i / 4, &format!("line {i}"))]).collect();
        for forward in [true, false] {
            for batch in [11, 12, 13, 50, 179, 180, 181, 1000] {
                let mut got = walk(&stored, forward, batch, 0).expect("no time fills a batch");
                assert!(got.is_sorted_by_key(|e| if forward { e.at.0 } else { -e.at.0 }));
                let key = |e: &Entry| (e.at, e.labels.clone(), e.line.clone());
                got.sort_by_key(key);
                let mut want = stored.clone();
                want.sort_by_key(key);
                assert_eq!(got, want, "forward {forward}, batch {batch}");
            }
        }
    }

    #[test]
    fn the_limit_is_kept_across_pages() {
        let stored: Vec<Entry> = (0..100).map(|i| entry("a", i / 2, &i.to_string())).collect();
        for (batch, limit) in [(10, 1), (10, 10), (10, 25), (7, 99), (7, 500)] {
            assert_eq!(walk(&stored, true, batch, limit).expect("fits").len() as u64, limit.min(100), "{batch} {limit}");
        }
        let newest = walk(&stored, false, 3, 5).expect("fits");
        assert_eq!(newest.iter().map(|e| e.at.0).collect::<Vec<_>>(), [49, 49, 48, 48, 47]);
    }

    #[test]
    fn a_time_that_fills_a_batch_is_an_error_and_a_larger_batch_helps() {
        let stored: Vec<Entry> = (0..10_000).map(|i| entry("a", 5, &i.to_string())).collect();
        let error = walk(&stored, true, 1000, 0).expect_err("a page cannot get past");
        assert!(error.to_string().contains("--batch"));
        assert_eq!(walk(&stored, true, 10_001, 0).expect("fits").len(), 10_000);
        assert_eq!(walk(&stored, true, 10_000, 10_000).expect("wanted no more").len(), 10_000);
    }

    #[test]
    fn nothing_found_ends_the_walk() {
        assert_eq!(walk(&[], true, 10, 0).expect("empty"), []);
    }
}
