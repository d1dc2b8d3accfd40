use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use skald_testkit::property;

/// All that is read of a body, as the message of the reference library. What is not read of it is missing.
fn read(body: &[u8]) -> Result<ExportLogsServiceRequest, WireError> {
    let resource_logs = read_export(body).map(|logs| read_resource(logs?)).collect::<Result<_, _>>()?;
    Ok(ExportLogsServiceRequest { resource_logs })
}

fn read_resource(found: ResourceLogs<'_>) -> Result<logs::ResourceLogs, WireError> {
    let resource = Resource { attributes: read_attributes(found.attributes())?, ..Resource::default() };
    let scope_logs = found.scopes().map(|scope| read_scope(scope?)).collect::<Result<_, _>>()?;
    Ok(logs::ResourceLogs { resource: Some(resource), scope_logs, schema_url: String::new() })
}

fn read_scope(found: ScopeLogs<'_>) -> Result<logs::ScopeLogs, WireError> {
    let scope = common::InstrumentationScope {
        name: text(found.name),
        version: text(found.version),
        attributes: read_attributes(found.attributes())?,
        dropped_attributes_count: found.dropped_attributes_count,
    };
    let log_records: Vec<_> = found.records().map(|record| read_record(record?)).collect::<Result<_, _>>()?;
    assert_eq!(log_records.len(), found.records_len);
    Ok(logs::ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() })
}

fn read_record(found: LogRecord<'_>) -> Result<logs::LogRecord, WireError> {
    Ok(logs::LogRecord {
        time_unix_nano: found.time,
        observed_time_unix_nano: found.observed_time,
        severity_number: found.severity_number,
        severity_text: text(found.severity_text),
        body: Some(read_value(found.body)?),
        attributes: read_attributes(found.attributes())?,
        dropped_attributes_count: found.dropped_attributes_count,
        flags: found.flags,
        trace_id: found.trace_id.to_vec(),
        span_id: found.span_id.to_vec(),
        event_name: text(found.event_name),
    })
}

fn read_attributes<'a>(found: impl Iterator<Item = Result<Attribute<'a>, WireError>>) -> Result<Vec<common::KeyValue>, WireError> {
    let attribute = |found: Attribute<'_>| Ok(attribute(&text(found.key), read_value(found.value)?));
    found.map(|found| attribute(found?)).collect()
}

fn read_value(found: AnyValue<'_>) -> Result<common::AnyValue, WireError> {
    let value = match found {
        AnyValue::Empty => None,
        AnyValue::String(bytes) => Some(Value::StringValue(text(bytes))),
        AnyValue::Bool(value) => Some(Value::BoolValue(value)),
        AnyValue::Int(value) => Some(Value::IntValue(value)),
        AnyValue::Double(value) => Some(Value::DoubleValue(value)),
        AnyValue::Array(list) => {
            let values = list.values().map(|value| read_value(value?)).collect::<Result<_, _>>()?;
            Some(Value::ArrayValue(common::ArrayValue { values }))
        }
        AnyValue::Map(map) => Some(Value::KvlistValue(common::KeyValueList { values: read_attributes(map.attributes())? })),
        AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
    };
    Ok(common::AnyValue { value })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn attribute(key: &str, value: common::AnyValue) -> common::KeyValue {
    common::KeyValue { key: key.to_owned(), value: Some(value), ..common::KeyValue::default() }
}

fn any_value() -> impl Strategy<Value = common::AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,8}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        (-1e9..1e9).prop_map(|value| Some(Value::DoubleValue(value))),
        vec(any::<u8>(), 0..6).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    let leaf = leaf.prop_map(|value| common::AnyValue { value });
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(common::ArrayValue { values })),
            vec((".{0,4}", inner), 0..3).prop_map(|pairs| {
                let values = pairs.into_iter().map(|(key, value)| attribute(&key, value)).collect();
                Value::KvlistValue(common::KeyValueList { values })
            }),
        ]
        .prop_map(|value| common::AnyValue { value: Some(value) })
    })
}

fn any_attributes() -> impl Strategy<Value = Vec<common::KeyValue>> {
    vec((".{0,6}", any_value()), 0..4).prop_map(|pairs| pairs.into_iter().map(|(key, value)| attribute(&key, value)).collect())
}

prop_compose! {
    fn any_record()(
        (time_unix_nano, observed_time_unix_nano, severity_number) in any::<(u64, u64, i32)>(),
        (severity_text, event_name) in (".{0,5}", ".{0,5}"),
        body in any_value(),
        attributes in any_attributes(),
        (dropped_attributes_count, flags) in any::<(u32, u32)>(),
        (trace_id, span_id) in (vec(any::<u8>(), 0..17), vec(any::<u8>(), 0..9)),
    ) -> logs::LogRecord {
        logs::LogRecord {
            time_unix_nano, observed_time_unix_nano, severity_number, severity_text, body: Some(body), attributes,
            dropped_attributes_count, flags, trace_id, span_id, event_name,
        }
    }
}

prop_compose! {
    fn any_scope()(
        (name, version) in (".{0,5}", ".{0,5}"),
        attributes in any_attributes(),
        dropped_attributes_count in any::<u32>(),
        log_records in vec(any_record(), 0..4),
    ) -> logs::ScopeLogs {
        let scope = common::InstrumentationScope { name, version, attributes, dropped_attributes_count };
        logs::ScopeLogs { scope: Some(scope), log_records, schema_url: String::new() }
    }
}

fn any_request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let resource = (any_attributes(), vec(any_scope(), 0..3)).prop_map(|(attributes, scope_logs)| {
        let resource = Resource { attributes, ..Resource::default() };
        logs::ResourceLogs { resource: Some(resource), scope_logs, schema_url: String::new() }
    });
    vec(resource, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

proptest! {
    #![proptest_config(property(200))]

    #[test]
    fn reads_what_the_reference_library_writes(request in any_request()) {
        prop_assert_eq!(read(&request.encode_to_vec()), Ok(request));
    }

    #[test]
    fn damaged_bodies_do_no_harm(request in any_request(), at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<bool>()) {
        let mut body = request.encode_to_vec();
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        body[at] ^= flip;
        body.truncate(if cut { at } else { body.len() });
        let _ = read(&body);
    }

    #[test]
    fn any_bytes_do_no_harm(body in vec(any::<u8>(), 0..300)) {
        let _ = read(&body);
    }
}

#[test]
fn parts_may_come_in_any_order() {
    let scope = logs::ScopeLogs { log_records: vec![logs::LogRecord { flags: 1, ..Default::default() }], ..Default::default() };
    let resource = Resource { attributes: vec![attribute("a", common::AnyValue::default())], ..Default::default() };
    let (scope, resource) = (scope.encode_to_vec(), resource.encode_to_vec());
    let field = |number: u8, message: &[u8]| [&[number << 3 | 2, message.len() as u8], message].concat();
    let body = field(1, &[field(2, &scope), field(1, &resource)].concat());
    let found = read(&body).expect("a message");
    let logs = &found.resource_logs[0];
    assert_eq!(logs.resource.as_ref().map(|resource| resource.attributes.len()), Some(1));
    assert_eq!(logs.scope_logs[0].log_records[0].flags, 1);
}
