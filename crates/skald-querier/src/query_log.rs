//! One line in the log for each query, and the metrics of its end.

use crate::budget::Budget;
use crate::caller::harmless;
use crate::metrics::{EndedQuery, OfKind};
use crate::service::Querier;
use crate::stats::QueryStats;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use skald_model::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Longest part of a query that is logged, in bytes.
const QUERY_BYTES_MAX: usize = 2048;
/// Longest part of a header that is logged, in characters.
const HEADER_CHARS_MAX: usize = 128;
/// Status for a client that left before the answer.
const CLIENT_LEFT: u16 = 499;

/// What becomes known of a request while it is worked on. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Record {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    tenant: String,
    tags: String,
    kind: Option<&'static str>,
    query: String,
    span: Option<(Timestamp, Timestamp)>,
    step: Option<Duration>,
    queued: Duration,
    stats: QueryStats,
    warnings: usize,
    budget: Option<Budget>,
}

impl Record {
    /// Who asks, and what the work for it may hold.
    pub(crate) fn of_caller(&self, tenant: &str, tags: &str, budget: &Budget) {
        let mut known = self.known.lock();
        known.tenant = tenant.to_owned();
        known.tags = tags.to_owned();
        known.budget = Some(budget.clone());
    }

    /// What is asked: `log`, `metric` or `patterns`; requests for metadata and the like need not say.
    pub(crate) fn asked(&self, kind: &'static str, query: &str, span: (Timestamp, Timestamp), step: Option<Duration>) {
        let mut known = self.known.lock();
        known.kind = Some(kind);
        known.query = query.to_owned();
        known.span = Some(span);
        known.step = step;
    }

    /// How long it waited for its turn.
    pub(crate) fn queued(&self, queued: Duration) {
        self.known.lock().queued += queued;
    }

    /// What it cost, and how many warnings the answer has.
    pub(crate) fn answered(&self, stats: &QueryStats, warnings: usize) {
        let mut known = self.known.lock();
        known.stats = stats.clone();
        known.warnings = warnings;
    }
}

/// Logs and counts a request when it is answered, or when its client leaves.
pub(crate) async fn observe(State(querier): State<Querier>, mut request: Request, next: Next) -> Response {
    let endpoint = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    let context = Context::of(request.headers());
    let record = Record::default();
    request.extensions_mut().insert(record.clone());
    let mut ending = Ending { started: querier.monotonic(), querier, endpoint, context, record, status: CLIENT_LEFT };
    let response = next.run(request).await;
    ending.status = response.status().as_u16();
    response
}

/// Where in Grafana a query comes from.
struct Context {
    dashboard: String,
    panel: String,
    alert_rule: String,
}

impl Context {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            value.map_or_else(String::new, |value| harmless(&value, HEADER_CHARS_MAX))
        };
        Context { dashboard: text("x-dashboard-uid"), panel: text("x-panel-id"), alert_rule: text("x-rule-uid") }
    }
}

/// The end of a request: with the status of its answer, or dropped before there was one.
struct Ending {
    querier: Querier,
    started: Duration,
    endpoint: String,
    context: Context,
    record: Record,
    status: u16,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let known = self.record.known.lock();
        let took = self.querier.monotonic().saturating_sub(self.started);
        self.count(&known, took);
        // Without a tenant nothing was asked of the data.
        if !known.tenant.is_empty() {
            self.log(&known, took);
        }
    }
}

impl Ending {
    fn count(&self, known: &Known, took: Duration) {
        let metrics = self.querier.metrics();
        let ended = EndedQuery { endpoint: label(&self.endpoint), status_code: self.status };
        metrics.queries.get_or_create(&ended).inc();
        let kind = OfKind { kind: known.kind.unwrap_or("metadata") };
        metrics.seconds.get_or_create(&kind).observe(took.as_secs_f64());
        let stats = &known.stats;
        let bytes = stats.memory_bytes + stats.object_bytes;
        metrics.lines.inc_by(stats.memory_lines + stats.object_lines);
        metrics.bytes.inc_by(bytes);
        metrics.blocks_skipped.inc_by(stats.blocks_skipped);
        metrics.incomplete.inc_by(u64::from(known.warnings > 0));
        let secs = stats.exec_time.as_secs_f64();
        if known.kind.is_some() && secs > 0.0 {
            metrics.bytes_per_second.get_or_create(&kind).observe(bytes as f64 / secs);
        }
    }

    fn log(&self, known: &Known, took: Duration) {
        let Known { tenant, tags, query, stats, .. } = known;
        let nanos = known.span.map_or(0, |(start, end)| end.0.saturating_sub(start.0).max(0));
        let Context { dashboard, panel, alert_rule } = &self.context;
        tracing::info!(
            tenant,
            endpoint = self.endpoint,
            status = self.status,
            query = cut(query),
            query_hash = skald_config::query_hash(query),
            kind = known.kind.unwrap_or("metadata"),
            range = ?Duration::from_nanos(nanos as u64),
            step = ?known.step.unwrap_or_default(),
            duration = ?took,
            queue_time = ?known.queued,
            bytes = stats.memory_bytes + stats.object_bytes,
            lines = stats.memory_lines + stats.object_lines,
            read_bytes = stats.compressed_bytes,
            blocks_read = stats.blocks_read,
            blocks_skipped = stats.blocks_skipped,
            returned = stats.entries_returned,
            memory_peak = known.budget.as_ref().map_or(0, Budget::peak),
            complete = stats.is_complete(),
            warnings = known.warnings,
            tags,
            dashboard,
            panel,
            alert_rule,
            "query ended"
        );
    }
}

/// `/loki/api/v1/label/{name}/values` is `label_name_values`.
fn label(endpoint: &str) -> String {
    let path = endpoint.strip_prefix("/loki/api/v1/").unwrap_or(endpoint);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// The beginning of a text that is too long for a log line.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_labels() {
        assert_eq!(label("/loki/api/v1/label/{name}/values"), "label_name_values");
        assert_eq!(label("/api/prom/query"), "api_prom_query");
    }

    #[test]
    fn long_queries_are_cut_between_characters() {
        assert_eq!(cut("{a=\"b\"}"), "{a=\"b\"}");
        let long = "é".repeat(QUERY_BYTES_MAX);
        assert_eq!(cut(&long[..]).len(), QUERY_BYTES_MAX);
        assert_eq!(cut(&format!("x{long}")).len(), QUERY_BYTES_MAX - 1);
    }
}
