//! What a query did, operator by operator, for those who ask to see it.
//!
//! A request that is explained carries a [`Profiler`] in its work. Others carry none: where something is measured they look once
//! whether there is one. Times of jobs that run side by side are added up, so they may come to more than the query took.

use crate::error::QueryError;
use crate::gather::{Place, Sources};
use crate::service::{Answer, AnswerData};
use crate::stats::QueryStats;
use crate::tables::Matched;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use skald_block::Run;
use skald_logql::exec::{Profile, ProfileClock, StageProfile};
use skald_logql::plan::{Operator, Property};
use skald_model::seam::Clock;
use skald_model::{Labels, TimeRange};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Measures what is done for one query.
pub(crate) struct Profiler {
    clock: Arc<dyn Clock>,
    query: Mutex<Option<Planned>>,
    /// By leaf; the last is being read.
    leaves: Mutex<Vec<LeafProfile>>,
    /// Time spent on the whole answer.
    whole: Mutex<Times>,
}

struct Planned {
    text: String,
    root: Operator,
}

type Times = BTreeMap<&'static str, Duration>;

/// What was done for one leaf.
#[derive(Debug, Default)]
struct LeafProfile {
    times: Times,
    index: IndexProfile,
    stats: QueryStats,
    /// Of that, what was counted by the numbers in directories or taken from the cache.
    unread: QueryStats,
    stages: Vec<StageProfile>,
}

/// What the index left to be read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IndexProfile {
    objects: u64,
    streams: u64,
    streams_ruled_out: u64,
    blocks: u64,
    blocks_without_streams: u64,
    blocks_outside_time: u64,
    chunks_in_memory: u64,
    runs: u64,
    estimated_blocks: u64,
    estimated_bytes: u64,
}

/// A step of work that has its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Index,
    Overlap,
    Directory,
    Filters,
    Fetch,
    Decode,
    Evaluate,
    Merge,
    Finish,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Index => "index",
            Step::Overlap => "overlap",
            Step::Directory => "directory",
            Step::Filters => "filters",
            Step::Fetch => "fetch",
            Step::Decode => "decode",
            Step::Evaluate => "evaluate",
            Step::Merge => "merge",
            Step::Finish => "finish",
        }
    }
}

/// Measures a step until it is dropped.
pub(crate) struct Timer {
    profiler: Arc<Profiler>,
    step: Step,
    since: Duration,
}

impl Drop for Timer {
    fn drop(&mut self) {
        let spent = self.profiler.clock.monotonic().saturating_sub(self.since);
        let add = |times: &mut Times| *times.entry(self.step.name()).or_default() += spent;
        match (self.step, self.profiler.leaves.lock().last_mut()) {
            (Step::Finish, _) | (_, None) => add(&mut self.profiler.whole.lock()),
            (_, Some(leaf)) => add(&mut leaf.times),
        }
    }
}

