//! A checked query: what to read, what to do with each batch, and how the parts become an answer.

mod describe;
mod error;
mod fragment;
mod hints;
mod log;
mod metric;
mod rewrite;
mod stages;
#[cfg(test)]
mod tests;

use crate::ast::Expr;
use crate::exec::ProfileClock;
use skald_model::{TimeRange, Timestamp};
use std::time::Duration;

pub use describe::{Operator, Property};
pub use error::PlanError;
pub use log::LogPlan;
pub use metric::MetricPlan;
pub use rewrite::{Rewrite, Rewrites};

pub(crate) use rewrite::{ImpliedFilter, StreamTest};

/// When and how much a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// First instant of lines, or time of the first step.
    pub start: Timestamp,
    /// First instant after the lines, or the time that no step passes; the time of an instant query.
    pub end: Timestamp,
    /// Distance of steps; `None` asks a metric query at the instant `end`.
    pub step: Option<Duration>,
    /// Most lines.
    pub limit: usize,
    /// Order of lines.
    pub direction: Direction,
    /// Least distance of lines; zero takes all. Each hour is thinned by itself, after its first `limit` lines were taken.
    pub interval: Duration,
    /// Most series of a metric query.
    pub max_series: usize,
    /// What templates see as the current time.
    pub now: Timestamp,
    /// Whether `approx_topk` is answered.
    pub approx_topk: bool,
    /// Reads the time where what each stage does is to be seen.
    pub profile: Option<ProfileClock>,
    /// What the plan may do to be cheaper.
    pub rewrites: Rewrites,
}

impl Params {
    /// Everything from `start` to `end`, newest first, without bounds and with all rewrites; the present is `start`.
    pub fn over(start: Timestamp, end: Timestamp) -> Self {
        Params {
            start,
            end,
            step: None,
            limit: usize::MAX,
            direction: Direction::Backward,
            interval: Duration::ZERO,
            max_series: usize::MAX,
            now: start,
            approx_topk: false,
            profile: None,
            rewrites: Rewrites::ALL,
        }
    }
}

/// Order in which lines are taken and given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// A query that can be run.
#[derive(Debug)]
pub enum Plan {
    /// Gives lines.
    Log(LogPlan),
    /// Gives numbers.
    Metric(MetricPlan),
}

/// Checks `expr` and compiles its stages.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(expr: &Expr, params: &Params) -> Result<Plan, PlanError> {
    Ok(match expr {
        Expr::Log(log) => Plan::Log(LogPlan::new(log, params)?),
        Expr::Metric(metric) => Plan::Metric(MetricPlan::new(metric, params)?),
    })
}

impl Params {
    /// The lines of a log query, end exclusive; an instant holds itself.
    pub(crate) fn log_range(&self) -> TimeRange {
        let end = if self.start == self.end { Timestamp(self.end.0.saturating_add(1)) } else { self.end };
        TimeRange::new(self.start, end)
    }
}
