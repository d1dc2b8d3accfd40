//! One entry, counted once: finds the rows of a stream that several sources hold.
//!
//! Sources that do not overlap in time cannot share an entry. Where they do, timestamps are compared first, and the contents only of rows
//! with equal timestamps.

use crate::budget::Held;
use crate::error::QueryError;
use crate::fetch::{self, BlockColumns, BlockRef, Fetch, FramesOf, RawBlock};
use crate::gather::{Place, RunSource, Sources, StreamSources};
use crate::read::Reader;
use rustc_hash::FxHashMap;
use skald_block::Decoder;
use skald_logql::exec::{Columns, LineNeed, Needs};
use skald_model::{Rows, Timestamp};
use skald_runtime::chain;
use skald_store::{OpenObject, ReadError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// Raw bytes of lines after which the comparison of sources goes on with later times: what is held of a long overlap stays bounded.
const WINDOW_BYTES: u64 = 32 << 20;
/// What the comparison of a window may hold, in bytes of its lines: decoded, copied and ordered by time.
const WINDOW_HOLDS: u64 = 16;
/// Bytes of a row's place in a window, beside its line.
const ROW_BYTES: u64 = 16;
/// Bytes of a candidate, also while candidates are put in order.
const CANDIDATE_BYTES: u64 = 2 * size_of::<Candidate>() as u64;
/// Blocks whose timestamps are kept at hand for the other streams that share them.
const BLOCKS_MAX: usize = 256;

/// Sets [`RunSource::keep`] wherever another source may hold the same entries. A run that cannot be read is left out, with a warning.
pub(crate) async fn drop_duplicates(reader: &Reader, mut sources: Sources) -> Result<Sources, QueryError> {
    let find = move || {
        let overlapping = sort_and_find(&mut sources.streams);
        Ok((sources, overlapping))
    };
    let (mut sources, overlapping) = reader.work.on_pool(find).await?;
    let window_bytes = WINDOW_BYTES.min(reader.work.budget().limit() / WINDOW_HOLDS);
    let mut finder = Finder { reader, objects: sources.objects.clone(), blocks: HashMap::new(), window_bytes };
    for i in overlapping {
        // What an unreadable run would have been compared with is compared anew without it: it must not hide entries that others have.
        loop {
            let unreadable = finder.drop_from(&mut sources.streams[i]).await?;
            if unreadable.is_empty() {
                break;
            }
            let (mut number, damaged) = (0, &mut sources.damaged);
            sources.streams[i].runs.retain(|run| {
                let is_readable = !unreadable.contains_key(&number);
                number += 1;
                if !is_readable {
                    damaged.extend(run.place.object());
                }
                is_readable
            });
            sources.stats.unreadable += unreadable.len() as u64;
            sources.warnings.extend(unreadable.into_values());
        }
    }
    let duplicates = |run: &RunSource| run.keep.as_ref().map_or(0, |keep| u64::from(run.rows) - keep.len() as u64);
    sources.stats.duplicates += sources.streams.iter().flat_map(|stream| &stream.runs).map(duplicates).sum::<u64>();
    Ok(sources)
}

/// Sorts the runs of each stream by first time; the streams with runs that may share entries.
fn sort_and_find(streams: &mut [StreamSources]) -> Vec<usize> {
    streams.iter_mut().for_each(|stream| stream.runs.sort_by_key(|run| (run.min, run.max, run.order)));
    (0..streams.len()).filter(|i| !clusters(&streams[*i].runs).is_empty()).collect()
}

/// By number, the runs of a stream that cannot be read, and why.
type Unreadable = BTreeMap<usize, String>;

/// Timestamps of a block, or why they cannot be read.
type Times = Result<(Arc<BlockColumns>, Arc<RawBlock>), String>;

/// Reads what is needed to tell entries apart.
struct Finder<'a> {
    reader: &'a Reader,
    objects: Vec<Arc<OpenObject>>,
    blocks: HashMap<(usize, u32), Times>,
    window_bytes: u64,
}

