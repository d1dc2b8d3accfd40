//! Cost of the two hot parts of a push: finding the level of a line, and all that is done with a body until the ingester has it.

use axum::body::Body;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Uri, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus_client::registry::Registry;
use prost::Message;
use skald_config::DistributorConfig;
use skald_config::Limits;
use skald_distributor::{Distributor, LevelDetector};
use skald_model::seam::{Clock, CpuPool, Job};
use skald_model::{TenantId, Timestamp};
use skald_proto::loki::v1;
use skald_rpc::{Ingester, PushBatch, PushError, SelectError, SelectRequest, Selected, TailError, TailRequest, TailStream};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Lines of about 150 bytes of the usual kinds.
const LINES: [(&str, &str); 5] = [
    (
        "json",
        r#"{"ts":"2026-01-15T00:00:00.123Z","caller":"handler.go:118","msg":"request done","method":"GET","path":"/api/v1/items","status":200,"level":"info"}"#,
    ),
    (
        "json without level",
        r#"{"ts":"2026-01-15T00:00:00.123Z","caller":"handler.go:118","msg":"request done","method":"GET","path":"/api/v1/items","status":200,"size":"4096"}"#,
    ),
    (
        "logfmt, level last",
        r#"ts=2026-01-15T00:00:00.123Z caller=handler.go:118 msg="request done" method=GET path=/api/v1/items status=200 bytes=4096 took=12.5ms id=8f3a2 level=info"#,
    ),
    (
        "access log",
        r#"10.12.1.77 - - [15/Jan/2026:00:00:00 +0000] "GET /api/v1/items?page=2&size=50 HTTP/1.1" 200 4096 "-" "Mozilla/5.0 (X11; Linux x86_64) Firefox/128" 0.012"#,
    ),
    (
        "text",
        "2026-01-15 00:00:00,123 worker-7 org.example.storage.BlockReceiver: Received block blk_3587508140051953248 of size 67108864 from 10.251.42.84 to disk two",
    ),
];

fn levels(c: &mut Criterion) {
    let limits = Limits::default();
    let detector = LevelDetector::new(&limits).expect("on by default");
    let mut group = c.benchmark_group("level");
    for (name, line) in LINES {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), line, |b, line| b.iter(|| detector.of_line(black_box(line.as_bytes()))));
    }
    group.finish();
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_768_435_200)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct InlinePool;

impl CpuPool for InlinePool {
    fn submit(&self, job: Job) {
        job();
    }
    fn threads(&self) -> usize {
        1
    }
}

/// Takes everything and forgets it.
struct Sink;

#[async_trait::async_trait]
impl Ingester for Sink {
    async fn push(&self, _: &TenantId, batch: PushBatch) -> Result<(), PushError> {
        drop(black_box(batch));
        Ok(())
    }
    async fn select(&self, _: &TenantId, _: SelectRequest) -> Result<Selected, SelectError> {
        Err(SelectError::Unavailable("keeps nothing".to_owned()))
    }
    async fn tail(&self, _: &TenantId, _: TailRequest) -> Result<TailStream, TailError> {
        Err(TailError::Unavailable("keeps nothing".to_owned()))
    }
}

const STREAMS: usize = 20;
const ENTRIES: usize = 350;

fn timestamp(i: usize) -> i64 {
    1_768_435_200_000_000_000 + i as i64
}

fn labels(stream: usize) -> String {
    format!("{{app=\"app-{stream}\", cluster=\"eu-1\", namespace=\"shop\", pod=\"app-{stream}-5d9c7b\"}}")
}

