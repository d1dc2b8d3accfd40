//! One line in the log for each request and each tail when it ends, and the metrics of its end.

use crate::budget::Budget;
use crate::caller::harmless;
use crate::metrics::{EndedQuery, OfKind};
use crate::service::Querier;
use crate::stats::QueryStats;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode};
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
/// Longest part of an error that is logged, in bytes.
const ERROR_BYTES_MAX: usize = 512;
/// Kind of requests for metadata and the like.
const METADATA: &str = "metadata";

/// Why a request is refused: an extension of its answer.
#[derive(Clone)]
pub(crate) struct Why(pub(crate) String);

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

    /// What is asked: `log`, `metric`, `patterns` or `tail`.
    pub(crate) fn asked(&self, kind: &'static str, query: &str, span: (Timestamp, Timestamp), step: Option<Duration>) {
        self.asked_about(query, span, step);
        self.known.lock().kind = Some(kind);
    }

    /// The query as it came.
    pub(crate) fn query(&self, text: &str) {
        text.clone_into(&mut self.known.lock().query);
    }

    /// What metadata and the like is asked about.
    pub(crate) fn asked_about(&self, query: &str, span: (Timestamp, Timestamp), step: Option<Duration>) {
        self.query(query);
        let mut known = self.known.lock();
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

    /// That a tail sent a message of so many entries, which says that others are missing.
    pub(crate) fn sent(&self, entries: usize, says_missing: bool) {
        let mut known = self.known.lock();
        known.stats.entries_returned += entries as u64;
        known.warnings += usize::from(says_missing);
    }
}

/// Logs and counts a request when it is answered, or when its client leaves.
pub(crate) async fn observe(State(querier): State<Querier>, mut request: Request, next: Next) -> Response {
    let mut ending = Ending::of(&querier, &mut request);
    let response = next.run(request).await;
    ending.answered(&response);
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

/// The end of a request, logged and counted when this is dropped: with the status of its answer, or 499 where there was none before.
pub(crate) struct Ending {
    querier: Querier,
    started: Duration,
    endpoint: String,
    context: Context,
    record: Record,
    status: u16,
    error: String,
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
    /// Of a request that begins, which gets its [`Record`] here.
    pub(crate) fn of(querier: &Querier, request: &mut Request) -> Self {
        let endpoint = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
        let context = Context::of(request.headers());
        let record = Record::default();
        request.extensions_mut().insert(record.clone());
        let (started, querier) = (querier.monotonic(), querier.clone());
        Ending { querier, started, endpoint, context, record, status: CLIENT_LEFT, error: String::new() }
    }

    /// With this answer.
    pub(crate) fn answered(&mut self, response: &Response) {
        let why = response.extensions().get::<Why>().map_or_else(String::new, |why| why.0.clone());
        self.ended(response.status(), why);
    }

    /// With this status, and why, if not because all was done.
    pub(crate) fn ended(&mut self, status: StatusCode, error: String) {
        (self.status, self.error) = (status.as_u16(), error);
    }

    /// Whether there was an answer, and nothing was missing from it.
    fn is_complete(&self, known: &Known) -> bool {
        self.status < 400 && self.error.is_empty() && known.warnings == 0 && known.stats.is_complete()
    }

    fn count(&self, known: &Known, took: Duration) {
        let metrics = self.querier.metrics();
        let ended = EndedQuery { endpoint: label(&self.endpoint), status_code: self.status };
        metrics.queries.get_or_create(&ended).inc();
        let kind = OfKind { kind: known.kind.unwrap_or(METADATA) };
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
            error = cut(&self.error, ERROR_BYTES_MAX),
            query = cut(query, QUERY_BYTES_MAX),
            query_hash = skald_config::query_hash(query),
            kind = known.kind.unwrap_or(METADATA),
            range = ?Duration::from_nanos(nanos as u64),
            step = ?known.step.unwrap_or_default(),
            duration = ?took,
            queue_time = ?known.queued,
            bytes = stats.memory_bytes + stats.object_bytes,
            lines = stats.memory_lines + stats.object_lines,
            read_bytes = stats.compressed_bytes,
            index_bytes = stats.index.bytes,
            index_requests = stats.index.requests,
            footers = stats.footers,
            blocks_read = stats.blocks_read,
            blocks_skipped = stats.blocks_skipped,
            returned = stats.entries_returned,
            memory_peak = known.budget.as_ref().map_or(0, Budget::peak),
            complete = self.is_complete(known),
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
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
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
        assert_eq!(cut("{a=\"b\"}", 7), "{a=\"b\"}");
        let long = "é".repeat(100);
        assert_eq!(cut(&long, 100).len(), 100);
        assert_eq!(cut(&format!("x{long}"), 100).len(), 99);
    }
}
