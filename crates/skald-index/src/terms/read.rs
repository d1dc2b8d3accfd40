use super::directory::Files;
use super::{FILE_COUNT, text};
use crate::selection::{Selection, ones};
use crate::{BLOCK_STREAMS, FormatError};
use std::sync::Arc;
use tantivy::columnar::ColumnValues;
use tantivy::directory::OwnedBytes;
use tantivy::postings::{BlockSegmentPostings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Index, InvertedIndexReader, SegmentReader, TERMINATED, TantivyError};
use tantivy_fst::Automaton;

/// The dictionary of an index file, and what it leads to.
pub(crate) struct Terms {
    index: Arc<InvertedIndexReader>,
    min_times: Arc<dyn ColumnValues<i64>>,
    max_times: Arc<dyn ColumnValues<i64>>,
    streams: u32,
}

/// Where the streams of a term stand.
#[derive(Clone)]
pub(crate) struct Posting(TermInfo);

impl Posting {
    /// How many streams have the term.
    pub(crate) fn len(&self) -> u32 {
        self.0.doc_freq
    }
}

/// Streams whose times are looked at together.
const BLOCK: usize = BLOCK_STREAMS as usize;
/// From more wanted ones of these on, the times of all are read in one go.
const RANGE_READ_MIN: u32 = 4;

fn unreadable(err: impl Into<TantivyError>) -> FormatError {
    FormatError::Terms(text(err))
}

impl Terms {
    /// Opens files whose checksums were verified. Nothing of them is decoded yet.
    pub(crate) fn open(files: [OwnedBytes; FILE_COUNT]) -> Result<Self, FormatError> {
        let index = Index::open(Files(files)).map_err(unreadable)?;
        let segments = index.searchable_segments().map_err(unreadable)?;
        let [segment] = &segments[..] else {
            return Err(FormatError::Terms(format!("they have {} segments", segments.len())));
        };
        let reader = SegmentReader::open(segment).map_err(unreadable)?;
        let field = reader.schema().get_field("t").map_err(unreadable)?;
        let column = |name| reader.fast_fields().column_first_or_default::<i64>(name).map_err(unreadable);
        Ok(Terms {
            index: reader.inverted_index(field).map_err(unreadable)?,
            min_times: column("a")?,
            max_times: column("b")?,
            streams: reader.max_doc(),
        })
    }

    /// Number of streams.
    pub(crate) fn streams(&self) -> u32 {
        self.streams
    }

    /// The streams of a term, if there are any.
    pub(crate) fn find(&self, term: &[u8]) -> Result<Option<Posting>, FormatError> {
        Ok(self.index.terms().get(term).map_err(unreadable)?.map(Posting))
    }

    /// Walks through the terms that begin with `prefix` (which does not end in FF FF), ascending.
    ///
    /// # Errors
    /// Also when terms do not ascend.
    pub(crate) fn scan(&self, prefix: &[u8], mut each: impl FnMut(&[u8], Posting) -> Result<(), FormatError>) -> Result<(), FormatError> {
        let range = self.index.terms().range().ge(prefix).lt(successor(prefix));
        let mut stream = range.into_stream().map_err(unreadable)?;
        let mut before: Option<Vec<u8>> = None;
        while let Some((term, info)) = stream.next() {
            let rises = before.as_deref().is_none_or(|before| before < term);
            let Some(rest) = term.strip_prefix(prefix).filter(|_| rises) else {
                return Err(FormatError::Terms("terms do not ascend".into()));
            };
            each(rest, Posting(info.clone()))?;
            let before = before.get_or_insert_default();
            before.clear();
            before.extend_from_slice(term);
        }
        Ok(())
    }

    /// Walks through the terms that begin with `prefix` and that the automaton accepts as a whole, ascending.
    pub(crate) fn search<A: Automaton>(
        &self,
        prefix: &[u8],
        automaton: A,
        mut each: impl FnMut(Posting) -> Result<(), FormatError>,
    ) -> Result<(), FormatError>
    where
        A::State: Clone,
    {
        let range = self.index.terms().search(automaton).ge(prefix).lt(successor(prefix));
        let mut stream = range.into_stream().map_err(unreadable)?;
        while let Some((_, info)) = stream.next() {
            each(Posting(info.clone()))?;
        }
        Ok(())
    }

