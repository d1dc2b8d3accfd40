//! A server with three days of two services, and the calls of Grafana's data source.

use integration_tests::{Answer, GENEROUS, Server};
use serde_json::{Value, json};

pub const SECOND: i64 = 1_000_000_000;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// 2026-01-15T00:00:00Z.
pub const START: i64 = 1_768_435_200 * SECOND;
/// Two days and 23 hours of entries, from half an hour after the start.
pub const MINUTES: i64 = 71 * 60;

pub const QUERY: &str = "/loki/api/v1/query";
pub const QUERY_RANGE: &str = "/loki/api/v1/query_range";
const TENANT: &str = "tenant-1";

/// A server, asked as Grafana asks it.
pub struct Grafana {
    pub server: Server,
}

/// The time of minute `i`.
pub fn at(i: i64) -> i64 {
    START + HOUR / 2 + i * 60 * SECOND
}

/// Level of the entry of minute `i`.
pub fn level(i: i64) -> &'static str {
    ["info", "info", "warn", "info", "error"][(i % 5) as usize]
}

/// The lines of `checkout` of minute `i`: JSON.
pub fn checkout(i: i64) -> String {
    let (took, size) = (100 + i % 50, i % 7);
    format!(
        "{{\"level\":\"{}\",\"method\":\"GET\",\"status\":{},\"took\":\"{took}ms\",\"size\":\"{size}kB\",\"user\":{{\"id\":{}}}}}",
        level(i),
        200 + i % 3,
        i % 4
    )
}

/// The line of `scheduler` of minute `i`, every tenth: logfmt.
pub fn scheduler(i: i64) -> String {
    format!("level={} msg=\"job {} done\" items={}", level(i), i % 8, i % 9)
}

impl Grafana {
    /// An empty server.
    pub fn start() -> Self {
        Grafana { server: Server::start(&format!("auth_enabled: true\n{GENEROUS}  max_query_series: 2000\n")) }
    }

    /// With `checkout`, a line each minute, and `scheduler`, a line every ten minutes.
    pub fn with_shop() -> Self {
        let grafana = Self::start();
        let checkout: Vec<Value> =
            (0..MINUTES).map(|i| json!([at(i).to_string(), checkout(i), {"trace_id": format!("{:032x}", i % 100)}])).collect();
        let scheduler: Vec<Value> = (0..MINUTES).step_by(10).map(|i| json!([at(i).to_string(), scheduler(i)])).collect();
        for part in checkout.chunks(1000) {
            grafana.push(&json!({"streams": [{"stream": {"app": "checkout", "env": "prod"}, "values": part}]}));
        }
        grafana.push(&json!({"streams": [{"stream": {"app": "scheduler", "env": "prod"}, "values": scheduler}]}));
        grafana
    }

    pub fn push(&self, body: &Value) {
        self.server.push(TENANT, &body.to_string());
    }

    /// Pushes entries of one stream.
    pub fn push_lines<L: AsRef<str>>(&self, app: &str, entries: &[(i64, L)]) {
        let values: Vec<Value> = entries.iter().map(|(at, line)| json!([at.to_string(), line.as_ref()])).collect();
        self.push(&json!({"streams": [{"stream": {"app": app}, "values": values}]}));
    }

    /// A request of the data source's backend, with its headers. `tag` goes to `X-Query-Tags`.
    #[track_caller]
    pub fn backend(&self, path: &str, params: &[(&str, &str)], tag: &str) -> Answer {
        let headers = [
            ("x-scope-orgid", TENANT),
            ("x-loki-response-encoding-flags", "categorize-labels"),
            ("x-query-tags", tag),
            ("x-dashboard-uid", "ad5x2k"),
            ("x-panel-id", "2"),
            ("x-grafana-org-id", "1"),
            ("x-datasource-uid", "skald"),
            ("x-query-group-id", "6f1d5a52-98e2-4d29-a7a4-8c3dcb58f6a5"),
            ("user-agent", "Grafana/12.3.1"),
            ("accept-encoding", "gzip"),
        ];
        self.server.ask_with(path, params, &headers)
    }

    /// A resource call, which passes the query string through.
    #[track_caller]
    pub fn resource(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.server.ask_with(&format!("/loki/api/v1/{path}"), params, &[("x-scope-orgid", TENANT), ("user-agent", "Grafana/12.3.1")])
    }

    /// A log query: end exclusive. Grafana sends a step that would do for a metric query, too.
    #[track_caller]
    pub fn logs(&self, query: &str, (start, end): (i64, i64), direction: &str, limit: usize) -> Value {
        let step = format!("{}ms", ((end - start) / 1_000_000 / 11_000 + 1).max(15_000));
        let (start, end, limit) = (start.to_string(), end.to_string(), limit.to_string());
        let params = [("direction", direction), ("end", &*end), ("limit", &limit), ("query", query), ("start", &start), ("step", &step)];
        self.backend(QUERY_RANGE, &params, "Source=explore").json()
    }

    /// A metric query with its step in milliseconds.
    #[track_caller]
    pub fn metric(&self, query: &str, (start, end): (i64, i64), step_ms: i64, tag: &str) -> Value {
        let (start, end, step) = (start.to_string(), end.to_string(), format!("{step_ms}ms"));
        let params = [("direction", "backward"), ("end", &*end), ("limit", "1000"), ("query", query), ("start", &start), ("step", &step)];
        let answer = self.backend(QUERY_RANGE, &params, tag).json();
        assert_eq!(answer["data"]["resultType"], "matrix", "{answer}");
        answer
    }
}

pub fn result(answer: &Value) -> &[Value] {
    answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"))
}

/// A row as Grafana's frame has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub at: i64,
    pub line: String,
    /// All labels as JSON, in the order of the answer.
    pub labels: String,
    /// Time, hash of the line and the labels.
    pub id: String,
}

/// The rows of a categorised answer, streams one after the other.
pub fn rows(answer: &Value) -> Vec<Row> {
    assert_eq!(answer["data"]["resultType"], "streams", "{answer}");
    let of_stream = |stream: &Value| {
        let indexed = stream["stream"].as_object().unwrap().clone();
        let row = move |value: &Value| {
            let mut labels = indexed.clone();
            for category in ["structuredMetadata", "parsed"] {
                labels.extend(value[2][category].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
            }
            let (at, line) = (value[0].as_str().unwrap(), value[1].as_str().unwrap().to_owned());
            let labels = Value::Object(labels).to_string();
            let id = format!("{at}_{:x}", fnv32(&format!("{line}_{labels}")));
            Row { at: at.parse().unwrap(), line, labels, id }
        };
        stream["values"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    result(answer).iter().flat_map(of_stream).collect()
}

/// FNV-1a of 32 bits.
fn fnv32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The series of a matrix: the label's value, and its points as seconds and numbers.
pub fn series(answer: &Value, label: &str) -> Vec<(String, Vec<(i64, f64)>)> {
    let point = |point: &Value| (point[0].as_i64().unwrap_or_else(|| panic!("{point}")), point[1].as_str().unwrap().parse().unwrap());
    let one = |series: &Value| {
        let points = series["values"].as_array().unwrap().iter().map(point).collect();
        (series["metric"][label].as_str().unwrap_or_default().to_owned(), points)
    };
    result(answer).iter().map(one).collect()
}
