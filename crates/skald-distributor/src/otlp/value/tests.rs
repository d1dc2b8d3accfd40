use super::*;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

fn of(value: Option<Value>) -> common::AnyValue {
    common::AnyValue { value }
}

fn text(text: &str) -> common::AnyValue {
    of(Some(Value::StringValue(text.to_owned())))
}

fn list(values: Vec<common::AnyValue>) -> common::AnyValue {
    of(Some(Value::ArrayValue(common::ArrayValue { values })))
}

fn attribute(key: &str, value: common::AnyValue) -> common::KeyValue {
    common::KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

fn map(values: Vec<common::KeyValue>) -> common::AnyValue {
    of(Some(Value::KvlistValue(common::KeyValueList { values })))
}

fn with_attribute<T>(attribute: common::KeyValue, ask: impl FnOnce(Attribute<'_>) -> T) -> T {
    let message = common::KeyValueList { values: vec![attribute] };
    let wrapped = common::KeyValueList { values: vec![self::attribute("", of(Some(Value::KvlistValue(message))))] }.encode_to_vec();
    // The only way to an attribute is through a request: a resource's attributes are laid out as a list of key and value.
    let request = [&[0x0a, wrapped.len() as u8 + 2, 0x0a, wrapped.len() as u8][..], &wrapped].concat();
    let logs = skald_proto::otlp::read_export(&request).next().expect("one").expect("valid");
    let outer = logs.attributes().next().expect("one").expect("valid");
    let AnyValue::Map(map) = outer.value else { panic!("{outer:?}") };
    ask(map.attributes().next().expect("one").expect("valid"))
}

#[track_caller]
fn check(value: common::AnyValue, want: &str) {
    let mut out = b"before ".to_vec();
    with_attribute(attribute("k", value), |found| write(found.value, &mut out, 1000)).expect("fits");
    assert_eq!(String::from_utf8(out).expect("text"), format!("before {want}"));
}

#[test]
fn values_are_written_as_text() {
    check(of(None), "");
    check(text("<a> \u{e9}"), "<a> \u{e9}");
    check(of(Some(Value::BoolValue(true))), "true");
    check(of(Some(Value::IntValue(i64::MIN))), "-9223372036854775808");
    check(of(Some(Value::BytesValue(b"\x00\xff!".to_vec()))), "AP8h");
    for (number, want) in [
        (0.5, "0.5"),
        (2.0, "2"),
        (-0.0, "-0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (1e-6, "0.000001"),
        (1.25e-7, "1.25e-7"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        check(of(Some(Value::DoubleValue(number))), want);
    }
}

#[test]
fn lists_and_maps_are_json_with_sorted_keys() {
    check(list(vec![]), "[]");
    check(map(vec![]), "{}");
    let inner = map(vec![attribute("z", of(Some(Value::BoolValue(false)))), attribute("a", of(None)), attribute("z", text("last"))]);
    let bytes = of(Some(Value::BytesValue(b"!".to_vec())));
    let numbers = [1.0, 1e21, f64::NAN].map(|number| of(Some(Value::DoubleValue(number))));
    check(list([vec![inner, bytes], numbers.to_vec()].concat()), r#"[{"a":null,"z":"last"},"IQ==",1,1e+21,"NaN"]"#);
    check(
        list(vec![text("\"\\\n\r\t\u{8}\u{c}\u{1}<&>\u{2028}\u{e9}\u{7f}")]),
        "[\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u003c\\u0026\\u003e\\u2028\u{e9}\u{7f}\"]",
    );
}

#[test]
fn leaves_of_maps_have_joined_names() {
    let nested = map(vec![
        attribute("one", text("1")),
        attribute("", map(vec![attribute("two", list(vec![])), attribute("none", map(vec![]))])),
        attribute("three", of(None)),
    ]);
    let mut found = Vec::new();
    with_attribute(attribute("k.x", nested), |attribute| {
        for_each_leaf(attribute, &mut |name, _| {
            let Name::Path(path) = name else { panic!("{name:?}") };
            found.push(String::from_utf8(path.to_vec()).expect("text"));
            Ok(())
        })
    })
    .expect("shallow");
    assert_eq!(found, ["k.x_one", "k.x__two", "k.x_three"]);
}

#[test]
fn what_nests_too_deeply_or_is_too_long_is_refused() {
    let nest = |depth: usize, wrap: fn(common::AnyValue) -> common::AnyValue| {
        // Built from the inside by bytes: nested messages of the library would themselves be dropped recursively, which is fine at these depths.
        (0..depth).fold(of(None), |inner, _| wrap(inner))
    };
    let lists: fn(common::AnyValue) -> common::AnyValue = |inner| list(vec![inner]);
    let run = |value: common::AnyValue, max: usize| {
        let body = common::ArrayValue { values: vec![value] }.encode_to_vec();
        let request = wrap_body(&body);
        let logs = skald_proto::otlp::read_export(&request).next().expect("one").expect("valid");
        let scope = logs.scopes().next().expect("one").expect("valid");
        let record = scope.records().next().expect("one").expect("valid");
        write(record.body, &mut Vec::new(), max).map_err(|error| error.to_string())
    };
    assert_eq!(run(nest(DEPTH_MAX - 1, lists), 1000), Ok(()));
    assert_eq!(run(nest(DEPTH_MAX, lists), 1000), Err("values nest deeper than 64".to_owned()));
    assert!(run(list(vec![of(None); 100]), 100).expect_err("500 bytes").contains("too many bytes"));
    let many = map((0..MEMBERS_MAX + 1).map(|_| attribute("k", of(None))).collect());
    assert!(run(many, usize::MAX).expect_err("too many").contains("more than 65536 names"));
}

/// A request of one record whose body is the list `body`.
fn wrap_body(body: &[u8]) -> Vec<u8> {
    [(5, 2), (5, 2), (2, 2), (2, 2), (1, 2)].iter().fold(body.to_vec(), |inner, (number, wire)| {
        let mut out = vec![number << 3 | wire];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    })
}