impl Profiler {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Profiler { clock, query: Mutex::default(), leaves: Mutex::default(), whole: Mutex::default() }
    }

    /// For the stages of a plan.
    pub(crate) fn stage_clock(&self) -> ProfileClock {
        let clock = self.clock.clone();
        ProfileClock::new(move || u64::try_from(clock.monotonic().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The query, as it was planned.
    pub(crate) fn planned(&self, text: String, root: Operator) {
        *self.query.lock() = Some(Planned { text, root });
    }

    pub(crate) fn time(self: &Arc<Self>, step: Step) -> Timer {
        Timer { profiler: self.clone(), step, since: self.clock.monotonic() }
    }

    /// What follows is done for the next leaf.
    pub(crate) fn begin_leaf(&self) {
        self.leaves.lock().push(LeafProfile::default());
    }

    fn leaf(&self, note: impl FnOnce(&mut LeafProfile)) {
        if let Some(leaf) = self.leaves.lock().last_mut() {
            note(leaf);
        }
    }

    /// What was looked up for an object.
    pub(crate) fn object(&self, matched: &Matched, range: TimeRange) {
        let Matched { open, streams: wanted, .. } = matched;
        let overlaps = |run: &&Run| range.overlaps(run.min_time, run.max_time);
        let blocks = |inside: bool| {
            let of_stream = |(stream, _): &(u32, Labels)| open.footer.runs_of(*stream).filter(move |(_, run)| !inside || overlaps(run));
            wanted.iter().flat_map(of_stream).map(|(at, _)| at.block).collect::<BTreeSet<u32>>().len() as u64
        };
        let (with_streams, in_time, all) = (blocks(false), blocks(true), open.footer.blocks.len() as u64);
        self.leaf(|leaf| {
            leaf.index.objects += 1;
            leaf.index.streams_ruled_out += u64::from(open.footer.stream_count).saturating_sub(wanted.len() as u64);
            leaf.index.blocks += all;
            leaf.index.blocks_without_streams += all - with_streams;
            leaf.index.blocks_outside_time += with_streams - in_time;
        });
    }

    /// What is left to be read.
    pub(crate) fn sources(&self, sources: &Sources) {
        let (mut blocks, mut index) = (BTreeSet::new(), IndexProfile::default());
        for stream in sources.streams.iter().filter(|stream| !stream.runs.is_empty()) {
            index.streams += 1;
            for run in &stream.runs {
                index.estimated_bytes += run.place.line_bytes();
                match &run.place {
                    Place::Memory(_) => index.chunks_in_memory += 1,
                    Place::Block { object, block, .. } => {
                        index.runs += 1;
                        blocks.insert((*object, *block));
                    }
                }
            }
        }
        self.leaf(|leaf| {
            leaf.index.streams += index.streams;
            leaf.index.chunks_in_memory += index.chunks_in_memory;
            leaf.index.runs += index.runs;
            leaf.index.estimated_blocks += blocks.len() as u64;
            leaf.index.estimated_bytes += index.estimated_bytes;
        });
    }

    /// What the leaf came to: all of its work, the part of it that read nothing, and what each stage did.
    pub(crate) fn end_leaf(&self, stats: &QueryStats, unread: &QueryStats, stages: Option<&Profile>) {
        self.leaf(|leaf| {
            (leaf.stats, leaf.unread) = (stats.clone(), unread.clone());
            leaf.stages = stages.map(|profile| profile.stages().to_vec()).unwrap_or_default();
        });
    }

    /// The plan with all that was measured, as JSON.
    pub(crate) fn plan(&self, answer: &Answer) -> Value {
        let leaves = self.leaves.lock();
        let kind = match answer.data {
            AnswerData::Entries(_) => "log",
            AnswerData::Metric(_) => "metric",
        };
        let query = self.query.lock();
        let (text, root) =
            query.as_ref().map_or((Value::Null, Value::Null), |planned| (json!(planned.text), operator(&planned.root, &leaves)));
        json!({
            "type": kind,
            "query": text,
            "milliseconds": millis(answer.stats.exec_time),
            "queue_milliseconds": millis(answer.stats.queue_time),
            "times": times(&self.whole.lock()),
            "returned": answer.stats.entries_returned,
            "root": root,
        })
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn times(times: &Times) -> Value {
    Value::Object(times.iter().map(|(step, spent)| ((*step).to_owned(), json!(millis(*spent)))).collect())
}

fn operator(operator: &Operator, leaves: &[LeafProfile]) -> Value {
    let mut object = Map::new();
    object.insert("operator".to_owned(), json!(operator.name));
    for (name, property) in &operator.properties {
        let value = match property {
            Property::Text(text) => json!(text),
            Property::List(list) => json!(list),
            Property::Range(range) => json!({"start": range.start.0.to_string(), "end": range.end.0.to_string()}),
        };
        object.insert((*name).to_owned(), value);
    }
    let leaf = operator.leaf.and_then(|at| leaves.get(at));
    if operator.leaf.is_some() {
        let stage = |(at, stage): (usize, &skald_logql::exec::PlannedStage)| {
            let measured = leaf.and_then(|leaf| leaf.stages.get(at)).copied().unwrap_or_default();
            json!({
                "stage": stage.text, "runs": stage.runs.name(), "rows_in": measured.rows_in, "rows_out": measured.rows_out,
                "milliseconds": millis(Duration::from_nanos(measured.nanos)),
            })
        };
        object.insert("stages".to_owned(), operator.stages.iter().enumerate().map(stage).collect());
    }
    if let Some(leaf) = leaf {
        object.insert("measured".to_owned(), measured(leaf));
    }
    if !operator.inputs.is_empty() {
        object.insert("inputs".to_owned(), operator.inputs.iter().map(|input| self::operator(input, leaves)).collect());
    }
    Value::Object(object)
}

fn measured(leaf: &LeafProfile) -> Value {
    let LeafProfile { index, stats, unread, .. } = leaf;
    json!({
        "estimated": {"blocks": index.estimated_blocks, "bytes": index.estimated_bytes},
        "objects": index.objects,
        "tables": {
            "indexes_asked": stats.index.tables,
            "streams_selected": stats.index.streams,
            "objects_skipped": stats.index.objects_skipped,
            "requests": stats.index.requests,
            "bytes": stats.index.bytes,
        },
        "streams": index.streams,
        "chunks_in_memory": index.chunks_in_memory,
        "runs": index.runs,
        "streams_ruled_out_by_index": index.streams_ruled_out,
        "blocks": {
            "of_objects": index.blocks,
            "ruled_out_by_index": index.blocks_without_streams,
            "ruled_out_by_time": index.blocks_outside_time,
            "ruled_out_by_filter": stats.blocks_skipped,
            "read": stats.blocks_read,
        },
        "lines": {
            "read": (stats.memory_lines + stats.object_lines).saturating_sub(unread.memory_lines + unread.object_lines),
            "counted_without_reading": unread.object_lines,
            "passed": stats.post_filter_lines,
            "repeated": stats.duplicates,
        },
        "bytes": {
            "of_lines": stats.memory_bytes + stats.object_bytes,
            "read_from_store": stats.compressed_bytes,
        },
        "from_cache": {"objects": stats.cache.found, "bytes": stats.cache.received_bytes},
        "unreadable": stats.unreadable,
        "times": times(&leaf.times),
    })
}

/// `{"status":"success","data":{"plan":{…},"stats":{…}}}`
pub(crate) fn encode(profiler: &Profiler, answer: &Answer) -> Result<Vec<u8>, QueryError> {
    let mut body = json!({"status": "success"});
    if !answer.warnings.is_empty() {
        body["warnings"] = json!(answer.warnings);
    }
    body["data"] = json!({"plan": profiler.plan(answer), "stats": answer.stats.to_json()});
    Ok(body.to_string().into_bytes())
}

#[cfg(test)]
mod tests;
