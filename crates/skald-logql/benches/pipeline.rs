//! Throughput of filters, parsers and counts over one batch, in bytes of lines.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skald_logql::exec::{Batch, LeafState, Selection};
use skald_logql::parse;
use skald_logql::plan::{Params, Plan, plan};
use skald_model::{Labels, Rows, RowsBuilder, Timestamp};
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const ROWS: usize = 40_000;

fn rows(line: impl Fn(usize, &mut String)) -> Rows {
    let mut builder = RowsBuilder::with_capacity(ROWS, ROWS * 200);
    let mut text = String::new();
    for i in 0..ROWS {
        text.clear();
        line(i, &mut text);
        builder.push(Timestamp(i as i64 * 10_000_000), text.as_bytes());
    }
    builder.finish()
}

fn json_line(i: usize, out: &mut String) {
    let (status, ms) = ([200, 200, 404, 500][i % 4], i % 977);
    write!(
        out,
        r#"{{"time":"2026-01-15T00:00:{:02}Z","level":"info","msg":"request served","method":"GET","path":"/api/v1/orders/{i}","status":{status},"duration_ms":{ms},"user":{{"id":{i},"name":"user-{ms}"}},"trace_id":"{i:032x}"}}"#,
        i % 60
    )
    .unwrap();
}

fn logfmt_line(i: usize, out: &mut String) {
    let (status, ms) = ([200, 200, 404, 500][i % 4], i % 977);
    write!(
        out,
        r#"ts=2026-01-15T00:00:{:02}Z level=info caller=server.go:{ms} msg="request served" method=GET path=/api/v1/orders/{i} status={status} duration={ms}ms trace_id={i:032x}"#,
        i % 60
    )
    .unwrap();
}

/// Query, and the rows it is asked of: JSON or logfmt.
const CASES: [(&str, &str, bool); 15] = [
    ("count", r#"sum by (app) (rate({app="api"}[30s]))"#, true),
    ("absent_substring", r#"sum by (app) (rate({app="api"} |= "no such needle" [30s]))"#, true),
    ("common_substring", r#"sum by (app) (rate({app="api"} |= "\"status\":500" [30s]))"#, true),
    ("regex_with_literal", r#"sum by (app) (rate({app="api"} |~ "orders/[0-9]*77\"" [30s]))"#, true),
    ("regex_any_case", r#"sum by (app) (rate({app="api"} |~ "(?i)timeout|refused|USER-97" [30s]))"#, true),
    ("json_filter", r#"sum(rate({app="api"} | json | status >= 500 [30s]))"#, true),
    ("json_filter_by_two", r#"sum by (method, status) (rate({app="api"} | json | status >= 500 [30s]))"#, true),
    ("json_quantile", r#"quantile_over_time(0.99, {app="api"} | json | unwrap duration_ms [30s]) by (app)"#, true),
    ("json_line_format", r#"sum(bytes_over_time({app="api"} | json | line_format "{{.method}} {{.status | ToLower}}" [30s]))"#, true),
    ("json_label_format", r#"sum by (m) (rate({app="api"} | json | label_format m=method [30s]))"#, true),
    ("logfmt_filter", r#"sum(rate({app="api"} | logfmt | status >= 500 [30s]))"#, false),
    ("logfmt_by_field", r#"sum by (status) (rate({app="api"} | logfmt [30s]))"#, false),
    ("logfmt_duration_sum", r#"sum by (status) (sum_over_time({app="api"} | logfmt | unwrap duration(duration) [30s]))"#, false),
    ("regexp_by_group", r#"sum by (s) (rate({app="api"} | regexp "status=(?P<s>[0-9]+)" [30s]))"#, false),
    ("pattern_by_capture", r#"sum by (s) (rate({app="api"} | pattern "<_> status=<s> <_>" [30s]))"#, false),
];

fn bench(c: &mut Criterion) {
    let (json, logfmt) = (rows(json_line), rows(logfmt_line));
    let labels = Labels::from_pairs([("app", "api"), ("env", "prod"), ("pod", "api-1")]).unwrap();
    let params = Params {
        step: Some(Duration::from_secs(5)),
        limit: 100,
        max_series: 500,
        ..Params::over(Timestamp(0), Timestamp(ROWS as i64 * 10_000_000))
    };
    let mut group = c.benchmark_group("leaf");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, query, is_json) in CASES {
        let rows = if is_json { &json } else { &logfmt };
        let Ok(Plan::Metric(plan)) = plan(&parse(query).unwrap(), &params) else { panic!("{name} plans") };
        group.throughput(Throughput::Bytes(rows.line_bytes().len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut state = LeafState::new(Arc::clone(&plan.leaves()[0]));
                black_box(state.add_batch(&Batch::new(&labels, rows), &Selection::All)).unwrap();
                black_box(plan.finish(vec![state])).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
