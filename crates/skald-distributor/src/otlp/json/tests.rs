use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;
use prost::Message as _;
use skald_testkit::property;

fn read(json: &str) -> Result<ExportLogsServiceRequest, String> {
    let bytes = to_protobuf(json.as_bytes()).map_err(|error| error.to_string())?;
    assert!(bytes.len() as u64 <= GROWTH_MAX * json.len() as u64);
    Ok(ExportLogsServiceRequest::decode(&bytes[..]).expect("what is written is a message"))
}

/// The record that `fields` make.
fn record(fields: &str) -> Result<LogRecord, String> {
    let mut request = read(&format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#))?;
    Ok(request.resource_logs[0].scope_logs[0].log_records.remove(0))
}

fn body(value: &str) -> Result<Option<Any>, String> {
    Ok(record(&format!(r#""body":{{{value}}}"#))?.body.expect("a body").value)
}

#[test]
fn names_are_camel_case_or_as_declared() {
    let camel = r#""timeUnixNano":"5","observedTimeUnixNano":6,"severityNumber":9,"severityText":"I","droppedAttributesCount":2,"flags":1,
        "traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","eventName":"e"#;
    let record = record(&format!("{camel}\"")).expect("a record");
    let ids = (record.trace_id.len(), record.trace_id[0], record.span_id.len(), record.span_id[7]);
    assert_eq!(ids, (16, 0x5b, 8, 0x74));
    let numbers =
        (record.time_unix_nano, record.observed_time_unix_nano, record.severity_number, record.dropped_attributes_count, record.flags);
    assert_eq!(numbers, (5, 6, 9, 2, 1));
    assert_eq!((record.severity_text.as_str(), record.event_name.as_str()), ("I", "e"));
    let declared = r#"{"resource_logs":[{"scope_logs":[{"scope":{"name":"n","version":"v"},"log_records":[{"time_unix_nano":7}]}]}]}"#;
    let request = read(declared).expect("a request");
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano, 7);
}

#[test]
fn values_are_read_as_the_mapping_has_them() {
    for (json, want) in [
        (r#""stringValue":"a\u00e9\n""#, Any::StringValue("aé\n".into())),
        (r#""stringValue":"""#, Any::StringValue(String::new())),
        (r#""intValue":"-9223372036854775808""#, Any::IntValue(i64::MIN)),
        (r#""intValue":7"#, Any::IntValue(7)),
        (r#""intValue":1e3"#, Any::IntValue(1000)),
        (r#""boolValue":false"#, Any::BoolValue(false)),
        (r#""doubleValue":0.5"#, Any::DoubleValue(0.5)),
        (r#""doubleValue":3"#, Any::DoubleValue(3.0)),
        (r#""doubleValue":"-Infinity""#, Any::DoubleValue(f64::NEG_INFINITY)),
        (r#""bytesValue":"AP8h""#, Any::BytesValue(b"\x00\xff!".to_vec())),
        (r#""unknown":[{}],"intValue":1"#, Any::IntValue(1)),
    ] {
        assert_eq!(body(json), Ok(Some(want)), "{json}");
    }
    assert_eq!(body(""), Ok(None));
    assert_eq!(body(r#""stringValue":null"#), Ok(None));
    assert!(matches!(body(r#""doubleValue":"NaN""#), Ok(Some(Any::DoubleValue(number))) if number.is_nan()));
    assert!(matches!(body(r#""kvlistValue":{}"#), Ok(Some(Any::KvlistValue(_)))));
    let nested = r#""arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[]}}}]}}]}"#;
    assert!(matches!(body(nested), Ok(Some(Any::ArrayValue(_)))));
}

#[test]
fn severities_may_be_names() {
    for (name, number) in [("UNSPECIFIED", 0), ("TRACE", 1), ("INFO", 9), ("INFO2", 10), ("FATAL4", 24)] {
        assert_eq!(record(&format!(r#""severityNumber":"SEVERITY_NUMBER_{name}""#)).map(|record| record.severity_number), Ok(number));
    }
    for wrong in ["SEVERITY_NUMBER_INFO5", "SEVERITY_NUMBER_INFO22", "SEVERITY_NUMBER_", "SEVERITY"] {
        assert!(record(&format!(r#""severityNumber":"{wrong}""#)).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_no_export_is_refused() {
    for wrong in [
        r#""timeUnixNano":-1"#,
        r#""timeUnixNano":"x""#,
        r#""timeUnixNano":1.5"#,
        r#""flags":4294967296"#,
        r#""traceId":"5b8"#,
        r#""traceId":"xy""#,
        r#""severityText":5"#,
        r#""body":"text""#,
        r#""attributes":{}"#,
        r#""body":{"bytesValue":"*"}"#,
        r#""body":{"boolValue":1}"#,
        r#""body":{"intValue":true}"#,
        r#""body":{"intValue":9223372036854775808}"#,
    ] {
        assert!(record(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "nope", "[]", "null", "{} {}", r#"{"resourceLogs":[null]}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(200), "]}}".repeat(200));
    assert!(record(&format!("\"body\":{deep}")).expect_err("too deep").contains("recursion limit"));
}

#[test]
fn nothing_said_is_nothing() {
    assert_eq!(read("{}"), Ok(ExportLogsServiceRequest::default()));
    assert_eq!(read(r#"{"resourceLogs":null,"other":1}"#), Ok(ExportLogsServiceRequest::default()));
    assert_eq!(read(r#"{"resourceLogs":[]}"#), Ok(ExportLogsServiceRequest::default()));
    assert_eq!(read(r#"{"resourceLogs":[{},{}]}"#).map(|request| request.resource_logs.len()), Ok(2));
}

proptest! {
    #![proptest_config(property(300))]

    #[test]
    fn any_text_does_no_harm(parts in prop::collection::vec(prop::sample::select(&[
        "{", "}", "[", "]", ":", ",", "\"resourceLogs\"", "\"scopeLogs\"", "\"logRecords\"", "\"body\"", "\"attributes\"", "\"key\"", "\"value\"",
        "\"kvlistValue\"", "\"values\"", "\"stringValue\"", "1", "null", "\"x\"", "true", "-1.5e9",
    ][..]), 0..40)) {
        let _ = read(&parts.concat());
    }
}
