use crate::testing::{NOW, Server};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::prelude::*;
use prost::Message;
use skald_config::{ByteSize, DistributorConfig, Limits};
use skald_testkit::property;

fn send_json(server: &Server, json: &str) -> (u16, String) {
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "t")];
    let answer = server.send("/otlp/v1/logs", &headers, json.to_owned());
    let text = super::answer::RpcStatus::decode(&answer.bytes[..]).map(|status| status.message);
    (answer.status, text.unwrap_or(answer.body))
}

fn body(resources: &[String]) -> String {
    format!(r#"{{"resourceLogs":[{}]}}"#, resources.join(","))
}

/// The logs of one resource and one scope.
fn logs(resource: &str, scope: &str, records: &str) -> String {
    format!(r#"{{"resource":{{"attributes":[{resource}]}},"scopeLogs":[{{"scope":{{{scope}}},"logRecords":[{records}]}}]}}"#)
}

fn export(resource: &str, scope: &str, records: &str) -> String {
    body(&[logs(resource, scope, records)])
}

fn text(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
}

/// A record `nanoseconds` after [`NOW`].
fn record(nanoseconds: u64, body: &str, attributes: &str) -> String {
    format!(
        r#"{{"timeUnixNano":"{}","body":{{"stringValue":"{body}"}},"attributes":[{attributes}]}}"#,
        NOW as u64 * 1_000_000_000 + nanoseconds
    )
}

#[track_caller]
fn check_with(limits: &Limits, json: &str, answer: (u16, &str), stored: &[&str]) {
    let server = Server::new(limits.clone());
    let (status, text) = send_json(&server, json);
    assert_eq!((status, text.as_str()), answer, "{json}");
    assert_eq!(server.stored(), stored, "{json}");
}

#[track_caller]
fn check(json: &str, stored: &[&str]) {
    check_with(&Limits::default(), json, (204, ""), stored);
}

fn limits(otlp_config: &str) -> Limits {
    Limits { otlp_config: serde_json::from_str(otlp_config).expect("an otlp_config"), ..Limits::default() }
}

#[test]
fn attributes_become_labels_and_metadata() {
    let resource = [text("service.name", "shop"), text("k8s.pod.name", "p"), text("host.name", "h")].join(",");
    let scope = format!(r#""name":"lib","version":"1","droppedAttributesCount":3,"attributes":[{}]"#, text("s.a", "v"));
    let attributes =
        r#"{"key":"n","value":{"intValue":"5"}},{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}}"#;
    let want = r#"{k8s_pod_name="p", service_name="shop"} 7 one host_name=h map_k=true n=5 s_a=v scope_dropped_attributes_count=3 scope_name=lib scope_version=1 ~detected_level=unknown"#;
    check(&export(&resource, &scope, &record(7, "one", attributes)), &[want]);
}

#[test]
fn fields_of_a_record_become_metadata() {
    let fields = format!(
        r#"{{"timeUnixNano":"{NOW}000000001","observedTimeUnixNano":"{NOW}000000002","severityNumber":17,"severityText":"Oops","droppedAttributesCount":1,
        "flags":2,"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","eventName":"e",
        "attributes":[{},{}],"body":{{"intValue":1}}}}"#,
        text("event.name", "not this"),
        text("trace.id", "nor this")
    );
    let want = format!(
        r#"{{service_name="unknown_service"}} 1 1 dropped_attributes_count=1 event_name=e flags=2 observed_timestamp={NOW}000000002 severity_number=17 severity_text=Oops span_id=eee19b7ec3c1b174 trace_id=5b8efff798038103d269b633813fc60c ~detected_level=Oops"#
    );
    check(&export("", "", &fields), &[&want]);
    let nothing = r#"{"severityNumber":0,"traceId":"00000000000000000000000000000000","spanId":"aa","flags":0,"eventName":""}"#;
    check(&export("", "", nothing), &[r#"{service_name="unknown_service"} 0  ~detected_level=unknown"#]);
    let by_number = r#"{"severityNumber":"SEVERITY_NUMBER_WARN2"}"#;
    check(&export("", "", by_number), &[r#"{service_name="unknown_service"} 0  severity_number=14 ~detected_level=warn"#]);
}

#[test]
fn a_record_without_a_time_happened_when_it_was_seen_or_now() {
    let seen = format!(r#"{{"observedTimeUnixNano":"{NOW}000000009"}},{{}}"#);
    let unknown = |at: u64| format!(r#"{{service_name="unknown_service"}} {at}  ~detected_level=unknown"#);
    check(&export("", "", &seen), &[&unknown(9), &unknown(0)]);
}

#[test]
fn service_name_is_found_among_the_labels() {
    let one = |labels: &str| format!("{labels} 0 x ~detected_level=unknown");
    let container = text("container.name", "c");
    check(&export(&container, "", &record(0, "x", "")), &[&one(r#"{container_name="c", service_name="c"}"#)]);
    let unnamed = [text("service.name", ""), text("app", "a")].join(",");
    check(&export(&unnamed, "", &record(0, "x", "")), &[r#"{service_name="unknown_service"} 0 x app=a ~detected_level=unknown"#]);
    let off = Limits { discover_service_name: vec![], ..Limits::default() };
    check_with(&off, &export(&container, "", &record(0, "x", "")), (204, ""), &[&one(r#"{container_name="c"}"#)]);
}

#[test]
fn tenants_choose_what_becomes_of_attributes() {
    let config = r#"{"resource_attributes":{"attributes_config":[{"action":"index_label","attributes":["team"]},{"action":"drop","regex":"host\\..*"}]},
        "scope_attributes":[{"action":"drop","attributes":["secret"]}],
        "log_attributes":[{"action":"index_label","attributes":["zone"]},{"action":"drop","attributes":["noise"]}],
        "severity_text_as_label":true}"#;
    let resource = [text("service.name", "s"), text("team", "t"), text("host.name", "h"), text("os", "o")].join(",");
    let scope = format!(r#""attributes":[{},{}]"#, text("secret", "x"), text("open", "y"));
    let records = [
        record(0, "a", &[text("zone", "z1"), text("noise", "n"), text("k", "v")].join(",")),
        record(1, "b", &text("zone", "z2")),
        record(2, "c", &text("zone", "z1")),
        record(3, "d", ""),
        record(4, "e", "").replace("\"body\"", "\"severityText\":\"warn\",\"body\""),
    ];
    let stored = [
        r#"{service_name="s", team="t", zone="z1"} 0 a k=v open=y os=o ~detected_level=unknown"#,
        r#"{service_name="s", team="t", zone="z1"} 2 c open=y os=o ~detected_level=unknown"#,
        r#"{service_name="s", team="t", zone="z2"} 1 b open=y os=o ~detected_level=unknown"#,
        r#"{service_name="s", team="t"} 3 d open=y os=o ~detected_level=unknown"#,
        r#"{service_name="s", severity_text="warn", team="t"} 4 e open=y os=o severity_text=warn ~detected_level=warn"#,
    ];
    check_with(&limits(config), &export(&resource, &scope, &records.join(",")), (204, ""), &stored);
    let ignore =
        limits(r#"{"resource_attributes":{"ignore_defaults":true,"attributes_config":[{"action":"index_label","attributes":["os"]}]}}"#);
    let stored = r#"{os="o", service_name="unknown_service"} 0 a host_name=h service_name=s team=t ~detected_level=unknown"#;
    check_with(&ignore, &export(&resource, "", &record(0, "a", "")), (204, ""), &[stored]);
}

#[test]
fn streams_are_joined_over_the_whole_request() {
    let one = |at: u64, body: &str, host: &str| {
        let resource = [text("service.name", "s"), text("host.name", host)].join(",");
        logs(&resource, "", &record(at, body, ""))
    };
    let both = body(&[one(0, "a", "h1"), one(1, "b", "h2")]);
    let server = Server::new(Limits::default());
    assert_eq!(send_json(&server, &both).0, 204);
    let streams = server.ingester.take_streams();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].rows.len(), 2);
}

#[test]
fn of_several_values_for_one_name_the_last_counts() {
    let attributes = [text("a.b", "1"), text("a_b", "2")].join(",");
    check(&export("", "", &record(0, "x", &attributes)), &[r#"{service_name="unknown_service"} 0 x a_b=2 ~detected_level=unknown"#]);
    let resource = [text("service.name", "one"), text("service.name", "two")].join(",");
    check(&export(&resource, "", &record(0, "x", "")), &[r#"{service_name="two"} 0 x ~detected_level=unknown"#]);
}

#[test]
fn what_is_wrong_costs_only_itself() {
    let good = record(1, "good", "");
    let kept = r#"{service_name="unknown_service"} 1 good ~detected_level=unknown"#;
    let named = |name: &str| record(0, "bad", &text(name, "v"));
    let bad_name = |why: &str| format!("stream '{{service_name=\"unknown_service\"}}' has structured metadata with an invalid name: {why}");
    let both = [named(""), good.clone()].join(",");
    check_with(&Limits::default(), &export("", "", &both), (400, &bad_name("label name is empty")), &[kept]);
    let both = [named("--"), good.clone()].join(",");
    let why = r#"normalization for label name "--" resulted in invalid name "_""#;
    check_with(&Limits::default(), &export("", "", &both), (400, &bad_name(why)), &[kept]);
    let few = Limits { max_label_value_length: 20, ..Limits::default() };
    let long = text("service.name", &"x".repeat(21));
    let both = body(&[logs(&long, "", &good), logs("", "", &good)]);
    let (status, message) = (400, format!("stream '{{service_name=\"{0}\"}}' has label value too long: '{0}'", "x".repeat(21)));
    check_with(&few, &both, (status, &message), &[kept]);
    let server = Server::new(few);
    send_json(&server, &both);
    server.check_metric("skald_discarded_samples_total{reason=\"label_value_too_long\",tenant=\"t\",format=\"otlp\"} 1");
    server.check_metric("skald_distributor_lines_received_total{tenant=\"t\",format=\"otlp\"} 2");
}

#[test]
fn labels_that_are_no_text_cost_their_resource() {
    let mut body = ExportLogsServiceRequest::decode(
        &super::json::to_protobuf(export(&text("service.name", "\u{e9}"), "", "{},{}").as_bytes()).expect("json")[..],
    )
    .expect("valid")
    .encode_to_vec();
    let at = body.windows(2).position(|pair| pair == "\u{e9}".as_bytes()).expect("it is there");
    body[at] = b'a';
    let server = Server::new(Limits::default());
    let answer = server.send("/otlp/v1/logs", &[("content-type", "application/x-protobuf"), ("x-scope-orgid", "t")], body);
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("error parsing labels '{}' with error: the value of label service_name is not valid UTF-8"),
        "{}",
        answer.body
    );
    assert_eq!(server.stored(), [""; 0]);
    server.check_metric("skald_discarded_samples_total{reason=\"invalid_labels\",tenant=\"t\",format=\"otlp\"} 2");
}

#[test]
fn too_much_metadata_is_refused_however_it_is_nested() {
    let many: Vec<String> = (0..200).map(|i| text(&format!("k{i}"), "v")).collect();
    let nested = format!(r#"{{"key":"m","value":{{"kvlistValue":{{"values":[{}]}}}}}}"#, many.join(","));
    let want = "stream '{service_name=\"unknown_service\"}' has too many structured metadata labels: '200', limit: '128'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it";
    for attributes in [many.join(","), nested] {
        check_with(&Limits::default(), &export("", "", &record(0, "x", &attributes)), (400, want), &[]);
        check_with(&Limits::default(), &export(&attributes, "", &record(0, "x", "")), (400, want), &[]);
    }
    let small = Limits { max_structured_metadata_size: ByteSize(10), ..Limits::default() };
    let nested = r#"{"key":"m","value":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1234567}},{"key":"b","value":{"intValue":12345}},{"key":"c","value":{"intValue":1}}]}}}"#;
    let (status, message) = send_json(&Server::new(small), &export("", "", &record(0, "x", nested)));
    assert_eq!(status, 400);
    assert!(message.contains("too large: '22' bytes, limit: '10' bytes"), "{message}");
}

#[test]
fn what_one_body_becomes_is_bounded() {
    let config = DistributorConfig { max_decompressed_size: ByteSize(1 << 20), ..DistributorConfig::default() };
    let server = Server::with_config(Limits::default(), config);
    let resource = text("k", &"v".repeat(10_000));
    let (status, message) = send_json(&server, &export(&resource, "", &vec!["{}"; 1000].join(",")));
    assert_eq!(
        (status, message.as_str()),
        (413, "request body too large: labels and metadata of all entries take more than 1048576 bytes")
    );
    assert_eq!(send_json(&server, &export(&resource, "", &vec!["{}"; 100].join(","))).0, 204);
    let labels: Vec<String> = (0..300).map(|i| text(&format!("k{i}"), "v")).collect();
    let all = Limits {
        otlp_config: serde_json::from_str(r#"{"resource_attributes":{"attributes_config":[{"action":"index_label","regex":".*"}]}}"#)
            .expect("valid"),
        ..Limits::default()
    };
    let (status, message) = send_json(&Server::new(all), &export(&labels.join(","), "", "{}"));
    assert_eq!(
        (status, message.as_str()),
        (413, "request body too large: more than 256 labels, or 1048576 bytes of labels, of one stream")
    );
}

#[test]
fn bodies_may_be_compressed() {
    use std::io::Write;
    let json = export("", "", &record(0, "x", ""));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(json.as_bytes()).expect("to memory");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(json.as_bytes()).expect("to memory");
    let zstd = zstd::encode_all(json.as_bytes(), 1).expect("to memory");
    let bodies = [("gzip", gzip.finish().expect("to memory")), ("lz4", lz4.finish().expect("to memory")), ("zstd", zstd)];
    for (encoding, body) in bodies {
        let headers =
            |encoding: &'static str| [("content-type", "application/json"), ("x-scope-orgid", "t"), ("content-encoding", encoding)];
        let server = Server::new(Limits::default());
        assert_eq!(server.send("/otlp/v1/logs", &headers(encoding), body.clone()).status, 204, "{encoding}");
        assert_eq!(server.stored(), [r#"{service_name="unknown_service"} 0 x ~detected_level=unknown"#], "{encoding}");
        for cut in [1, 5, body.len() / 2] {
            let answer = server.send("/otlp/v1/logs", &headers(encoding), body[..cut].to_vec());
            assert_eq!((answer.status, server.stored()), (400, vec![]), "{encoding} cut at {cut}: {}", answer.body);
        }
        let small = DistributorConfig { max_decompressed_size: ByteSize(100), ..DistributorConfig::default() };
        let answer = Server::with_config(Limits::default(), small).send("/otlp/v1/logs", &headers(encoding), body);
        assert_eq!(answer.status, 413, "{encoding}: {}", answer.body);
    }
}

#[test]
fn errors_are_messages() {
    let server = Server::new(Limits::default());
    let send = |content_type: &str, encoding: &str, body: &str| {
        let headers = [("content-type", content_type), ("x-scope-orgid", "t"), ("content-encoding", encoding)];
        let answer = server.send("/otlp/v1/logs", &headers, body.to_owned());
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
        (answer.status, super::answer::RpcStatus::decode(&answer.bytes[..]).expect("a message").message)
    };
    let none = (422, "error at least one valid stream is required for ingestion".to_owned());
    assert_eq!(send("application/json", "", "{}"), none);
    assert_eq!(send("application/x-protobuf", "", ""), none);
    assert_eq!(send("application/json", "", &export("", "", "")), none);
    assert_eq!(
        send("application/json; charset=utf-8", "", "{}"),
        (400, "content type: application/json; charset=utf-8 is not supported".to_owned())
    );
    let text = "unsupported content encoding snappy: only gzip, lz4 and zstd are supported".to_owned();
    assert_eq!(send("application/json", "snappy", "{}"), (400, text));
    let anonymous = server.send("/otlp/v1/logs", &[("content-type", "application/json")], "{}");
    assert_eq!((anonymous.status, anonymous.body.as_str()), (401, "no org id\n"));
    server.ingester.answer_with(|_, _| Err(skald_rpc::PushError::Wal(std::sync::Arc::new(std::io::Error::other("disk")))));
    assert_eq!(send("application/json", "", &export("", "", "{}")).0, 503);
}

proptest! {
    #![proptest_config(property(200))]

    #[test]
    fn damaged_requests_do_no_harm(at in any::<prop::sample::Index>(), flip in 0..=255_u8, cut in any::<bool>()) {
        let attributes = [text("service.name", "shop"), r#"{"key":"m","value":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":5}]}}}]}}}"#.to_owned()].join(",");
        let json = export(&attributes, &format!("\"name\":\"n\",\"attributes\":[{attributes}]"), &record(0, "x", &attributes));
        let mut body = super::json::to_protobuf(json.as_bytes()).expect("valid");
        let at = at.index(body.len());
        body[at] ^= flip;
        body.truncate(if cut { at } else { body.len() });
        let answer = Server::new(Limits::default()).send("/otlp/v1/logs", &[("content-type", "application/x-protobuf"), ("x-scope-orgid", "t")], body);
        prop_assert!([204, 400, 413, 422].contains(&answer.status), "{}: {}", answer.status, answer.body);
    }
}
