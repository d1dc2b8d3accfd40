//! One entry, counted once: finds the rows of a stream that several sources hold.
//!
//! Sources that do not overlap in time cannot share an entry. Where they do, timestamps are compared first, and the contents only of rows
//! with equal timestamps.

use crate::error::QueryError;
use crate::fetch::{self, BlockColumns, BlockRef};
use crate::gather::{Place, RunSource, Sources, StreamSources, chain};
use rustc_hash::FxHashMap;
use skald_logql::exec::{Columns, LineNeed, Needs};
use skald_model::seam::{CpuPool, run_on_pool};
use skald_model::{Rows, Timestamp};
use skald_store::{Catalog, OpenObject};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Sets [`RunSource::keep`] wherever another source may hold the same entries. A block that cannot be read is left out, with a warning.
pub(crate) async fn drop_duplicates(catalog: &Catalog, pool: &dyn CpuPool, sources: &mut Sources) -> Result<(), QueryError> {
    let Sources { objects, streams, warnings, stats } = sources;
    let mut blocks: HashMap<(usize, u32), Arc<BlockColumns>> = HashMap::new();
    for stream in streams {
        stream.runs.sort_by_key(|run| (run.min, run.max, run.order));
        let mut unreadable = Vec::new();
        for cluster in clusters(&stream.runs) {
            let shared = shared_times(&stream.runs, cluster.clone());
            let candidates = candidates(catalog, objects, stream, cluster, &shared, &mut blocks).await;
            match candidates {
                Ok(candidates) => {
                    stats.duplicates += resolve(catalog, pool, objects, stream, candidates, &mut blocks).await?;
                }
                Err((run, why)) => {
                    warnings.push(why);
                    stats.unreadable += 1;
                    unreadable.push(run);
                }
            }
        }
        remove_runs(&mut stream.runs, &unreadable);
    }
    Ok(())
}

