//! Asking an open index.

use super::{IndexError, OpenIndex};
use bytes::Bytes;
use skald_index::{IndexedStream, LabelValues, Matcher, QueryError, RowBlock, Selection};
use skald_model::TimeRange;
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of rows that are read at once, unless one block has more.
const READ_MAX: u64 = 1 << 20;
/// Bytes between two blocks that are read rather than asked for apart.
const GAP_MAX: u64 = 64 << 10;

/// Streams that a question selects, by number; their labels and references are not read yet.
#[derive(Clone)]
pub struct IndexSelection {
    of: Arc<OpenIndex>,
    selection: Arc<Selection>,
    reads: Vec<RowRead>,
}

/// Neighbouring row blocks that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRead {
    range: Range<u64>,
    blocks: Vec<RowBlock>,
}

impl RowRead {
    /// Bytes that are fetched.
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl OpenIndex {
    /// Streams for which all matchers hold and whose rows may reach into `range`. Evaluated on `pool`.
    ///
    /// # Errors
    /// When a pattern cannot be evaluated, or the index is damaged.
    pub async fn select(
        self: &Arc<Self>,
        matchers: Vec<Matcher>,
        range: TimeRange,
        pool: &dyn CpuPool,
    ) -> Result<IndexSelection, IndexError> {
        let open = self.clone();
        self.ask(pool, move || {
            let selection = open.index.select(&matchers, range)?;
            let reads = joined(open.index.row_blocks(&selection));
            Ok(IndexSelection { of: open.clone(), selection: Arc::new(selection), reads })
        })
        .await
    }

    /// All streams.
    pub fn select_all(self: &Arc<Self>) -> IndexSelection {
        let selection = self.index.select_all();
        let reads = joined(self.index.row_blocks(&selection));
        IndexSelection { of: self.clone(), selection: Arc::new(selection), reads }
    }

    /// Names of the labels that any stream has, or any of a selection, ascending. Nothing is read.
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn label_names(self: &Arc<Self>, selection: Option<&IndexSelection>, pool: &dyn CpuPool) -> Result<Vec<String>, IndexError> {
        let (open, selection) = (self.clone(), selection.map(|selection| selection.selection.clone()));
        self.ask(pool, move || open.index.label_names(selection.as_deref())).await
    }

    /// Values that any stream, or any of a selection, has for a label name; or that reading the rows of the selection is less work. Nothing is read.
    ///
    /// # Errors
    /// When the index is damaged.
    pub async fn label_values(
        self: &Arc<Self>,
        name: &str,
        selection: Option<&IndexSelection>,
        pool: &dyn CpuPool,
    ) -> Result<LabelValues, IndexError> {
        let (open, selection, name) = (self.clone(), selection.map(|selection| selection.selection.clone()), name.to_owned());
        self.ask(pool, move || open.index.label_values(&name, selection.as_deref())).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        pool: &dyn CpuPool,
        question: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, IndexError> {
        match run_on_pool(pool, question).await {
            Err(Stopped) => Err(self.of.stopped()),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(QueryError::Format(source))) => Err(self.of.found_damaged(source)),
            Ok(Err(source @ (QueryError::Pattern { .. } | QueryError::PatternTooLarge { .. }))) => {
                Err(IndexError::Question { name: self.of.name.clone(), source })
            }
        }
    }
}

impl IndexSelection {
    /// Number of streams.
    pub fn len(&self) -> usize {
        self.selection.len()
    }

    /// Whether no stream is selected.
    pub fn is_empty(&self) -> bool {
        self.selection.is_empty()
    }

    /// Bytes to fetch for labels and references of all streams. Decoded they take several times as much.
    pub fn bytes(&self) -> u64 {
        self.reads.iter().map(RowRead::bytes).sum()
    }

    /// What to read, one after the other, for the streams in the order of their labels. A caller that has enough, or has no room for more, stops.
    pub fn reads(&self) -> &[RowRead] {
        &self.reads
    }

    /// Labels and references of the streams that one of [`IndexSelection::reads`] has, decoded on `pool`.
    ///
    /// # Errors
    /// When the store does not give the bytes, or they are damaged.
    pub async fn read(&self, read: &RowRead, pool: &dyn CpuPool) -> Result<Vec<IndexedStream>, IndexError> {
        let bytes = self.of.of.read(read.range.clone()).await?;
        self.of.of.shelf.metrics.row_bytes.inc_by(read.bytes());
        let (open, selection, read) = (self.of.clone(), self.selection.clone(), read.clone());
        self.of.ask(pool, move || decode(&open, &selection, &read, &bytes)).await
    }
}

fn decode(open: &OpenIndex, selection: &Selection, read: &RowRead, bytes: &Bytes) -> Result<Vec<IndexedStream>, QueryError> {
    let mut streams = Vec::new();
    for block in &read.blocks {
        let at = |offset: u64| (offset - read.range.start) as usize;
        streams.extend(open.index.streams(block, &bytes[at(block.range.start)..at(block.range.end)], selection)?);
    }
    Ok(streams)
}

/// Blocks that are close to each other, together.
fn joined(blocks: Vec<RowBlock>) -> Vec<RowRead> {
    let mut reads: Vec<RowRead> = Vec::new();
    for block in blocks {
        match reads.last_mut() {
            Some(last) if block.range.start - last.range.end <= GAP_MAX && block.range.end - last.range.start <= READ_MAX => {
                last.range.end = block.range.end;
                last.blocks.push(block);
            }
            _ => reads.push(RowRead { range: block.range.clone(), blocks: vec![block] }),
        }
    }
    reads
}
