//! Throughput of filters, parsers and counts over one batch, in bytes of lines.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skald_logql::ast::*;
use skald_logql::exec::{Batch, LeafState, Selection};
use skald_logql::plan::{Direction, Params, Plan, plan};
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

fn line(op: LineOp, text: &str) -> Stage {
    Stage::LineFilter(LineFilter { op, operands: vec![LineOperand::Text(text.to_owned())] })
}

fn server_errors() -> Stage {
    Stage::LabelFilter(LabelFilter::Number { name: "status".to_owned(), op: CompareOp::GreaterOrEqual, value: 500.0 })
}

fn logfmt() -> Stage {
    Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() }
}

fn bench(c: &mut Criterion) {
    let (json, logfmt_rows) = (rows(json_line), rows(logfmt_line));
    let cases: [(&str, &Rows, Vec<Stage>, &[&str]); 9] = [
        ("count", &json, vec![], &["app"]),
        ("absent_substring", &json, vec![line(LineOp::Contains, "no such needle")], &["app"]),
        ("common_substring", &json, vec![line(LineOp::Contains, "\"status\":500")], &["app"]),
        ("regex_with_literal", &json, vec![line(LineOp::Regex, "orders/[0-9]*77\"")], &["app"]),
        ("regex_any_case", &json, vec![line(LineOp::Regex, "(?i)timeout|refused|USER-97")], &["app"]),
        ("json_filter", &json, vec![Stage::Json(Vec::new()), server_errors()], &[]),
        ("json_filter_by_two", &json, vec![Stage::Json(Vec::new()), server_errors()], &["method", "status"]),
        ("logfmt_filter", &logfmt_rows, vec![logfmt(), server_errors()], &[]),
        ("logfmt_by_field", &logfmt_rows, vec![logfmt()], &["status"]),
    ];
    let labels = Labels::from_pairs([("app", "api"), ("env", "prod"), ("pod", "api-1")]).unwrap();
    let params = Params {
        start: Timestamp(0),
        end: Timestamp(ROWS as i64 * 10_000_000),
        step: Some(Duration::from_secs(5)),
        limit: 100,
        direction: Direction::Backward,
        interval: Duration::ZERO,
        max_series: 500,
    };
    let mut group = c.benchmark_group("leaf");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, rows, stages, by) in cases {
        let matchers = vec![Matcher { name: "app".to_owned(), op: MatchOp::Equal, value: "api".to_owned() }];
        let range = RangeAggregation {
            op: RangeOp::Rate,
            parameter: None,
            log: LogExpr { matchers, stages },
            unwrap: None,
            range: Duration::from_secs(30),
            offset_nanos: 0,
            grouping: None,
        };
        let grouping = Some(Grouping { without: false, labels: by.iter().map(|name| (*name).to_owned()).collect() });
        let sum = VectorAggregation { op: VectorOp::Sum, parameter: None, inner: Box::new(MetricExpr::Range(range)), grouping };
        let Ok(Plan::Metric(plan)) = plan(&Expr::Metric(MetricExpr::Vector(sum)), &params) else { panic!("{name} plans") };
        group.throughput(Throughput::Bytes(rows.line_bytes().len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut state = LeafState::new(Arc::clone(&plan.leaves()[0]));
                black_box(state.add_batch(&Batch::new(&labels, rows), &Selection::All)).unwrap();
                black_box(state)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