/// A part of the time in which runs of a stream may share entries.
struct Window<'a> {
    /// The first of these runs.
    first: usize,
    /// By run the times that others may have too.
    times: &'a [Option<(Timestamp, Timestamp)>],
    min: Timestamp,
    max: Timestamp,
}

impl Finder<'_> {
    /// Finds the repeated entries of one stream, anew each time it is called. They are only right when no run was unreadable.
    async fn drop_from(&mut self, stream: &mut StreamSources) -> Result<Unreadable, QueryError> {
        let mut unreadable = Unreadable::new();
        stream.runs.iter_mut().for_each(|run| run.keep = None);
        for cluster in clusters(&stream.runs) {
            let times = shared_times(&stream.runs[cluster.clone()]);
            for (min, max) in windows(&stream.runs[cluster.clone()], self.window_bytes) {
                self.reader.work.check()?;
                self.drop_from_window(stream, &Window { first: cluster.start, times: &times, min, max }, &mut unreadable).await?;
            }
        }
        Ok(unreadable)
    }

    /// Finds the repeated entries of a window.
    async fn drop_from_window(
        &mut self,
        stream: &mut StreamSources,
        window: &Window<'_>,
        unreadable: &mut Unreadable,
    ) -> Result<(), QueryError> {
        let work = &self.reader.work;
        let (mut all, mut held) = (Vec::new(), work.budget().hold_nothing());
        for (i, times) in (window.first..).zip(window.times) {
            let Some((min, max)) = times else { continue };
            let (min, max) = (window.min.max(*min), window.max.min(*max));
            if min <= max && !unreadable.contains_key(&i) {
                work.check()?;
                if let Err(why) = self.add_candidates(&stream.runs[i], i, min.0..=max.0, &mut all).await? {
                    unreadable.insert(i, why);
                }
                held.resize(all.capacity() as u64 * CANDIDATE_BYTES)?;
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        let candidates = work.on_pool(move || Ok(repeated_times(all))).await?;
        if candidates.is_empty() {
            return Ok(());
        }
        let rows = self.rows_of(stream, &candidates, &mut held, unreadable).await?;
        let repeated = work.on_pool(move || Ok(repeated_entries(&candidates, &rows))).await?;
        for (run, gone) in repeated {
            let run = &mut stream.runs[run];
            let kept = run.keep.take().unwrap_or_else(|| (0..run.rows).collect());
            run.keep = Some(kept.into_iter().filter(|row| !gone.contains(row)).collect());
        }
        Ok(())
    }

    /// The rows of run number `i` with these timestamps; or why it cannot be read.
    async fn add_candidates(
        &mut self,
        run: &RunSource,
        i: usize,
        times: RangeInclusive<i64>,
        all: &mut Vec<Candidate>,
    ) -> Result<Result<(), String>, QueryError> {
        let mut add = |timestamps: &[i64]| {
            let shared = timestamps.iter().enumerate().filter(|(_, at)| times.contains(*at));
            let order = |row: usize| (run.order.0, run.order.1 + row as u64);
            all.extend(shared.map(|(row, at)| Candidate { at: *at, order: order(row), object: object(run), run: i, row: row as u32 }));
        };
        match &run.place {
            Place::Memory(rows) => add(rows.timestamps()),
            Place::Block { object, block, run: of_block } => match self.timestamps(*object, *block).await? {
                Ok((columns, _)) => add(&columns.timestamps[of_block.row_range()]),
                Err(why) => return Ok(Err(why)),
            },
        }
        Ok(Ok(()))
    }

    /// The entries of the runs that candidates are in, as far as they can be read.
    async fn rows_of(
        &self,
        stream: &StreamSources,
        candidates: &[Candidate],
        held: &mut Held,
        unreadable: &mut Unreadable,
    ) -> Result<FxHashMap<usize, Arc<Rows>>, QueryError> {
        let everything = Needs { lines: LineNeed::Bytes, columns: Columns::All };
        let mut rows: FxHashMap<usize, Arc<Rows>> = FxHashMap::default();
        for candidate in candidates {
            if rows.contains_key(&candidate.run) || unreadable.contains_key(&candidate.run) {
                continue;
            }
            match &stream.runs[candidate.run].place {
                Place::Memory(of_run) => drop(rows.insert(candidate.run, of_run.clone())),
                Place::Block { object, block, run } => {
                    let range = run.row_range();
                    match self.read(*object, *block, &everything, range.clone()).await? {
                        Ok((columns, raw)) => {
                            // What was decoded stays counted while the rows are copied out of it.
                            let copy = move || {
                                let rows = Arc::new(columns.rows(range));
                                drop((columns, raw));
                                Ok(rows)
                            };
                            let of_run = self.reader.work.on_pool(copy).await?;
                            held.grow(of_run.heap_bytes() as u64)?;
                            rows.insert(candidate.run, of_run);
                        }
                        Err(why) => drop(unreadable.insert(candidate.run, why)),
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Timestamps of a block.
    async fn timestamps(&mut self, object: usize, number: u32) -> Result<Times, QueryError> {
        if let Some(known) = self.blocks.get(&(object, number)) {
            return Ok(known.clone());
        }
        let times_only = Needs { lines: LineNeed::None, columns: Columns::Names([].into()) };
        if self.blocks.len() >= BLOCKS_MAX {
            self.blocks.clear();
        }
        let read = match self.read(object, number, &times_only, 0..0).await {
            // What is kept for other streams only is given up first.
            Err(QueryError::Budget(_)) if !self.blocks.is_empty() => {
                self.blocks.clear();
                self.read(object, number, &times_only, 0..0).await?
            }
            read => read?,
        };
        let times = read.map(|(columns, raw)| (Arc::new(columns), Arc::new(raw)));
        self.blocks.insert((object, number), times.clone());
        Ok(times)
    }

    /// Columns of a block, with the lines of `rows` where lines are needed, and what they were decoded of; or why they cannot be read.
    async fn read(
        &self,
        object: usize,
        number: u32,
        needs: &Needs,
        rows: Range<usize>,
    ) -> Result<Result<(BlockColumns, RawBlock), String>, QueryError> {
        let Reader { catalog, work, .. } = self.reader;
        let block = BlockRef { open: self.objects[object].clone(), number };
        let missing = |error: &ReadError| format!("entries are missing from this answer: {}", chain(error));
        let extents = fetch::extents_needed(block.entry(), needs, &FramesOf(std::slice::from_ref(&rows)));
        let raw = match Fetch::new(work, block.entry(), &extents)?.read(catalog, &block.open).await {
            Ok(raw) => raw,
            Err(error) => return Ok(Err(missing(&error))),
        };
        let (of_block, needs) = (block.clone(), needs.clone());
        let decode = move || {
            let columns = raw.decode(&mut Decoder::new(), of_block.entry(), &needs, &FramesOf(std::slice::from_ref(&rows)));
            Ok(columns.map(|columns| (columns, raw)))
        };
        let decoded = work.on_pool(decode).await?;
        Ok(decoded.map_err(|error| missing(&block.damaged(error))))
    }
}

/// Groups of runs (sorted by first time) that may share entries: those that overlap in time, or a chunk of memory by itself.
fn clusters(runs: &[RunSource]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut end_time) = (0, Timestamp::MIN);
    for i in 0..=runs.len() {
        if i < runs.len() && i > start && runs[i].min <= end_time {
            end_time = end_time.max(runs[i].max);
            continue;
        }
        if start < i && may_repeat(&runs[start..i]) {
            found.push(start..i);
        }
        if i < runs.len() {
            (start, end_time) = (i, runs[i].max);
        }
    }
    found
}

/// The object that a run is in, if it is in one. An object holds no entry twice.
fn object(run: &RunSource) -> Option<usize> {
    run.place.object()
}

/// Whether runs that overlap can hold an entry twice: not when they all are of one object, nor when one chunk has no time twice.
fn may_repeat(runs: &[RunSource]) -> bool {
    match runs {
        [RunSource { place: Place::Memory(rows), .. }] => !rows.timestamps().windows(2).all(|pair| pair[0] < pair[1]),
        [first, rest @ ..] => object(first).is_none() || rest.iter().any(|run| object(run) != object(first)),
        [] => false,
    }
}

/// For each run of a cluster the times that others may have too. A chunk of memory may repeat itself anywhere.
fn shared_times(runs: &[RunSource]) -> Vec<Option<(Timestamp, Timestamp)>> {
    let latest = runs.iter().scan(Timestamp::MIN, |latest, run| {
        *latest = run.max.max(*latest);
        Some(*latest)
    });
    let latest: Vec<Timestamp> = latest.collect();
    let of = |i: usize| {
        let run = &runs[i];
        if let Place::Memory(rows) = &run.place
            && !rows.timestamps().windows(2).all(|pair| pair[0] < pair[1])
        {
            return Some((run.min, run.max));
        }
        let before = (0..i).rev().take_while(|other| run.min <= latest[*other]);
        let after = (i + 1..runs.len()).take_while(|other| runs[*other].min <= run.max);
        let overlaps = before.chain(after).map(|other| &runs[other]).filter(|other| run.min <= other.max);
        let apart = overlaps.filter(|other| object(run).is_none() || object(other) != object(run));
        apart.map(|other| (other.min.max(run.min), other.max.min(run.max))).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    (0..runs.len()).map(of).collect()
}

/// Cuts the time of a cluster wherever the runs that begin in a piece have this many bytes of lines. Equal entries have equal times, so
/// that each piece can be looked at by itself.
fn windows(runs: &[RunSource], window_bytes: u64) -> Vec<(Timestamp, Timestamp)> {
    let (mut found, mut start, mut bytes) = (Vec::new(), Timestamp::MIN, 0);
    for run in runs {
        if bytes >= window_bytes && run.min > start {
            found.push((start, Timestamp(run.min.0 - 1)));
            (start, bytes) = (run.min, 0);
        }
        bytes += run.place.line_bytes() + ROW_BYTES * u64::from(run.rows);
    }
    found.push((start, Timestamp::MAX));
    found
}

/// The rows whose timestamp comes more than once, and not only in one object, in order of timestamp, then precedence.
fn repeated_times(mut all: Vec<Candidate>) -> Vec<Candidate> {
    all.sort_unstable_by_key(|candidate| (candidate.at, candidate.order));
    let may_repeat =
        |group: &&[Candidate]| group.len() > 1 && group.iter().any(|one| one.object.is_none() || one.object != group[0].object);
    all.chunk_by(|a, b| a.at == b.at).filter(may_repeat).flatten().copied().collect()
}

/// A row that another may equal.
#[derive(Clone, Copy)]
struct Candidate {
    at: i64,
    order: (u64, u64),
    object: Option<usize>,
    run: usize,
    row: u32,
}

/// By run, the rows that equal an earlier candidate. Equal entries have equal hashes, so long runs of one timestamp stay linear.
fn repeated_entries(candidates: &[Candidate], rows: &FxHashMap<usize, Arc<Rows>>) -> Vec<(usize, HashSet<u32>)> {
    let mut gone: FxHashMap<usize, HashSet<u32>> = FxHashMap::default();
    for group in candidates.chunk_by(|a, b| a.at == b.at) {
        let mut kept: FxHashMap<u64, Vec<Candidate>> = FxHashMap::default();
        for candidate in group {
            let Some(of_run) = rows.get(&candidate.run) else { continue };
            let row = candidate.row as usize;
            let same_hash = kept.entry(entry_hash(of_run, row)).or_default();
            let repeats = same_hash.iter().any(|other| of_run.same_entry(row, &rows[&other.run], other.row as usize));
            if repeats {
                gone.entry(candidate.run).or_default().insert(candidate.row);
            } else {
                same_hash.push(*candidate);
            }
        }
    }
    gone.into_iter().collect()
}

/// Equal for equal entries: metadata columns are added up, since they may stand in any order.
fn entry_hash(rows: &Rows, row: usize) -> u64 {
    use std::hash::BuildHasher;
    let hasher = rustc_hash::FxBuildHasher;
    let metadata = rows.columns().iter().filter(|column| !column.is_derived() && !column.value(row).is_empty());
    metadata.map(|column| hasher.hash_one((column.name(), column.value(row)))).fold(hasher.hash_one(rows.line(row)), u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_block::Run;
    use skald_model::RowsBuilder;

    fn chunk(order: u64, entries: &[(i64, &str)]) -> RunSource {
        let mut builder = RowsBuilder::default();
        entries.iter().for_each(|(at, line)| builder.push(Timestamp(*at), line.as_bytes()));
        let rows = Arc::new(builder.finish());
        let (min, max) = rows.time_span().expect("not empty");
        RunSource { min, max, rows: rows.len() as u32, order: (order, 0), place: Place::Memory(rows), keep: None }
    }

    /// Which rows stay of each chunk, chunks in order of first time.
    fn kept(mut runs: Vec<RunSource>) -> Vec<Vec<u32>> {
        runs.sort_by_key(|run| (run.min, run.max, run.order));
        let mut all = Vec::new();
        for cluster in clusters(&runs) {
            for (i, times) in cluster.clone().zip(shared_times(&runs[cluster])) {
                let (Place::Memory(rows), Some((min, max))) = (&runs[i].place, times) else { continue };
                for (row, at) in rows.timestamps().iter().enumerate().filter(|(_, at)| (min.0..=max.0).contains(*at)) {
                    all.push(Candidate { at: *at, order: (runs[i].order.0, row as u64), object: None, run: i, row: row as u32 });
                }
            }
        }
        let all = repeated_times(all);
        let memory = |(i, run): (usize, &RunSource)| match &run.place {
            Place::Memory(rows) => (i, rows.clone()),
            Place::Block { .. } => unreachable!("chunks are memory"),
        };
        let rows = runs.iter().enumerate().map(memory).collect();
        let gone: HashMap<usize, HashSet<u32>> = repeated_entries(&all, &rows).into_iter().collect();
        let stays = |i: usize, row: &u32| gone.get(&i).is_none_or(|gone| !gone.contains(row));
        runs.iter().enumerate().map(|(i, run)| (0..run.rows).filter(|row| stays(i, row)).collect()).collect()
    }

    #[test]
    fn a_retried_push_in_one_chunk_counts_once() {
        assert_eq!(kept(vec![chunk(1, &[(1, "a"), (1, "b"), (1, "a"), (2, "a")])]), [vec![0, 1, 3]]);
    }

    #[test]
    fn the_first_source_wins_wherever_it_stands() {
        assert_eq!(kept(vec![chunk(2, &[(1, "a"), (5, "x")]), chunk(1, &[(3, "q"), (5, "x"), (5, "y")])]), [vec![0], vec![0, 1, 2]]);
    }

    #[test]
    fn sources_that_touch_in_one_instant_are_compared() {
        assert_eq!(kept(vec![chunk(1, &[(1, "a"), (5, "x")]), chunk(2, &[(5, "x"), (6, "b")])]), [vec![0, 1], vec![1]]);
    }

    #[test]
    fn sources_apart_in_time_and_chunks_without_equal_times_are_not_looked_at() {
        assert!(clusters(&[chunk(1, &[(1, "a"), (2, "a")]), chunk(2, &[(3, "a")])]).is_empty());
    }

    fn block(object: usize, min: i64, max: i64) -> RunSource {
        let (min, max) = (Timestamp(min), Timestamp(max));
        let run = Run {
            stream: 0,
            first_row: 0,
            rows: 2,
            line_bytes: 10,
            min_time: min,
            max_time: max,
            levels: Default::default(),
            derived_values: 0,
            metadata_bytes: 0,
        };
        RunSource { min, max, rows: 2, order: (object as u64, 0), place: Place::Block { object, block: 0, run }, keep: None }
    }

    #[test]
    fn blocks_of_one_object_that_touch_share_no_times_with_each_other() {
        let runs = [block(0, 0, 10), block(0, 10, 20), block(0, 20, 30), block(1, 30, 40), block(1, 40, 50)];
        assert_eq!(clusters(&runs), vec![Range { start: 0, end: 5 }]);
        let at_30 = Some((Timestamp(30), Timestamp(30)));
        assert_eq!(shared_times(&runs), [None, None, at_30, at_30, None]);
        let long_before = [block(0, 0, 100), block(1, 5, 6), block(1, 50, 60)];
        let times = |min, max| Some((Timestamp(min), Timestamp(max)));
        assert_eq!(shared_times(&long_before), [times(5, 60), times(5, 6), times(50, 60)]);
    }

    #[test]
    fn a_time_that_comes_twice_in_one_object_only_is_not_looked_at() {
        let candidate = |at, object, row| Candidate { at, order: (0, u64::from(row)), object, run: 0, row };
        let all = vec![
            candidate(1, Some(0), 0),
            candidate(1, Some(0), 1),
            candidate(2, Some(0), 2),
            candidate(2, Some(1), 0),
            candidate(3, None, 0),
        ];
        let found: Vec<i64> = repeated_times(all).iter().map(|candidate| candidate.at).collect();
        assert_eq!(found, [2, 2]);
        assert_eq!(repeated_times(vec![candidate(4, None, 0), candidate(4, None, 1)]).len(), 2);
    }

    #[test]
    fn windows_cover_all_times_and_part_no_equal_ones() {
        let runs = [block(0, 0, 10), block(1, 0, 10), block(0, 10, 20), block(1, 10, 20), block(1, 15, 20)];
        let cut = |bytes| windows(&runs, bytes).into_iter().map(|(min, max)| (min.0, max.0)).collect::<Vec<_>>();
        assert_eq!(cut(500), [(i64::MIN, i64::MAX)]);
        assert_eq!(cut(2 * (10 + 2 * ROW_BYTES)), [(i64::MIN, 9), (10, 14), (15, i64::MAX)]);
        assert_eq!(cut(1), [(i64::MIN, -1), (0, 9), (10, 14), (15, i64::MAX)]);
    }

    #[test]
    fn a_long_overlap_is_compared_window_by_window() {
        let entries = [(1, "a"), (5, "x"), (5, "x"), (9, "z")];
        let runs = || vec![chunk(1, &entries), chunk(2, &entries), chunk(3, &[(5, "x"), (6, "new"), (9, "z")]), chunk(4, &[(9, "z")])];
        let sizes = skald_store::CacheSizes { footers: 1, pages: 1, indexes: 1 };
        let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
        let store = Arc::new(skald_store::MemoryStore::new());
        let catalog =
            futures::executor::block_on(skald_store::Catalog::open(store, skald_testkit::SimClock::new(Timestamp(0)), sizes, metrics))
                .expect("it is empty");
        let work = crate::work::tests::work(1 << 20);
        let reader = Reader { catalog: Arc::new(catalog), pool: work.pool().clone(), work: work.clone() };
        for window_bytes in [1, 4, 1000] {
            let mut finder = Finder { reader: &reader, objects: Vec::new(), blocks: HashMap::new(), window_bytes };
            let mut stream = StreamSources { labels: skald_testkit::labels(&[("app", "a")]), runs: runs() };
            for _ in 0..2 {
                assert!(futures::executor::block_on(finder.drop_from(&mut stream)).is_ok_and(|unreadable| unreadable.is_empty()));
                let kept: Vec<_> = stream.runs.iter().map(|run| run.keep.clone().unwrap_or_else(|| (0..run.rows).collect())).collect();
                assert_eq!(kept, [vec![0, 1, 3], vec![], vec![1], vec![]], "windows of {window_bytes} bytes");
            }
        }
        assert!(work.budget().hold(1 << 20).is_ok(), "all memory was given back");
    }

    #[test]
    fn many_entries_of_one_instant_are_linear() {
        let lines: Vec<String> = (0..50_000).map(|i| format!("line {}", i % 25_000)).collect();
        let entries: Vec<(i64, &str)> = lines.iter().map(|line| (7, line.as_str())).collect();
        assert_eq!(kept(vec![chunk(1, &entries)])[0].len(), 25_000);
    }
}
