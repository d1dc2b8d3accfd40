//! Volumes: bytes of streams, by label and time.
//!
//! The bytes of an entry are those of its line, of the names and values of the metadata that was pushed with it, and 8 for each value that the
//! server derived (its `detected_level`): Loki keeps such a value as two numbers of 4 bytes and counts those, and dashboards compare.
//!
//! What a run of a block has is taken from the directory where the run lies inside one bucket and no entry of it is repeated elsewhere. The other
//! runs are counted from their timestamps, line lengths and metadata columns; lines are read from no block.

mod buckets;
mod grouping;
mod totals;

pub use grouping::AggregateBy;

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::{Place, RunSource, Sources};
use crate::read::{Laziness, Reading, State, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use buckets::Buckets;
use grouping::Grouping;
use rustc_hash::FxHashMap;
use skald_logql::ast::Matcher;
use skald_logql::exec::{Batch, Columns, EvalError, LabelSet, LineNeed, MetricResult, Needs, Probe, Selection, Stats};
use skald_logql::plan::LogPlan;
use skald_model::{Labels, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use totals::{Amount, Totals};

/// What a derived value of an entry counts.
const DERIVED_BYTES: u64 = 8;

/// A question for volumes, its parameters read.
#[derive(Debug, Clone)]
pub struct VolumeRequest {
    /// Which streams; none for all.
    pub matchers: Vec<Matcher>,
    /// First instant.
    pub start: Timestamp,
    /// Last instant.
    pub end: Timestamp,
    /// Between the points of a series; `None` asks for one point.
    pub step: Option<Duration>,
    /// Most series.
    pub limit: u64,
    /// Labels to add up by, with commas between; empty for the usual ones.
    pub target_labels: String,
    /// What to add up by.
    pub by: AggregateBy,
}

/// What of an entry has bytes that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighing {
    Lines,
    LinesAndMetadata,
}

/// Which series streams count towards, and how.
pub(crate) struct Counter {
    buckets: Buckets,
    weighing: Weighing,
    /// Numbers of the series of each stream.
    series: FxHashMap<Labels, Vec<u32>>,
}

impl Querier {
    /// Bytes of the largest series.
    ///
    /// # Errors
    /// When volumes are off for the tenant, there are more series than allowed, or something does not answer, or not in time.
    pub async fn volume(&self, caller: &Caller, request: VolumeRequest) -> Result<Answer, QueryError> {
        let limits = caller.limits();
        if !limits.volume_enabled {
            return Err(QueryError::NotFound);
        }
        let started = self.monotonic();
        let (matchers, start, end) = (request.matchers.clone(), request.start, request.end);
        let plan = Arc::new(caller.work().on_pool(move || crate::index::plan_of(matchers, start, end)).await?);
        let mut answer = self
            .in_turn(caller, async {
                let queue_time = self.monotonic() - started;
                let mut answer = self.volumes(caller, plan, &request).await?;
                answer.stats.queue_time = queue_time;
                Ok(answer)
            })
            .await?;
        answer.stats.exec_time = self.monotonic() - started;
        caller.work().record().answered(&answer.stats, answer.warnings.len());
        Ok(answer)
    }

    async fn volumes(&self, caller: &Caller, plan: Arc<LogPlan>, request: &VolumeRequest) -> Result<Answer, QueryError> {
        let (start, end) = (request.start, request.end);
        let buckets = request.step.map_or_else(|| Buckets::whole(start, end), |step| Buckets::every(step, start, end));
        let sources = self.sources_to_count(caller, plan, buckets.range()).await?;
        let grouping = Grouping::new(request.by, &request.target_labels, &request.matchers);
        let has_tenants = caller.tenants().len() > 1;
        let number = move || {
            let (names, series) = number_series(&grouping, &sources, has_tenants);
            Ok((sources, names, Counter { buckets, weighing: Weighing::LinesAndMetadata, series }))
        };
        let (sources, names, counter) = caller.work().on_pool(number).await?;
        let (totals, warnings, mut stats) = self.count_entries(caller, counter, sources).await?;
        let max = caller.limits().volume_max_series;
        if max > 0 && totals.series_count() > max {
            return Err(QueryError::Limit(format!("the query hit the max number of series limit (limit: {max} series)")));
        }
        let (points, limit) = (request.step.is_some(), usize::try_from(request.limit).unwrap_or(usize::MAX));
        let result = caller.work().on_pool(move || Ok(totals.answer(&names, &buckets, points, limit))).await?;
        stats.entries_returned = match &result {
            MetricResult::Matrix(series) => series.iter().map(|series| series.points.len() as u64).sum(),
            MetricResult::Vector(samples) => samples.len() as u64,
            MetricResult::Scalar { .. } => 1,
        };
        Ok(Answer { data: AnswerData::Metric(result), warnings, stats })
    }

    /// Entries and bytes of the sources, from the directory where it says enough.
    pub(crate) async fn count_entries(
        &self,
        caller: &Caller,
        counter: Counter,
        sources: Sources,
    ) -> Result<(Totals, Vec<String>, QueryStats), QueryError> {
        let counter = Arc::new(counter);
        let of_directory = counter.clone();
        let count = move || {
            let (totals, mut sources, stats) = count_whole_runs(&of_directory, sources);
            let units = units(&mut sources);
            Ok((totals, sources, units, stats))
        };
        let (mut totals, sources, units, counted) = caller.work().on_pool(count).await?;
        let columns = match counter.weighing {
            Weighing::Lines => Columns::Names([].into()),
            Weighing::LinesAndMetadata => Columns::All,
        };
        let needs = Needs { lines: LineNeed::Lengths, columns };
        let reading = Reading { needs, probe: Probe::All(Vec::new()), laziness: Laziness::Whole };
        let new_state = move || VolumeState { counter: counter.clone(), totals: Totals::default() };
        let (states, outcome) = self.reader(caller).evaluate(units, reading, new_state).await?;
        states.into_iter().for_each(|state| totals.merge(state.totals));
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted);
        Ok((totals, warnings, stats))
    }
}

