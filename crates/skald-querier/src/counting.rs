//! How a leaf is counted: from the cache, from the directories of objects, and by reading the rest.

use crate::cache::{Known, Shelf};
use crate::error::QueryError;
use crate::gather::Sources;
use crate::read::{Evaluation, State, Unit};
use crate::stats::{CacheStats, QueryStats};
use crate::work::Work;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use skald_logql::exec::{Batch, EvalError, LeafState, LineNeed, RangeLeaf, Selection, Stats};
use skald_model::Timestamp;
use skald_store::DataObject;
use std::sync::Arc;

/// Streams that are counted between two looks at what the states hold.
const STREAMS_UNCOUNTED: usize = 256;

/// The states of a leaf while it is counted: of each object whose state is to be kept, and of all else together.
pub(crate) struct Counting {
    leaf: Arc<RangeLeaf>,
    shelf: Option<Shelf>,
    /// What was counted without reading; the first unit to be read adds to it.
    rest: Mutex<Option<LeafState>>,
    parts: Vec<Part>,
    /// Parts by number of their object.
    by_object: FxHashMap<u64, usize>,
}

/// An object whose state is to be kept.
struct Part {
    object: Arc<DataObject>,
    min: Timestamp,
    max: Timestamp,
    /// As [`Counting::rest`].
    counted: Mutex<Option<LeafState>>,
}

impl Counting {
    /// Takes what can be had without reading out of `sources`.
    pub(crate) fn begin(
        leaf: Arc<RangeLeaf>,
        shelf: Option<Shelf>,
        mut sources: Sources,
        work: &Work,
    ) -> Result<(Self, Sources, QueryStats), QueryError> {
        let mut stats = QueryStats::default();
        let mut states =
            States { rest: LeafState::new(leaf.clone()), parts: Vec::new(), places: vec![Counts::Rest; sources.objects.len()] };
        let mut parts = Vec::new();
        if let Some(shelf) = &shelf {
            let (known, of_cache) = shelf.look_up(&sources);
            stats.cache = of_cache;
            for (number, known) in known.into_iter().enumerate() {
                match known {
                    Known::Found(state) => {
                        states.rest.add_partial(&state)?;
                        states.places[number] = Counts::Already;
                    }
                    Known::Wanted(min, max) => {
                        if let Some(state) = LeafState::of_part(leaf.clone(), min, max) {
                            states.places[number] = Counts::Part(parts.len());
                            parts.push(Part { object: sources.objects[number].object.clone(), min, max, counted: Mutex::default() });
                            states.parts.push(state);
                        }
                    }
                    Known::Alone => {}
                }
            }
        }
        states.count_whole_runs(&leaf, &mut sources, &mut stats, work)?;
        parts.iter().zip(states.parts).for_each(|(part, state)| *part.counted.lock() = Some(state));
        let by_object = parts.iter().enumerate().map(|(number, part)| (part.object.id(), number)).collect();
        Ok((Counting { leaf, shelf, rest: Mutex::new(Some(states.rest)), parts, by_object }, sources, stats))
    }

    /// Bytes of what was counted without reading.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let bytes = |state: &Mutex<Option<LeafState>>| state.lock().as_ref().map_or(0, LeafState::heap_bytes) as u64;
        bytes(&self.rest) + self.parts.iter().map(|part| bytes(&part.counted)).sum::<u64>()
    }

    /// Everything together, from the states that no part has; and what was kept.
    pub(crate) fn finish(&self, states: Vec<MetricState>) -> Result<(LeafState, CacheStats), EvalError> {
        let mut states = states.into_iter();
        let counted = self.rest.lock().take().map(MetricState);
        let mut all = counted.or_else(|| states.next()).unwrap_or_else(|| MetricState(LeafState::new(self.leaf.clone())));
        states.try_for_each(|state| all.0.merge(state.0))?;
        for number in 0..self.parts.len() {
            // Nothing of it had to be read.
            if self.parts[number].counted.lock().is_some() {
                self.finish_part(number, Vec::new(), true, &mut all)?;
            }
        }
        Ok((all.0, self.shelf.as_ref().map(Shelf::kept).unwrap_or_default()))
    }
}

