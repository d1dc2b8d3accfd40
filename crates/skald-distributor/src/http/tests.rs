use crate::testing::{NANOS, NOW, Server, show};
use proptest::prelude::*;
use prost::Message;
use skald_config::DistributorConfig;
use skald_config::{ByteSize, Limits};
use skald_model::ErrorKind;
use skald_proto::loki::v1;
use skald_rpc::{PushError, Refusal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A v1 body of one stream; entries are `nanoseconds since NOW`, line and metadata.
fn body(labels: &str, entries: &[(i64, &str, &str)]) -> String {
    let entry = |(at, line, metadata): &(i64, &str, &str)| {
        let metadata = if metadata.is_empty() { String::new() } else { format!(",{metadata}") };
        format!("[\"{}\",{line:?}{metadata}]", NOW * NANOS + at)
    };
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!("{{\"streams\":[{{\"stream\":{labels},\"values\":[{}]}}]}}", entries.join(","))
}

/// Pushes a JSON body under `limits` and compares status, text and what was stored.
#[track_caller]
fn check(limits: &Limits, json: &str, status: u16, text: &str, stored: &[&str]) {
    let server = Server::new(limits.clone());
    let answer = server.send_json(json);
    let newline = if text.is_empty() { "" } else { "\n" };
    assert_eq!((answer.status, answer.body), (status, format!("{text}{newline}")), "{json}");
    assert_eq!(server.stored(), stored, "{json}");
}

#[track_caller]
fn check_default(json: &str, status: u16, text: &str, stored: &[&str]) {
    check(&Limits::default(), json, status, text, stored);
}

#[test]
fn json_is_stored_with_service_name_and_level() {
    let json = body(r#"{"app":"a"}"#, &[(0, "one", ""), (1, "level=info", r#"{"trace-id":"x"}"#)]);
    let stored = [
        r#"{app="a", service_name="a"} 0 one ~detected_level=unknown"#,
        r#"{app="a", service_name="a"} 1 level=info trace_id=x ~detected_level=info"#,
    ];
    check_default(&json, 204, "", &stored);
}

#[test]
fn odd_json_is_read_as_loki_reads_it() {
    let unknown = |labels: &str, line: &str| format!("{labels} 0 {line} ~detected_level=unknown");
    let nobody = r#"{service_name="unknown_service"}"#;
    check_default(&body("{}", &[(0, "x", "")]), 204, "", &[&unknown(nobody, "x")]);
    check_default(r#"{"streams":[{"values":[["1768435200000000000","x"]]}]}"#, 204, "", &[&unknown(nobody, "x")]);
    check_default(r#"{"streams":[{"stream":{},"values":[["1768435200000000000"]]}]}"#, 204, "", &[&unknown(nobody, "")]);
    let literals = unknown(r#"{app="5", n="null", service_name="5"}"#, "x");
    check_default(&body(r#"{"app":5,"n":null,"e":""}"#, &[(0, "x", "")]), 204, "", &[&literals]);
    let last = unknown(r#"{app="b", service_name="b"}"#, "x");
    check_default(&body(r#"{"app":"a","app":"b"}"#, &[(0, "x", "")]), 204, "", &[&last]);
    let late = r#"{"more":[{}],"streams":[{"values":[null,["1768435200000000000","x",{},7,[]]],"stream":{"app":"b"},"x":1}]}"#;
    check_default(late, 204, "", &[&last]);
    check_default(r#"{"streams":[{"stream":{"a":"b"},"values":null}]}"#, 204, "", &[]);
    check_default(r#"{"streams":[{"stream":{"a":"b"},"values":[]}]}"#, 204, "", &[]);
}

#[test]
fn pushes_without_streams_are_told_apart() {
    let text = "error at least one valid stream is required for ingestion";
    check_default(r#"{"streams":[]}"#, 422, text, &[]);
    check_default(r#"{"streams":null}"#, 422, text, &[]);
    check_default("{}", 422, text, &[]);
    check_default("", 400, "EOF", &[]);
    let server = Server::new(Limits::default());
    assert_eq!(server.send_proto(&[]).status, 422);
}

#[test]
fn malformed_json_is_refused() {
    let server = Server::new(Limits::default());
    for json in [
        "not json",
        "[]",
        r#"{"streams":{}}"#,
        r#"{"streams":[{"stream":"{}","values":[]}]}"#,
        r#"{"streams":[{"stream":{},"values":[[1768435200000000000,"x"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["abc","x"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[[]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1768435200000000000",5]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1768435200000000000","x","y"]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1768435200000000000","x",{"a":1}]]}]}"#,
        r#"{"streams":[{"stream":{},"values":[["1768435200000000000","x",{"a":{}}]]}]}"#,
        r#"{"streams":[]} x"#,
        r#"{"streams":[]"#,
        &format!("{}{}", r#"{"x":"#, "[".repeat(100_000)),
    ] {
        let answer = server.send_json(json);
        assert_eq!(answer.status, 400, "{json}");
        assert!(answer.body.ends_with('\n') && answer.body.len() > 5, "{}", answer.body);
    }
    assert!(server.stored().is_empty());
}

#[test]
fn the_path_tells_the_form_of_json() {
    let server = Server::new(Limits::default());
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "t")];
    let entry = r#"{"ts":"2026-01-15T00:00:00.000000001Z","line":"x","structuredMetadata":{"a":"1"}}"#;
    let json = format!(r#"{{"streams":[{{"labels":"{{app=\"v0\"}}","entries":[{entry},null]}}]}}"#);
    assert_eq!(server.send("/api/prom/push", &headers, json.clone()).status, 204);
    assert_eq!(server.stored(), [r#"{app="v0", service_name="v0"} 1 x a=1 ~detected_level=unknown"#]);
    // Read as the other form it has a stream without labels and entries.
    assert_eq!(server.send("/loki/api/v1/push", &headers, json).status, 204);
    assert!(server.stored().is_empty());
    let bad = r#"{"streams":[{"labels":"{app=v0}","entries":[{"ts":"2026-01-15T00:00:00Z","line":"x"}]}]}"#;
    let answer = server.send("/api/prom/push", &headers, bad);
    let text = "couldn't parse labels: 1:6: parse error: unexpected identifier \"v0\" in label set, expected string\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, text));
    let bad = r#"{"streams":[{"labels":"{}","entries":[{"ts":"yesterday","line":"x"}]}]}"#;
    assert_eq!(server.send("/api/prom/push", &headers, bad).status, 400);
}

fn proto(streams: &[(&str, &[(i64, &str)])]) -> Vec<u8> {
    let entry = |(at, line): &(i64, &str)| v1::Entry {
        timestamp: Some(v1::Timestamp { seconds: NOW, nanos: *at as i32 }),
        line: line.as_bytes().to_vec().into(),
        structured_metadata: vec![v1::LabelPair { name: "k".into(), value: "v".into() }],
        parsed: vec![],
    };
    let streams = streams.iter().map(|(labels, entries)| v1::Stream {
        labels: labels.as_bytes().to_vec().into(),
        entries: entries.iter().map(entry).collect(),
        hash: 0,
    });
    v1::PushRequest { streams: streams.collect(), format: String::new() }.encode_to_vec()
}

#[test]
fn protobuf_is_stored_and_streams_of_the_same_labels_are_one() {
    let server = Server::new(Limits::default());
    let answer = server.send_proto(&proto(&[("{b=\"2\", a=\"1\"}", &[(1, "x")]), ("{}", &[]), ("{a=\"1\",b='2',}", &[(2, "error: y")])]));
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let streams = server.ingester.take_streams();
    assert_eq!(streams.len(), 1);
    let labels = r#"{a="1", b="2", service_name="unknown_service"}"#;
    assert_eq!(
        show(&streams[0]),
        [format!("{labels} 1 x k=v ~detected_level=unknown"), format!("{labels} 2 error: y k=v ~detected_level=error")]
    );
}

#[test]
fn malformed_protobuf_is_refused() {
    let server = Server::new(Limits::default());
    assert_eq!(server.send_proto(&[0x0a, 0xff]).body, "unexpected EOF\n");
    let raw = server.send("/loki/api/v1/push", &[("content-type", "text/plain"), ("x-scope-orgid", "t")], "\x0a!{no snappy}");
    assert_eq!((raw.status, raw.body.as_str()), (400, "snappy: corrupt input\n"));
    let mut stream = proto(&[("{a=\"1\"}", &[(1, "x")])]);
    let at = stream.iter().position(|byte| *byte == b'a').expect("the label's name");
    stream[at] = 0xff;
    assert_eq!(server.send_proto(&stream).body, "stream labels are not valid UTF-8\n");
    assert!(server.stored().is_empty());
}

#[test]
fn labels_that_cannot_be_read_refuse_the_whole_push() {
    let good = r#"{"stream":{"app":"fine"},"values":[["1768435200000000000","x"]]}"#;
    let json = |labels: &str| format!(r#"{{"streams":[{good},{{"stream":{labels},"values":[["1768435200000000000","x"]]}}]}}"#);
    let text = |text: &str| format!("couldn't parse labels: 1:{text}");
    let dash = text("5: parse error: unexpected character inside braces: '-'");
    check_default(&json(r#"{"bad-name":"x"}"#), 400, &dash, &[]);
    check_default(&json(r#"{"1a":"x"}"#), 400, &text("2: parse error: unexpected character inside braces: '1'"), &[]);
    let server = Server::new(Limits::default());
    let answer = server.send_proto(&proto(&[("{app=\"pb\"", &[(1, "x")])]));
    assert_eq!(answer.body, text("10: parse error: unexpected end of input inside braces\n"));
    let reserved = json(r#"{"__backfill__":"true"}"#);
    assert!(server.send_json(&reserved).body.starts_with("streams must not contain the reserved labels"));
    assert!(server.stored().is_empty());
    let long = format!("{{a=\"{}\"}}", "x".repeat(1 << 24));
    let answer = server.send_proto(&proto(&[(&long, &[(1, "x")])]));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (413, "request body too large: stream labels size 16777222B exceeds limit of 16MB\n")
    );
}

#[test]
fn limits_on_labels_refuse_a_stream_and_keep_the_others() {
    let limits = Limits {
        max_label_name_length: 13,
        max_label_value_length: 5,
        max_label_names_per_series: 2,
        enforced_labels: vec!["app".into(), "env".into(), "b".into()],
        ..Limits::default()
    };
    let check = |labels: &str, text: &str| check(&limits, &body(labels, &[(0, "x", "")]), 400, text, &[]);
    check(r#"{"app":"a","b":"1","c":"2"}"#, r#"entry for stream '{app="a", b="1", c="2", service_name="a"}' has 3 label names; limit 2"#);
    check(
        r#"{"app":"a","fourteen_chars":"1"}"#,
        r#"stream '{app="a", fourteen_chars="1", service_name="a"}' has label name too long: 'fourteen_chars'"#,
    );
    check(r#"{"app":"abcdef"}"#, r#"stream '{app="abcdef", service_name="abcdef"}' has label value too long: 'abcdef'"#);
    check(r#"{"app":"a"}"#, r#"missing required labels 'env,b' for user 't' for stream '{app="a", service_name="a"}' (policy: '')"#);
    let server = Server::new(Limits { discover_service_name: vec![], ..Limits::default() });
    let two = proto(&[("{}", &[(1, "x"), (2, "yy")]), ("{a=\"1\"}", &[(1, "x")]), ("{app=\"a\", app=\"b\"}", &[(1, "x")])]);
    let answer = server.send_proto(&two);
    let text = "1 errors like: error at least one label pair is required per stream; 1 errors like: stream '{app=\"a\", app=\"b\"}' has duplicate label name: 'app'\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, text));
    assert_eq!(server.stored(), [r#"{a="1"} 1 x k=v ~detected_level=unknown"#]);
    server.check_metric("skald_discarded_samples_total{reason=\"missing_labels\",tenant=\"t\",format=\"loki\"} 2");
    server.check_metric("skald_discarded_bytes_total{reason=\"missing_labels\",tenant=\"t\",format=\"loki\"} 7");
    server.check_metric("skald_discarded_samples_total{reason=\"duplicate_label_names\",tenant=\"t\",format=\"loki\"} 1");
}

#[test]
fn internal_streams_are_not_checked() {
    let limits = Limits { max_label_value_length: 1, enforced_labels: vec!["env".into()], ..Limits::default() };
    let json = body(r#"{"__pattern__":"long"}"#, &[(0, "x", "")]);
    check(&limits, &json, 204, "", &[r#"{__pattern__="long"} 0 x ~detected_level=unknown"#]);
}

#[test]
fn limits_on_entries_refuse_only_themselves() {
    let limits = Limits {
        max_line_size: ByteSize(5),
        max_structured_metadata_size: ByteSize(6),
        max_structured_metadata_entries_count: 2,
        reject_old_samples_max_age: Duration::from_secs(60),
        creation_grace_period: Duration::from_secs(60),
        discover_log_levels: false,
        ..Limits::default()
    };
    let stream = r#"{app="a", service_name="a"}"#;
    let kept = format!("{stream} 0 fine ");
    let check = |entry: (i64, &str, &str), text: &str| {
        let json = body(r#"{"app":"a"}"#, &[(0, "fine", ""), entry]);
        let (status, stored) = if text.is_empty() { (204, 2) } else { (400, 1) };
        let server = Server::new(limits.clone());
        let answer = server.send_json(&json);
        assert_eq!((answer.status, answer.body.trim_end()), (status, text.replace("$", stream).as_str()));
        let rows = server.stored();
        assert_eq!((rows.len(), &rows[0]), (stored, &kept));
    };
    check((0, "123456", ""), "max entry size '5' bytes exceeded for stream '$' while adding an entry with length '6' bytes");
    check((0, "12345", ""), "");
    check((60 * NANOS, "x", ""), "");
    check((60 * NANOS + 1, "x", ""), "entry for stream '$' has timestamp too new: 2026-01-15T00:01:00Z");
    check((-60 * NANOS, "x", ""), "");
    check(
        (-60 * NANOS - 1, "x", ""),
        "entry for stream '$' has timestamp too old: 2026-01-14T23:58:59Z, oldest acceptable timestamp is: 2026-01-14T23:59:00Z",
    );
    check((0, "x", r#"{"a":"1","b":"2"}"#), "");
    check(
        (0, "x", r#"{"a":"1","b":"2","detected_level":"info"}"#),
        "stream '$' has too many structured metadata labels: '3', limit: '2'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it",
    );
    check(
        (0, "x", r#"{"a":"123456"}"#),
        "stream '$' has structured metadata too large: '7' bytes, limit: '6' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it",
    );
}

#[test]
fn old_entries_pass_where_the_tenant_or_backfill_allows_them() {
    let json = body(r#"{"app":"a"}"#, &[(-100 * 86_400 * NANOS, "x", "")]);
    let limits = Limits { reject_old_samples: false, ..Limits::default() };
    let old = r#"{app="a", service_name="a"} -8640000000000000 x ~detected_level=unknown"#;
    check(&limits, &json, 204, "", &[old]);
    let server = Server::new(Limits::default());
    let send = |shard: &str| {
        let headers = [("content-type", "application/json"), ("x-scope-orgid", "t"), ("x-loki-backfill-shard", shard)];
        server.send("/loki/api/v1/push", &headers, json.clone()).status
    };
    assert_eq!(send("s1"), 204);
    let marked = r#"{__backfill__="true", __backfill_shard__="s1", app="a", service_name="a"}"#;
    assert_eq!(server.stored(), [format!("{marked} -8640000000000000 x ~detected_level=unknown")]);
    assert_eq!(send(&"s".repeat(129)), 400);
    assert_eq!(send(""), 400);
}

#[test]
fn several_refusals_are_joined() {
    let limits = Limits { max_line_size: ByteSize(3), discover_log_levels: false, ..Limits::default() };
    let json = body(r#"{"app":"a"}"#, &[(0, "1234", ""), (1, "12345", ""), (2, "ok", ""), (3, "4321", "")]);
    let text = |len: usize| {
        format!(
            r#"max entry size '3' bytes exceeded for stream '{{app="a", service_name="a"}}' while adding an entry with length '{len}' bytes"#
        )
    };
    let text = format!("2 errors like: {}; 1 errors like: {}", text(4), text(5));
    check(&limits, &json, 400, &text, &[r#"{app="a", service_name="a"} 2 ok "#]);
}

#[test]
fn metadata_may_be_disallowed() {
    let limits = Limits { allow_structured_metadata: false, ..Limits::default() };
    let json = body(r#"{"app":"a"}"#, &[(0, "level=info", ""), (1, "x", r#"{"a":"b"}"#)]);
    let text = r#"stream '{app="a", service_name="a"}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"#;
    check(&limits, &json, 400, text, &[r#"{app="a", service_name="a"} 0 level=info "#]);
}

#[test]
fn metadata_names_are_normalised_and_nameless_ones_refused() {
    let metadata = r#"{"with-dash":"1","with.dot":"2","1digit":"3","ünï":"4","_u":"5","empty":"","a__b":"6","v":"\ufffd"}"#;
    let json = body(r#"{"app":"a"}"#, &[(0, "x", metadata)]);
    let stored = r#"{app="a", service_name="a"} 0 x _n_=4 _u=5 a_b=6 key_1digit=3 v=  with_dash=1 with_dot=2 ~detected_level=unknown"#;
    check_default(&json, 204, "", &[stored]);
    let bad = |name: &str| body(r#"{"app":"a"}"#, &[(0, "fine", ""), (0, "x", &format!(r#"{{"{name}":"v"}}"#))]);
    check_default(&bad(""), 500, "label name is empty", &[]);
    check_default(&bad("___"), 500, "normalization for label name \"___\" resulted in invalid name \"_\"", &[]);
}

#[test]
fn levels_come_from_metadata_then_labels_then_the_line() {
    let check = |labels: &str, metadata: &str, want: &str| {
        let server = Server::new(Limits::default());
        assert_eq!(server.send_json(&body(labels, &[(0, "level=error", metadata)])).status, 204);
        let row = &server.stored()[0];
        assert!(row.ends_with(want), "{row}");
    };
    check(r#"{"a":"b"}"#, "", "level=error ~detected_level=error");
    check(r#"{"a":"b"}"#, r#"{"detected_level":"DBG"}"#, "level=error detected_level=debug");
    check(r#"{"level":"Warning"}"#, r#"{"detected_level":"DBG"}"#, "level=error detected_level=debug");
    check(r#"{"level":"Warning"}"#, r#"{"level":"info"}"#, "level=info ~detected_level=warn");
    check(r#"{"level":"NOTICE"}"#, "", "level=error ~detected_level=NOTICE");
    check(r#"{"a":"b"}"#, r#"{"severity_number":"abc"}"#, "severity_number=abc ~detected_level=info");
    check(r#"{"a":"b"}"#, r#"{"level":"verbose"}"#, "level=verbose ~detected_level=verbose");
}

#[test]
fn long_lines_are_cut_where_the_tenant_says_so() {
    let limits = Limits {
        max_line_size: ByteSize(10),
        max_line_size_truncate: true,
        max_line_size_truncate_identifier: "...".into(),
        discover_log_levels: false,
        ..Limits::default()
    };
    let server = Server::new(limits);
    assert_eq!(server.send_json(&body(r#"{"a":"b"}"#, &[(0, "0123456789", ""), (1, "0123456789a", "")])).status, 204);
    let stream = r#"{a="b", service_name="unknown_service"}"#;
    assert_eq!(server.stored(), [format!("{stream} 0 0123456789 "), format!("{stream} 1 0123456... ")]);
    server.check_metric("skald_mutated_samples_total{reason=\"line_too_long\",tenant=\"t\"} 1");
    server.check_metric("skald_mutated_bytes_total{reason=\"line_too_long\",tenant=\"t\"} 4");
}

#[test]
fn duplicate_timestamps_are_moved_on_where_the_tenant_says_so() {
    let entries = [(0, "a", ""), (0, "b", ""), (0, "b", ""), (0, "c", ""), (1, "d", ""), (9, "e", "")];
    let times = |increment_duplicate_timestamp| {
        let server = Server::new(Limits { increment_duplicate_timestamp, ..Limits::default() });
        assert_eq!(server.send_json(&body(r#"{"a":"b"}"#, &entries)).status, 204);
        let stream = server.ingester.take_streams().remove(0);
        stream.rows.timestamps().iter().map(|at| at - NOW * NANOS).collect::<Vec<_>>()
    };
    assert_eq!(times(false), [0, 0, 0, 0, 1, 9]);
    assert_eq!(times(true), [0, 1, 0, 1, 2, 9]);
}

#[test]
fn blocked_tenants_store_nothing() {
    let limits = |status| Limits {
        block_ingestion_until: Some("2026-01-16T00:00:00Z".into()),
        block_ingestion_status_code: status,
        max_line_size: ByteSize(3),
        ..Limits::default()
    };
    let json = body(r#"{"a":"b"}"#, &[(0, "x", "")]);
    let text = "ingestion blocked for user 't' until '2026-01-16T00:00:00Z' with status code '260'";
    check(&limits(260), &json, 260, text, &[]);
    check(&limits(200), &json, 204, "", &[]);
    check(&limits(260), r#"{"streams":[{"stream":{"a":"b"},"values":[]}]}"#, 204, "", &[]);
    let server = Server::new(limits(260));
    assert_eq!(server.send_json(&json).status, 260);
    server.check_metric("skald_discarded_samples_total{reason=\"blocked_ingestion\",tenant=\"t\",format=\"loki\"} 1");
    server.clock.0.store(2 * 86_400, Ordering::Relaxed);
    assert_eq!(server.send_json(&json).status, 204);
}

#[test]
fn the_rate_is_kept_by_all_of_a_push_or_nothing() {
    let limits = Limits { ingestion_rate_mb: 1.0, ingestion_burst_size_mb: 2.0, max_line_size: ByteSize(0), ..Limits::default() };
    let server = Server::new(limits);
    let push = |mib: usize| server.send_json(&body(r#"{"a":"b"}"#, &[(0, &"x".repeat(mib << 20), "")]));
    let too_much = push(3);
    assert_eq!(too_much.status, 429);
    assert_eq!(too_much.headers["retry-after"], "1");
    let text = "ingestion rate limit exceeded for user t (limit: 1048576 bytes/sec) while attempting to ingest '1' lines totaling '3145728' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased\n";
    assert_eq!(too_much.body, text);
    assert_eq!((push(2).status, push(1).status, server.stored().len()), (204, 429, 1));
    server.clock.0.store(1, Ordering::Relaxed);
    assert_eq!((push(1).status, push(1).status), (204, 429));
    server.check_metric("skald_discarded_samples_total{reason=\"rate_limited\",tenant=\"t\",format=\"loki\"} 3");
    server.check_metric("skald_distributor_rate_limiter_fill{tenant=\"t\"} 1.0");
    assert_eq!(server.pool.0.load(Ordering::Relaxed), 5, "large bodies are decoded on the pool");
}

#[test]
fn what_ingesters_refuse_is_the_answer() {
    let refusal = |kind, reason, message: &str| Refusal { kind, reason, message: message.into(), entries: 1, bytes: 2 };
    let check = |error: fn() -> PushError, status: u16, body_text: &str, retry_after: bool| {
        let server = Server::new(Limits::default());
        server.ingester.answer_with(move |_, _| Err(error()));
        let answer = server.send_json(&body(r#"{"a":"b"}"#, &[(0, "x", "")]));
        assert_eq!((answer.status, answer.body.as_str()), (status, body_text));
        assert_eq!(answer.headers.contains_key("retry-after"), retry_after);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    };
    check(|| PushError::Unavailable("replaying".into()), 503, "replaying\n", true);
    check(|| PushError::Wal(Arc::new(std::io::Error::other("disk"))), 500, "append to the write-ahead log\n", false);
    let server = Server::new(Limits::default());
    let refusals =
        vec![refusal(ErrorKind::LimitExceeded, "stream_limit", "many"), refusal(ErrorKind::InvalidInput, "too_far_behind", "late")];
    server.ingester.answer_with(move |_, _| Err(PushError::Refused(refusals.clone())));
    let answer = server.send_json(&body(r#"{"a":"b"}"#, &[(0, "x", "")]));
    assert_eq!((answer.status, answer.body.as_str()), (400, "late\n"));
    server.check_metric("skald_discarded_samples_total{reason=\"stream_limit\",tenant=\"t\",format=\"\"} 1");
    server.check_metric("skald_discarded_bytes_total{reason=\"too_far_behind\",tenant=\"t\",format=\"\"} 2");
    let server = Server::new(Limits::default());
    let refusals = vec![refusal(ErrorKind::LimitExceeded, "stream_limit", "many")];
    server.ingester.answer_with(move |_, _| Err(PushError::Refused(refusals.clone())));
    assert_eq!(server.send_json(&body(r#"{"a":"b"}"#, &[(0, "x", "")])).status, 429);
}

#[test]
fn tenants_are_told_by_the_header() {
    let server = Server::new(Limits::default());
    let push = |tenant: &str| {
        let json = body(r#"{"a":"b"}"#, &[(0, "x", "")]);
        let answer = server.send("/loki/api/v1/push", &[("content-type", "application/json"), ("x-scope-orgid", tenant)], json);
        (answer.status, answer.body)
    };
    assert_eq!(push(""), (401, "no org id\n".into()));
    assert_eq!(push("bad/tenant"), (400, "tenant ID 'bad/tenant' contains unsupported character '/'\n".into()));
    assert_eq!(push("a|b"), (400, "multiple org IDs present\n".into()));
    assert_eq!(push("a|a:x=y").0, 204);
    assert_eq!(server.ingester.pushed()[0].0.as_str(), "a");
}

#[test]
fn bodies_beyond_the_limits_are_refused() {
    let config = DistributorConfig { max_recv_msg_size: ByteSize(100), max_inflight_bytes: ByteSize(150), ..DistributorConfig::default() };
    let server = Server::with_config(Limits::default(), config);
    let answer = server.send_json(&" ".repeat(101));
    assert_eq!((answer.status, answer.body.as_str()), (413, "request body too large: message size too large than max (101 vs 100)\n"));
    let bomb = snap::raw::Encoder::new().compress_vec(&[0; 200]).expect("small");
    let busy = server.send("/loki/api/v1/push", &[("content-type", "application/x-protobuf"), ("x-scope-orgid", "t")], bomb);
    assert_eq!((busy.status, busy.body.as_str()), (503, "The server cannot accept more requests at this time.\n"));
    assert_eq!(busy.headers["retry-after"], "1");
    assert_eq!(server.send_json("{\"streams\":[]}").status, 422);
    server.check_metric("skald_distributor_inflight_bytes 0");
}

#[test]
fn entries_may_span_only_so_many_days() {
    let limits = Limits { reject_old_samples: false, discover_log_levels: false, ..Limits::default() };
    let entries = |days: i64| (0..days).map(|day| (-day * 86_400 * NANOS, "x", "")).collect::<Vec<_>>();
    let server = Server::new(limits);
    assert_eq!(server.send_json(&body(r#"{"a":"b"}"#, &entries(512))).status, 204);
    let answer = server.send_json(&body(r#"{"a":"b"}"#, &entries(513)));
    assert_eq!((answer.status, answer.body.as_str()), (400, "entries span more than 512 UTC days; send them in several pushes\n"));
}

#[test]
fn metadata_of_few_bytes_cannot_fill_the_memory() {
    let names: Vec<String> = (0..128).map(|i| format!("\"n{i}\":\"v\"")).collect();
    let wide = format!("{{{}}}", names.join(","));
    let mut entries = vec![(0, "", wide.as_str())];
    entries.resize(600_000, (0, "", ""));
    let answer = Server::new(Limits { discover_log_levels: false, ..Limits::default() }).send_json(&body(r#"{"a":"b"}"#, &entries));
    let text = "request body too large: structured metadata takes more than 67108864 cells of names and entries\n";
    assert_eq!((answer.status, answer.body.as_str()), (413, text));
}

#[test]
fn entries_of_two_bytes_cannot_fill_the_memory() {
    let check = |raw: &[u8], config: DistributorConfig, status: u16, text: &str| {
        let answer = Server::with_config(Limits::default(), config).send_proto(raw);
        assert_eq!((answer.status, answer.body.as_str()), (status, text));
    };
    let entries = |number: usize| {
        let stream = [0x12, 0x00].repeat(number);
        let mut raw = vec![0x0a];
        prost::encoding::encode_varint(stream.len() as u64, &mut raw);
        [raw, stream].concat()
    };
    check(&entries((1 << 23) + 1), DistributorConfig::default(), 413, "request body too large: more than 8388608 entries\n");
    let config = DistributorConfig { max_inflight_bytes: ByteSize(1 << 20), ..DistributorConfig::default() };
    check(&entries(100_000), config, 503, "The server cannot accept more requests at this time.\n");
}

#[test]
fn streams_of_few_bytes_cannot_fill_the_memory() {
    let streams: Vec<String> = (0..=1 << 17).map(|i| format!("{{\"stream\":{{\"a\":{i}}},\"values\":[[\"1\"]]}}")).collect();
    let limits = Limits { reject_old_samples: false, ..Limits::default() };
    let answer = Server::new(limits).send_json(&format!("{{\"streams\":[{}]}}", streams.join(",")));
    assert_eq!((answer.status, answer.body.as_str()), (413, "request body too large: more than 131072 streams\n"));
}

#[test]
fn what_came_is_counted() {
    let server = Server::new(Limits { max_line_size: ByteSize(3), ..Limits::default() });
    server.send_json(&body(r#"{"a":"b"}"#, &[(0, "xyz", r#"{"k":"v"}"#), (0, "long", "")]));
    server.check_metric("skald_distributor_bytes_received_total{tenant=\"t\",format=\"loki\"} 9");
    server.check_metric("skald_distributor_lines_received_total{tenant=\"t\",format=\"loki\"} 2");
    server.check_metric("skald_distributor_structured_metadata_bytes_received_total{tenant=\"t\",format=\"loki\"} 2");
    server.check_metric("skald_distributor_push_duration_seconds_count{status_code=\"400\"} 1");
    server.check_metric("skald_distributor_inflight_bytes 0");
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]

    #[test]
    fn hostile_bodies_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), json in any::<bool>()) {
        let server = Server::new(Limits::default());
        let mut bytes = if json {
            body(r#"{"app":"a"}"#, &[(0, "one", ""), (1, "level=info", r#"{"trace-id":"x"}"#)]).into_bytes()
        } else {
            proto(&[("{b=\"2\", a=\"1\"}", &[(1, "x")]), ("{a=\"1\"}", &[(2, "y")])])
        };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let answer = if json {
            server.send("/loki/api/v1/push", &[("content-type", "application/json"), ("x-scope-orgid", "t")], bytes)
        } else {
            server.send_proto(&bytes)
        };
        prop_assert!(matches!(answer.status, 204 | 400 | 413 | 422 | 500), "{}", answer.status);
        server.check_metric("skald_distributor_inflight_bytes 0");
    }
}
