//! Bodies that clients push, through the routes that take them.

use crate::Target;
use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::Request;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prometheus_client::registry::Registry;
use prost::Message;
use skald_config::{ByteSize, DistributorConfig, Limits};
use skald_distributor::{Distributor, parse_labels};
use skald_model::{Labels, TenantId, Timestamp};
use skald_proto::loki::v1::{Entry, LabelPair, PushRequest, Stream, Timestamp as ProtoTimestamp};
use skald_proto::{decode_frame, encode_frame, otlp, read_push};
use skald_testkit::{FakeIngester, InlinePool, SimClock};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;

/// 2026-01-15T00:00:00Z
const NOW: i64 = 1_768_435_200;
/// Bodies become at most this large; lines of refusals with them.
const BODY_MAX: u64 = 1 << 20;

pub(crate) const PROTOBUF: Target = Target {
    name: "push-protobuf",
    about: "a Loki push as protobuf, before it is compressed",
    seeds: protobufs,
    tokens: &[],
    run: |bytes| {
        for stream in read_push(bytes) {
            let Ok(stream) = stream else { break };
            let entries = stream.entries().take_while(Result::is_ok).flatten();
            entries.flat_map(|entry| entry.metadata().take_while(Result::is_ok)).for_each(drop);
        }
        let body = snap::raw::Encoder::new().compress_vec(bytes).expect("it is small");
        send("/loki/api/v1/push", "application/x-protobuf", body);
    },
};

pub(crate) const SNAPPY: Target = Target {
    name: "push-snappy",
    about: "a Loki push as it is sent: snappy around protobuf",
    seeds: || protobufs().iter().map(|body| snap::raw::Encoder::new().compress_vec(body).expect("it is small")).collect(),
    tokens: &[],
    run: |bytes| send("/loki/api/v1/push", "application/x-protobuf", bytes.to_vec()),
};

pub(crate) const JSON_V1: Target = Target {
    name: "push-json",
    about: "a Loki push as JSON",
    seeds: || {
        let text = format!(
            r#"{{"streams":[{{"stream":{{"app":"a","pod":"p-1"}},"values":[["{NOW}000000001","level=warn one"],["{NOW}000000002","\u00e9\ud83d\ude00",{{"trace-id":"x","n":"1"}}]]}},{{"stream":{{"app":"b"}},"values":[]}}]}}"#
        );
        vec![text.into_bytes(), br#"{"streams":[]}"#.to_vec()]
    },
    tokens: JSON,
    run: |bytes| send("/loki/api/v1/push", "application/json", bytes.to_vec()),
};

pub(crate) const JSON_V0: Target = Target {
    name: "push-json-v0",
    about: "a push as JSON in Loki's first form",
    seeds: || {
        let one = r#"{"streams":[{"labels":"{app=\"a\", pod=\"p\"}","entries":[{"ts":"2026-01-15T00:00:00.000000001Z","line":"one"},{"ts":"2026-01-14T23:00:00-01:00","line":"two"}]}]}"#;
        vec![one.into()]
    },
    tokens: JSON,
    run: |bytes| send("/api/prom/push", "application/json", bytes.to_vec()),
};

pub(crate) const LABELS: Target = Target {
    name: "labels",
    about: "the text of a stream's labels; what was read prints as a text that reads the same",
    seeds: || [r#"{app="a", pod="p-1"}"#, r#"{a=`b`, c="\u00e9\n\"\x41\101"}"#, "{}"].map(|text| text.as_bytes().to_vec()).into(),
    tokens: &["{", "}", "=", ",", "\"", "`", "\\", "\\x", "\\u00", "\\U", "a", "=~", " ", "\u{e9}"],
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(Ok(labels)) = parse_labels(text).map(Labels::from_pairs) else { return };
        let again = parse_labels(&labels.to_string()).map(Labels::from_pairs).expect("printed labels are read");
        assert_eq!(again.as_ref(), Ok(&labels));
    },
};

pub(crate) const OTLP_PROTOBUF: Target = Target {
    name: "otlp-protobuf",
    about: "an export of OpenTelemetry logs as protobuf",
    seeds: || exports().map(|export| export.encode_to_vec()).collect(),
    tokens: &[],
    run: |bytes| {
        read_export(bytes);
        send("/otlp/v1/logs", "application/x-protobuf", bytes.to_vec());
    },
};

pub(crate) const OTLP_JSON: Target = Target {
    name: "otlp-json",
    about: "an export of OpenTelemetry logs as JSON",
    seeds: || EXPORTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
    tokens: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "-1.5e9",
        "1",
        "\"resourceLogs\"",
        "\"scopeLogs\"",
        "\"logRecords\"",
        "\"body\"",
        "\"attributes\"",
        "\"key\"",
        "\"value\"",
        "\"kvlistValue\"",
        "\"arrayValue\"",
        "\"values\"",
        "\"stringValue\"",
        "\"intValue\"",
        "\"doubleValue\"",
        "\"bytesValue\"",
        "\"traceId\"",
        "\"NaN\"",
        "{\"values\":[{\"arrayValue\":",
    ],
    run: |bytes| send("/otlp/v1/logs", "application/json", bytes.to_vec()),
};

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u00",
    "\\ud83d",
    "null",
    "true",
    "1e5",
    "-",
    "\"streams\"",
    "\"stream\"",
    "\"values\"",
    "\"labels\"",
    "\"entries\"",
    "\"ts\"",
    "\"line\"",
    "{\"a\":",
    "[[",
    "\u{e9}",
];