/// The state of one or several jobs.
pub(crate) struct MetricState(LeafState);

impl State for MetricState {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
        self.0.add_batch(batch, selection)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}

impl Evaluation for Counting {
    type State = MetricState;

    fn part(&self, unit: &Unit) -> Option<usize> {
        match unit {
            Unit::Memory { .. } => None,
            Unit::Block { block, .. } => self.by_object.get(&block.open.object.id()).copied(),
        }
    }

    fn new_state(&self, part: Option<usize>) -> MetricState {
        let counted = match part {
            None => self.rest.lock().take(),
            Some(part) => self.parts[part].state(&self.leaf),
        };
        MetricState(counted.unwrap_or_else(|| LeafState::new(self.leaf.clone())))
    }

    fn finish_part(&self, part: usize, states: Vec<MetricState>, is_complete: bool, rest: &mut MetricState) -> Result<(), EvalError> {
        let part = &self.parts[part];
        let mut states = states.into_iter().map(|state| state.0).chain(part.counted.lock().take());
        let Some(mut all) = states.next() else { return Ok(()) };
        states.try_for_each(|state| all.merge(state))?;
        rest.0.add_profile_of(&mut all);
        let all = Arc::new(all.into_partial());
        rest.0.add_partial(&all)?;
        if let Some(shelf) = self.shelf.as_ref().filter(|_| is_complete && !all.has_failed()) {
            shelf.keep(&part.object, all);
        }
        Ok(())
    }
}

impl Part {
    /// What was counted of it already, or an empty state.
    fn state(&self, leaf: &Arc<RangeLeaf>) -> Option<LeafState> {
        self.counted.lock().take().or_else(|| LeafState::of_part(leaf.clone(), self.min, self.max))
    }
}

/// Where the runs of an object count.
#[derive(Clone, Copy)]
enum Counts {
    Rest,
    Part(usize),
    Already,
}

/// States that are not shared yet.
struct States {
    rest: LeafState,
    parts: Vec<LeafState>,
    /// By object.
    places: Vec<Counts>,
}

impl States {
    fn heap_bytes(&self) -> u64 {
        let states = std::iter::once(&self.rest).chain(&self.parts);
        states.map(|state| state.heap_bytes() as u64).sum()
    }

    /// Counts runs whose numbers in the directory are enough, and leaves those that are to be read.
    fn count_whole_runs(&mut self, leaf: &RangeLeaf, sources: &mut Sources, stats: &mut QueryStats, work: &Work) -> Result<(), QueryError> {
        let by_directory = leaf.needs().lines != LineNeed::Bytes;
        let mut held = work.budget().hold_nothing();
        for (i, stream) in sources.streams.iter_mut().enumerate() {
            work.check()?;
            if i % STREAMS_UNCOUNTED == 0 {
                held.resize(self.heap_bytes())?;
            }
            let mut rest = Vec::with_capacity(stream.runs.len());
            for source in stream.runs.drain(..) {
                let state = match source.place.object().map_or(Counts::Rest, |object| self.places[object]) {
                    Counts::Rest => &mut self.rest,
                    Counts::Part(part) => &mut self.parts[part],
                    Counts::Already => continue,
                };
                let counts = source.place.counts(&sources.objects).filter(|_| by_directory && source.keep.is_none());
                if let Some((counts, columns)) = counts
                    && state.add_run(&stream.labels, &counts, columns.iter().map(|column| &*column.name))?
                {
                    stats.object_lines += counts.rows;
                    stats.object_bytes += counts.line_bytes;
                    stats.post_filter_lines += counts.rows;
                } else {
                    rest.push(source);
                }
            }
            stream.runs = rest;
        }
        Ok(())
    }
}
