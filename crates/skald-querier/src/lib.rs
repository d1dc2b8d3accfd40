//! The querier: the query API, and its evaluation over memory and data objects.
//!
//! A query asks the ingester first and the catalogue of data objects then, so that a flush in between shows each line exactly once (`gather`).
//! Entries that several sources hold are found by time first and content then (`overlap`). What the directory of an object can answer is
//! counted without reading; blocks that a filter rules out are skipped (`filter`); the rest is fetched, decoded and evaluated on the CPU pool
//! by the pure engine of `skald-logql` (`read`). It keeps nothing on disk.
//!
//! A live tail (`tail`) sends what such a query finds, and then the entries that the ingesters acknowledge.

mod budget;
mod cache;
mod caller;
mod checks;
mod counting;
mod detected_fields;
mod detected_labels;
mod encode;
mod error;
mod explain;
mod fetch;
mod filter;
mod gather;
mod http;
mod index;
mod lanes;
mod log;
mod lookup;
mod metadata;
mod metric;
mod metrics;
mod overlap;
mod params;
mod patterns;
mod piece;
mod query_log;
mod queue;
mod read;
mod request_limits;
mod service;
mod stats;
mod survey;
mod tables;
mod tail;
mod tenants;
#[cfg(test)]
mod testing;
mod volume;
mod wanted;
mod work;

pub use budget::BudgetError;
pub use caller::{Caller, QueryTags};
pub use error::QueryError;
pub use index::IndexStats;
pub use metrics::Metrics;
pub use params::ParamError;
pub use patterns::{Pattern, Patterns, PatternsRequest};
pub use service::{Answer, AnswerData, Parts, Querier, QueryRequest};
pub use stats::QueryStats;
pub use volume::{AggregateBy, VolumeRequest};
