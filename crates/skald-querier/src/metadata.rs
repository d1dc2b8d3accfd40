//! Which streams there are, and the names and values of their labels.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::service::Querier;
use crate::stats::QueryStats;
use crate::survey::{Found, Listing, Stream, Survey};
use crate::tables::label_bytes;
use skald_logql::exec::Selector;
use skald_model::{Labels, TimeRange, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Memory of a text in a set, beside its bytes: here, and in the answer as it is written.
const TEXT_BYTES: usize = 48;

impl Querier {
    /// Label sets of all streams with entries in `range` that any of `selectors` wants, in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn series(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let new = Series::default;
        let (series, warnings) = self.list(caller, selectors, range, new, |series: &Series| series.found.len()).await?;
        Ok((series.found, warnings))
    }

    /// Names of the labels of all streams with entries in `range` that a selector wants, in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn label_names(
        &self,
        caller: &Caller,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<(BTreeSet<String>, Vec<String>), QueryError> {
        let new = || Texts { of: None, found: BTreeSet::new(), bytes: 0 };
        let (names, warnings) = self.list(caller, std::slice::from_ref(selector), range, new, |names: &Texts| names.found.len()).await?;
        Ok((names.found, warnings))
    }

    /// Values that a label has in streams with entries in `range` that a selector wants, in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn label_values(
        &self,
        caller: &Caller,
        selector: &Selector,
        name: &str,
        range: TimeRange,
    ) -> Result<(BTreeSet<String>, Vec<String>), QueryError> {
        let new = || Texts { of: Some(name.to_owned()), found: BTreeSet::new(), bytes: 0 };
        let (values, warnings) = self.list(caller, std::slice::from_ref(selector), range, new, |values: &Texts| values.found.len()).await?;
        Ok((values.found, warnings))
    }

    /// All labels of streams with entries in `range` that a selector wants, and the values of each.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub(crate) async fn values_by_name(
        &self,
        caller: &Caller,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<(BTreeMap<String, HashSet<String>>, Vec<String>), QueryError> {
        let count = |values: &Values| values.found.len();
        let (values, warnings) = self.list(caller, std::slice::from_ref(selector), range, Values::default, count).await?;
        Ok((values.found, warnings))
    }

    /// Makes a list in the caller's turn, and notes what it cost.
    async fn list<M: Made>(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        range: TimeRange,
        new: impl Fn() -> M,
        count: impl Fn(&M) -> usize,
    ) -> Result<(M, Vec<String>), QueryError> {
        let started = self.monotonic();
        let (survey, warnings, stats) = self.in_turn(caller, self.survey(caller, selectors, range, || List { range, made: new() })).await?;
        let made = survey.made;
        let stats = QueryStats { entries_returned: count(&made) as u64, exec_time: self.monotonic() - started, ..stats };
        caller.work().record().answered(&stats, warnings.len());
        Ok((made, warnings))
    }
}

/// Made of the streams that have anything in a range.
struct List<M> {
    range: TimeRange,
    made: M,
}

/// What is made of streams, each of which may come several times.
trait Made: Send + 'static {
    fn add(&mut self, stream: &Stream<'_>);
    fn heap_bytes(&self) -> usize;
    fn listing(&self) -> Option<Listing> {
        None
    }
    fn add_text(&mut self, _text: String) {}
}

impl<M: Made> Survey for List<M> {
    const COUNTS: bool = false;

    /// There is an entry at either end.
    fn is_enough(&self, min: Timestamp, max: Timestamp) -> bool {
        self.range.contains(min) || self.range.contains(max)
    }

    fn add(&mut self, stream: &Stream<'_>, _found: &Found<'_>) -> Result<(), QueryError> {
        self.made.add(stream);
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.made.heap_bytes()
    }

    fn listing(&self) -> Option<Listing> {
        self.made.listing()
    }

    fn add_text(&mut self, text: String) {
        self.made.add_text(text);
    }
}

#[derive(Default)]
struct Series {
    found: BTreeSet<Labels>,
    bytes: usize,
}

impl Made for Series {
    fn add(&mut self, stream: &Stream<'_>) {
        let labels = stream.view.series_labels(stream.labels);
        // In the set, and as text in the answer.
        let bytes = label_bytes(&labels) as usize + labels.text_len() + TEXT_BYTES;
        if self.found.insert(labels) {
            self.bytes += bytes;
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }
}

/// Names, or the values of one.
struct Texts {
    of: Option<String>,
    found: BTreeSet<String>,
    bytes: usize,
}

impl Texts {
    fn insert(&mut self, text: &str) {
        if !self.found.contains(text) {
            self.bytes += 2 * text.len() + TEXT_BYTES;
            self.found.insert(text.to_owned());
        }
    }
}

impl Made for Texts {
    fn add(&mut self, stream: &Stream<'_>) {
        let labels = stream.view.series_labels(stream.labels);
        match self.of.take() {
            Some(name) => {
                labels.get(&name).iter().for_each(|value| self.insert(value));
                self.of = Some(name);
            }
            None => labels.iter().for_each(|(name, _)| self.insert(name)),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn listing(&self) -> Option<Listing> {
        Some(self.of.clone().map_or(Listing::Names, Listing::Values))
    }

    fn add_text(&mut self, text: String) {
        self.insert(&text);
    }
}

#[derive(Default)]
struct Values {
    found: BTreeMap<String, HashSet<String>>,
    bytes: usize,
}

impl Made for Values {
    fn add(&mut self, stream: &Stream<'_>) {
        for (name, value) in stream.view.series_labels(stream.labels).iter() {
            if !self.found.contains_key(name) {
                self.found.insert(name.to_owned(), HashSet::new());
            }
            let values = self.found.get_mut(name).expect("just made");
            if !values.contains(value) {
                self.bytes += value.len() + TEXT_BYTES;
                values.insert(value.to_owned());
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }
}
