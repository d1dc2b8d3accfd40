use super::hints::Wanted;
use super::{Direction, Params, PlanError, Rewrite, rewrite, stages};
use crate::ast::LogExpr;
use crate::exec::{Columns, LineNeed, LogCollector, LogRequest, Needs, Pipeline, Selector};
use skald_model::TimeRange;
use std::sync::Arc;

/// A query that gives lines.
#[derive(Debug, Clone)]
pub struct LogPlan {
    selector: Selector,
    request: Arc<LogRequest>,
    stops_at_limit: bool,
}

impl LogPlan {
    pub(super) fn new(log: &LogExpr, params: &Params) -> Result<Self, PlanError> {
        Self::with_columns(log, params, Columns::All)
    }

    /// A query whose entries are looked at for their lines and the metadata of `columns` alone: no more than these, and what stages need, is
    /// read.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn with_columns(log: &LogExpr, params: &Params, columns: Columns) -> Result<Self, PlanError> {
        let selector = Selector::compile(&log.matchers).map_err(PlanError::Regex)?;
        let needs = Needs { lines: LineNeed::Bytes, columns };
        let pipeline = stages::compile(&log.stages, None, params.now, Wanted::All, needs, params.rewrites)?;
        let stops_at_limit = rewrite::stops(params.rewrites.has(Rewrite::StopAtLimit), &pipeline);
        let interval = i64::try_from(params.interval.as_nanos()).unwrap_or(i64::MAX);
        let (direction, limit, profile) = (params.direction, params.limit, params.profile.clone());
        let request = LogRequest { pipeline, range: params.log_range(), direction, limit, interval, profile };
        Ok(LogPlan { selector, request: Arc::new(request), stops_at_limit })
    }

    /// Streams to read.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Stages that entries pass.
    pub fn pipeline(&self) -> &Pipeline {
        &self.request.pipeline
    }

    /// Times of entries, end exclusive.
    pub fn range(&self) -> TimeRange {
        self.request.range
    }

    /// Order of entries.
    pub fn direction(&self) -> Direction {
        self.request.direction
    }

    /// Most entries.
    pub fn limit(&self) -> usize {
        self.request.limit
    }

    /// Whether it is best read piece by piece, from the end that it begins at.
    pub fn stops_at_limit(&self) -> bool {
        self.stops_at_limit
    }

    /// Something to add batches to; several may be filled apart and merged.
    pub fn collector(&self) -> LogCollector {
        LogCollector::new(Arc::clone(&self.request))
    }
}
