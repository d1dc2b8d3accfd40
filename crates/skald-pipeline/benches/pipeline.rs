//! Throughput of stages, in bytes of lines, on one core.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skald_model::Timestamp;
use skald_pipeline::{Counters, CustomMetrics, Entry, LabelSet, Mark, Now, Pipeline, PipelineContext, StageConfig};
use skald_testkit::SeededRandom;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const LINES: usize = 10_000;

/// Lines of 200 to 300 bytes as a container runtime writes them, of a service that logs JSON.
fn cri_json(at: usize) -> String {
    let (stream, level) = (["stdout", "stdout", "stderr"][at % 3], ["info", "info", "debug", "warn", "error"][at % 5]);
    let (second, nanos, ms) = (at / 1000 % 60, at * 7919 % 1_000_000_000, at % 977);
    format!(
        r#"2026-01-15T00:00:{second:02}.{nanos:09}Z {stream} F {{"level":"{level}","msg":"request served","method":"GET","path":"/api/v1/orders/{at}","status":200,"duration_ms":{ms},"user":{{"id":{at},"name":"user-{ms}"}},"trace_id":"{at:032x}"}}"#
    )
}

fn pipeline(yaml: &str) -> Pipeline {
    let stages: Vec<StageConfig> = serde_saphyr::from_str(yaml).unwrap();
    let context = PipelineContext {
        job: "bench".into(),
        counters: Arc::new(Counters::default()),
        metrics: Arc::new(CustomMetrics::default()),
        random: Arc::new(SeededRandom::new(1)),
        inspector: None,
    };
    Pipeline::new(&stages, &context).unwrap()
}

/// Copies each line once, as a source does.
fn run(pipeline: &Pipeline, labels: &LabelSet, lines: &[String]) -> usize {
    let now = Now { wall: Timestamp(1_768_435_200_000_000_000), monotonic: Duration::from_secs(1) };
    let (mut instance, mut out, mut entries) = (pipeline.instance(), Vec::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        let entry = Entry { labels: labels.clone(), timestamp: now.wall, line: line.clone(), metadata: Vec::new() };
        instance.process(entry, Mark(at as u64), now, &mut out);
        entries += out.len();
        black_box(&out);
        out.clear();
    }
    entries
}

fn bench(c: &mut Criterion) {
    let lines: Vec<String> = (0..LINES).map(cri_json).collect();
    let names = ["namespace", "pod", "container", "app", "filename", "node_name", "job"];
    let labels: LabelSet = names.into_iter().map(|name| (name, "some-value-of-a-label")).collect();
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(lines.iter().map(|line| line.len() as u64).sum()));
    for (name, yaml) in [
        ("none", "[]"),
        ("cri", "- cri:"),
        (
            "cri, match, drop",
            "- cri:\n- match: {selector: '{app=\"some-value-of-a-label\"} |= \"orders\"', stages: [{static_labels: {a: b}}]}\n- drop: {expression: 'nothing.*like it'}",
        ),
        ("cri, json, labels", "- cri:\n- json: {expressions: {level:, status:, trace: trace_id}}\n- labels: {level:}"),
        (
            "cri, json, labels, metadata, output",
            "- cri:\n- json: {expressions: {level:, msg:, user: user.name, trace: trace_id}}\n- labels: {level:}\n- structured_metadata: {trace:, user:}\n- output: {source: msg}",
        ),
        ("cri, multiline", "- cri:\n- multiline: {firstline: 'level'}"),
    ] {
        let pipeline = pipeline(yaml);
        group.bench_function(name, |b| b.iter(|| run(&pipeline, &labels, &lines)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