const EXPORTS: &[&str] = &[
    r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"h"}}]},"scopeLogs":[{"scope":{"name":"lib","version":"1","attributes":[{"key":"s.a","value":{"stringValue":"v"}}]},"logRecords":[{"timeUnixNano":"1768435200000000001","observedTimeUnixNano":"1768435200000000002","severityNumber":17,"severityText":"Oops","flags":2,"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","attributes":[{"key":"n","value":{"intValue":"5"}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5},{"bytesValue":"AQI="}]}}}]}}}],"body":{"stringValue":"one"}},{"severityNumber":"SEVERITY_NUMBER_WARN2"}]}]}]}"#,
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1}}]}}}]}]}]}"#,
];

fn exports() -> impl Iterator<Item = ExportLogsServiceRequest> {
    EXPORTS.iter().map(|text| {
        // The library takes numbers of severities only.
        serde_json::from_str(&text.replace("\"SEVERITY_NUMBER_WARN2\"", "14")).expect("an export")
    })
}

fn protobufs() -> Vec<Vec<u8>> {
    let entry = |at: i32, line: &str| Entry {
        timestamp: Some(ProtoTimestamp { seconds: NOW, nanos: at }),
        line: line.as_bytes().to_vec().into(),
        structured_metadata: vec![LabelPair { name: "trace".into(), value: "abc".into() }],
        ..Entry::default()
    };
    let stream = |labels: &str| Stream {
        labels: labels.as_bytes().to_vec().into(),
        entries: vec![entry(1, "level=error one"), entry(2, "two")],
        ..Stream::default()
    };
    let push = PushRequest { streams: vec![stream("{app=\"a\", pod=\"p\"}"), stream("{app=\"b\"}")], ..PushRequest::default() };
    vec![push.encode_to_vec(), PushRequest::default().encode_to_vec()]
}

/// Every value of an export, however deep.
fn read_export(bytes: &[u8]) {
    fn value(found: &otlp::AnyValue<'_>) {
        // An explicit stack: what nests deeply is read in place, without one of ours.
        let mut open = vec![*found];
        let mut budget = 10_000;
        while let Some(next) = open.pop() {
            match next {
                otlp::AnyValue::Array(array) => open.extend(array.values().take_while(Result::is_ok).flatten()),
                otlp::AnyValue::Map(map) => open.extend(map.attributes().take_while(Result::is_ok).flatten().map(|pair| pair.value)),
                _ => {}
            }
            budget -= 1;
            if budget == 0 {
                return;
            }
        }
    }
    for resource in otlp::read_export(bytes).take_while(Result::is_ok).flatten() {
        resource.attributes().take_while(Result::is_ok).flatten().for_each(|pair| value(&pair.value));
        for scope in resource.scopes().take_while(Result::is_ok).flatten() {
            scope.attributes().take_while(Result::is_ok).flatten().for_each(|pair| value(&pair.value));
            for record in scope.records().take_while(Result::is_ok).flatten() {
                value(&record.body);
                record.attributes().take_while(Result::is_ok).flatten().for_each(|pair| value(&pair.value));
            }
        }
    }
}

struct Server {
    ingester: Arc<FakeIngester>,
    routes: Router,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let ingester = Arc::<FakeIngester>::default();
    let limits = Limits {
        ingestion_rate_mb: 1e9,
        ingestion_burst_size_mb: 1e9,
        per_stream_rate_limit: ByteSize(1 << 50),
        per_stream_rate_limit_burst: ByteSize(1 << 50),
        reject_old_samples: false,
        ..Limits::default()
    };
    let config = DistributorConfig { max_decompressed_size: ByteSize(BODY_MAX), ..DistributorConfig::default() };
    let (clock, pool) = (SimClock::new(Timestamp::from_secs(NOW)), Arc::new(InlinePool));
    let distributor = Distributor::new(config, true, Arc::new(limits), ingester.clone(), clock, pool, &mut Registry::default());
    Server { ingester, routes: distributor.routes() }
});

/// Pushes a body. It is taken or refused as the client's fault, and what was stored fits into a frame of the write-ahead log.
fn send(path: &str, content_type: &str, body: Vec<u8>) {
    let request = Request::post(path).header("content-type", content_type).header("x-scope-orgid", "t").body(Body::from(body));
    let answer = futures::executor::block_on(async {
        let response = SERVER.routes.clone().oneshot(request.expect("a request")).await.expect("routers do not fail");
        (response.status().as_u16(), to_bytes(response.into_body(), usize::MAX).await.expect("an answer in memory"))
    });
    let (status, text) = answer;
    let text = String::from_utf8_lossy(&text);
    // Names of metadata that cannot be are answered as Loki does, with 500.
    let refused = matches!(status, 400 | 413 | 422) || (status == 500 && text.contains("label name"));
    assert!(status == 204 || refused, "{status} {text}");
    let tenant = TenantId::parse("t").expect("valid");
    for stream in SERVER.ingester.take_streams() {
        let streams = (stream.labels.clone(), &stream.rows);
        let frame = Bytes::from(encode_frame(&tenant, &[streams]));
        let (_, back) = decode_frame(frame).expect("our own frame");
        assert_eq!(back, [(stream.labels.clone(), stream.rows.clone())]);
        assert_ne!(stream.rows.len(), 0);
    }
}
