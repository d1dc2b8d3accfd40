use super::batch::Batch;
use super::push::Push;
use super::search::Search;
use super::verdict::Cause;
use skald_pipeline::Text;
use std::ops::Range;
use std::sync::Arc;

/// A batch on its way, and how far it has come.
pub(crate) struct Errand<'a> {
    pub batch: &'a dyn Batch,
    /// Its tenant, or that of the client.
    pub tenant: Option<Text>,
    /// Tries in a row without a word about the entries themselves.
    pub attempts: u32,
    /// What it last waited for, unless it was given up then.
    pub waited_for: Option<Cause>,
    /// The batch taken apart; let go of while it waits.
    pub push: Option<Arc<Push>>,
    /// Which entries are settled, once the batch is not sent as a whole.
    search: Option<Search>,
    /// What the server refused, and its last word on that.
    pub refused: Refused,
}

/// Entries that a server refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub entries: u64,
    pub line_bytes: u64,
    pub status: u16,
    pub message: String,
}

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Whole,
    Part(Range<usize>),
    Nothing,
}

impl<'a> Errand<'a> {
    pub fn new(batch: &'a dyn Batch, tenant: Option<Text>) -> Self {
        Errand { batch, tenant, attempts: 0, waited_for: None, push: None, search: None, refused: Refused::default() }
    }

    pub fn next(&self) -> Next {
        match &self.search {
            None => Next::Whole,
            Some(search) => search.next().map_or(Next::Nothing, Next::Part),
        }
    }

    /// Number of entries in what is to be sent next.
    pub fn next_entries(&self) -> u64 {
        match self.next() {
            Next::Whole => self.batch.entries(),
            Next::Part(part) => part.len() as u64,
            Next::Nothing => 0,
        }
    }

    /// What was sent was taken.
    pub fn accepted(&mut self) {
        // A whole that is taken leaves nothing to search in.
        self.search.get_or_insert_with(|| Search::new(Vec::new())).accepted();
    }

    /// What was sent was refused, or too large: gives up what must be, and divides the rest.
    pub fn refused(&mut self, push: &Push, too_large: bool) {
        let search = self.search.get_or_insert_with(|| Search::new(push.streams()));
        let given_up = if too_large { search.too_large() } else { search.refused() };
        for entries in given_up {
            self.refused.entries += entries.len() as u64;
            self.refused.line_bytes += push.line_bytes(entries);
        }
    }

    /// Gives up all that is not settled: entries and bytes of their lines.
    pub fn give_up(&mut self) -> (u64, u64) {
        let settled = Search::new(Vec::new());
        self.waited_for = None;
        match (self.search.replace(settled), &self.push) {
            (Some(search), Some(push)) => {
                search.rest().fold((0, 0), |(entries, bytes), part| (entries + part.len() as u64, bytes + push.line_bytes(part)))
            }
            (Some(search), None) => (search.rest().map(|part| part.len() as u64).sum(), 0),
            (None, _) => (self.batch.entries(), self.batch.line_bytes()),
        }
    }
}
