//! Where to go on after a connection was lost.

use crate::cli::answer::Entry;
use skald_model::{Labels, Timestamp};
use std::collections::HashSet;

/// The newest time seen, and what was seen of it: a new connection begins there, and brings these again.
pub struct Resume {
    newest: Timestamp,
    /// Entries of that time.
    at_newest: HashSet<(Labels, String)>,
    /// Entries that were seen before the present connection, and their time.
    before: (Timestamp, HashSet<(Labels, String)>),
}

impl Resume {
    /// Nothing is seen yet; the first connection begins at `start`.
    pub fn new(start: Timestamp) -> Self {
        Resume { newest: start, at_newest: HashSet::new(), before: (start, HashSet::new()) }
    }

    /// Where the next connection begins.
    pub fn start(&self) -> Timestamp {
        self.newest
    }

    /// A connection begins.
    pub fn begin(&mut self) {
        self.before = (self.newest, self.at_newest.clone());
    }

    /// Notes an entry that came; false when it came already before this connection.
    pub fn is_new(&mut self, entry: &Entry) -> bool {
        let identity = || (entry.labels.clone(), entry.line.clone());
        if entry.at == self.before.0 && self.before.1.contains(&identity()) {
            return false;
        }
        if entry.at > self.newest {
            self.newest = entry.at;
            self.at_newest.clear();
        }
        if entry.at == self.newest {
            self.at_newest.insert(identity());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, line: &str) -> Entry {
        Entry { labels: Labels::empty(), at: Timestamp(at), line: line.to_owned() }
    }

    fn come(resume: &mut Resume, entries: &[(i64, &str)]) -> Vec<bool> {
        entries.iter().map(|(at, line)| resume.is_new(&entry(*at, line))).collect()
    }

    #[test]
    fn a_new_connection_goes_on_at_the_newest_time_and_drops_what_was_seen_of_it() {
        let mut resume = Resume::new(Timestamp(1));
        resume.begin();
        assert_eq!(come(&mut resume, &[(5, "a"), (7, "b"), (6, "late"), (7, "c"), (7, "c")]), [true; 5]);
        assert_eq!(resume.start(), Timestamp(7));
        resume.begin();
        assert_eq!(come(&mut resume, &[(7, "b"), (7, "c"), (7, "d"), (8, "b"), (6, "later still")]), [false, false, true, true, true]);
        assert_eq!(resume.start(), Timestamp(8));
    }

    #[test]
    fn without_an_entry_the_next_connection_begins_where_the_first_did() {
        let mut resume = Resume::new(Timestamp(3));
        resume.begin();
        resume.begin();
        assert_eq!(resume.start(), Timestamp(3));
        assert_eq!(come(&mut resume, &[(3, "a"), (2, "older")]), [true, true]);
    }
}