/// The series of all streams, and by stream their numbers. Of several tenants, streams have the tenant as a label; volumes do not.
fn number_series(grouping: &Grouping, sources: &Sources, has_tenants: bool) -> (Vec<LabelSet>, FxHashMap<Labels, Vec<u32>>) {
    let (mut names, mut numbers) = (Vec::new(), HashMap::<LabelSet, u32>::new());
    let mut number = |name: LabelSet| {
        *numbers.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            names.len() as u32 - 1
        })
    };
    let mut series = FxHashMap::default();
    for stream in &sources.streams {
        let own = if has_tenants { crate::tenants::own_labels(&stream.labels) } else { stream.labels.clone() };
        let of_stream = grouping.series_of(&own).into_iter().map(&mut number).collect();
        series.insert(stream.labels.clone(), of_stream);
    }
    (names, series)
}

/// Counts runs of which the directory says enough, leaves out those of no series, and keeps the others to be read.
fn count_whole_runs(counter: &Counter, mut sources: Sources) -> (Totals, Sources, QueryStats) {
    let (mut totals, mut stats) = (Totals::default(), QueryStats::default());
    for stream in &mut sources.streams {
        let series = counter.series_of(&stream.labels);
        if series.is_empty() {
            stream.runs.clear();
            continue;
        }
        stream.runs.retain(|run| {
            let Some((bucket, amount)) = counter.whole_run(run) else { return true };
            totals.add(series, bucket, amount);
            stats.object_lines += amount.entries;
            stats.object_bytes += run.place.line_bytes();
            stats.post_filter_lines += amount.entries;
            false
        });
    }
    (totals, sources, stats)
}

impl Counter {
    /// Counts entries of each stream by itself, and their lines, in one bucket.
    pub(crate) fn of_streams(sources: &Sources, start: Timestamp, end: Timestamp) -> Self {
        let series = sources.streams.iter().enumerate().map(|(number, stream)| (stream.labels.clone(), vec![number as u32])).collect();
        Counter { buckets: Buckets::whole(start, end), weighing: Weighing::Lines, series }
    }

    fn series_of(&self, labels: &Labels) -> &[u32] {
        self.series.get(labels).map_or(&[], Vec::as_slice)
    }

    /// The bucket and the amount of a run of which the directory knows both.
    fn whole_run(&self, run: &RunSource) -> Option<(u32, Amount)> {
        let Place::Block { run: of_block, .. } = &run.place else { return None };
        if run.keep.is_some() {
            return None;
        }
        let bucket = self.buckets.bucket_around(run.min, run.max)?;
        let metadata = match self.weighing {
            Weighing::Lines => 0,
            Weighing::LinesAndMetadata => of_block.metadata_bytes + u64::from(of_block.derived_values) * DERIVED_BYTES,
        };
        Some((bucket, Amount { entries: u64::from(of_block.rows), bytes: u64::from(of_block.line_bytes) + metadata }))
    }

    /// Bytes of each row of a batch.
    fn sizes(&self, batch: &Batch<'_>) -> Vec<u64> {
        let line_len = |row: usize| batch.lines.map_or(0, |lines| lines.line_len(row) as u64);
        let mut sizes: Vec<u64> = (0..batch.len()).map(line_len).collect();
        if self.weighing == Weighing::LinesAndMetadata {
            let first = batch.column_offset;
            for column in batch.columns {
                for (row, value) in column.present(first..first + batch.len()) {
                    sizes[row - first] += if column.is_derived() { DERIVED_BYTES } else { (column.name().len() + value.len()) as u64 };
                }
            }
        }
        sizes
    }
}

struct VolumeState {
    counter: Arc<Counter>,
    totals: Totals,
}

impl State for VolumeState {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
        let series = self.counter.series_of(batch.labels);
        let sizes = self.counter.sizes(batch);
        let mut stats = Stats { rows: selection.len(batch.len()) as u64, ..Stats::default() };
        // Neighbours are mostly in one bucket.
        let mut current: Option<(u32, Amount)> = None;
        for row in selection.iter(batch.len()) {
            let Some(bucket) = self.counter.buckets.bucket_of(Timestamp(batch.timestamps[row])) else { continue };
            stats.matched += 1;
            match &mut current {
                Some((at, amount)) if *at == bucket => {
                    amount.entries += 1;
                    amount.bytes += sizes[row];
                }
                _ => {
                    let next = (bucket, Amount { entries: 1, bytes: sizes[row] });
                    current.replace(next).into_iter().for_each(|(bucket, amount)| self.totals.add(series, bucket, amount));
                }
            }
        }
        current.into_iter().for_each(|(bucket, amount)| self.totals.add(series, bucket, amount));
        stats.line_bytes = batch.lines.map_or(0, |lines| lines.byte_len(0..batch.len()) as u64);
        Ok(stats)
    }

    fn heap_bytes(&self) -> usize {
        self.totals.heap_bytes()
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
