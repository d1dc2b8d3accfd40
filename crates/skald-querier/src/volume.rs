//! Volumes: bytes of streams, by label and time.
//!
//! The bytes of an entry are those of its line, of the names and values of the metadata that was pushed with it, and 8 for each value that the
//! server derived (its `detected_level`): Loki keeps such a value as two numbers of 4 bytes and counts those, and dashboards compare.
//!
//! Entries of memory are counted one by one. Of objects the directory knows how much each run has, between its first and its last entry: what lies
//! inside one bucket is exact, what a border cuts is split as if its entries lay evenly between. No block is read.

mod amounts;
mod buckets;
mod grouping;
mod totals;

pub(crate) use amounts::Weighing;
pub(crate) use buckets::Buckets;
pub use grouping::AggregateBy;

use crate::caller::Caller;
use crate::error::QueryError;
use crate::index::{both_inside, compile};
use crate::service::{Answer, AnswerData, Querier};
use crate::survey::{Found, Stream, Survey};
use grouping::Grouping;
use skald_logql::ast::Matcher;
use skald_logql::exec::{LabelSet, MetricResult, Selector};
use skald_model::{Labels, Timestamp};
use std::collections::HashMap;
use std::time::Duration;
use totals::{Amount, Totals};

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

impl Querier {
    /// Bytes of the largest series.
    ///
    /// # Errors
    /// When volumes are off for the tenant, there are more series than allowed, or something does not answer, or not in time.
    pub async fn volume(&self, caller: &Caller, request: VolumeRequest) -> Result<Answer, QueryError> {
        if !caller.limits().volume_enabled {
            return Err(QueryError::NotFound);
        }
        let started = self.monotonic();
        let selector = compile(caller, request.matchers.clone()).await?;
        let mut answer = self
            .in_turn(caller, async {
                let queue_time = self.monotonic() - started;
                let mut answer = self.volumes(caller, selector, &request).await?;
                answer.stats.queue_time = queue_time;
                Ok(answer)
            })
            .await?;
        answer.stats.exec_time = self.monotonic() - started;
        caller.work().record().answered(&answer.stats, answer.warnings.len());
        Ok(answer)
    }

    async fn volumes(&self, caller: &Caller, selector: Selector, request: &VolumeRequest) -> Result<Answer, QueryError> {
        let (start, end) = (request.start, request.end);
        let buckets = request.step.map_or_else(|| Buckets::whole(start, end), |step| Buckets::every(step, start, end));
        let grouping = Grouping::new(request.by, &request.target_labels, &request.matchers);
        let new = || VolumeSurvey::new(buckets, grouping.clone(), caller.limits().volume_max_series);
        let (survey, warnings, mut stats) = self.survey(caller, &[selector], both_inside(start, end), new).await?;
        let (points, limit) = (request.step.is_some(), usize::try_from(request.limit).unwrap_or(usize::MAX));
        let make = move || Ok(survey.totals.answer(&survey.names, &buckets, points, limit));
        let result = caller.work().on_pool(make).await?;
        stats.entries_returned = match &result {
            MetricResult::Matrix(series) => series.iter().map(|series| series.points.len() as u64).sum(),
            MetricResult::Vector(samples) => samples.len() as u64,
            MetricResult::Scalar { .. } => 1,
        };
        Ok(Answer { data: AnswerData::Metric(result), warnings, stats })
    }
}

/// Adds up bytes by series and bucket.
struct VolumeSurvey {
    buckets: Buckets,
    grouping: Grouping,
    /// Most series; none for any number.
    series_max: usize,
    names: Vec<LabelSet>,
    numbers: HashMap<LabelSet, u32>,
    name_bytes: usize,
    totals: Totals,
    /// The stream that came last, and the numbers of its series: sources mostly have many pieces of one stream, one after the other.
    last: Option<(Labels, Vec<u32>)>,
}

impl VolumeSurvey {
    fn new(buckets: Buckets, grouping: Grouping, series_max: usize) -> Self {
        let (names, numbers, totals) = (Vec::new(), HashMap::new(), Totals::default());
        VolumeSurvey { buckets, grouping, series_max, names, numbers, name_bytes: 0, totals, last: None }
    }

    fn number(&mut self, name: LabelSet) -> Result<u32, QueryError> {
        if let Some(number) = self.numbers.get(&name) {
            return Ok(*number);
        }
        let max = self.series_max;
        if max > 0 && self.names.len() >= max {
            return Err(QueryError::Limit(format!("the query hit the max number of series limit (limit: {max} series)")));
        }
        let number = self.names.len() as u32;
        self.name_bytes += 2 * (size_of::<LabelSet>() + name.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>());
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        Ok(number)
    }

    fn number_all(&mut self, labels: &Labels) -> Result<Vec<u32>, QueryError> {
        if let Some((last, series)) = self.last.take_if(|(last, _)| last == labels) {
            self.last = Some((last, series.clone()));
            return Ok(series);
        }
        let names = self.grouping.series_of(labels);
        let series = names.into_iter().map(|name| self.number(name)).collect::<Result<Vec<u32>, _>>()?;
        self.last = Some((labels.clone(), series.clone()));
        Ok(series)
    }
}

impl Survey for VolumeSurvey {
    const COUNTS: bool = true;

    fn is_enough(&self, min: Timestamp, max: Timestamp) -> bool {
        self.buckets.bucket_around(min, max).is_some()
    }

    /// Tenants are added up and not named.
    fn add(&mut self, stream: &Stream<'_>, found: &Found<'_>) -> Result<(), QueryError> {
        let mut amounts: Vec<(u32, Amount)> = Vec::new();
        found.amounts(&self.buckets, Weighing::LinesAndMetadata, |bucket, amount| amounts.push((bucket, amount)));
        // A series is one once it has an entry.
        if !amounts.is_empty() {
            let series = self.number_all(stream.labels)?;
            amounts.into_iter().for_each(|(bucket, amount)| self.totals.add(&series, bucket, amount));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.totals.heap_bytes() + self.name_bytes
    }
}

#[cfg(test)]
mod tests;