    /// How many terms begin with `prefix`. Cost: two look-ups.
    pub(crate) fn count(&self, prefix: &[u8]) -> Result<u64, FormatError> {
        let place = |term: &[u8]| {
            let mut stream = self.index.terms().range().ge(term).into_stream().map_err(unreadable)?;
            let place = if stream.advance() { stream.term_ord() } else { self.index.terms().num_terms() as u64 };
            Ok::<u64, FormatError>(place)
        };
        Ok(place(&successor(prefix))?.saturating_sub(place(prefix)?))
    }

    /// The streams of a posting, ascending, with a way to skip.
    pub(crate) fn walk(&self, posting: &Posting) -> Result<Streams, FormatError> {
        self.index.read_postings_from_terminfo(&posting.0, IndexRecordOption::Basic).map(Streams).map_err(unreadable)
    }

    /// Reads many postings whole, one after the other: less work for each than [`Terms::walk`].
    pub(crate) fn blocks(&self) -> Blocks<'_> {
        Blocks { terms: self, postings: None }
    }

    /// Keeps the streams of `selection` whose span of time overlaps the closed span from `first` to `last`.
    pub(crate) fn retain_overlapping(&self, selection: &mut Selection, first: i64, last: i64) {
        let (mut min_times, mut max_times) = ([0; BLOCK], [0; BLOCK]);
        for block in 0..self.streams.div_ceil(BLOCK as u32) {
            let (wanted, start) = (selection.block(block), block * BLOCK as u32);
            if wanted == 0 {
                continue;
            }
            if wanted.count_ones() > RANGE_READ_MIN {
                let len = BLOCK.min((self.streams - start) as usize);
                self.min_times.get_range(u64::from(start), &mut min_times[..len]);
                self.max_times.get_range(u64::from(start), &mut max_times[..len]);
            } else {
                for place in ones(u64::from(wanted)) {
                    min_times[place as usize] = self.min_times.get_val(start + place);
                    max_times[place as usize] = self.max_times.get_val(start + place);
                }
            }
            for place in ones(u64::from(wanted)) {
                if min_times[place as usize] > last || max_times[place as usize] < first {
                    selection.remove(start + place);
                }
            }
        }
    }
}

/// The first text behind all those that begin with `prefix`.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    match end.last_mut() {
        Some(last) if *last < u8::MAX => *last += 1,
        // Behind the separator stands UTF-8, so that another FF is behind everything.
        _ => end.push(u8::MAX),
    }
    end
}

/// Reads postings one after the other, and makes room for them once.
pub(crate) struct Blocks<'a> {
    terms: &'a Terms,
    postings: Option<BlockSegmentPostings>,
}

impl Blocks<'_> {
    /// Calls `each` with blocks of ascending streams, until it says that it has seen enough.
    pub(crate) fn read(&mut self, posting: &Posting, mut each: impl FnMut(&[u32]) -> bool) -> Result<(), FormatError> {
        let index = &self.terms.index;
        let postings = match self.postings.take() {
            Some(mut postings) => {
                index.reset_block_postings_from_terminfo(&posting.0, &mut postings).map_err(unreadable)?;
                postings
            }
            None => index.read_block_postings_from_terminfo(&posting.0, IndexRecordOption::Basic).map_err(unreadable)?,
        };
        let postings = self.postings.insert(postings);
        for _ in 0..posting.len().div_ceil(128) {
            if !each(postings.docs()) {
                break;
            }
            postings.advance();
        }
        Ok(())
    }
}

/// The streams of one term, from the first on.
pub(crate) struct Streams(SegmentPostings);

impl Streams {
    /// The current stream, if there is one.
    pub(crate) fn current(&self) -> Option<u32> {
        Some(self.0.doc()).filter(|stream| *stream != TERMINATED)
    }

    /// Goes to the first stream that is not before `stream`.
    pub(crate) fn seek(&mut self, stream: u32) -> Option<u32> {
        if self.0.doc() < stream {
            self.0.seek(stream);
        }
        self.current()
    }
}
