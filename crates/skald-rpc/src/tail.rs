use crate::LabelMatcher;
use futures::stream::BoxStream;
use skald_model::{ErrorKind, Labels, Rows, Timestamp};
use std::sync::Arc;

/// Most entries that [`Missed`] names.
pub const MISSED_NAMED_MAX: usize = 1000;

/// Which entries are followed.
pub struct TailRequest {
    /// Streams.
    pub matcher: Arc<dyn LabelMatcher>,
}

/// Entries as they are acknowledged. Ends when the ingester stops; an error is its last item.
pub type TailStream = BoxStream<'static, Result<TailBatch, TailError>>;

/// Entries that were acknowledged one after the other.
#[derive(Debug, Clone, Default)]
pub struct TailBatch {
    /// In the order of acknowledgement; a stream may come several times.
    pub rows: Vec<TailRows>,
    /// What is missing among and behind these, because the reader was too slow.
    pub missed: Missed,
}

/// Entries of one stream.
#[derive(Debug, Clone)]
pub struct TailRows {
    /// The stream.
    pub labels: Labels,
    /// In arrival order.
    pub rows: Arc<Rows>,
}

/// Entries that a reader does not get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub entries: u64,
    /// Earliest and latest timestamp among them.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Stream and timestamp of the first of them, at most [`MISSED_NAMED_MAX`].
    pub named: Vec<(Labels, Timestamp)>,
}

impl Missed {
    /// Adds one entry.
    pub fn add(&mut self, labels: &Labels, at: Timestamp) {
        self.entries += 1;
        self.widen(at, at);
        if self.named.len() < MISSED_NAMED_MAX {
            self.named.push((labels.clone(), at));
        }
    }

    /// Adds all entries of `rows`.
    pub fn add_rows(&mut self, labels: &Labels, rows: &Rows) {
        let Some((min, max)) = rows.time_span() else { return };
        self.entries += rows.len() as u64;
        self.widen(min, max);
        let room = MISSED_NAMED_MAX - self.named.len();
        self.named.extend(rows.timestamps().iter().take(room).map(|at| (labels.clone(), Timestamp(*at))));
    }

    /// Adds what was missed elsewhere.
    pub fn merge(&mut self, other: Missed) {
        self.entries += other.entries;
        if let Some((min, max)) = other.span {
            self.widen(min, max);
        }
        let room = MISSED_NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(other.named.into_iter().take(room));
    }

    /// Whether nothing was missed.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn widen(&mut self, min: Timestamp, max: Timestamp) {
        let (first, last) = self.span.unwrap_or((min, max));
        self.span = Some((first.min(min), last.max(max)));
    }
}

/// Why an ingester's entries cannot be followed, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Not ready, shutting down, or out of reach.
    #[error("{0}")]
    Unavailable(String),
}

impl TailError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::from_pairs([("app", "a")]).expect("one name")
    }

    #[test]
    fn everything_missed_is_counted_and_the_first_thousand_are_named() {
        let mut missed = Missed::default();
        assert!(missed.is_empty());
        (0..999).for_each(|at| missed.add(&labels(), Timestamp(at)));
        let mut more = Missed::default();
        (-5..5).for_each(|at| more.add(&labels(), Timestamp(at)));
        missed.merge(more);
        assert_eq!((missed.entries, missed.span, missed.named.len()), (1009, Some((Timestamp(-5), Timestamp(998))), 1000));
        assert_eq!(missed.named[999], (labels(), Timestamp(-5)));
    }
}
