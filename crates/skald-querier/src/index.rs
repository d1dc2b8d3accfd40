//! What a selector has: streams, entries, bytes.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::service::Querier;
use crate::survey::{Found, Stream, Survey};
use crate::volume::{Buckets, Weighing};
use rustc_hash::FxHashSet;
use skald_logql::ast::Matcher;
use skald_logql::exec::Selector;
use skald_model::{Fingerprint, TimeRange, Timestamp};

/// Counts of an index/stats answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct IndexStats {
    /// Streams with entries.
    pub streams: u64,
    /// Chunks of memory, and parts of objects with entries of one stream.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// Compiles matchers on the CPU pool: large regular expressions take a while.
pub(crate) async fn compile(caller: &Caller, matchers: Vec<Matcher>) -> Result<Selector, QueryError> {
    caller.work().on_pool(move || Ok(Selector::compile(&matchers).map_err(crate::params::ParamError)?)).await
}

/// All instants between two, both inside.
pub(crate) fn both_inside(start: Timestamp, end: Timestamp) -> TimeRange {
    TimeRange::new(start, Timestamp(end.0.saturating_add(1)))
}

impl Querier {
    /// What a selector has between two instants, both inside: entries of memory exactly, those of objects by their directories.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn index_stats(
        &self,
        caller: &Caller,
        matchers: Vec<Matcher>,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<(IndexStats, Vec<String>), QueryError> {
        let started = self.monotonic();
        let selector = compile(caller, matchers).await?;
        let new = || StatsSurvey { buckets: Buckets::whole(start, end), streams: FxHashSet::default(), found: IndexStats::default() };
        let asked = self.survey(caller, std::slice::from_ref(&selector), both_inside(start, end), new);
        let (survey, warnings, mut stats) = self.in_turn(caller, asked).await?;
        stats.exec_time = self.monotonic() - started;
        caller.work().record().answered(&stats, warnings.len());
        Ok((IndexStats { streams: survey.streams.len() as u64, ..survey.found }, warnings))
    }
}

/// Adds up what streams have.
struct StatsSurvey {
    /// One, from the first to the last instant.
    buckets: Buckets,
    /// Hashes of label sets: in one of forty million answers about a million streams, two of them share one.
    streams: FxHashSet<Fingerprint>,
    found: IndexStats,
}

impl Survey for StatsSurvey {
    const COUNTS: bool = true;

    fn is_enough(&self, min: Timestamp, max: Timestamp) -> bool {
        self.buckets.bucket_around(min, max).is_some()
    }

    fn add(&mut self, stream: &Stream<'_>, found: &Found<'_>) -> Result<(), QueryError> {
        let (mut entries, mut bytes) = (0, 0);
        found.amounts(&self.buckets, Weighing::Lines, |_, amount| {
            entries += amount.entries;
            bytes += amount.bytes;
        });
        if entries > 0 {
            self.streams.insert(stream.view.labels(stream.labels).fingerprint());
            self.found.chunks += 1;
            self.found.entries += entries;
            self.found.bytes += bytes;
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.streams.capacity() * (size_of::<Fingerprint>() + 1)
    }
}
