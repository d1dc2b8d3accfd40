//! What a tenant may see of its limits.

use super::Refused;
use crate::caller::QueryTags;
use crate::service::Querier;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use skald_config::{Limits, render_value};
use skald_runtime::{LOKI_VERSION, tenancy};

/// The limits that are shown, under the names that clients know.
const PUBLISHED: [&str; 18] = [
    "discover_log_levels",
    "discover_service_name",
    "log_level_fields",
    "max_entries_limit_per_query",
    "max_line_size_truncate",
    "max_query_bytes_read",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "metric_aggregation_enabled",
    "otlp_config",
    "pattern_persistence_enabled",
    "query_timeout",
    "retention_period",
    "retention_stream",
    "volume_enabled",
    "volume_max_series",
];

/// Limits and features, for Grafana's Logs Drilldown. Patterns are found in stored entries, so they are there whenever entries are.
pub(super) async fn drilldown(State(querier): State<Querier>, headers: HeaderMap) -> Result<Response, Refused> {
    let limits = published(&querier, &headers)?;
    let answer = json!({ "limits": limits, "pattern_ingester_enabled": true, "version": LOKI_VERSION });
    Ok(super::json(answer.to_string().into_bytes()))
}

/// The same limits as YAML.
pub(super) async fn tenant(State(querier): State<Querier>, headers: HeaderMap) -> Result<Response, Refused> {
    let limits = render_value(&Value::Object(published(&querier, &headers)?));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], limits).into_response())
}

/// The limits of the tenant that the header names: it is read here also where requests need none.
fn published(querier: &Querier, headers: &HeaderMap) -> Result<Map<String, Value>, Refused> {
    let tenant = tenancy::tenant(headers, true).map_err(Refused::Tenancy)?;
    Ok(shown(querier.caller(vec![tenant], QueryTags::default()).limits()))
}

fn shown(limits: &Limits) -> Map<String, Value> {
    let mut all = serde_json::to_value(limits).expect("limits are a map with text keys");
    let mut value = |name: &str| all.get_mut(name).map_or_else(|| absent(name), Value::take);
    PUBLISHED.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// What is true of a limit that does not exist here.
fn absent(name: &str) -> Value {
    match name {
        "retention_stream" => json!([]),
        _ => json!(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_config::ByteSize;
    use std::time::Duration;

    #[test]
    fn limits_are_shown_as_clients_read_them() {
        let limits = Limits {
            max_query_length: Duration::from_secs(721 * 3600),
            retention_period: Duration::from_secs(30 * 86_400),
            max_query_bytes_read: ByteSize::gib(2),
            volume_max_series: 7,
            ..Limits::default()
        };
        let shown = shown(&limits);
        let names: Vec<&str> = shown.keys().map(String::as_str).collect();
        assert_eq!(names, PUBLISHED);
        let durations = ["max_query_length", "max_query_lookback", "query_timeout", "retention_period"].map(|name| shown[name].clone());
        assert_eq!(durations, ["30d1h", "0s", "1m", "30d"].map(Value::from));
        assert_eq!((&shown["max_query_bytes_read"], &shown["volume_max_series"]), (&json!("2GB"), &json!(7)));
        assert_eq!((&shown["metric_aggregation_enabled"], &shown["discover_log_levels"]), (&json!(false), &json!(true)));
        assert!(shown["discover_service_name"].as_array().is_some_and(|names| names.contains(&json!("app"))));
    }
}
