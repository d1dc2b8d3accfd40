//! Asking the indexes of tables: which streams a selector wants, and what they have in which objects.

use crate::budget::Held;
use crate::error::QueryError;
use crate::read::Reader;
use crate::stats::IndexUse;
use crate::tables::{IndexedTable, OPEN_MAX};
use futures::{Stream, StreamExt, TryStreamExt};
use skald_index::{IndexedStream, Matcher, Test};
use skald_logql::ast::MatchOp;
use skald_logql::exec::Selector;
use skald_logql::regex::translate;
use skald_model::TimeRange;
use skald_store::{IndexSelection, OpenIndex};
use std::sync::Arc;

/// Pieces of index files that are read at a time.
const READS_MAX: usize = 4;
/// What a byte of an index file takes decoded, about.
const DECODED_RATIO: u64 = 16;

/// The matchers of a selector, as an index asks them. `label_values` are what streams need that have the label at all. Nothing where a pattern is none that
/// an index knows.
pub(crate) fn matchers(selector: &Selector, label_values: &[(String, Vec<String>)]) -> Option<Vec<Matcher>> {
    let of_selector = selector.matchers().iter().map(|matcher| {
        let (negated, test) = match matcher.op {
            MatchOp::Equal => (false, Test::Equals(matcher.value.clone())),
            MatchOp::NotEqual => (true, Test::Equals(matcher.value.clone())),
            MatchOp::Regex => (false, Test::Pattern(translate(&matcher.value).ok()?)),
            MatchOp::NotRegex => (true, Test::Pattern(translate(&matcher.value).ok()?)),
        };
        Some(Matcher { name: matcher.name.clone(), negated, test })
    });
    let or_absent = |values: &[String]| values.iter().cloned().chain([String::new()]).collect();
    let of_filters = label_values
        .iter()
        .map(|(name, values)| Some(Matcher { name: name.clone(), negated: false, test: Test::OneOf(or_absent(values)) }));
    of_selector.chain(of_filters).collect()
}

/// What the index of a table selects.
pub(crate) struct Chosen {
    /// Number of the table.
    pub(crate) table: usize,
    pub(crate) selection: Arc<IndexSelection>,
}

/// The index of a table did not answer, and the log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Number of the table.
    pub(crate) table: usize,
}

/// Some of the streams that an index selects. Counted until it is dropped.
pub(crate) struct IndexBatch {
    /// Number of the table.
    pub(crate) table: usize,
    pub(crate) streams: Vec<IndexedStream>,
    /// Bytes that were fetched.
    pub(crate) bytes: u64,
    _held: Held,
}

/// What each index selects, or which did not answer; nothing is read for it.
pub(crate) async fn choose(
    reader: &Reader,
    tables: &[IndexedTable],
    matchers: Option<&[Matcher]>,
    range: TimeRange,
    used: &mut IndexUse,
) -> Result<Vec<Result<Chosen, Silent>>, QueryError> {
    let indexes: Vec<(usize, Arc<OpenIndex>)> = tables.iter().map(|table| table.index.clone()).enumerate().collect();
    let chosen = futures::stream::iter(indexes).map(|(table, index)| choose_one(reader, table, index, matchers, range));
    let chosen: Vec<Result<Chosen, Silent>> = chosen.buffered(OPEN_MAX).try_collect().await?;
    used.tables += chosen.len() as u64;
    used.streams += chosen.iter().flatten().map(|chosen| chosen.selection.len() as u64).sum::<u64>();
    Ok(chosen)
}

async fn choose_one(
    reader: &Reader,
    table: usize,
    index: Arc<OpenIndex>,
    matchers: Option<&[Matcher]>,
    range: TimeRange,
) -> Result<Result<Chosen, Silent>, QueryError> {
    reader.work.check()?;
    let Some(matchers) = matchers else { return Ok(Err(Silent { table })) };
    let selection = index.select(matchers.to_vec(), range, reader.pool.as_ref()).await;
    Ok(selection.map(|selection| Chosen { table, selection: Arc::new(selection) }).map_err(|_| Silent { table }))
}

/// Labels and references of what was chosen, piece by piece.
pub(crate) fn read(reader: &Reader, chosen: Vec<Chosen>) -> impl Stream<Item = Result<Result<IndexBatch, Silent>, QueryError>> + '_ {
    let pieces = chosen
        .into_iter()
        .flat_map(|Chosen { table, selection }| (0..selection.reads().len()).map(move |piece| (table, selection.clone(), piece)));
    futures::stream::iter(pieces).map(move |(table, selection, piece)| read_piece(reader, table, selection, piece)).buffered(READS_MAX)
}

async fn read_piece(
    reader: &Reader,
    table: usize,
    selection: Arc<IndexSelection>,
    piece: usize,
) -> Result<Result<IndexBatch, Silent>, QueryError> {
    reader.work.check()?;
    let piece = &selection.reads()[piece];
    let bytes = piece.bytes();
    let held = reader.work.budget().hold(DECODED_RATIO * bytes)?;
    let read = selection.read(piece, reader.pool.as_ref()).await;
    Ok(read.map(|streams| IndexBatch { table, streams, bytes, _held: held }).map_err(|_| Silent { table }))
}
