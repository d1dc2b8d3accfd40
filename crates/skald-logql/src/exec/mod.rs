//! Evaluation over batches of columns: filters, parsers, counts per window, and the answers made of them.

mod batch;
mod binary;
mod error;
mod go;
mod ip;
mod json;
mod label_filter;
mod label_set;
mod leaf;
mod line_filter;
mod log_result;
mod logfmt;
mod pattern;
mod pattern_filter;
mod pipeline;
mod probe;
mod row;
mod sample;
mod selector;
mod simplify;
mod steps;
mod vector;

pub use batch::{Batch, Lines, Selection, Stats};
pub use error::EvalError;
pub use label_set::LabelSet;
pub use leaf::{LeafState, RangeLeaf, RunCounts};
pub use log_result::{LogCollector, LogEntries, LogEntry, LogStream};
pub use pipeline::{Columns, Entry, LineNeed, Needs, Pipeline, Scratch};
pub use probe::Probe;
pub use row::{Category, RowLabels};
pub use sample::format_sample;
pub use selector::Selector;
pub use steps::Steps;
pub use vector::{MetricResult, Sample, Series};

pub(crate) use binary::{apply, apply_scalar, join};
pub(crate) use label_filter::{Condition, ConditionError, Named, Test};
pub(crate) use leaf::{LeafValue, SeriesKey, sorted_names};
pub(crate) use line_filter::LineMatcher;
pub(crate) use log_result::LogRequest;
pub(crate) use logfmt::LogfmtOptions;
pub(crate) use pipeline::{Hints, Step};
pub(crate) use row::{ERROR, ERROR_DETAILS, EXTRACTED};
pub(crate) use steps::Windows;
pub(crate) use vector::{StepVectors, aggregate, result, scalar_result};
