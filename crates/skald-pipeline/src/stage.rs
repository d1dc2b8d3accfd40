use crate::extracted::Extracted;
use crate::{Entry, Mark, Now};

/// An entry inside a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    pub(crate) entry: Entry,
    pub(crate) extracted: Extracted,
    /// Where the (first) line of the entry begins in its source.
    pub(crate) mark: Mark,
}

impl Work {
    pub(crate) fn new(entry: Entry, mark: Mark) -> Self {
        Work { extracted: Extracted::of(&entry.labels), entry, mark }
    }
}

/// What a stage decided about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On to the next stage.
    Keep,
    /// The entry ends here; the stage has counted why.
    Drop,
}

/// A stage that looks at one entry at a time and keeps nothing that could hold an entry back.
///
/// One per [`crate::Instance`], so it may have state of that source; what all instances share stands behind an `Arc`.
pub(crate) trait Stage: Send {
    /// Changes the entry or drops it. What fails inside leaves the entry as it is.
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict;
}