fn protobuf(with_metadata: bool) -> Vec<u8> {
    let pair = |name: &'static str, value: String| v1::LabelPair { name: name.into(), value: value.into() };
    let entry = |i: usize| v1::Entry {
        timestamp: Some(v1::Timestamp { seconds: timestamp(i) / 1_000_000_000, nanos: (timestamp(i) % 1_000_000_000) as i32 }),
        line: LINES[i % LINES.len()].1.into(),
        structured_metadata: if with_metadata {
            vec![pair("trace_id", format!("{i:032x}")), pair("span-id", format!("{i:016x}"))]
        } else {
            vec![]
        },
        parsed: vec![],
    };
    let stream = |stream: usize| v1::Stream { labels: labels(stream).into(), entries: (0..ENTRIES).map(entry).collect(), hash: 0 };
    let request = v1::PushRequest { streams: (0..STREAMS).map(stream).collect(), format: String::new() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("far below 4 GiB")
}

/// The same lines as an export of OpenTelemetry logs: a resource for each stream. With metadata each record has a trace and a span.
fn otlp(with_metadata: bool) -> Vec<u8> {
    let text = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    let attribute = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: text(value), ..KeyValue::default() };
    let record = |i: usize| {
        let record = LogRecord { time_unix_nano: timestamp(i) as u64, body: text(LINES[i % LINES.len()].1), ..LogRecord::default() };
        let ids = |i: usize| ((i as u128 + 1).to_be_bytes().to_vec(), (i as u64 + 1).to_be_bytes().to_vec());
        let (trace_id, span_id) = if with_metadata { ids(i) } else { Default::default() };
        LogRecord { trace_id, span_id, ..record }
    };
    let resource = |stream: usize| {
        let names =
            [("service.name", format!("app-{stream}")), ("k8s.cluster.name", "eu-1".to_owned()), ("k8s.namespace.name", "shop".to_owned())];
        let pod = ("k8s.pod.name", format!("app-{stream}-5d9c7b"));
        let attributes = names.iter().chain([&pod]).map(|(key, value)| attribute(key, value)).collect();
        let scope_logs = vec![ScopeLogs { log_records: (0..ENTRIES).map(record).collect(), ..ScopeLogs::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }
    };
    ExportLogsServiceRequest { resource_logs: (0..STREAMS).map(resource).collect() }.encode_to_vec()
}

fn json() -> Vec<u8> {
    let entry = |i: usize| format!("[\"{}\",{:?}]", timestamp(i), LINES[i % LINES.len()].1);
    let stream = |stream: usize| {
        let entries: Vec<String> = (0..ENTRIES).map(entry).collect();
        format!(
            "{{\"stream\":{{\"app\":\"app-{stream}\",\"cluster\":\"eu-1\",\"namespace\":\"shop\"}},\"values\":[{}]}}",
            entries.join(",")
        )
    };
    format!("{{\"streams\":[{}]}}", (0..STREAMS).map(stream).collect::<Vec<_>>().join(",")).into_bytes()
}

fn pushes(c: &mut Criterion) {
    let limits = Limits { ingestion_burst_size_mb: 1e12, ..Limits::default() };
    let (clock, cpu) = (Arc::new(FixedClock), Arc::new(InlinePool));
    let mut registry = Registry::default();
    let config = DistributorConfig::default();
    let distributor = Distributor::new(config, false, Arc::new(limits), Arc::new(Sink), clock, cpu, &mut registry);
    let uri = Uri::from_static("/loki/api/v1/push");
    let mut group = c.benchmark_group("push of 7000 entries");
    let raw: usize = (0..ENTRIES).map(|i| LINES[i % LINES.len()].1.len()).sum::<usize>() * STREAMS;
    group.throughput(Throughput::Bytes(raw as u64));
    let bodies = [
        ("protobuf", "application/x-protobuf", protobuf(false)),
        ("protobuf with two metadata", "application/x-protobuf", protobuf(true)),
        ("json", "application/json", json()),
    ];
    for (name, content_type, body) in bodies {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        group.bench_function(name, |b| {
            b.iter(|| block_on(distributor.push(&uri, &headers, Body::from(body.clone()))).expect("taken"));
        });
    }
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
    for (name, body) in [("otlp", otlp(false)), ("otlp with trace and span", otlp(true))] {
        group.bench_function(name, |b| {
            b.iter(|| block_on(distributor.export(&headers, Body::from(body.clone()))).expect("taken"));
        });
    }
    group.finish();
}

criterion_group!(benches, levels, pushes);
criterion_main!(benches);