fn remove_runs(runs: &mut Vec<RunSource>, gone: &[usize]) {
    let mut i = 0;
    runs.retain(|_| {
        i += 1;
        !gone.contains(&(i - 1))
    });
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

/// Whether runs that overlap can hold an entry twice: not when they all are of one object, nor when one chunk has no time twice.
fn may_repeat(runs: &[RunSource]) -> bool {
    let object = |run: &RunSource| match run.place {
        Place::Memory(_) => None,
        Place::Block { object, .. } => Some(object),
    };
    match runs {
        [RunSource { place: Place::Memory(rows), .. }] => !rows.timestamps().windows(2).all(|pair| pair[0] < pair[1]),
        [first, rest @ ..] => object(first).is_none() || rest.iter().any(|run| object(run) != object(first)),
        [] => false,
    }
}

/// For each run of a cluster the times that others may have too. A chunk of memory may repeat itself anywhere.
fn shared_times(runs: &[RunSource], cluster: Range<usize>) -> Vec<Option<(Timestamp, Timestamp)>> {
    let of = |i: usize| {
        let run = &runs[i];
        if let Place::Memory(rows) = &run.place
            && !rows.timestamps().windows(2).all(|pair| pair[0] < pair[1])
        {
            return Some((run.min, run.max));
        }
        let others = cluster.clone().filter(|other| *other != i).map(|other| &runs[other]);
        let overlaps = others.filter(|other| other.min <= run.max && run.min <= other.max);
        overlaps.map(|other| (other.min.max(run.min), other.max.min(run.max))).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    cluster.clone().map(of).collect()
}

/// A row that another may equal.
#[derive(Clone, Copy)]
struct Candidate {
    at: i64,
    order: (u64, u64),
    run: usize,
    row: u32,
}

/// Rows of a cluster whose timestamp comes more than once, in order of timestamp, then precedence; or the run that cannot be read, and why.
async fn candidates(
    catalog: &Catalog,
    objects: &[Arc<OpenObject>],
    stream: &StreamSources,
    cluster: Range<usize>,
    shared: &[Option<(Timestamp, Timestamp)>],
    blocks: &mut HashMap<(usize, u32), Arc<BlockColumns>>,
) -> Result<Vec<Candidate>, (usize, String)> {
    let times_only = Needs { lines: LineNeed::None, columns: Columns::Names(Vec::new()) };
    let mut all = Vec::new();
    for (i, times) in cluster.zip(shared) {
        let (run, Some((min, max))) = (&stream.runs[i], times) else { continue };
        let mut add = |timestamps: &[i64]| {
            for (row, at) in timestamps.iter().enumerate() {
                if min.0 <= *at && *at <= max.0 {
                    all.push(Candidate { at: *at, order: (run.order.0, run.order.1 + row as u64), run: i, row: row as u32 });
                }
            }
        };
        match &run.place {
            Place::Memory(rows) => add(rows.timestamps()),
            Place::Block { object, block, run: of_block } => {
                let columns = columns(catalog, objects, (*object, *block), &times_only, blocks).await;
                let columns = columns.map_err(|why| (i, why))?;
                add(&columns.timestamps[of_block.row_range()]);
            }
        }
    }
    all.sort_unstable_by_key(|candidate| (candidate.at, candidate.order));
    let repeated: HashSet<i64> = all.windows(2).filter(|pair| pair[0].at == pair[1].at).map(|pair| pair[0].at).collect();
    all.retain(|candidate| repeated.contains(&candidate.at));
    Ok(all)
}

/// Columns of a block, kept for the other streams that share it.
async fn columns(
    catalog: &Catalog,
    objects: &[Arc<OpenObject>],
    (object, number): (usize, u32),
    needs: &Needs,
    blocks: &mut HashMap<(usize, u32), Arc<BlockColumns>>,
) -> Result<Arc<BlockColumns>, String> {
    let whole = needs.lines == LineNeed::Bytes;
    if let Some(known) = blocks.get(&(object, number)).filter(|known| !whole || !known.frames.is_empty()) {
        return Ok(known.clone());
    }
    let block = BlockRef { open: objects[object].clone(), number };
    let missing = |error: &dyn std::error::Error| format!("entries are missing from this answer: {}", chain(error));
    let extents = fetch::extents_needed(block.entry(), needs, true);
    let raw = fetch::read(catalog, &block.open, &extents).await.map_err(|error| missing(&error))?;
    let decoded = raw.decode(block.entry(), needs, true).map_err(|error| missing(&block.damaged(error)))?;
    let columns = Arc::new(decoded);
    if !whole {
        blocks.insert((object, number), columns.clone());
    }
    Ok(columns)
}

/// Compares rows of equal timestamps and marks the later ones of equal entries; how many those are.
async fn resolve(
    catalog: &Catalog,
    pool: &dyn CpuPool,
    objects: &[Arc<OpenObject>],
    stream: &mut StreamSources,
    candidates: Vec<Candidate>,
    blocks: &mut HashMap<(usize, u32), Arc<BlockColumns>>,
) -> Result<u64, QueryError> {
    if candidates.is_empty() {
        return Ok(0);
    }
    let everything = Needs { lines: LineNeed::Bytes, columns: Columns::All };
    let mut rows: FxHashMap<usize, Arc<Rows>> = FxHashMap::default();
    let runs: HashSet<usize> = candidates.iter().map(|candidate| candidate.run).collect();
    for i in runs {
        let of_run = match &stream.runs[i].place {
            Place::Memory(rows) => rows.clone(),
            Place::Block { object, block, run } => match columns(catalog, objects, (*object, *block), &everything, blocks).await {
                Ok(columns) => Arc::new(columns.rows(run.row_range())),
                // The evaluation reads this block too, and reports it.
                Err(_) => continue,
            },
        };
        rows.insert(i, of_run);
    }
    let dropped = run_on_pool(pool, move || repeated_entries(&candidates, &rows)).await.map_err(|_| QueryError::Stopped)?;
    let count = dropped.iter().map(|(_, rows)| rows.len() as u64).sum();
    for (run, gone) in dropped {
        let run = &mut stream.runs[run];
        run.keep = Some((0..run.rows).filter(|row| !gone.contains(row)).collect());
    }
    Ok(count)
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
            for (i, times) in cluster.clone().zip(shared_times(&runs, cluster)) {
                let (Place::Memory(rows), Some((min, max))) = (&runs[i].place, times) else { continue };
                for (row, at) in rows.timestamps().iter().enumerate().filter(|(_, at)| (min.0..=max.0).contains(*at)) {
                    all.push(Candidate { at: *at, order: (runs[i].order.0, row as u64), run: i, row: row as u32 });
                }
            }
        }
        all.sort_unstable_by_key(|candidate| (candidate.at, candidate.order));
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

    #[test]
    fn many_entries_of_one_instant_are_linear() {
        let lines: Vec<String> = (0..50_000).map(|i| format!("line {}", i % 25_000)).collect();
        let entries: Vec<(i64, &str)> = lines.iter().map(|line| (7, line.as_str())).collect();
        assert_eq!(kept(vec![chunk(1, &entries)])[0].len(), 25_000);
    }
}
