//! Limits that a request sets for itself: they can only be tighter than those of its tenants.

use crate::params::ParamError;
use axum::http::HeaderMap;
use serde::Deserialize;
use skald_config::{ByteSize, Limits};
use skald_logql::units::{parse_duration, parse_size};
use std::time::Duration;

/// Header with the limits, as JSON.
const QUERY_LIMITS: &str = "x-loki-query-limits";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestLimits {
    max_query_length: Option<String>,
    /// Bounds the `[range]`.
    max_query_interval: Option<String>,
    max_query_lookback: Option<String>,
    max_query_time: Option<String>,
    max_entries_limit_per_query: Option<usize>,
    required_labels: Vec<String>,
    minimum_labels_number: Option<usize>,
    max_query_bytes_read: Option<String>,
}

/// The limits of a request whose tenants have `limits`.
pub(crate) fn tightened(limits: &Limits, headers: &HeaderMap) -> Result<Option<Limits>, ParamError> {
    let Some(header) = headers.get(QUERY_LIMITS) else { return Ok(None) };
    let refuse = |why: &str| ParamError(format!("failed to parse X-Loki-Query-Limits: {why}"));
    let asked: RequestLimits = serde_json::from_slice(header.as_bytes()).map_err(|error| refuse(&error.to_string()))?;
    let duration = |text: &Option<String>| match text.as_deref() {
        None | Some("") => Ok(Duration::ZERO),
        Some(text) => parse_duration(text).map_err(|error| refuse(&error.to_string())),
    };
    let bytes = match asked.max_query_bytes_read.as_deref() {
        None | Some("") => 0,
        Some(text) => parse_size(text).map_err(|error| refuse(&error.to_string()))?,
    };
    let own = Limits {
        max_query_length: duration(&asked.max_query_length)?,
        max_query_range: duration(&asked.max_query_interval)?,
        max_query_lookback: duration(&asked.max_query_lookback)?,
        query_timeout: duration(&asked.max_query_time)?,
        max_entries_limit_per_query: asked.max_entries_limit_per_query.unwrap_or(0),
        max_query_bytes_read: ByteSize(bytes),
        minimum_labels_number: asked.minimum_labels_number.unwrap_or(0),
        required_labels: asked.required_labels,
        blocked_queries: Vec::new(),
        ..limits.clone()
    };
    Ok(Some(limits.strictest(&own)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn ask(json: &str) -> Result<Option<Limits>, String> {
        let limits = Limits {
            max_query_length: Duration::from_secs(3600),
            max_query_bytes_read: ByteSize(1000),
            required_labels: vec!["app".to_owned()],
            ..Limits::default()
        };
        let header = HeaderValue::from_str(json).expect("a header value");
        tightened(&limits, &HeaderMap::from_iter([(QUERY_LIMITS.parse().expect("a name"), header)])).map_err(|error| error.0)
    }

    #[test]
    fn a_request_can_only_tighten_its_limits() {
        let found = ask(
            r#"{"maxQueryLength":"2h","maxQueryInterval":"5m","maxQueryLookback":"1d","maxQueryTime":"10s","maxEntriesLimitPerQuery":10,
               "requiredLabels":["env"],"minimumLabelsNumber":2,"maxQueryBytesRead":"500B","tsdbShardingStrategy":"bounded"}"#
                .replace('\n', "")
                .as_str(),
        );
        let found = found.expect("valid").expect("there is a header");
        let secs = Duration::from_secs;
        assert_eq!((found.max_query_length, found.max_query_range, found.query_timeout), (secs(3600), secs(300), secs(10)));
        assert_eq!((found.max_query_lookback, found.max_entries_limit_per_query), (secs(86_400), 10));
        assert_eq!((found.max_query_bytes_read, found.minimum_labels_number), (ByteSize(500), 2));
        assert_eq!(found.required_labels, ["app", "env"]);
        let wider = ask(r#"{"maxQueryTime":"10h","maxEntriesLimitPerQuery":100000,"maxQueryBytesRead":"1GB"}"#);
        let wider = wider.expect("valid").expect("there is a header");
        assert_eq!((wider.query_timeout, wider.max_entries_limit_per_query), (secs(60), 5000));
        assert_eq!(wider.max_query_bytes_read, ByteSize(1000));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for json in ["{", "7", r#"{"maxQueryLength":"soon"}"#, r#"{"maxQueryBytesRead":"some"}"#, r#"{"minimumLabelsNumber":-1}"#] {
            assert!(ask(json).is_err_and(|text| text.starts_with("failed to parse X-Loki-Query-Limits: ")), "{json}");
        }
    }
}
